//! Many threads on one storage: every byte arrives, and the budget holds at every moment.

mod common;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::{Kind, check, torrent};
use shoal_storage::{Options, Storage};

const FILES: [(&str, usize, Kind); 5] = [
    ("a", 1_500_000, Kind::Random),
    ("b", 700, Kind::Random),
    ("c/d", 900_000, Kind::Random),
    (".pad/0", 5_000, Kind::Padding),
    ("c/e", 400_000, Kind::Random),
];

/// Mappings of this process that lie beneath a folder, as the kernel counts them.
#[cfg(target_os = "linux")]
fn mappings(dir: &std::path::Path) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let dir = dir.to_str().unwrap();
    maps.lines().filter(|line| line.contains(dir)).count()
}

fn assert_within(storage: &Storage, options: &Options) {
    let usage = storage.usage();
    assert!(usage.windows <= options.windows_max, "{usage:?}");
    assert!(usage.window_bytes <= options.window_bytes_max, "{usage:?}");
    assert!(
        usage.files_open <= shoal_storage::limits::FILES_OPEN_MAX,
        "{usage:?}"
    );
}

fn downloads_with(windows_max: usize, window_bytes_max: u64) {
    let torrent = torrent(&FILES, 1 << 16, 1);
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        windows_max,
        window_bytes_max,
        ..Options::default()
    };
    let storage = torrent.open(dir.path(), options);
    storage.prepare().unwrap();
    let mut blocks = torrent.blocks();
    fastrand::Rng::with_seed(2).shuffle(&mut blocks);
    let missing: Vec<AtomicUsize> = torrent
        .info
        .geometry
        .all_pieces()
        .map(|piece| AtomicUsize::new(torrent.info.geometry.block_count(piece)))
        .collect();
    let (next, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (verified, reads) = (Mutex::new(Vec::new()), AtomicUsize::new(0));
    let write = || {
        while let Some(&block) = blocks.get(next.fetch_add(1, Ordering::Relaxed)) {
            storage.write(block, torrent.bytes(block)).unwrap();
            // A double, as in the end game.
            storage.write(block, torrent.bytes(block)).unwrap();
            let left = missing[block.piece().index()].fetch_sub(1, Ordering::AcqRel);
            if left == 1 {
                assert!(storage.verify(block.piece()).unwrap());
                verified.lock().unwrap().push(block.piece());
            }
            assert_within(&storage, &options);
        }
    };
    let read = |seed: u64| {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut kept = Vec::new();
        while !over.load(Ordering::Relaxed) || reads.load(Ordering::Relaxed) < 1_000 {
            let Some(piece) = rng.choice(verified.lock().unwrap().iter().copied()) else {
                std::thread::yield_now();
                continue;
            };
            let blocks: Vec<_> = torrent.info.geometry.blocks(piece).collect();
            let block = blocks[rng.usize(..blocks.len())];
            let bytes = storage.read(block).unwrap();
            assert_eq!(bytes, torrent.bytes(block));
            reads.fetch_add(1, Ordering::Relaxed);
            kept.push((block, bytes));
            if kept.len() > 50 {
                let (block, bytes) = kept.swap_remove(rng.usize(..kept.len()));
                assert_eq!(bytes, torrent.bytes(block));
            }
            assert_within(&storage, &options);
            if rng.u8(..) == 0 {
                storage.trim();
                storage.flush().unwrap();
            }
            #[cfg(target_os = "linux")]
            if rng.u8(..) < 10 {
                assert!(mappings(dir.path()) <= windows_max);
            }
        }
    };
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3).map(|seed| scope.spawn(move || read(seed))).collect();
        let writers: Vec<_> = (0..4).map(|_| scope.spawn(write)).collect();
        writers
            .into_iter()
            .for_each(|writer| writer.join().unwrap());
        over.store(true, Ordering::Relaxed);
        readers
            .into_iter()
            .for_each(|reader| reader.join().unwrap());
    });
    storage.trim();
    assert_eq!(
        storage.usage().windows,
        0,
        "nothing holds a window any more"
    );
    assert!(check(&storage, 4).is_full());
    torrent.assert_on_disk(dir.path());
}

#[test]
fn threads_share_a_single_window() {
    downloads_with(1, 128 << 10);
}

#[test]
fn threads_share_a_few_windows() {
    downloads_with(3, 256 << 10);
}

#[test]
fn threads_share_the_usual_budget() {
    downloads_with(
        Options::default().windows_max,
        Options::default().window_bytes_max,
    );
}

#[test]
fn storage_goes_between_threads() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Storage>();
}
