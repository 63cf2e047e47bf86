//! Completed counts beyond the life of a swarm. BEP 48 `downloaded`.
//!
//! A torrent that nobody has leaves the table, and its count stays here until it comes back. What
//! changed is kept until somebody who writes it down takes it. Knows neither files nor time.

use fastrand::Rng;
use hashbrown::HashTable;
use shoal_metainfo::InfoHash;

use super::swarm::Key;

/// Counts that are drawn when one has to go; the lowest goes. Ours: whoever floods a tracker with
/// torrents that were completed once mostly meets his own.
const DRAWN: usize = 8;

/// The counts of one part of the table.
#[derive(Debug)]
pub(super) struct Completed {
    key: Key,
    /// At most so many; with 0 nothing is kept.
    max: usize,
    /// Of torrents that are not in the table, and never 0.
    away: Vec<(InfoHash, u32)>,
    index: HashTable<u32>,
    /// What changed since it was taken last; 0 for what is forgotten.
    changed: HashTable<(InfoHash, u32)>,
}

impl Completed {
    pub(super) fn new(key: Key, max: usize) -> Self {
        Self {
            key,
            max,
            away: Vec::new(),
            index: HashTable::new(),
            changed: HashTable::new(),
        }
    }

    /// The count of a torrent that comes into the table.
    pub(super) fn take(&mut self, hash: u64, info_hash: &InfoHash) -> u32 {
        let found = self.find(hash, info_hash);
        found.map_or(0, |place| self.remove(place).1)
    }

    /// A torrent in the table has that count from now on.
    pub(super) fn note(&mut self, hash: u64, info_hash: InfoHash, count: u32) {
        if self.max == 0 {
            return;
        }
        let key = self.key;
        let entry = self.changed.entry(
            hash,
            |(known, _)| *known == info_hash,
            |(known, _)| key.hash(&known.0),
        );
        entry.insert((info_hash, count));
    }

    /// A torrent leaves the table. In a full memory one of low count is forgotten for it.
    pub(super) fn leave(&mut self, hash: u64, info_hash: InfoHash, count: u32, rng: &mut Rng) {
        if self.max == 0 || count == 0 {
            return;
        }
        if self.away.len() >= self.max {
            let drawn = (0..DRAWN).map(|_| rng.usize(..self.away.len()));
            let lowest = drawn.min_by_key(|&at| self.away[at].1);
            let (gone, _) = self.remove(lowest.expect("some were drawn"));
            self.note(self.key.hash(&gone.0), gone, 0);
        }
        let place = number(self.away.len());
        self.away.push((info_hash, count));
        let (key, away) = (self.key, &self.away);
        self.index
            .insert_unique(hash, place, |&at| key.hash(&away[at as usize].0.0));
    }

    /// The count of a torrent that is not in the table.
    pub(super) fn away(&self, hash: u64, info_hash: &InfoHash) -> Option<u32> {
        self.find(hash, info_hash).map(|place| self.away[place].1)
    }

    /// Appends what changed, and forgets that it did.
    pub(super) fn take_changed(&mut self, out: &mut Vec<(InfoHash, u32)>) {
        out.extend(self.changed.drain());
    }

    fn find(&self, hash: u64, info_hash: &InfoHash) -> Option<usize> {
        let same = |&at: &u32| self.away[at as usize].0 == *info_hash;
        self.index.find(hash, same).map(|&place| place as usize)
    }

    fn remove(&mut self, place: usize) -> (InfoHash, u32) {
        let last = self.away.len() - 1;
        let hash_at = |at: usize| self.key.hash(&self.away[at].0.0);
        let (gone, moved) = (hash_at(place), hash_at(last));
        if let Ok(entry) = self.index.find_entry(gone, |&at| at as usize == place) {
            entry.remove();
        }
        if place != last
            && let Some(at) = self.index.find_mut(moved, |&at| at as usize == last)
        {
            *at = number(place);
        }
        self.away.swap_remove(place)
    }
}

fn number(place: usize) -> u32 {
    u32::try_from(place).expect("the bound of counts is far below 2^32")
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const KEY: Key = Key(1, 2);

    fn hash(number: u8) -> (u64, InfoHash) {
        let info_hash = InfoHash([number; 20]);
        (KEY.hash(&info_hash.0), info_hash)
    }

    #[test]
    fn full_memory_forgets_a_low_count_and_says_so() {
        let (mut counts, mut rng) = (Completed::new(KEY, 64), Rng::with_seed(1));
        for number in 0..=255 {
            let (at, info_hash) = hash(number);
            let count = if number < 32 { 100 } else { 1 };
            counts.leave(at, info_hash, count, &mut rng);
        }
        let high = (0..32).filter(|&n| counts.away(hash(n).0, &hash(n).1) == Some(100));
        assert!(high.count() >= 28, "those of high count went first");
        assert_eq!(counts.away.len(), 64);
        let mut told = Vec::new();
        counts.take_changed(&mut told);
        assert_eq!(told.len(), 256 - 64);
        assert!(told.iter().all(|(_, count)| *count == 0));
    }

    proptest! {
        #[test]
        fn counts_are_those_of_a_map(steps in prop::collection::vec((0u8..12, 0u32..5), 0..200)) {
            let (mut counts, mut rng) = (Completed::new(KEY, 100), Rng::with_seed(1));
            let mut model = BTreeMap::new();
            for (number, count) in steps {
                let (at, info_hash) = hash(number);
                prop_assert_eq!(counts.away(at, &info_hash), model.get(&number).copied());
                let expect = model.remove(&number).unwrap_or(0);
                prop_assert_eq!(counts.take(at, &info_hash), expect);
                counts.leave(at, info_hash, count, &mut rng);
                if count > 0 {
                    model.insert(number, count);
                }
            }
        }
    }
}
