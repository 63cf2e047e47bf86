//! A node of the distributed hash table, without sockets and clocks: who shares a torrent, found
//! and told without a tracker. BEP 5, 32, 33, 42, 43, 44, 51.
//!
//! | module | holds |
//! |---|---|
//! | [`node`] | control flow: [`Node`] |
//! | [`io`] | what a node is told and what it wants done |
//! | [`krpc`] | the messages |
//! | [`id`], [`address`] | names, distances, names that fit addresses; subnets |
//! | [`item`] | data that is named after its hash or its key |
//! | [`bloom`] | counting peers that several nodes know |
//! | [`saved`] | what is remembered from run to run |
//! | [`limits`] | every bound |
//!
//! A [`Node`] is a value: facts go in by [`Node::handle`], deeds come out of [`Node::poll`], and
//! the same seed and facts give the same deeds. Whoever owns it owns the sockets.
//!
//! ```
//! use std::time::Instant;
//! use shoal_dht::{Config, Event, Input, LookupKey, Node, Output, Task};
//!
//! let now = Instant::now();
//! let config = || Config { v4: true, ..Config::default() };
//! let at = |port: u16| ([127, 0, 0, 1], port).into();
//! let mut nodes = [Node::new(config(), &[1; 32], now), Node::new(config(), &[2; 32], now)];
//! let task = Task::Ping { address: at(2) };
//! nodes[0].handle(now, Input::Start { key: LookupKey(7), task });
//! // Node 0 is at port 1, node 1 at port 2; what one sends the other receives.
//! let mut found = Vec::new();
//! for turn in 0..10 {
//!     let (this, other) = (turn % 2, 1 - turn % 2);
//!     while let Some(output) = nodes[this].poll() {
//!         match output {
//!             Output::Send { bytes, .. } => {
//!                 let from = at(u16::try_from(this + 1).unwrap());
//!                 nodes[other].handle(now, Input::Received { from, bytes: &bytes });
//!             }
//!             Output::Event(Event::Finished { outcome, .. }) => found.extend(outcome.closest),
//!             _ => {}
//!         }
//!     }
//! }
//! assert_eq!(found[0].address, at(2));
//! ```
#![forbid(unsafe_code)]

pub mod address;
pub mod bloom;
mod calls;
mod external;
#[doc(hidden)]
pub mod fuzz;
pub mod id;
pub mod io;
pub mod item;
mod items;
pub mod krpc;
pub mod limits;
mod lookup;
pub mod node;
mod peers;
mod rate;
pub mod saved;
mod secret;
mod sources;
mod table;

pub use address::Family;
pub use id::{Contact, NodeId};
pub use io::{Announce, Config, Counts, Event, Input, LookupKey, Outcome, Output, Snapshot, Task};
pub use item::{Item, ItemError, SecretKey, Signed};
pub use node::Node;
pub use saved::Saved;
pub use secret::Seed;
