//! Files that are cut, replaced and removed while they are mapped: nothing dies, and no wrong
//! byte leaves.

mod common;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::{Kind, Torrent, check, torrent};
use shoal_metainfo::Block;
use shoal_storage::{Method, Options, Storage, StorageError, faults};

/// Where the torrent's first file lies.
const PATH: &str = "t/a";
const LENGTH: usize = 3 << 20;
const FILES: [(&str, usize, Kind); 2] =
    [("a", LENGTH, Kind::Random), ("b/c", 100_000, Kind::Random)];

fn seeded(dir: &tempfile::TempDir, method: Method) -> (Torrent, Storage) {
    let torrent = torrent(&FILES, 1 << 16, 7);
    let options = Options {
        method,
        ..Options::default()
    };
    let storage = torrent.open(dir.path(), options);
    torrent.write_all(&storage);
    (torrent, storage)
}

fn open(dir: &tempfile::TempDir) -> File {
    let options = OpenOptions::new().write(true).to_owned();
    options.open(dir.path().join(PATH)).unwrap()
}

/// Not there, or out of use since it was not.
fn is_loss(error: &StorageError) -> bool {
    use StorageError::{Changed, Gone, Truncated};
    matches!(error, Truncated(_) | Gone(_) | Changed(_))
}

/// What a peer gets of a block: the kernel copies it, as it does into a socket.
fn serve(storage: &Storage, block: Block, to: &File) -> Option<Vec<u8>> {
    let bytes = match storage.read(block) {
        Ok(bytes) => bytes,
        Err(error) if is_loss(&error) => return None,
        Err(error) => panic!("{error}"),
    };
    match to.write_all_at(&bytes, 0) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(14) => return None,
        Err(error) => panic!("{error}"),
    }
    let mut served = vec![0; bytes.len()];
    to.read_exact_at(&mut served, 0).unwrap();
    Some(served)
}

#[test]
fn cut_file_is_an_error_where_it_was_cut_and_serves_no_wrong_byte() {
    for method in [Method::Auto, Method::Mmap, Method::Pread] {
        for length in [LENGTH - 1, LENGTH - 5_000, 1 << 20, 100_001, 1, 0] {
            let dir = tempfile::tempdir().unwrap();
            let (torrent, storage) = seeded(&dir, method);
            let scratch = tempfile::tempfile().unwrap();
            // All windows are open, all pages are present.
            for block in torrent.blocks() {
                assert!(serve(&storage, block, &scratch).unwrap() == torrent.bytes(block));
            }
            open(&dir).set_len(length as u64).unwrap();
            let (before, mut missed) = (faults(), false);
            for block in torrent.blocks() {
                let begin = torrent.info.geometry.piece_begin(block.piece());
                let end =
                    usize::try_from(begin).unwrap() + (block.begin() + block.length()) as usize;
                let there = end <= length || end - block.length() as usize >= LENGTH;
                match serve(&storage, block, &scratch) {
                    Some(served) => assert!(there && served == torrent.bytes(block), "{block}"),
                    // Once one was missing, the whole file is out of use.
                    None => assert!(end > length || missed, "{method:?} {length} {block}"),
                }
                missed |= end > length;
                if !there {
                    let error = storage.verify(block.piece()).unwrap_err();
                    assert!(is_loss(&error), "{error}");
                }
            }
            let mapped = method != Method::Pread;
            assert!(faults() > before || !mapped || length > LENGTH - (64 << 10));
            // The cause goes away.
            open(&dir).write_all(&torrent.content[..LENGTH]).unwrap();
            assert!(check(&storage, 2).is_full());
            for block in torrent.blocks() {
                assert!(serve(&storage, block, &scratch).unwrap() == torrent.bytes(block));
            }
        }
    }
}

#[test]
fn file_cut_and_grown_under_its_readers_serves_no_wrong_byte() {
    let dir = tempfile::tempdir().unwrap();
    let (torrent, storage) = seeded(&dir, Method::Auto);
    let blocks = torrent.blocks();
    let (over, served, refused) = (
        AtomicBool::new(false),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    let before = faults();
    let read = |seed: u64| {
        let _end = End(&over);
        let mut rng = fastrand::Rng::with_seed(seed);
        let scratch = tempfile::tempfile().unwrap();
        while !over.load(Ordering::Relaxed) {
            let block = blocks[rng.usize(..blocks.len())];
            let count = match serve(&storage, block, &scratch) {
                Some(bytes) => {
                    assert!(bytes == torrent.bytes(block), "{block}");
                    &served
                }
                None => &refused,
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
    };
    let verify = || {
        let _end = End(&over);
        let mut rng = fastrand::Rng::with_seed(3);
        while !over.load(Ordering::Relaxed) {
            let piece = torrent.piece(rng.u32(..torrent.info.geometry.pieces()));
            // A piece that lost its bytes is no bad piece: no peer is to blame.
            match storage.verify(piece) {
                Ok(good) => assert!(good, "{piece}"),
                Err(error) => assert!(is_loss(&error), "{error}"),
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| read(1));
        scope.spawn(|| read(2));
        scope.spawn(verify);
        let _end = End(&over);
        let wait_for = |count: &AtomicUsize, more: usize| {
            let goal = count.load(Ordering::Relaxed) + more;
            while count.load(Ordering::Relaxed) < goal && !over.load(Ordering::Relaxed) {
                // Whoever looked at the file that was cut may tell of it late.
                drop(storage.recover(&AtomicBool::new(false)));
                std::thread::yield_now();
            }
        };
        for round in 0..40 {
            wait_for(&served, 20);
            // Whole pages of every size in use, so that none is left half.
            open(&dir).set_len((round % 3) * (1 << 20)).unwrap();
            wait_for(&refused, 5);
            bring_back(&dir, &torrent, &storage);
        }
    });
    assert!(faults() > before, "nothing was injected");
}

/// Ends all threads with the first, however that ends.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Puts the whole file in the place of the cut one.
fn bring_back(dir: &tempfile::TempDir, torrent: &Torrent, storage: &Storage) {
    let path = dir.path().join("whole");
    std::fs::write(&path, &torrent.content[..LENGTH]).unwrap();
    std::fs::rename(&path, dir.path().join(PATH)).unwrap();
    storage.prepare().unwrap();
}
