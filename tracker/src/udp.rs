//! Announces and scrapes as UDP carries them. BEP 15, 41.
//!
//! Bytes to types and back, for both sides; no sockets, no clock.

pub mod options;
pub mod packet;

pub use options::Options;
pub use packet::{ConnectionId, Counts, Head, Request, RequestError, Response, TransactionId};
