//! One torrent's peers of both address families. BEP 3 "trackers", BEP 7.
//!
//! Most are of IPv4 alone, so the other family has memory only when somebody is in it. Knows
//! nothing of other torrents.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use fastrand::Rng;
use shoal_metainfo::InfoHash;

use super::kept::{KeptPeer, push_head, push_peer};
use super::outbox::{Heard, Kind};
use super::overview::CensusPeer;
use super::snapshot::{PeerDetail, PeerSnapshot, TorrentSnapshot};
use super::store::State;
use super::swarm::{Done, Key, Room, Swarm, Told, compact, socket_address};
use super::{Answer, Families};
use crate::announce::{AnnounceRequest, ScrapeEntry, known_left};
use crate::limits;

#[derive(Debug)]
pub(super) struct Torrent {
    pub(super) info_hash: InfoHash,
    pub(super) completed: u32,
    /// When all its peers were looked at last, in seconds since the table began.
    pub(super) swept: u32,
    /// Whether people look at it.
    pub(super) watched: bool,
    v4: Swarm<6>,
    v6: Option<Box<Swarm<18>>>,
}

impl Torrent {
    pub(super) fn new(info_hash: InfoHash, watched: bool, now: u32) -> Self {
        Self {
            info_hash,
            completed: 0,
            swept: now,
            watched,
            v4: Swarm::new(watched),
            v6: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.v4.len() + self.v6.as_ref().map_or(0, |v6| v6.len())
    }

    /// Seeders and leechers.
    pub(super) fn counts(&self) -> (usize, usize) {
        let seeders = self.v4.seeds() + self.v6.as_ref().map_or(0, |v6| v6.seeds());
        (seeders, self.len() - seeders)
    }

    pub(super) fn scrape(&self) -> ScrapeEntry {
        let (seeders, leechers) = self.counts();
        ScrapeEntry {
            info_hash: self.info_hash,
            seeders: u32::try_from(seeders).unwrap_or(u32::MAX),
            completed: self.completed,
            leechers: u32::try_from(leechers).unwrap_or(u32::MAX),
        }
    }

    /// Takes one announce; `None` when there is no room.
    pub(super) fn update(
        &mut self,
        key: Key,
        ip: IpAddr,
        port: u16,
        told: Told,
        room: Room,
        rng: &mut Rng,
    ) -> Option<Done> {
        match ip {
            IpAddr::V4(ip) => {
                let address = compact(&ip.octets(), port);
                self.v4.update(key, address, told, room, rng)
            }
            IpAddr::V6(ip) => {
                let address = compact(&ip.octets(), port);
                let watched = self.watched;
                let v6 = self.v6.get_or_insert_with(|| Box::new(Swarm::new(watched)));
                v6.update(key, address, told, room, rng)
            }
        }
    }

    /// Takes a word of another tracker on a peer.
    pub(super) fn merge(&mut self, key: Key, heard: &Heard, seen: u32, room: Room, rng: &mut Rng) {
        let (state, port) = (State::foreign(heard.peer_id, seen), heard.address.port());
        let (gone, is_seed) = (heard.kind == Kind::Gone, heard.kind == Kind::Seeder);
        match heard.address.ip() {
            IpAddr::V4(ip) => {
                let address = compact(&ip.octets(), port);
                if gone {
                    self.v4.forget(key, &address, heard.peer_id, seen);
                } else {
                    self.v4.merge(key, address, state, is_seed, room, rng);
                }
            }
            IpAddr::V6(ip) => {
                let address = compact(&ip.octets(), port);
                if !gone {
                    let watched = self.watched;
                    let v6 = self.v6.get_or_insert_with(|| Box::new(Swarm::new(watched)));
                    v6.merge(key, address, state, is_seed, room, rng);
                } else if let Some(v6) = &mut self.v6 {
                    v6.forget(key, &address, heard.peer_id, seen);
                }
            }
        }
    }

    /// Each peer, what is known of it, and whether it is a seed.
    pub(super) fn peers(&self) -> impl Iterator<Item = (SocketAddr, &State, bool)> {
        let v4 = self.v4.iter();
        let v4 = v4.map(|(address, state, is_seed, _)| (socket_address(address), state, is_seed));
        let v6 = self.v6.iter().flat_map(|v6| v6.iter());
        let v6 = v6.map(|(address, state, is_seed, _)| (socket_address(address), state, is_seed));
        v4.chain(v6)
    }

    /// Puts a sample for the asker at `at` into the answer: its own family first, and the other for
    /// what is left of what it wants.
    pub(super) fn sample(
        &self,
        request: &AnnounceRequest,
        v6_asks: bool,
        at: Option<usize>,
        families: Families,
        answer: &mut Answer,
        rng: &mut Rng,
    ) {
        let wanted = request.numwant.map_or(limits::NUMWANT_DEFAULT, |wanted| {
            usize::try_from(wanted).map_or(limits::NUMWANT_MAX, |n| n.min(limits::NUMWANT_MAX))
        });
        let seed = request.left == 0;
        let with_ids = !request.compact;
        let both = families == Families::Both;
        let (v4, v6) = (&self.v4, self.v6.as_deref());
        let (ids_v4, ids_v6) = (&mut answer.ids_v4, &mut answer.ids_v6);
        let mut of_v4 = |wanted, at, rng: &mut Rng| {
            let ids = with_ids.then_some(&mut *ids_v4);
            v4.sample(wanted, seed, at, rng, &mut answer.peers_v4, ids)
        };
        let mut of_v6 = |wanted, at, rng: &mut Rng| {
            let ids = with_ids.then_some(&mut *ids_v6);
            v6.map_or(0, |v6| {
                v6.sample(wanted, seed, at, rng, &mut answer.peers_v6, ids)
            })
        };
        if v6_asks {
            let given = of_v6(wanted, at, rng);
            if both {
                of_v4(wanted - given, None, rng);
            }
        } else {
            let given = of_v4(wanted, at, rng);
            if both {
                of_v6(wanted - given, None, rng);
            }
        }
    }

    /// Looks at `budget` peers from `from` downwards, and forgets those silent since `oldest`.
    /// Returns where to go on; 0 when all were looked at.
    pub(super) fn expire(&mut self, key: Key, oldest: u32, from: usize, budget: usize) -> usize {
        // IPv6 lies behind IPv4.
        let mut left = budget;
        let border = self.v4.len();
        let mut from = from.min(self.len());
        if let Some(v6) = &mut self.v6
            && from > border
        {
            let end = v6.expire(key, oldest, from - border, left);
            left = left.saturating_sub(from - border - end);
            from = border + end;
            if v6.len() == 0 {
                self.v6 = None;
            }
        }
        if from > border || left == 0 {
            return from;
        }
        self.v4.expire(key, oldest, from, left)
    }

    /// Appends all of it, as `kept` has it.
    pub(super) fn write(&self, now: u32, out: &mut Vec<u8>) {
        let v6 = self.v6.as_deref();
        push_head(
            out,
            &self.info_hash,
            self.v4.len(),
            v6.map_or(0, Swarm::len),
        );
        for (address, state, seed, _) in self.v4.iter() {
            let peer = (state.peer_id, seed, state.completed());
            push_peer(out, address, peer, now.saturating_sub(state.seen()));
        }
        for (address, state, seed, _) in v6.iter().flat_map(|v6| v6.iter()) {
            let peer = (state.peer_id, seed, state.completed());
            push_peer(out, address, peer, now.saturating_sub(state.seen()));
        }
    }

    /// Takes back a peer; whether there was room.
    pub(super) fn restore(&mut self, key: Key, peer: &KeptPeer, room: Room, rng: &mut Rng) -> bool {
        let told = Told {
            state: State::new(peer.peer_id, limits::SECONDS_BEFORE, peer.counted),
            detail: PeerDetail {
                left: u64::from(!peer.seed),
                uploaded: 0,
                downloaded: 0,
            },
            event: None,
        };
        let (ip, port) = (peer.address.ip().to_canonical(), peer.address.port());
        self.update(key, ip, port, told, room, rng).is_some()
    }

    /// At most `max` peers, as the table is without order.
    pub(super) fn census(&self, now: u32, max: usize) -> Vec<CensusPeer> {
        let total = self.len();
        let v6 = self.v6.iter().flat_map(|v6| fair(v6, now, max, total));
        let peers = fair(&self.v4, now, max, total).chain(v6);
        peers.take(max).collect()
    }

    pub(super) fn snapshot(&self, now: u32) -> TorrentSnapshot {
        let v4 = self.v4.iter();
        let v4 = v4.map(|(address, state, _, detail)| (socket_address(address), state, detail));
        let v6 = self.v6.iter().flat_map(|v6| v6.iter());
        let v6 = v6.map(|(address, state, _, detail)| (socket_address(address), state, detail));
        let shown = v4.chain(v6).take(limits::SNAPSHOT_PEERS_MAX);
        let peers = shown.filter_map(|(address, state, detail)| {
            let detail = detail?;
            Some(PeerSnapshot {
                address,
                peer_id: state.peer_id,
                left: known_left(detail.left),
                uploaded: detail.uploaded,
                downloaded: detail.downloaded,
                last_seen: Duration::from_secs(now.saturating_sub(state.seen()).into()),
            })
        });
        let mut peers: Vec<_> = peers.collect();
        peers.sort_unstable_by_key(|peer| peer.address);
        let (seeders, leechers) = self.counts();
        TorrentSnapshot {
            info_hash: self.info_hash,
            seeders,
            leechers,
            completed: self.completed,
            peers,
        }
    }
}

/// The first peers of each kind, each kind by its share of `max`; both lie in random order, so that
/// they are a fair part.
fn fair<const N: usize>(
    swarm: &Swarm<N>,
    now: u32,
    max: usize,
    total: usize,
) -> impl Iterator<Item = CensusPeer> {
    let share = |part: usize| {
        if total <= max {
            part
        } else {
            (part * max).div_ceil(total)
        }
    };
    let (seeds, others) = (swarm.seeds(), swarm.len() - swarm.seeds());
    let front = swarm.iter().take(share(seeds));
    let peers = front.chain(swarm.iter().skip(seeds).take(share(others)));
    peers.map(move |(address, state, is_seed, detail)| CensusPeer {
        address: socket_address(address),
        peer_id: state.peer_id,
        is_seed,
        left: match detail {
            Some(detail) => known_left(detail.left),
            None => is_seed.then_some(0),
        },
        last_seen: Duration::from_secs(now.saturating_sub(state.seen()).into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torrent_of_a_few_peers_is_two_cache_lines() {
        assert!(size_of::<Torrent>() <= 128, "{}", size_of::<Torrent>());
    }
}
