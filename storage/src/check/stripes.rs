//! Pieces that lie in several files, or are too long to be mapped together, hashed side by side.
//! BEP 3 "pieces".
//!
//! A little of each piece is read by a call into one buffer that stays in the processor's cache;
//! then all advance together. No file is mapped: of a hundred thousand small ones each would cost a
//! mapping. Knows nothing of claims and progress.

use shoal_hashing::{Digest, Hasher, Room, advance};
use shoal_metainfo::PieceIndex;

use crate::error::StorageError;
use crate::layout::Place;
use crate::limits::{READ_CHUNK, STRIPE_MIN};
use crate::storage::Storage;

/// The hash of each piece, or why it cannot be had; `None` when `is_over` became true meanwhile.
pub(super) fn hash_stripes(
    storage: &Storage,
    pieces: &[PieceIndex],
    room: &mut Room,
    is_over: impl Fn() -> bool,
) -> Option<Vec<Result<Digest, StorageError>>> {
    let count = pieces.len().max(1);
    let chunk = (READ_CHUNK / count / STRIPE_MIN).max(1) * STRIPE_MIN;
    // Short pieces need no more room than they have bytes.
    let chunk = chunk.min(storage.info.geometry.full_piece_length() as usize);
    let buffer = room.take(chunk * count);
    let mut lanes: Vec<_> = pieces.iter().map(|_| Ok(Hasher::new())).collect();
    let length = u64::from(storage.info.geometry.full_piece_length());
    for stripe in (0..length).step_by(chunk) {
        if is_over() {
            return None;
        }
        let mut parts = Vec::with_capacity(count);
        let each = pieces.iter().zip(&mut lanes).zip(buffer.chunks_mut(chunk));
        for ((&piece, lane), room) in each {
            if lane.is_err() {
                continue;
            }
            let whole = storage.piece_range(piece);
            // The last piece may have ended.
            let begin = whole.end.min(whole.start + stripe);
            let left = usize::try_from(whole.end - begin).unwrap_or(usize::MAX);
            let part = &mut room[..left.min(chunk)];
            if let Err(error) = read(storage, begin, part) {
                *lane = Err(error);
            } else if let Ok(hasher) = lane {
                parts.push((hasher, &*part));
            }
        }
        advance(&mut parts);
    }
    let finish = |lane: Result<Hasher, StorageError>| lane.map(Hasher::finish);
    Some(lanes.into_iter().map(finish).collect())
}

/// Fills the buffer with the content from `begin` on.
fn read(storage: &Storage, begin: u64, mut buffer: &mut [u8]) -> Result<(), StorageError> {
    let range = begin..begin + buffer.len() as u64;
    for span in storage.layout.spans(range) {
        let length = usize::try_from(span.length).expect("it fits the buffer");
        let (now, later) = buffer.split_at_mut(length);
        match span.place {
            Place::File { file, offset } => storage.content.files.read_at(file, offset, now)?,
            Place::Zeros => now.fill(0),
        }
        buffer = later;
    }
    Ok(())
}
