//! So much a second, and so much at once.

use std::time::{Duration, Instant};

/// A bucket that fills with time. What does not fit is lost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    per_s: f64,
    at_once: f64,
    left: f64,
    since: Instant,
}

impl Rate {
    /// A full one.
    pub(crate) fn new(per_s: f64, at_once: f64, now: Instant) -> Self {
        Self {
            per_s,
            at_once,
            left: at_once,
            since: now,
        }
    }

    /// Takes one, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        self.fill(now);
        let there = self.left >= 1.0;
        self.left -= f64::from(u8::from(there));
        there
    }

    /// Whether it is as good as new.
    pub(crate) fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.left >= self.at_once
    }

    /// When there will be one; now or before, when there is.
    pub(crate) fn ready(&self) -> Instant {
        let missing = (1.0 - self.left).max(0.0) / self.per_s;
        self.since + Duration::from_secs_f64(missing)
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.since).as_secs_f64();
        self.left = (self.left + passed * self.per_s).min(self.at_once);
        self.since = self.since.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_at_once_and_then_so_many_a_second() {
        let now = Instant::now();
        let mut rate = Rate::new(4.0, 10.0, now);
        assert_eq!((0..100).filter(|_| rate.take(now)).count(), 10);
        assert_eq!(rate.ready(), now + Duration::from_millis(250));
        let later = now + Duration::from_secs(1);
        assert_eq!((0..100).filter(|_| rate.take(later)).count(), 4);
        assert!(!rate.is_full(later));
        let much_later = now + Duration::from_secs(60);
        assert!(rate.is_full(much_later));
        assert_eq!((0..100).filter(|_| rate.take(much_later)).count(), 10);
    }
}
