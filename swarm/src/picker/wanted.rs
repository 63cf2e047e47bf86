//! Which pieces are wanted at all: those of the files that somebody chose. BEP 53 "select only".
//!
//! A piece that is not wanted is never asked for; one that is here is served whether it is wanted
//! or not.

use shoal_metainfo::{Bitfield, PieceIndex};

use super::Picker;
use super::state::Piece;

impl Picker {
    /// Only these pieces are wanted. To be said before anything is asked for.
    pub fn choose(&mut self, pieces: Bitfield) {
        assert_eq!(
            pieces.pieces(),
            self.geometry.pieces(),
            "another torrent's bitfield"
        );
        assert!(self.in_flight.is_empty(), "chosen before all is asked for");
        self.wanted = Some(pieces);
        for piece in self.geometry.all_pieces() {
            let unwanted = !self.is_chosen(piece);
            if unwanted && matches!(self.pieces[piece.index()], Piece::Missing) {
                self.pieces[piece.index()] = Piece::Unwanted;
                self.missing.remove(piece);
                self.order.remove(piece);
                self.settled.insert(piece);
            }
        }
    }

    /// Whether it is among the chosen pieces, here or not.
    pub(super) fn is_chosen(&self, piece: PieceIndex) -> bool {
        self.wanted.as_ref().is_none_or(|wanted| wanted.has(piece))
    }

    /// Whether the piece is wanted and not ours.
    #[must_use]
    pub fn lacks(&self, piece: PieceIndex) -> bool {
        !self.settled.has(piece)
    }

    /// The pieces that are ours or not wanted: nothing is asked for them.
    #[must_use]
    pub fn settled(&self) -> &Bitfield {
        &self.settled
    }

    /// The pieces that are wanted, ours or not; `None`: all of them.
    #[must_use]
    pub fn wanted(&self) -> Option<&Bitfield> {
        self.wanted.as_ref()
    }
}
