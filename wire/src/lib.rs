//! The peer wire protocol (BEP 3, 6, 9, 10, 11, 21, 54, 55): messages as values, and bytes to and
//! from them.
//!
//! | module | holds |
//! |---|---|
//! | [`handshake`] | the first 68 bytes, and the bits that say who speaks what |
//! | [`message`] | one enum of everything that comes after |
//! | [`decode`](mod@decode) | bytes to messages: incremental, without copies, bounded |
//! | [`encode`](mod@encode) | messages to bytes, and the head of a `piece` apart from its data |
//! | [`extended`] | what BEP 10 puts into [`Message::Extended`] |
//! | [`allowed_fast`] | the pieces that a choked peer may request |
//! | [`error`], [`limits`] | how bytes can be nonsense, and every bound |
//!
//! No sockets, no clock, no state but that of one half-read message. Whether a peer may say what
//! it said is not decided here.
//!
//! ```
//! use bytes::BytesMut;
//! use shoal_metainfo::RawBlock;
//! use shoal_wire::{Decoder, Message, encode};
//!
//! let request = RawBlock { index: 3, begin: 0, length: 16_384 };
//! let mut line = BytesMut::new();
//! encode(&Message::Interested, &mut line);
//! encode(&Message::Request(request), &mut line);
//!
//! let mut decoder = Decoder::new(None);
//! assert_eq!(decoder.decode(&mut line)?, Some(Message::Interested));
//! assert_eq!(decoder.decode(&mut line)?, Some(Message::Request(request)));
//! assert_eq!(decoder.decode(&mut line)?, None);
//! # Ok::<(), shoal_wire::DecodeError>(())
//! ```
#![forbid(unsafe_code)]

pub mod allowed_fast;
pub mod decode;
pub mod encode;
pub mod error;
pub mod extended;
#[doc(hidden)]
pub mod fuzz;
pub mod handshake;
pub mod limits;
pub mod message;

pub use allowed_fast::allowed_fast_set;
pub use decode::Decoder;
pub use encode::{PIECE_HEAD_LENGTH, encode, piece_head};
pub use error::{
    DecodeError, ExtendedHandshakeError, ExtensionError, HandshakeError, MetadataMessageError,
};
pub use extended::{ExtendedHandshake, MetadataMessage};
pub use handshake::{Extensions, HANDSHAKE_LENGTH, Handshake};
pub use message::Message;
