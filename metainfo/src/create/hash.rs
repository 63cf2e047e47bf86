//! The SHA-1 of every piece, on all cores. BEP 3 "pieces".
//!
//! Threads take runs of pieces in order. Each reads a little of several pieces into a buffer of its
//! own, lets them advance side by side while the bytes are in the processor's cache, and goes on.
//! Memory is bounded by the threads and not by the content. That the disk is read in order all the
//! same is [`ahead`](crate::ahead)'s care; which bytes are in which file, `read`'s.

use std::fs;
use std::ops::Range;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread;

use shoal_hashing::{Digest, Hasher, Room, advance, hash_pieces, lanes, lanes_min};

use super::read::{Reader, parts};
use super::scan::{stamp, unreadable};
use super::{CreateError, Hashes, Plan, PlanFile};
use crate::ahead::{Ahead, Part, Source};
use crate::limits::{
    AHEAD_KEEP_BYTES, CREATE_BUFFER_BYTES, CREATE_CHUNK_MIN, CREATE_RUN_BYTES_MAX,
    CREATE_RUN_BYTES_MIN, CREATE_THREADS_MAX,
};
use crate::piece::Geometry;

impl Plan {
    /// Hashes all content in pieces of `piece_length` bytes, on `threads` threads: at least one,
    /// and no more than there are pieces.
    ///
    /// `progress` is told the bytes done so far, from any of the threads and not always in order;
    /// its greatest number is the total. `cancel` ends the work soon after it is raised.
    ///
    /// # Errors
    /// [`CreateError`]: an impossible piece length, a file that cannot be read, or one that has
    /// changed in size or time of change, or vanished, since the scan.
    pub fn hash(
        &self,
        piece_length: u32,
        threads: usize,
        progress: &(dyn Fn(u64) + Sync),
        cancel: &AtomicBool,
    ) -> Result<Hashes, CreateError> {
        let geometry = Geometry::new(self.total, u64::from(piece_length))?;
        let threads = threads.clamp(1, CREATE_THREADS_MAX);
        let threads = threads.min(geometry.pieces() as usize);
        let begins = self.begins();
        let cut = Cut::new(geometry, threads);
        let work = Work {
            plan: self,
            begins: &begins,
            cut,
            ahead: Ahead::new(threads, self.total > AHEAD_KEEP_BYTES),
            next: AtomicU32::new(0),
            done: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            progress,
            cancel,
        };
        let runs = thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|_| scope.spawn(|| work.drain().inspect_err(|_| work.stop())))
                .collect();
            let mut runs = Vec::new();
            for worker in workers {
                // A panic of a worker is a bug, and goes on as one.
                let result = worker
                    .join()
                    .unwrap_or_else(|p| std::panic::resume_unwind(p));
                runs.extend(result?);
            }
            Ok::<_, CreateError>(runs)
        });
        work.ahead.drop_rest(&mut work.scout());
        let mut runs = runs?;
        runs.sort_unstable_by_key(|(number, _)| *number);
        let pieces: Vec<Digest> = runs.into_iter().flat_map(|(_, hashes)| hashes).collect();
        if pieces.len() < geometry.pieces() as usize {
            return Err(CreateError::Cancelled);
        }
        self.check_unchanged()?;
        Ok(Hashes { geometry, pieces })
    }

    /// Where each file begins in the content.
    fn begins(&self) -> Vec<u64> {
        let mut begin = 0;
        let next = |file: &PlanFile| {
            begin += file.length;
            begin - file.length
        };
        self.files.iter().map(next).collect()
    }

    /// Looks at every file once more, so that none has changed after its part was read.
    fn check_unchanged(&self) -> Result<(), CreateError> {
        for file in &self.files {
            let source = self.source(file);
            let now = fs::metadata(&source).and_then(|metadata| stamp(&metadata));
            match now {
                Ok(now) if now == (file.length, file.modified) => {}
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(unreadable(&source, error));
                }
                _ => return Err(CreateError::Changed(source)),
            }
        }
        Ok(())
    }
}

/// How the pieces are cut into runs, which a thread takes at once, and these into groups, which
/// are hashed side by side.
#[derive(Clone, Copy)]
struct Cut {
    geometry: Geometry,
    run: u32,
    group: u32,
}

impl Cut {
    /// Groups fill the lanes where that is not too much content; runs are a few groups where
    /// pieces are short, and few enough pieces that all threads have work.
    fn new(geometry: Geometry, threads: usize) -> Self {
        let length = geometry.full_piece_length() as usize;
        let side_by_side = (CREATE_RUN_BYTES_MAX / length).clamp(lanes_min(), lanes());
        let group = side_by_side.max(CREATE_BUFFER_BYTES / length);
        let groups = (CREATE_RUN_BYTES_MIN / length / group).max(1);
        let share = (geometry.pieces() as usize).div_ceil(threads);
        let number = |pieces: usize| u32::try_from(pieces).unwrap_or(u32::MAX);
        Self {
            geometry,
            run: number((group * groups).min(share)),
            group: number(group.min(share)),
        }
    }

    /// The pieces of that run; `None` behind the last.
    fn run(&self, number: u32) -> Option<Range<u32>> {
        let first = number.checked_mul(self.run)?;
        let end = first.saturating_add(self.run).min(self.geometry.pieces());
        (first < end).then_some(first..end)
    }

    /// Where the pieces lie in the content.
    fn bytes(&self, pieces: &Range<u32>) -> Range<u64> {
        let begin = |piece: u32| {
            let begin = u64::from(piece) * u64::from(self.geometry.full_piece_length());
            begin.min(self.geometry.total())
        };
        begin(pieces.start)..begin(pieces.end)
    }
}

/// The number of a run, and the hashes of its pieces.
type Run = (u32, Vec<Digest>);

/// What all threads share.
struct Work<'p> {
    plan: &'p Plan,
    begins: &'p [u64],
    cut: Cut,
    ahead: Ahead,
    next: AtomicU32,
    done: AtomicU64,
    failed: AtomicBool,
    progress: &'p (dyn Fn(u64) + Sync),
    cancel: &'p AtomicBool,
}

impl Work<'_> {
    /// One thread's life: takes runs until there are none.
    fn drain(&self) -> Result<Vec<Run>, CreateError> {
        let mut reader = Reader::new(self.plan, self.begins);
        let mut scout = self.scout();
        let mut room = Room::default();
        let buffer = room.take(CREATE_BUFFER_BYTES);
        let mut runs = Vec::new();
        while !self.is_stopped() {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(pieces) = self.cut.run(number) else {
                break;
            };
            self.ahead.look(number, &mut scout);
            let mut hashes = Vec::with_capacity(pieces.len());
            for first in pieces.clone().step_by(self.cut.group as usize) {
                let end = first.saturating_add(self.cut.group).min(pieces.end);
                let Some(group) = self.hash_group(&(first..end), &mut reader, buffer)? else {
                    return Ok(runs);
                };
                hashes.extend(group);
            }
            reader.check()?;
            self.ahead.drop_behind(number, &mut scout);
            runs.push((number, hashes));
        }
        Ok(runs)
    }

    /// Hashes pieces side by side; `None` when the work is stopped meanwhile.
    fn hash_group(
        &self,
        pieces: &Range<u32>,
        reader: &mut Reader<'_>,
        buffer: &mut [u8],
    ) -> Result<Option<Vec<Digest>>, CreateError> {
        let bytes = self.cut.bytes(pieces);
        match usize::try_from(bytes.end - bytes.start) {
            Ok(length) if length <= CREATE_BUFFER_BYTES => {
                if self.is_stopped() {
                    return Ok(None);
                }
                let buffer = &mut buffer[..length];
                reader.read(bytes.start, buffer)?;
                let length = self.cut.geometry.full_piece_length() as usize;
                let pieces: Vec<&[u8]> = buffer.chunks(length).collect();
                let hashes = hash_pieces(&pieces);
                self.report(buffer.len());
                Ok(Some(hashes))
            }
            _ => self.hash_stripes(pieces, reader, buffer),
        }
    }

    /// Hashes pieces that are too long for the buffer: stripe by stripe, each of as much of every
    /// piece as has room in it.
    fn hash_stripes(
        &self,
        pieces: &Range<u32>,
        reader: &mut Reader<'_>,
        buffer: &mut [u8],
    ) -> Result<Option<Vec<Digest>>, CreateError> {
        let chunk = (CREATE_BUFFER_BYTES / pieces.len() / CREATE_CHUNK_MIN).max(1);
        let chunk = chunk * CREATE_CHUNK_MIN;
        assert!(chunk * pieces.len() <= buffer.len(), "more lanes than room");
        let mut hashers = vec![Hasher::new(); pieces.len()];
        for stripe in (0..u64::from(self.cut.geometry.full_piece_length())).step_by(chunk) {
            if self.is_stopped() {
                return Ok(None);
            }
            let mut parts = Vec::with_capacity(pieces.len());
            let mut read = 0;
            let lanes = pieces.clone().zip(&mut hashers);
            for ((piece, hasher), room) in lanes.zip(buffer.chunks_mut(chunk)) {
                let Range { start, end } = self.cut.bytes(&(piece..piece + 1));
                // The last piece may have ended.
                let left = (end - start).saturating_sub(stripe);
                let length = usize::try_from(left).map_or(chunk, |left| left.min(chunk));
                let part = &mut room[..length];
                reader.read(start + stripe, part)?;
                read += length;
                parts.push((hasher, &*part));
            }
            advance(&mut parts);
            self.report(read);
        }
        Ok(Some(hashers.into_iter().map(Hasher::finish).collect()))
    }

    fn report(&self, bytes: usize) {
        let bytes = bytes as u64;
        let before = self.done.fetch_add(bytes, Ordering::Relaxed);
        (self.progress)(before + bytes);
    }

    fn scout(&self) -> Scout<'_> {
        Scout {
            work: self,
            reader: Reader::new(self.plan, self.begins),
        }
    }

    fn stop(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    fn is_stopped(&self) -> bool {
        self.failed.load(Ordering::Relaxed) || self.cancel.load(Ordering::Relaxed)
    }
}

/// Looks ahead for one thread, with a file of its own open.
struct Scout<'p> {
    work: &'p Work<'p>,
    reader: Reader<'p>,
}

impl Source for Scout<'_> {
    fn parts(&mut self, run: u32) -> Option<Vec<Part>> {
        let Work {
            plan, begins, cut, ..
        } = *self.work;
        let content = cut.bytes(&cut.run(run)?);
        let part = |(number, bytes)| {
            let file = u32::try_from(number).expect("a plan has no more files than fit");
            Part { file, bytes }
        };
        Some(parts(plan, begins, content).map(part).collect())
    }

    fn with_file(&mut self, file: u32, then: &mut dyn FnMut(BorrowedFd<'_>)) {
        if let Ok(file) = self.reader.file(file as usize) {
            then(file.as_fd());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn runs_and_groups_cover_every_piece_once_within_the_bounds(
            total in 1u64..1 << 44,
            exponent in 14u32..29,
            odd in 0u32..5,
            threads in 1usize..64,
        ) {
            let length = (1 << exponent) - odd;
            let Ok(geometry) = Geometry::new(total, u64::from(length)) else {
                return Ok(());
            };
            let threads = threads.min(geometry.pieces() as usize);
            let cut = Cut::new(geometry, threads);
            let runs = geometry.pieces().div_ceil(cut.run);
            prop_assert!(cut.group >= 1 && cut.group <= cut.run && runs as usize >= threads / 2);
            prop_assert_eq!(cut.run(0).map(|run| run.start), Some(0));
            prop_assert_eq!(cut.run(runs - 1).map(|run| run.end), Some(geometry.pieces()));
            prop_assert_eq!(cut.run(runs), None);
            let last = cut.run(runs - 1).unwrap();
            prop_assert_eq!(cut.bytes(&last).end, total);
            let share = (geometry.pieces() as usize).div_ceil(threads);
            prop_assert!(cut.group as usize >= lanes_min().min(share), "lanes stay empty");
            let bytes = u64::from(cut.run) * u64::from(length);
            let at_least = lanes_min() as u64 * u64::from(length);
            prop_assert!(bytes <= at_least.max(CREATE_RUN_BYTES_MAX as u64));
        }
    }
}
