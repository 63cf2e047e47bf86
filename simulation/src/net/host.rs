//! A host: the two lines that join it to the net.

use std::collections::VecDeque;
use std::time::Duration;

use super::event::End;

/// One host, by the order in which they were added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub(super) usize);

impl HostId {
    /// For indexing arrays that hold one entry a host.
    #[must_use]
    pub fn index(self) -> usize {
        self.0
    }
}

/// What joins a host to the net.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HostConfig {
    /// Shared fairly by its connections; `None` is unlimited.
    pub upload_bytes_per_s: Option<u64>,
    /// Shared by its connections in the order that chunks come; `None` is unlimited.
    pub download_bytes_per_s: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Host {
    pub(super) config: HostConfig,
    pub(super) alive: bool,
    /// Lives so far: what was meant for an earlier one is not heard.
    pub(super) life: u64,
    /// Ends that have something to send, in the order of their turns.
    pub(super) turns: VecDeque<End>,
    pub(super) sending: Option<Sending>,
    /// When the downlink has taken in everything that has come, since the beginning.
    pub(super) downlink_free: Duration,
}

/// The chunk that the uplink is busy with.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) end: End,
    pub(super) bytes: u64,
    pub(super) messages: usize,
}

impl Host {
    pub(super) fn new(config: HostConfig) -> Self {
        Self {
            config,
            alive: true,
            life: 0,
            turns: VecDeque::new(),
            sending: None,
            downlink_free: Duration::ZERO,
        }
    }

    pub(super) fn crash(&mut self) {
        let life = self.life + 1;
        *self = Self {
            alive: false,
            life,
            ..Self::new(self.config)
        };
    }
}

/// How long a line of that rate is busy with so many bytes, at most a chunk.
pub(super) fn busy(bytes: u64, bytes_per_s: Option<u64>) -> Duration {
    bytes_per_s.map_or(Duration::ZERO, |rate| {
        Duration::from_nanos((bytes * 1_000_000_000).div_ceil(rate))
    })
}
