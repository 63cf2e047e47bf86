//! What is remembered of a torrent for the next start: its journal, told by the disk threads.
//!
//! ```text
//! writers: before a write, and what was written   verifiers: good, bad   syncer: tick, flush
//! ```
//! Promise: no thread of an executor comes here. A journal that cannot be kept up is told once,
//! and costs a check after the next start; only a claim that could not be taken back holds up
//! writes, for it would be believed.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use shoal_metainfo::{Bitfield, Block, PieceIndex};
use shoal_storage::journal::{LockError, Moment, Resume, Scope, folder_for};
use shoal_storage::{FolderLock, Journal, Storage, StorageError};

/// Why nothing is remembered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoJournal {
    #[error(transparent)]
    Locked(#[from] LockError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("{0}")]
    System(#[from] std::io::Error),
}

/// The journal of one torrent.
pub(crate) struct Keeper {
    journal: Mutex<Journal>,
    /// A claim waits for the next flush.
    is_owed: AtomicBool,
    /// Something was reported since the last tick.
    is_stirred: AtomicBool,
    /// What went wrong, until it was told; and whether it ever did.
    trouble: Mutex<(Option<String>, bool)>,
    /// Of the folder of the journal.
    _lock: FolderLock,
}

fn now() -> Moment {
    SystemTime::now().into()
}

impl Keeper {
    /// Opens the journal in the folder `state` for content in the locked folder, which is open.
    pub(crate) fn open(
        lock: FolderLock,
        state: &Path,
        storage: &Storage,
    ) -> Result<(Self, Resume), NoJournal> {
        let folder = folder_for(state, lock.path())?;
        std::fs::create_dir_all(&folder)
            .map_err(|error| std::io::Error::other(format!("{}: {error}", folder.display())))?;
        let state_lock = FolderLock::take(&folder)?;
        let (journal, resume) = Journal::open_beside(storage, lock, &folder)?;
        let keeper = Self {
            journal: Mutex::new(journal),
            is_owed: AtomicBool::new(false),
            is_stirred: AtomicBool::new(false),
            trouble: Mutex::default(),
            _lock: state_lock,
        };
        Ok((keeper, resume))
    }

    /// What the check of the pieces in doubt has shown; those that it did not come to stay so.
    pub(crate) fn checked(&self, good: &Bitfield, bad: &[PieceIndex], piece: &Pieces<'_>) {
        let good: Vec<_> = good.ones().filter_map(piece).collect();
        let mut journal = self.lock();
        let verified = journal.verified(&good);
        let incomplete = journal.incomplete(bad);
        let needs_flush = journal.needs_flush();
        drop(journal);
        self.note(verified.and(incomplete));
        if needs_flush {
            self.is_owed.store(true, Ordering::SeqCst);
        }
    }

    /// Before blocks of these pieces are written.
    ///
    /// # Errors
    /// Nothing may be written then.
    pub(super) fn before_write(
        &self,
        pieces: impl Iterator<Item = PieceIndex>,
    ) -> Result<(), StorageError> {
        let (mut journal, now) = (self.lock(), now());
        for piece in pieces {
            journal.before_write(piece, now)?;
        }
        Ok(())
    }

    pub(super) fn wrote(&self, blocks: impl Iterator<Item = Block>) {
        self.lock().wrote(blocks);
        self.is_stirred.store(true, Ordering::SeqCst);
    }

    pub(super) fn verified(&self, pieces: &[PieceIndex]) {
        if !pieces.is_empty() {
            let verified = self.lock().verified(pieces);
            self.note(verified);
        }
    }

    pub(super) fn forget(&self, pieces: &[PieceIndex]) {
        if !pieces.is_empty() {
            // Binds the next write, which asks again.
            let forgotten = self.lock().forget(pieces);
            self.note(forgotten);
        }
    }

    /// Whether a claim waits for the next flush.
    pub(super) fn is_owed(&self) -> bool {
        self.is_owed.load(Ordering::SeqCst)
    }

    /// Whether there is something to record.
    pub(super) fn is_stirred(&self) -> bool {
        self.is_stirred.load(Ordering::SeqCst)
    }

    pub(super) fn tick(&self) {
        if self.is_stirred.swap(false, Ordering::SeqCst) {
            let ticked = self.lock().tick();
            self.note(ticked);
        }
    }

    /// Makes durable what was written and claims it. Writes go on meanwhile.
    ///
    /// # Errors
    /// Those of `flush`; what else goes wrong is told as [`trouble`](Self::trouble).
    pub(super) fn flush(
        &self,
        scope: Scope,
        flush: impl FnOnce() -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        self.is_owed.store(false, Ordering::SeqCst);
        let Some(begun) = self.lock().begin_flush(scope) else {
            return flush();
        };
        let mut answer = Ok(());
        let flushed = begun.run(|| {
            answer = flush();
            answer.clone()
        });
        let ended = self.lock().end_flush(flushed, now());
        if answer.is_ok() {
            self.note(ended.map_err(|failed| failed.error));
        }
        answer
    }

    /// What went wrong with the journal, if it was not told yet.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble_lock().0.take()
    }

    fn note(&self, answer: Result<(), StorageError>) {
        if let Err(error) = answer {
            let mut trouble = self.trouble_lock();
            if !trouble.1 {
                *trouble = (Some(error.to_string()), true);
            }
        }
    }

    fn trouble_lock(&self) -> MutexGuard<'_, (Option<String>, bool)> {
        // Nothing panics while the lock is held; a poisoned one is whole.
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Journal> {
        // A panic of the journal is a bug that ends the torrent; what it holds is checked again.
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pieces by their numbers.
pub(crate) type Pieces<'a> = dyn Fn(u32) -> Option<PieceIndex> + 'a;
