//! What the disk threads do with their jobs.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};

use bytes::Bytes;
use shoal_metainfo::{Block, PieceIndex};
use shoal_storage::StorageError;
use shoal_storage::journal::Scope;
use shoal_swarm::io::Verdict;

use super::lane::Lane;
use super::{Answer, Deed, Job, TorrentDisk, verify};
use crate::limits::DISK_BATCH_MAX;
use crate::note::Note;
use crate::outbox::Outbox;
use crate::tasks::panic_text;

/// Jobs of one torrent.
pub(super) struct Batch {
    disk: Arc<TorrentDisk>,
    jobs: Vec<Job>,
    /// Of the disk, when the jobs were pushed.
    epoch: u32,
    /// A flush behind the jobs; the thread that brings the number to zero does it.
    flush: Option<Arc<AtomicUsize>>,
}

/// Something for a reading thread.
pub(super) enum ReadJob {
    Fill {
        disk: Arc<TorrentDisk>,
        outbox: Arc<Outbox>,
    },
    Doubt {
        disk: Arc<TorrentDisk>,
        blocks: Vec<Block>,
    },
    Measure(Arc<TorrentDisk>),
    Trim(Arc<TorrentDisk>),
}

impl Batch {
    pub(super) fn jobs(disk: Arc<TorrentDisk>, jobs: Vec<Job>) -> Self {
        Self {
            epoch: disk.epoch.load(Ordering::SeqCst),
            disk,
            jobs,
            flush: None,
        }
    }

    pub(super) fn flush(disk: Arc<TorrentDisk>, left: Arc<AtomicUsize>) -> Self {
        Self {
            epoch: disk.epoch.load(Ordering::SeqCst),
            disk,
            jobs: Vec::new(),
            flush: Some(left),
        }
    }

    /// Whether `next` can be done together with this one.
    fn takes(&self, next: &Self) -> bool {
        self.flush.is_none()
            && self.epoch == next.epoch
            && Arc::ptr_eq(&self.disk, &next.disk)
            && self.jobs.len() + next.jobs.len() <= DISK_BATCH_MAX
    }
}

/// The life of a writing thread.
pub(super) fn write_all(lane: &Lane<Batch>) {
    while let Some(mut batch) = lane.pop() {
        while let Some(next) = lane.pop_if(|next| batch.takes(next)) {
            batch.jobs.extend(next.jobs);
            batch.flush = next.flush;
        }
        let disk = batch.disk.clone();
        let bytes = batch.jobs.iter().map(Job::bytes).sum();
        let mut answers = Vec::new();
        let work = AssertUnwindSafe(|| do_batch(batch, &mut answers));
        if let Err(panic) = catch_unwind(work) {
            answers.push(Note::Disk(Answer::Panicked(panic_text(&*panic))));
        }
        disk.done(bytes, &mut answers);
        disk.answers.append(&mut answers);
    }
}

/// Writes, then hands on what waits for that.
fn do_batch(batch: Batch, answers: &mut Vec<Note>) {
    let disk = &batch.disk;
    let mut writes = Vec::new();
    let mut verify = Vec::new();
    for job in batch.jobs {
        match job {
            Job::Write { block, data } => writes.push((block, data)),
            Job::Verify { piece, digests } => verify.push((piece, digests)),
            Job::Retry(deed) => {
                disk.write(std::mem::take(&mut writes), batch.epoch, answers);
                if matches!(deed, Deed::Flush) {
                    disk.lanes.syncs.push(Sync::Retry(disk.clone()));
                    continue;
                }
                match disk.store.is_lost() {
                    true => disk.recover(deed),
                    false => answers.push(Note::Disk(Answer::Retried(disk.retry(&deed)))),
                }
            }
        }
    }
    disk.write(writes, batch.epoch, answers);
    disk.keep_down();
    for (piece, digests) in verify {
        if disk.spoiled().remove(&piece) == Some(batch.epoch) {
            answers.push(verify::answer(piece, Verdict::Unknown, Vec::new()));
        } else {
            disk.lanes.verifiers.push(disk, piece, digests);
        }
    }
    if let Some(left) = batch.flush
        && left.fetch_sub(1, Ordering::SeqCst) == 1
    {
        disk.lanes.syncs.push(Sync::Last(disk.clone()));
    }
}

/// Something for the syncing thread.
pub(super) enum Sync {
    /// Everything that was written is to become durable: nothing more is written.
    Last(Arc<TorrentDisk>),
    /// What is new is recorded for the next start, and made durable too, if `flush`.
    Keep { disk: Arc<TorrentDisk>, flush: bool },
    /// A flush has failed.
    Retry(Arc<TorrentDisk>),
}

/// The life of the syncing thread.
pub(super) fn sync_all(lane: &Lane<Sync>) {
    while let Some(job) = lane.pop() {
        let (Sync::Last(disk) | Sync::Keep { disk, .. } | Sync::Retry(disk)) = &job;
        let work = AssertUnwindSafe(|| disk.sync(&job));
        let mut answers = match catch_unwind(work) {
            Ok(answers) => answers,
            Err(panic) => vec![Note::Disk(Answer::Panicked(panic_text(&*panic)))],
        };
        disk.answers.append(&mut answers);
    }
}

/// The life of a reading thread.
pub(super) fn read_all(lane: &Lane<ReadJob>) {
    while let Some(job) = lane.pop() {
        match job {
            ReadJob::Trim(disk) => {
                let _ = catch_unwind(AssertUnwindSafe(|| disk.store.trim()));
            }
            ReadJob::Measure(disk) => {
                let found = shoal_storage::memory::now();
                // Nothing panics while the lock is held; a poisoned one is whole.
                *disk.memory.lock().unwrap_or_else(PoisonError::into_inner) = found;
            }
            ReadJob::Doubt { disk, blocks } => {
                let mut answers = Vec::new();
                let work = AssertUnwindSafe(|| disk.lose(&blocks, &mut answers));
                if let Err(panic) = catch_unwind(work) {
                    answers.push(Note::Disk(Answer::Panicked(panic_text(&*panic))));
                }
                disk.answers.append(&mut answers);
            }
            ReadJob::Fill { disk, outbox } => {
                let mut answers = Vec::new();
                let work = AssertUnwindSafe(|| disk.fill(&outbox, &mut answers));
                if let Err(panic) = catch_unwind(work) {
                    outbox.close();
                    answers.push(Note::Disk(Answer::Panicked(panic_text(&*panic))));
                }
                disk.answers.append(&mut answers);
                // To the end of the list: other connections wait too.
                if outbox.wants_read() {
                    lane.push(ReadJob::Fill { disk, outbox });
                }
            }
        }
    }
}

impl TorrentDisk {
    fn sync(&self, job: &Sync) -> Vec<Note> {
        let keeper = self.keeper.as_ref();
        let flush = |scope| {
            let flush = || self.dirty.flush(|| self.store.flush());
            keeper.map_or_else(flush, |keeper| keeper.flush(scope, flush))
        };
        let mut answers = Vec::new();
        match job {
            Sync::Last(_) => {
                answers.push(Answer::Flushed(flush(Scope::Closing)));
            }
            Sync::Keep { flush: false, .. } => {
                self.is_kept.store(false, Ordering::SeqCst);
                keeper.into_iter().for_each(|keeper| keeper.tick());
            }
            Sync::Keep { flush: true, .. } => {
                self.is_kept.store(false, Ordering::SeqCst);
                if let Err(error) = flush(Scope::Running) {
                    let deed = Deed::Flush;
                    answers.push(Answer::Failed { error, deed });
                }
            }
            Sync::Retry(_) => answers.push(Answer::Retried(flush(Scope::Running))),
        }
        answers.extend(
            keeper
                .and_then(|keeper| keeper.trouble())
                .map(Answer::Forgetful),
        );
        let mut answers = answers.into_iter().map(Note::Disk).collect();
        self.tell_room(self.dirty.bytes() <= self.lanes.dirty_max / 2, &mut answers);
        answers
    }

    /// Before blocks of these pieces are written.
    fn before_write(&self, pieces: impl Iterator<Item = PieceIndex>) -> Result<(), StorageError> {
        let keeper = self.keeper.as_ref();
        keeper.map_or(Ok(()), |keeper| keeper.before_write(pieces))
    }

    /// Writes the blocks, those that lie behind each other with one call. Of two for one place the
    /// later one stays.
    fn write(&self, mut writes: Vec<(Block, Bytes)>, epoch: u32, answers: &mut Vec<Note>) {
        writes.sort_by_key(|(block, _)| (block.piece(), block.begin()));
        let follows = |(a, _): &(Block, _), (b, _): &(Block, _)| {
            a.piece() == b.piece() && a.begin() + a.length() == b.begin()
        };
        let pieces = writes.chunk_by(|(a, _), (b, _)| a.piece() == b.piece());
        let may = self.before_write(pieces.map(|blocks| blocks[0].0.piece()));
        let mut written = Vec::with_capacity(writes.len());
        for run in writes.chunk_by(follows) {
            let Some((first, _)) = run.first() else {
                continue;
            };
            let slices: Vec<&[u8]> = run.iter().map(|(_, data)| &**data).collect();
            let write = || self.store.write_run(first.piece(), first.begin(), &slices);
            let Err(error) = may.clone().and_then(|()| write()) else {
                written.extend(run.iter().map(|(block, _)| *block));
                continue;
            };
            self.spoiled().insert(first.piece(), epoch);
            let blocks = run.to_vec();
            let deed = Deed::Write { blocks };
            answers.push(Note::Disk(Answer::Failed { error, deed }));
        }
        let bytes = written.iter().map(|block| u64::from(block.length())).sum();
        self.dirty.written.fetch_add(bytes, Ordering::SeqCst);
        if let Some(keeper) = self.keeper.as_ref().filter(|_| !written.is_empty()) {
            keeper.wrote(written.into_iter());
        }
    }

    /// Has every file of these blocks hashed before it is used again.
    fn lose(&self, blocks: &[Block], answers: &mut Vec<Note>) {
        for &block in blocks {
            let error = self.store.doubt(block);
            let deed = Deed::Read { block };
            answers.push(Note::Disk(Answer::Failed { error, deed }));
        }
    }

    /// Hashes what was verified in lost files on the thread for checks, then tries again.
    fn recover(self: &Arc<Self>, deed: Deed) {
        let disk = self.clone();
        self.lanes.check(move || {
            let work = || {
                disk.store.recover(&disk.is_ending)?;
                disk.retry(&deed)
            };
            let answer = match catch_unwind(AssertUnwindSafe(work)) {
                Ok(answer) => Answer::Retried(answer),
                Err(panic) => Answer::Panicked(panic_text(&*panic)),
            };
            disk.answers.append(&mut vec![Note::Disk(answer)]);
        });
    }

    fn retry(&self, deed: &Deed) -> Result<(), StorageError> {
        // Whoever only reads need not be able to write.
        if !matches!(deed, Deed::Read { .. }) {
            self.store.prepare()?;
        }
        match deed {
            Deed::Write { blocks } => {
                let (first, _) = &blocks[0];
                let slices: Vec<&[u8]> = blocks.iter().map(|(_, data)| &**data).collect();
                self.before_write([first.piece()].into_iter())?;
                self.store.write_run(first.piece(), first.begin(), &slices)
            }
            Deed::Verify { piece } => {
                let judged = self.store.verify_all(vec![*piece]);
                judged.into_iter().try_for_each(|(_, good)| good.map(drop))
            }
            Deed::Flush => Ok(()),
            Deed::Read { block } => self.store.read(*block).map(drop),
        }
    }

    /// Reads what the box wants next.
    fn fill(&self, outbox: &Outbox, answers: &mut Vec<Note>) {
        let mut failed = 0;
        let blocks = outbox.take_unread();
        let mut read = Vec::with_capacity(blocks.len());
        for block in blocks {
            match self.store.read(block) {
                Ok(data) => read.push((block, data)),
                Err(error) => {
                    failed += 1;
                    let deed = Deed::Read { block };
                    answers.push(Note::Disk(Answer::Failed { error, deed }));
                }
            }
        }
        outbox.fill(read.into_iter());
        if failed > 0 {
            answers.push(Note::Disk(Answer::Unserved {
                peer: outbox.peer,
                blocks: failed,
            }));
        }
    }

    fn spoiled(&self) -> MutexGuard<'_, HashMap<PieceIndex, u32>> {
        // Nothing panics while the lock is held; a poisoned one is whole.
        self.spoiled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
