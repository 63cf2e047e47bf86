//! What goes into [`Message::Extended`](crate::Message::Extended). BEP 10.
//!
//! Only the handshake, id 0, so far; every other id is what the receiver said in its own.

pub mod handshake;

pub use handshake::ExtendedHandshake;

/// The id of the extended handshake. Source: BEP 10, "handshake message".
pub const HANDSHAKE_ID: u8 = 0;
