//! Pieces that were verified before: believed on the word of a journal, or doubted and hashed
//! again after their file was touched by others.
//!
//! Promise: a file that was lost is used again only when each verified piece in it has the
//! torrent's hash. Knows nothing of who doubts, or why.

use std::sync::atomic::{AtomicBool, Ordering};

use shoal_hashing::{Digest, Hasher};
use shoal_metainfo::{Bitfield, Block, PieceIndex};

use crate::edges::edges_number;
use crate::error::{Operation, StorageError};
use crate::layout::Place;
use crate::storage::{Storage, each_zero, length};

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

    /// Takes the files of a block out of use: it could not be read by others who were lent it.
    /// [`Self::recover`] takes them into use again.
    pub fn doubt(&self, block: Block) -> StorageError {
        self.lose(block);
        self.at_range(self.range(block), Operation::Read).changed()
    }

    pub(crate) fn lose(&self, block: Block) {
        for span in self.layout.spans(self.range(block)) {
            if let Place::File { file, .. } = span.place {
                self.content.files.lose(file);
            }
        }
    }

    /// Whether files vanished, shrank, were replaced or could not be read, so that they are out of
    /// use until [`Self::recover`].
    #[must_use]
    pub fn is_lost(&self) -> bool {
        let files = &self.content.files;
        self.files_on_disk()
            .for_each(|(file, _)| files.examine(file));
        files.examine(edges_number(&self.info));
        files.lost().next().is_some()
    }

    /// Takes files into use again that [are lost](Self::is_lost), each once every verified piece in
    /// it is there and good. When `cancel` becomes true, what was not judged stays as it is.
    ///
    /// # Errors
    /// [`StorageError`] about the first file in which one is not; it stays out of use.
    /// [`Changed`](StorageError::Changed) when it has other bytes.
    pub fn recover(&self, cancel: &AtomicBool) -> Result<(), StorageError> {
        if !self.is_lost() {
            return Ok(());
        }
        let files = &self.content.files;
        for file in files.lost() {
            let pieces = self.pieces_of(file);
            // What was bad the last time comes first: while it is, no other is hashed in vain.
            let bad = files.bad_piece(file);
            let (before, behind) = pieces.split_at(pieces.partition_point(|&piece| piece < bad));
            for &number in behind.iter().chain(before) {
                if cancel.load(Ordering::Relaxed) {
                    return Ok(());
                }
                if let Err(error) = self.judge_anew(file, number) {
                    files.set_bad_piece(file, number);
                    return Err(error);
                }
            }
            files.accept(file);
        }
        Ok(())
    }

    /// The pieces that lie in a file, some perhaps in others as well; ascending.
    fn pieces_of(&self, file: u32) -> Vec<u32> {
        let Some(entry) = self.info.files.get(file as usize) else {
            return self.edges.pieces().to_vec();
        };
        let content = entry.range();
        let length = u64::from(self.info.geometry.full_piece_length());
        let number = |piece| u32::try_from(piece).expect("a torrent has no more pieces");
        (number(content.start / length)..number(content.end.div_ceil(length))).collect()
    }

    /// That a piece, if it is verified, still is what it was.
    fn judge_anew(&self, file: u32, piece: u32) -> Result<(), StorageError> {
        let piece = self.info.geometry.piece(piece).expect("it is of a file");
        let held = self.pieces.read(piece);
        if held.verified() && self.hash_anew(piece)? != self.info.piece_hash(piece) {
            return Err(self.content.files.at(file, Operation::Read).changed());
        }
        Ok(())
    }

    /// The hash of a piece as it is on the disk, read past everything that is kept of its files.
    fn hash_anew(&self, piece: PieceIndex) -> Result<Digest, StorageError> {
        let mut hasher = Hasher::new();
        for span in self.spans(piece) {
            match span.place {
                Place::File { file, offset } => {
                    let range = offset..offset + span.length;
                    let files = &self.content.files;
                    files.read_anew(file, range, |bytes| hasher.update(bytes))?;
                }
                Place::Zeros => each_zero(length(span), |bytes| hasher.update(bytes)),
            }
        }
        Ok(hasher.finish())
    }
}
