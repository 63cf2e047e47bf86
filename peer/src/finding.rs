//! What each source of peers is doing now: a copy, for people and programs. Decides nothing.
//!
//! What a source has given is in the swarm's snapshot; how trackers and web seeds stand, in lists
//! of their own.

use std::time::Instant;

use crate::torrent::Start;

/// Why a source is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Off {
    /// The torrent is private. BEP 27.
    Private,
    /// Everything goes through a proxy, which cannot carry it.
    Proxy,
    /// Nobody wants it, or there is no socket for it.
    Unwanted,
}

/// What a torrent's part in the DHT is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Seeking {
    /// None.
    Off(Off),
    /// The node looks for nodes to begin with.
    Bootstrapping,
    /// A lookup runs.
    Looking {
        /// Peers that it has named so far.
        found: usize,
    },
    /// The last lookup is over.
    Resting {
        /// Peers that it named.
        found: usize,
        /// Nodes that were told that we have the torrent.
        announced: usize,
        /// When the next one begins, if nobody is wanted before.
        next: Instant,
    },
}

/// What each source does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The distributed hash table. BEP 5.
    pub dht: Seeking,
    /// Neighbours are called by multicast, and heard; or why not. BEP 14.
    pub lsd: Result<(), Off>,
    /// Peers tell of peers; or why not. BEP 11.
    pub pex: Result<(), Off>,
}

/// What may be used at all, as it is known when a torrent starts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowed {
    pub(crate) lsd: Result<(), Off>,
    pub(crate) pex: Result<(), Off>,
    /// Why there is no DHT, if there is none.
    pub(crate) no_dht: Off,
}

impl Allowed {
    pub(crate) fn new(start: &Start) -> Self {
        let beside_proxy = match start.proxy {
            Some(_) => Err(Off::Proxy),
            None => Ok(()),
        };
        let wanted = |wanted: bool| wanted.then_some(()).ok_or(Off::Unwanted);
        let mut allowed = Self {
            lsd: beside_proxy.and_then(|()| wanted(start.use_lsd)),
            pex: wanted(start.config.use_pex),
            no_dht: beside_proxy.err().unwrap_or(Off::Unwanted),
        };
        if start.begin.is_private() {
            allowed.is_private();
        }
        allowed
    }

    /// The torrent is private, or turns out to be.
    pub(crate) fn is_private(&mut self) {
        (self.lsd, self.pex) = (Err(Off::Private), Err(Off::Private));
        self.no_dht = Off::Private;
    }
}
