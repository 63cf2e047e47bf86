//! Where the claims of a check lie in the files, so that they are read ahead and dropped behind.
//!
//! Promise: holes are not asked for, they would become pages of zeros; nor is what no one wants.
//! Knows nothing of hashes.

use std::os::fd::BorrowedFd;

use shoal_metainfo::ahead::{Part, Source};

use super::Check;
use crate::layout::Place;
use crate::limits::SCOUT_MIN;

/// Looks ahead for one thread.
pub(super) struct Scout<'a, 'c> {
    pub(super) check: &'a Check<'c>,
}

impl Source for Scout<'_, '_> {
    fn parts(&mut self, run: u32) -> Option<Vec<Part>> {
        let claimed = self.check.claimed(run)?;
        let mut parts = Vec::new();
        let mut next = claimed.start;
        while next < claimed.end {
            let run = self.check.run_from(next..claimed.end);
            next = run.end;
            let content = self.check.begin_of(run.start)..self.check.begin_of(run.end);
            for span in self.check.storage.layout.spans(content) {
                if let Place::File { file, offset } = span.place
                    && span.length >= SCOUT_MIN
                {
                    self.data(file, offset, offset + span.length, &mut parts);
                }
            }
        }
        Some(parts)
    }

    fn with_file(&mut self, file: u32, then: &mut dyn FnMut(BorrowedFd<'_>)) {
        self.check.storage.content.files.with(file, then);
    }
}

impl Scout<'_, '_> {
    /// What of these bytes of a file is no hole.
    fn data(&self, file: u32, mut at: u64, end: u64, parts: &mut Vec<Part>) {
        let files = &self.check.storage.content.files;
        while at < end
            // What cannot be read is found by who reads it.
            && let Ok(extent) = files.next_data(file, at)
            && let Some(data) = extent.data
        {
            let bytes = data.start..data.end.min(end);
            at = data.end;
            if !bytes.is_empty() {
                parts.push(Part { file, bytes });
            }
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs::{self, File};
    use std::io::IoSliceMut;
    use std::os::unix::fs::FileExt as _;
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::thread;
    use std::time::Duration;

    use rustix::fs::{Advice, fadvise};
    use rustix::io::{ReadWriteFlags, preadv2};
    use shoal_metainfo::{Bitfield, Info};

    use super::*;
    use crate::storage::{Access, Options, Storage};

    const PIECE: usize = 1 << 20;
    const LENGTH: usize = 5 * PIECE;

    /// Of a file of 5 MiB in pieces of 1 MiB.
    fn storage(dir: &Path, bytes: &[u8]) -> Storage {
        let mut info = format!("d6:lengthi{LENGTH}e4:name1:a12:piece lengthi{PIECE}e").into_bytes();
        info.extend(b"6:pieces100:");
        info.extend(bytes.chunks(PIECE).flat_map(shoal_hashing::sha1));
        info.push(b'e');
        let options = Options {
            access: Access::ReadOnly,
            ..Options::default()
        };
        Storage::open(dir, Arc::new(Info::parse(&info).unwrap()), options).unwrap()
    }

    fn check<T>(storage: &Storage, drops: bool, then: impl FnOnce(&Check<'_>) -> T) -> T {
        let wanted = Bitfield::all(storage.info.geometry.pieces());
        let cancel = AtomicBool::new(false);
        then(&Check::new(storage, &wanted, &|_| {}, &cancel, 2, drops))
    }

    /// Whether all of the file is in memory; of what is not, nothing is brought in.
    fn is_cached(path: &Path) -> bool {
        let file = File::open(path).unwrap();
        let mut byte = [0];
        (0..LENGTH as u64).step_by(PIECE).all(|at| {
            let mut buffers = [IoSliceMut::new(&mut byte)];
            preadv2(&file, &mut buffers, at, ReadWriteFlags::NOWAIT).is_ok()
        })
    }

    #[test]
    fn large_content_leaves_memory_as_it_was_and_small_content_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let bytes = vec![7; LENGTH];
        fs::write(&path, &bytes).unwrap();
        let file = File::open(&path).unwrap();
        file.sync_all().unwrap();
        let storage = storage(dir.path(), &bytes);
        let cool = || {
            fadvise(&file, 0, None, Advice::DontNeed).unwrap();
            !is_cached(&path)
        };
        let stays = |drops| {
            let found = check(&storage, drops, |check| check.run(2)).unwrap();
            assert_eq!(found.len(), 5);
            storage.trim();
            is_cached(&path)
        };
        assert!(stays(true), "what was there stays");
        // It is advice: a busy kernel does not take it each time, nor soon; and where the files
        // live in memory nothing can be dropped.
        let in_time = |is_so: &dyn Fn() -> bool| {
            (0..100).any(|_| {
                let so = is_so();
                if !so {
                    thread::sleep(Duration::from_millis(20));
                }
                so
            })
        };
        if in_time(&cool) {
            assert!(stays(false), "what may stay stays");
            assert!(in_time(&|| cool() && !stays(true)), "what came in goes");
        }
    }

    #[test]
    fn neither_holes_nor_what_no_one_wants_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let file = File::create(&path).unwrap();
        file.set_len(LENGTH as u64).unwrap();
        file.write_all_at(&[7; PIECE], PIECE as u64).unwrap();
        file.write_all_at(&[7; PIECE], 3 * PIECE as u64).unwrap();
        file.sync_all().unwrap();
        let storage = storage(dir.path(), &[0; LENGTH]);
        let mut wanted = Bitfield::all(5);
        wanted.remove(storage.info.geometry.piece(3).unwrap());
        let cancel = AtomicBool::new(false);
        let check = Check::new(&storage, &wanted, &|_| {}, &cancel, 1, true);
        let mut scout = Scout { check: &check };
        let parts = scout.parts(0).unwrap();
        let bytes = PIECE as u64..2 * PIECE as u64;
        assert_eq!(parts, [Part { file: 0, bytes }]);
        assert_eq!(scout.parts(1), None);
    }
}
