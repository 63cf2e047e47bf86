//! How fast bytes flow, and how fast they may.
//!
//! Both are told the time. Neither knows whose bytes they are.

use std::time::{Duration, Instant};

/// Slots of [`Rate`]: it looks back this many seconds. BEP 3 speaks of a rolling average.
const SLOTS: usize = 10;

/// Bytes a second, averaged over the last ten seconds (fewer when it is younger).
#[derive(Debug, Clone)]
pub struct Rate {
    start: Instant,
    /// Bytes of second `s` are in slot `s % SLOTS`.
    slots: [u64; SLOTS],
    /// The second of the newest slot, from `start`.
    newest: u64,
    /// All slots together.
    sum: u64,
}

impl Rate {
    /// Zero, from now on.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            start: now,
            slots: [0; SLOTS],
            newest: 0,
            sum: 0,
        }
    }

    /// Counts bytes that flowed now.
    pub fn add(&mut self, now: Instant, bytes: u64) {
        self.turn_to(now.saturating_duration_since(self.start).as_secs());
        self.slots[slot(self.newest)] += bytes;
        self.sum += bytes;
    }

    /// Bytes a second.
    #[must_use]
    pub fn per_second(&self, now: Instant) -> u64 {
        let age = now.saturating_duration_since(self.start);
        let second = age.as_secs();
        let stale = (self.newest + 1..=second).take(SLOTS);
        let gone: u64 = stale.map(|second| self.slots[slot(second)]).sum();
        // The newest slot is only partly over: count its part, so that the average is fair.
        let whole = second.min(SLOTS as u64 - 1) * 1_000;
        let span_ms = (whole + u64::from(age.subsec_millis())).max(1_000);
        (self.sum - gone) * 1_000 / span_ms
    }

    fn turn_to(&mut self, second: u64) {
        for passed in (self.newest + 1..=second).take(SLOTS) {
            let old = std::mem::take(&mut self.slots[slot(passed)]);
            self.sum -= old;
        }
        self.newest = self.newest.max(second);
    }
}

/// Where a second's bytes are. The remainder is below `SLOTS`, so the cast keeps it.
#[expect(clippy::cast_possible_truncation)]
fn slot(second: u64) -> usize {
    (second % SLOTS as u64) as usize
}

/// How much of the time something is so.
#[derive(Debug, Clone)]
pub struct Share {
    /// It is so since then, or since the last look.
    since: Option<Instant>,
    /// It was so for this long before.
    so_far: Duration,
    looked_at: Instant,
}

impl Share {
    /// It is not so.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            since: None,
            so_far: Duration::ZERO,
            looked_at: now,
        }
    }

    /// From now on it is so, or not.
    pub fn set(&mut self, now: Instant, is_so: bool) {
        match (self.since, is_so) {
            (None, true) => self.since = Some(now),
            (Some(since), false) => {
                self.so_far += now.saturating_duration_since(since);
                self.since = None;
            }
            _ => {}
        }
    }

    /// For how long it was so, of how long, since this was last asked.
    pub fn take(&mut self, now: Instant) -> (Duration, Duration) {
        let is_so = self.since.is_some();
        self.set(now, false);
        self.set(now, is_so);
        let passed = now.saturating_duration_since(self.looked_at);
        self.looked_at = now;
        (std::mem::take(&mut self.so_far), passed)
    }
}

const NANOS: u128 = 1_000_000_000;

/// A budget that fills at a steady rate up to a burst. Exact in the long run: no rounding.
#[derive(Debug, Clone)]
pub struct TokenBucket {
    per_s: Option<u64>,
    burst: u64,
    /// Tokens times [`NANOS`]: the remainder of a short wait is not lost.
    level: u128,
    filled_at: Instant,
}

impl TokenBucket {
    /// A full bucket; `None` never empties.
    #[must_use]
    pub fn new(per_s: Option<u64>, burst: u64, now: Instant) -> Self {
        Self {
            per_s,
            burst,
            level: u128::from(burst) * NANOS,
            filled_at: now,
        }
    }

    /// A bucket for payload: its burst is a quarter second, and at least two blocks.
    #[must_use]
    pub fn payload(per_s: Option<u64>, now: Instant) -> Self {
        let burst = (per_s.unwrap_or(0) / 4).max(2 << 14);
        Self::new(per_s, burst, now)
    }

    /// A new rate for a bucket of payload; what is in it stays, as far as it fits.
    pub fn set_payload_rate(&mut self, now: Instant, per_s: Option<u64>) {
        let was_limited = self.per_s.is_some();
        self.fill(now);
        let new = Self::payload(per_s, now);
        self.level = if was_limited {
            self.level.min(new.level)
        } else {
            0
        };
        (self.per_s, self.burst) = (new.per_s, new.burst);
    }

    /// Takes as many tokens if there are enough.
    pub fn take(&mut self, now: Instant, tokens: u64) -> bool {
        if self.per_s.is_none() {
            return true;
        }
        self.fill(now);
        let cost = u128::from(tokens) * NANOS;
        let enough = self.level >= cost;
        if enough {
            self.level -= cost;
        }
        enough
    }

    /// Gives back what was taken in vain.
    pub fn give_back(&mut self, tokens: u64) {
        let full = u128::from(self.burst) * NANOS;
        self.level = (self.level + u128::from(tokens) * NANOS).min(full);
    }

    /// When [`Self::take`] of so many will do; `None` for never (a rate of zero, or above the
    /// burst).
    #[must_use]
    pub fn ready_at(&self, tokens: u64) -> Option<Instant> {
        let Some(per_s) = self.per_s else {
            return Some(self.filled_at);
        };
        let missing = (u128::from(tokens) * NANOS).saturating_sub(self.level);
        if missing == 0 {
            return Some(self.filled_at);
        }
        if per_s == 0 || tokens > self.burst {
            return None;
        }
        let nanos = u64::try_from(missing.div_ceil(u128::from(per_s))).ok()?;
        self.filled_at.checked_add(Duration::from_nanos(nanos))
    }

    fn fill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.filled_at);
        let full = u128::from(self.burst) * NANOS;
        let new = elapsed.as_nanos() * u128::from(self.per_s.unwrap_or(0));
        self.level = (self.level + new).min(full);
        self.filled_at = self.filled_at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn rate_is_the_average_of_the_last_ten_seconds() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        for second in 0..30 {
            rate.add(start + SECOND * second, 1_000);
        }
        assert_eq!(rate.per_second(start + SECOND * 30 - SECOND / 1_000), 1_000);
        assert_eq!(rate.per_second(start + SECOND * 60), 0);
    }

    #[test]
    fn rate_of_a_young_flow_is_not_diluted() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        rate.add(start, 500);
        rate.add(start + SECOND, 500);
        assert_eq!(rate.per_second(start), 1_000);
        assert_eq!(rate.per_second(start + SECOND * 2), 500);
    }

    #[test]
    fn rate_forgets_across_a_long_silence() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        rate.add(start, 1 << 30);
        rate.add(start + SECOND * 1_000, 9_000);
        assert_eq!(rate.per_second(start + SECOND * 1_000), 1_000);
    }

    #[test]
    fn share_counts_what_was_so_since_the_last_look() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut share = Share::new(start);
        assert_eq!(share.take(at(1_000)), (Duration::ZERO, SECOND));
        share.set(at(1_100), true);
        share.set(at(1_200), true);
        share.set(at(1_300), false);
        share.set(at(1_900), true);
        assert_eq!(share.take(at(2_000)), (SECOND * 3 / 10, SECOND));
        assert_eq!(share.take(at(2_500)), (SECOND / 2, SECOND / 2));
    }

    #[test]
    fn bucket_gives_exactly_its_rate_in_the_long_run() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(Some(999_983), 32_768, start);
        let mut given = 0;
        // Asked at awkward moments, as timers are.
        for step in 0..100_000u32 {
            while bucket.take(start + Duration::from_micros(313) * step, 16_384) {
                given += 16_384u64;
            }
        }
        let seconds = 0.000_313 * 99_999.0;
        let ideal = 999_983.0 * seconds + 32_768.0;
        assert!((given as f64) <= ideal && (given as f64) > ideal - 2.0 * 16_384.0);
    }

    #[test]
    fn bucket_names_the_moment_it_is_ready() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(Some(100), 50, start);
        assert!(bucket.take(start, 50));
        assert!(!bucket.take(start, 1));
        let ready = bucket.ready_at(50).unwrap();
        assert_eq!(ready, start + SECOND / 2);
        assert!(!bucket.clone().take(ready - Duration::from_nanos(1), 50));
        assert!(bucket.take(ready, 50));
        assert_eq!(bucket.ready_at(51), None);
        bucket.give_back(50);
        assert!(bucket.take(ready, 50));
    }

    #[test]
    fn bucket_of_rate_zero_is_never_ready() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(Some(0), 10, start);
        assert!(bucket.take(start, 10));
        assert_eq!(bucket.ready_at(1), None);
        assert!(!bucket.take(start + SECOND * 1_000, 1));
    }
}
