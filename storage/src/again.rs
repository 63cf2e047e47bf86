//! Pieces that were verified before: believed on the word of a journal, or doubted and hashed
//! again after their file was touched by others.
//!
//! Promise: a piece leaves a set of suspects only when it has the torrent's hash. Knows nothing of
//! who doubts, or why.

use std::collections::BTreeSet;

use shoal_metainfo::{Bitfield, PieceIndex};

use crate::error::{Operation, StorageError};
use crate::layout::Place;
use crate::storage::Storage;
use crate::verify::pieces_together;

impl Storage {
    /// Takes these pieces as verified, without a look at them: a [`Journal`](crate::Journal)
    /// vouches for them.
    ///
    /// # Panics
    /// When the bitfield is of another torrent.
    pub fn trust(&self, pieces: &Bitfield) {
        let geometry = &self.info.geometry;
        assert_eq!(pieces.pieces(), geometry.pieces(), "another torrent's");
        for piece in pieces.ones().filter_map(|number| geometry.piece(number)) {
            self.pieces.read(piece).set_verified(true);
        }
    }

    /// The verified pieces in the files that this piece lies in: those to doubt with it when its
    /// bytes cannot be had.
    #[must_use]
    pub fn verified_beside(&self, piece: PieceIndex) -> BTreeSet<PieceIndex> {
        let geometry = &self.info.geometry;
        let length = u64::from(geometry.full_piece_length());
        let mut beside = BTreeSet::new();
        for span in self.spans(piece) {
            let Place::File { file, .. } = span.place else {
                continue;
            };
            let content = self.info.files[file as usize].range();
            let numbers = content.start / length..content.end.div_ceil(length);
            let pieces = numbers.filter_map(|number| geometry.piece(u32::try_from(number).ok()?));
            beside.extend(pieces.filter(|&piece| self.pieces.read(piece).verified()));
        }
        beside
    }

    /// Hashes pieces that were verified, and takes each that still is out of the set.
    ///
    /// # Errors
    /// [`StorageError`] about the first that cannot be read;
    /// [`Changed`](StorageError::Changed) about the first that has another hash now.
    pub fn verify_again(&self, suspects: &mut BTreeSet<PieceIndex>) -> Result<(), StorageError> {
        while !suspects.is_empty() {
            let some: Vec<_> = suspects.iter().copied().take(pieces_together()).collect();
            for (piece, good) in self.verify_all(some) {
                if !good? {
                    let range = self.piece_range(piece);
                    return Err(self.at_range(range, Operation::Read).changed());
                }
                suspects.remove(&piece);
            }
        }
        Ok(())
    }
}
