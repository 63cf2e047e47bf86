//! Pieces that may not be what they were, because a block of their file could not be read.
//!
//! A file that was cut comes back with the same bytes or with others. Promise: from the first read
//! that failed, nothing is served until every verified piece of that file has been hashed again.
//! Knows nothing of peers.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shoal_metainfo::{Block, PieceIndex};
use shoal_storage::StorageError;

use super::{Answer, Deed, TorrentDisk};
use crate::note::Note;
use crate::tasks::panic_text;

#[derive(Default)]
pub(super) struct Suspects {
    pieces: Mutex<BTreeSet<PieceIndex>>,
    /// Whether there are any: asked for each block.
    any: AtomicBool,
}

impl Suspects {
    pub(super) fn are_there(&self) -> bool {
        self.any.load(Ordering::SeqCst)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<PieceIndex>> {
        // Nothing panics while the lock is held; a poisoned one is whole.
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, mut pieces: BTreeSet<PieceIndex>) {
        let mut suspects = self.lock();
        suspects.append(&mut pieces);
        self.any.store(true, Ordering::SeqCst);
    }

    /// Takes out those that were judged and are not left.
    fn clear(&self, judged: &BTreeSet<PieceIndex>, left: &BTreeSet<PieceIndex>) {
        let mut pieces = self.lock();
        pieces.retain(|piece| !judged.contains(piece) || left.contains(piece));
        self.any.store(!pieces.is_empty(), Ordering::SeqCst);
    }
}

impl TorrentDisk {
    /// Tells that a block could not be read, and serves no more.
    pub(super) fn unreadable(&self, block: Block, error: StorageError, answers: &mut Vec<Note>) {
        let piece = block.piece();
        if !self.suspects.lock().contains(&piece) {
            let mut beside = self.store.verified_beside(piece);
            beside.insert(piece);
            self.suspects.add(beside);
        }
        let deed = Deed::Read { block };
        answers.push(Note::Disk(Answer::Failed { error, deed }));
    }

    /// Reads these blocks, for one of them could not be read.
    pub(super) fn look_at(&self, blocks: &[Block], answers: &mut Vec<Note>) {
        for &block in blocks {
            if let Err(error) = self.store.read(block) {
                return self.unreadable(block, error, answers);
            }
        }
    }

    /// Hashes the suspects on the thread for checks, and answers for the try that this is part of.
    pub(super) fn judge_suspects(self: &Arc<Self>) {
        let disk = self.clone();
        self.lanes.check(move || {
            let suspects = disk.suspects.lock().clone();
            let mut left = suspects.clone();
            let work = AssertUnwindSafe(|| disk.store.verify_again(&mut left));
            let answer = match catch_unwind(work) {
                Ok(verdict) => {
                    disk.suspects.clear(&suspects, &left);
                    Answer::Retried(verdict)
                }
                Err(panic) => Answer::Panicked(panic_text(&*panic)),
            };
            disk.answers.append(&mut vec![Note::Disk(answer)]);
        });
    }
}
