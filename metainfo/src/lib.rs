//! The nouns of BitTorrent: info hash, peer id, piece, block, bitfield.
#![forbid(unsafe_code)]

pub mod bitfield;
pub mod collisions;
pub mod compact;
pub mod create;
pub mod error;
pub mod id;
pub mod info;
pub mod limits;
pub mod magnet;
pub mod path;
pub mod piece;
pub mod text;
pub mod torrent;

pub use bitfield::{Bitfield, BitfieldError};
pub use error::{Place, TorrentError};
pub use id::{InfoHash, PeerId};
pub use info::{Attributes, FileEntry, Info, Version};
pub use magnet::{Magnet, MagnetError};
pub use path::{PathError, SafePath};
pub use piece::{BLOCK_LENGTH, Block, Geometry, GeometryError, PieceIndex, RawBlock};
pub use torrent::Torrent;
