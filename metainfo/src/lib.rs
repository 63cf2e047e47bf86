//! The nouns of BitTorrent: [`InfoHash`], [`PeerId`], [`Block`], [`Bitfield`], [`Torrent`],
//! [`SafePath`], [`Magnet`].
//!
//! Bytes from outside become a type that cannot be wrong, once, at the door. A [`Torrent`] has
//! checked every number against every other, so what comes after it does not; a [`SafePath`] cannot
//! leave its folder; a [`Block`] out of a [`Geometry`] exists. The info hash is of the bytes that
//! came, never of a re-encoding.
//!
//! | module | BEP |
//! |---|---|
//! | [`torrent`], [`info`], [`error`], [`flaw`] | 3, 12 tiers, 19 web seeds, 27, 47 attributes |
//! | [`path`], [`collisions`], [`text`] | what names become that no BEP tames |
//! | [`piece`], [`bitfield`], [`id`], [`compact`] | 3, 20; 7 and 23 compact peers |
//! | [`magnet`], [`web_seed`], [`choice`] | 9; 17 and 19; 53 |
//! | [`create`] | making a .torrent; the only part that reads files |
//! | [`ahead`] | what of files the system shall have in memory, for who hashes them |
//!
//! ```
//! use shoal_metainfo::{Magnet, RawBlock, Torrent};
//!
//! let mut bytes = b"d8:announce14:http://t.test/4:infod6:lengthi40000e4:name5:a.txt".to_vec();
//! bytes.extend(b"12:piece lengthi32768e6:pieces40:0123456789abcdefghij0123456789abcdefghijee");
//! let torrent = Torrent::parse(&bytes)?;
//! assert_eq!(torrent.info_hash.to_string(), "94ae3c2ca9a327772f4c602c8d6b69fa66cb3acd");
//! assert_eq!(torrent.info.files[0].path.as_str(), "a.txt");
//!
//! let last = torrent.info.geometry.piece(1).expect("two pieces");
//! assert_eq!(torrent.info.piece_hash(last), *b"0123456789abcdefghij");
//! let raw = RawBlock { index: 1, begin: 0, length: 16_384 };
//! assert!(torrent.info.geometry.block(raw).is_none(), "the last piece has 7,232 bytes");
//!
//! let error = Torrent::parse(&bytes[..60]).unwrap_err();
//! assert!(error.to_string().contains("download it again"));
//! println!("{}", Magnet::from_torrent(&torrent));
//! # Ok::<(), shoal_metainfo::TorrentError>(())
//! ```
#![forbid(unsafe_code)]

pub mod ahead;
pub mod bitfield;
pub mod choice;
pub mod collisions;
pub mod compact;
pub mod create;
pub mod error;
pub mod flaw;
#[doc(hidden)]
pub mod fuzz;
pub mod id;
pub mod info;
pub mod limits;
pub mod magnet;
pub mod path;
pub mod piece;
pub mod text;
pub mod torrent;
pub mod web_seed;

pub use bitfield::{Bitfield, BitfieldError};
pub use choice::{Choice, ChoiceError, Chosen, NoneChosen};
pub use error::{Place, TorrentError};
pub use flaw::Flaw;
pub use id::{InfoHash, PeerId};
pub use info::{Attributes, FileEntry, Info, Version};
pub use magnet::{Magnet, MagnetError};
pub use path::{NameRules, PathError, SafePath};
pub use piece::{BLOCK_LENGTH, Block, Geometry, GeometryError, PieceIndex, RawBlock};
pub use torrent::Torrent;
