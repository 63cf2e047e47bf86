//! Peers that were announced to us. BEP 5, 32, 33, 51.
//!
//! One place a host and torrent, whatever its port (BEP 33); bounded a torrent and in all. Whoever
//! announced is believed: its token was checked before.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use fastrand::Rng;
use shoal_metainfo::InfoHash;

use crate::address::{Family, Host};
use crate::bloom::Bloom;
use crate::limits::{
    PEER_TIME, PEERS_MAX, PEERS_OF_TORRENT_MAX, SAMPLE_EVERY, SAMPLES_MAX, TORRENTS_MAX,
};

/// All torrents.
pub(crate) struct Peers {
    torrents: BTreeMap<InfoHash, Torrent>,
    count: usize,
    sample: Vec<InfoHash>,
    sampled: Option<Instant>,
}

#[derive(Default)]
struct Torrent {
    peers: BTreeMap<Host, Peer>,
    announced: Option<Instant>,
}

struct Peer {
    address: SocketAddr,
    seed: bool,
    announced: Instant,
}

impl Peers {
    pub(crate) fn new() -> Self {
        Self {
            torrents: BTreeMap::new(),
            count: 0,
            sample: Vec::new(),
            sampled: None,
        }
    }

    /// Torrents and peers that are stored.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.torrents.len(), self.count)
    }

    /// Whether another peer of this torrent finds room.
    pub(crate) fn has_room(&self, info_hash: &InfoHash) -> bool {
        let torrent = self.torrents.get(info_hash);
        torrent.is_none_or(|torrent| torrent.peers.len() < PEERS_OF_TORRENT_MAX)
    }

    /// Stores a peer; another of the same host gives way.
    pub(crate) fn announce(
        &mut self,
        now: Instant,
        info_hash: InfoHash,
        address: SocketAddr,
        seed: bool,
    ) {
        let host = Host::of(address);
        let torrent = self.torrents.get(&info_hash);
        let known = torrent.is_some_and(|torrent| torrent.peers.contains_key(&host));
        if !known && !self.make_room(&info_hash) {
            return;
        }
        let torrent = self.torrents.entry(info_hash).or_default();
        let announced = now;
        let peer = Peer {
            address,
            seed,
            announced,
        };
        self.count += usize::from(torrent.peers.insert(host, peer).is_none());
        torrent.announced = Some(now);
    }

    /// Some peers of a family, at most so many, another choice each time.
    pub(crate) fn of(
        &self,
        info_hash: &InfoHash,
        family: Family,
        no_seed: bool,
        most: usize,
        rng: &mut Rng,
    ) -> Vec<SocketAddr> {
        let Some(torrent) = self.torrents.get(info_hash) else {
            return Vec::new();
        };
        let wanted = |peer: &&Peer| Family::of(peer.address) == family && !(no_seed && peer.seed);
        let peers = torrent
            .peers
            .values()
            .filter(wanted)
            .map(|peer| peer.address);
        rng.choose_multiple(peers, most)
    }

    /// The filters of seeds and of the others. BEP 33.
    pub(crate) fn scrape(&self, info_hash: &InfoHash) -> Option<(Bloom, Bloom)> {
        let torrent = self.torrents.get(info_hash)?;
        let (mut seeds, mut peers) = (Bloom::new(), Bloom::new());
        for peer in torrent.peers.values() {
            let filter = if peer.seed { &mut seeds } else { &mut peers };
            filter.insert(peer.address.ip());
        }
        Some((seeds, peers))
    }

    /// Some torrents; the same for a while. BEP 51.
    pub(crate) fn sample(&mut self, now: Instant, rng: &mut Rng) -> &[InfoHash] {
        if self.sampled.is_none_or(|at| now >= at + SAMPLE_EVERY) {
            self.sample = rng.choose_multiple(self.torrents.keys().copied(), SAMPLES_MAX);
            self.sampled = Some(now);
        }
        &self.sample
    }

    /// Forgets who has not announced for long.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.torrents.retain(|_, torrent| {
            torrent
                .peers
                .retain(|_, peer| now < peer.announced + PEER_TIME);
            !torrent.peers.is_empty()
        });
        self.count = self
            .torrents
            .values()
            .map(|torrent| torrent.peers.len())
            .sum();
    }

    fn make_room(&mut self, info_hash: &InfoHash) -> bool {
        if !self.has_room(info_hash) {
            return false;
        }
        let is_new = !self.torrents.contains_key(info_hash);
        while self.count >= PEERS_MAX || is_new && self.torrents.len() >= TORRENTS_MAX {
            // The torrent that nobody announced for the longest time.
            let others = self
                .torrents
                .iter()
                .filter(|(other, _)| *other != info_hash);
            let oldest = others.min_by_key(|(_, torrent)| torrent.announced);
            let Some(oldest) = oldest.map(|(hash, _)| *hash) else {
                return false;
            };
            let gone = self.torrents.remove(&oldest);
            self.count -= gone.map_or(0, |torrent| torrent.peers.len());
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    const TORRENT: InfoHash = InfoHash([1; 20]);

    fn peer(number: u32) -> SocketAddr {
        SocketAddr::new(Ipv4Addr::from_bits(0x0800_0000 + number).into(), 6881)
    }

    fn hash(number: u32) -> InfoHash {
        let mut bytes = [0; 20];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        InfoHash(bytes)
    }

    #[test]
    fn host_has_one_place_and_its_last_port_counts() {
        let (now, mut rng) = (Instant::now(), Rng::with_seed(1));
        let mut peers = Peers::new();
        for port in [1, 2, 3] {
            peers.announce(now, TORRENT, SocketAddr::new(peer(1).ip(), port), false);
        }
        assert_eq!(peers.size(), (1, 1));
        let found = peers.of(&TORRENT, Family::V4, false, 10, &mut rng);
        assert_eq!(found, [SocketAddr::new(peer(1).ip(), 3)]);
        for port in [1, 2] {
            let local = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
            peers.announce(now, TORRENT, local, false);
        }
        assert_eq!(peers.size(), (1, 3));
    }

    #[test]
    fn answers_are_of_one_family_and_without_seeds_when_asked_so() {
        let (now, mut rng) = (Instant::now(), Rng::with_seed(1));
        let mut peers = Peers::new();
        let v6: SocketAddr = "[2001:db8::1]:6881".parse().unwrap();
        peers.announce(now, TORRENT, peer(1), true);
        peers.announce(now, TORRENT, peer(2), false);
        peers.announce(now, TORRENT, v6, false);
        let mut of = |family, no_seed| peers.of(&TORRENT, family, no_seed, 10, &mut rng);
        assert_eq!(of(Family::V4, false).len(), 2);
        assert_eq!(of(Family::V4, true), [peer(2)]);
        assert_eq!(of(Family::V6, false), [v6]);
        let (seeds, others) = peers.scrape(&TORRENT).unwrap();
        assert_eq!(seeds.estimate().round(), 1.0);
        assert_eq!(others.estimate().round(), 2.0);
        assert!(peers.scrape(&hash(9)).is_none());
    }

    #[test]
    fn bounds_hold_and_the_oldest_torrent_gives_way() {
        let (now, most) = (Instant::now(), u32::try_from(TORRENTS_MAX).unwrap());
        let mut peers = Peers::new();
        for number in 0..most + 5 {
            let at = now + Duration::from_millis(number.into());
            peers.announce(at, hash(number), peer(1), false);
        }
        assert_eq!(peers.size(), (TORRENTS_MAX, TORRENTS_MAX));
        assert!(!peers.torrents.contains_key(&hash(4)));
        assert!(peers.torrents.contains_key(&hash(5)));
        for number in 0..1000 {
            peers.announce(now, hash(most), peer(number), false);
        }
        assert!(!peers.has_room(&hash(most)));
        assert_eq!(
            peers.torrents[&hash(most)].peers.len(),
            PEERS_OF_TORRENT_MAX
        );
    }

    #[test]
    fn silent_peers_are_forgotten() {
        let now = Instant::now();
        let mut peers = Peers::new();
        peers.announce(now, TORRENT, peer(1), false);
        peers.announce(now + Duration::from_secs(60), TORRENT, peer(2), false);
        peers.expire(now + PEER_TIME);
        assert_eq!(peers.size(), (1, 1));
        peers.expire(now + PEER_TIME * 2);
        assert_eq!(peers.size(), (0, 0));
    }

    #[test]
    fn sample_stays_for_its_interval() {
        let (now, mut rng) = (Instant::now(), Rng::with_seed(1));
        let mut peers = Peers::new();
        for number in 0..1000 {
            peers.announce(now, hash(number), peer(number), false);
        }
        let first = peers.sample(now, &mut rng).to_vec();
        assert_eq!(first.len(), SAMPLES_MAX);
        assert_eq!(peers.sample(now + SAMPLE_EVERY / 2, &mut rng), first);
        assert_ne!(peers.sample(now + SAMPLE_EVERY, &mut rng), first);
    }
}
