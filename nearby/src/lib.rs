//! What is near us: peers on the same network, and the gateway that can let others in.
//!
//! [`lsd`] finds clients that share a torrent by multicast (BEP 14); [`gateway`] has the messages
//! by which a port of ours is opened at a router: PCP (RFC 6887), NAT-PMP (RFC 6886) and UPnP.
//! Everything here is bytes and decisions: no sockets, no clock, no chance.
//!
//! ```
//! use std::time::Instant;
//! use shoal_metainfo::InfoHash;
//! use shoal_nearby::lsd::{Finder, Input, Output, group};
//!
//! // Two clients that run the same torrent; the first hears the second.
//! let (now, info_hash) = (Instant::now(), InfoHash([7; 20]));
//! let (mut first, mut second) = (Finder::new(6881, 1), Finder::new(6882, 2));
//! first.handle(now, Input::Started { info_hash, private: false });
//! second.handle(now, Input::Started { info_hash, private: false });
//! let Some(Output::Announce(ours)) = first.poll() else { panic!("it announces at once") };
//! let Some(Output::Announce(theirs)) = second.poll() else { panic!("it announces at once") };
//! # let _ = ours;
//! let from = "192.168.1.9:6771".parse().unwrap();
//! let datagram = theirs.encode(group(false));
//! first.handle(now, Input::Heard { from, networks: &[], datagram: &datagram });
//! let address = "192.168.1.9:6882".parse().unwrap();
//! assert_eq!(first.poll(), Some(Output::Found { info_hash, address }));
//! ```
#![forbid(unsafe_code)]

#[doc(hidden)]
pub mod fuzz;
pub mod gateway;
pub mod limits;
pub mod lsd;
pub mod network;

pub use network::{Network, is_near};
