//! Mapped memory: the only `unsafe` of the crate.
//!
//! Promise: no reference to mapped bytes exists while this process writes them. [`Writing`] and
//! [`Reading`] exclude each other for each piece, a verified piece is not written, and a function
//! here touches bytes only for who shows one of them. Writes go through raw pointers, so the rest
//! of a window that other threads read is never borrowed mutably.
//!
//! What no process can promise is that others leave the file alone. One that changes bytes under
//! a slice changes what is read: everything is hashed or sent, nothing is parsed from here. One
//! that truncates the file makes an access fault, as a failing disk does: every access here is
//! guarded ([`fault`]) and answers EFAULT then, which
//! [`Files::diagnose`](crate::files::Files::diagnose) turns into its cause. What lies in a window
//! is touched and copied by functions that can fail; a mapping is shown to other code
//! ([`Own`]) only when it is nobody else's. So only the kernel reads what is lent ([`Lent`]),
//! and it answers EFAULT to the socket's task.
//!
//! Linux first; the advice calls do nothing elsewhere, the rest is POSIX.

#![expect(unsafe_code, reason = "mapped memory; see the promise above")]

use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::slice;

use memmap2::{Advice, MmapOptions, MmapRaw};
use rustix::io::Errno;

use crate::fault::{self, Guarded};
use crate::pieces::{Reading, Writing};
use crate::windows::Lease;

/// A stride no longer than any page.
const PAGE_LENGTH_MIN: usize = 4096;

/// A range of one file in memory, shared with every other mapping of it.
#[derive(Debug)]
pub(crate) struct Mapping {
    // Declared first, so dropped first: what is guarded is mapped.
    guarded: Guarded,
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
        let raw = raw.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        let start = raw.as_ptr().addr();
        Ok(Self {
            guarded: Guarded::new(start..start + length, writable),
            raw,
            writable,
        })
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
    ///
    /// # Errors
    /// `EFAULT` when a page cannot be had; a part may be copied.
    pub(crate) fn copy_in(&self, at: usize, data: &[u8], _held: &Writing<'_>) -> Result<(), Errno> {
        self.assert_within(&(at..at.saturating_add(data.len())));
        assert!(self.writable, "written through a read-only mapping");
        // SAFETY: the range lies in this mapping, which is guarded, writable, and lives as long
        // as `self`. `data` is no part of it: slices of it exist for verified pieces only, and
        // the holder of `Writing` writes a piece that is not.
        let done = unsafe {
            let to = self.raw.as_mut_ptr().add(at);
            fault::copy(&self.guarded, data.as_ptr(), to, data.len())
        };
        if done { Ok(()) } else { Err(Errno::FAULT) }
    }

    /// Copies the bytes from `at`, all of them in pieces that are held, to `buffer`.
    ///
    /// # Errors
    /// `EFAULT` when a page cannot be had; what `buffer` holds is worth nothing then.
    pub(crate) fn copy_out(
        &self,
        at: usize,
        buffer: &mut [u8],
        _held: &Reading<'_>,
    ) -> Result<(), Errno> {
        self.assert_within(&(at..at.saturating_add(buffer.len())));
        // SAFETY: the range lies in this mapping, which is guarded and outlives the call. No one
        // in this process writes these bytes while `Reading` lives, and `buffer` is borrowed
        // mutably, so it is no part of them.
        let done = unsafe {
            let from = self.raw.as_ptr().add(at);
            fault::copy(&self.guarded, from, buffer.as_mut_ptr(), buffer.len())
        };
        if done { Ok(()) } else { Err(Errno::FAULT) }
    }

    /// Out of reach of all but the owner.
    pub(crate) fn into_own(self) -> Own {
        Own(self)
    }

    /// Whether zeros stand for bytes that could not be had, because someone looked at them
    /// through a slice that was lent. Then nothing more may be read from here.
    pub(crate) fn is_lost(&self) -> bool {
        self.guarded.is_lost()
    }

    /// Reads one byte of every page of the range, not empty, and gives its last byte: so that
    /// whoever gets it next does not wait for the disk. Cheap when the pages are there.
    ///
    /// Behind the end of the file, but in its last page, lie zeros that do not fault. So a last
    /// byte that is not zero is proof that the file reaches to the end of the range.
    ///
    /// # Errors
    /// `EFAULT` when a page cannot be had.
    pub(crate) fn touch(&self, range: Range<usize>) -> Result<u8, Errno> {
        self.assert_within(&range);
        let last = range
            .end
            .checked_sub(1)
            .expect("an empty range has no last");
        let byte = |at: usize| {
            // SAFETY: `at` lies in this mapping, which is guarded and outlives the call.
            unsafe { fault::read(&self.guarded, self.raw.as_ptr().add(at)) }.ok_or(Errno::FAULT)
        };
        range
            .step_by(PAGE_LENGTH_MIN)
            .try_for_each(|at| byte(at).map(drop))?;
        byte(last)
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

/// A mapping that is in no cache, so nothing of it is ever lent: code that knows nothing of faults
/// may look at it, and learns afterwards whether what it saw was there.
#[derive(Debug)]
pub(crate) struct Own(Mapping);

impl Own {
    /// All bytes, in pieces that are held. Worth nothing until [`Self::check`] said so later.
    pub(crate) fn bytes<'a>(&'a self, _held: &'a Reading<'_>) -> &'a [u8] {
        // SAFETY: the mapping, which is guarded, outlives the slice; every byte pattern is a
        // `u8`. No one in this process writes these bytes while `Reading` lives.
        unsafe { slice::from_raw_parts(self.0.raw.as_ptr(), self.0.length()) }
    }

    /// Whether all bytes that were looked at until now were there.
    ///
    /// # Errors
    /// `EFAULT` when a page could not be had; zeros were seen in its place.
    pub(crate) fn check(&self) -> Result<(), Errno> {
        if self.0.is_lost() {
            Err(Errno::FAULT)
        } else {
            Ok(())
        }
    }
}

/// Bytes of verified pieces, lent out with the window that they lie in.
pub(crate) struct Lent {
    window: Lease,
    range: Range<usize>,
}

impl Lent {
    /// All bytes of `range` belong to the piece that is held; `None` when it is not verified (any
    /// more: another thread may have found so).
    pub(crate) fn new(window: Lease, range: Range<usize>, held: &Reading<'_>) -> Option<Self> {
        window.mapping().assert_within(&range);
        held.verified().then_some(Self { window, range })
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        let start = self.window.mapping().raw.as_ptr();
        // SAFETY: `new` checked the range; the lease keeps the mapping, at the same address, as
        // long as `self`. The piece was verified, so `Pieces::write` refuses to give it out for
        // writing. Only a later hash that fails ends that, and it fails only where another
        // process changed the bytes under us: the case that the module's head leaves open. The
        // mapping is guarded.
        unsafe { slice::from_raw_parts(start.add(self.range.start), self.range.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pieces::Pieces;
    use crate::windows::WindowBudget;
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
        let written = mapping.copy_in(4_995, b"shoal", &pieces.write(piece()).unwrap());
        assert_eq!(written, Ok(()));
        let held = pieces.read(piece());
        assert_eq!(mapping.touch(0..5_000), Ok(b'l'));
        let mut found = [0; 5];
        assert_eq!(mapping.copy_out(4_995, &mut found, &held), Ok(()));
        assert_eq!(&found, b"shoal");
        rustix::io::pread(&file, &mut found, 9_995).unwrap();
        assert_eq!(&found, b"shoal");
        let own = mapping.into_own();
        assert!(own.bytes(&held).ends_with(b"\0shoal"));
        assert_eq!(own.check(), Ok(()));
    }

    #[test]
    #[should_panic(expected = "outside a mapping")]
    fn range_outside_the_mapping_is_a_bug() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[1; 100]).unwrap();
        let mapping = Mapping::new(file.as_fd(), 0, 100, Purpose::Read).unwrap();
        let _ = mapping.copy_out(50, &mut [0; 51], &Pieces::new(1).read(piece()));
    }

    #[test]
    #[should_panic(expected = "read-only mapping")]
    fn writing_through_a_read_only_mapping_is_a_bug() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(100).unwrap();
        let mapping = Mapping::new(file.as_fd(), 0, 100, Purpose::Read).unwrap();
        let _ = mapping.copy_in(0, b"x", &Pieces::new(1).write(piece()).unwrap());
    }

    #[test]
    fn unverified_piece_is_not_lent() {
        let windows =
            std::sync::Arc::new(crate::windows::Windows::new(&WindowBudget::new(1, 1 << 20)));
        let file = tempfile::tempfile().unwrap();
        file.set_len(100).unwrap();
        let map = || Mapping::new(file.as_fd(), 0, 100, Purpose::Read);
        let lease = windows
            .lease(crate::windows::Key::default(), 100, map)
            .unwrap();
        assert!(Lent::new(lease, 0..1, &Pieces::new(1).read(piece())).is_none());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn advice_reaches_the_kernel() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        let mapping = Mapping::new(file.as_fd(), 0, 1 << 20, Purpose::Read).unwrap();
        let flags = || {
            let start = format!("{:x}-", mapping.raw.as_ptr().addr());
            let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
            let ours = maps.lines().skip_while(|line| !line.starts_with(&start));
            let flags = ours.skip(1).find_map(|line| line.strip_prefix("VmFlags:"));
            flags.unwrap().to_owned()
        };
        // "sr": sequential reads; "rr": random reads. proc(5).
        assert!(!flags().contains(" sr"), "{}", flags());
        mapping.read_in_sequence();
        assert!(flags().contains(" sr"), "{}", flags());
        assert!(!flags().contains(" rr"), "{}", flags());
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
