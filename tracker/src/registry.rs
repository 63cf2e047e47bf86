//! The server's table of swarms. BEP 3 "trackers", BEP 7, 23, 48.
//!
//! Who is in which swarm, until when, and a random sample of them. Sans-io: the clock and the seed
//! are arguments; whether an announce came by HTTP or UDP is not known here.
//!
//! Every bound holds whatever is announced: of a full torrent a random peer makes room, of too many
//! at one address one of those, a full table refuses new torrents, silent peers go after two
//! intervals.
//!
//! A peer is its address and port, as in opentracker: the same id at another port is another peer,
//! until it stops or falls silent. Ids are told to strangers (BEP 3's dictionaries), so an id alone
//! must not take anybody's entry away; for the same reason `stopped` removes an address only under
//! the id that was announced there.

mod pool;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use fastrand::Rng;
use shoal_metainfo::{InfoHash, PeerId};

use crate::announce::{AnnounceEvent, AnnounceRequest, ScrapeEntry};
use crate::host::is_local;
use crate::limits;
use pool::{Detail, Family, Room};

/// What the table is to do.
#[derive(Debug, Clone)]
pub struct RegistryConfig {
    /// The torrents served; `None` serves any.
    pub allowed: Option<BTreeSet<InfoHash>>,
    /// What peers are told to keep; two of them in silence and they are gone.
    pub interval: Duration,
    /// Torrents at the same time, when any is served.
    pub torrents_max: usize,
    /// Peers of one torrent and address family.
    pub peers_per_torrent_max: usize,
    /// Peers of one torrent at one address of the internet, or in one /64 of IPv6. Private and
    /// loopback addresses have no such bound: who is there is known to who runs the tracker, and
    /// whole test swarms, or all the world behind a proxy, share one.
    pub peers_per_host_max: usize,
    /// Peers of all torrents.
    pub peers_total_max: usize,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self {
            allowed: None,
            interval: limits::SERVER_INTERVAL_DEFAULT,
            torrents_max: limits::TORRENTS_MAX,
            peers_per_torrent_max: limits::PEERS_PER_TORRENT_MAX,
            peers_per_host_max: limits::PEERS_PER_HOST_MAX,
            peers_total_max: limits::PEERS_TOTAL_MAX,
        }
    }
}

/// What an announce is answered with. Source: BEP 3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Peers that have everything.
    pub seeders: usize,
    /// Peers that do not.
    pub leechers: usize,
    /// A random sample of the others, as BEP 23 writes them.
    pub peers_v4: Vec<u8>,
    /// As BEP 7 writes them.
    pub peers_v6: Vec<u8>,
    /// The ids of the sample, IPv4 first, when the asker wants dictionaries; else empty.
    pub peer_ids: Vec<PeerId>,
    /// What the announce changed.
    pub change: Option<AnnounceEvent>,
}

/// Why an announce is refused: a `failure reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Not one of the torrents served.
    #[error("unregistered torrent {0}: this tracker does not serve it")]
    Unregistered(InfoHash),
    /// As many torrents or peers as the table holds.
    #[error("this tracker is full; try again later")]
    Full,
}

/// A copy of the table, for people.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RegistrySnapshot {
    /// All torrents, by info hash.
    pub torrents: Vec<TorrentSnapshot>,
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
    /// Its peers by address, at most [`limits::SNAPSHOT_PEERS_MAX`].
    pub peers: Vec<PeerSnapshot>,
}

/// One peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerSnapshot {
    /// Where it takes connections.
    pub address: SocketAddr,
    /// Its name for this run.
    pub peer_id: PeerId,
    /// What it misses, bytes.
    pub left: u64,
    /// What it says it sent, bytes.
    pub uploaded: u64,
    /// What it says it received, bytes.
    pub downloaded: u64,
    /// Its last announce was so long ago.
    pub last_seen: Duration,
}

#[derive(Debug)]
struct Torrent {
    info_hash: InfoHash,
    v4: Family<6>,
    v6: Family<18>,
    completed: u32,
    swept: Instant,
}

/// The table.
#[derive(Debug)]
pub struct Registry {
    config: RegistryConfig,
    /// An ordered map: strangers choose the names, and no choice of theirs makes it slow.
    index: BTreeMap<InfoHash, usize>,
    torrents: Vec<Torrent>,
    peers_total: usize,
    /// The torrent that is swept next.
    cursor: usize,
    rng: Rng,
}

impl Registry {
    /// An empty table; the torrents that are allowed are in it from the start.
    #[must_use]
    pub fn new(config: RegistryConfig, seed: u64, now: Instant) -> Self {
        let mut registry = Self {
            index: BTreeMap::new(),
            torrents: Vec::new(),
            peers_total: 0,
            cursor: 0,
            rng: Rng::with_seed(seed),
            config,
        };
        let allowed = registry.config.allowed.clone();
        for info_hash in allowed.into_iter().flatten() {
            registry.insert(info_hash, now);
        }
        registry
    }

    /// Takes one announce that came from `ip`, and answers it.
    ///
    /// A seed is given no seeds. The asker is never in its own sample. Its own address family comes
    /// first, and the other fills what is left of `numwant` (50 unless said, 200 at most).
    ///
    /// # Errors
    /// [`Refusal`], to be sent as a `failure reason`.
    pub fn announce(
        &mut self,
        now: Instant,
        request: &AnnounceRequest,
        ip: IpAddr,
    ) -> Result<Answer, Refusal> {
        let stopped = request.event == Some(AnnounceEvent::Stopped);
        let Some(place) = self.find_or_insert(request.info_hash, stopped, now)? else {
            return Ok(Answer::empty());
        };
        if now.saturating_duration_since(self.torrents[place].swept) >= limits::SWEEP_EVERY {
            self.sweep(place, now);
        }
        let torrent = &mut self.torrents[place];
        let before = torrent.len();
        let ip = ip.to_canonical();
        let full = self.peers_total >= self.config.peers_total_max;
        // A full table takes a new peer only in the place of another of the same torrent.
        let room = Room {
            total: if full {
                0
            } else {
                self.config.peers_per_torrent_max
            },
            host: (!is_local(ip)).then_some(self.config.peers_per_host_max),
        };
        let detail = Detail::new(request, now);
        let change = match ip {
            IpAddr::V4(ip) => {
                let address = key(&ip.octets(), request.port);
                torrent
                    .v4
                    .update(address, detail, request.event, room, &mut self.rng)
            }
            IpAddr::V6(ip) => {
                let address = key(&ip.octets(), request.port);
                torrent
                    .v6
                    .update(address, detail, request.event, room, &mut self.rng)
            }
        };
        let change = change.ok_or(Refusal::Full)?;
        if change == Some(AnnounceEvent::Completed) {
            torrent.completed = torrent.completed.saturating_add(1);
        }
        self.peers_total = self.peers_total + torrent.len() - before;
        let mut answer = Answer::empty();
        answer.change = change;
        (answer.seeders, answer.leechers) = torrent.counts();
        if !stopped {
            sample(torrent, request, ip, &mut answer, &mut self.rng);
        }
        Ok(answer)
    }

    /// The numbers of those torrents that are known; the others are left out.
    #[must_use]
    pub fn scrape(&self, info_hashes: &[InfoHash]) -> Vec<ScrapeEntry> {
        let known = info_hashes.iter().filter_map(|hash| self.index.get(hash));
        known
            .map(|&place| {
                let torrent = &self.torrents[place];
                let (seeders, leechers) = torrent.counts();
                ScrapeEntry {
                    info_hash: torrent.info_hash,
                    seeders: u32::try_from(seeders).unwrap_or(u32::MAX),
                    completed: torrent.completed,
                    leechers: u32::try_from(leechers).unwrap_or(u32::MAX),
                }
            })
            .collect()
    }

    /// Forgets silent peers and deserted torrents; looks at [`limits::SWEEP_TORRENTS`] each call.
    pub fn expire(&mut self, now: Instant) {
        for _ in 0..self.torrents.len().min(limits::SWEEP_TORRENTS) {
            self.cursor = if self.cursor < self.torrents.len() {
                self.cursor
            } else {
                0
            };
            self.sweep(self.cursor, now);
            let torrent = &self.torrents[self.cursor];
            if torrent.len() == 0 && self.config.allowed.is_none() {
                self.remove(self.cursor);
            } else {
                self.cursor += 1;
            }
        }
    }

    /// A copy of the table.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> RegistrySnapshot {
        let mut torrents: Vec<_> = self.torrents.iter().map(|t| t.snapshot(now)).collect();
        torrents.sort_unstable_by_key(|torrent| torrent.info_hash);
        RegistrySnapshot { torrents }
    }

    /// Torrents and peers in the table.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.torrents.len(), self.peers_total)
    }

    /// The torrent's place; `None` when there is none and nothing to put in.
    fn find_or_insert(
        &mut self,
        info_hash: InfoHash,
        stopped: bool,
        now: Instant,
    ) -> Result<Option<usize>, Refusal> {
        if let Some(&place) = self.index.get(&info_hash) {
            return Ok(Some(place));
        }
        if self.config.allowed.is_some() {
            return Err(Refusal::Unregistered(info_hash));
        }
        if stopped {
            return Ok(None);
        }
        let full = self.torrents.len() >= self.config.torrents_max
            || self.peers_total >= self.config.peers_total_max;
        if full {
            return Err(Refusal::Full);
        }
        Ok(Some(self.insert(info_hash, now)))
    }

    fn insert(&mut self, info_hash: InfoHash, now: Instant) -> usize {
        let place = self.torrents.len();
        self.index.insert(info_hash, place);
        self.torrents.push(Torrent {
            info_hash,
            v4: Family::default(),
            v6: Family::default(),
            completed: 0,
            swept: now,
        });
        place
    }

    fn remove(&mut self, place: usize) {
        let torrent = self.torrents.swap_remove(place);
        self.index.remove(&torrent.info_hash);
        if let Some(moved) = self.torrents.get(place) {
            self.index.insert(moved.info_hash, place);
        }
    }

    fn sweep(&mut self, place: usize, now: Instant) {
        let silence = self.config.interval * 2 + limits::EXPIRY_SLACK;
        let torrent = &mut self.torrents[place];
        torrent.swept = now;
        let gone = torrent.v4.expire(now, silence) + torrent.v6.expire(now, silence);
        self.peers_total -= gone;
    }
}

impl Answer {
    fn empty() -> Self {
        Self {
            seeders: 0,
            leechers: 0,
            peers_v4: Vec::new(),
            peers_v6: Vec::new(),
            peer_ids: Vec::new(),
            change: None,
        }
    }

    /// The sample as addresses, with ids if they were wanted: IPv4 first.
    #[must_use]
    pub fn peers(&self) -> Vec<(SocketAddr, Option<PeerId>)> {
        let (v4, _) = self.peers_v4.as_chunks::<6>();
        let (v6, _) = self.peers_v6.as_chunks::<18>();
        let v4 = v4.iter().map(address);
        let mut ids = self.peer_ids.iter().copied();
        v4.chain(v6.iter().map(address))
            .map(|peer| (peer, ids.next()))
            .collect()
    }
}

impl Torrent {
    fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Seeders and leechers.
    fn counts(&self) -> (usize, usize) {
        let seeders = self.v4.seeds.len() + self.v6.seeds.len();
        (seeders, self.len() - seeders)
    }

    fn snapshot(&self, now: Instant) -> TorrentSnapshot {
        let v4 = self.v4.iter().map(|(key, detail)| (address(key), detail));
        let v6 = self.v6.iter().map(|(key, detail)| (address(key), detail));
        let peers = v4.chain(v6).take(limits::SNAPSHOT_PEERS_MAX);
        let mut peers: Vec<_> = peers
            .map(|(address, detail)| detail.snapshot(address, now))
            .collect();
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

fn sample(
    torrent: &Torrent,
    request: &AnnounceRequest,
    ip: IpAddr,
    answer: &mut Answer,
    rng: &mut Rng,
) {
    let wanted = request.numwant.map_or(limits::NUMWANT_DEFAULT, |wanted| {
        usize::try_from(wanted).map_or(limits::NUMWANT_MAX, |n| n.min(limits::NUMWANT_MAX))
    });
    let seed = request.left == 0;
    let with_ids = !request.compact;
    let (mut ids_v4, mut ids_v6) = (Vec::new(), Vec::new());
    let (v4, v6) = (&torrent.v4, &torrent.v6);
    let (bytes_v4, bytes_v6) = (&mut answer.peers_v4, &mut answer.peers_v6);
    let (ids_4, ids_6) = (
        with_ids.then_some(&mut ids_v4),
        with_ids.then_some(&mut ids_v6),
    );
    match ip {
        IpAddr::V4(ip) => {
            let asker = key(&ip.octets(), request.port);
            let given = v4.sample(wanted, seed, Some(&asker), rng, bytes_v4, ids_4);
            v6.sample(wanted - given, seed, None, rng, bytes_v6, ids_6);
        }
        IpAddr::V6(ip) => {
            let asker = key(&ip.octets(), request.port);
            let given = v6.sample(wanted, seed, Some(&asker), rng, bytes_v6, ids_6);
            v4.sample(wanted - given, seed, None, rng, bytes_v4, ids_4);
        }
    }
    ids_v4.append(&mut ids_v6);
    answer.peer_ids = ids_v4;
}

/// An address as BEP 23 and BEP 7 write it: `IP | port`, big-endian, `N` bytes in all.
fn key<const N: usize>(ip: &[u8], port: u16) -> [u8; N] {
    let mut key = [0; N];
    key[..N - 2].copy_from_slice(ip);
    key[N - 2..].copy_from_slice(&port.to_be_bytes());
    key
}

/// The other way round of [`key`].
fn address<const N: usize>(key: &[u8; N]) -> SocketAddr {
    let (ip, port) = key.split_at(N - 2);
    let port = u16::from_be_bytes([port[0], port[1]]);
    let ip = <[u8; 4]>::try_from(ip).map_or_else(
        |_| IpAddr::from(std::array::from_fn::<u8, 16, _>(|i| ip[i])),
        IpAddr::from,
    );
    SocketAddr::new(ip, port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use AnnounceEvent::{Completed, Started, Stopped};

    const HASH: InfoHash = InfoHash([9; 20]);
    const INTERVAL: Duration = Duration::from_secs(60);

    fn request(port: u16, left: u64, event: Option<AnnounceEvent>) -> AnnounceRequest {
        let mut id = [b'-'; 20];
        id[..2].copy_from_slice(&port.to_be_bytes());
        AnnounceRequest {
            info_hash: HASH,
            peer_id: PeerId(id),
            port,
            uploaded: 1,
            downloaded: 2,
            left,
            event,
            numwant: None,
            key: 0,
            tracker_id: None,
            compact: true,
        }
    }

    struct World {
        registry: Registry,
        now: Instant,
    }

    impl World {
        fn new(config: RegistryConfig) -> Self {
            let now = Instant::now();
            let registry = Registry::new(config, 1, now);
            Self { registry, now }
        }

        fn open() -> Self {
            Self::new(RegistryConfig {
                interval: INTERVAL,
                ..RegistryConfig::default()
            })
        }

        fn announce_from(
            &mut self,
            ip: &str,
            request: &AnnounceRequest,
        ) -> Result<Answer, Refusal> {
            let ip = ip.parse().unwrap();
            self.registry.announce(self.now, request, ip)
        }

        fn announce(&mut self, port: u16, left: u64, event: Option<AnnounceEvent>) -> Answer {
            let request = request(port, left, event);
            self.announce_from("10.0.0.1", &request).unwrap()
        }
    }

    fn ports(answer: &Answer) -> Vec<u16> {
        let mut ports: Vec<_> = answer.peers().iter().map(|(peer, _)| peer.port()).collect();
        ports.sort_unstable();
        ports
    }

    #[test]
    fn peers_are_introduced_to_each_other() {
        let mut world = World::open();
        let first = world.announce(1, 100, Some(Started));
        assert_eq!(ports(&first), [0u16; 0]);
        assert_eq!((first.seeders, first.leechers), (0, 1));
        assert_eq!(first.change, Some(Started));
        let second = world.announce(2, 0, Some(Started));
        assert_eq!(ports(&second), [1]);
        assert_eq!((second.seeders, second.leechers), (1, 1));
        assert_eq!(ports(&world.announce(1, 50, None)), [2]);
        assert_eq!(world.announce(1, 50, None).change, None);
    }

    #[test]
    fn seeds_are_not_given_seeds() {
        let mut world = World::open();
        world.announce(1, 0, None);
        world.announce(2, 0, None);
        assert_eq!(ports(&world.announce(3, 0, None)), [0u16; 0]);
        assert_eq!(ports(&world.announce(4, 1, None)), [1, 2, 3]);
        assert_eq!(ports(&world.announce(3, 0, None)), [4]);
    }

    #[test]
    fn stopped_peer_is_gone_and_is_given_nobody() {
        let mut world = World::open();
        world.announce(1, 1, None);
        world.announce(2, 1, None);
        let answer = world.announce(1, 1, Some(Stopped));
        assert_eq!((ports(&answer), answer.leechers), (vec![], 1));
        assert_eq!(answer.change, Some(Stopped));
        assert_eq!(world.announce(1, 1, Some(Stopped)).change, None);
        assert_eq!(ports(&world.announce(3, 1, None)), [2]);
        assert_eq!(world.registry.size(), (1, 2));
    }

    #[test]
    fn stopped_under_another_id_removes_nobody() {
        let mut world = World::open();
        world.announce(1, 1, None);
        world.announce(2, 0, None);
        for (port, left) in [(1, 1), (2, 0)] {
            let mut stranger = request(port, left, Some(Stopped));
            stranger.peer_id = PeerId([b'x'; 20]);
            let answer = world.announce_from("10.0.0.1", &stranger).unwrap();
            assert_eq!(
                (answer.change, answer.seeders, answer.leechers),
                (None, 1, 1)
            );
            assert_eq!(
                world.announce(port, left, Some(Stopped)).change,
                Some(Stopped)
            );
            world.announce(port, left, None);
        }
        // A client that was started again has a new id, and is the one that is there.
        let mut again = request(1, 1, Some(Started));
        again.peer_id = PeerId([b'y'; 20]);
        world.announce_from("10.0.0.1", &again).unwrap();
        assert_eq!(world.registry.size(), (1, 2));
        assert_eq!(world.announce(1, 1, Some(Stopped)).change, None);
        again.event = Some(Stopped);
        let answer = world.announce_from("10.0.0.1", &again).unwrap();
        assert_eq!(answer.change, Some(Stopped));
    }

    #[test]
    fn same_id_at_another_port_is_another_peer() {
        let mut world = World::open();
        world.announce(1, 1, None);
        let mut moved = request(1, 1, None);
        moved.port = 2;
        let answer = world.announce_from("10.0.0.1", &moved).unwrap();
        assert_eq!((answer.leechers, ports(&answer)), (2, vec![1]));
        // The first falls silent, and is gone.
        for _ in 0..3 {
            world.now += INTERVAL;
            world.announce_from("10.0.0.1", &moved).unwrap();
        }
        let answer = world.announce_from("10.0.0.1", &moved).unwrap();
        assert_eq!((answer.leechers, ports(&answer)), (1, vec![]));
    }

    #[test]
    fn completed_is_counted_once_a_peer() {
        let mut world = World::open();
        world.announce(1, 1, Some(Started));
        assert_eq!(
            world.announce(1, 0, Some(Completed)).change,
            Some(Completed)
        );
        assert_eq!(world.announce(1, 0, Some(Completed)).change, None);
        assert_eq!(
            world.announce(2, 5, Some(Completed)).change,
            Some(Started),
            "left is not 0"
        );
        let entry = world.registry.scrape(&[HASH, InfoHash([0; 20])]);
        let expect = ScrapeEntry {
            info_hash: HASH,
            seeders: 1,
            completed: 1,
            leechers: 1,
        };
        assert_eq!(entry, [expect]);
    }

    #[test]
    fn silent_peer_expires_after_two_intervals() {
        let mut world = World::open();
        world.announce(1, 1, None);
        let silence = INTERVAL * 2 + limits::EXPIRY_SLACK;
        world.now += silence;
        assert_eq!(
            ports(&world.announce(2, 1, None)),
            [1],
            "to the last second"
        );
        world.now += limits::SWEEP_EVERY;
        assert_eq!(ports(&world.announce(3, 1, None)), [2]);
        world.now += silence + Duration::from_secs(1);
        world.registry.expire(world.now);
        assert_eq!(world.registry.size(), (0, 0), "a deserted torrent goes too");
    }

    #[test]
    fn numwant_is_obeyed_within_bounds() {
        let mut world = World::open();
        for port in 1..=300 {
            world.announce(port, 1, None);
        }
        let mut check = |numwant, expect: usize| {
            let request = AnnounceRequest {
                numwant,
                ..request(1, 1, None)
            };
            let answer = world.announce_from("10.0.0.1", &request).unwrap();
            let ports = ports(&answer);
            assert_eq!(ports.len(), expect, "{numwant:?}");
            assert!(!ports.contains(&1));
        };
        check(None, limits::NUMWANT_DEFAULT);
        check(Some(0), 0);
        check(Some(7), 7);
        check(Some(u32::MAX), limits::NUMWANT_MAX);
    }

    #[test]
    fn one_host_never_becomes_the_swarm() {
        let max = limits::PEERS_PER_HOST_MAX;
        let mut world = World::open();
        let crowd = |world: &mut World, ips: &[&str]| {
            let before = world.registry.size().1;
            for port in 1..=u16::try_from(4 * max).unwrap() {
                let ip = ips[usize::from(port) % ips.len()];
                world.announce_from(ip, &request(port, 1, None)).unwrap();
            }
            world.registry.size().1 - before
        };
        assert_eq!(crowd(&mut world, &["203.0.113.9"]), max);
        assert_eq!(crowd(&mut world, &["203.0.113.8"]), max, "another host");
        // One host has a /64, and so every address of it.
        assert_eq!(
            crowd(&mut world, &["2001:db8::1", "2001:db8::dead:beef"]),
            max
        );
        assert_eq!(crowd(&mut world, &["2001:db8:0:1::1"]), max);
        for local in [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.1.1",
            "100.64.0.1",
            "::1",
            "fd00::1",
        ] {
            assert_eq!(crowd(&mut world, &[local]), 4 * max, "{local}");
        }
        // Who comes late to a crowded NAT is taken all the same, and is one of them from then on.
        let late = request(60_000, 0, None);
        let change = |world: &mut World| world.announce_from("203.0.113.9", &late).unwrap().change;
        assert_eq!(change(&mut world), Some(Started));
        assert_eq!(change(&mut world), None);
    }

    #[test]
    fn both_families_are_given_with_the_askers_first() {
        let mut world = World::open();
        for port in 1..=30 {
            world.announce_from("::1", &request(port, 1, None)).unwrap();
            world
                .announce_from("127.0.0.1", &request(port, 1, None))
                .unwrap();
        }
        let answer = world.announce_from("::1", &request(99, 1, None)).unwrap();
        assert_eq!(
            (answer.peers_v6.len(), answer.peers_v4.len()),
            (30 * 18, 20 * 6)
        );
        let mapped = world
            .announce_from("::ffff:127.0.0.1", &request(1, 1, None))
            .unwrap();
        assert_eq!(
            (mapped.peers_v4.len(), mapped.peers_v6.len()),
            (29 * 6, 21 * 18)
        );
        assert_eq!(mapped.change, None, "a mapped address is the IPv4 one");
    }

    #[test]
    fn ids_are_given_to_those_who_want_dictionaries() {
        let mut world = World::open();
        for port in 1..=10 {
            let ip = if port % 2 == 0 { "::1" } else { "127.0.0.1" };
            world
                .announce_from(ip, &request(port, (port % 3).into(), None))
                .unwrap();
        }
        let request_ids = AnnounceRequest {
            compact: false,
            ..request(99, 1, None)
        };
        let answer = world.announce_from("127.0.0.1", &request_ids).unwrap();
        let peers = answer.peers();
        assert_eq!(peers.len(), 10);
        for (peer, id) in peers {
            assert_eq!(id.unwrap().0[..2], peer.port().to_be_bytes());
            assert_eq!(peer.is_ipv6(), peer.port() % 2 == 0);
        }
    }

    #[test]
    fn closed_table_serves_its_own_torrents_alone() {
        let mut world = World::new(RegistryConfig {
            allowed: Some(BTreeSet::from([HASH])),
            ..RegistryConfig::default()
        });
        let foreign = AnnounceRequest {
            info_hash: InfoHash([1; 20]),
            ..request(1, 1, None)
        };
        let refused = world.announce_from("10.0.0.1", &foreign).unwrap_err();
        assert_eq!(refused, Refusal::Unregistered(foreign.info_hash));
        assert!(refused.to_string().contains("0101"));
        world.announce(1, 1, None);
        world.now += Duration::from_secs(86_400);
        world.registry.expire(world.now);
        assert_eq!(world.registry.size(), (1, 0), "a registered torrent stays");
        assert_eq!(world.registry.snapshot(world.now).torrents.len(), 1);
    }

    #[test]
    fn snapshot_shows_every_peer() {
        let mut world = World::open();
        world.announce(2, 5, None);
        world.now += Duration::from_secs(3);
        world.announce(1, 0, None);
        let snapshot = world.registry.snapshot(world.now);
        let [torrent] = &snapshot.torrents[..] else {
            panic!("one torrent");
        };
        assert_eq!((torrent.seeders, torrent.leechers), (1, 1));
        let seen: Vec<_> = torrent
            .peers
            .iter()
            .map(|p| (p.address.port(), p.last_seen))
            .collect();
        assert_eq!(seen, [(1, Duration::ZERO), (2, Duration::from_secs(3))]);
        assert_eq!((torrent.peers[1].left, torrent.peers[1].downloaded), (5, 2));
    }

    #[test]
    fn hostile_announces_stay_within_every_bound() {
        let mut world = World::new(RegistryConfig {
            torrents_max: 50,
            peers_per_torrent_max: 100,
            peers_total_max: 2_000,
            interval: INTERVAL,
            ..RegistryConfig::default()
        });
        let mut rng = Rng::with_seed(5);
        let (mut refused, mut served) = (0, 0);
        for _ in 0..200_000 {
            let mut hash = [0; 20];
            hash[0] = rng.u8(..100);
            let request = AnnounceRequest {
                info_hash: InfoHash(hash),
                left: rng.u64(..2),
                ..request(rng.u16(1..), 0, None)
            };
            let ip = if rng.bool() { "10.0.0.1" } else { "fd00::1" };
            match world.announce_from(ip, &request) {
                Ok(_) => served += 1,
                Err(Refusal::Full) => refused += 1,
                Err(other) => panic!("{other}"),
            }
            let (torrents, peers) = world.registry.size();
            assert!(torrents <= 50 && peers <= 2_000);
        }
        assert!(refused > 0 && served > 0);
        let snapshot = world.registry.snapshot(world.now);
        let peers: usize = snapshot
            .torrents
            .iter()
            .map(|t| t.seeders + t.leechers)
            .sum();
        assert_eq!(world.registry.size(), (50, peers));
        world.now += Duration::from_secs(1_000);
        world.registry.expire(world.now);
        assert_eq!(world.registry.size(), (0, 0), "and all of it goes away");
    }

    #[test]
    fn many_deserted_torrents_are_forgotten_step_by_step() {
        let mut world = World::open();
        let count = u16::try_from(limits::SWEEP_TORRENTS * 3).unwrap();
        for name in 0..count {
            let mut hash = [0; 20];
            hash[..2].copy_from_slice(&name.to_be_bytes());
            let request = AnnounceRequest {
                info_hash: InfoHash(hash),
                ..request(1, 1, None)
            };
            world.announce_from("10.0.0.1", &request).unwrap();
        }
        world.now += Duration::from_secs(1_000);
        let mut calls = 0;
        while world.registry.size().0 > 0 {
            world.registry.expire(world.now);
            calls += 1;
        }
        assert_eq!(calls, 3);
    }
}
