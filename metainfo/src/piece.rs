//! Pieces and blocks, and the arithmetic between them. BEP 3 "piece length", "request".
//!
//! A [`Geometry`] is made once from checked numbers; a [`Block`] that came out of it lies inside
//! the torrent, and no one checks again. Knows nothing of files: that is storage's layout.

use std::fmt;

use crate::limits::{PIECE_LENGTH_MAX, PIECES_MAX};

/// Bytes in one block: the unit of a `request`. Source: BEP 3, "request": 2^14, others close.
pub const BLOCK_LENGTH: u32 = 1 << 14;

/// The number of a piece, from zero. It lies inside its torrent when [`Geometry::piece`] gave it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PieceIndex(u32);

impl PieceIndex {
    /// For indexing arrays that hold one entry a piece.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// As it goes on the wire.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for PieceIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A block as a peer names it: nothing about it is checked.
///
/// Shape: `index`, `begin` and `length` of a `request`, `cancel` or `reject`; bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RawBlock {
    /// Piece index as sent.
    pub index: u32,
    /// Offset inside the piece, bytes.
    pub begin: u32,
    /// Bytes.
    pub length: u32,
}

/// A range of bytes inside one piece, known to exist: `length` ≥ 1, `begin + length` ≤ the piece.
///
/// Only [`Geometry`] makes one. It is at most [`BLOCK_LENGTH`] long, at any `begin`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Block {
    piece: PieceIndex,
    begin: u32,
    length: u32,
}

impl Block {
    /// The piece it lies in.
    #[must_use]
    pub fn piece(self) -> PieceIndex {
        self.piece
    }

    /// Offset inside the piece, bytes.
    #[must_use]
    pub fn begin(self) -> u32 {
        self.begin
    }

    /// Bytes, 1 to [`BLOCK_LENGTH`].
    #[must_use]
    pub fn length(self) -> u32 {
        self.length
    }

    /// As it goes on the wire.
    #[must_use]
    pub fn raw(self) -> RawBlock {
        RawBlock {
            index: self.piece.0,
            begin: self.begin,
            length: self.length,
        }
    }

    /// Which block of its piece it is, when the piece is cut every [`BLOCK_LENGTH`] bytes.
    #[must_use]
    pub fn number(self) -> usize {
        (self.begin / BLOCK_LENGTH) as usize
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}+{}", self.piece, self.begin, self.length)
    }
}

/// Why numbers make no geometry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GeometryError {
    /// `piece length` is zero or above [`PIECE_LENGTH_MAX`].
    #[error("piece length {0} is not between 1 and {PIECE_LENGTH_MAX}")]
    PieceLength(u64),
    /// The content has no bytes at all.
    #[error("the torrent holds no bytes")]
    Empty,
    /// More than [`PIECES_MAX`] pieces.
    #[error("{0} pieces are more than {PIECES_MAX}")]
    TooManyPieces(u64),
}

/// Total length and piece length of a torrent, checked: everything about where pieces lie.
///
/// ```
/// use shoal_metainfo::piece::{BLOCK_LENGTH, Geometry, RawBlock};
/// let geometry = Geometry::new(100_000, 65_536).unwrap();
/// assert_eq!(geometry.pieces(), 2);
/// let last = geometry.piece(1).unwrap();
/// assert_eq!(geometry.piece_length(last), 34_464);
/// assert!(geometry.block(RawBlock { index: 1, begin: 32_768, length: BLOCK_LENGTH }).is_none());
/// assert_eq!(geometry.blocks(last).last().unwrap().length(), 34_464 - 32_768);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Geometry {
    total: u64,
    piece_length: u32,
    pieces: u32,
}

impl Geometry {
    /// From the sum of all file lengths and `piece length`, in bytes.
    ///
    /// # Errors
    /// [`GeometryError`] when a number is outside the bounds of [`crate::limits`].
    pub fn new(total: u64, piece_length: u64) -> Result<Self, GeometryError> {
        let wrong_length = GeometryError::PieceLength(piece_length);
        let short = u32::try_from(piece_length).map_err(|_| wrong_length)?;
        if short == 0 || short > PIECE_LENGTH_MAX {
            return Err(wrong_length);
        }
        if total == 0 {
            return Err(GeometryError::Empty);
        }
        let count = total.div_ceil(piece_length);
        match u32::try_from(count) {
            Ok(pieces) if pieces <= PIECES_MAX => Ok(Self {
                total,
                piece_length: short,
                pieces,
            }),
            _ => Err(GeometryError::TooManyPieces(count)),
        }
    }

    /// Bytes of content.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Number of pieces, at least one.
    #[must_use]
    pub fn pieces(&self) -> u32 {
        self.pieces
    }

    /// Bytes in every piece but perhaps the last.
    #[must_use]
    pub fn full_piece_length(&self) -> u32 {
        self.piece_length
    }

    /// The piece of that number, if there is one.
    #[must_use]
    pub fn piece(&self, index: u32) -> Option<PieceIndex> {
        (index < self.pieces).then_some(PieceIndex(index))
    }

    /// All pieces in order.
    pub fn all_pieces(
        &self,
    ) -> impl DoubleEndedIterator<Item = PieceIndex> + ExactSizeIterator + use<> {
        (0..self.pieces).map(PieceIndex)
    }

    /// Bytes in this piece.
    #[must_use]
    pub fn piece_length(&self, piece: PieceIndex) -> u32 {
        let rest = self.total - self.piece_begin(piece);
        u32::try_from(rest.min(u64::from(self.piece_length))).expect("a piece fits in u32")
    }

    /// Where the piece begins in the content, bytes.
    #[must_use]
    pub fn piece_begin(&self, piece: PieceIndex) -> u64 {
        assert!(
            piece.0 < self.pieces,
            "piece {piece} belongs to another torrent"
        );
        u64::from(piece.0) * u64::from(self.piece_length)
    }

    /// Checks what a peer named: `None` unless it lies inside one piece and is 1 byte to
    /// [`BLOCK_LENGTH`] long.
    #[must_use]
    pub fn block(&self, raw: RawBlock) -> Option<Block> {
        let piece = self.piece(raw.index)?;
        let end = raw.begin.checked_add(raw.length)?;
        let fits = (1..=BLOCK_LENGTH).contains(&raw.length) && end <= self.piece_length(piece);
        fits.then_some(Block {
            piece,
            begin: raw.begin,
            length: raw.length,
        })
    }

    /// How many blocks the piece is cut into.
    #[must_use]
    pub fn block_count(&self, piece: PieceIndex) -> usize {
        self.piece_length(piece).div_ceil(BLOCK_LENGTH) as usize
    }

    /// The blocks of a piece in order; all but the last are [`BLOCK_LENGTH`] long.
    pub fn blocks(&self, piece: PieceIndex) -> impl DoubleEndedIterator<Item = Block> + use<> {
        let piece_length = self.piece_length(piece);
        (0..piece_length.div_ceil(BLOCK_LENGTH)).map(move |number| {
            let begin = number * BLOCK_LENGTH;
            Block {
                piece,
                begin,
                length: BLOCK_LENGTH.min(piece_length - begin),
            }
        })
    }

    /// The block of that number in the piece, as [`Self::blocks`] counts them.
    #[must_use]
    pub fn nth_block(&self, piece: PieceIndex, number: usize) -> Option<Block> {
        let begin = u32::try_from(number).ok()?.checked_mul(BLOCK_LENGTH)?;
        let rest = self
            .piece_length(piece)
            .checked_sub(begin)
            .filter(|&rest| rest > 0)?;
        Some(Block {
            piece,
            begin,
            length: rest.min(BLOCK_LENGTH),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn geometry_refuses_numbers_outside_the_bounds() {
        assert_eq!(Geometry::new(1, 0), Err(GeometryError::PieceLength(0)));
        let above = u64::from(PIECE_LENGTH_MAX) + 1;
        assert_eq!(
            Geometry::new(1, above),
            Err(GeometryError::PieceLength(above))
        );
        assert_eq!(
            Geometry::new(1, u64::MAX),
            Err(GeometryError::PieceLength(u64::MAX))
        );
        assert_eq!(Geometry::new(0, 1 << 14), Err(GeometryError::Empty));
        assert_eq!(
            Geometry::new(u64::MAX, 1),
            Err(GeometryError::TooManyPieces(u64::MAX))
        );
        assert!(Geometry::new(u64::from(PIECES_MAX), 1).is_ok());
        assert!(Geometry::new(u64::from(PIECES_MAX) + 1, 1).is_err());
    }

    proptest! {
        #[test]
        fn blocks_tile_the_content(total in 1..5_000_000u64, piece_length in 1..200_000u64) {
            prop_assume!(total / piece_length < 10_000);
            let geometry = Geometry::new(total, piece_length).unwrap();
            let mut at = 0;
            for piece in geometry.all_pieces() {
                prop_assert_eq!(geometry.piece_begin(piece), at);
                prop_assert_eq!(geometry.blocks(piece).count(), geometry.block_count(piece));
                for (number, block) in geometry.blocks(piece).enumerate() {
                    prop_assert_eq!(geometry.block(block.raw()), Some(block));
                    prop_assert_eq!(geometry.nth_block(piece, number), Some(block));
                    prop_assert_eq!(block.number(), number);
                    at += u64::from(block.length());
                }
                prop_assert_eq!(geometry.nth_block(piece, geometry.block_count(piece)), None);
            }
            prop_assert_eq!(at, total);
        }

        #[test]
        fn block_never_reaches_outside(index: u32, begin: u32, length: u32) {
            let geometry = Geometry::new(1_000_003, 32_768).unwrap();
            if let Some(block) = geometry.block(RawBlock { index, begin, length }) {
                let end = u64::from(block.begin()) + u64::from(block.length());
                prop_assert!(geometry.piece_begin(block.piece()) + end <= geometry.total());
                prop_assert!(block.length() <= BLOCK_LENGTH);
            }
        }
    }
}
