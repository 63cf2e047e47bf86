//! What a seed suggests to whom, so that every piece leaves it once before any leaves it twice.
//! BEP 6 "suggest piece".
//!
//! Leechers who choose for themselves ask a lone seed for the same pieces about one time in four;
//! each is a piece of time lost for the whole swarm. Here the pieces that no leecher has yet are
//! dealt out like cards. Knows no peers: who gets the next piece is the caller's business.

use std::collections::VecDeque;
use std::time::Instant;

use fastrand::Rng;
use shoal_metainfo::{Bitfield, PieceIndex};

use crate::limits::SUGGEST_AGAIN_AFTER;

/// The pieces not yet dealt, and those dealt that nobody has reported.
#[derive(Debug)]
pub struct Spread {
    /// Never dealt, in random order.
    fresh: Vec<PieceIndex>,
    /// Dealt and not yet reported by anybody, oldest first.
    dealt: VecDeque<(PieceIndex, Instant)>,
    /// Somebody was told of the piece, or asked for it.
    begun: Bitfield,
}

impl Spread {
    /// All pieces are to be dealt.
    #[must_use]
    pub fn new(pieces: impl ExactSizeIterator<Item = PieceIndex>, seed: u64) -> Self {
        let count = u32::try_from(pieces.len()).expect("at most PIECES_MAX pieces");
        let mut fresh: Vec<_> = pieces.collect();
        Rng::with_seed(seed).shuffle(&mut fresh);
        Self {
            fresh,
            dealt: VecDeque::new(),
            begun: Bitfield::none(count),
        }
    }

    /// The piece to suggest next; `is_out` says whether a leecher has it already. `None` when every
    /// piece is out or on its way.
    pub fn deal(
        &mut self,
        now: Instant,
        is_out: impl Fn(PieceIndex) -> bool,
    ) -> Option<PieceIndex> {
        while self.dealt.front().is_some_and(|(piece, _)| is_out(*piece)) {
            self.dealt.pop_front();
        }
        while let Some(piece) = self.fresh.pop() {
            if !is_out(piece) && self.begun.insert(piece) {
                self.dealt.push_back((piece, now));
                return Some(piece);
            }
        }
        // Whoever was told of it has not got it: somebody else may.
        let waited = |at: Instant| now.saturating_duration_since(at) >= SUGGEST_AGAIN_AFTER;
        let (piece, _) = self.dealt.pop_front_if(|(_, at)| waited(*at))?;
        self.dealt.push_back((piece, now));
        Some(piece)
    }

    /// Somebody asked for the piece; true when it was not dealt before.
    pub fn asked(&mut self, now: Instant, piece: PieceIndex) -> bool {
        let unforeseen = self.begun.insert(piece);
        if unforeseen {
            self.dealt.push_back((piece, now));
        }
        unforeseen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shoal_metainfo::Geometry;
    use std::collections::BTreeSet;

    fn spread() -> Spread {
        Spread::new(Geometry::new(20, 1).unwrap().all_pieces(), 1)
    }

    #[test]
    fn every_piece_is_dealt_once_before_any_is_dealt_twice() {
        let now = Instant::now();
        let mut spread = spread();
        let dealt: Vec<_> = std::iter::from_fn(|| spread.deal(now, |_| false)).collect();
        assert_eq!(dealt.len(), 20);
        assert_eq!(dealt.iter().collect::<BTreeSet<_>>().len(), 20);
        assert!(!dealt.is_sorted());
        let later = now + SUGGEST_AGAIN_AFTER;
        assert_eq!(
            spread.deal(later, |piece| piece != dealt[7]),
            Some(dealt[7])
        );
        assert_eq!(spread.deal(later, |piece| piece != dealt[7]), None);
    }

    #[test]
    fn piece_that_is_out_or_asked_for_is_not_dealt() {
        let now = Instant::now();
        let mut spread = spread();
        let pieces = Geometry::new(20, 1).unwrap();
        let asked = pieces.piece(3).unwrap();
        assert!(spread.asked(now, asked));
        assert!(!spread.asked(now, asked));
        let is_out = |piece: PieceIndex| piece.get() >= 10;
        let dealt: BTreeSet<_> = std::iter::from_fn(|| spread.deal(now, is_out)).collect();
        assert_eq!(dealt.len(), 9);
        assert!(!dealt.contains(&asked));
        assert_eq!(spread.deal(now + SUGGEST_AGAIN_AFTER, |_| true), None);
    }
}
