//! Verifying complete pieces, several side by side. BEP 3 "pieces".
//!
//! Promise: while pieces come fast, one waits [`VERIFY_WAIT`] at most for others to be hashed
//! with; while they come slowly, not at all. One thread gathers at a time, so that what comes is
//! not scattered over all of them. Knows nothing of hashing but how many pieces pay.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use shoal_metainfo::PieceIndex;
use shoal_storage::StorageError;
use shoal_swarm::io::{Digest, Verdict};

use super::lane::Lane;
use super::{Answer, Deed, TorrentDisk};
use crate::limits::VERIFY_WAIT;
use crate::note::Note;
use crate::tasks::panic_text;

/// A complete piece.
struct Complete {
    disk: Arc<TorrentDisk>,
    piece: PieceIndex,
    /// The digests of its blocks are asked for, even if it is good.
    digests: bool,
    at: Instant,
}

/// The pieces that wait, and the threads that share them.
pub(super) struct Verifiers {
    lane: Lane<Complete>,
    /// When the last piece came; held by the thread that gathers.
    last: Mutex<Option<Instant>>,
}

impl Default for Verifiers {
    fn default() -> Self {
        Self {
            lane: Lane::new(),
            last: Mutex::default(),
        }
    }
}

impl Verifiers {
    pub(super) fn push(&self, disk: &Arc<TorrentDisk>, piece: PieceIndex, digests: bool) {
        let length = disk.store.piece_length(piece);
        disk.unjudged_bytes.fetch_add(length, Ordering::SeqCst);
        self.lane.push(Complete {
            disk: disk.clone(),
            piece,
            digests,
            at: Instant::now(),
        });
    }

    pub(super) fn close(&self, at_once: bool) {
        self.lane.close(at_once);
    }

    /// The life of a verifying thread.
    pub(super) fn work(&self) {
        while let Some(gathered) = self.gather() {
            for (disk, pieces, bytes) in by_torrent(gathered) {
                let mut answers = Vec::new();
                let work = AssertUnwindSafe(|| disk.verify(&pieces, &mut answers));
                if let Err(panic) = catch_unwind(work) {
                    answers.push(Note::Disk(Answer::Panicked(panic_text(&*panic))));
                }
                disk.judged(bytes, &mut answers);
                disk.answers.append(&mut answers);
            }
        }
    }

    /// The next pieces; `None` when there will be no more.
    fn gather(&self) -> Option<Vec<Complete>> {
        // Nothing panics while the lock is held; a poisoned one is whole.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let first = self.lane.pop()?;
        let is_fast = last.is_some_and(|last| first.at.duration_since(last) < VERIFY_WAIT);
        let mut deadline = first.at;
        if is_fast {
            deadline += VERIFY_WAIT;
        }
        let mut gathered = vec![first];
        while gathered.len() < shoal_storage::pieces_together() {
            let Some(next) = self.lane.pop_until(deadline) else {
                break;
            };
            gathered.push(next);
        }
        *last = gathered.last().map(|complete| complete.at);
        Some(gathered)
    }
}

type Pieces = BTreeMap<PieceIndex, bool>;

/// For each torrent its pieces, and how many bytes are judged with them.
fn by_torrent(gathered: Vec<Complete>) -> Vec<(Arc<TorrentDisk>, Pieces, usize)> {
    let mut torrents: Vec<(Arc<TorrentDisk>, Pieces, usize)> = Vec::new();
    for complete in gathered {
        let known = torrents
            .iter()
            .position(|(disk, ..)| Arc::ptr_eq(disk, &complete.disk));
        let at = known.unwrap_or_else(|| {
            torrents.push((complete.disk, Pieces::new(), 0));
            torrents.len() - 1
        });
        let (disk, pieces, bytes) = &mut torrents[at];
        *bytes += disk.store.piece_length(complete.piece);
        *pieces.entry(complete.piece).or_default() |= complete.digests;
    }
    torrents
}

pub(super) fn answer(piece: PieceIndex, verdict: Verdict, blocks: Vec<Digest>) -> Note {
    Note::Disk(Answer::Verified {
        piece,
        verdict,
        blocks,
    })
}

impl TorrentDisk {
    fn verify(&self, pieces: &Pieces, answers: &mut Vec<Note>) {
        let judged = self.store.verify_all(pieces.keys().copied().collect());
        if let Some(keeper) = &self.keeper {
            // Recorded before it is told: what was told is known after the next start.
            let with = |wanted: bool| {
                let judged = judged.iter();
                let pieces = judged.filter(move |(_, good)| *good == Ok(wanted));
                pieces.map(|(piece, _)| *piece).collect::<Vec<_>>()
            };
            keeper.verified(&with(true));
            keeper.forget(&with(false));
        }
        for (piece, good) in judged {
            let judged = good.and_then(|good| self.judge(piece, good, pieces[&piece]));
            let (verdict, blocks) = judged.unwrap_or_else(|error| {
                let deed = Deed::Verify { piece };
                answers.push(Note::Disk(Answer::Failed { error, deed }));
                (Verdict::Unknown, Vec::new())
            });
            answers.push(answer(piece, verdict, blocks));
        }
    }

    fn judge(
        &self,
        piece: PieceIndex,
        good: bool,
        digests: bool,
    ) -> Result<(Verdict, Vec<Digest>), StorageError> {
        let blocks = if digests || !good {
            self.store.digests(piece)?
        } else {
            Vec::new()
        };
        let verdict = if good { Verdict::Good } else { Verdict::Bad };
        Ok((verdict, blocks))
    }
}
