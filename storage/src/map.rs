//! Mapped memory: the only `unsafe` of the crate.
//!
//! Promise: no reference to mapped bytes exists while this process writes them. [`Writing`] and
//! [`Reading`] exclude each other for each piece, a verified piece is not written, and a function
//! here touches bytes only for who shows one of them. Writes go through raw pointers, so the rest
//! of a window that other threads read is never borrowed mutably.
//!
//! What no process can promise is that others leave the file alone. One that changes bytes under
//! a slice changes what is read: everything is hashed or sent, nothing is parsed from here. One
//! that truncates the file makes a touch fault (SIGBUS); lengths are checked before mapping, so
//! only a truncation after that can. A fault guard has three places to stand: [`Mapping::copy_in`],
//! [`Mapping::bytes`] and [`Mapping::touch`].
//!
//! Linux first; the advice calls do nothing elsewhere, the rest is POSIX.

#![expect(unsafe_code, reason = "mapped memory; see the promise above")]

use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::{ptr, slice};

use memmap2::{Advice, MmapOptions, MmapRaw};
use rustix::io::Errno;

use crate::pieces::{Reading, Writing};
use crate::windows::Lease;

/// A stride no longer than any page.
const PAGE_LENGTH_MIN: usize = 4096;

/// A range of one file in memory, shared with every other mapping of it.
#[derive(Debug)]
pub(crate) struct Mapping {
    raw: MmapRaw,
    writable: bool,
}

/// What pages are brought in for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    Read,
    Write,
}

impl Mapping {
    /// Maps `length` bytes from `offset`; the file is at least that long.
    pub(crate) fn new(
        file: BorrowedFd<'_>,
        offset: u64,
        length: usize,
        purpose: Purpose,
    ) -> Result<Self, Errno> {
        assert!(length > 0, "an empty mapping has no use");
        let mut options = MmapOptions::new();
        options.offset(offset).len(length);
        let writable = purpose == Purpose::Write;
        let raw = if writable {
            options.map_raw(&file)
        } else {
            options.map_raw_read_only(&file)
        };
        raw.map(|raw| Self { raw, writable })
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }

    /// Bytes.
    pub(crate) fn length(&self) -> usize {
        self.raw.len()
    }

    fn assert_within(&self, range: &Range<usize>) {
        let within = range.start <= range.end && range.end <= self.length();
        assert!(
            within,
            "{range:?} is outside a mapping of {}",
            self.length()
        );
    }

    /// Copies `data` over the bytes from `at`, which belong to the piece that is held.
    pub(crate) fn copy_in(&self, at: usize, data: &[u8], _held: &Writing<'_>) {
        self.assert_within(&(at..at.saturating_add(data.len())));
        assert!(self.writable, "written through a read-only mapping");
        // SAFETY: the range lies in this mapping, which is writable and lives as long as `self`.
        // `data` is no part of it: slices of it exist for pieces under `Reading` and for verified
        // pieces, and the holder of `Writing` writes a piece that is neither.
        unsafe {
            ptr::copy_nonoverlapping(data.as_ptr(), self.raw.as_mut_ptr().add(at), data.len());
        }
    }

    /// The bytes of a range, all of them in pieces that are held.
    pub(crate) fn bytes<'a>(&'a self, range: Range<usize>, _held: &'a Reading<'_>) -> &'a [u8] {
        self.assert_within(&range);
        // SAFETY: the range lies in this mapping, which outlives the slice; every byte pattern is
        // a `u8`. No one in this process writes these bytes while `Reading` lives.
        unsafe { slice::from_raw_parts(self.raw.as_ptr().add(range.start), range.len()) }
    }

    /// Reads one byte of every page of the range, so that whoever gets it next does not wait for
    /// the disk. Cheap when the pages are there.
    pub(crate) fn touch(&self, range: Range<usize>, _held: &Reading<'_>) {
        self.assert_within(&range);
        for at in range.step_by(PAGE_LENGTH_MIN) {
            // SAFETY: `at` lies in this mapping; no one writes that byte while `Reading` lives.
            // Volatile, because only the fault is wanted, not the value.
            let _ = unsafe { ptr::read_volatile(self.raw.as_ptr().add(at)) };
        }
    }

    /// Brings in the pages of a range with one call, where the kernel can; else changes nothing.
    ///
    /// # Errors
    /// `EFAULT` or `EIO` where a touch would be answered by SIGBUS.
    ///
    /// Source: madvise(2), `MADV_POPULATE_READ` and `_WRITE`: Linux 5.14, `EINVAL` before.
    pub(crate) fn populate(&self, range: Range<usize>, purpose: Purpose) -> Result<(), Errno> {
        self.assert_within(&range);
        #[cfg(target_os = "linux")]
        {
            let advice = match purpose {
                Purpose::Read => Advice::PopulateRead,
                Purpose::Write => Advice::PopulateWrite,
            };
            let Err(error) = self.raw.advise_range(advice, range.start, range.len()) else {
                return Ok(());
            };
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            if matches!(errno, Errno::FAULT | Errno::IO | Errno::HWPOISON) {
                return Err(errno);
            }
        }
        if purpose == Purpose::Read {
            self.advise(Advice::WillNeed, range);
        }
        Ok(())
    }

    /// Tells the kernel that the mapping is read once, from front to back.
    pub(crate) fn read_in_sequence(&self) {
        self.advise(Advice::Sequential, 0..self.length());
    }

    /// One advice, one call. A refusal costs speed at most, so it is only logged.
    fn advise(&self, advice: Advice, range: Range<usize>) {
        if let Err(error) = self.raw.advise_range(advice, range.start, range.len()) {
            tracing::debug!(?advice, %error, "the kernel refused advice about a mapping");
        }
    }
}

/// Bytes of verified pieces, lent out with the window that they lie in.
pub(crate) struct Lent {
    window: Lease,
    range: Range<usize>,
}

impl Lent {
    /// All bytes of `range` belong to the piece that is held and verified.
    pub(crate) fn new(window: Lease, range: Range<usize>, held: &Reading<'_>) -> Self {
        assert!(held.verified(), "only verified pieces are lent out");
        window.mapping().assert_within(&range);
        Self { window, range }
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        let start = self.window.mapping().raw.as_ptr();
        // SAFETY: `new` checked the range; the lease keeps the mapping, at the same address, as
        // long as `self`. The piece was verified, so `Pieces::write` refuses to give it out for
        // writing. Only a later hash that fails ends that, and it fails only where another
        // process changed the bytes under us: the case that the module's head leaves open.
        unsafe { slice::from_raw_parts(start.add(self.range.start), self.range.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pieces::Pieces;
    use shoal_metainfo::{Geometry, PieceIndex};
    use std::io::Write;
    use std::os::fd::AsFd;

    fn piece() -> PieceIndex {
        Geometry::new(1, 1).unwrap().piece(0).unwrap()
    }

    #[test]
    fn bytes_copied_in_are_read_back_and_reach_the_file() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(10_000).unwrap();
        let mapping = Mapping::new(file.as_fd(), 5_000, 5_000, Purpose::Write).unwrap();
        let pieces = Pieces::new(1);
        mapping.copy_in(4_995, b"shoal", &pieces.write(piece()).unwrap());
        let held = pieces.read(piece());
        mapping.touch(0..5_000, &held);
        assert_eq!(mapping.bytes(4_995..5_000, &held), b"shoal");
        let mut found = [0; 5];
        rustix::io::pread(&file, &mut found, 9_995).unwrap();
        assert_eq!(&found, b"shoal");
    }

    #[test]
    #[should_panic(expected = "outside a mapping")]
    fn range_outside_the_mapping_is_a_bug() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[1; 100]).unwrap();
        let mapping = Mapping::new(file.as_fd(), 0, 100, Purpose::Read).unwrap();
        let _ = mapping.bytes(50..101, &Pieces::new(1).read(piece()));
    }

    #[test]
    #[should_panic(expected = "read-only mapping")]
    fn writing_through_a_read_only_mapping_is_a_bug() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(100).unwrap();
        let mapping = Mapping::new(file.as_fd(), 0, 100, Purpose::Read).unwrap();
        mapping.copy_in(0, b"x", &Pieces::new(1).write(piece()).unwrap());
    }

    #[test]
    #[should_panic(expected = "only verified pieces")]
    fn lending_an_unverified_piece_is_a_bug() {
        let windows = std::sync::Arc::new(crate::windows::Windows::new(1, 1 << 20));
        let file = tempfile::tempfile().unwrap();
        file.set_len(100).unwrap();
        let map = || Mapping::new(file.as_fd(), 0, 100, Purpose::Read);
        let lease = windows
            .lease(crate::windows::Key::default(), 100, map)
            .unwrap();
        let _ = Lent::new(lease, 0..1, &Pieces::new(1).read(piece()));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn populate_fails_politely_where_a_touch_would_fault() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        let mapping = Mapping::new(file.as_fd(), 0, 1 << 20, Purpose::Write).unwrap();
        let supported = mapping.raw.advise_range(Advice::PopulateRead, 0, 1).is_ok();
        for purpose in [Purpose::Read, Purpose::Write] {
            assert_eq!(mapping.populate(0..1 << 20, purpose), Ok(()));
        }
        file.set_len(1 << 16).unwrap();
        assert_eq!(mapping.populate(0..1 << 16, Purpose::Write), Ok(()));
        let beyond = mapping.populate(0..1 << 20, Purpose::Read);
        assert!(beyond == Err(Errno::FAULT) || !supported, "{beyond:?}");
    }
}
