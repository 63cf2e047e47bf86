//! One torrent's decisions: whom to talk to, what to ask for, whom to serve. No I/O.
#![forbid(unsafe_code)]

pub mod blame;
pub mod candidates;
pub mod choker;
pub mod holdings;
pub mod io;
pub mod limits;
pub mod misbehaved;
mod peer;
pub mod picker;
pub mod rates;
pub mod requests;
mod swarm;
pub mod uploads;

pub use io::{Config, Event, Input, Output, PeerKey, Snapshot, Source};
pub use misbehaved::PeerMisbehaved;
pub use swarm::Swarm;
