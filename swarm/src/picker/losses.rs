//! Pieces that were there and are gone. BEP 54.

use shoal_metainfo::PieceIndex;

use super::Picker;
use super::state::Piece;

impl Picker {
    /// A verified piece of ours is gone: it is to be fetched again, if it is wanted.
    pub fn lost(&mut self, piece: PieceIndex) {
        assert!(
            self.have.remove(piece),
            "a piece that was not there is gone"
        );
        if !self.is_chosen(piece) {
            self.pieces[piece.index()] = Piece::Unwanted;
            return;
        }
        self.pieces[piece.index()] = Piece::Missing;
        self.settled.remove(piece);
        self.missing.insert(piece);
        self.order.insert(piece, &mut self.rng);
    }

    /// A peer no longer has this piece; it is no seed from the start.
    pub fn peer_lost(&mut self, piece: PieceIndex) {
        self.order.decrease(piece, &mut self.rng);
    }
}
