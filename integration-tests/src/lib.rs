//! Whole swarms in one test: contents, trackers, clients and hostile peers on free loopback ports.
//!
//! | item | is |
//! |---|---|
//! | [`Content`] | random files in a temporary folder, and their torrent |
//! | [`TestTracker`] | our tracker, with short intervals |
//! | [`StubTracker`] | a tracker that answers what a test wants, bytes by bytes |
//! | [`WebServer`] | a web server that has files, or answers what a test wants |
//! | [`UdpStub`] | a tracker on UDP that keeps what it was asked |
//! | [`TestPeer`] | our client: an engine that runs one torrent |
//! | [`TestProcess`] | the same in a process of its own, to measure it |
//! | [`RawPeer`] | a peer steered by hand: any message, any bytes, any silence |
//! | [`Siege`] | a hundred peers that want others not to be served |
//!
//! Everything blocks, with [`PATIENCE`]: a test reads as a list of what happens. Nothing stays
//! behind: folders, ports and threads go with the value that has them.
//!
//! ```
//! use shoal_integration_tests::{Content, TestPeer, TestTracker};
//!
//! let content = Content::folder("album").file("one", 100_000).file("two", 0).build();
//! let tracker = TestTracker::start();
//! let seeder = TestPeer::seeder(&content).tier([tracker.url()]).start();
//! seeder.wait_complete();
//! tracker.wait_for_peers(&content, 1);
//!
//! let leecher = TestPeer::leecher(&content).tier([tracker.url()]).start();
//! leecher.wait_complete();
//! content.assert_identical(leecher.dir());
//! ```
#![forbid(unsafe_code)]

mod acceptor;
mod content;
mod peer;
mod process;
mod raw;
mod siege;
mod stub;
mod tracker;
mod udp_stub;
pub mod web;

use std::future::Future;
use std::thread;
use std::time::{Duration, Instant};

use async_std::task;

pub use content::{Content, ContentBuilder};
pub use peer::{PeerSetup, TestPeer};
pub use process::{Memory, TestProcess};
pub use raw::{Heard, RawPeer, handshake};
pub use siege::{BESIEGERS, Ruse, Siege};
pub use stub::{Answer, StubTracker, http};
pub use tracker::TestTracker;
pub use udp_stub::{UdpAsked, UdpStub};
pub use web::{WebAnswer, WebRequest, WebServer};

/// For whatever should take a moment. Only a hang takes longer, even on a machine that is busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Looks again and again until it holds.
///
/// # Panics
/// When it does not hold within [`PATIENCE`].
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not in {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Waits for what a future gives.
///
/// # Panics
/// When it gives nothing within [`PATIENCE`].
pub fn wait<T>(what: &str, future: impl Future<Output = T>) -> T {
    let given = task::block_on(async_std::future::timeout(PATIENCE, future));
    given.unwrap_or_else(|_| panic!("not in {PATIENCE:?}: {what}"))
}
