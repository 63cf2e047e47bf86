//! Finding out what of a torrent is on the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use shoal_metainfo::{Bitfield, PieceIndex};

use crate::disk::Lanes;
use crate::error::Failure;
use crate::event::Event;
use crate::mailbox::Mailbox;
use crate::note::{Found, Note};
use crate::open::Opened;

/// A check under way; answered by [`Note::Checked`]. Dropping it ends it.
pub(super) struct Check {
    done: Arc<AtomicU64>,
    total: u64,
    cancel: Arc<AtomicBool>,
    /// What was told last.
    told: Option<u64>,
}

impl Drop for Check {
    fn drop(&mut self) {
        self.cancel.store(true, Ordering::Relaxed);
    }
}

impl Check {
    pub(super) fn begin(
        opened: &Opened,
        lanes: &Lanes,
        threads: usize,
        notes: &Arc<Mailbox<Note>>,
    ) -> Self {
        let check = Self {
            done: Arc::default(),
            total: opened.storage.info().geometry.total(),
            cancel: Arc::default(),
            told: None,
        };
        let storage = opened.storage.clone();
        let (keeper, resume) = (opened.keeper.clone(), opened.resume.clone());
        let (done, cancel, notes) = (check.done.clone(), check.cancel.clone(), notes.clone());
        lanes.check(move || {
            let progress = |bytes| {
                done.fetch_max(bytes, Ordering::Relaxed);
            };
            let geometry = storage.info().geometry;
            let all = || Bitfield::all(geometry.pieces());
            let wanted = resume
                .as_ref()
                .map_or_else(all, |resume| resume.check.clone());
            let known = resume.map(|resume| resume.have);
            known.iter().for_each(|known| storage.trust(known));
            let result = storage.check_some(&wanted, threads, &progress, &cancel);
            let piece = |number| geometry.piece(number);
            let result = result.map(|good| {
                let bad = wanted.ones().filter_map(piece);
                let bad = bad.filter(|&piece| !good.has(piece) && !cancel.load(Ordering::Relaxed));
                if let Some(keeper) = &keeper {
                    keeper.checked(&good, &bad.collect::<Vec<_>>(), &piece);
                }
                let mut have = known.unwrap_or_else(|| Bitfield::none(geometry.pieces()));
                for piece in good.ones().filter_map(piece) {
                    have.insert(piece);
                }
                let checked = wanted.ones().filter_map(piece);
                let lengths = checked.map(|piece| u64::from(geometry.piece_length(piece)));
                let bytes_checked = lengths.sum();
                Found {
                    have,
                    bytes_checked,
                }
            });
            // Stopped meanwhile: then nobody needs it.
            let _ = notes.push(Note::Checked(result));
        });
        check
    }

    /// Bytes looked at so far, and bytes of the torrent.
    pub(super) fn progress(&self) -> (u64, u64) {
        (self.done.load(Ordering::Relaxed), self.total)
    }

    /// The progress as news, if it is some.
    pub(super) fn news(&mut self) -> Option<Event> {
        let (done, total) = self.progress();
        let news = self.told.replace(done) != Some(done);
        news.then_some(Event::Checking { done, total })
    }
}

/// Files that cannot be written are of use only when nothing is missing.
pub(super) fn judge(opened: &Opened, found: Found) -> Result<Found, Failure> {
    let unwritable = opened.unwritable.clone();
    match unwritable.filter(|_| !opened.is_complete(&found.have)) {
        Some(error) => Err(Failure::Storage(error)),
        None => Ok(found),
    }
}

/// Blocks of unfinished pieces.
pub(super) type Partial = Vec<(PieceIndex, Vec<usize>)>;

/// The blocks of unfinished pieces that are here from before, and their bytes.
pub(super) fn partial(opened: &Opened, have: &Bitfield) -> (Partial, u64) {
    let geometry = &opened.storage.info().geometry;
    let resume = opened.resume.iter();
    let partial = resume.flat_map(|resume| &resume.blocks);
    let partial: Partial = partial
        .filter(|(piece, blocks)| !have.has(*piece) && !blocks.is_empty())
        .map(|(piece, blocks)| (*piece, blocks.iter().collect()))
        .collect();
    let blocks = partial.iter().flat_map(|(piece, blocks)| {
        let blocks = blocks.iter();
        blocks.filter_map(|&number| geometry.nth_block(*piece, number))
    });
    let bytes = blocks.map(|block| u64::from(block.length())).sum();
    (partial, bytes)
}
