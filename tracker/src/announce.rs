//! What is said to a tracker and what it says. BEP 3 "trackers", BEP 7, 23, 24, 48.
//!
//! Plain data: HTTP and UDP speak it alike, client and server too.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use shoal_metainfo::{InfoHash, PeerId};

use crate::limits;

/// Why an announce is made, other than that it is time. Source: BEP 3 "event", BEP 21.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AnnounceEvent {
    /// The first announce of this run.
    Started,
    /// The download became whole during this run.
    Completed,
    /// The last announce of this run.
    Stopped,
    /// It is time, and the peer is a partial seed: not whole, and downloads nothing. BEP 21.
    Paused,
}

impl AnnounceEvent {
    /// BEP 3's word for it, or BEP 21's.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Completed => "completed",
            Self::Stopped => "stopped",
            Self::Paused => "paused",
        }
    }
}

/// What is announced as `left` by who does not know it, since it has no metadata yet. Source:
/// clients in the field send all that a signed number holds.
pub const LEFT_UNKNOWN: u64 = i64::MAX.unsigned_abs();

/// What is left, if that is known: a number that no torrent can have is a word for "unknown".
#[must_use]
pub fn known_left(left: u64) -> Option<u64> {
    (left <= limits::LEFT_MAX).then_some(left)
}

/// What a peer tells a tracker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnounceRequest {
    /// The torrent.
    pub info_hash: InfoHash,
    /// The peer.
    pub peer_id: PeerId,
    /// The port at which it takes connections; never 0.
    pub port: u16,
    /// Payload sent since `started`, bytes.
    pub uploaded: u64,
    /// Payload received since `started`, bytes.
    pub downloaded: u64,
    /// What is missing of the torrent, bytes; 0 makes it a seed.
    pub left: u64,
    /// Why now.
    pub event: Option<AnnounceEvent>,
    /// Peers wanted; `None` leaves it to the tracker.
    pub numwant: Option<u32>,
    /// The same for a whole run, told to trackers alone: proves who it is when its address changes.
    pub key: u32,
    /// What the tracker gave as `tracker id` before.
    pub tracker_id: Option<Vec<u8>>,
    /// Whether peers may come as BEP 23 has them. We always say yes.
    pub compact: bool,
}

#[cfg(test)]
impl AnnounceRequest {
    /// A leech that comes again; a test says what else matters.
    pub(crate) fn example() -> Self {
        Self {
            info_hash: InfoHash([9; 20]),
            peer_id: PeerId([b'p'; 20]),
            port: 6_881,
            uploaded: 0,
            downloaded: 0,
            left: 1,
            event: None,
            numwant: None,
            key: 0,
            tracker_id: None,
            compact: true,
        }
    }
}

/// What a tracker tells a peer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AnnounceResponse {
    /// Announce again after so long.
    pub interval: Duration,
    /// Do not announce again sooner, but for an event.
    pub min_interval: Option<Duration>,
    /// Other peers, of both address families, without such as nobody can dial.
    pub peers: Vec<SocketAddr>,
    /// Peers that have everything. BEP 3's `complete`.
    pub seeders: Option<u32>,
    /// Peers that do not. BEP 3's `incomplete`.
    pub leechers: Option<u32>,
    /// The address the tracker saw us at. BEP 24.
    pub external_ip: Option<IpAddr>,
    /// Something to show to people; the announce was good all the same.
    pub warning: Option<String>,
    /// To be sent back with the next announce.
    pub tracker_id: Option<Vec<u8>>,
}

/// What a tracker knows of one torrent. Source: BEP 48.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScrapeEntry {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Peers that have everything: `complete`.
    pub seeders: u32,
    /// Downloads that became whole, as far as the tracker remembers: `downloaded`.
    pub completed: u32,
    /// Peers that do not have everything: `incomplete`.
    pub leechers: u32,
}

/// An interval that a tracker told, in seconds, as far as we obey it.
pub(crate) fn obeyed(seconds: i64) -> Duration {
    let duration = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    duration.clamp(limits::INTERVAL_MIN, limits::INTERVAL_MAX)
}

/// Takes the peers of an answer that somebody can dial, up to [`limits::PEERS_MAX`] in all.
pub(crate) fn extend_peers(peers: &mut Vec<SocketAddr>, list: impl Iterator<Item = SocketAddr>) {
    let room = limits::PEERS_MAX.saturating_sub(peers.len());
    let list = list.map(|peer| SocketAddr::new(peer.ip().to_canonical(), peer.port()));
    peers.extend(list.filter(dialable).take(room));
}

/// Whether a peer can be there: it has a port, and its address is of one host.
pub(crate) fn dialable(peer: &SocketAddr) -> bool {
    let ip = peer.ip();
    let broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
    peer.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}
