//! Announces and scrapes as UDP carries them. BEP 15, 41.
//!
//! [`packet`] is bytes to types and back, for both sides; [`exchange`] is what a client does with
//! them, [`responder`] what a server answers. No sockets, and the clock is an argument.

pub mod connection_ids;
pub mod exchange;
pub mod options;
pub mod packet;
pub mod responder;

pub use exchange::Exchange;
pub use options::Options;
pub use packet::{ConnectionId, Counts, Head, Request, RequestError, Response, TransactionId};
