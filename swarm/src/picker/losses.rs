//! Pieces that were there and are gone. BEP 54.

use shoal_metainfo::PieceIndex;

use super::Picker;
use super::state::Piece;

impl Picker {
    /// A verified piece of ours is gone: it is to be fetched again.
    pub fn lost(&mut self, piece: PieceIndex) {
        assert!(
            self.have.remove(piece),
            "a piece that was not there is gone"
        );
        self.pieces[piece.index()] = Piece::Missing;
        self.missing.insert(piece);
        self.order.insert(piece, &mut self.rng);
    }

    /// A peer no longer has this piece; it is no seed from the start.
    pub fn peer_lost(&mut self, piece: PieceIndex) {
        self.order.decrease(piece, &mut self.rng);
    }
}
