//! Pieces of metadata that one peer asked us for. BEP 9: too many are rejected.
//!
//! A few are answered at once, the others at a rate that a line can take, so that nobody makes us
//! hold more than numbers for it.

use std::collections::VecDeque;
use std::time::Instant;

use crate::limits::{METADATA_OWED_MAX, METADATA_SERVED_BURST, METADATA_SERVED_PER_S};
use crate::rates::TokenBucket;

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is answered in its turn.
    Later,
    /// Too many wait, or this one does already.
    Reject,
}

/// What one peer waits for.
#[derive(Debug)]
pub struct Owed {
    pieces: VecDeque<u32>,
    pace: TokenBucket,
}

impl Owed {
    /// Nothing.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            pieces: VecDeque::new(),
            pace: TokenBucket::new(Some(METADATA_SERVED_PER_S), METADATA_SERVED_BURST, now),
        }
    }

    /// The peer asks for a piece that exists.
    pub fn asked(&mut self, piece: u32) -> Answer {
        if self.pieces.len() >= METADATA_OWED_MAX || self.pieces.contains(&piece) {
            return Answer::Reject;
        }
        self.pieces.push_back(piece);
        Answer::Later
    }

    /// The next piece to send, if its time has come.
    pub fn next(&mut self, now: Instant) -> Option<u32> {
        self.pieces.front()?;
        if !self.pace.take(now, 1) {
            return None;
        }
        self.pieces.pop_front()
    }

    /// When [`Self::next`] has one; `None`: nothing waits.
    #[must_use]
    pub fn ready_at(&self) -> Option<Instant> {
        self.pieces.front()?;
        self.pace.ready_at(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_is_asked_comes_in_order_at_a_rate() {
        let start = Instant::now();
        let mut owed = Owed::new(start);
        assert_eq!((owed.next(start), owed.ready_at()), (None, None));
        let asked = u32::try_from(METADATA_SERVED_BURST + METADATA_SERVED_PER_S).unwrap();
        (0..asked).for_each(|piece| assert_eq!(owed.asked(piece), Answer::Later));
        assert_eq!(owed.asked(asked - 1), Answer::Reject, "it waits already");
        let mut sent = Vec::new();
        while let Some(piece) = owed.next(start) {
            sent.push(piece);
        }
        assert_eq!(sent.len() as u64, METADATA_SERVED_BURST);
        assert!(owed.ready_at().is_some_and(|at| at > start));
        let second = start + Duration::from_secs(1);
        while let Some(piece) = owed.next(second) {
            sent.push(piece);
        }
        assert_eq!(sent, (0..asked).collect::<Vec<_>>());
    }

    #[test]
    fn flood_is_rejected() {
        let mut owed = Owed::new(Instant::now());
        let most = u32::try_from(METADATA_OWED_MAX).unwrap();
        (0..most).for_each(|piece| assert_eq!(owed.asked(piece), Answer::Later));
        assert_eq!(owed.asked(most), Answer::Reject);
    }
}
