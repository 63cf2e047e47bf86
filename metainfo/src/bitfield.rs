//! Which pieces someone has: one bit a piece, the high bit of the first byte is piece 0. BEP 3
//! "bitfield".
//!
//! Spare bits at the end are always zero. Knows nothing of who has the pieces.

use bitvec::prelude::{BitVec, Msb0};

use crate::piece::PieceIndex;

/// A set of pieces with a fixed number of places, and how many are in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bitfield {
    bits: BitVec<u8, Msb0>,
    count: u32,
}

/// Why bytes from a peer are no bitfield of this torrent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BitfieldError {
    /// Not ⌈pieces / 8⌉ bytes.
    #[error("a bitfield of {found} bytes where {expected} belong")]
    Length {
        /// ⌈pieces / 8⌉.
        expected: usize,
        /// Bytes that came.
        found: usize,
    },
    /// A bit behind the last piece is set.
    #[error("a spare bit of the bitfield is set")]
    SpareBits,
}

impl Bitfield {
    /// With room for `pieces` pieces, none of them in it.
    #[must_use]
    pub fn none(pieces: u32) -> Self {
        Self {
            bits: BitVec::repeat(false, pieces as usize),
            count: 0,
        }
    }

    /// With all of `pieces` pieces in it.
    #[must_use]
    pub fn all(pieces: u32) -> Self {
        let mut all = Self {
            bits: BitVec::repeat(true, pieces as usize),
            count: pieces,
        };
        all.bits.set_uninitialized(false);
        all
    }

    /// From the payload of a `bitfield` message.
    ///
    /// # Errors
    /// [`BitfieldError`] unless the length fits exactly and all spare bits are zero.
    ///
    /// Source: BEP 3, "bitfield": spare bits are zero; BEP 3 clients close otherwise.
    pub fn from_wire(payload: &[u8], pieces: u32) -> Result<Self, BitfieldError> {
        let expected = pieces.div_ceil(8) as usize;
        if payload.len() != expected {
            return Err(BitfieldError::Length {
                expected,
                found: payload.len(),
            });
        }
        let spare = expected * 8 - pieces as usize;
        if payload
            .last()
            .is_some_and(|last| (last.trailing_zeros() as usize) < spare)
        {
            return Err(BitfieldError::SpareBits);
        }
        let mut bits = BitVec::from_slice(payload);
        bits.truncate(pieces as usize);
        let count = payload.iter().map(|byte| byte.count_ones()).sum();
        Ok(Self { bits, count })
    }

    /// The bytes of a `bitfield` message; spare bits are zero.
    #[must_use]
    pub fn as_wire(&self) -> &[u8] {
        self.bits.as_raw_slice()
    }

    /// Whether the piece is in it.
    #[must_use]
    pub fn has(&self, piece: PieceIndex) -> bool {
        self.bits[piece.index()]
    }

    /// Puts the piece in; true when it was not there.
    pub fn insert(&mut self, piece: PieceIndex) -> bool {
        let new = !self.bits.replace(piece.index(), true);
        self.count += u32::from(new);
        new
    }

    /// Takes the piece out; true when it was there.
    pub fn remove(&mut self, piece: PieceIndex) -> bool {
        let old = self.bits.replace(piece.index(), false);
        self.count -= u32::from(old);
        old
    }

    /// How many pieces are in it.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// How many pieces there could be.
    #[must_use]
    pub fn pieces(&self) -> u32 {
        u32::try_from(self.bits.len()).expect("made from a u32")
    }

    /// Whether every piece is in it.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.count == self.pieces()
    }

    /// Whether no piece is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The numbers of the pieces in it, ascending.
    pub fn ones(&self) -> impl Iterator<Item = u32> + '_ {
        places(self.as_wire(), 0)
    }

    /// The numbers of the pieces not in it, ascending.
    pub fn zeros(&self) -> impl Iterator<Item = u32> + '_ {
        let pieces = self.pieces();
        places(self.as_wire(), u64::MAX).take_while(move |&place| place < pieces)
    }
}

/// Where the bits are that differ from those of `unlike`, 64 of them a step; behind the last piece
/// too. The iterators of `bitvec` take twice as long.
fn places(bytes: &[u8], unlike: u64) -> impl Iterator<Item = u32> + '_ {
    let words = bytes.chunks(8).map(move |bytes| {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        u64::from_be_bytes(word) ^ unlike
    });
    words.zip((0..).step_by(64)).flat_map(|(mut word, start)| {
        std::iter::from_fn(move || {
            let place = word.leading_zeros();
            // Of 64 zeros there is no first one.
            word &= !(1u64 << 63).checked_shr(place)?;
            Some(start + place)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::Geometry;
    use proptest::prelude::*;

    #[test]
    fn first_piece_is_the_high_bit() {
        let geometry = Geometry::new(10, 1).unwrap();
        let mut bits = Bitfield::none(10);
        assert!(bits.insert(geometry.piece(0).unwrap()));
        assert!(bits.insert(geometry.piece(9).unwrap()));
        assert!(!bits.insert(geometry.piece(9).unwrap()));
        assert_eq!(bits.as_wire(), [0b1000_0000, 0b0100_0000]);
        assert_eq!(bits.count(), 2);
        assert!(bits.remove(geometry.piece(0).unwrap()));
        assert_eq!(bits.ones().collect::<Vec<_>>(), [9]);
    }

    #[test]
    fn full_bitfield_keeps_spare_bits_zero() {
        assert_eq!(Bitfield::all(10).as_wire(), [0xff, 0b1100_0000]);
        assert!(Bitfield::all(10).is_full());
        assert_eq!(
            Bitfield::from_wire(&[0xff, 0b1100_0000], 10).unwrap(),
            Bitfield::all(10)
        );
    }

    #[test]
    fn wrong_length_and_spare_bits_are_refused() {
        let length = |found| BitfieldError::Length { expected: 2, found };
        assert_eq!(Bitfield::from_wire(&[0], 10), Err(length(1)));
        assert_eq!(Bitfield::from_wire(&[0; 3], 10), Err(length(3)));
        assert_eq!(
            Bitfield::from_wire(&[0, 0b0010_0000], 10),
            Err(BitfieldError::SpareBits)
        );
        assert!(Bitfield::from_wire(&[0xff], 8).is_ok());
    }

    proptest! {
        #[test]
        fn wire_form_round_trips(bools in prop::collection::vec(any::<bool>(), 1..300)) {
            let pieces = u32::try_from(bools.len()).unwrap();
            let geometry = Geometry::new(u64::from(pieces), 1).unwrap();
            let mut bits = Bitfield::none(pieces);
            for (piece, _) in geometry.all_pieces().zip(&bools).filter(|(_, has)| **has) {
                bits.insert(piece);
            }
            prop_assert_eq!(Bitfield::from_wire(bits.as_wire(), pieces), Ok(bits.clone()));
            prop_assert_eq!(bits.count() as usize, bools.iter().filter(|has| **has).count());
            let bools = &bools;
            let those = |wanted| (0..pieces).filter(move |&n| bools[n as usize] == wanted);
            prop_assert!(bits.ones().eq(those(true)), "{:?}", bits);
            prop_assert!(bits.zeros().eq(those(false)), "{:?}", bits);
        }
    }
}
