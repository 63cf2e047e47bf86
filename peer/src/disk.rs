//! Disk work on threads of its own: writing, verifying and reading for all torrents.
//!
//! ```text
//!  writes ─▶ writers (a piece always to the same) ─┬▶ verifiers: several pieces side by side
//!                                                  └▶ syncer: makes durable
//!  blocks to serve ─▶ readers         what is there ─▶ checker
//! ```
//! First in, first out: so a piece is verified behind its writes. Every kind of work has its own
//! threads: a peer that waits for sixteen kilobytes does not wait for a piece of sixteen megabytes,
//! and neither a cold page nor a slow flush holds up a write. Answers go to the torrent's
//! [`Mailbox`](crate::mailbox), which never blocks: so the bounded way to the disk and the way back
//! cannot wait for each other.

pub(crate) mod keeper;
pub(crate) mod lane;
pub(crate) mod store;
mod verify;
mod work;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use async_std::channel::{Receiver, bounded};
use bytes::Bytes;
use shoal_metainfo::{Block, PieceIndex};
use shoal_storage::memory::{self, Memory};
use shoal_storage::{FolderLock, StorageError};
use shoal_swarm::io::{Digest, PeerKey, Verdict};

use crate::limits::{
    DIRTY_BYTES_MIN, DIRTY_PART, DISK_QUEUE_BYTES_MAX, FLUSH_BYTES, UNJUDGED_BYTES_MAX,
};
use crate::mailbox::Mailbox;
use crate::note::Note;
use crate::outbox::Outbox;

use keeper::Keeper;
use lane::Lane;
use store::Store;

/// Something for a writing thread.
#[derive(Debug, Clone)]
pub(crate) enum Job {
    Write {
        block: Block,
        data: Bytes,
    },
    Verify {
        piece: PieceIndex,
        digests: bool,
    },
    /// Prepares the files anew and does again what failed.
    Retry(Deed),
}

/// What failed, so that it can be tried again.
#[derive(Debug, Clone)]
pub(crate) enum Deed {
    /// Blocks that lie behind each other; any of them may be the one that failed.
    Write {
        blocks: Vec<(Block, Bytes)>,
    },
    Verify {
        piece: PieceIndex,
    },
    Read {
        block: Block,
    },
    Flush,
}

/// What a disk thread tells the torrent.
#[derive(Debug)]
pub(crate) enum Answer {
    Verified {
        piece: PieceIndex,
        verdict: Verdict,
        blocks: Vec<Digest>,
    },
    /// These blocks of `Serve` could not be read.
    Unserved { peer: PeerKey, blocks: u32 },
    /// A deed failed.
    Failed { error: StorageError, deed: Deed },
    /// A [`Job::Retry`] went well, or did not.
    Retried(Result<(), StorageError>),
    /// The queue has room again, after it was full.
    Room,
    /// The journal cannot be kept up; said once.
    Forgetful(String),
    /// Everything before is written and flushed.
    Flushed(Result<(), StorageError>),
    /// A bug.
    Panicked(String),
}

/// The threads, shared by all torrents.
pub(crate) struct Disk {
    lanes: Lanes,
    ended: Receiver<std::convert::Infallible>,
}

/// Ways to the threads.
#[derive(Clone)]
pub(crate) struct Lanes {
    writers: Vec<Arc<Lane<work::Batch>>>,
    readers: Arc<Lane<work::ReadJob>>,
    verifiers: Arc<verify::Verifiers>,
    syncs: Arc<Lane<work::Sync>>,
    /// Bytes of one torrent that may wait to become durable; above, its sockets are not read.
    dirty_max: u64,
    /// Long work that is not for one block: checking what is there.
    checks: Arc<Lane<Box<dyn FnOnce() + Send>>>,
}

/// One torrent's files, and what is queued for them.
pub(crate) struct TorrentDisk {
    store: Arc<dyn Store>,
    answers: Arc<Mailbox<Note>>,
    lanes: Lanes,
    queued_bytes: AtomicUsize,
    /// Bytes of complete pieces that are not judged yet.
    unjudged_bytes: AtomicUsize,
    /// Written, and not durable.
    dirty: Dirty,
    /// The torrent waits for [`Answer::Room`].
    waits: AtomicBool,
    /// How often the disk has recovered: after each time pieces are fetched afresh.
    epoch: AtomicU32,
    /// Pieces with a write that failed, and the epoch of that write. Until the next epoch their
    /// hash, whatever it is, says nothing of any peer.
    spoiled: Mutex<HashMap<PieceIndex, u32>>,
    /// It is stopped: nothing long is begun or gone on with.
    is_ending: AtomicBool,
    keeper: Option<Arc<Keeper>>,
    /// The syncing thread has something to do for it.
    is_kept: AtomicBool,
    memory: Mutex<Option<Memory>>,
    /// Nobody else uses the folder while this lives.
    _lock: Option<FolderLock>,
}

impl Disk {
    /// Starts `threads` that verify, half as many that write and that read, one that makes durable
    /// and one that checks.
    pub(crate) fn start(threads: usize) -> std::io::Result<Self> {
        let part = memory::available().map_or(0, |bytes| bytes / DIRTY_PART);
        Self::start_within(threads, part.max(DIRTY_BYTES_MIN))
    }

    /// The same, with a bound for bytes of one torrent that are not durable.
    fn start_within(threads: usize, dirty_max: u64) -> std::io::Result<Self> {
        let (alive, ended) = bounded(1);
        let half = threads.div_ceil(2).max(1);
        let lanes = Lanes {
            writers: (0..half).map(|_| Arc::new(Lane::new())).collect(),
            readers: Arc::new(Lane::new()),
            verifiers: Arc::default(),
            syncs: Arc::new(Lane::new()),
            dirty_max,
            checks: Arc::new(Lane::new()),
        };
        // From here on, a thread that cannot be started ends those that were.
        let disk = Self { lanes, ended };
        let spawn = |name: String, work: Box<dyn FnOnce() + Send>| {
            let alive = alive.clone();
            let body = move || {
                work();
                drop(alive);
            };
            thread::Builder::new().name(name).spawn(body).map(drop)
        };
        let behind = Arc::new(BehindWriters(disk.lanes.clone()));
        for (number, lane) in disk.lanes.writers.iter().cloned().enumerate() {
            let behind = behind.clone();
            let work = move || {
                work::write_all(&lane);
                drop(behind);
            };
            spawn(format!("disk-write-{number}"), Box::new(work))?;
        }
        for number in 0..threads.max(1) {
            let lane = disk.lanes.verifiers.clone();
            spawn(
                format!("disk-verify-{number}"),
                Box::new(move || lane.work()),
            )?;
        }
        for number in 0..half {
            let lane = disk.lanes.readers.clone();
            spawn(
                format!("disk-read-{number}"),
                Box::new(move || work::read_all(&lane)),
            )?;
        }
        let lane = disk.lanes.syncs.clone();
        spawn(
            "disk-sync".to_owned(),
            Box::new(move || work::sync_all(&lane)),
        )?;
        let lane = disk.lanes.checks.clone();
        spawn(
            "disk-check".to_owned(),
            Box::new(move || std::iter::from_fn(|| lane.pop()).for_each(|check| check())),
        )?;
        Ok(disk)
    }

    pub(crate) fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    /// Lets the threads finish what is queued, and waits for them.
    pub(crate) async fn join(self) {
        self.lanes.close(false);
        let _ = self.ended.recv().await;
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.lanes.close(true);
    }
}

impl Lanes {
    /// Runs `check` when the checks before it are done.
    pub(crate) fn check(&self, check: impl FnOnce() + Send + 'static) {
        self.checks.push(Box::new(check));
    }

    /// Ends the threads: after what is queued, or at once.
    fn close(&self, at_once: bool) {
        self.writers.iter().for_each(|lane| lane.close(at_once));
        self.readers.close(at_once);
        self.checks.close(at_once);
        if at_once {
            self.verifiers.close(true);
            self.syncs.close(true);
        }
    }
}

/// What gets its work from the writers, and ends after the last of them.
struct BehindWriters(Lanes);

impl Drop for BehindWriters {
    fn drop(&mut self) {
        self.0.verifiers.close(false);
        self.0.syncs.close(false);
    }
}

impl TorrentDisk {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        keeper: Option<Arc<Keeper>>,
        lock: Option<FolderLock>,
        answers: Arc<Mailbox<Note>>,
        lanes: Lanes,
    ) -> Self {
        Self {
            keeper,
            is_kept: AtomicBool::new(false),
            memory: Mutex::default(),
            _lock: lock,
            store,
            answers,
            lanes,
            queued_bytes: AtomicUsize::new(0),
            unjudged_bytes: AtomicUsize::new(0),
            dirty: Dirty::default(),
            waits: AtomicBool::new(false),
            epoch: AtomicU32::new(0),
            spoiled: Mutex::default(),
            is_ending: AtomicBool::new(false),
        }
    }

    /// How many writing threads there are.
    pub(crate) fn writers(&self) -> usize {
        self.lanes.writers.len()
    }

    /// Which of them a job is for.
    pub(crate) fn writer_of(&self, piece: PieceIndex) -> usize {
        piece.index() % self.writers()
    }

    /// Which of them tries a deed again.
    pub(crate) fn writer_of_deed(&self, deed: &Deed) -> usize {
        match deed {
            Deed::Write { blocks } => self.writer_of(blocks[0].0.piece()),
            Deed::Read { block } => self.writer_of(block.piece()),
            Deed::Verify { piece } => self.writer_of(*piece),
            Deed::Flush => 0,
        }
    }

    /// Puts jobs, in order, behind all earlier ones for this thread.
    pub(crate) fn push(self: &Arc<Self>, writer: usize, jobs: Vec<Job>) {
        let bytes: usize = jobs.iter().map(Job::bytes).sum();
        self.queued_bytes.fetch_add(bytes, Ordering::SeqCst);
        self.lanes.writers[writer].push(work::Batch::jobs(self.clone(), jobs));
    }

    /// True when no more payload should be taken in; [`Answer::Room`] comes when that has changed.
    pub(crate) fn is_full(&self) -> bool {
        let full = || {
            self.queued_bytes.load(Ordering::SeqCst) >= DISK_QUEUE_BYTES_MAX
                || self.unjudged_bytes.load(Ordering::SeqCst) >= UNJUDGED_BYTES_MAX
                || self.dirty.bytes() >= self.lanes.dirty_max
        };
        if !full() {
            return false;
        }
        self.waits.store(true, Ordering::SeqCst);
        // Again: it may have emptied before it knew that we wait.
        full()
    }

    /// The disk works again: what is pushed from now on has nothing to do with what failed.
    pub(crate) fn recovered(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }

    /// Puts the box on the list of those that a block is to be read for.
    pub(crate) fn read_for(self: &Arc<Self>, outbox: Arc<Outbox>) {
        self.lanes.readers.push(work::ReadJob::Fill {
            disk: self.clone(),
            outbox,
        });
    }

    /// One of these blocks could not be read while it was sent.
    pub(crate) fn doubt(self: &Arc<Self>, blocks: Vec<Block>) {
        self.lanes.readers.push(work::ReadJob::Doubt {
            disk: self.clone(),
            blocks,
        });
    }

    /// Unmaps what nobody used for a while, some time.
    pub(crate) fn trim(self: &Arc<Self>) {
        self.lanes.readers.push(work::ReadJob::Trim(self.clone()));
    }

    /// Makes everything durable that was pushed before; answered by [`Answer::Flushed`]. Nothing
    /// is pushed after it.
    pub(crate) fn flush(self: &Arc<Self>) {
        self.is_ending.store(true, Ordering::SeqCst);
        let left = Arc::new(AtomicUsize::new(self.writers()));
        for lane in &self.lanes.writers {
            lane.push(work::Batch::flush(self.clone(), left.clone()));
        }
    }

    /// Whether something is to be made durable by and by.
    pub(crate) fn owes_flush(&self) -> bool {
        let is_owed = || self.keeper.as_ref().is_some_and(|keeper| keeper.is_owed());
        self.dirty.written.load(Ordering::SeqCst) > 0 || is_owed()
    }

    /// Begins to make durable what was written, when that is much.
    fn keep_down(self: &Arc<Self>) {
        let enough = FLUSH_BYTES.min(self.lanes.dirty_max / 4);
        if self.dirty.written.load(Ordering::SeqCst) >= enough {
            self.keep(true);
        }
    }

    /// Records what is new for the next start, and makes durable what was written, if `flush`.
    /// Costs nothing when there is nothing to do.
    pub(crate) fn keep(self: &Arc<Self>, flush: bool) {
        let is_stirred = self
            .keeper
            .as_ref()
            .is_some_and(|keeper| keeper.is_stirred());
        if (flush || is_stirred) && !self.is_kept.swap(true, Ordering::SeqCst) {
            let disk = self.clone();
            self.lanes.syncs.push(work::Sync::Keep { disk, flush });
        }
    }

    /// Looks at the memory of the process, some time.
    pub(crate) fn measure(self: &Arc<Self>) {
        self.lanes
            .readers
            .push(work::ReadJob::Measure(self.clone()));
    }

    /// What the last look has shown.
    pub(crate) fn memory(&self) -> Option<Memory> {
        // Nothing panics while the lock is held; a poisoned one is whole.
        *self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many bytes are no longer queued.
    fn done(&self, bytes: usize, answers: &mut Vec<Note>) {
        let before = self.queued_bytes.fetch_sub(bytes, Ordering::SeqCst);
        self.tell_room(before - bytes <= DISK_QUEUE_BYTES_MAX / 2, answers);
    }

    /// Pieces of so many bytes are judged.
    fn judged(&self, bytes: usize, answers: &mut Vec<Note>) {
        let before = self.unjudged_bytes.fetch_sub(bytes, Ordering::SeqCst);
        self.tell_room(before - bytes <= UNJUDGED_BYTES_MAX / 2, answers);
    }

    fn tell_room(&self, room: bool, answers: &mut Vec<Note>) {
        if room && self.waits.swap(false, Ordering::SeqCst) {
            answers.push(Note::Disk(Answer::Room));
        }
    }
}

/// Bytes that a loss of power would take.
#[derive(Default)]
struct Dirty {
    /// Since the last flush began.
    written: AtomicU64,
    /// Before the flush that is under way.
    flushing: AtomicU64,
}

impl Dirty {
    fn bytes(&self) -> u64 {
        self.written.load(Ordering::SeqCst) + self.flushing.load(Ordering::SeqCst)
    }

    /// Flushes; for one thread at a time.
    fn flush(&self, flush: impl FnOnce() -> Result<(), StorageError>) -> Result<(), StorageError> {
        let written = self.written.swap(0, Ordering::SeqCst);
        self.flushing.store(written, Ordering::SeqCst);
        let answer = flush();
        if answer.is_err() {
            self.written.fetch_add(written, Ordering::SeqCst);
        }
        self.flushing.store(0, Ordering::SeqCst);
        answer
    }
}

impl Job {
    fn bytes(&self) -> usize {
        match self {
            Self::Write { data, .. } => data.len(),
            Self::Verify { .. } | Self::Retry(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests;
