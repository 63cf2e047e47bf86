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

use crate::io::PeerKey;
use crate::limits::SUGGEST_AGAIN_AFTER;

/// The pieces not yet dealt, and those dealt that nobody has reported.
#[derive(Debug)]
pub struct Spread {
    /// To be dealt from the back: at first in random order, behind them what came back.
    fresh: VecDeque<PieceIndex>,
    /// Dealt and not yet reported by anybody, oldest first.
    dealt: VecDeque<Deal>,
    /// Somebody was told of the piece, or asked for it.
    begun: Bitfield,
}

#[derive(Debug)]
struct Deal {
    piece: PieceIndex,
    to: PeerKey,
    at: Instant,
}

impl Spread {
    /// All pieces are to be dealt.
    #[must_use]
    pub fn new(pieces: impl ExactSizeIterator<Item = PieceIndex>, seed: u64) -> Self {
        let count = u32::try_from(pieces.len()).expect("at most PIECES_MAX pieces");
        let mut fresh: Vec<_> = pieces.collect();
        Rng::with_seed(seed).shuffle(&mut fresh);
        Self {
            fresh: fresh.into(),
            dealt: VecDeque::new(),
            begun: Bitfield::none(count),
        }
    }

    /// The piece to suggest next; `is_out` says whether a leecher has it already. `None` when every
    /// piece is out or on its way.
    pub fn deal(
        &mut self,
        now: Instant,
        to: PeerKey,
        is_out: impl Fn(PieceIndex) -> bool,
    ) -> Option<PieceIndex> {
        while self.dealt.pop_front_if(|deal| is_out(deal.piece)).is_some() {}
        while let Some(piece) = self.fresh.pop_back() {
            if !is_out(piece) && self.begun.insert(piece) {
                self.dealt.push_back(Deal { piece, to, at: now });
                return Some(piece);
            }
        }
        // Whoever was told of it has not got it: somebody else may.
        let waited = |at: Instant| now.saturating_duration_since(at) >= SUGGEST_AGAIN_AFTER;
        let Deal { piece, .. } = self.dealt.pop_front_if(|deal| waited(deal.at))?;
        self.dealt.push_back(Deal { piece, to, at: now });
        Some(piece)
    }

    /// Somebody asked for the piece; true when it was not dealt before.
    pub fn asked(&mut self, now: Instant, by: PeerKey, piece: PieceIndex) -> bool {
        let unforeseen = self.begun.insert(piece);
        if unforeseen {
            self.dealt.push_back(Deal {
                piece,
                to: by,
                at: now,
            });
        }
        unforeseen
    }

    /// The peer gets nothing more for now: what was dealt to it, others get, after all that is new.
    pub fn take_back(&mut self, from: PeerKey) {
        let Self {
            fresh,
            dealt,
            begun,
        } = self;
        dealt.retain(|deal| {
            let stays = deal.to != from;
            if !stays {
                begun.remove(deal.piece);
                fresh.push_front(deal.piece);
            }
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shoal_metainfo::Geometry;
    use std::collections::BTreeSet;

    const A: PeerKey = PeerKey(1);
    const B: PeerKey = PeerKey(2);

    fn spread() -> Spread {
        Spread::new(Geometry::new(20, 1).unwrap().all_pieces(), 1)
    }

    #[test]
    fn every_piece_is_dealt_once_before_any_is_dealt_twice() {
        let now = Instant::now();
        let mut spread = spread();
        let dealt: Vec<_> = std::iter::from_fn(|| spread.deal(now, A, |_| false)).collect();
        assert_eq!(dealt.len(), 20);
        assert_eq!(dealt.iter().collect::<BTreeSet<_>>().len(), 20);
        assert!(!dealt.is_sorted());
        let later = now + SUGGEST_AGAIN_AFTER;
        assert_eq!(
            spread.deal(later, A, |piece| piece != dealt[7]),
            Some(dealt[7])
        );
        assert_eq!(spread.deal(later, A, |piece| piece != dealt[7]), None);
    }

    #[test]
    fn piece_that_is_out_or_asked_for_is_not_dealt() {
        let now = Instant::now();
        let mut spread = spread();
        let pieces = Geometry::new(20, 1).unwrap();
        let asked = pieces.piece(3).unwrap();
        assert!(spread.asked(now, A, asked));
        assert!(!spread.asked(now, A, asked));
        let is_out = |piece: PieceIndex| piece.get() >= 10;
        let dealt: BTreeSet<_> = std::iter::from_fn(|| spread.deal(now, A, is_out)).collect();
        assert_eq!(dealt.len(), 9);
        assert!(!dealt.contains(&asked));
        assert_eq!(spread.deal(now + SUGGEST_AGAIN_AFTER, A, |_| true), None);
    }

    #[test]
    fn what_a_choked_peer_did_not_get_is_dealt_again_after_all_that_is_new() {
        let now = Instant::now();
        let mut spread = spread();
        let first = spread.deal(now, A, |_| false).unwrap();
        spread.take_back(A);
        let dealt: Vec<_> = std::iter::from_fn(|| spread.deal(now, B, |_| false)).collect();
        assert_eq!(dealt.len(), 20);
        assert_eq!(dealt.last(), Some(&first));
        spread.take_back(A);
        assert_eq!(spread.deal(now, A, |_| false), None, "they are B's");
    }
}
