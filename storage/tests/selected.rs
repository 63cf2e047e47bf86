//! Some files only: what is made, where the rest of a shared piece goes, and how it comes back.
//! BEP 53.

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use common::{Kind, Torrent, torrent};
use shoal_metainfo::{Bitfield, Choice, Chosen, InfoHash};
use shoal_storage::journal::{Moment, Resume, Scope};
use shoal_storage::limits::{WINDOW_BYTES_MAX, WINDOWS_MAX};
use shoal_storage::{Access, FolderLock, Journal, Options, Storage, WindowBudget};

const PIECE: usize = 40_000;

/// Pieces 0 to 7; every border of two files lies inside a piece. Five bytes are a file of their own
/// in the middle of piece 2.
fn world() -> Torrent {
    let files = [
        ("a", 90_000, Kind::Random),
        ("sub/tiny", 5, Kind::Executable),
        ("b", 70_000, Kind::Random),
        ("empty", 0, Kind::Random),
        ("c", 130_000, Kind::Random),
    ];
    torrent(&files, PIECE, 7)
}

fn chosen(torrent: &Torrent, choice: &str) -> Chosen {
    let choice: Choice = choice.parse().unwrap();
    choice.resolve(&torrent.info).unwrap().0
}

fn open(torrent: &Torrent, dir: &Path, choice: &str) -> Storage {
    let budget = WindowBudget::new(WINDOWS_MAX, WINDOW_BYTES_MAX);
    let (info, chosen) = (Arc::clone(&torrent.info), chosen(torrent, choice));
    Storage::open_some(&budget, dir, info, chosen, Options::default()).unwrap()
}

fn parts(torrent: &Torrent, dir: &Path) -> std::path::PathBuf {
    let hash = InfoHash(shoal_hashing::sha1(torrent.info.bytes()));
    dir.join(format!(".{hash}.parts"))
}

/// Downloads the pieces of the chosen files.
fn fetch(torrent: &Torrent, storage: &Storage, choice: &str) {
    storage.prepare().unwrap();
    let pieces = chosen(torrent, choice).pieces(&torrent.info);
    for number in pieces.ones() {
        torrent.write_piece(storage, torrent.piece(number));
        assert!(storage.verify(torrent.piece(number)).unwrap());
    }
    storage.flush().unwrap();
}

fn found(storage: &Storage) -> Vec<u32> {
    let have = storage.check(2, &|_| {}, &AtomicBool::new(false)).unwrap();
    have.ones().collect()
}

/// What lies in the folder, beneath it and hidden.
fn names(dir: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => names.push(
                    entry
                        .path()
                        .strip_prefix(dir)
                        .unwrap()
                        .display()
                        .to_string(),
                ),
            }
        }
    }
    names.sort();
    names
}

fn assert_file(torrent: &Torrent, dir: &Path, number: usize) {
    let entry = &torrent.info.files[number];
    let range = entry.range();
    let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
    let bytes = fs::read(dir.join(&entry.path)).unwrap();
    assert!(bytes == torrent.content[range], "{} is another", entry.path);
}

#[test]
fn files_that_nobody_chose_are_not_made_and_shared_pieces_are_whole() {
    let (torrent, dir) = (world(), tempfile::tempdir().unwrap());
    let storage = open(&torrent, dir.path(), "2");
    fetch(&torrent, &storage, "2");
    assert_file(&torrent, dir.path(), 2);
    let hidden = parts(&torrent, dir.path());
    let name = hidden.file_name().unwrap().to_str().unwrap();
    assert_eq!(names(dir.path()), [name, "t/b"]);
    // They are served from both.
    for block in torrent.info.geometry.blocks(torrent.piece(2)) {
        assert_eq!(storage.read(block).unwrap(), torrent.bytes(block));
    }
    assert_eq!(found(&storage), [2, 3, 4]);
    // Two places of a piece each, in a file that has no room for more.
    assert_eq!(fs::metadata(hidden).unwrap().len(), 2 * PIECE as u64);
    // Who does not know what was chosen finds the same.
    let options = Options {
        access: Access::ReadOnly,
        ..Options::default()
    };
    assert_eq!(found(&torrent.open(dir.path(), options)), [2, 3, 4]);
}

#[test]
fn later_choice_finds_what_the_one_before_left() {
    let (torrent, dir) = (world(), tempfile::tempdir().unwrap());
    fetch(&torrent, &open(&torrent, dir.path(), "2"), "2");
    let storage = open(&torrent, dir.path(), "1-2");
    storage.prepare().unwrap();
    assert_file(&torrent, dir.path(), 1);
    assert_eq!(found(&storage), [2, 3, 4]);
    assert!(
        parts(&torrent, dir.path()).exists(),
        "the other two need it"
    );
    drop(storage);
    let storage = open(&torrent, dir.path(), "*");
    storage.prepare().unwrap();
    assert_eq!(
        found(&storage),
        [2, 3, 4],
        "their ends were moved into them"
    );
    assert!(!parts(&torrent, dir.path()).exists(), "nobody needs it");
    fetch(&torrent, &storage, "*");
    (0..5).for_each(|number| assert_file(&torrent, dir.path(), number));
}

#[test]
fn file_that_is_there_is_used_though_nobody_chose_it() {
    let (torrent, dir) = (world(), tempfile::tempdir().unwrap());
    fetch(&torrent, &open(&torrent, dir.path(), "*"), "*");
    let storage = open(&torrent, dir.path(), "1");
    storage.prepare().unwrap();
    assert_eq!(found(&storage).len(), 8);
    assert!(!parts(&torrent, dir.path()).exists());
    // Without it its pieces are missing, and the shared ones come again beside it.
    drop(storage);
    fs::remove_file(dir.path().join("t/b")).unwrap();
    let storage = open(&torrent, dir.path(), "4");
    storage.prepare().unwrap();
    assert_eq!(found(&storage), [0, 1, 5, 6, 7]);
    torrent.write_piece(&storage, torrent.piece(4));
    assert!(storage.verify(torrent.piece(4)).unwrap());
    assert!(!dir.path().join("t/b").exists());
}

fn journal(storage: &Storage, dir: &Path, state: &Path) -> (Journal, Resume) {
    let lock = FolderLock::take(dir).unwrap();
    Journal::open_beside(storage, lock, state).unwrap()
}

/// Fetches with a journal, to a clean end.
fn fetch_remembered(torrent: &Torrent, dir: &Path, state: &Path, choice: &str) {
    let storage = open(torrent, dir, choice);
    let (mut journal, _) = journal(&storage, dir, state);
    let now = || Moment::from(SystemTime::now());
    let pieces = chosen(torrent, choice).pieces(&torrent.info);
    let pieces: Vec<_> = pieces.ones().map(|number| torrent.piece(number)).collect();
    for &piece in &pieces {
        journal.before_write(piece, now()).unwrap();
    }
    fetch(torrent, &storage, choice);
    journal.verified(&pieces).unwrap();
    let flush = journal.begin_flush(Scope::Closing).unwrap();
    journal
        .end_flush(flush.run(|| storage.flush()), now())
        .unwrap();
}

fn resumed(torrent: &Torrent, dir: &Path, state: &Path, choice: &str) -> (Vec<u32>, Vec<u32>) {
    let storage = open(torrent, dir, choice);
    let (_, resume) = journal(&storage, dir, state);
    let ones = |bits: &Bitfield| bits.ones().collect::<Vec<_>>();
    (ones(&resume.have), ones(&resume.check))
}

#[test]
fn journal_remembers_pieces_that_are_shared_with_files_that_are_not_there() {
    let (torrent, dir) = (world(), tempfile::tempdir().unwrap());
    let state = tempfile::tempdir().unwrap();
    let resumed = |choice| resumed(&torrent, dir.path(), state.path(), choice);
    fetch_remembered(&torrent, dir.path(), state.path(), "2");
    assert_eq!(resumed("2"), (vec![2, 3, 4], vec![]));
    // Files that are chosen and not there: what they share is looked at.
    assert_eq!(resumed("1-2"), (vec![3, 4], vec![2]));
    // Somebody puts another file there.
    fs::write(dir.path().join("t/c"), [1; 130_000]).unwrap();
    assert_eq!(resumed("2").0, [2, 3]);
    fs::remove_file(dir.path().join("t/c")).unwrap();
}

#[test]
fn journal_believes_no_piece_whose_part_is_gone() {
    let (torrent, dir) = (world(), tempfile::tempdir().unwrap());
    let state = tempfile::tempdir().unwrap();
    fetch_remembered(&torrent, dir.path(), state.path(), "2");
    fs::remove_file(parts(&torrent, dir.path())).unwrap();
    let (have, check) = resumed(&torrent, dir.path(), state.path(), "2");
    assert_eq!((have, check), (vec![3], vec![2, 4]));

    let (dir, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fetch_remembered(&torrent, dir.path(), state.path(), "*");
    // It was there when its pieces were claimed; from now on it is stood in for.
    fs::remove_file(dir.path().join("t/b")).unwrap();
    let (have, check) = resumed(&torrent, dir.path(), state.path(), "0");
    assert_eq!((have, check), (vec![0, 1, 5, 6, 7], vec![2, 3, 4]));
}
