//! What other trackers are to be told of a part of the table. BEP 3 "trackers".
//!
//! The newest word on each peer, the oldest words first, and never more than
//! [`crate::limits::OUTBOX_MAX`] of them: of more the oldest go, and are counted. Knows nothing of
//! who reads it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use hashbrown::HashTable;
use shoal_metainfo::{InfoHash, PeerId};

use super::shard::Shard;
use super::swarm::{Done, Key};
use crate::announce::{AnnounceEvent, AnnounceRequest};

/// What a peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It misses something.
    Leecher,
    /// It has everything.
    Seeder,
    /// It is there no more.
    Gone,
}

/// A word on one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// Where it takes connections.
    pub address: SocketAddr,
    /// Its name for this run.
    pub peer_id: PeerId,
    /// What it is.
    pub kind: Kind,
    /// How long ago that was heard, seconds.
    pub age: u32,
}

/// What an outbox held.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// What was heard of peers, by torrent, oldest first. A torrent without any was asked about.
    pub peers: BTreeMap<InfoHash, Vec<Heard>>,
    /// Downloads that became whole since the last time.
    pub completed: BTreeMap<InfoHash, u32>,
    /// Words that were dropped since the last time, because nobody took them.
    pub dropped: u64,
}

/// One word; `seen` in seconds since the table began.
#[derive(Debug, Clone, Copy)]
struct Word {
    info_hash: InfoHash,
    address: SocketAddr,
    peer_id: PeerId,
    kind: Kind,
    seen: u32,
}

#[derive(Debug)]
pub(super) struct Outbox {
    key: Key,
    /// Places of words by torrent, address and id.
    index: HashTable<u32>,
    words: Vec<Word>,
    /// Where the oldest is, once all places are taken.
    oldest: usize,
    max: usize,
    completed: BTreeMap<InfoHash, u32>,
    dropped: u64,
}

impl Outbox {
    pub(super) fn new(key: Key, max: usize) -> Self {
        Self {
            key,
            index: HashTable::new(),
            words: Vec::new(),
            oldest: 0,
            max: max.max(1),
            completed: BTreeMap::new(),
            dropped: 0,
        }
    }

    fn tell(&mut self, word: Word) {
        let hash = hash(self.key, &word);
        let words = &mut self.words;
        if let Some(&at) = self
            .index
            .find(hash, |&at| is_same(&words[at as usize], &word))
        {
            words[at as usize] = word;
            return;
        }
        let at = if words.len() < self.max {
            words.push(word);
            words.len() - 1
        } else {
            let at = self.oldest;
            self.oldest = (at + 1) % self.max;
            self.dropped = self.dropped.saturating_add(1);
            let gone = std::mem::replace(&mut words[at], word);
            let entry = self
                .index
                .find_entry(self::hash(self.key, &gone), |&place| place as usize == at);
            entry.expect("each word is in the index").remove();
            at
        };
        let (key, words) = (self.key, &self.words);
        let at = u32::try_from(at).expect("the bound is far below 2^32");
        self.index
            .insert_unique(hash, at, |&at| self::hash(key, &words[at as usize]));
    }

    fn completed(&mut self, info_hash: InfoHash) {
        // More than so many are counted here, and told with the next word on all there is.
        if self.completed.len() < self.max || self.completed.contains_key(&info_hash) {
            let count = self.completed.entry(info_hash).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// How often a torrent was completed and nobody has taken it yet.
    pub(super) fn completions(&self, info_hash: &InfoHash) -> u32 {
        self.completed.get(info_hash).copied().unwrap_or(0)
    }

    /// Takes all of it; `now` is in seconds since the table began.
    pub(super) fn take(&mut self, now: u32) -> Outgoing {
        let (newer, older) = self.words.split_at(self.oldest.min(self.words.len()));
        let mut peers = BTreeMap::<_, Vec<_>>::new();
        for word in older.iter().chain(newer) {
            peers.entry(word.info_hash).or_default().push(Heard {
                address: word.address,
                peer_id: word.peer_id,
                kind: word.kind,
                age: now.saturating_sub(word.seen),
            });
        }
        let outgoing = Outgoing {
            peers,
            completed: std::mem::take(&mut self.completed),
            dropped: std::mem::take(&mut self.dropped),
        };
        *self = Self::new(self.key, self.max);
        outgoing
    }
}

fn is_same(a: &Word, b: &Word) -> bool {
    (a.address, a.peer_id, a.info_hash) == (b.address, b.peer_id, b.info_hash)
}

fn hash(key: Key, word: &Word) -> u64 {
    let mut bytes = [0; 58];
    bytes[..20].copy_from_slice(&word.info_hash.0);
    bytes[20..40].copy_from_slice(&word.peer_id.0);
    match word.address.ip() {
        IpAddr::V4(ip) => bytes[40..44].copy_from_slice(&ip.octets()),
        IpAddr::V6(ip) => bytes[40..56].copy_from_slice(&ip.octets()),
    }
    bytes[56..].copy_from_slice(&word.address.port().to_be_bytes());
    key.hash(&bytes)
}

impl Shard {
    /// How often a torrent was completed, without what is in the outbox.
    pub(super) fn completed_told(&self, place: usize) -> u32 {
        let torrent = &self.torrents()[place];
        let outbox = self.outbox.as_ref();
        let waiting = outbox.map_or(0, |outbox| outbox.completions(&torrent.info_hash));
        torrent.completed.saturating_sub(waiting)
    }

    /// Notes for others what an announce did; one without `done` found no such torrent.
    pub(super) fn note(
        &mut self,
        request: &AnnounceRequest,
        ip: IpAddr,
        done: Option<Done>,
        now: u32,
    ) {
        let Some(outbox) = &mut self.outbox else {
            return;
        };
        let (info_hash, seen) = (request.info_hash, now);
        let mut tell = |address, peer_id, kind| {
            outbox.tell(Word {
                info_hash,
                address,
                peer_id,
                kind,
                seen,
            });
        };
        if let Some((address, peer_id)) = done.and_then(|done| done.evicted) {
            tell(address, peer_id, Kind::Gone);
        }
        let kind = match request {
            request if request.event == Some(AnnounceEvent::Stopped) => Kind::Gone,
            request if request.left == 0 => Kind::Seeder,
            _ => Kind::Leecher,
        };
        let address = SocketAddr::new(ip.to_canonical(), request.port);
        tell(address, request.peer_id, kind);
        if done.is_some_and(|done| done.change == Some(AnnounceEvent::Completed)) {
            outbox.completed(info_hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(name: u8, kind: Kind, seen: u32) -> Word {
        Word {
            info_hash: InfoHash([name % 2; 20]),
            address: SocketAddr::from(([10, 0, 0, name], 1)),
            peer_id: PeerId([name; 20]),
            kind,
            seen,
        }
    }

    #[test]
    fn the_newest_word_on_each_peer_is_told_once() {
        let mut outbox = Outbox::new(Key(1, 2), 10);
        outbox.tell(word(1, Kind::Leecher, 5));
        outbox.tell(word(2, Kind::Leecher, 6));
        outbox.tell(word(1, Kind::Gone, 7));
        let told = outbox.take(10);
        assert_eq!(told.dropped, 0);
        let of_1 = &told.peers[&InfoHash([1; 20])];
        assert_eq!((of_1.len(), of_1[0].kind, of_1[0].age), (1, Kind::Gone, 3));
        assert_eq!(told.peers[&InfoHash([0; 20])].len(), 1);
        assert!(outbox.take(10).peers.is_empty());
    }

    #[test]
    fn of_more_words_than_there_is_room_for_the_oldest_go_and_are_counted() {
        let mut outbox = Outbox::new(Key(1, 2), 4);
        for name in 0..200 {
            outbox.tell(word(name, Kind::Leecher, name.into()));
            outbox.tell(word(name, Kind::Seeder, name.into()));
        }
        let told = outbox.take(200);
        assert_eq!(told.dropped, 196);
        let mut ages: Vec<_> = told.peers.values().flatten().map(|word| word.age).collect();
        ages.sort_unstable();
        assert_eq!(ages, [1, 2, 3, 4]);
        let of_0 = &told.peers[&InfoHash([0; 20])];
        assert!(of_0.is_sorted_by_key(|word| std::cmp::Reverse(word.age)));
        assert!(of_0.iter().all(|word| word.kind == Kind::Seeder));
    }

    #[test]
    fn completed_downloads_are_counted_until_they_are_taken() {
        let mut outbox = Outbox::new(Key(1, 2), 1);
        let [a, b] = [1, 2].map(|name| InfoHash([name; 20]));
        outbox.completed(a);
        outbox.completed(a);
        outbox.completed(b);
        assert_eq!(outbox.take(0).completed, BTreeMap::from([(a, 2)]));
        assert!(outbox.take(0).completed.is_empty());
    }
}
