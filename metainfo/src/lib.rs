//! The nouns of BitTorrent: info hash, peer id, piece, block, bitfield.
#![forbid(unsafe_code)]

pub mod bitfield;
pub mod id;
pub mod limits;
pub mod piece;

pub use bitfield::{Bitfield, BitfieldError};
pub use id::{InfoHash, PeerId};
pub use piece::{BLOCK_LENGTH, Block, Geometry, GeometryError, PieceIndex, RawBlock};
