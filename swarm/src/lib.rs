//! One torrent's decisions: whom to talk to, what to ask for, whom to serve. No I/O.
#![forbid(unsafe_code)]

pub mod io;
pub mod misbehaved;
