//! The interval that peers are told, as long as the load asks for. BEP 3 `interval`.
//!
//! Peers come again when they were told to, so an interval shows its effect an interval later; to
//! measure that effect and correct by it would swing. But all peers are in the table, so what they
//! will do is known: with P peers and room for C announces a second, P / C seconds is the interval
//! that fits. Measured is only whether there is too much.
//!
//! ```text
//!           more than C announces a second
//! as given ────────────────────────────────▶ stretched: P / C, at most eight times as given
//!     ▲                                          │ too much, and P / C is a tenth more: longer
//!     └── below 4/5 C, and P fits so ────────────┴ below 4/5 C, and P / C is a quarter less: that
//! ```

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::limits;

/// How busy a tracker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadStatus {
    /// Announces a second, over some ten seconds; 0 when there is no capacity to hold them against.
    pub announces_per_second: u32,
    /// Announces a second that are no burden.
    pub capacity: Option<u32>,
    /// What peers are told to keep.
    pub interval: Duration,
    /// What they would be told without the burden.
    pub interval_given: Duration,
}

/// The measure, and what follows from it.
#[derive(Debug)]
pub(super) struct Load {
    given: u32,
    capacity: Option<u32>,
    count: AtomicU64,
    /// Whole seconds.
    interval: AtomicU32,
    longest: AtomicU32,
    rate: AtomicU32,
    measure: Mutex<Measure>,
}

#[derive(Debug)]
struct Measure {
    at: Instant,
    /// Announces a second, smoothed.
    rate: f64,
    /// Since when `longest` is not told any more.
    shorter_since: Instant,
}

impl Load {
    pub(super) fn new(given: Duration, capacity: Option<u32>, now: Instant) -> Self {
        let given = u32::try_from(given.as_secs()).unwrap_or(u32::MAX);
        Self {
            given,
            capacity,
            count: AtomicU64::new(0),
            interval: AtomicU32::new(given),
            longest: AtomicU32::new(given),
            rate: AtomicU32::new(0),
            measure: Mutex::new(Measure {
                at: now,
                rate: 0.0,
                shorter_since: now,
            }),
        }
    }

    pub(super) fn is_bounded(&self) -> bool {
        self.capacity.is_some()
    }

    /// One announce more.
    pub(super) fn count(&self) {
        if self.capacity.is_some() {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn interval(&self) -> Duration {
        seconds(&self.interval)
    }

    /// The longest interval that somebody may still be keeping.
    pub(super) fn longest(&self) -> Duration {
        seconds(&self.longest)
    }

    pub(super) fn status(&self) -> LoadStatus {
        LoadStatus {
            announces_per_second: self.rate.load(Ordering::Relaxed),
            capacity: self.capacity,
            interval: self.interval(),
            interval_given: Duration::from_secs(self.given.into()),
        }
    }

    /// Measures, with so many peers in the table; gives the interval if it is another than before.
    pub(super) fn tick(&self, now: Instant, peers: usize) -> Option<Duration> {
        let capacity = self.capacity?;
        let mut measure = self.measure.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = now.saturating_duration_since(measure.at).as_secs_f64();
        if elapsed <= 0.0 {
            return None;
        }
        let count = self.count.swap(0, Ordering::Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "a rate is an estimate")]
        let rate = count as f64 / elapsed;
        let weight = 1.0 - (-elapsed / limits::LOAD_AVERAGED.as_secs_f64()).exp();
        measure.rate += (rate - measure.rate) * weight;
        measure.at = now;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is never negative, and what is too large becomes the largest"
        )]
        let rate = measure.rate.ceil() as u32;
        self.rate.store(rate, Ordering::Relaxed);
        let before = self.interval.load(Ordering::Relaxed);
        let interval = self.wanted(before, rate, capacity, peers);
        self.interval.store(interval, Ordering::Relaxed);
        self.remember_longest(&mut measure, now, interval);
        (interval != before).then(|| Duration::from_secs(interval.into()))
    }

    fn wanted(&self, before: u32, rate: u32, capacity: u32, peers: usize) -> u32 {
        let given = u64::from(self.given);
        let fits = u64::try_from(peers).unwrap_or(u64::MAX) / u64::from(capacity.max(1));
        let most = given.saturating_mul(limits::STRETCH_MAX.into());
        let (before, capacity) = (u64::from(before), u64::from(capacity));
        let (busy, calm) = (
            u64::from(rate) > capacity,
            u64::from(rate) * 5 < capacity * 4,
        );
        let wanted = if busy && before == given {
            // A quarter at least: whoever comes too often is told something.
            fits.max(given + given.div_ceil(4))
        } else if busy && fits * 10 > before * 11 || calm && fits * 4 < before * 3 {
            fits
        } else {
            before
        };
        u32::try_from(wanted.clamp(given, most)).unwrap_or(u32::MAX)
    }

    /// Who was told a longer interval than the present one keeps it for once more.
    fn remember_longest(&self, measure: &mut Measure, now: Instant, interval: u32) {
        let longest = self.longest.load(Ordering::Relaxed);
        let kept = now.saturating_duration_since(measure.shorter_since);
        if interval >= longest || kept > Duration::from_secs(longest.into()) {
            self.longest.store(interval, Ordering::Relaxed);
            measure.shorter_since = now;
        }
    }
}

fn seconds(atomic: &AtomicU32) -> Duration {
    Duration::from_secs(atomic.load(Ordering::Relaxed).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: Duration = Duration::from_secs(1_000);
    const CAPACITY: u32 = 100;

    struct World(Load, Instant);

    impl World {
        fn new() -> Self {
            let now = Instant::now();
            Self(Load::new(GIVEN, Some(CAPACITY), now), now)
        }

        /// Seconds with so many announces each; gives how often the interval changed.
        fn run(&mut self, seconds: u32, announces: u64, peers: usize) -> usize {
            let mut changes = 0;
            for _ in 0..seconds {
                self.0.count.fetch_add(announces, Ordering::Relaxed);
                self.1 += Duration::from_secs(1);
                changes += usize::from(self.0.tick(self.1, peers).is_some());
            }
            changes
        }

        fn interval(&self) -> u64 {
            self.0.interval().as_secs()
        }
    }

    #[test]
    fn interval_is_as_given_until_there_is_too_much() {
        let mut world = World::new();
        assert_eq!(world.run(300, 99, 500_000), 0);
        assert_eq!(world.interval(), 1_000);
        // One bad second is none.
        world.run(300, 50, 500_000);
        assert_eq!(world.run(1, 500, 500_000), 0);
    }

    #[test]
    fn interval_becomes_what_fits_the_peers_and_stays_there() {
        let mut world = World::new();
        assert_eq!(world.run(200, 300, 300_000), 1, "it swings");
        assert_eq!(world.interval(), 3_000);
        // Peers keep it: the load is what fits, and it is not taken for calm.
        assert_eq!(world.run(10_000, 99, 300_000), 0);
        // A few more or fewer change nothing.
        assert_eq!(world.run(1_000, 105, 320_000), 0);
        assert_eq!(world.run(1_000, 95, 270_000), 0);
        // Most go: then it is as given again, at once.
        assert_eq!(world.run(1_000, 10, 30_000), 1);
        assert_eq!(world.interval(), 1_000);
    }

    #[test]
    fn interval_has_a_bound_and_a_least_answer() {
        let mut world = World::new();
        world.run(100, 100_000, 100_000_000);
        assert_eq!(world.interval(), 1_000 * u64::from(limits::STRETCH_MAX));
        // Few peers that come all the time.
        let mut world = World::new();
        world.run(100, 500, 50);
        assert_eq!(world.interval(), 1_250);
    }

    #[test]
    fn longer_interval_is_remembered_for_as_long_as_somebody_may_keep_it() {
        let mut world = World::new();
        world.run(200, 300, 300_000);
        world.run(100, 0, 0);
        assert_eq!(world.interval(), 1_000);
        assert_eq!(world.0.longest().as_secs(), 3_000);
        world.run(3_001, 0, 0);
        assert_eq!(world.0.longest().as_secs(), 1_000);
    }

    #[test]
    fn without_a_capacity_nothing_is_measured() {
        let load = Load::new(GIVEN, None, Instant::now());
        load.count();
        let later = Instant::now() + Duration::from_secs(9);
        assert_eq!(load.tick(later, 1 << 30), None);
        assert_eq!(load.status().announces_per_second, 0);
    }
}
