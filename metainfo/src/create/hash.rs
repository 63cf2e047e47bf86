//! The SHA-1 of every piece, on all cores. BEP 3 "pieces".
//!
//! Threads take runs of pieces in order; each reads its run into a buffer of its own, then hashes
//! it. Memory is bounded by the threads and not by the content, and each thread keeps one file
//! open. What hashes how is `shoal_hashing`'s business.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread;

use shoal_hashing::{Digest, Hasher, hash_pieces};

use super::scan::{stamp, unreadable};
use super::{CreateError, Hashes, Plan, PlanFile};
use crate::limits::{CREATE_BATCH_PIECES_MAX, CREATE_BUFFER_BYTES, CREATE_CHUNK_BYTES};
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
        let threads = threads.clamp(1, geometry.pieces() as usize);
        let work = Work {
            plan: self,
            begins: self.begins(),
            geometry,
            run: run_length(&geometry, threads),
            next: AtomicU32::new(0),
            done: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            progress,
            cancel,
        };
        let mut runs = thread::scope(|scope| {
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
        })?;
        runs.sort_unstable_by_key(|(first, _)| *first);
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

/// Pieces that a thread takes at once: several where they are short, so that they can be hashed
/// side by side, and few enough that all threads have work.
fn run_length(geometry: &Geometry, threads: usize) -> u32 {
    let room = CREATE_BUFFER_BYTES / geometry.full_piece_length() as usize;
    let room = u32::try_from(room).unwrap_or(u32::MAX);
    let share = (geometry.pieces() as usize).div_ceil(threads);
    let share = u32::try_from(share).unwrap_or(u32::MAX);
    room.min(share).clamp(1, CREATE_BATCH_PIECES_MAX)
}

/// The numbers of a run's first piece, and the hashes from there on.
type Run = (u32, Vec<Digest>);

/// What all threads share.
struct Work<'p> {
    plan: &'p Plan,
    begins: Vec<u64>,
    geometry: Geometry,
    run: u32,
    next: AtomicU32,
    done: AtomicU64,
    failed: AtomicBool,
    progress: &'p (dyn Fn(u64) + Sync),
    cancel: &'p AtomicBool,
}

impl Work<'_> {
    /// One thread's life: takes runs until there are none.
    fn drain(&self) -> Result<Vec<Run>, CreateError> {
        let mut reader = Reader::new(self);
        let mut buffer = Vec::new();
        let mut runs = Vec::new();
        while !self.is_stopped() {
            let first = self.next.fetch_add(self.run, Ordering::Relaxed);
            if first >= self.geometry.pieces() {
                break;
            }
            let end = (first + self.run).min(self.geometry.pieces());
            let hashes = if self.run == 1 {
                self.hash_alone(first, &mut reader, &mut buffer)?
            } else {
                Some(self.hash_together(first, end, &mut reader, &mut buffer)?)
            };
            let Some(hashes) = hashes else { break };
            runs.push((first, hashes));
        }
        Ok(runs)
    }

    /// Reads all pieces of a run, then hashes them side by side.
    fn hash_together(
        &self,
        first: u32,
        end: u32,
        reader: &mut Reader<'_>,
        buffer: &mut Vec<u8>,
    ) -> Result<Vec<Digest>, CreateError> {
        let begin = self.begin_of(first);
        let length = usize::try_from(self.begin_of(end) - begin).expect("it fits the buffer");
        buffer.resize(length, 0);
        reader.read(begin, buffer)?;
        let piece_length = self.geometry.full_piece_length() as usize;
        let pieces: Vec<&[u8]> = buffer.chunks(piece_length).collect();
        let hashes = hash_pieces(&pieces);
        self.report(length);
        Ok(hashes)
    }

    /// Hashes one long piece chunk by chunk; `None` when the work is stopped meanwhile.
    fn hash_alone(
        &self,
        piece: u32,
        reader: &mut Reader<'_>,
        buffer: &mut Vec<u8>,
    ) -> Result<Option<Vec<Digest>>, CreateError> {
        let mut hasher = Hasher::new();
        let (mut begin, end) = (self.begin_of(piece), self.begin_of(piece + 1));
        while begin < end {
            if self.is_stopped() {
                return Ok(None);
            }
            let length = (end - begin).min(CREATE_CHUNK_BYTES as u64);
            buffer.resize(usize::try_from(length).expect("at most a chunk"), 0);
            reader.read(begin, buffer)?;
            hasher.update(buffer);
            self.report(buffer.len());
            begin += length;
        }
        Ok(Some(vec![hasher.finish()]))
    }

    /// Where the piece begins; behind the last one, the total.
    fn begin_of(&self, piece: u32) -> u64 {
        let begin = u64::from(piece) * u64::from(self.geometry.full_piece_length());
        begin.min(self.geometry.total())
    }

    fn report(&self, bytes: usize) {
        let bytes = bytes as u64;
        let before = self.done.fetch_add(bytes, Ordering::Relaxed);
        (self.progress)(before + bytes);
    }

    fn stop(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    fn is_stopped(&self) -> bool {
        self.failed.load(Ordering::Relaxed) || self.cancel.load(Ordering::Relaxed)
    }
}

/// Reads ranges of the content, with the last file kept open.
struct Reader<'p> {
    work: &'p Work<'p>,
    open: Option<Open>,
}

struct Open {
    number: usize,
    file: File,
    source: PathBuf,
}

impl<'p> Reader<'p> {
    fn new(work: &'p Work<'p>) -> Self {
        Self { work, open: None }
    }

    /// Fills the buffer with the content from `begin` on, across files.
    fn read(&mut self, mut begin: u64, mut buffer: &mut [u8]) -> Result<(), CreateError> {
        let begins = &self.work.begins;
        // Of files that begin at the same place all but the last are empty.
        let mut number = begins.partition_point(|&other| other <= begin) - 1;
        while !buffer.is_empty() {
            let left = self.work.plan.files[number].length - (begin - begins[number]);
            let length = buffer
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            let (part, rest) = buffer.split_at_mut(length);
            if length > 0 {
                self.read_file(number, begin - begins[number], part)?;
            }
            begin += length as u64;
            buffer = rest;
            number += 1;
        }
        Ok(())
    }

    /// Fills the buffer from one file, which must be as it was at the scan before and afterwards.
    fn read_file(&mut self, number: usize, at: u64, buffer: &mut [u8]) -> Result<(), CreateError> {
        let file = &self.work.plan.files[number];
        let open = match self.open.take() {
            Some(open) if open.number == number => open,
            _ => {
                let open = self.open_file(number)?;
                check(&open, file)?;
                open
            }
        };
        let open = self.open.insert(open);
        let result = open
            .file
            .seek(SeekFrom::Start(at))
            .and_then(|_| open.file.read_exact(buffer));
        match result {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(CreateError::Changed(open.source.clone()))
            }
            Err(error) => Err(unreadable(&open.source, error)),
            Ok(()) => check(open, file),
        }
    }

    fn open_file(&self, number: usize) -> Result<Open, CreateError> {
        let source = self.work.plan.source(&self.work.plan.files[number]);
        match File::open(&source) {
            Ok(file) => Ok(Open {
                number,
                file,
                source,
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(CreateError::Changed(source))
            }
            Err(error) => Err(unreadable(&source, error)),
        }
    }
}

fn check(open: &Open, file: &PlanFile) -> Result<(), CreateError> {
    let metadata = open.file.metadata().and_then(|metadata| stamp(&metadata));
    match metadata {
        Ok(now) if now == (file.length, file.modified) => Ok(()),
        Ok(_) => Err(CreateError::Changed(open.source.clone())),
        Err(error) => Err(unreadable(&open.source, error)),
    }
}
