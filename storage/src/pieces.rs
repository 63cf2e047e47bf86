//! One latch a piece: who may touch its bytes now, and whether they are verified.
//!
//! Mapped memory has no owner that the compiler sees, so this is the owner. Bytes of a piece are
//! written only under its [`Writing`] and read only under its [`Reading`]; both come from here,
//! never at the same time. Once verified, a piece is not written any more, so its bytes may also
//! be lent out for as long as a peer takes to receive them. Knows nothing of files.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use shoal_metainfo::PieceIndex;

/// The latches of all pieces of one torrent: 12 bytes each.
#[derive(Debug)]
pub(crate) struct Pieces(Box<[Piece]>);

#[derive(Debug, Default)]
struct Piece {
    latch: RwLock<()>,
    verified: AtomicBool,
}

/// No one writes the piece while this lives.
#[derive(Debug)]
pub(crate) struct Reading<'a> {
    piece: &'a Piece,
    _latch: RwLockReadGuard<'a, ()>,
}

/// The piece is not verified, and no one else reads or writes it while this lives.
#[derive(Debug)]
pub(crate) struct Writing<'a> {
    _latch: RwLockWriteGuard<'a, ()>,
}

impl Pieces {
    pub(crate) fn new(count: u32) -> Self {
        Self((0..count).map(|_| Piece::default()).collect())
    }

    /// Waits for the writer of this piece, if there is one.
    ///
    /// Who holds several takes them in ascending order, and all of them before any window.
    pub(crate) fn read(&self, piece: PieceIndex) -> Reading<'_> {
        let piece = &self.0[piece.index()];
        // The latch guards no data that a panic could have left half-made.
        let latch = piece.latch.read().unwrap_or_else(PoisonError::into_inner);
        Reading {
            piece,
            _latch: latch,
        }
    }

    /// Waits for everyone who reads or writes this piece; `None` when it is verified.
    pub(crate) fn write(&self, piece: PieceIndex) -> Option<Writing<'_>> {
        let piece = &self.0[piece.index()];
        let latch = piece.latch.write().unwrap_or_else(PoisonError::into_inner);
        let open = !piece.verified.load(Ordering::Acquire);
        open.then_some(Writing { _latch: latch })
    }
}

impl Reading<'_> {
    /// Whether the last hash of the piece was the torrent's.
    pub(crate) fn verified(&self) -> bool {
        self.piece.verified.load(Ordering::Acquire)
    }

    /// Notes what a hash of the whole piece has shown.
    pub(crate) fn set_verified(&self, verified: bool) {
        self.piece.verified.store(verified, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shoal_metainfo::Geometry;

    #[test]
    fn verified_piece_is_not_written_until_it_fails() {
        let geometry = Geometry::new(2, 1).unwrap();
        let (first, second) = (geometry.piece(0).unwrap(), geometry.piece(1).unwrap());
        let pieces = Pieces::new(2);
        assert!(pieces.write(first).is_some());
        pieces.read(first).set_verified(true);
        assert!(pieces.write(first).is_none());
        assert!(pieces.write(second).is_some());
        pieces.read(first).set_verified(false);
        assert!(pieces.write(first).is_some());
    }
}
