//! Tells the system which bytes of files will be read, and which not again. No BEP; Linux only,
//! elsewhere it does nothing.
//!
//! Hashing takes a little of several pieces in turn; a disk that has to move for that would crawl.
//! So content is cut into runs, and a run is asked for as a whole and in order before it is
//! hashed, one round of threads early. Content of some size leaves the page cache as it found it:
//! what was not there before is dropped behind, and what was, for someone may need it, stays.
//! Small content stays in any case, for it will soon be seeded. Knows nothing of hashes, and opens
//! no file; what fails here fails again, louder, at reading.
//!
//! ```
//! use std::fs::File;
//! use std::os::fd::{AsFd as _, BorrowedFd};
//! use shoal_metainfo::ahead::{Ahead, Part, Source};
//!
//! struct One(File);
//!
//! impl Source for One {
//!     fn parts(&mut self, run: u32) -> Option<Vec<Part>> {
//!         (run == 0).then(|| vec![Part { file: 0, bytes: 0..1 << 20 }])
//!     }
//!     fn with_file(&mut self, _: u32, then: &mut dyn FnMut(BorrowedFd<'_>)) {
//!         then(self.0.as_fd());
//!     }
//! }
//! # let file = tempfile::tempfile()?;
//! let (ahead, mut one) = (Ahead::new(2, true), One(file));
//! ahead.look(0, &mut one);
//! // Here the run is read.
//! ahead.drop_behind(0, &mut one);
//! # Ok::<(), std::io::Error>(())
//! ```

use std::collections::BTreeMap;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::limits::AHEAD_PROBE_BYTES;

/// What is asked for ahead, and what is to be dropped. The threads that read share it.
#[derive(Debug)]
pub struct Ahead {
    /// What came in is dropped behind.
    drops: bool,
    /// Runs asked for ahead of the one that is read.
    distance: u32,
    /// The first run that no one has asked for.
    next: AtomicU32,
    /// By run, what was not in memory before.
    cold: Mutex<BTreeMap<u32, Vec<Part>>>,
}

/// Bytes of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// Its number.
    pub file: u32,
    /// Not empty.
    pub bytes: Range<u64>,
}

/// Where runs lie. Each thread has one of its own.
pub trait Source {
    /// The bytes of a run, in order; `None` behind the last run.
    fn parts(&mut self, run: u32) -> Option<Vec<Part>>;

    /// Hands over a file, unless it cannot be opened.
    fn with_file(&mut self, file: u32, then: &mut dyn FnMut(BorrowedFd<'_>));
}

impl Ahead {
    /// For so many threads, each of which reads a run at a time. `drops`: what was not in memory
    /// before will not stay there.
    #[must_use]
    pub fn new(threads: usize, drops: bool) -> Self {
        Self {
            drops,
            distance: u32::try_from(threads).unwrap_or(u32::MAX),
            next: AtomicU32::new(0),
            cold: Mutex::default(),
        }
    }

    /// Asks for all runs up to some behind this one that were not asked for yet; to be called
    /// before a run is read.
    pub fn look(&self, run: u32, source: &mut impl Source) {
        let end = run.saturating_add(self.distance);
        let take = |next: u32| (next <= end).then(|| next + 1);
        let order = Ordering::Relaxed;
        while let Ok(run) = self.next.fetch_update(order, order, take)
            && let Some(parts) = source.parts(run)
        {
            let cold = ask(parts, source);
            if !cold.is_empty() && self.drops {
                self.cold().insert(run, cold);
            }
        }
    }

    /// Drops what of a run came into memory for us alone; to be called after it was read.
    pub fn drop_behind(&self, run: u32, source: &mut impl Source) {
        let cold = self.cold().remove(&run);
        drop_all(cold.unwrap_or_default(), source);
    }

    /// The same for runs that were asked for and never read, or read meanwhile.
    pub fn drop_rest(&self, source: &mut impl Source) {
        let rest = std::mem::take(&mut *self.cold());
        drop_all(rest.into_values().flatten(), source);
    }

    fn cold(&self) -> MutexGuard<'_, BTreeMap<u32, Vec<Part>>> {
        // One statement each: whole whatever panics.
        self.cold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks for these bytes; gives what of them was not in memory.
fn ask(parts: Vec<Part>, source: &mut impl Source) -> Vec<Part> {
    let mut cold: Vec<Part> = Vec::new();
    for Part { file, bytes: part } in parts {
        source.with_file(file, &mut |fd| {
            let mut at = part.start;
            while at < part.end {
                let bytes = at..part.end.min(at + AHEAD_PROBE_BYTES);
                at = bytes.end;
                if is_cached(fd, bytes.end - 1) {
                    continue;
                }
                will_need(fd, bytes.clone());
                match cold.last_mut() {
                    Some(last) if last.file == file && last.bytes.end == bytes.start => {
                        last.bytes.end = bytes.end;
                    }
                    _ => cold.push(Part { file, bytes }),
                }
            }
        });
    }
    cold
}

fn drop_all(cold: impl IntoIterator<Item = Part>, source: &mut impl Source) {
    for Part { file, bytes } in cold {
        source.with_file(file, &mut |fd| wont_need(fd, bytes.clone()));
    }
}

#[cfg(target_os = "linux")]
use linux::{is_cached, will_need, wont_need};

#[cfg(target_os = "linux")]
mod linux {
    use std::io::IoSliceMut;
    use std::num::NonZeroU64;
    use std::ops::Range;
    use std::os::fd::BorrowedFd;

    use rustix::fs::{Advice, fadvise};
    use rustix::io::{Errno, ReadWriteFlags, preadv2};

    use crate::limits::AHEAD_ADVICE_BYTES;

    /// Whether that byte can be read without waiting. Where it cannot be told, it is: advice then
    /// only costs.
    ///
    /// Source: preadv2(2), `RWF_NOWAIT`. `mincore` needs a mapping and `cachestat` Linux 6.5.
    pub(super) fn is_cached(file: BorrowedFd<'_>, at: u64) -> bool {
        let mut byte = [0];
        let mut buffers = [IoSliceMut::new(&mut byte)];
        let read = preadv2(file, &mut buffers, at, ReadWriteFlags::NOWAIT);
        read != Err(Errno::AGAIN)
    }

    /// One call reads no more than the device's largest request, whatever it is asked for.
    pub(super) fn will_need(file: BorrowedFd<'_>, bytes: Range<u64>) {
        let mut at = bytes.start;
        while at < bytes.end {
            let end = bytes.end.min(at + AHEAD_ADVICE_BYTES);
            advise(file, at..end, Advice::WillNeed);
            at = end;
        }
    }

    pub(super) fn wont_need(file: BorrowedFd<'_>, bytes: Range<u64>) {
        advise(file, bytes, Advice::DontNeed);
    }

    fn advise(file: BorrowedFd<'_>, bytes: Range<u64>, advice: Advice) {
        if let Some(length) = NonZeroU64::new(bytes.end - bytes.start) {
            // A refusal costs speed at most.
            let _ = fadvise(file, bytes.start, Some(length), advice);
        }
    }
}

#[cfg(not(target_os = "linux"))]
use elsewhere::{is_cached, will_need, wont_need};

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use std::ops::Range;
    use std::os::fd::BorrowedFd;

    pub(super) fn is_cached(_: BorrowedFd<'_>, _: u64) -> bool {
        true
    }

    pub(super) fn will_need(_: BorrowedFd<'_>, _: Range<u64>) {}

    pub(super) fn wont_need(_: BorrowedFd<'_>, _: Range<u64>) {}
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs::{self, File};
    use std::os::fd::AsFd as _;

    use super::*;

    const LENGTH: u64 = 4 << 20;

    /// One run of two files, a cold and a warm one.
    struct Two([File; 2]);

    impl Source for Two {
        fn parts(&mut self, run: u32) -> Option<Vec<Part>> {
            let part = |file| Part {
                file,
                bytes: 0..LENGTH,
            };
            (run == 0).then(|| vec![part(0), part(1)])
        }

        fn with_file(&mut self, file: u32, then: &mut dyn FnMut(BorrowedFd<'_>)) {
            then(self.0[file as usize].as_fd());
        }
    }

    #[test]
    fn page_cache_is_left_as_it_was_found() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["cold", "warm"].map(|name| folder.path().join(name));
        for path in &paths {
            fs::write(path, vec![7; usize::try_from(LENGTH).unwrap()]).unwrap();
            File::open(path).unwrap().sync_all().unwrap();
        }
        let mut two = Two(paths.clone().map(|path| File::open(path).unwrap()));
        // Through a file of its own each time: looking may bring in what it has missed.
        let cached = |number: usize| {
            let file = File::open(&paths[number]).unwrap();
            is_cached(file.as_fd(), LENGTH - 1)
        };
        wont_need(two.0[0].as_fd(), 0..LENGTH);
        // Where the files live in memory nothing can be dropped, and nothing is.
        let cold_before = cached(0);
        let mut stays = |drops| {
            wont_need(two.0[0].as_fd(), 0..LENGTH);
            let ahead = Ahead::new(1, drops);
            ahead.look(0, &mut two);
            for path in &paths {
                assert_eq!(fs::read(path).unwrap().len() as u64, LENGTH);
            }
            assert!(cached(0), "what was read is in memory");
            ahead.drop_behind(0, &mut two);
            assert!(cached(1), "what was there stays");
            cached(0)
        };
        assert!(stays(false), "what may stay stays");
        // It is advice: a busy kernel does not take it each time.
        let goes = (0..100).any(|_| !stays(true));
        assert!(goes || cold_before, "what was not there goes");
    }

    #[test]
    fn runs_are_asked_for_once_and_a_round_ahead() {
        struct Counted(Vec<u32>);

        impl Source for Counted {
            fn parts(&mut self, run: u32) -> Option<Vec<Part>> {
                self.0.push(run);
                (run < 6).then(Vec::new)
            }

            fn with_file(&mut self, _: u32, _: &mut dyn FnMut(BorrowedFd<'_>)) {}
        }
        let (ahead, mut source) = (Ahead::new(2, true), Counted(Vec::new()));
        ahead.look(0, &mut source);
        assert_eq!(source.0, [0, 1, 2]);
        ahead.look(1, &mut source);
        ahead.look(1, &mut source);
        assert_eq!(source.0, [0, 1, 2, 3]);
    }
}
