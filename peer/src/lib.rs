//! The async-std shell around the swarm: sockets, disk threads, trackers.
//!
//! The swarm decides, this crate does. An [`Engine`] binds the listeners and keeps a map of
//! torrents; each torrent is one task that owns its [`Swarm`](shoal_swarm::Swarm), and is steered
//! by a [`Handle`].
//!
//! ```text
//!  listen, dial ──handshaken sockets──▶ ┌─────────┐ ◀──answers── discovery (trackers)
//!                                       │ torrent │
//!  connection ──a batch a read, bounded▶│  owns   │──writes, verifications──▶ disk threads
//!      ▲   ▲                            │  Swarm  │◀──answers, never waiting── │
//!      │   └─────────outbox◀────────────└─────────┘                            │
//!      └──────blocks to serve, read a little ahead of the socket───────────────┘
//! ```
//! What flows fast crosses a task boundary once a socket read, not once a block: a connection hands
//! over all messages of a read at once, and blocks are slices of what was read. Three rules keep it
//! from standing still or growing: the way into a torrent is bounded, so that a slow disk stops the
//! sockets; the way back from a disk thread or a writer never waits, because answers are never more
//! than what was asked; and nothing that blocks runs on the executor.
//!
//! ```
//! use std::sync::{Arc, atomic::AtomicBool};
//! use std::time::Duration;
//! use shoal_metainfo::{Torrent, create::{Draft, Plan, ScanOptions}};
//! use shoal_peer::{Engine, EngineConfig, TorrentConfig};
//!
//! // A file, and the torrent of it.
//! let (from, to) = (tempfile::tempdir()?, tempfile::tempdir()?);
//! std::fs::write(from.path().join("shoal.txt"), b"many small fish")?;
//! let plan = Plan::scan(&from.path().join("shoal.txt"), ScanOptions::default())?;
//! let hashes = plan.hash(16 << 10, 1, &|_| {}, &AtomicBool::new(false))?;
//! let torrent = Arc::new(Torrent::parse(&Draft::default().encode(&plan, &hashes))?);
//!
//! let engine = || Engine::start(EngineConfig {
//!     listen: vec![([127, 0, 0, 1], 0).into()],
//!     ..EngineConfig::default()
//! });
//! async_std::task::block_on(async {
//!     let (seeder, leecher) = (engine()?, engine()?);
//!     let dir = from.path().to_owned();
//!     seeder.add(torrent.clone(), TorrentConfig { dir, ..TorrentConfig::default() })?;
//!     let (dir, peers) = (to.path().to_owned(), seeder.local_addrs().to_vec());
//!     let config = TorrentConfig { dir, peers, ..TorrentConfig::default() };
//!     let handle = leecher.add(torrent, config)?;
//!     assert!(handle.wait_complete().await);
//!     leecher.stop(Duration::from_secs(10)).await;
//!     seeder.stop(Duration::from_secs(10)).await;
//!     assert_eq!(std::fs::read(to.path().join("shoal.txt"))?, b"many small fish");
//!     Ok::<(), Box<dyn std::error::Error>>(())
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod clock;
pub mod config;
mod connection;
mod crowd;
pub mod dht;
mod dial;
mod discovery;
mod disk;
pub mod engine;
pub mod error;
pub mod event;
mod executor;
pub mod finding;
pub mod handle;
mod interfaces;
pub mod limits;
mod listen;
mod lsd;
mod mailbox;
mod note;
mod open;
mod outbox;
pub mod ports;
mod tasks;
#[cfg(test)]
mod testing;
mod torrent;
mod transport;
mod web;

pub use config::{EngineConfig, TorrentConfig};
pub use dht::{Dht, DhtConfig};
pub use engine::Engine;
pub use error::{AddError, EngineError, Failure};
pub use event::{Event, Events};
pub use executor::start_executor;
pub use finding::{Finding, Off, Seeking};
pub use handle::{Handle, State, TorrentSnapshot};
pub use shoal_dht;
pub use shoal_tracker::announcer::TrackerStatus;
pub use shoal_tracker::client::{Proxy, ProxyError};
pub use web::WebSeedStatus;
