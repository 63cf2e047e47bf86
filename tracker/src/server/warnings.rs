//! Warnings that a flood cannot turn into one: so many a second, the rest counted. Of no BEP.
//!
//! Knows nothing of where they are written.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::limits;

/// Counts warnings of all kinds together.
#[derive(Debug, Default)]
pub(super) struct Warnings(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    second: Option<Instant>,
    given: u32,
    withheld: u64,
}

impl Warnings {
    /// Whether one more may be written now; if so, how many were not since the last.
    pub(super) fn allow(&self, now: Instant) -> Option<u64> {
        // Nothing panics while it is held.
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let over = |begun: Instant| now >= begun + Duration::from_secs(1);
        if state.second.is_none_or(over) {
            (state.second, state.given) = (Some(now), 0);
        }
        if state.given >= limits::WARNINGS_PER_SECOND_MAX {
            state.withheld += 1;
            return None;
        }
        state.given += 1;
        Some(std::mem::take(&mut state.withheld))
    }

    /// Writes one of a failure, unless too many were.
    pub(super) fn tell(&self, what: &str, error: &dyn std::fmt::Display) {
        match self.allow(Instant::now()) {
            Some(0) => tracing::warn!(%error, "{what}"),
            Some(withheld) => tracing::warn!(%error, withheld, "{what}"),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_beyond_the_bound_of_a_second_are_counted_for_the_next() {
        let (warnings, now) = (Warnings::default(), Instant::now());
        let max = u64::from(limits::WARNINGS_PER_SECOND_MAX);
        let told: Vec<_> = (0..100).filter_map(|_| warnings.allow(now)).collect();
        assert_eq!(told, vec![0; limits::WARNINGS_PER_SECOND_MAX as usize]);
        assert_eq!(warnings.allow(now + Duration::from_millis(999)), None);
        assert_eq!(
            warnings.allow(now + Duration::from_secs(1)),
            Some(101 - max)
        );
        assert_eq!(warnings.allow(now + Duration::from_secs(1)), Some(0));
    }
}
