//! What one peer has: everything, or a bitfield. BEP 3 "bitfield", "have"; BEP 6 "have all".
//!
//! A seed costs no memory, and counting it costs no loop. Knows nothing of what we have.

use shoal_metainfo::{Bitfield, PieceIndex};

/// The pieces that one peer has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holdings {
    /// Every piece, said at once.
    All,
    /// These.
    Some(Bitfield),
}

impl Holdings {
    /// From a bitfield; a full one is [`Self::All`].
    #[must_use]
    pub fn new(bits: Bitfield) -> Self {
        if bits.is_full() {
            Self::All
        } else {
            Self::Some(bits)
        }
    }

    /// Whether the piece is among them.
    #[must_use]
    pub fn has(&self, piece: PieceIndex) -> bool {
        match self {
            Self::All => true,
            Self::Some(bits) => bits.has(piece),
        }
    }

    /// Adds a piece; true when it is new.
    pub fn insert(&mut self, piece: PieceIndex) -> bool {
        match self {
            Self::All => false,
            Self::Some(bits) => bits.insert(piece),
        }
    }

    /// Takes a piece out; true when it was there. Of [`Self::All`] nothing can be taken.
    pub fn remove(&mut self, piece: PieceIndex) -> bool {
        match self {
            Self::All => false,
            Self::Some(bits) => bits.remove(piece),
        }
    }

    /// Whether they are all pieces.
    #[must_use]
    pub fn is_seed(&self) -> bool {
        match self {
            Self::All => true,
            Self::Some(bits) => bits.is_full(),
        }
    }

    /// How many, of a torrent with `pieces`.
    #[must_use]
    pub fn count(&self, pieces: u32) -> u32 {
        match self {
            Self::All => pieces,
            Self::Some(bits) => bits.count(),
        }
    }

    /// How many of them are not in `have`: eight pieces a step, no bit by bit.
    #[must_use]
    pub fn count_outside(&self, have: &Bitfield) -> u32 {
        match self {
            Self::All => have.pieces() - have.count(),
            Self::Some(bits) => bits
                .as_wire()
                .iter()
                .zip(have.as_wire())
                .map(|(theirs, ours)| (theirs & !ours).count_ones())
                .sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use shoal_metainfo::Geometry;

    proptest! {
        #[test]
        fn count_outside_is_the_size_of_the_difference(
            bools in prop::collection::vec((any::<bool>(), any::<bool>()), 1..300),
        ) {
            let pieces = u32::try_from(bools.len()).unwrap();
            let geometry = Geometry::new(u64::from(pieces), 1).unwrap();
            let (mut theirs, mut ours) = (Bitfield::none(pieces), Bitfield::none(pieces));
            for (piece, (they, we)) in geometry.all_pieces().zip(&bools) {
                if *they {
                    theirs.insert(piece);
                }
                if *we {
                    ours.insert(piece);
                }
            }
            let expected = bools.iter().filter(|(they, we)| *they && !*we).count();
            let holdings = Holdings::new(theirs.clone());
            prop_assert_eq!(holdings.count_outside(&ours) as usize, expected);
            prop_assert_eq!(holdings.is_seed(), theirs.is_full());
            prop_assert_eq!(holdings.count(pieces), theirs.count());
            let missing = pieces - ours.count();
            prop_assert_eq!(Holdings::All.count_outside(&ours), missing);
        }
    }
}
