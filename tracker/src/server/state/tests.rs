//! What is kept comes back; what is damaged or foreign is refused and stays as it is.

use super::*;
use crate::policy::{KeyLimits, KeyTotals};
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn hash(number: u8) -> InfoHash {
    InfoHash([number; 20])
}

fn batch() -> Batch {
    let mut batch = Batch::default();
    batch
        .completed
        .extend((0..200).map(|n| (hash(n), u32::from(n) + 1)));
    let record = KeyRecord {
        limits: KeyLimits {
            torrents_max: Some(3),
            ..KeyLimits::default()
        },
        totals: KeyTotals {
            uploaded: 1 << 40,
            ..KeyTotals::default()
        },
    };
    let key = |n: u8| Passkey::from_random([n; 16]);
    batch
        .changes
        .keys
        .extend((0..9).map(|n| (key(n), Some(record))));
    let hashes = [(hash(1), Some(true)), (hash(2), Some(false))];
    batch.changes.hashes.extend(hashes);
    let mut swarm = 1_000u64.to_be_bytes().to_vec();
    swarm.extend([9; 20]);
    swarm.extend([0, 0, 0, 1, 0, 0, 0, 0, 127, 0, 0, 1, 0x1a, 0xe1]);
    swarm.extend([b'p'; 20]);
    swarm.extend([3, 0, 0, 0, 5]);
    batch.swarms.insert(7, swarm);
    batch
}

/// A state with a batch in it, and the bytes of its file.
fn written(folder: &Path) -> (Remembered, Vec<u8>) {
    let (mut state, first) = State::open(folder).unwrap();
    let clean = true;
    let nothing = Remembered {
        clean,
        ..Remembered::default()
    };
    assert_eq!(first, nothing);
    state.save(&batch()).unwrap();
    state.close().unwrap();
    let bytes = fs::read(folder.join(FILE)).unwrap();
    (examine(&folder.join(FILE)).unwrap(), bytes)
}

#[test]
fn what_is_kept_comes_back() {
    let folder = folder();
    let (remembered, bytes) = written(folder.path());
    assert_eq!(remembered.completed.len(), 200);
    assert_eq!(remembered.completed[7], (hash(7), 8));
    assert_eq!(remembered.keys.len(), 9);
    assert_eq!(remembered.keys[0].1.limits.torrents_max, Some(3));
    assert_eq!(remembered.hashes, [(hash(1), true), (hash(2), false)]);
    let (torrent, peer, at) = remembered.swarms[0];
    assert_eq!((torrent, at), (hash(9), 1_000));
    assert_eq!(peer.address, "127.0.0.1:6881".parse().unwrap());
    assert!(peer.seed && peer.counted && remembered.clean);
    assert_eq!(fs::read(folder.path().join(FILE)).unwrap(), bytes);

    let (mut state, _) = State::open(folder.path()).unwrap();
    let mut less = Batch::default();
    less.completed.insert(hash(7), 0);
    less.changes.keys.insert(remembered.keys[0].0, None);
    less.changes.hashes.insert(hash(1), None);
    less.swarms.insert(7, Vec::new());
    state.save(&less).unwrap();
    drop(state);
    let (_, again) = State::open(folder.path()).unwrap();
    assert_eq!((again.completed.len(), again.keys.len()), (199, 8));
    assert_eq!((again.hashes.len(), again.swarms.len()), (1, 0));
    assert!(!again.clean, "nobody closed it");
}

#[test]
fn state_that_was_killed_has_all_that_was_saved() {
    let folder = folder();
    let (mut state, _) = State::open(folder.path()).unwrap();
    for round in 0..20u8 {
        let mut batch = Batch::default();
        batch.completed.insert(hash(round), u32::from(round) + 1);
        state.save(&batch).unwrap();
        let copy = tempfile::tempdir().unwrap();
        fs::copy(folder.path().join(FILE), copy.path().join(FILE)).unwrap();
        let (_, remembered) = State::open(copy.path()).unwrap();
        assert_eq!(remembered.completed.len(), usize::from(round) + 1);
        assert!(!remembered.clean);
    }
}

#[test]
fn second_tracker_is_refused_and_the_first_goes_on() {
    let folder = folder();
    let (mut state, _) = State::open(folder.path()).unwrap();
    let error = State::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("another tracker"), "{error}");
    assert!(error.contains(folder.path().to_str().unwrap()), "{error}");
    state.save(&batch()).unwrap();
    drop(state);
    State::open(folder.path()).unwrap();
}

#[test]
fn foreign_files_are_refused_and_stay_as_they_are() {
    let other = || {
        let folder = folder();
        let path = folder.path().join("other");
        let database = Database::create(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        let table = TableDefinition::<u64, u64>::new("mine");
        transaction.open_table(table).unwrap().insert(1, 2).unwrap();
        transaction.commit().unwrap();
        drop(database);
        fs::read(path).unwrap()
    };
    for (bytes, words) in [
        (b"shopping: eggs".to_vec(), "no tracker's state"),
        (b"SQLite format 3\0".repeat(1_000), "no tracker's state"),
        (other(), "no tracker's state"),
        (Vec::new(), "is empty"),
        (vec![0; 1 << 20], "no tracker's state"),
    ] {
        let folder = folder();
        let path = folder.path().join(FILE);
        fs::write(&path, &bytes).unwrap();
        let error = State::open(folder.path()).unwrap_err().to_string();
        for words in [words, FILE, "left as it", "move"] {
            assert!(error.contains(words), "{words} is not in {error}");
        }
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}

#[test]
fn file_that_cannot_be_opened_to_be_written_is_not_told_to_be_damaged() {
    let denied = io::Error::from(io::ErrorKind::PermissionDenied);
    let error = unopened(Path::new("f"), redb::Error::Io(denied)).to_string();
    assert!(
        error.contains("cannot use f") && error.contains("permission denied"),
        "{error}"
    );
}

#[test]
fn state_of_a_later_version_is_refused() {
    let folder = folder();
    let (mut state, _) = State::open(folder.path()).unwrap();
    let transaction = state.database().unwrap().begin_write().unwrap();
    transaction
        .open_table(META)
        .unwrap()
        .insert("format", 2)
        .unwrap();
    transaction.commit().unwrap();
    drop(state);
    let error = State::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("later version"), "{error}");
}

/// Of a wrong file: refused with its name, or read as it was.
fn check_wrong(path: &Path, bytes: &[u8], expect: &Remembered) -> bool {
    fs::write(path, bytes).unwrap();
    match examine(path) {
        Ok(remembered) => {
            assert_eq!(remembered.completed, expect.completed);
            assert_eq!(remembered.keys, expect.keys);
            assert_eq!(remembered.hashes, expect.hashes);
            assert_eq!(remembered.swarms, expect.swarms);
            false
        }
        Err(error) => {
            assert!(error.to_string().contains(FILE), "{error}");
            assert!(fs::read(path).unwrap() == bytes, "it was changed");
            true
        }
    }
}

#[test]
fn truncated_state_is_refused_at_any_length() {
    let folder = folder();
    let (expect, bytes) = written(folder.path());
    let path = folder.path().join(FILE);
    let lengths = (0..bytes.len()).step_by(bytes.len() / 150);
    let near = bytes.len().saturating_sub(40)..bytes.len();
    for length in lengths.chain(near).chain(0..20) {
        assert!(check_wrong(&path, &bytes[..length], &expect), "{length}");
    }
}

#[test]
fn flipped_bits_are_noticed_or_do_not_matter() {
    let folder = folder();
    let (expect, bytes) = written(folder.path());
    let path = folder.path().join(FILE);
    let used: Vec<_> = (512..bytes.len()).filter(|&at| bytes[at] != 0).collect();
    let mut rng = fastrand::Rng::with_seed(1);
    // The head whole, and what else is not empty by chance.
    let head = (0..320 * 8).map(|bit| (bit / 8, bit % 8));
    let rest = (0..600).map(|_| (used[rng.usize(..used.len())], rng.usize(..8)));
    let mut noticed = 0;
    for (at, bit) in head.chain(rest.collect::<Vec<_>>()) {
        let mut wrong = bytes.clone();
        wrong[at] ^= 1 << bit;
        noticed += usize::from(check_wrong(&path, &wrong, &expect));
    }
    assert!(noticed > 300, "only {noticed} were noticed");
}
