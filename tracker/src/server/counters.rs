//! What was asked and how it was answered, counted. Of no BEP.
//!
//! Each thread that answers has a part of its own, on a cache line of its own, so that counting
//! costs an addition; who looks adds them up. Knows nothing of what is counted.

use std::sync::atomic::{AtomicU64, Ordering};

use super::paths::Place;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    /// Announces that were answered.
    pub(super) announces: u64,
    /// Scrapes that were answered.
    pub(super) scrapes: u64,
    /// Connection ids that were given, over UDP.
    pub(super) connects: u64,
    /// Announces and scrapes that were refused.
    pub(super) refused: u64,
}

impl Counts {
    /// One that was asked at this place.
    pub(super) fn of(place: Place, answered: bool) -> Self {
        let mut counts = Self::default();
        match place {
            _ if !answered => counts.refused = 1,
            Place::Announce => counts.announces = 1,
            Place::Scrape => counts.scrapes = 1,
        }
        counts
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            announces: self.announces + other.announces,
            scrapes: self.scrapes + other.scrapes,
            connects: self.connects + other.connects,
            refused: self.refused + other.refused,
        }
    }
}

/// One thread's part.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Counter {
    announces: AtomicU64,
    scrapes: AtomicU64,
    connects: AtomicU64,
    refused: AtomicU64,
}

impl Counter {
    pub(super) fn add(&self, counts: Counts) {
        let pairs = [
            (&self.announces, counts.announces),
            (&self.scrapes, counts.scrapes),
            (&self.connects, counts.connects),
            (&self.refused, counts.refused),
        ];
        for (counter, count) in pairs.into_iter().filter(|(_, count)| *count > 0) {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }

    fn read(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            announces: read(&self.announces),
            scrapes: read(&self.scrapes),
            connects: read(&self.connects),
            refused: read(&self.refused),
        }
    }
}

/// All parts.
#[derive(Debug)]
pub(super) struct Counters {
    /// Of the thread for HTTP.
    pub(super) http: Counter,
    /// Of connections that came over TLS or to tide.
    pub(super) guests: Counter,
    /// Of the threads for UDP.
    pub(super) udp: Box<[Counter]>,
}

impl Counters {
    pub(super) fn new(udp_workers: usize) -> Self {
        Self {
            http: Counter::default(),
            guests: Counter::default(),
            udp: (0..udp_workers).map(|_| Counter::default()).collect(),
        }
    }

    /// Over HTTP and over UDP, since the start.
    pub(super) fn read(&self) -> (Counts, Counts) {
        let http = self.http.read().plus(self.guests.read());
        let udp = self.udp.iter().map(Counter::read);
        (http, udp.fold(Counts::default(), Counts::plus))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_all_threads_are_added_up() {
        let counters = Counters::new(2);
        let one = Counts {
            announces: 1,
            scrapes: 2,
            connects: 3,
            refused: 4,
        };
        counters.http.add(one);
        counters.guests.add(one);
        counters.udp[0].add(one);
        counters.udp[1].add(Counts::default());
        assert_eq!(counters.read(), (one.plus(one), one));
    }
}
