//! Every bound of this crate, with its source.

use std::time::Duration;

/// Most bytes that leave an uplink before another connection has its turn.
/// Ours: one block of BitTorrent, so that a turn is never longer than the smallest useful message.
pub const CHUNK_BYTES_MAX: u64 = 16 << 10;

/// Most bytes on the way in one direction of a connection; more wait in the sender's queue.
/// Ours: a TCP window of 1 MiB fills 20 MB/s at a delay of 50 ms.
pub const WINDOW_BYTES: u64 = 1 << 20;

/// Most bytes that wait to be sent in one direction of a connection.
/// Ours: twice the 500 blocks that a peer may be promised.
pub const QUEUED_BYTES_MAX: u64 = 16 << 20;

/// How long a dial into a partition takes to fail. Ours: a dialler's usual patience.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Most events that wait at once. Ours: above it the world is running away, not busy.
pub const EVENTS_MAX: usize = 4_000_000;

/// Most events at one instant. Ours: above it two state machines wake each other for ever.
pub const EVENTS_PER_INSTANT_MAX: u64 = 1_000_000;

/// What a disk writes whole or not at all, bytes. Source: the sector of nearly all disks, at least
/// in what they show.
pub const SECTOR_BYTES: usize = 512;
