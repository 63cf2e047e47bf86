//! The peers of one swarm and address family, laid out so that a reply is a few copies. BEP 23, 7.
//!
//! Seeds and leeches are apart, each a contiguous run of compact addresses in *random order*: a new
//! peer is put at a random place. So any window of a run is a fair sample, and a reply copies one
//! window of each without looking at the rest of the swarm.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use fastrand::Rng;
use shoal_metainfo::PeerId;

use super::PeerSnapshot;
use crate::announce::{AnnounceEvent, AnnounceRequest};

/// What is known of a peer besides its address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Detail {
    peer_id: PeerId,
    left: u64,
    uploaded: u64,
    downloaded: u64,
    last_seen: Instant,
    /// Its `completed` has been counted.
    completed: bool,
}

impl Detail {
    pub(super) fn new(request: &AnnounceRequest, now: Instant) -> Self {
        Self {
            peer_id: request.peer_id,
            left: request.left,
            uploaded: request.uploaded,
            downloaded: request.downloaded,
            last_seen: now,
            completed: false,
        }
    }

    pub(super) fn snapshot(&self, address: SocketAddr, now: Instant) -> PeerSnapshot {
        PeerSnapshot {
            address,
            peer_id: self.peer_id,
            left: self.left,
            uploaded: self.uploaded,
            downloaded: self.downloaded,
            last_seen: now.saturating_duration_since(self.last_seen),
        }
    }
}

/// Peers of one kind, in random order.
#[derive(Debug)]
pub(super) struct Pool<const N: usize> {
    addresses: Vec<[u8; N]>,
    details: Vec<Detail>,
}

impl<const N: usize> Pool<N> {
    pub(super) fn len(&self) -> usize {
        self.addresses.len()
    }

    /// Appends `count` peers from a random place on, round the end, without the one at `skip`.
    /// The caller has made sure that there are so many.
    fn window(
        &self,
        count: usize,
        skip: Option<usize>,
        rng: &mut Rng,
        bytes: &mut Vec<u8>,
        mut ids: Option<&mut Vec<PeerId>>,
    ) {
        if count == 0 {
            return;
        }
        let start = rng.usize(..self.len());
        let ring = |from: usize| (from + self.len() - start) % self.len();
        // The one to skip lengthens the window by one if it lies inside.
        let skip = skip.filter(|&at| ring(at) < count + 1);
        let end = start + count + usize::from(skip.is_some_and(|at| ring(at) <= count));
        let spans = [
            start..end.min(self.len()),
            0..end.saturating_sub(self.len()),
        ];
        for span in spans {
            let hole = skip.filter(|at| span.contains(at));
            let parts = match hole {
                Some(at) => [span.start..at, at + 1..span.end],
                None => [span.clone(), 0..0],
            };
            for part in parts {
                bytes.extend_from_slice(self.addresses[part.clone()].as_flattened());
                if let Some(ids) = ids.as_deref_mut() {
                    ids.extend(self.details[part].iter().map(|detail| detail.peer_id));
                }
            }
        }
    }
}

/// How many peers there may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Of the family.
    pub(super) total: usize,
    /// Of them on one host, if that is bounded.
    pub(super) host: Option<usize>,
}

/// Where a peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    seed: bool,
    at: usize,
}

/// All peers of one swarm and address family, by address.
#[derive(Debug)]
pub(super) struct Family<const N: usize> {
    index: BTreeMap<[u8; N], Place>,
    pub(super) seeds: Pool<N>,
    leeches: Pool<N>,
}

impl<const N: usize> Default for Family<N> {
    fn default() -> Self {
        let pool = || Pool {
            addresses: Vec::new(),
            details: Vec::new(),
        };
        Self {
            index: BTreeMap::new(),
            seeds: pool(),
            leeches: pool(),
        }
    }
}

impl<const N: usize> Family<N> {
    pub(super) fn len(&self) -> usize {
        self.seeds.len() + self.leeches.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8; N], &Detail)> {
        let pools = [&self.seeds, &self.leeches];
        pools
            .into_iter()
            .flat_map(|pool| pool.addresses.iter().zip(&pool.details))
    }

    /// Takes one announce and says what it changed. A new peer beyond `room` takes the place of a
    /// random other, of its host if that has too many; `None` when there is no other.
    pub(super) fn update(
        &mut self,
        address: [u8; N],
        mut detail: Detail,
        event: Option<AnnounceEvent>,
        room: Room,
        rng: &mut Rng,
    ) -> Option<Option<AnnounceEvent>> {
        let known = self.index.get(&address).copied();
        if event == Some(AnnounceEvent::Stopped) {
            let is_its_own =
                |place: &Place| self.pool(place.seed).details[place.at].peer_id == detail.peer_id;
            let stopped = known.filter(is_its_own).map(|place| self.remove(place));
            return Some(stopped.and(event));
        }
        let before = known.map(|place| self.pool(place.seed).details[place.at]);
        detail.completed = before.is_some_and(|before| before.completed);
        let mut change = before.is_none().then_some(AnnounceEvent::Started);
        if event == Some(AnnounceEvent::Completed) && detail.left == 0 && !detail.completed {
            detail.completed = true;
            change = event;
        }
        let seed = detail.left == 0;
        match known {
            Some(place) if place.seed == seed => self.pool_mut(seed).details[place.at] = detail,
            Some(place) => {
                self.remove(place);
                self.insert(address, detail, seed, rng);
            }
            None => {
                if let Some(place) = self.surplus(&address, room.host, rng) {
                    self.remove(place);
                } else if self.len() >= room.total {
                    self.evict(rng)?;
                }
                self.insert(address, detail, seed, rng);
            }
        }
        Some(change)
    }

    /// Forgets who has been silent for longer; returns how many.
    pub(super) fn expire(&mut self, now: Instant, silence: Duration) -> usize {
        let before = self.len();
        for seed in [true, false] {
            let mut at = 0;
            while let Some(detail) = self.pool(seed).details.get(at) {
                if now.saturating_duration_since(detail.last_seen) > silence {
                    self.remove(Place { seed, at });
                } else {
                    at += 1;
                }
            }
        }
        before - self.len()
    }

    /// Appends a fair sample of at most `wanted` peers and returns their number. A seed is given
    /// leeches alone; a leech is given of each kind as the swarm has of it.
    pub(super) fn sample(
        &self,
        wanted: usize,
        for_seed: bool,
        asker: Option<&[u8; N]>,
        rng: &mut Rng,
        bytes: &mut Vec<u8>,
        mut ids: Option<&mut Vec<PeerId>>,
    ) -> usize {
        let asker = asker.and_then(|asker| self.index.get(asker)).copied();
        let skip = |seed| {
            asker
                .filter(|place| place.seed == seed)
                .map(|place| place.at)
        };
        let others = |seed| self.pool(seed).len() - usize::from(skip(seed).is_some());
        let seeds = if for_seed { 0 } else { others(true) };
        let leeches = others(false);
        let count = wanted.min(seeds + leeches);
        let of_seeds = share(count, seeds, leeches, rng);
        bytes.reserve_exact(count * N);
        self.seeds
            .window(of_seeds, skip(true), rng, bytes, ids.as_deref_mut());
        self.leeches
            .window(count - of_seeds, skip(false), rng, bytes, ids);
        count
    }

    fn pool(&self, seed: bool) -> &Pool<N> {
        if seed { &self.seeds } else { &self.leeches }
    }

    fn pool_mut(&mut self, seed: bool) -> &mut Pool<N> {
        if seed {
            &mut self.seeds
        } else {
            &mut self.leeches
        }
    }

    /// Puts a peer at a random place; who was there goes to the end.
    fn insert(&mut self, address: [u8; N], detail: Detail, seed: bool, rng: &mut Rng) {
        let pool = self.pool_mut(seed);
        let last = pool.len();
        pool.addresses.push(address);
        pool.details.push(detail);
        let at = rng.usize(..=last);
        pool.addresses.swap(at, last);
        pool.details.swap(at, last);
        let moved = pool.addresses[last];
        self.index.insert(moved, Place { seed, at: last });
        self.index.insert(address, Place { seed, at });
    }

    /// Takes a peer out; the last one takes its place.
    fn remove(&mut self, place: Place) {
        let pool = self.pool_mut(place.seed);
        pool.details.swap_remove(place.at);
        let gone = pool.addresses.swap_remove(place.at);
        let moved = pool.addresses.get(place.at).copied();
        self.index.remove(&gone);
        if let Some(moved) = moved {
            self.index.insert(moved, place);
        }
    }

    /// A random peer of the host that `address` is on, when there are `max` of them.
    fn surplus(&self, address: &[u8; N], max: Option<usize>, rng: &mut Rng) -> Option<Place> {
        let max = max?.max(1);
        // The index is in the order of addresses: a host's peers lie side by side.
        let neighbours = || self.index.range(host(address)).map(|(_, place)| *place);
        let count = neighbours().count();
        (count >= max).then(|| neighbours().nth(rng.usize(..count)))?
    }

    /// Takes a random peer out; `None` if there is none.
    fn evict(&mut self, rng: &mut Rng) -> Option<()> {
        let count = self.len();
        let at = (count > 0).then(|| rng.usize(..count))?;
        let seed = at < self.seeds.len();
        let at = if seed { at } else { at - self.seeds.len() };
        self.remove(Place { seed, at });
        Some(())
    }
}

/// All addresses of the host that this one is of: the ports of an IPv4 address, or a /64.
fn host<const N: usize>(address: &[u8; N]) -> RangeInclusive<[u8; N]> {
    let length = if N == 6 { 4 } else { 8 };
    let (mut first, mut last) = (*address, *address);
    first[length..].fill(0);
    last[length..].fill(0xff);
    first..=last
}

/// How many of `count` are seeds: their share, rounded up or down by chance.
fn share(count: usize, seeds: usize, leeches: usize, rng: &mut Rng) -> usize {
    let total = seeds + leeches;
    if total == 0 {
        return 0;
    }
    let (whole, rest) = (count * seeds / total, count * seeds % total);
    whole + usize::from(rng.usize(..total) < rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    fn detail(left: u64, now: Instant) -> Detail {
        Detail {
            peer_id: PeerId([7; 20]),
            left,
            uploaded: 0,
            downloaded: 0,
            last_seen: now,
            completed: false,
        }
    }

    fn check(family: &Family<6>) {
        assert_eq!(family.index.len(), family.len());
        for seed in [true, false] {
            let pool = family.pool(seed);
            assert_eq!(pool.addresses.len(), pool.details.len());
            for (at, address) in pool.addresses.iter().enumerate() {
                assert_eq!(family.index[address], Place { seed, at });
            }
        }
    }

    proptest! {
        /// Whatever is announced, the index is right and a sample has distinct others.
        #[test]
        fn every_sample_is_distinct_and_without_the_asker(
            steps in proptest::collection::vec((0..40u8, 0..4u8, 0..50usize), 0..200),
            seed: u64,
        ) {
            let (mut family, mut rng) = (Family::<6>::default(), Rng::with_seed(seed));
            let now = Instant::now();
            for (name, kind, wanted) in steps {
                let address = [10, 0, 0, name, 0, 1];
                let left = u64::from(kind % 2);
                let event = (kind > 2).then_some(AnnounceEvent::Stopped);
                let at = now + Duration::from_secs(name.into());
                let room = Room { total: 30, host: None };
                family.update(address, detail(left, at), event, room, &mut rng).unwrap();
                check(&family);
                prop_assert!(family.len() <= 30);
                let mut bytes = Vec::new();
                let mut ids = Vec::new();
                let asker = event.is_none().then_some(&address);
                let given =
                    family.sample(wanted, left == 0, asker, &mut rng, &mut bytes, Some(&mut ids));
                let mut peers: Vec<_> = bytes.as_chunks::<6>().0.to_vec();
                prop_assert_eq!((peers.len(), ids.len()), (given, given));
                prop_assert!(asker.is_none_or(|asker| !peers.contains(asker)));
                prop_assert!(peers.iter().all(|p| left > 0 || !family.index[p].seed));
                let others = family.len() - usize::from(asker.is_some());
                let usable = if left > 0 { others } else { family.leeches.len() };
                prop_assert_eq!(given, wanted.min(usable));
                peers.sort_unstable();
                peers.dedup();
                prop_assert_eq!(peers.len(), given);
            }
            let silence = Duration::from_secs(10);
            family.expire(now + Duration::from_secs(30), silence);
            check(&family);
            prop_assert!(family.iter().all(|(a, _)| a[3] >= 20));
        }
    }

    #[test]
    fn sample_is_fair() {
        let (mut family, mut rng) = (Family::<6>::default(), Rng::with_seed(3));
        let now = Instant::now();
        let room = Room {
            total: 1_000,
            host: None,
        };
        for name in 0..100u8 {
            let left = u64::from(name >= 20);
            let address = [10, 0, 0, name, 0, 1];
            family
                .update(address, detail(left, now), None, room, &mut rng)
                .unwrap();
        }
        let mut given = [0u32; 100];
        for _ in 0..10_000 {
            let mut bytes = Vec::new();
            family.sample(10, false, None, &mut rng, &mut bytes, None);
            for peer in bytes.as_chunks::<6>().0 {
                given[usize::from(peer[3])] += 1;
            }
        }
        // 1,000 expected of each; far outside of chance is unfair.
        assert!(given.iter().all(|n| (850..1150).contains(n)), "{given:?}");
    }
}
