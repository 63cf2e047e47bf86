//! The peers of one torrent and address family. BEP 3 "trackers", BEP 23, BEP 7.
//!
//! Seeds lie in front, the others behind them, each part in *random order*: a new peer is put at a
//! random place. So any window of a part is a fair sample, and a reply copies one window of each
//! without looking at the rest.
//!
//! A swarm of a few dozen is searched from end to end, which is a few cache lines; a larger one has
//! an index. That is keyed, since strangers choose the addresses, and by *host*: all peers of one
//! are found together, and counted.

mod merge;

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use fastrand::Rng;
use hashbrown::HashTable;
use shoal_metainfo::PeerId;
use siphasher::sip::SipHasher13;

use super::snapshot::PeerDetail;
use super::store::{State, Store, slack};
use crate::announce::{AnnounceEvent, AnnounceRequest};
use crate::host::is_local;

/// Peers from which on there is an index. Ours: below it a search is four cache lines of addresses.
const INDEX_FROM: usize = 48;

/// The secret of all indexes of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key(pub(super) u64, pub(super) u64);

impl Key {
    pub(super) fn hash(self, bytes: &[u8]) -> u64 {
        SipHasher13::new_with_keys(self.0, self.1).hash(bytes)
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

/// One announce, as far as a swarm needs it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    pub(super) state: State,
    pub(super) detail: PeerDetail,
    pub(super) event: Option<AnnounceEvent>,
}

impl Told {
    pub(super) fn new(request: &AnnounceRequest, now: u32) -> Self {
        Self {
            state: State::new(request.peer_id, now, false),
            detail: PeerDetail {
                left: request.left,
                uploaded: request.uploaded,
                downloaded: request.downloaded,
            },
            event: request.event,
        }
    }

    fn is_seed(&self) -> bool {
        self.detail.left == 0
    }
}

/// What an announce did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) change: Option<AnnounceEvent>,
    /// Where the announcing peer lies, if it is there.
    pub(super) at: Option<usize>,
    /// Who had announced here and had to make room.
    pub(super) evicted: Option<(SocketAddr, PeerId)>,
}

/// What only some swarms have.
#[derive(Debug, Default)]
struct Extra {
    /// Places by host.
    index: Option<HashTable<u32>>,
    /// Of a watched torrent, in the order of the peers.
    details: Option<Vec<PeerDetail>>,
}

/// All peers of one torrent and address family.
#[derive(Debug)]
pub(super) struct Swarm<const N: usize> {
    store: Store<N>,
    seeds: u32,
    extra: Option<Box<Extra>>,
}

impl<const N: usize> Swarm<N> {
    /// An empty one; `watched` keeps what people look at and replies do not need.
    pub(super) fn new(watched: bool) -> Self {
        let extra = Extra {
            index: None,
            details: Some(Vec::new()),
        };
        Self {
            store: Store::default(),
            seeds: 0,
            extra: watched.then(|| Box::new(extra)),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.store.len()
    }

    pub(super) fn seeds(&self) -> usize {
        self.seeds as usize
    }

    pub(super) fn iter(
        &self,
    ) -> impl Iterator<Item = (&[u8; N], &State, bool, Option<PeerDetail>)> {
        let details = self.extra.as_ref().and_then(|extra| extra.details.as_ref());
        let peers = self.store.addresses().iter().zip(self.store.states());
        peers.enumerate().map(move |(at, (address, state))| {
            let detail = details.and_then(|details| details.get(at)).copied();
            (address, state, at < self.seeds(), detail)
        })
    }

    /// Takes one announce and says what it changed. A new peer beyond `room` takes the place of a
    /// random other, of its host if that has too many; `None` when there is no other.
    pub(super) fn update(
        &mut self,
        key: Key,
        address: [u8; N],
        told: Told,
        room: Room,
        rng: &mut Rng,
    ) -> Option<Done> {
        let known = self.find(key, &address);
        if told.event == Some(AnnounceEvent::Stopped) {
            let its_own = |at: &usize| self.store.states()[*at].peer_id == told.state.peer_id;
            let at = known.filter(its_own);
            at.inspect(|&at| self.remove(key, at));
            let change = at.and(told.event);
            return Some(Done {
                change,
                at: None,
                evicted: None,
            });
        }
        // A client that was started again where another one, or itself, died.
        let is_anew = told.event == Some(AnnounceEvent::Started)
            && known.is_some_and(|at| self.store.states()[at].peer_id != told.state.peer_id);
        let counted = told.state.completed()
            || !is_anew && known.is_some_and(|at| self.store.states()[at].completed());
        let completes = told.event == Some(AnnounceEvent::Completed) && told.is_seed() && !counted;
        let change = if completes {
            told.event
        } else {
            (known.is_none() || is_anew).then_some(AnnounceEvent::Started)
        };
        let state = State::new(told.state.peer_id, told.state.seen(), counted || completes);
        let renamed = |at: &usize| self.store.states()[*at].peer_id != state.peer_id;
        let mut evicted = known.filter(renamed).and_then(|at| self.own(at));
        let at = match known {
            Some(at) if (at < self.seeds()) == told.is_seed() => {
                *self.store.state_mut(at) = state;
                if let Some(details) = self.details_mut() {
                    details[at] = told.detail;
                }
                at
            }
            Some(at) => {
                self.remove(key, at);
                self.insert(key, address, state, told.detail, rng)
            }
            None => {
                if let Some(at) = self.surplus(key, &address, room.host, rng) {
                    evicted = self.own(at);
                    self.remove(key, at);
                } else if self.len() >= room.total {
                    let at = (self.len() > 0).then(|| rng.usize(..self.len()))?;
                    evicted = self.own(at);
                    self.remove(key, at);
                }
                self.insert(key, address, state, told.detail, rng)
            }
        };
        let at = Some(at);
        Some(Done {
            change,
            at,
            evicted,
        })
    }

    /// The peer at a place, if it announced here.
    fn own(&self, at: usize) -> Option<(SocketAddr, PeerId)> {
        let state = self.store.states()[at];
        let address = || socket_address(&self.store.addresses()[at]);
        (!state.is_foreign()).then(|| (address(), state.peer_id))
    }

    /// Looks at `budget` peers from `from` downwards and takes out whom nothing was heard of since
    /// `oldest`. Returns where to go on; 0 when all were looked at.
    ///
    /// Downwards, because who is moved into a gap comes from behind it and was looked at.
    pub(super) fn expire(&mut self, key: Key, oldest: u32, from: usize, budget: usize) -> usize {
        let from = from.min(self.len());
        let end = from.saturating_sub(budget);
        for at in (end..from).rev() {
            if self.store.states()[at].seen() < oldest {
                self.remove(key, at);
            }
        }
        end
    }

    /// Appends a sample of at most `wanted` peers and returns their number; `skip` is the place of
    /// the asker. A seed is given others than seeds alone; who is none is given seeds first, up to
    /// half of the sample, and beyond that of each kind as the swarm has of it.
    pub(super) fn sample(
        &self,
        wanted: usize,
        for_seed: bool,
        skip: Option<usize>,
        rng: &mut Rng,
        bytes: &mut Vec<u8>,
        mut ids: Option<&mut Vec<PeerId>>,
    ) -> usize {
        let border = self.seeds();
        let others = |part: &Range<usize>| {
            part.len() - usize::from(skip.is_some_and(|at| part.contains(&at)))
        };
        let (front, back) = (0..border, border..self.len());
        let seeds = if for_seed { 0 } else { others(&front) };
        let leeches = others(&back);
        let count = wanted.min(seeds + leeches);
        let of_seeds = share(count, seeds, leeches, rng).max(seeds.min(count / 2));
        self.window(front, of_seeds, skip, rng, bytes, ids.as_deref_mut());
        self.window(back, count - of_seeds, skip, rng, bytes, ids);
        count
    }

    /// Appends `count` peers of a part from a random place on, round its end, without the one at
    /// `skip`. The caller has made sure that there are so many.
    fn window(
        &self,
        part: Range<usize>,
        count: usize,
        skip: Option<usize>,
        rng: &mut Rng,
        bytes: &mut Vec<u8>,
        mut ids: Option<&mut Vec<PeerId>>,
    ) {
        if count == 0 {
            return;
        }
        let length = part.len();
        let start = rng.usize(..length);
        // The one to skip lengthens the window by one if it lies inside.
        let ring = |at: usize| (at - part.start + length - start) % length;
        let skip = skip.filter(|at| part.contains(at) && ring(*at) <= count);
        let end = start + count + usize::from(skip.is_some());
        let spans = [start..end.min(length), 0..end.saturating_sub(length)];
        for span in spans {
            let span = part.start + span.start..part.start + span.end;
            let pieces = match skip.filter(|at| span.contains(at)) {
                Some(at) => [span.start..at, at + 1..span.end],
                None => [span, 0..0],
            };
            for piece in pieces {
                bytes.extend_from_slice(self.store.addresses()[piece.clone()].as_flattened());
                if let Some(ids) = ids.as_deref_mut() {
                    ids.extend(self.store.states()[piece].iter().map(|state| state.peer_id));
                }
            }
        }
    }

    fn find(&self, key: Key, address: &[u8; N]) -> Option<usize> {
        let addresses = self.store.addresses();
        let Some(index) = self.index() else {
            return addresses.iter().position(|known| known == address);
        };
        let place = index.find(host_hash(key, address), |&at| {
            addresses[at as usize] == *address
        });
        place.map(|&at| at as usize)
    }

    /// A random peer of the host that `address` is on, when there are `max` of them.
    fn surplus(
        &self,
        key: Key,
        address: &[u8; N],
        max: Option<usize>,
        rng: &mut Rng,
    ) -> Option<usize> {
        let max = max?.max(1);
        if self.len() < max {
            return None;
        }
        let addresses = self.store.addresses();
        let host = host(address);
        let mut there: Vec<usize> = match self.index() {
            Some(index) => index
                .iter_hash(host_hash(key, address))
                .map(|&at| at as usize)
                .collect(),
            None => (0..self.len()).collect(),
        };
        there.retain(|&at| addresses[at].starts_with(host));
        (there.len() >= max).then(|| there[rng.usize(..there.len())])
    }

    /// Puts a peer at a random place of its part; who was there goes to the part's end.
    fn insert(
        &mut self,
        key: Key,
        address: [u8; N],
        state: State,
        detail: PeerDetail,
        rng: &mut Rng,
    ) -> usize {
        let last = self.len();
        self.store.push(address, state);
        if let Some(details) = self.details_mut() {
            details.push(detail);
        }
        self.index_last(key, &address);
        let (part_start, mut at) = (self.seeds(), last);
        if detail.left == 0 {
            self.swap(key, last, part_start);
            at = part_start;
            self.seeds += 1;
        }
        let start = if detail.left == 0 { 0 } else { part_start };
        let place = rng.usize(start..=at);
        self.swap(key, at, place);
        place
    }

    /// Takes a peer out; the last of its part takes its place.
    fn remove(&mut self, key: Key, at: usize) {
        let mut gap = at;
        if at < self.seeds() {
            self.seeds -= 1;
            gap = self.seeds();
            self.swap(key, at, gap);
        }
        let last = self.len() - 1;
        self.swap(key, gap, last);
        let hash = host_hash(key, &self.store.addresses()[last]);
        if let Some(index) = self.index_mut()
            && let Ok(entry) = index.find_entry(hash, |&place| place as usize == last)
        {
            entry.remove();
        }
        self.store.pop();
        if let Some(details) = self.details_mut() {
            details.pop();
        }
        if self.len() < INDEX_FROM / 2 {
            self.forget_index();
        }
    }

    fn swap(&mut self, key: Key, a: usize, b: usize) {
        if a == b {
            return;
        }
        let addresses = self.store.addresses();
        let hashes = [a, b].map(|at| host_hash(key, &addresses[at]));
        if let Some(index) = self.index_mut() {
            // Both may have one hash, so that the second must not be taken for the first.
            let [a, b] = [a, b].map(place);
            set(index, hashes[0], a, u32::MAX);
            set(index, hashes[1], b, a);
            set(index, hashes[0], u32::MAX, b);
        }
        self.store.swap(a, b);
        if let Some(details) = self.details_mut() {
            details.swap(a, b);
        }
    }

    fn index(&self) -> Option<&HashTable<u32>> {
        self.extra.as_ref()?.index.as_ref()
    }

    fn index_mut(&mut self) -> Option<&mut HashTable<u32>> {
        self.extra.as_mut()?.index.as_mut()
    }

    fn details_mut(&mut self) -> Option<&mut Vec<PeerDetail>> {
        self.extra.as_mut()?.details.as_mut()
    }

    /// Tells the index of the last peer; makes it when it is time.
    fn index_last(&mut self, key: Key, address: &[u8; N]) {
        let (count, addresses) = (self.len(), self.store.addresses());
        let hash_at = |at: &u32| host_hash(key, &addresses[*at as usize]);
        match &mut self.extra {
            Some(extra) if extra.index.is_some() => {
                let index = extra.index.as_mut().expect("it was there a moment ago");
                if index.len() == index.capacity() {
                    index.reserve(slack(count), hash_at);
                }
                index.insert_unique(host_hash(key, address), place(count - 1), hash_at);
            }
            _ if count >= INDEX_FROM => {
                let mut index = HashTable::with_capacity(count + slack(count));
                for at in 0..place(count) {
                    index.insert_unique(hash_at(&at), at, hash_at);
                }
                self.extra.get_or_insert_default().index = Some(index);
            }
            _ => {}
        }
    }

    fn forget_index(&mut self) {
        if let Some(extra) = &mut self.extra {
            extra.index = None;
            if extra.details.is_none() {
                self.extra = None;
            }
        }
    }
}

fn place(at: usize) -> u32 {
    u32::try_from(at).expect("the bound of a torrent's peers is far below 2^32")
}

fn set(index: &mut HashTable<u32>, hash: u64, from: u32, to: u32) {
    let place = index.find_mut(hash, |&place| place == from);
    *place.expect("each peer is in the index") = to;
}

/// What of an address its host is: all of an IPv4 address, a /64.
fn host<const N: usize>(address: &[u8; N]) -> &[u8] {
    &address[..if N == 6 { 4 } else { 8 }]
}

/// One hash for all peers of a host whose number is bounded; for others each has its own.
fn host_hash<const N: usize>(key: Key, address: &[u8; N]) -> u64 {
    if is_local(socket_address(address).ip()) {
        key.hash(address)
    } else {
        key.hash(host(address))
    }
}

/// How many of `count` are seeds: their share, rounded up or down by chance.
fn share(count: usize, seeds: usize, leeches: usize, rng: &mut Rng) -> usize {
    let total = seeds + leeches;
    if seeds == 0 || leeches == 0 {
        return if leeches == 0 { count } else { 0 };
    }
    if count == total {
        return seeds;
    }
    let (whole, rest) = (count * seeds / total, count * seeds % total);
    whole + usize::from(rng.usize(..total) < rest)
}

/// An address as BEP 23 and BEP 7 write it: `IP | port`, big-endian, `N` bytes in all.
pub(super) fn compact<const N: usize>(ip: &[u8], port: u16) -> [u8; N] {
    let mut bytes = [0; N];
    bytes[..N - 2].copy_from_slice(ip);
    bytes[N - 2..].copy_from_slice(&port.to_be_bytes());
    bytes
}

/// The other way round of [`compact`].
pub(super) fn socket_address<const N: usize>(compact: &[u8; N]) -> SocketAddr {
    let (ip, port) = compact.split_at(N - 2);
    let port = u16::from_be_bytes([port[0], port[1]]);
    let ip = <[u8; 4]>::try_from(ip).map_or_else(
        |_| IpAddr::from(std::array::from_fn::<u8, 16, _>(|i| ip[i])),
        IpAddr::from,
    );
    SocketAddr::new(ip, port)
}

#[cfg(test)]
mod tests;
