//! What of the table outlives the program: completed counts, and swarms where that is wanted.
//! BEP 48.
//!
//! Bytes in, bytes out; who keeps them is not known here. A swarm is written as its peers have it:
//!
//! ```text
//! torrent: info hash: 20 | peers of IPv4: u32 | peers of IPv6: u32 | peers
//! peer:    address and port: 6 or 18 | peer id: 20 | flags: u8 | silent for: u32 seconds
//! ```
//!
//! Numbers are big-endian; flag 1 is a seed, flag 2 one whose completion was counted.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use shoal_metainfo::{InfoHash, PeerId};

use super::swarm::socket_address;
use super::{Registry, lock};
use crate::limits;

const SEED: u8 = 1;
const COUNTED: u8 = 2;

/// A peer that was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptPeer {
    /// Where it takes connections.
    pub address: SocketAddr,
    /// Its name.
    pub peer_id: PeerId,
    /// Whether it has everything.
    pub seed: bool,
    /// Whether its completion is in the torrent's count.
    pub counted: bool,
    /// How long ago it announced when it was written down.
    pub silent: Duration,
}

impl Registry {
    /// Parts of the table, for [`Registry::swarms`].
    pub const PARTS: usize = limits::SHARDS;

    /// Appends the completed counts that changed since this was called last, with 0 for what was
    /// forgotten.
    pub fn take_completed(&self, out: &mut Vec<(InfoHash, u32)>) {
        for shard in &self.shards {
            lock(shard).completed.take_changed(out);
        }
    }

    /// Takes back a count from an earlier run; counts since then are added.
    pub fn restore_completed(&self, info_hash: InfoHash, count: u32) {
        let hash = self.key.hash(&info_hash.0);
        let shard = &mut *self.shard(hash);
        if let Some(place) = shard.find(hash, &info_hash) {
            let (torrent, _) = shard.at(place);
            torrent.completed = torrent.completed.saturating_add(count);
            return;
        }
        let count = shard.completed.take(hash, &info_hash).saturating_add(count);
        shard
            .completed
            .leave(hash, info_hash, count, &mut shard.rng);
    }

    /// The completed count of a torrent, in the table or not.
    #[must_use]
    pub fn completed(&self, info_hash: &InfoHash) -> u32 {
        let hash = self.key.hash(&info_hash.0);
        let shard = self.shard(hash);
        match shard.find(hash, info_hash) {
            Some(place) => shard.torrents()[place].completed,
            None => shard.completed.away(hash, info_hash).unwrap_or(0),
        }
    }

    /// Appends the swarms of one part of the table.
    ///
    /// # Panics
    /// When there is no such part: it counts to [`Registry::PARTS`].
    pub fn swarms(&self, part: usize, now: Instant, out: &mut Vec<u8>) {
        let now = self.seconds(now);
        let shard = lock(&self.shards[part]);
        for torrent in shard.torrents().iter().filter(|torrent| torrent.len() > 0) {
            torrent.write(now, out);
        }
    }

    /// Takes back a peer from an earlier run that has been silent for `silent` until now; as if it
    /// had announced at the start. Whether there was room for it.
    pub fn restore_peer(&self, info_hash: InfoHash, peer: &KeptPeer, silent: Duration) -> bool {
        let most = u64::from(self.interval.load(Ordering::Relaxed)) * 2;
        if silent.as_secs() > most {
            return false;
        }
        let hash = self.key.hash(&info_hash.0);
        let mut shard = self.shard(hash);
        let place = match shard.find(hash, &info_hash) {
            Some(place) => place,
            None => match self.new_torrent(info_hash, limits::SECONDS_BEFORE) {
                Ok(torrent) => shard.insert(hash, torrent),
                Err(_) => return false,
            },
        };
        let (torrent, rng) = shard.at(place);
        let before = torrent.len();
        let restored = torrent.restore(self.key, peer, self.room(peer.address.ip()), rng);
        self.count(before, torrent.len());
        restored
    }
}

/// Appends the head of a torrent.
pub(super) fn push_head(out: &mut Vec<u8>, info_hash: &InfoHash, v4: usize, v6: usize) {
    out.extend_from_slice(&info_hash.0);
    for count in [v4, v6] {
        let count = u32::try_from(count).expect("the bound of peers is far below 2^32");
        out.extend_from_slice(&count.to_be_bytes());
    }
}

/// Appends a peer.
pub(super) fn push_peer(
    out: &mut Vec<u8>,
    address: &[u8],
    peer: (PeerId, bool, bool),
    silent: u32,
) {
    let (peer_id, seed, counted) = peer;
    out.extend_from_slice(address);
    out.extend_from_slice(&peer_id.0);
    let flags = if seed { SEED } else { 0 } | if counted { COUNTED } else { 0 };
    out.push(flags);
    out.extend_from_slice(&silent.to_be_bytes());
}

/// The peers that [`Registry::swarms`] wrote, each with its torrent; `None` for bytes that it did
/// not write.
#[must_use]
pub fn read_swarms(bytes: &[u8]) -> Option<Vec<(InfoHash, KeptPeer)>> {
    let mut peers = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let info_hash = InfoHash(take(&mut rest)?);
        let [v4, v6] = [take(&mut rest)?, take(&mut rest)?].map(u32::from_be_bytes);
        for _ in 0..v4 {
            let address: [u8; 6] = take(&mut rest)?;
            peers.push((info_hash, read_peer(socket_address(&address), &mut rest)?));
        }
        for _ in 0..v6 {
            let address: [u8; 18] = take(&mut rest)?;
            peers.push((info_hash, read_peer(socket_address(&address), &mut rest)?));
        }
    }
    Some(peers)
}

fn read_peer(address: SocketAddr, rest: &mut &[u8]) -> Option<KeptPeer> {
    let peer_id = PeerId(take(rest)?);
    let [flags] = take(rest)?;
    let silent = u32::from_be_bytes(take(rest)?);
    (flags & !(SEED | COUNTED) == 0).then_some(KeptPeer {
        address,
        peer_id,
        seed: flags & SEED != 0,
        counted: flags & COUNTED != 0,
        silent: Duration::from_secs(silent.into()),
    })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*first)
}

#[cfg(test)]
mod tests;
