//! Which pieces are on the disk already, on all cores. BEP 3 "pieces".
//!
//! Promise: reads every byte at most once, in order, in bounded memory, and changes nothing. What
//! is certain without reading is not read: files that are missing, and holes, which are zeros.
//! Every thread takes the next stretch of pieces when it has done its last, so the disk sees one
//! sequential reader in a few places that lie close together; `scout` has it read ahead, and what
//! a large torrent brings into memory leaves it again.

mod scout;
mod stripes;

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread;

use shoal_hashing::{Digest, Hasher, Room, hash_pieces, lanes, lanes_min};
use shoal_metainfo::ahead::Ahead;
use shoal_metainfo::limits::AHEAD_KEEP_BYTES;
use shoal_metainfo::{Bitfield, PieceIndex};

use self::scout::Scout;
use self::stripes::hash_stripes;
use crate::error::StorageError;
use crate::layout::Place;
use crate::limits::{CHECK_CLAIM, CHECK_SPAN_MAX, CHECK_THREADS_MAX};
use crate::memory;
use crate::pieces::Reading;
use crate::storage::{Access, Storage, each_zero};
use crate::verify::InFile;

impl Storage {
    /// Hashes what is on the disk and tells which pieces are good; those are verified from then
    /// on. Missing and short files are no error: their pieces are simply not there. Nor, where it
    /// is only read, is what cannot be opened or is no file: [`Storage::files_report`] names it.
    ///
    /// `progress` gets the bytes looked at so far, from any thread, not always in order. When
    /// `cancel` becomes true, the pieces found until then are returned.
    ///
    /// # Errors
    /// [`StorageError`] when something is in a file's place or a disk fails.
    pub fn check(
        &self,
        threads: usize,
        progress: &(dyn Fn(u64) + Sync),
        cancel: &AtomicBool,
    ) -> Result<Bitfield, StorageError> {
        let all = Bitfield::all(self.info.geometry.pieces());
        self.check_some(&all, threads, progress, cancel)
    }

    /// The same for these pieces alone; the others stay what they are, and count as looked at.
    ///
    /// # Errors
    /// As [`Self::check`].
    ///
    /// # Panics
    /// When the bitfield is of another torrent.
    pub fn check_some(
        &self,
        wanted: &Bitfield,
        threads: usize,
        progress: &(dyn Fn(u64) + Sync),
        cancel: &AtomicBool,
    ) -> Result<Bitfield, StorageError> {
        let pieces = self.info.geometry.pieces();
        assert_eq!(wanted.pieces(), pieces, "another torrent's");
        self.content.files.forget();
        let threads = threads.clamp(1, CHECK_THREADS_MAX);
        let drops = self.info.geometry.total() > self.keep();
        let check = Check::new(self, wanted, progress, cancel, threads, drops);
        let found = check.run(threads)?;
        self.trim();
        let mut have = Bitfield::none(pieces);
        found.into_iter().for_each(|piece| {
            have.insert(piece);
        });
        Ok(have)
    }

    /// How much content may stay in the page cache that was not there before, bytes: who may write
    /// is going to seed, and then it is needed soon.
    fn keep(&self) -> u64 {
        let half = || memory::available().map_or(u64::MAX, |bytes| bytes / 2);
        match self.access {
            Access::ReadOnly => AHEAD_KEEP_BYTES,
            Access::ReadWrite => half().max(AHEAD_KEEP_BYTES),
        }
    }
}

/// What the threads of one check share.
struct Check<'a> {
    storage: &'a Storage,
    wanted: &'a Bitfield,
    progress: &'a (dyn Fn(u64) + Sync),
    cancel: &'a AtomicBool,
    failed: AtomicBool,
    /// The first claim that no thread has made.
    next: AtomicU32,
    ahead: Ahead,
    /// Bytes.
    done: AtomicU64,
    /// The hashes of a full and of the last piece of zeros, when they are needed.
    zeros: [OnceLock<Digest>; 2],
}

/// What one thread has.
#[derive(Default)]
struct Worker {
    /// Good pieces.
    found: Vec<PieceIndex>,
    room: Room,
}

/// Good pieces, or what ended the work.
type Found = Result<Vec<PieceIndex>, StorageError>;

impl<'a> Check<'a> {
    fn new(
        storage: &'a Storage,
        wanted: &'a Bitfield,
        progress: &'a (dyn Fn(u64) + Sync),
        cancel: &'a AtomicBool,
        threads: usize,
        drops: bool,
    ) -> Self {
        Self {
            storage,
            wanted,
            progress,
            cancel,
            failed: AtomicBool::new(false),
            next: AtomicU32::new(0),
            ahead: Ahead::new(threads, drops),
            done: AtomicU64::new(0),
            zeros: [const { OnceLock::new() }; 2],
        }
    }

    fn run(&self, threads: usize) -> Found {
        let others = threads - 1;
        let answers: Vec<Found> = thread::scope(|scope| {
            let start = |number: usize| {
                let builder = thread::Builder::new().name(format!("shoal-check-{number}"));
                // Fewer threads are slower, not wrong.
                builder.spawn_scoped(scope, || self.work()).ok()
            };
            let started: Vec<_> = (0..others).map_while(start).collect();
            let ours = self.work();
            let theirs = started.into_iter().map(|thread| match thread.join() {
                Ok(found) => found,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            theirs.chain([ours]).collect()
        });
        self.ahead.drop_rest(&mut Scout { check: self });
        let mut found = Vec::new();
        for answer in answers {
            found.append(&mut answer?);
        }
        Ok(found)
    }

    fn work(&self) -> Found {
        let mut worker = Worker::default();
        let mut scout = Scout { check: self };
        while let Some((number, claimed)) = self.claim() {
            self.ahead.look(number, &mut scout);
            let mut next = claimed.start;
            while next < claimed.end && !self.is_over() {
                let run = self.run_from(next..claimed.end);
                self.advance(next..run.start);
                next = run.start;
                while next < run.end && !self.is_over() {
                    let looked_at = self.step(next..run.end, &mut worker);
                    let end =
                        looked_at.inspect_err(|_| self.failed.store(true, Ordering::Relaxed))?;
                    self.advance(next..end);
                    next = end;
                }
            }
            self.ahead.drop_behind(number, &mut scout);
        }
        Ok(worker.found)
    }

    /// The first wanted pieces behind each other; empty at the end when there are none.
    fn run_from(&self, range: Range<u32>) -> Range<u32> {
        let is_wanted = |number: &u32| self.wanted.has(self.piece(*number));
        let end = range.end;
        let start = range.clone().find(is_wanted).unwrap_or(end);
        let behind = (start..end).find(|number| !is_wanted(number));
        start..behind.unwrap_or(end)
    }

    /// Whether the work goes on after this, the bytes being as good as not there. Who wants to
    /// write is told at once what stands in the way; who only looks, of everything together.
    fn passes(&self, error: &StorageError) -> bool {
        let in_the_way = matches!(
            error,
            StorageError::NotAFile(_) | StorageError::Permission(_)
        );
        error.is_absence() || (in_the_way && self.storage.access == Access::ReadOnly)
    }

    fn is_over(&self) -> bool {
        self.cancel.load(Ordering::Relaxed) || self.failed.load(Ordering::Relaxed)
    }

    /// The next claim: its number and its pieces.
    fn claim(&self) -> Option<(u32, Range<u32>)> {
        if self.is_over() {
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Some((number, self.claimed(number)?))
    }

    /// The pieces of a claim; `None` behind the last.
    fn claimed(&self, claim: u32) -> Option<Range<u32>> {
        let geometry = &self.storage.info.geometry;
        let length = u64::from(geometry.full_piece_length());
        let count = u32::try_from(CHECK_CLAIM / length).unwrap_or(u32::MAX);
        let count = count.max(number(lanes_min()));
        let start = claim.checked_mul(count)?;
        let end = start.saturating_add(count).min(geometry.pieces());
        (start < end).then_some(start..end)
    }

    fn advance(&self, pieces: Range<u32>) {
        if pieces.is_empty() {
            return;
        }
        let bytes = self.begin_of(pieces.end) - self.begin_of(pieces.start);
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        (self.progress)(done);
    }

    /// Where a piece begins in the content; the end of all for the number behind the last.
    fn begin_of(&self, piece: u32) -> u64 {
        let geometry = &self.storage.info.geometry;
        match geometry.piece(piece) {
            Some(piece) => geometry.piece_begin(piece),
            None => geometry.total(),
        }
    }

    fn piece(&self, number: u32) -> PieceIndex {
        let piece = self.storage.info.geometry.piece(number);
        piece.expect("claimed from the same geometry")
    }

    fn all(&self, pieces: Range<u32>) -> impl Iterator<Item = PieceIndex> {
        pieces.map(|number| self.piece(number))
    }

    /// Looks at the first piece of the range and as many behind it as go in one; gives the number
    /// of the piece behind those.
    fn step(&self, range: Range<u32>, worker: &mut Worker) -> Result<u32, StorageError> {
        match self.place(range.start) {
            Some((file, bytes)) => self.inside(file, bytes.start, range, worker),
            None => {
                let others = range.start + 1..range.end.min(range.start + number(lanes()));
                let across = others.take_while(|&number| self.place(number).is_none());
                let end = range.start + 1 + number(across.count());
                self.side_by_side(range.start..end, worker)
            }
        }
    }

    fn place(&self, piece: u32) -> Option<InFile> {
        self.storage.in_one_file(self.piece(piece))
    }

    /// The first piece of the range lies inside one file, at `offset`.
    fn inside(
        &self,
        file: u32,
        offset: u64,
        range: Range<u32>,
        worker: &mut Worker,
    ) -> Result<u32, StorageError> {
        let begin = self.begin_of(range.start) - offset;
        // The last piece of the range that ends at or before an offset of the file, plus one.
        let up_to = |file_offset: u64| {
            let content = begin.saturating_add(file_offset);
            let length = u64::from(self.storage.info.geometry.full_piece_length());
            let whole = if content >= self.begin_of(range.end) {
                range.end
            } else {
                u32::try_from(content / length).unwrap_or(range.end)
            };
            whole.clamp(range.start, range.end)
        };
        let in_file = up_to(self.storage.content.files.length(file));
        let extent = match self.storage.content.files.next_data(file, offset) {
            Ok(extent) => extent,
            Err(error) if self.passes(&error) => return Ok(self.absent(range.start..in_file)),
            Err(error) => return Err(error),
        };
        let on_disk = up_to(extent.length).min(in_file);
        if on_disk == range.start {
            return Ok(self.absent(range.start..in_file));
        }
        let Some(data) = extent.data else {
            return Ok(self.zeros(range.start..on_disk, worker));
        };
        let data_begin = up_to(data.start).min(on_disk);
        if data_begin > range.start {
            return Ok(self.zeros(range.start..data_begin, worker));
        }
        let span_max = CHECK_SPAN_MAX.min(self.storage.content.windows.reservation_max());
        let span_end = up_to(offset + span_max);
        // Up to the piece that the last byte of data lies in.
        let data_end = up_to(data.end - 1).saturating_add(1).min(on_disk);
        if span_end < data_end && (span_end - range.start) < number(lanes_min()).max(1) {
            let end = data_end.min(range.start + number(lanes()));
            return self.side_by_side(range.start..end, worker);
        }
        let run = range.start..data_end.min(span_end);
        let end = run.end;
        self.hash_run(file, offset, run, worker)?;
        Ok(end)
    }

    /// Hashes pieces that lie in one file behind each other, on as many lanes as there are.
    fn hash_run(
        &self,
        file: u32,
        offset: u64,
        run: Range<u32>,
        worker: &mut Worker,
    ) -> Result<(), StorageError> {
        let storage = self.storage;
        let held: Vec<_> = self
            .all(run.clone())
            .map(|piece| storage.pieces.read(piece))
            .collect();
        let begin = self.begin_of(run.start);
        let end = offset + (self.begin_of(run.end) - begin);
        // Declared first, so dropped last: the place is given back after the mapping is gone.
        let _place = storage.content.windows.reserve(end - offset);
        let digests = match storage.content.bring_in(file, offset..end) {
            Ok(brought) => {
                let length = storage.info.geometry.full_piece_length() as usize;
                let pieces: Vec<_> = brought.bytes(&held[0]).chunks(length).collect();
                let digests = hash_pieces(&pieces);
                storage.content.check_whole(&brought).map(|()| digests)
            }
            Err(error) => Err(error),
        };
        let digests = match digests {
            Ok(digests) => digests,
            Err(error) if error.is_absence() => Vec::new(),
            Err(error) => return Err(error),
        };
        for (number, (piece, held)) in self.all(run).zip(&held).enumerate() {
            let good = digests.get(number) == Some(&storage.info.piece_hash(piece));
            held.set_verified(good);
            worker.found.extend(good.then_some(piece));
        }
        Ok(())
    }

    /// Pieces in several files, in padding, or too long to be mapped together. Gives the number of
    /// the piece behind them, or of the first when the work ended meanwhile.
    fn side_by_side(&self, range: Range<u32>, worker: &mut Worker) -> Result<u32, StorageError> {
        let storage = self.storage;
        let mut to_read = Vec::with_capacity(range.len());
        for piece in self.all(range.clone()) {
            let held = storage.pieces.read(piece);
            match self.unread(piece) {
                Ok(None) if storage.content.ways.writes_mapped => {
                    // Calls need not see what was written through a mapping.
                    self.judge(piece, &held, storage.hash(piece, &held), worker)?;
                }
                Ok(None) => to_read.push((piece, held)),
                known => {
                    let digest = known.map(|digest| digest.expect("none is above"));
                    self.judge(piece, &held, digest, worker)?;
                }
            }
        }
        let pieces: Vec<_> = to_read.iter().map(|(piece, _)| *piece).collect();
        let Some(digests) = hash_stripes(storage, &pieces, &mut worker.room, || self.is_over())
        else {
            return Ok(range.start);
        };
        for ((piece, held), digest) in to_read.iter().zip(digests) {
            self.judge(*piece, held, digest, worker)?;
        }
        Ok(range.end)
    }

    fn judge(
        &self,
        piece: PieceIndex,
        held: &Reading<'_>,
        digest: Result<Digest, StorageError>,
        worker: &mut Worker,
    ) -> Result<(), StorageError> {
        let good = match digest {
            Ok(digest) => digest == self.storage.info.piece_hash(piece),
            Err(error) if self.passes(&error) => false,
            Err(error) => return Err(error),
        };
        held.set_verified(good);
        worker.found.extend(good.then_some(piece));
        Ok(())
    }

    /// The hash of a piece that needs no reading: all of it are holes and padding.
    fn unread(&self, piece: PieceIndex) -> Result<Option<Digest>, StorageError> {
        for span in self.storage.spans(piece) {
            let Place::File { file, offset } = span.place else {
                continue;
            };
            let end = offset + span.length;
            let extent = self.storage.content.files.next_data(file, offset)?;
            let is_hole = extent.data.is_none_or(|data| data.start >= end);
            if extent.length < end || !is_hole {
                return Ok(None);
            }
        }
        Ok(Some(self.zero_hash(piece)))
    }

    /// Pieces whose file is missing or too short.
    fn absent(&self, pieces: Range<u32>) -> u32 {
        let end = pieces.end;
        for piece in self.all(pieces) {
            self.storage.pieces.read(piece).set_verified(false);
        }
        end
    }

    /// Pieces that lie in a hole.
    fn zeros(&self, pieces: Range<u32>, worker: &mut Worker) -> u32 {
        let end = pieces.end;
        for piece in self.all(pieces) {
            let good = self.storage.info.piece_hash(piece) == self.zero_hash(piece);
            self.storage.pieces.read(piece).set_verified(good);
            worker.found.extend(good.then_some(piece));
        }
        end
    }

    fn zero_hash(&self, piece: PieceIndex) -> Digest {
        let geometry = &self.storage.info.geometry;
        let length = geometry.piece_length(piece);
        let is_last = usize::from(length != geometry.full_piece_length());
        *self.zeros[is_last].get_or_init(|| {
            let mut hasher = Hasher::new();
            each_zero(length as usize, |slice| hasher.update(slice));
            hasher.finish()
        })
    }
}

/// As pieces are numbered.
fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
