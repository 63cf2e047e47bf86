//! From verified to durable: a flush between two moments of the journal.
//!
//! ```text
//! Journal::begin_flush ─▶ Flush ─run, without the journal─▶ Flushed ─▶ Journal::end_flush
//! ```
//! Promise: only what was reported before the flush began becomes durable, and only if all of the
//! flush worked out. After one that failed, what it was for is in doubt: a second `fsync` that
//! says yes proves nothing, for the kernel may have dropped the pages that it could not write.

use std::collections::BTreeSet;
use std::sync::Arc;

use shoal_metainfo::{Bitfield, PieceIndex};

use super::disk::{Disk, Files};
use super::judge::{Trust, judge};
use super::state::{Blocks, Entry, FileState, Moment, Stamp, ranges};
use super::{Journal, Tail, errno};
use crate::error::{At, Operation, StorageError};
use crate::limits::JOURNAL_LEASE;

/// Which files a flush leaves as settled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// Those that are complete.
    Running,
    /// All: nothing is written any more. What comes before a clean end.
    Closing,
}

/// What is under way.
#[derive(Debug, Default)]
pub(super) struct Flight {
    /// Shared with the [`Flush`] or [`Flushed`] while that lives.
    token: Arc<()>,
    is_under_way: bool,
    /// Pieces taken back since it began.
    spoiled: BTreeSet<PieceIndex>,
    /// Files that were written or taken over since it began.
    reopened: BTreeSet<u32>,
}

impl Flight {
    pub(super) fn spoiled(&mut self, piece: PieceIndex) {
        if self.is_under_way {
            self.spoiled.insert(piece);
        }
    }

    pub(super) fn reopened(&mut self, file: u32) {
        if self.is_under_way {
            self.reopened.insert(file);
        }
    }
}

/// A flush that has begun. Dropped, it counts as one that failed.
#[must_use]
pub struct Flush {
    aims: Aims,
    files: Arc<dyn Files + Send + Sync>,
}

/// What a flush is for.
#[derive(Debug)]
struct Aims {
    token: Arc<()>,
    pieces: Vec<PieceIndex>,
    blocks: Vec<(PieceIndex, Blocks)>,
    foreign: Vec<u32>,
    idle: Vec<u32>,
}

/// A flush that has ended, one way or the other.
#[must_use]
#[derive(Debug)]
pub struct Flushed {
    aims: Aims,
    /// How the idle files look.
    result: Result<Vec<(u32, Option<Stamp>)>, StorageError>,
}

/// Why nothing became durable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct FlushFailed {
    /// What went wrong.
    #[source]
    pub error: StorageError,
    /// Pieces that are not claimed any more. Whoever wants to be sure of them drops their pages
    /// from the cache and has them verified anew.
    pub doubtful: Bitfield,
}

impl Flush {
    /// Runs `flush`, which makes durable all that this process has written before, and then syncs
    /// what others had written. Takes as long as the disk does, and needs no journal.
    pub fn run(self, flush: impl FnOnce() -> Result<(), StorageError>) -> Flushed {
        let Self { aims, files } = self;
        let settle = |file: u32| {
            let settled = files.settle(file);
            settled
                .map_err(|error| At::new(files.shown(file), Operation::Flush).failed(errno(&error)))
        };
        let result = flush().and_then(|()| {
            let foreign = aims.foreign.iter();
            for &file in foreign.filter(|file| aims.idle.binary_search(file).is_err()) {
                settle(file)?;
            }
            if !aims.foreign.is_empty() {
                let named = files.settle_names(&aims.foreign);
                let shown = || files.shown(aims.foreign[0]);
                named.map_err(|error| At::new(shown(), Operation::Flush).failed(errno(&error)))?;
            }
            let idle = aims.idle.iter();
            idle.map(|&file| Ok((file, settle(file)?))).collect()
        });
        Flushed { aims, result }
    }
}

impl<D: Disk> Journal<D> {
    /// Begins to make durable all that was reported so far. `None` while another flush is under
    /// way: what it finds clean the other may still be writing.
    pub fn begin_flush(&mut self, scope: Scope) -> Option<Flush> {
        if Arc::strong_count(&self.flight.token) > 1 {
            return None;
        }
        if self.flight.is_under_way {
            self.flush_failed();
        }
        if scope == Scope::Closing {
            self.begun.clear();
        }
        // Blocks are recorded before they are recorded as durable. Or else not at all.
        if let Err(error) = self.tick() {
            tracing::debug!(%error, "the journal is behind");
        }
        self.flight.is_under_way = true;
        self.flight.spoiled.clear();
        self.flight.reopened.clear();
        self.is_written = false;
        let is_complete = |file: u32| {
            self.pieces_of(file)
                .all(|piece| self.state.verified.has(piece))
        };
        let idle = self.open.iter().copied();
        let idle = idle.filter(|&file| scope == Scope::Closing || is_complete(file));
        let partial = self.state.partial.iter();
        let undurable = partial.filter(|(_, partial)| partial.written != partial.durable);
        let aims = Aims {
            token: Arc::clone(&self.flight.token),
            pieces: self.state.undurable(),
            blocks: undurable
                .map(|(&piece, partial)| (piece, partial.written.clone()))
                .collect(),
            foreign: self.foreign.iter().copied().collect(),
            idle: idle.collect(),
        };
        let files = Arc::clone(&self.files);
        Some(Flush { aims, files })
    }

    /// Records what has become durable. Waits for the disk, briefly.
    ///
    /// # Errors
    /// [`FlushFailed`] when the flush failed, or the record of it.
    ///
    /// # Panics
    /// When it was begun by another journal.
    pub fn end_flush(&mut self, flushed: Flushed, now: Moment) -> Result<(), FlushFailed> {
        let Flushed { aims, result } = flushed;
        assert!(
            Arc::ptr_eq(&aims.token, &self.flight.token),
            "a flush of another journal"
        );
        let settled = match result {
            Ok(settled) => settled,
            Err(error) => {
                let doubtful = self.flush_failed();
                return Err(FlushFailed { error, doubtful });
            }
        };
        self.flight.is_under_way = false;
        let spoiled = &self.flight.spoiled;
        let durable = aims.pieces.iter().filter(|piece| !spoiled.contains(piece));
        let durable = ranges(durable.copied());
        let mut entries = Vec::new();
        if !durable.is_empty() {
            entries.push(Entry::Durable(durable));
        }
        let blocks = aims.blocks.into_iter().filter(|(piece, _)| {
            !spoiled.contains(piece) && self.state.partial.contains_key(piece)
        });
        entries.extend(blocks.map(|(piece, blocks)| Entry::BlocksDurable(piece, blocks)));
        for file in &aims.foreign {
            if !self.flight.reopened.contains(file) {
                self.foreign.remove(file);
            }
        }
        let settled = settled.into_iter();
        let settled: Vec<_> = settled
            .filter(|(file, _)| !self.flight.reopened.contains(file))
            .collect();
        for (file, stamp) in settled {
            self.settle(file, stamp, &mut entries);
        }
        // So that no write has to wait for it.
        if !self.open.is_empty() && (self.is_written || !entries.is_empty()) {
            entries.push(Entry::Lease(now.plus(JOURNAL_LEASE)));
        }
        self.record(&entries).map_err(|error| FlushFailed {
            error,
            doubtful: Bitfield::none(self.info.geometry.pieces()),
        })
    }

    fn settle(&mut self, file: u32, found: Option<Stamp>, entries: &mut Vec<Entry>) {
        let expected = self.state.files[file as usize];
        let size = found.map_or(0, |found| found.size);
        self.open.remove(&file);
        if judge(expected, found, self.length(file), self.state.lease, true) == Trust::Changed {
            let path = self.files.shown(file);
            tracing::warn!(path = %path.display(), "changed by others: check the torrent again");
            self.take_over(file, found);
        } else {
            self.doubt_behind(file, size);
        }
        entries.push(Entry::File(file, FileState::Settled(found)));
    }

    /// Makes the entries true and durable.
    fn record(&mut self, entries: &[Entry]) -> Result<(), StorageError> {
        if self.stale {
            entries.iter().for_each(|entry| self.state.apply(entry));
            return self.rewrite();
        }
        self.log(entries)?;
        if self.tail_is_durable || !matches!(self.tail, Tail::Whole) {
            return Ok(());
        }
        self.sync()
    }

    /// Takes back what is not durable, and gives what was taken back.
    fn flush_failed(&mut self) -> Bitfield {
        self.flight.is_under_way = false;
        let mut doubtful = Bitfield::none(self.info.geometry.pieces());
        for piece in self.state.undurable() {
            self.state.doubt(piece);
            doubtful.insert(piece);
        }
        // Whoever goes on with these believes in blocks that may be lost.
        self.tainted.extend(&self.begun);
        self.state.partial.retain(|&piece, partial| {
            if partial.written != partial.durable {
                self.tainted.insert(piece);
            }
            partial.written = partial.durable.clone();
            !partial.written.is_empty()
        });
        self.unlogged.clear();
        for &piece in &self.tainted {
            self.state.doubtful.insert(piece);
        }
        self.stale = true;
        if let Err(error) = self.rewrite() {
            tracing::debug!(%error, "the journal is behind");
        }
        doubtful
    }
}
