//! The bytes of the files: mapped, or read and written by calls.
//!
//! Promise: bytes are never written behind the end of a file that has shrunk, and never into one
//! that has lost its name. Knows nothing of windows or pieces.

use std::io::IoSlice;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::{Files, Version, length_of};
use crate::error::{At, Operation, StorageError};
use crate::limits::{READ_CHUNK, WRITE_SLICES_MAX};
use crate::map::{Mapping, Purpose};

impl Files {
    /// Maps a range of a file, as far as the file reaches.
    ///
    /// # Errors
    /// [`StorageError::Truncated`] when the file ends before the range begins, or, once it was
    /// allocated, anywhere before the end of the range.
    pub(crate) fn map(
        &self,
        file: u32,
        version: Version,
        range: &Range<u64>,
        purpose: Purpose,
    ) -> Result<Mapping, StorageError> {
        let at = || self.at(file, Operation::Map).span(range.clone());
        let (fd, on_disk) = self.get_linked(file, version.is_allocated(), at)?;
        let end = on_disk.min(range.end);
        if end <= range.start || (version.is_allocated() && end < range.end) {
            if version.is_allocated() {
                self.lose(file);
            }
            return Err(at().truncated());
        }
        let length = usize::try_from(end - range.start).expect("a window fits in memory");
        Mapping::new(fd.as_fd(), range.start, length, purpose).map_err(|errno| at().failed(errno))
    }

    /// A descriptor of a file that still has a name, and the bytes that the file has.
    fn get_linked(
        &self,
        file: u32,
        writable: bool,
        at: impl Fn() -> At,
    ) -> Result<(Arc<OwnedFd>, u64), StorageError> {
        let fd = self.get(file, writable)?;
        let stat = rustix::fs::fstat(&*fd).map_err(|errno| at().failed(errno))?;
        if stat.st_nlink == 0 {
            self.lose(file);
            // Its name is gone, or leads to another.
            return Err(match self.open_regular(file, OFlags::RDONLY) {
                Ok(_) => at().changed(),
                Err(_) => at().gone(),
            });
        }
        Ok((fd, length_of(&stat)))
    }

    /// Writes the slices behind each other into a file that is allocated.
    ///
    /// # Errors
    /// [`StorageError::Truncated`] when the file has shrunk: what is written behind its end would
    /// turn the bytes between into zeros.
    pub(crate) fn write_at(
        &self,
        file: u32,
        range: Range<u64>,
        mut slices: &mut [IoSlice<'_>],
    ) -> Result<(), StorageError> {
        let at = || self.at(file, Operation::Write).span(range.clone());
        let (fd, on_disk) = self.get_linked(file, true, at)?;
        if on_disk < self.length(file) {
            self.lose(file);
            return Err(at().truncated());
        }
        let mut offset = range.start;
        while offset < range.end {
            let some = slices.len().min(WRITE_SLICES_MAX);
            match rustix::io::pwritev(&*fd, &slices[..some], offset) {
                Ok(0) => return Err(at().failed(Errno::IO)),
                Ok(written) => {
                    offset += written as u64;
                    IoSlice::advance_slices(&mut slices, written);
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(at().failed(errno)),
            }
        }
        Ok(())
    }

    /// Reads bytes of a file into `buffer`, all of it.
    ///
    /// # Errors
    /// [`StorageError::Truncated`] when the file ends before.
    pub(crate) fn read_at(
        &self,
        file: u32,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<(), StorageError> {
        let range = offset..offset + buffer.len() as u64;
        let at = || self.at(file, Operation::Read).span(range.clone());
        let writable = self.version(file).is_allocated();
        let (fd, _) = self.get_linked(file, writable, at)?;
        fill(&fd, offset, buffer, at)
    }

    /// The same of whatever has the file's name now, lost or not; in parts, in order.
    pub(crate) fn read_anew(
        &self,
        file: u32,
        range: Range<u64>,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), StorageError> {
        let at = || self.at(file, Operation::Read).span(range.clone());
        let (fd, _) = self.open_regular(file, OFlags::RDONLY)?;
        let mut buffer = vec![0; READ_CHUNK];
        let mut offset = range.start;
        while offset < range.end {
            let left = usize::try_from(range.end - offset).unwrap_or(READ_CHUNK);
            let chunk = &mut buffer[..left.min(READ_CHUNK)];
            fill(&fd, offset, chunk, at)?;
            each(chunk);
            offset += chunk.len() as u64;
        }
        Ok(())
    }

    /// Whether a file still has bytes up to there.
    pub(crate) fn reaches(&self, file: u32, end: u64) -> bool {
        let fd = self.get(file, self.version(file).is_allocated());
        // Cheaper than fstat; no one uses the position.
        fd.is_ok_and(|fd| {
            rustix::fs::seek(&*fd, rustix::fs::SeekFrom::End(0)).is_ok_and(|length| length >= end)
        })
    }

    /// Why a range could not be brought into memory.
    pub(crate) fn diagnose(
        &self,
        file: u32,
        range: Range<u64>,
        operation: Operation,
        errno: Errno,
    ) -> StorageError {
        let at = self.at(file, operation).span(range.clone());
        let fd = match self.get(file, self.version(file).is_allocated()) {
            Ok(fd) => fd,
            Err(error) if error.casts_doubt() => return error,
            Err(_) => return at.failed(errno),
        };
        if rustix::fs::fstat(&*fd).is_ok_and(|stat| length_of(&stat) < range.end) {
            self.lose(file);
            return at.truncated();
        }
        let is_full = || rustix::fs::fstatvfs(&*fd).is_ok_and(|disk| disk.f_bavail == 0);
        if operation == Operation::Write && is_full() {
            return at.full();
        }
        if errno != Errno::FAULT {
            return at.failed(errno);
        }
        // A fault that is none of these is the device's, if it can be had once more; else the file
        // was cut for a while only.
        match Self::find_unreadable(&fd, range) {
            Some(errno) => at.failed(errno),
            None if operation == Operation::Write => at.failed(Errno::IO),
            None => {
                self.lose(file);
                at.truncated()
            }
        }
    }

    /// What the system says when bytes that faulted are read by calls.
    fn find_unreadable(fd: &OwnedFd, range: Range<u64>) -> Option<Errno> {
        let mut buffer = vec![0; READ_CHUNK];
        let mut offset = range.start;
        while offset < range.end {
            match rustix::io::pread(fd, &mut buffer, offset) {
                Ok(0) => return None,
                Ok(read) => offset += read as u64,
                Err(Errno::INTR) => {}
                Err(errno) => return Some(errno),
            }
        }
        None
    }
}

/// Reads the whole buffer; `at` is for the error.
fn fill(
    fd: &OwnedFd,
    mut offset: u64,
    mut buffer: &mut [u8],
    at: impl Fn() -> At,
) -> Result<(), StorageError> {
    while !buffer.is_empty() {
        match rustix::io::pread(fd, &mut *buffer, offset) {
            Ok(0) => return Err(at().truncated()),
            Ok(read) => {
                offset += read as u64;
                buffer = &mut buffer[read..];
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(at().failed(errno)),
        }
    }
    Ok(())
}
