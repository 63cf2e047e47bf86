//! Announces and scrapes as HTTP carries them. BEP 3 "trackers".
//!
//! Bytes to types and back; no sockets, no clock.

pub mod head;
pub mod query;
pub mod response;
