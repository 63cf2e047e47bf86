//! Whether pieces have the torrent's hashes, several at once. BEP 3 "pieces".
//!
//! Promise: pieces that are handed over together are hashed side by side, in bounded memory, and
//! none changes meanwhile. Knows nothing of who asks, or why now.

use std::ops::Range;

use shoal_hashing::{Digest, hash_pieces};
use shoal_metainfo::PieceIndex;

use crate::error::StorageError;
use crate::layout::Place;
use crate::limits::{CHECK_SPAN_MAX, PIECES_TOGETHER};
use crate::pieces::Reading;
use crate::storage::Storage;

/// A piece, and whether it is good.
pub type Judged = (PieceIndex, Result<bool, StorageError>);

/// So many pieces are best handed to [`Storage::verify_all`] at once: they fill the lanes of the
/// hash, and what each call costs beside it is shared.
#[must_use]
pub fn pieces_together() -> usize {
    shoal_hashing::lanes().max(PIECES_TOGETHER)
}

/// A file, and bytes of it.
pub(crate) type InFile = (u32, Range<u64>);

impl Storage {
    /// Whether the piece has the torrent's hash. From then on it is a verified piece, or not.
    ///
    /// # Errors
    /// [`StorageError`], as [`Self::read`]; the piece is not verified then.
    pub fn verify(&self, piece: PieceIndex) -> Result<bool, StorageError> {
        let mut judged = self.verify_all([piece]);
        judged.pop().expect("one was asked for").1
    }

    /// The same for many, hashed side by side; each of them once, in ascending order.
    #[must_use]
    pub fn verify_all(&self, pieces: impl IntoIterator<Item = PieceIndex>) -> Vec<Judged> {
        let mut pieces: Vec<_> = pieces.into_iter().collect();
        // Latches of several pieces are taken in ascending order, and each once.
        pieces.sort_unstable();
        pieces.dedup();
        let length = u64::from(self.info.geometry.full_piece_length());
        let span_max = CHECK_SPAN_MAX.min(self.content.windows.reservation_max());
        let together = usize::try_from(span_max / length).unwrap_or(usize::MAX);
        let mut judged = Vec::with_capacity(pieces.len());
        let mut whole = Vec::new();
        for piece in pieces {
            match self.in_one_file(piece) {
                Some(place) if together > 0 => whole.push((piece, place)),
                _ => judged.push(self.verify_alone(piece)),
            }
        }
        for some in whole.chunks(together.max(1)) {
            self.verify_together(some, &mut judged);
        }
        judged.sort_unstable_by_key(|(piece, _)| *piece);
        judged
    }

    /// Pieces that go into memory together.
    fn verify_together(&self, pieces: &[(PieceIndex, InFile)], judged: &mut Vec<Judged>) {
        let held: Vec<_> = pieces
            .iter()
            .map(|(piece, _)| self.pieces.read(*piece))
            .collect();
        // Declared first, so dropped last: the place is given back after the mappings are gone.
        let bytes = pieces.iter().map(|(_, (_, range))| range.end - range.start);
        let _place = self.content.windows.reserve(bytes.sum());
        let bring_in =
            |(_, (file, range)): &(_, InFile)| self.content.bring_in(*file, range.clone());
        let brought: Vec<_> = pieces.iter().map(bring_in).collect();
        let present = brought.iter().zip(&held);
        let present =
            present.filter_map(|(brought, held)| Some(brought.as_ref().ok()?.bytes(held)));
        let mut digests = hash_pieces(&present.collect::<Vec<_>>()).into_iter();
        for (((piece, _), held), brought) in pieces.iter().zip(&held).zip(&brought) {
            let digest = brought.as_ref().map_err(Clone::clone);
            let digest = digest.and_then(|brought| {
                let digest = digests.next().expect("one for each that is present");
                self.content.check_whole(brought).map(|()| digest)
            });
            judged.push(self.judge(*piece, held, digest));
        }
    }

    /// A piece that lies in several files, in padding, or is longer than what may be mapped at
    /// once. Holds no place while it waits for a window: who holds both could wait for ever.
    fn verify_alone(&self, piece: PieceIndex) -> Judged {
        let held = self.pieces.read(piece);
        let digest = self.hash(piece, &held);
        self.judge(piece, &held, digest)
    }

    /// Where the bytes of a piece lie, when that is one file. `None`: there are several, or none
    /// because all of it is padding.
    pub(crate) fn in_one_file(&self, piece: PieceIndex) -> Option<InFile> {
        let mut spans = self.spans(piece);
        match (spans.next()?, spans.next()) {
            (span, None) => match span.place {
                Place::File { file, offset } => Some((file, offset..offset + span.length)),
                Place::Zeros => None,
            },
            _ => None,
        }
    }

    fn judge(
        &self,
        piece: PieceIndex,
        held: &Reading<'_>,
        digest: Result<Digest, StorageError>,
    ) -> Judged {
        let verified = digest.map(|digest| digest == self.info.piece_hash(piece));
        held.set_verified(verified == Ok(true));
        (piece, verified)
    }
}
