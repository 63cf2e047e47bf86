//! Tells the system which bytes will be read, and which not again. No BEP; Linux only, elsewhere
//! it does nothing.
//!
//! Hashing takes a little of several pieces in turn; a disk that has to move for that would crawl.
//! So a run is asked for as a whole and in order before it is hashed, one round of threads early.
//! Content of some size leaves the page cache as it found it: what was not there before is dropped
//! behind, and what was, for someone may need it, stays. Small content stays in any case, for it
//! will soon be seeded. Knows nothing of hashes; what fails here fails again, louder, at reading.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Plan;
use super::read::{Reader, parts};
use crate::limits::{CREATE_KEEP_BYTES, CREATE_PROBE_BYTES};

/// What is asked for ahead, and what is to be dropped.
pub(super) struct Ahead<'p> {
    plan: &'p Plan,
    begins: &'p [u64],
    /// Content up to this many bytes may stay in memory.
    keep: u64,
    /// Runs asked for ahead of the one that is read.
    distance: u32,
    /// The first run that no one has asked for.
    next: AtomicU32,
    /// By run, what was not in memory before.
    cold: Mutex<BTreeMap<u32, Vec<Cold>>>,
}

/// Bytes of a file.
struct Cold {
    file: usize,
    bytes: Range<u64>,
}

impl<'p> Ahead<'p> {
    pub(super) fn new(plan: &'p Plan, begins: &'p [u64], threads: usize) -> Self {
        Self {
            plan,
            begins,
            keep: CREATE_KEEP_BYTES,
            distance: u32::try_from(threads).unwrap_or(u32::MAX),
            next: AtomicU32::new(0),
            cold: Mutex::default(),
        }
    }

    /// Asks for all runs up to some behind `number` that were not asked for yet. `run` tells where
    /// a run lies.
    pub(super) fn look(
        &self,
        number: u32,
        run: impl Fn(u32) -> Option<Range<u64>>,
        scout: &mut Reader<'_>,
    ) {
        let end = number.saturating_add(self.distance);
        let take = |next: u32| (next <= end).then(|| next + 1);
        let order = Ordering::Relaxed;
        while let Ok(number) = self.next.fetch_update(order, order, take)
            && let Some(range) = run(number)
        {
            let cold = self.ask(range, scout);
            if !cold.is_empty() && self.plan.total > self.keep {
                self.cold().insert(number, cold);
            }
        }
    }

    /// Asks for a range of the content; gives what of it was not in memory.
    fn ask(&self, range: Range<u64>, scout: &mut Reader<'_>) -> Vec<Cold> {
        let mut cold: Vec<Cold> = Vec::new();
        for (number, part) in parts(self.plan, self.begins, range) {
            let Ok(file) = scout.file(number) else {
                continue;
            };
            let mut at = part.start;
            while at < part.end {
                let bytes = at..part.end.min(at + CREATE_PROBE_BYTES);
                at = bytes.end;
                if is_cached(file, bytes.end - 1) {
                    continue;
                }
                will_need(file, bytes.clone());
                match cold.last_mut() {
                    Some(last) if last.file == number && last.bytes.end == bytes.start => {
                        last.bytes.end = bytes.end;
                    }
                    _ => cold.push(Cold {
                        file: number,
                        bytes,
                    }),
                }
            }
        }
        cold
    }

    /// Drops what of a run came into memory for us alone.
    pub(super) fn drop_behind(&self, number: u32, reader: &mut Reader<'_>) {
        let cold = self.cold().remove(&number);
        drop_all(cold.unwrap_or_default(), reader);
    }

    /// The same for runs that were asked for and never hashed, or hashed meanwhile.
    pub(super) fn drop_rest(&self, reader: &mut Reader<'_>) {
        let rest = std::mem::take(&mut *self.cold());
        drop_all(rest.into_values().flatten(), reader);
    }

    fn cold(&self) -> MutexGuard<'_, BTreeMap<u32, Vec<Cold>>> {
        // One statement each: whole whatever panics.
        self.cold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn drop_all(cold: impl IntoIterator<Item = Cold>, reader: &mut Reader<'_>) {
    for Cold { file, bytes } in cold {
        if let Ok(file) = reader.file(file) {
            wont_need(file, bytes);
        }
    }
}

#[cfg(target_os = "linux")]
use linux::{is_cached, will_need, wont_need};

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::File;
    use std::io::IoSliceMut;
    use std::num::NonZeroU64;
    use std::ops::Range;

    use rustix::fs::{Advice, fadvise};
    use rustix::io::{Errno, ReadWriteFlags, preadv2};

    use crate::limits::CREATE_ADVICE_BYTES;

    /// Whether that byte can be read without waiting. Where it cannot be told, it is: advice then
    /// only costs.
    ///
    /// Source: preadv2(2), `RWF_NOWAIT`. `mincore` needs a mapping and `cachestat` Linux 6.5.
    pub(super) fn is_cached(file: &File, at: u64) -> bool {
        let mut byte = [0];
        let mut buffers = [IoSliceMut::new(&mut byte)];
        let read = preadv2(file, &mut buffers, at, ReadWriteFlags::NOWAIT);
        read != Err(Errno::AGAIN)
    }

    /// One call reads no more than the device's largest request, whatever it is asked for.
    pub(super) fn will_need(file: &File, bytes: Range<u64>) {
        let mut at = bytes.start;
        while at < bytes.end {
            let end = bytes.end.min(at + CREATE_ADVICE_BYTES);
            advise(file, at..end, Advice::WillNeed);
            at = end;
        }
    }

    pub(super) fn wont_need(file: &File, bytes: Range<u64>) {
        advise(file, bytes, Advice::DontNeed);
    }

    fn advise(file: &File, bytes: Range<u64>, advice: Advice) {
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
    use std::fs::File;
    use std::ops::Range;

    pub(super) fn is_cached(_: &File, _: u64) -> bool {
        true
    }

    pub(super) fn will_need(_: &File, _: Range<u64>) {}

    pub(super) fn wont_need(_: &File, _: Range<u64>) {}
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs::{self, File};

    use super::super::ScanOptions;
    use super::*;

    #[test]
    fn page_cache_is_left_as_it_was_found() {
        const LENGTH: u64 = 4 << 20;
        let folder = tempfile::tempdir().unwrap();
        for name in ["cold", "warm"] {
            let path = folder.path().join(name);
            fs::write(&path, vec![7; usize::try_from(LENGTH).unwrap()]).unwrap();
            File::open(&path).unwrap().sync_all().unwrap();
        }
        let open = |name| File::open(folder.path().join(name)).unwrap();
        wont_need(&open("cold"), 0..LENGTH);
        // One look: each may bring in what it has missed.
        let cached = |name| is_cached(&open(name), LENGTH - 1);
        // Where the files live in memory nothing can be dropped, and nothing is.
        let cold_before = cached("cold");
        let plan = Plan::scan(folder.path(), ScanOptions::default()).unwrap();
        let stays = |keep| {
            wont_need(&open("cold"), 0..LENGTH);
            let begins = [0, LENGTH];
            let ahead = Ahead {
                keep,
                ..Ahead::new(&plan, &begins, 1)
            };
            let mut reader = Reader::new(&plan, &begins);
            ahead.look(0, |run| (run == 0).then_some(0..2 * LENGTH), &mut reader);
            let mut bytes = vec![0; usize::try_from(2 * LENGTH).unwrap()];
            reader.read(0, &mut bytes).unwrap();
            assert!(cached("cold"), "what was read is in memory");
            ahead.drop_behind(0, &mut reader);
            assert!(cached("warm"), "what was there stays");
            cached("cold")
        };
        assert!(stays(u64::MAX), "what may stay stays");
        // It is advice: a busy kernel does not take it each time.
        let goes = (0..100).any(|_| !stays(0));
        assert!(goes || cold_before, "what was not there goes");
    }
}
