//! A check finds exactly the good pieces, whatever happened to the files, and changes nothing.

mod common;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::{Kind, Torrent, check, tight, torrent};
use proptest::prelude::*;
use shoal_metainfo::Bitfield;
use shoal_storage::{Access, FileStatus, Options, StorageError};

const FILES: [(&str, usize, Kind); 7] = [
    ("a", 200_000, Kind::Random),
    ("b/empty", 0, Kind::Random),
    ("b/zeros", 150_000, Kind::Zeros),
    ("b/small", 10, Kind::Random),
    (".pad/0", 6_000, Kind::Padding),
    ("c/d/e", 120_000, Kind::Random),
    ("f", 1, Kind::Random),
];

#[derive(Clone, Copy, Debug)]
enum Damage {
    Flip(usize),
    Truncate(usize),
    Delete,
    Hole(usize),
    Extend,
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        any::<usize>().prop_map(Damage::Flip),
        any::<usize>().prop_map(Damage::Truncate),
        Just(Damage::Delete),
        any::<usize>().prop_map(Damage::Hole),
        Just(Damage::Extend),
    ]
}

fn inflict(path: &Path, damage: Damage) {
    let Ok(file) = OpenOptions::new().read(true).write(true).open(path) else {
        return;
    };
    let length = usize::try_from(file.metadata().unwrap().len()).unwrap();
    let at = |place: usize| u64::try_from(place % length.max(1)).unwrap();
    match damage {
        Damage::Flip(place) if length > 0 => {
            let mut byte = [0];
            file.read_exact_at(&mut byte, at(place)).unwrap();
            file.write_all_at(&[byte[0] ^ 1], at(place)).unwrap();
        }
        Damage::Truncate(place) => file.set_len(at(place)).unwrap(),
        Damage::Delete => fs::remove_file(path).unwrap(),
        // Cut and grown again: zeros that were never written.
        Damage::Hole(place) => {
            file.set_len(at(place)).unwrap();
            file.set_len(u64::try_from(length).unwrap()).unwrap();
        }
        Damage::Extend => file
            .write_all_at(b"more", u64::try_from(length).unwrap())
            .unwrap(),
        Damage::Flip(_) => {}
    }
}

/// Every file beneath a folder with its bytes.
fn tree(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = fs::read(&path).unwrap();
                found.push((path, bytes));
            }
        }
    }
    found.sort();
    found
}

fn complete(piece_length: usize, seed: u64) -> (Torrent, tempfile::TempDir) {
    let torrent = torrent(&FILES, piece_length, seed);
    let dir = tempfile::tempdir().unwrap();
    torrent.write_all(&torrent.open(dir.path(), Options::default()));
    (torrent, dir)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn exactly_the_good_pieces_are_found_and_the_rest_resumes(
        damages in prop::collection::vec((0..FILES.len(), damage()), 0..5),
        piece_length in prop::sample::select(vec![1 << 14, 1 << 15, 30_000, 1 << 17]),
        threads in 1..4usize,
        windows in 1..4usize,
        seed: u64,
    ) {
        let (torrent, dir) = complete(piece_length, seed);
        for &(file, damage) in &damages {
            inflict(&dir.path().join(&torrent.info.files[file].path), damage);
        }
        let before = tree(dir.path());
        let expected = torrent.expected(dir.path());
        for options in [tight(windows), Options { access: Access::ReadOnly, ..tight(windows) }] {
            let storage = torrent.open(dir.path(), options);
            prop_assert_eq!(&check(&storage, threads), &expected);
        }
        prop_assert!(tree(dir.path()) == before, "the check changed something");

        let storage = torrent.open(dir.path(), tight(windows));
        let have = check(&storage, threads);
        storage.prepare().unwrap();
        for number in have.zeros() {
            torrent.write_piece(&storage, torrent.piece(number));
            prop_assert!(storage.verify(torrent.piece(number)).unwrap());
        }
        for block in torrent.blocks() {
            prop_assert_eq!(&storage.read(block).unwrap(), torrent.bytes(block));
        }
        prop_assert!(check(&storage, threads).is_full());
    }
}

#[test]
fn piece_of_zeros_in_a_hole_is_found_but_not_in_a_missing_file() {
    let files = [
        ("hole", 1 << 20, Kind::Zeros),
        ("missing", 1 << 20, Kind::Zeros),
    ];
    let torrent = torrent(&files, 1 << 16, 1);
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("t")).unwrap();
    File::create(dir.path().join("t/hole"))
        .unwrap()
        .set_len(1 << 20)
        .unwrap();
    let storage = torrent.open(dir.path(), Options::default());
    let have = check(&storage, 2);
    assert_eq!(have.count(), 16);
    assert_eq!(have, torrent.expected(dir.path()));
}

#[test]
fn long_pieces_are_hashed_side_by_side_and_each_is_judged_alone() {
    // Two files, so that one piece crosses; a budget of windows that no piece fits in.
    let files = [
        ("a", 3_300_000, Kind::Random),
        ("b", 2_000_000, Kind::Random),
    ];
    let torrent = torrent(&files, 1 << 20, 7);
    let dir = tempfile::tempdir().unwrap();
    torrent.write_all(&torrent.open(dir.path(), Options::default()));
    for (name, place) in [("a", 1 << 20), ("b", 1_999_999)] {
        inflict(&dir.path().join("t").join(name), Damage::Flip(place));
    }
    let expected = torrent.expected(dir.path());
    assert_eq!(expected.ones().collect::<Vec<_>>(), [0, 2, 3, 4]);
    for threads in [1, 3] {
        let storage = torrent.open(dir.path(), tight(1));
        assert_eq!(check(&storage, threads), expected);
    }
    // Bytes that are cut off cost the pieces they belong to, and no other.
    inflict(&dir.path().join("t/a"), Damage::Truncate(3_200_000));
    let expected = torrent.expected(dir.path());
    assert_eq!(expected.ones().collect::<Vec<_>>(), [0, 2, 4]);
    assert_eq!(check(&torrent.open(dir.path(), tight(1)), 1), expected);
}

/// Descriptors, mappings and threads are those of the whole process: one of its own counts them.
#[test]
#[cfg(target_os = "linux")]
fn check_of_thousands_of_files_takes_few_descriptors_mappings_and_threads() {
    const ALONE: &str = "SHOAL_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let test = "check_of_thousands_of_files_takes_few_descriptors_mappings_and_threads";
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        let output = command.args(["--exact", test]).env(ALONE, "1").output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("1 passed"), "{said}");
        return;
    }
    let names: Vec<String> = (0..5000).map(|i| format!("{}/{i}", i / 100)).collect();
    // In most pieces some files, and now and then a piece within a file.
    let length = |i: usize| if i.is_multiple_of(100) { 40_000 } else { 700 };
    let files = names.iter().enumerate();
    let files: Vec<_> = files
        .map(|(i, name)| (name.as_str(), length(i), Kind::Random))
        .collect();
    let torrent = torrent(&files, 1 << 14, 8);
    let dir = tempfile::tempdir().unwrap();
    torrent.write_all(&torrent.open(dir.path(), Options::default()));
    let storage = torrent.open(dir.path(), Options::default());
    let count = |of: &str| fs::read_dir(format!("/proc/self/{of}")).unwrap().count();
    let now = || [count("fd"), count("map_files"), count("task")];
    let (before, most) = (now(), Mutex::new([0; 3]));
    let note = |_: u64| {
        let mut most = most.lock().unwrap();
        for (most, now) in most.iter_mut().zip(now()) {
            *most = now.max(*most);
        }
    };
    let have = storage.check(3, &note, &AtomicBool::new(false)).unwrap();
    assert!(have.is_full());
    // Those that are kept, one in the hands of each of three threads, and one that counts; a
    // window of each, and the system's own for two more threads.
    let more = [shoal_storage::limits::FILES_OPEN_MAX + 4, 20, 2];
    let most = *most.lock().unwrap();
    for ((most, before), more) in most.into_iter().zip(before).zip(more) {
        assert!(
            (1..=before + more).contains(&most),
            "{most}, {before} before"
        );
    }
    assert_eq!(storage.usage().files_open, 0, "none is kept");
    assert_eq!(storage.usage().windows, 0, "nor a window");
}

#[test]
fn preallocated_room_holds_no_piece() {
    let torrent = torrent(&[("a", 1 << 20, Kind::Random)], 1 << 16, 2);
    let dir = tempfile::tempdir().unwrap();
    let storage = torrent.open(dir.path(), Options::default());
    torrent.write_piece(&storage, torrent.piece(5));
    let have = check(&storage, 2);
    assert_eq!(have.ones().collect::<Vec<_>>(), [5]);
    assert_eq!(fs::metadata(dir.path().join("t/a")).unwrap().len(), 1 << 20);
}

#[test]
fn check_of_an_empty_folder_finds_nothing_and_makes_nothing() {
    let torrent = torrent(&FILES, 1 << 14, 3);
    let dir = tempfile::tempdir().unwrap();
    let storage = torrent.open(dir.path(), Options::default());
    assert!(check(&storage, 2).is_empty());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn progress_ends_at_the_total_and_cancel_ends_early() {
    let (torrent, dir) = complete(1 << 14, 4);
    let storage = torrent.open(dir.path(), Options::default());
    let most = Mutex::new(0);
    let note = |bytes: u64| {
        let mut most = most.lock().unwrap();
        *most = bytes.max(*most);
    };
    let have = storage.check(3, &note, &AtomicBool::new(false)).unwrap();
    assert!(have.is_full());
    assert_eq!(*most.lock().unwrap(), torrent.info.geometry.total());

    let cancel = AtomicBool::new(false);
    let stop = |_: u64| cancel.store(true, Ordering::Relaxed);
    let have = storage.check(1, &stop, &cancel).unwrap();
    assert!(!have.is_full());
    let none = storage.check(2, &|_| {}, &AtomicBool::new(true)).unwrap();
    assert!(none.is_empty());
}

#[test]
fn file_that_is_too_long_is_reported_used_and_never_cut() {
    let torrent = torrent(
        &[("a", 50_000, Kind::Random), ("b", 0, Kind::Random)],
        1 << 14,
        5,
    );
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("t")).unwrap();
    let (a, b) = (dir.path().join("t/a"), dir.path().join("t/b"));
    fs::write(&a, vec![9; 60_000]).unwrap();
    fs::write(&b, b"not empty").unwrap();
    let storage = torrent.open(dir.path(), Options::default());
    torrent.write_all(&storage);
    storage.flush().unwrap();
    assert!(check(&storage, 2).is_full());
    assert_eq!(fs::read(&a).unwrap()[50_000..], [9; 10_000]);
    assert_eq!(fs::read(&b).unwrap(), b"not empty");
    let statuses: Vec<_> = storage
        .files_report()
        .into_iter()
        .map(|file| file.status)
        .collect();
    let long = |found| FileStatus::Long { found };
    assert_eq!(statuses, [long(60_000), long(9)]);
}

#[test]
fn what_is_in_the_way_ends_only_the_check_of_who_wants_to_write() {
    let (torrent, dir) = complete(1 << 14, 7);
    let path = |name: &str| dir.path().join("t").join(name);
    let aside = path("aside");
    fs::rename(path("a"), &aside).unwrap();
    fs::create_dir(path("a")).unwrap();
    fs::rename(path("c/d/e"), path("e")).unwrap();
    std::os::unix::fs::symlink("../../e", path("c/d/e")).unwrap();
    let read_only = Options {
        access: Access::ReadOnly,
        ..Options::default()
    };
    for threads in [1, 3] {
        let storage = torrent.open(dir.path(), read_only);
        // All pieces but those with bytes of `a` or `c/d/e` in them.
        let have = check(&storage, threads);
        let good: Vec<_> = have.ones().collect();
        assert_eq!(good, (13..=20).collect::<Vec<_>>());
        let report = storage.files_report();
        let unusable = report
            .iter()
            .filter(|file| matches!(file.status, FileStatus::Unusable(_)));
        let names: Vec<_> = unusable.map(|file| file.entry.path.as_str()).collect();
        assert_eq!(names, ["t/a", "t/c/d/e"]);
    }
    let storage = torrent.open(dir.path(), Options::default());
    let refused = storage.check(2, &|_| {}, &AtomicBool::new(false));
    assert!(refused.unwrap_err().to_string().contains("move that away"));
}

#[test]
fn report_tells_missing_short_and_unusable_files() {
    let (torrent, dir) = complete(1 << 14, 6);
    let path = |name: &str| dir.path().join("t").join(name);
    fs::remove_file(path("a")).unwrap();
    File::options()
        .write(true)
        .open(path("b/zeros"))
        .unwrap()
        .set_len(7)
        .unwrap();
    fs::remove_file(path("f")).unwrap();
    fs::create_dir(path("f")).unwrap();
    let storage = torrent.open(dir.path(), Options::default());
    let report = storage.files_report();
    assert_eq!(report.len(), 6, "padding is no file");
    let status = |name: &str| {
        let found = report.iter().find(|file| file.path == path(name));
        found.unwrap().status.clone()
    };
    assert_eq!(status("a"), FileStatus::Missing);
    assert_eq!(status("b/empty"), FileStatus::Right);
    assert_eq!(status("b/zeros"), FileStatus::Short { found: 7 });
    assert_eq!(status("c/d/e"), FileStatus::Right);
    assert!(matches!(status("f"), FileStatus::Unusable(_)));
    let touched: Vec<_> = storage
        .files_of(torrent.piece(12))
        .map(|f| f.path.as_str())
        .collect();
    assert_eq!(touched, ["t/a", "t/b/zeros"]);
}

#[test]
fn check_of_some_pieces_hashes_those_and_believes_the_rest() {
    let (torrent, dir) = complete(1 << 14, 3);
    let storage = torrent.open(dir.path(), Options::default());
    let geometry = torrent.info.geometry;
    let (mut wanted, mut rest) = (
        Bitfield::none(geometry.pieces()),
        Bitfield::none(geometry.pieces()),
    );
    for piece in geometry.all_pieces() {
        match piece.get() % 5 < 2 {
            true => wanted.insert(piece),
            false => rest.insert(piece),
        };
    }
    storage.trust(&rest);
    let looked_at = AtomicU64::new(0);
    let progress = |bytes| {
        looked_at.fetch_max(bytes, Ordering::Relaxed);
    };
    let found = storage.check_some(&wanted, 3, &progress, &AtomicBool::new(false));
    assert_eq!(found.unwrap(), wanted);
    assert_eq!(looked_at.into_inner(), geometry.total());
}

#[test]
fn doubted_file_is_read_only_after_its_verified_pieces_were_hashed() {
    let (torrent, dir) = complete(1 << 14, 4);
    let storage = torrent.open(dir.path(), Options::default());
    storage.trust(&Bitfield::all(torrent.info.geometry.pieces()));
    let block = torrent.blocks()[0];
    let path = dir.path().join(&torrent.info.files[0].path);
    let bytes = fs::read(&path).unwrap();
    let never = AtomicBool::new(false);
    let is_changed = |error| matches!(error, StorageError::Changed(_));
    assert!(!storage.is_lost());
    assert!(is_changed(storage.doubt(block)));
    let mut spoiled = bytes.clone();
    *spoiled.last_mut().unwrap() ^= 1;
    fs::write(&path, &spoiled).unwrap();
    for _ in 0..2 {
        assert!(storage.is_lost());
        assert!(is_changed(storage.recover(&never).unwrap_err()));
        assert!(is_changed(storage.read(block).unwrap_err()));
    }
    fs::write(&path, &bytes).unwrap();
    // Stopped meanwhile: it stays out of use.
    storage.recover(&AtomicBool::new(true)).unwrap();
    assert!(is_changed(storage.read(block).unwrap_err()));
    storage.recover(&never).unwrap();
    assert!(!storage.is_lost());
    assert_eq!(storage.read(block).unwrap(), torrent.bytes(block));
}
