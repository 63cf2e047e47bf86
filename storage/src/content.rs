//! Bytes of files, through windows or by calls.
//!
//! Cuts a range of a file where windows end, gets each window from the cache, and copies or lends
//! what lies in it; or has the bytes read and written without one. Holds at most one window at a
//! time. Knows which piece is held only as a proof.

use std::io::IoSlice;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use rustix::io::Errno;

use crate::error::{Operation, StorageError};
use crate::files::{Files, Version};
use crate::limits::{COPY_CHUNK, READ_CHUNK};
use crate::map::{Lent, Own, Purpose};
use crate::method::Ways;
use crate::pieces::{Reading, Writing};
use crate::windows::{Key, Lease, Windows};

/// The files of one torrent and the windows that are open on them.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) files: Files,
    pub(crate) windows: Arc<Windows>,
    pub(crate) ways: Ways,
    /// A file could not be mapped: from then on all are read by calls.
    pub(crate) unmappable: AtomicBool,
}

/// Bytes that were brought into memory in one slice.
#[derive(Debug)]
pub(crate) enum Brought {
    /// Of these bytes of that file.
    Mapped(Own, u32, Range<u64>),
    Copied(Vec<u8>),
}

impl Brought {
    /// All of them; they lie in pieces that are held. See [`Content::check_whole`].
    pub(crate) fn bytes<'a>(&'a self, held: &'a Reading<'_>) -> &'a [u8] {
        match self {
            Self::Mapped(own, ..) => own.bytes(held),
            Self::Copied(bytes) => bytes,
        }
    }
}

/// The part of a range that lies in one window.
struct Cut {
    number: u64,
    /// In the window.
    range: Range<usize>,
    /// In the file.
    bytes: Range<u64>,
}

impl Content {
    /// Writes the slices behind each other, `range` long in all; `around` is the part of the file
    /// that will be written soon as well, `range` included.
    pub(crate) fn write(
        &self,
        file: u32,
        range: Range<u64>,
        slices: &mut [IoSlice<'_>],
        around: &Range<u64>,
        held: &Writing<'_>,
    ) -> Result<(), StorageError> {
        let version = self.files.allocate(file)?;
        if self.ways.writes_mapped {
            let mut offset = range.start;
            for slice in slices.iter() {
                self.copy_in(file, version, offset, slice, around, held)?;
                offset += slice.len() as u64;
            }
        } else {
            self.files.write_at(file, range, slices)?;
        }
        self.files.mark_written(file);
        Ok(())
    }

    /// Writes `data` through windows.
    fn copy_in(
        &self,
        file: u32,
        version: Version,
        offset: u64,
        mut data: &[u8],
        around: &Range<u64>,
        held: &Writing<'_>,
    ) -> Result<(), StorageError> {
        for cut in self.cuts(offset..offset + data.len() as u64) {
            let lease = self.lease(file, cut.number, version)?;
            let around = self.within(cut.number, around);
            let made = lease.window().make_writable(&cut.range, around);
            self.explain(file, &cut.bytes, Operation::Write, made)?;
            let (now, rest) = data.split_at(cut.range.len());
            let copied = lease.mapping().copy_in(cut.range.start, now, held);
            self.explain(file, &cut.bytes, Operation::Write, copied)?;
            data = rest;
        }
        Ok(())
    }

    /// By which ways bytes get to and from the files.
    pub(crate) fn ways(&self) -> Ways {
        Ways {
            reads_mapped: self.ways.reads_mapped && !self.unmappable.load(Ordering::Relaxed),
            ..self.ways
        }
    }

    /// Whether calls can read what could not be mapped.
    fn is_unmappable(&self, error: &StorageError) -> bool {
        let by_calls = matches!(error, StorageError::NoMmap(_)) && !self.ways.writes_mapped;
        if by_calls && !self.unmappable.swap(true, Ordering::Relaxed) {
            tracing::info!("{error}: read by calls");
        }
        by_calls
    }

    /// Gives the bytes of a range to `each`, part by part, in order.
    pub(crate) fn read(
        &self,
        file: u32,
        range: Range<u64>,
        held: &Reading<'_>,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), StorageError> {
        if !self.ways().reads_mapped {
            return self.read_chunks(file, range, each);
        }
        let mut buffer = vec![0; in_window(&range, range.start).len().min(COPY_CHUNK)];
        for cut in self.cuts(range.clone()) {
            // No page behind it: they may be about to be written, and would be made twice.
            let lease = match self.readable(file, &cut, cut.bytes.end) {
                Err(error) if self.is_unmappable(&error) => {
                    return self.read_chunks(file, cut.bytes.start..range.end, each);
                }
                answer => answer?,
            };
            for at in cut.range.clone().step_by(COPY_CHUNK) {
                let length = COPY_CHUNK.min(cut.range.end - at);
                let copied = lease.mapping().copy_out(at, &mut buffer[..length], held);
                self.explain(file, &cut.bytes, Operation::Read, copied)?;
                self.check_end(file, &cut.bytes, buffer[length - 1])?;
                each(&buffer[..length]);
            }
        }
        Ok(())
    }

    /// The same without a mapping.
    fn read_chunks(
        &self,
        file: u32,
        range: Range<u64>,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), StorageError> {
        let left =
            |at: u64| usize::try_from(range.end - at).map_or(READ_CHUNK, |n| n.min(READ_CHUNK));
        let mut buffer = vec![0; left(range.start)];
        let mut at = range.start;
        while at < range.end {
            let chunk = &mut buffer[..left(at)];
            self.files.read_at(file, at, chunk)?;
            each(chunk);
            at += chunk.len() as u64;
        }
        Ok(())
    }

    /// The bytes of a range, in memory. Without a copy when they lie in one window and not half of
    /// the windows are lent out yet; their pages are present then, and some more before
    /// `ahead_end` may be.
    pub(crate) fn lend(
        &self,
        file: u32,
        range: Range<u64>,
        ahead_end: u64,
        held: &Reading<'_>,
    ) -> Result<Bytes, StorageError> {
        let mut cuts = self.cuts(range.clone());
        if let (true, Some(cut), None) = (self.ways().reads_mapped, cuts.next(), cuts.next()) {
            let lease = match self.readable(file, &cut, ahead_end) {
                Err(error) if self.is_unmappable(&error) => None,
                answer => Some(answer?),
            };
            if let Some(mut lease) = lease
                && lease.lend()
            {
                let touched = lease.mapping().touch(cut.range.clone());
                let last = self.explain(file, &cut.bytes, Operation::Read, touched)?;
                self.check_end(file, &range, last)?;
                if let Some(lent) = Lent::new(lease, cut.range, held) {
                    return Ok(Bytes::from_owner(lent));
                }
            }
        }
        let mut copy = Vec::with_capacity(in_window(&range, range.start).len());
        self.read(file, range, held, |slice| copy.extend_from_slice(slice))?;
        Ok(copy.into())
    }

    /// That the file still reaches to the end of a range from which bytes were read through a
    /// mapping. When the last of them was zero, it may be one of those behind the end of the file.
    fn check_end(&self, file: u32, range: &Range<u64>, last: u8) -> Result<(), StorageError> {
        let there = last != 0 || self.files.reaches(file, range.end);
        let answer = if there { Ok(()) } else { Err(Errno::FAULT) };
        self.explain(file, range, Operation::Read, answer)
    }

    /// The cause where a page of a range could not be had.
    fn explain<T>(
        &self,
        file: u32,
        range: &Range<u64>,
        operation: Operation,
        answer: Result<T, Errno>,
    ) -> Result<T, StorageError> {
        let diagnose = |errno| self.files.diagnose(file, range.clone(), operation, errno);
        answer.map_err(diagnose)
    }

    /// Brings a range into memory in one slice, outside of the windows: whoever calls has a place
    /// for it from [`Windows::reserve`].
    pub(crate) fn bring_in(&self, file: u32, range: Range<u64>) -> Result<Brought, StorageError> {
        if !self.ways().reads_mapped {
            let mut bytes = vec![0; in_window(&range, range.start).len()];
            self.files.read_at(file, range.start, &mut bytes)?;
            return Ok(Brought::Copied(bytes));
        }
        let version = self.files.version(file);
        let mapping = match self.files.map(file, version, &range, Purpose::Read) {
            Err(error) if self.is_unmappable(&error) => return self.bring_in(file, range),
            answer => answer?,
        };
        let length = mapping.length();
        if (length as u64) < range.end - range.start {
            let at = self.files.at(file, Operation::Read);
            return Err(at.span(range).truncated());
        }
        mapping.read_in_sequence();
        let made = mapping.populate(0..length, Purpose::Read);
        self.explain(file, &range, Operation::Read, made)?;
        Ok(Brought::Mapped(mapping.into_own(), file, range))
    }

    /// That what was brought in was all there until now; to be asked after it was read.
    pub(crate) fn check_whole(&self, brought: &Brought) -> Result<(), StorageError> {
        match brought {
            Brought::Mapped(own, file, range) => {
                self.explain(*file, range, Operation::Read, own.check())?;
                self.check_end(*file, range, 0)
            }
            Brought::Copied(_) => Ok(()),
        }
    }

    /// The window of a cut, brought in for reading.
    fn readable(&self, file: u32, cut: &Cut, ahead_end: u64) -> Result<Lease, StorageError> {
        let mut lease = self.lease(file, cut.number, self.files.version(file))?;
        if cut.range.end > lease.mapping().length() || lease.mapping().is_lost() {
            // The file may have grown since that window was mapped: one more look.
            drop(lease);
            self.files.suspect(file);
            lease = self.lease(file, cut.number, self.files.version(file))?;
        }
        if cut.range.end > lease.mapping().length() {
            let at = self.files.at(file, Operation::Read);
            return Err(at.span(cut.bytes.clone()).truncated());
        }
        let ahead = ahead_end.saturating_sub(cut.number * self.windows.length());
        let ahead = usize::try_from(ahead).unwrap_or(usize::MAX);
        let made = lease.window().make_readable(&cut.range, ahead);
        self.explain(file, &cut.bytes, Operation::Read, made)?;
        Ok(lease)
    }

    fn lease(&self, file: u32, number: u64, version: Version) -> Result<Lease, StorageError> {
        let begin = number * self.windows.length();
        let end = (begin + self.windows.length()).min(self.files.length(file));
        let key = Key {
            file,
            number,
            state: version.0,
        };
        let purpose = if self.ways.writes_mapped && version.is_allocated() {
            Purpose::Write
        } else {
            Purpose::Read
        };
        let map = || self.files.map(file, version, &(begin..end), purpose);
        self.windows.lease(key, end - begin, map)
    }

    fn cuts(&self, range: Range<u64>) -> impl Iterator<Item = Cut> + use<> {
        let length = self.windows.length();
        let mut at = range.start;
        std::iter::from_fn(move || {
            if at >= range.end {
                return None;
            }
            let number = at / length;
            let end = range.end.min((number + 1) * length);
            let bytes = at..end;
            at = end;
            let range = in_window(&bytes, number * length);
            Some(Cut {
                number,
                range,
                bytes,
            })
        })
    }

    /// The part of a range of the file that lies in a window, as offsets in the window.
    fn within(&self, number: u64, range: &Range<u64>) -> Range<usize> {
        let begin = number * self.windows.length();
        let end = begin + self.windows.length();
        in_window(&(range.start.max(begin)..range.end.min(end)), begin)
    }
}

fn in_window(bytes: &Range<u64>, begin: u64) -> Range<usize> {
    let offset = |at: u64| usize::try_from(at - begin).expect("a window fits in memory");
    offset(bytes.start)..offset(bytes.end)
}
