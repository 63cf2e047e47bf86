//! A copy of the table, for people. BEP 3.
//!
//! Types alone; [`super::Registry::snapshot`] fills them.

use std::net::SocketAddr;
use std::time::Duration;

use shoal_metainfo::{InfoHash, PeerId};

/// A copy of the table, as much of it as people look at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RegistrySnapshot {
    /// Torrents, by info hash: those that are watched, at most
    /// [`crate::limits::SNAPSHOT_TORRENTS_MAX`].
    pub torrents: Vec<TorrentSnapshot>,
    /// Torrents in the table, with those that are left out here.
    pub torrents_total: usize,
    /// Peers in the table.
    pub peers_total: usize,
}

/// One swarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TorrentSnapshot {
    /// Its torrent.
    pub info_hash: InfoHash,
    /// Peers that have everything.
    pub seeders: usize,
    /// Peers that do not.
    pub leechers: usize,
    /// Downloads that became whole while the table knew the torrent.
    pub completed: u32,
    /// Its peers by address, at most [`crate::limits::SNAPSHOT_PEERS_MAX`].
    pub peers: Vec<PeerSnapshot>,
}

/// One peer of a watched torrent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerSnapshot {
    /// Where it takes connections.
    pub address: SocketAddr,
    /// Its name for this run.
    pub peer_id: PeerId,
    /// What it misses, bytes; `None` when it does not know.
    pub left: Option<u64>,
    /// What it says it sent, bytes.
    pub uploaded: u64,
    /// What it says it received, bytes.
    pub downloaded: u64,
    /// Its last announce was so long ago, in whole seconds.
    pub last_seen: Duration,
}

/// What peers say of themselves and only people want to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PeerDetail {
    pub(super) left: u64,
    pub(super) uploaded: u64,
    pub(super) downloaded: u64,
}
