//! A part of the table: the torrents whose info hashes fall into it. BEP 3 "trackers".
//!
//! Found by a keyed hash, so that no choice of info hashes makes it slow. Knows nothing of locks.

use fastrand::Rng;
use hashbrown::HashTable;
use shoal_metainfo::InfoHash;

use super::completed::Completed;
use super::outbox::Outbox;
use super::store::slack;
use super::swarm::Key;
use super::torrent::Torrent;
use crate::limits;

#[derive(Debug)]
pub(super) struct Shard {
    key: Key,
    /// Places by info hash.
    index: HashTable<u32>,
    torrents: Vec<Torrent>,
    round: Round,
    pub(super) completed: Completed,
    pub(super) rng: Rng,
    /// What others are to be told, if there are others.
    pub(super) outbox: Option<Box<Outbox>>,
}

/// How far the search for silent peers has come.
#[derive(Debug, Default)]
struct Round {
    begun: u32,
    /// Torrents before this one have not been looked at yet; nor have `peers` of it.
    torrent: usize,
    peers: Option<usize>,
}

impl Shard {
    /// `completed_max` counts are kept of torrents that left.
    pub(super) fn new(key: Key, rng: Rng, completed_max: usize) -> Self {
        Self {
            key,
            index: HashTable::new(),
            torrents: Vec::new(),
            round: Round::default(),
            completed: Completed::new(key, completed_max),
            rng,
            outbox: None,
        }
    }

    pub(super) fn torrents(&self) -> &[Torrent] {
        &self.torrents
    }

    pub(super) fn find(&self, hash: u64, info_hash: &InfoHash) -> Option<usize> {
        let place = self.index.find(hash, |&place| {
            self.torrents[place as usize].info_hash == *info_hash
        });
        place.map(|&place| place as usize)
    }

    /// The torrent at a place, and the source of chance beside it.
    pub(super) fn at(&mut self, place: usize) -> (&mut Torrent, &mut Rng) {
        (&mut self.torrents[place], &mut self.rng)
    }

    /// Puts in a torrent that is not there, with what it had when it left.
    pub(super) fn insert(&mut self, hash: u64, mut torrent: Torrent) -> usize {
        torrent.completed = self.completed.take(hash, &torrent.info_hash);
        let place = self.torrents.len();
        if place == self.torrents.capacity() {
            self.torrents.reserve_exact(8 + slack(place));
        }
        self.torrents.push(torrent);
        let (key, torrents) = (self.key, &self.torrents);
        self.index.insert_unique(hash, number(place), |&place| {
            key.hash(&torrents[place as usize].info_hash.0)
        });
        place
    }

    /// Looks for silent peers and deserted torrents, at most [`limits::SWEEP_PEERS`] of them, and
    /// begins a new round no sooner than [`limits::SWEEP_EVERY`] after the last one. Returns the
    /// peers and torrents that went. Backwards, so that what is moved into a gap was looked at.
    pub(super) fn expire(&mut self, now: u32, oldest: u32, keep_deserted: bool) -> (usize, usize) {
        if self.round.torrent == 0 && self.round.peers.is_none() {
            let every = u32::try_from(limits::SWEEP_EVERY.as_secs()).unwrap_or(u32::MAX);
            if now.saturating_sub(self.round.begun) < every {
                return (0, 0);
            }
            self.round.begun = now;
            self.round.torrent = self.torrents.len();
        }
        let (mut peers_gone, mut torrents_gone) = (0, 0);
        let mut budget = limits::SWEEP_PEERS;
        while budget > 0 && (self.round.torrent > 0 || self.round.peers.is_some()) {
            let Some(at) = self.next_of_round() else {
                continue;
            };
            let torrent = &mut self.torrents[at];
            let before = torrent.len();
            let from = self.round.peers.take().unwrap_or(before);
            let rest = torrent.expire(self.key, oldest, from, budget);
            peers_gone += before - torrent.len();
            budget = budget.saturating_sub(from.saturating_sub(rest) + limits::SWEEP_TORRENT_COST);
            if rest > 0 {
                self.round.peers = Some(rest);
                self.round.torrent = at + 1;
                continue;
            }
            torrent.swept = now;
            if torrent.len() == 0 && !keep_deserted {
                self.remove(at);
                torrents_gone += 1;
            }
        }
        (peers_gone, torrents_gone)
    }

    /// Steps to the torrent that is next, if there still is one at its place.
    fn next_of_round(&mut self) -> Option<usize> {
        let at = self.round.torrent.saturating_sub(1);
        self.round.torrent = at;
        if at >= self.torrents.len() {
            self.round.peers = None;
            return None;
        }
        Some(at)
    }

    /// One more download of the torrent at a place became whole.
    pub(super) fn note_completed(&mut self, hash: u64, place: usize) {
        let torrent = &self.torrents[place];
        let (info_hash, count) = (torrent.info_hash, torrent.completed);
        self.completed.note(hash, info_hash, count);
    }

    /// Takes out all torrents but these; returns the peers and torrents that went.
    pub(super) fn retain(&mut self, keeps: impl Fn(&InfoHash) -> bool) -> (usize, usize) {
        let (mut peers, mut torrents) = (0, 0);
        for at in (0..self.torrents.len()).rev() {
            if !keeps(&self.torrents[at].info_hash) {
                peers += self.torrents[at].len();
                torrents += 1;
                self.remove(at);
            }
        }
        // Places have moved.
        self.round.peers = None;
        (peers, torrents)
    }

    /// Takes out the torrent at a place.
    pub(super) fn take_out(&mut self, place: usize) {
        self.remove(place);
        // Places have moved.
        self.round.peers = None;
    }

    fn remove(&mut self, place: usize) {
        let torrent = &self.torrents[place];
        let (gone, count) = (torrent.info_hash, torrent.completed);
        let hash = self.key.hash(&gone.0);
        self.completed.leave(hash, gone, count, &mut self.rng);
        self.forget(&gone, place);
        self.torrents.swap_remove(place);
        if let Some(moved) = self.torrents.get(place) {
            let hash = self.key.hash(&moved.info_hash.0);
            let last = self.torrents.len();
            let entry = self.index.find_mut(hash, |&at| at as usize == last);
            *entry.expect("each torrent is in the index") = number(place);
        }
        let len = self.torrents.len();
        if len < self.torrents.capacity() / 2 {
            self.torrents.shrink_to(len + 8 + slack(len));
            let (key, torrents) = (self.key, &self.torrents);
            self.index.shrink_to(len, |&place| {
                key.hash(&torrents[place as usize].info_hash.0)
            });
        }
    }

    fn forget(&mut self, info_hash: &InfoHash, place: usize) {
        let hash = self.key.hash(&info_hash.0);
        if let Ok(entry) = self.index.find_entry(hash, |&at| at as usize == place) {
            entry.remove();
        }
    }
}

fn number(place: usize) -> u32 {
    u32::try_from(place).expect("the bound of torrents is far below 2^32")
}
