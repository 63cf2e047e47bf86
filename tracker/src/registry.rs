//! The server's table of swarms. BEP 3 "trackers", BEP 7, 23, 48.
//!
//! Who is in which swarm, until when, and a random sample of them. Sans-io: the clock and the seed
//! are arguments; whether an announce came by HTTP or UDP is not known here.
//!
//! Every bound holds whatever is announced: of a full torrent a random peer makes room, a full table
//! refuses new torrents, silent peers go after two intervals.

mod pool;

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use fastrand::Rng;
use shoal_metainfo::{InfoHash, PeerId};

use crate::announce::{AnnounceEvent, AnnounceRequest, ScrapeEntry};
use crate::limits;
use pool::{Detail, Family};

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
    /// Never iterated, so its order decides nothing; its keyed hash keeps chosen names from colliding.
    index: HashMap<InfoHash, usize>,
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
            index: HashMap::new(),
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
        let room = if full {
            0
        } else {
            self.config.peers_per_torrent_max
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
mod tests;
