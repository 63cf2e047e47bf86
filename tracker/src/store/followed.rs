//! Which torrents the store is asked for, and in which order. BEP 3 "trackers".
//!
//! Those that somebody asked about here within a peer's life in silence, each in its turn, a new
//! one first. Knows nothing of the store, nor of time but what it is told.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use shoal_metainfo::InfoHash;

use super::words::Mark;

#[derive(Debug, Clone, Copy)]
struct Place {
    asked: Instant,
    mark: Mark,
}

#[derive(Debug)]
pub(super) struct Followed {
    places: HashMap<InfoHash, Place>,
    /// Whoever is in `places` and not in hand.
    turns: VecDeque<InfoHash>,
    max: usize,
}

impl Followed {
    pub(super) fn new(max: usize) -> Self {
        Self {
            places: HashMap::new(),
            turns: VecDeque::new(),
            max,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Somebody asked about a torrent here. A full table takes no further one.
    pub(super) fn asked(&mut self, info_hash: InfoHash, now: Instant) {
        if let Some(place) = self.places.get_mut(&info_hash) {
            place.asked = now;
        } else if self.places.len() < self.max {
            let mark = Mark::default();
            self.places.insert(info_hash, Place { asked: now, mark });
            self.turns.push_front(info_hash);
        }
    }

    /// Hands out those whose turn it is; each is to be given back by [`Followed::back`]. Nobody has
    /// asked about the others since `life`: they are forgotten.
    pub(super) fn next(
        &mut self,
        count: usize,
        now: Instant,
        life: Duration,
    ) -> Vec<(InfoHash, Mark)> {
        let mut handed = Vec::new();
        while handed.len() < count
            && let Some(info_hash) = self.turns.pop_front()
        {
            let Some(place) = self.places.get(&info_hash) else {
                continue;
            };
            if now.saturating_duration_since(place.asked) > life {
                self.places.remove(&info_hash);
            } else {
                handed.push((info_hash, place.mark));
            }
        }
        handed
    }

    /// Gives a torrent back; its turn comes again at once when there is more of it.
    pub(super) fn back(&mut self, info_hash: InfoHash, mark: Mark, more: bool) {
        if let Some(place) = self.places.get_mut(&info_hash) {
            place.mark = mark;
            if more {
                self.turns.push_front(info_hash);
            } else {
                self.turns.push_back(info_hash);
            }
        }
    }

    /// All of all torrents is new again.
    pub(super) fn forget_marks(&mut self) {
        for place in self.places.values_mut() {
            place.mark = Mark::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_secs(60);

    fn hash(name: u8) -> InfoHash {
        InfoHash([name; 20])
    }

    fn names(handed: &[(InfoHash, Mark)]) -> Vec<u8> {
        handed.iter().map(|(hash, _)| hash.0[0]).collect()
    }

    #[test]
    fn each_has_its_turn_and_a_new_one_is_first() {
        let (mut followed, now) = (Followed::new(10), Instant::now());
        for name in [3, 2, 1] {
            followed.asked(hash(name), now);
        }
        let mark = Mark { at: 5, epoch: 6 };
        let handed = followed.next(2, now, LIFE);
        assert_eq!(names(&handed), [1, 2]);
        for (hash, _) in handed {
            followed.back(hash, mark, false);
        }
        followed.asked(hash(4), now);
        let handed = followed.next(9, now, LIFE);
        assert_eq!(names(&handed), [4, 3, 1, 2]);
        assert_eq!(handed[2].1, mark);
        for (hash, _) in handed {
            followed.back(hash, mark, hash.0[0] == 3);
        }
        assert_eq!(names(&followed.next(1, now, LIFE)), [3]);
    }

    #[test]
    fn what_nobody_asks_about_is_forgotten() {
        let (mut followed, now) = (Followed::new(2), Instant::now());
        for name in [1, 2, 3] {
            followed.asked(hash(name), now);
        }
        assert_eq!(followed.len(), 2, "there is no room for a third");
        let later = now + LIFE;
        followed.asked(hash(2), later);
        let after = later + Duration::from_secs(1);
        assert_eq!(names(&followed.next(9, after, LIFE)), [2]);
        assert_eq!(followed.len(), 1);
    }

    #[test]
    fn marks_are_forgotten_and_torrents_are_not() {
        let (mut followed, now) = (Followed::new(2), Instant::now());
        followed.asked(hash(1), now);
        let handed = followed.next(1, now, LIFE);
        followed.back(handed[0].0, Mark { at: 9, epoch: 9 }, false);
        followed.forget_marks();
        assert_eq!(followed.next(1, now, LIFE), [(hash(1), Mark::default())]);
    }
}
