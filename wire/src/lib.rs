//! The peer wire protocol: messages as values, and bytes to and from them.
#![forbid(unsafe_code)]

pub mod handshake;
pub mod message;

pub use handshake::{Extensions, Handshake};
pub use message::Message;
