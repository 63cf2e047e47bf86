//! What is always true of the states of pieces and blocks. For tests: walks everything.

use shoal_metainfo::Block;

use super::{BlockState, Picker, Piece, nth_block};
use crate::io::PeerKey;
use crate::limits::ENDGAME_DUPLICATES_MAX;

impl Picker {
    /// Everything that is marked as asked, with of whom. For tests: walks everything.
    #[doc(hidden)]
    #[must_use]
    pub fn requested(&self) -> Vec<(Block, PeerKey)> {
        let mut all = Vec::new();
        for &piece in &self.in_flight {
            let blocks = self.in_flight(piece).map(|inner| &inner.blocks);
            for (number, state) in blocks.into_iter().flatten().enumerate() {
                let block = nth_block(&self.geometry, piece, number);
                match state {
                    BlockState::Requested(holder) => all.push((block, *holder)),
                    BlockState::Contested(holders) => {
                        all.extend(holders.iter().map(|&holder| (block, holder)));
                    }
                    _ => {}
                }
            }
        }
        all
    }

    /// Panics when the states contradict each other. For tests: walks everything.
    #[doc(hidden)]
    pub fn check_invariants(&self) {
        self.order.check();
        for piece in self.geometry.all_pieces() {
            let state = &self.pieces[piece.index()];
            let is_missing = matches!(state, Piece::Missing);
            assert_eq!(
                is_missing,
                self.missing.has(piece),
                "missing bit of {piece}"
            );
            assert_eq!(is_missing, self.order.contains(piece), "order of {piece}");
            assert_eq!(
                matches!(state, Piece::Have),
                self.have.has(piece),
                "have {piece}"
            );
            let is_unwanted = matches!(state, Piece::Unwanted);
            assert!(!is_unwanted || !self.is_chosen(piece), "choice of {piece}");
            assert_eq!(
                is_unwanted || self.have.has(piece),
                self.settled.has(piece),
                "settled bit of {piece}"
            );
            let listed = self.in_flight.iter().filter(|&&other| other == piece);
            let partial = self.partial.iter().filter(|&&other| other == piece);
            let Piece::InFlight(inner) = state else {
                assert_eq!(
                    (listed.count(), partial.count()),
                    (0, 0),
                    "lists of {piece}"
                );
                continue;
            };
            let count = |wanted: &BlockState| inner.blocks.iter().filter(|b| *b == wanted).count();
            assert_eq!(count(&BlockState::Free), inner.free, "free of {piece}");
            assert_eq!(
                count(&BlockState::Received),
                inner.received,
                "received of {piece}"
            );
            assert!(
                inner.received < inner.blocks.len(),
                "{piece} should be verifying"
            );
            assert!(inner.free < inner.blocks.len(), "{piece} should be missing");
            let early = &inner.blocks[..inner.first_free.min(inner.blocks.len())];
            assert!(!early.contains(&BlockState::Free), "first_free of {piece}");
            assert_eq!(listed.count(), 1, "in_flight of {piece}");
            assert_eq!(
                partial.count(),
                usize::from(inner.free > 0),
                "partial of {piece}"
            );
            for block in &inner.blocks {
                if let BlockState::Contested(holders) = block {
                    let fits = 2..=ENDGAME_DUPLICATES_MAX + 1;
                    assert!(fits.contains(&holders.len()), "holders of {piece}");
                }
            }
        }
    }
}
