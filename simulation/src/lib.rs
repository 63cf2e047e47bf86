//! A virtual world for tests of state machines: clock, network, faults, all from one seed.
//!
//! | module | holds |
//! |---|---|
//! | [`net`] | hosts with rates, connections with latency, crashes, partitions |
//! | [`queue`] | events in virtual time; what [`net`] runs on, and of use alone |
//! | [`disk`] | files behind a cache that a loss of power takes |
//! | [`faults`] | what goes wrong, how often, and proof that it did |
//! | [`rng`] | random numbers, split by purpose |
//! | [`trace`] | a fingerprint of a run |
//! | [`limits`] | every bound |
//!
//! Knows nothing of BitTorrent. A test owns one [`Net`] and its state machines, takes one event
//! after the other, hands it to the machine of that host and does what the machine says. Nothing
//! runs at the same time and nothing waits, so a seed replays to the byte:
//!
//! ```
//! use std::time::Duration;
//! use shoal_simulation::{Event, HostConfig, LinkConfig, Net, Rng};
//!
//! let far = Duration::from_millis(40);
//! let link = LinkConfig { latency: (far, far), jitter: Duration::ZERO };
//! let mut net: Net<&str> = Net::new(&Rng::new(1), link);
//! let (alice, bob) = (net.add_host(HostConfig::default()), net.add_host(HostConfig::default()));
//! net.connect(alice, bob);
//! let mut heard = Vec::new();
//! while let Some(event) = net.next_event() {
//!     match event {
//!         Event::Opened { host, end, .. } if host == alice => net.send(end, 5, "hello").unwrap(),
//!         Event::Delivered { messages, .. } => heard.extend(messages),
//!         _ => {}
//!     }
//! }
//! assert_eq!(heard, ["hello"]);
//! assert_eq!(net.elapsed(), far * 3, "a dial goes there and back");
//! ```
#![forbid(unsafe_code)]

pub mod disk;
pub mod faults;
pub mod limits;
pub mod net;
pub mod queue;
pub mod rng;
pub mod trace;

pub use faults::Faults;
pub use net::{ConnId, End, Event, HostConfig, HostId, LinkConfig, Net, SendError, Side, Totals};
pub use queue::EventQueue;
pub use rng::Rng;
pub use trace::Trace;
