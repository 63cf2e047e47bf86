//! What was, for as long as a page shows it. Of no BEP.
//!
//! A ring of samples at even distances: memory and drawing are bounded however long it runs. The
//! clock is an argument.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::limits;

/// One moment.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Sample {
    /// Torrents in the table.
    pub(super) torrents: usize,
    /// Peers in the table.
    pub(super) peers: usize,
    /// Announces answered a second since the sample before.
    pub(super) announces: f64,
}

/// The samples, oldest first.
#[derive(Debug)]
pub(super) struct History {
    samples: VecDeque<Sample>,
    last: Instant,
    announces: u64,
}

impl History {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            samples: VecDeque::new(),
            last: now,
            announces: 0,
        }
    }

    /// Takes a sample when it is time; `announces` counts since the start.
    pub(super) fn tick(&mut self, now: Instant, (torrents, peers): (usize, usize), announces: u64) {
        let since = now.saturating_duration_since(self.last);
        if since < limits::SAMPLE_EVERY {
            return;
        }
        let new = announces.saturating_sub(self.announces);
        if self.samples.len() == limits::SAMPLES_MAX {
            self.samples.pop_front();
        }
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        self.samples.push_back(Sample {
            torrents,
            peers,
            announces: new as f64 / since.as_secs_f64(),
        });
        (self.last, self.announces) = (now, announces);
    }

    pub(super) fn samples(&self) -> impl ExactSizeIterator<Item = &Sample> {
        self.samples.iter()
    }

    /// Announces a second over the last minute.
    pub(super) fn rate(&self) -> f64 {
        let count = usize::try_from(60 / limits::SAMPLE_EVERY.as_secs()).unwrap_or(1);
        let last: Vec<_> = self.samples.iter().rev().take(count).collect();
        #[expect(clippy::cast_precision_loss, reason = "a handful")]
        let parts = last.len().max(1) as f64;
        last.iter()
            .map(|sample| sample.announces)
            .fold(0.0, |sum, one| sum + one)
            / parts
    }

    /// The time that so many samples cover.
    pub(super) fn span(samples: usize) -> Duration {
        limits::SAMPLE_EVERY * u32::try_from(samples).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_come_at_even_distances_and_the_oldest_go() {
        let mut now = Instant::now();
        let mut history = History::new(now);
        for second in 0..2 * limits::SAMPLES_MAX * 5 {
            now += Duration::from_secs(1);
            history.tick(now, (1, second), 10 * (second as u64 + 1));
        }
        assert_eq!(history.samples().len(), limits::SAMPLES_MAX);
        assert!(
            history
                .samples()
                .all(|sample| (sample.announces - 10.0).abs() < 1e-9)
        );
        let peers: Vec<_> = history.samples().map(|sample| sample.peers).collect();
        assert!(peers.is_sorted() && peers[0] > 0);
        assert!((history.rate() - 10.0).abs() < 1e-9);
    }
}
