//! The server's table of swarms. BEP 3 "trackers", BEP 7, 23, 48.
//!
//! Who is in which swarm, until when, and a random sample of them. Sans-io: the clock and the seed
//! are arguments; whether an announce came by HTTP or UDP is not known here.
//!
//! Built for size: torrents are spread over [`limits::SHARDS`] parts by a keyed hash of their info
//! hashes, each behind a lock of its own, so that threads seldom meet; peers lie as a reply has
//! them, and a reply copies them. What only people want to see of a peer is kept for *watched*
//! torrents alone: the first ones, which are all of a small tracker.
//!
//! Every bound holds whatever is announced: of a full torrent a random peer makes room, of too many
//! at one address one of those, a full table refuses new torrents, silent peers go after two
//! intervals.
//!
//! A peer is its address and port, as in opentracker: the same id at another port is another peer,
//! until it stops or falls silent. Ids are told to strangers (BEP 3's dictionaries), so an id alone
//! must not take anybody's entry away; for the same reason `stopped` removes an address only under
//! the id that was announced there.

mod completed;
mod kept;
mod listed;
mod outbox;
mod overview;
mod shard;
mod sharing;
mod snapshot;
mod store;
mod swarm;
mod torrent;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use fastrand::Rng;
use shoal_metainfo::{InfoHash, PeerId};

use crate::announce::{AnnounceEvent, AnnounceRequest, ScrapeEntry};
use crate::host::is_local;
use crate::limits;
use crate::policy::Lists;
pub use kept::{KeptPeer, read_swarms};
pub use outbox::{Heard, Kind, Outgoing};
pub use overview::{Census, CensusPeer, Overview};
use shard::Shard;
pub use snapshot::{PeerSnapshot, RegistrySnapshot, TorrentSnapshot};
use swarm::{Key, Room, Told, socket_address};
use torrent::Torrent;

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
    /// Torrents that are watched: the first ones.
    pub watched_max: usize,
    /// Torrents whose completed counts are kept when they leave the table; with 0 none is, and
    /// [`Registry::take_completed`] tells of nothing.
    pub completed_max: usize,
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
            watched_max: limits::WATCHED_TORRENTS_MAX,
            completed_max: 0,
        }
    }
}

/// Which peers an answer may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Families {
    /// The asker's own first, the other for what is left: BEP 7.
    Both,
    /// Those of the asker's own alone: BEP 15 has room for no other.
    Own,
}

/// What an announce is answered with. Source: BEP 3.
///
/// To be used again: its memory is kept from one announce to the next.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// Peers that have everything.
    pub seeders: usize,
    /// Peers that do not.
    pub leechers: usize,
    /// A random sample of the others, as BEP 23 writes them.
    pub peers_v4: Vec<u8>,
    /// As BEP 7 writes them.
    pub peers_v6: Vec<u8>,
    /// What the announce changed.
    pub change: Option<AnnounceEvent>,
    /// Whether people look at this torrent, and want to be told of the change.
    pub watched: bool,
    /// Nobody was here before, and other trackers may know of somebody.
    pub is_first: bool,
    /// The ids of the sample when the asker wants dictionaries; else empty.
    ids_v4: Vec<PeerId>,
    ids_v6: Vec<PeerId>,
}

/// What an announce changed, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// A peer is new, has become whole or is gone.
    pub event: AnnounceEvent,
    /// Its torrent.
    pub info_hash: InfoHash,
    /// Where it takes connections.
    pub address: SocketAddr,
    /// Its name.
    pub peer_id: PeerId,
}

/// Why an announce is refused: a `failure reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Not one of the torrents served.
    #[error("unregistered torrent {0}: this tracker does not serve it; ask who runs it to list it")]
    Unregistered(InfoHash),
    /// One of the torrents that are not served.
    #[error("torrent {0} is denied here: use another of its trackers, or ask who runs this one")]
    Denied(InfoHash),
    /// As many torrents or peers as the table holds.
    #[error("this tracker is full; try again later")]
    Full,
}

/// The table. Shared by all who answer: each call locks one part of it at a time.
#[derive(Debug)]
pub struct Registry {
    config: RegistryConfig,
    shards: Box<[Mutex<Shard>]>,
    key: Key,
    /// What its seconds count from.
    begun: Instant,
    torrents: AtomicUsize,
    peers: AtomicUsize,
    /// Looked at for torrents that are not in the table: what is denied is not in it, and of a
    /// closed tracker all that is allowed is.
    lists: RwLock<Arc<Lists>>,
    /// Seconds of the longest interval that peers were told of late: after two they are silent.
    interval: AtomicU32,
}

impl Registry {
    /// An empty table; the torrents that are allowed are in it from the start. The seed is also the
    /// secret of its indexes: a server takes a random one.
    #[must_use]
    pub fn new(config: RegistryConfig, seed: u64, now: Instant) -> Self {
        let mut rng = Rng::with_seed(seed);
        let key = Key(rng.u64(..), rng.u64(..));
        let completed_max = config.completed_max.div_ceil(limits::SHARDS);
        let shard = |_| Mutex::new(Shard::new(key, rng.fork(), completed_max));
        let lists = Arc::new(Lists::new(config.allowed.clone(), BTreeSet::new()));
        let interval = u32::try_from(config.interval.as_secs()).unwrap_or(u32::MAX);
        let registry = Self {
            shards: (0..limits::SHARDS).map(shard).collect(),
            key,
            begun: now,
            torrents: AtomicUsize::new(0),
            peers: AtomicUsize::new(0),
            lists: RwLock::default(),
            interval: AtomicU32::new(interval),
            config,
        };
        registry.set_lists(lists);
        registry
    }

    /// Takes one announce that came from `ip`, and answers it.
    ///
    /// A seed is given no seeds; who is none is given seeds first, up to half of the sample. The
    /// asker is never in its own sample. Its own address family comes first, and the other fills
    /// what is left of `numwant` (50 unless said, 200 at most).
    ///
    /// # Errors
    /// [`Refusal`], to be sent as a `failure reason`.
    pub fn announce(
        &self,
        now: Instant,
        request: &AnnounceRequest,
        ip: IpAddr,
    ) -> Result<Answer, Refusal> {
        let mut answer = Answer::default();
        self.answer(now, request, ip, Families::Both, &mut answer)?;
        Ok(answer)
    }

    /// The same into an answer that was used before.
    ///
    /// # Errors
    /// [`Refusal`]; the answer is of no use then.
    pub fn answer(
        &self,
        now: Instant,
        request: &AnnounceRequest,
        ip: IpAddr,
        families: Families,
        answer: &mut Answer,
    ) -> Result<(), Refusal> {
        answer.clear();
        let stopped = request.event == Some(AnnounceEvent::Stopped);
        let now = self.seconds(now);
        let hash = self.key.hash(&request.info_hash.0);
        let mut shard = self.shard(hash);
        let is_shared = shard.outbox.is_some();
        let place = match shard.find(hash, &request.info_hash) {
            Some(place) => place,
            None if stopped && !self.lists().is_closed() => {
                shard.note(request, ip, None, now);
                return Ok(());
            }
            None => shard.insert(hash, self.new_torrent(request.info_hash, now)?),
        };
        let (torrent, rng) = shard.at(place);
        self.sweep_if_small(torrent, now);
        let before = torrent.len();
        answer.is_first = is_shared && before == 0;
        let ip = ip.to_canonical();
        let told = Told::new(request, now);
        let done = torrent.update(self.key, ip, request.port, told, self.room(ip), rng);
        let done = done.ok_or(Refusal::Full)?;
        self.count(before, torrent.len());
        if done.change == Some(AnnounceEvent::Completed) {
            torrent.completed = torrent.completed.saturating_add(1);
        }
        answer.change = done.change;
        answer.watched = torrent.watched;
        (answer.seeders, answer.leechers) = torrent.counts();
        if !stopped {
            torrent.sample(request, ip.is_ipv6(), done.at, families, answer, rng);
        }
        if done.change == Some(AnnounceEvent::Completed) {
            shard.note_completed(hash, place);
        }
        shard.note(request, ip, Some(done), now);
        Ok(())
    }

    /// The numbers of those torrents that are known; the others are left out.
    #[must_use]
    pub fn scrape(&self, info_hashes: &[InfoHash]) -> Vec<ScrapeEntry> {
        let known = info_hashes.iter().filter_map(|hash| self.scrape_one(hash));
        known.collect()
    }

    /// The numbers of one torrent, if it is known.
    #[must_use]
    pub fn scrape_one(&self, info_hash: &InfoHash) -> Option<ScrapeEntry> {
        let hash = self.key.hash(&info_hash.0);
        let shard = self.shard(hash);
        let place = shard.find(hash, info_hash)?;
        Some(shard.torrents()[place].scrape())
    }

    /// Forgets silent peers and deserted torrents, of each shard so many that its lock is held for
    /// a moment only: to be called every second.
    pub fn expire(&self, now: Instant) {
        let now = self.seconds(now);
        let oldest = self.oldest(now);
        let keep_deserted = self.lists().is_closed();
        for shard in &self.shards {
            let mut shard = lock(shard);
            let (peers, torrents) = shard.expire(now, oldest, keep_deserted);
            self.peers.fetch_sub(peers, Ordering::Relaxed);
            self.torrents.fetch_sub(torrents, Ordering::Relaxed);
        }
    }

    /// A copy of the watched part of the table.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> RegistrySnapshot {
        let now = self.seconds(now);
        let mut torrents = Vec::new();
        for shard in &self.shards {
            let shard = lock(shard);
            let watched = shard.torrents().iter().filter(|torrent| torrent.watched);
            let room = limits::SNAPSHOT_TORRENTS_MAX - torrents.len();
            torrents.extend(watched.take(room).map(|torrent| torrent.snapshot(now)));
        }
        torrents.sort_unstable_by_key(|torrent| torrent.info_hash);
        let (torrents_total, peers_total) = self.size();
        RegistrySnapshot {
            torrents,
            torrents_total,
            peers_total,
        }
    }

    /// Torrents and peers in the table.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let (torrents, peers) = (&self.torrents, &self.peers);
        (
            torrents.load(Ordering::Relaxed),
            peers.load(Ordering::Relaxed),
        )
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        // Not the bits by which the shard's own index looks first.
        let at = (hash >> 32) % limits::SHARDS as u64;
        lock(&self.shards[usize::try_from(at).expect("there are few")])
    }

    fn seconds(&self, now: Instant) -> u32 {
        let since = now.saturating_duration_since(self.begun).as_secs();
        let since = u32::try_from(since).unwrap_or(u32::MAX);
        since.saturating_add(limits::SECONDS_BEFORE)
    }

    /// Who announced before then is silent.
    fn oldest(&self, now: u32) -> u32 {
        now.saturating_sub(u32::try_from(self.silence().as_secs()).unwrap_or(u32::MAX))
    }

    /// Counts a torrent and makes it, if there is room.
    fn new_torrent(&self, info_hash: InfoHash, now: u32) -> Result<Torrent, Refusal> {
        let lists = self.lists();
        lists.admit(&info_hash)?;
        if lists.is_closed() {
            // New in the list, which is being put into the table.
            let before = self.torrents.fetch_add(1, Ordering::Relaxed);
            let watched = before < self.config.watched_max;
            return Ok(Torrent::new(info_hash, watched, now));
        }
        if self.peers.load(Ordering::Relaxed) >= self.config.peers_total_max {
            return Err(Refusal::Full);
        }
        let before = self.torrents.fetch_add(1, Ordering::Relaxed);
        if before >= self.config.torrents_max {
            self.torrents.fetch_sub(1, Ordering::Relaxed);
            return Err(Refusal::Full);
        }
        let watched = before < self.config.watched_max;
        Ok(Torrent::new(info_hash, watched, now))
    }

    /// Counts that a torrent had so many peers and has so many now.
    fn count(&self, before: usize, after: usize) {
        match after.cmp(&before) {
            std::cmp::Ordering::Less => self.peers.fetch_sub(before - after, Ordering::Relaxed),
            std::cmp::Ordering::Equal => 0,
            std::cmp::Ordering::Greater => self.peers.fetch_add(after - before, Ordering::Relaxed),
        };
    }

    fn room(&self, ip: IpAddr) -> Room {
        // A full table takes a new peer only in the place of another of the same torrent.
        let full = self.peers.load(Ordering::Relaxed) >= self.config.peers_total_max;
        Room {
            total: if full {
                0
            } else {
                self.config.peers_per_torrent_max
            },
            host: (!is_local(ip)).then_some(self.config.peers_per_host_max),
        }
    }

    /// So that the numbers of a small torrent are right without waiting for [`Registry::expire`].
    fn sweep_if_small(&self, torrent: &mut Torrent, now: u32) {
        let count = torrent.len();
        let since = now.saturating_sub(torrent.swept);
        if u64::from(since) < limits::SWEEP_EVERY.as_secs() || count > limits::SWEEP_AT_ONCE {
            return;
        }
        torrent.swept = now;
        torrent.expire(self.key, self.oldest(now), count, count);
        let gone = count - torrent.len();
        self.peers.fetch_sub(gone, Ordering::Relaxed);
    }
}

/// A part of the table is whole between any two calls, so a panic elsewhere does not spoil it.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Answer {
    fn clear(&mut self) {
        (self.seeders, self.leechers) = (0, 0);
        self.peers_v4.clear();
        self.peers_v6.clear();
        self.ids_v4.clear();
        self.ids_v6.clear();
        (self.change, self.watched, self.is_first) = (None, false, false);
    }

    /// When the asker is to come again, if it is usually after that long.
    #[must_use]
    pub fn interval(&self, usual: Duration) -> Duration {
        if self.is_first {
            usual.min(limits::STORE_FIRST_INTERVAL)
        } else {
            usual
        }
    }

    /// The change, if there is one and people look at the torrent.
    #[must_use]
    pub fn told(&self, request: &AnnounceRequest, ip: IpAddr) -> Option<Change> {
        let event = self.change.filter(|_| self.watched)?;
        Some(Change {
            event,
            info_hash: request.info_hash,
            address: SocketAddr::new(ip, request.port),
            peer_id: request.peer_id,
        })
    }

    /// The sample as addresses, with ids if they were wanted: IPv4 first.
    #[must_use]
    pub fn peers(&self) -> Vec<(SocketAddr, Option<PeerId>)> {
        let (v4, _) = self.peers_v4.as_chunks::<6>();
        let (v6, _) = self.peers_v6.as_chunks::<18>();
        let v4 = v4.iter().map(socket_address);
        let mut ids = self.ids_v4.iter().chain(&self.ids_v6).copied();
        v4.chain(v6.iter().map(socket_address))
            .map(|peer| (peer, ids.next()))
            .collect()
    }
}

#[cfg(test)]
mod tests;
