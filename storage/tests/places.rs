//! Whatever stands in a file's place: a typed error that names it, and nothing outside is touched.

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use common::{Kind, Torrent, check, tight, torrent};
use shoal_storage::{Access, Operation, Options, Storage, StorageError};

fn two_files() -> Torrent {
    let files = [("a", 40_000, Kind::Random), ("d/e/b", 40_000, Kind::Random)];
    torrent(&files, 1 << 15, 1)
}

/// Every call that meets the planted thing says the same, and names its path.
fn refuses(plant: impl FnOnce(&Path), number: u32, named: &str) {
    let torrent = two_files();
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("t")).unwrap();
    plant(&dir.path().join("t"));
    let storage = torrent.open(dir.path(), Options::default());
    let block = torrent
        .info
        .geometry
        .nth_block(torrent.piece(number), 0)
        .unwrap();
    let answers = [
        storage.prepare(),
        storage.write(block, torrent.bytes(block)),
        storage.read(block).map(drop),
        storage.verify(block.piece()).map(drop),
        storage.check(2, &|_| {}, &AtomicBool::new(false)).map(drop),
    ];
    for answer in answers {
        let error = answer.unwrap_err();
        assert!(matches!(error, StorageError::NotAFile(_)), "{error:?}");
        assert_eq!(error.fault().path(), dir.path().join("t").join(named));
        assert!(error.to_string().contains(named));
    }
}

#[test]
fn folder_in_the_place_of_a_file_is_refused() {
    refuses(|t| fs::create_dir(t.join("a")).unwrap(), 0, "a");
    refuses(|t| fs::create_dir_all(t.join("d/e/b")).unwrap(), 2, "d/e/b");
}

#[test]
fn file_in_the_place_of_a_folder_is_refused() {
    refuses(|t| fs::write(t.join("d"), b"x").unwrap(), 2, "d/e/b");
}

#[test]
fn pipe_in_the_place_of_a_file_is_refused_without_waiting() {
    let mkfifo = |t: &Path| {
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, t.join("a"), mode).unwrap();
    };
    refuses(mkfifo, 0, "a");
}

#[test]
fn links_are_refused_and_what_they_point_to_stays_as_it_was() {
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret");
    fs::write(&secret, vec![5; 40_000]).unwrap();
    refuses(|t| symlink(&secret, t.join("a")).unwrap(), 0, "a");
    refuses(
        |t| symlink(outside.path().join("nowhere"), t.join("a")).unwrap(),
        0,
        "a",
    );
    refuses(
        |t| symlink(outside.path(), t.join("d")).unwrap(),
        2,
        "d/e/b",
    );
    refuses(|t| symlink(t.join("d"), t.join("d")).unwrap(), 2, "d/e/b");
    let linked = |t: &Path| {
        fs::create_dir(t.join("d")).unwrap();
        symlink(outside.path(), t.join("d/e")).unwrap();
    };
    refuses(linked, 2, "d/e/b");
    assert_eq!(fs::read(&secret).unwrap(), vec![5; 40_000]);
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[test]
fn chosen_folder_itself_may_be_a_link() {
    let (torrent, dir) = (two_files(), tempfile::tempdir().unwrap());
    fs::create_dir(dir.path().join("real")).unwrap();
    symlink("real", dir.path().join("link")).unwrap();
    torrent.write_all(&torrent.open(&dir.path().join("link"), Options::default()));
    torrent.assert_on_disk(&dir.path().join("real"));
}

#[test]
fn chosen_folder_is_made_unless_something_is_in_the_way() {
    let (torrent, dir) = (two_files(), tempfile::tempdir().unwrap());
    let open = |name: &str, access| {
        let options = Options {
            access,
            ..Options::default()
        };
        Storage::open(&dir.path().join(name), torrent.info.clone(), options).map(drop)
    };
    assert!(matches!(
        open("x", Access::ReadOnly),
        Err(StorageError::Gone(_))
    ));
    assert_eq!(open("x/y", Access::ReadWrite), Ok(()));
    assert!(dir.path().join("x/y").is_dir());
    fs::write(dir.path().join("file"), b"").unwrap();
    assert!(matches!(
        open("file", Access::ReadWrite),
        Err(StorageError::NotAFile(_))
    ));
    assert!(matches!(
        open("file/y", Access::ReadWrite),
        Err(StorageError::NotAFile(_))
    ));
}

/// BEP 47, `x`.
#[test]
fn executable_file_is_made_so_and_one_that_is_there_keeps_its_mode() {
    let files = [
        ("run", 100, Kind::Executable),
        ("there", 100, Kind::Executable),
        ("text", 100, Kind::Random),
    ];
    let (torrent, dir) = (torrent(&files, 1 << 14, 1), tempfile::tempdir().unwrap());
    fs::create_dir(dir.path().join("t")).unwrap();
    fs::write(dir.path().join("t/there"), b"").unwrap();
    let storage = torrent.open(dir.path(), Options::default());
    torrent.write_all(&storage);
    let mode = |name| {
        let metadata = fs::metadata(dir.path().join("t").join(name)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    let plain = mode("text");
    assert_eq!(plain & 0o111, 0);
    assert_eq!(mode("there"), plain);
    assert_eq!(mode("run"), plain | (plain & 0o444) >> 2);
}

#[test]
fn storage_for_reading_writes_nothing() {
    let (torrent, dir) = (two_files(), tempfile::tempdir().unwrap());
    let options = Options {
        access: Access::ReadOnly,
        ..Options::default()
    };
    let storage = torrent.open(dir.path(), options);
    let block = torrent.blocks()[0];
    let error = storage.write(block, torrent.bytes(block)).unwrap_err();
    assert!(matches!(error, StorageError::ReadOnly(_)));
    assert_eq!(error.fault().operation(), Operation::Write);
    assert!(matches!(storage.prepare(), Err(StorageError::ReadOnly(_))));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn missing_and_short_files_are_told_apart() {
    let (torrent, dir) = (two_files(), tempfile::tempdir().unwrap());
    let storage = torrent.open(dir.path(), Options::default());
    let block = torrent.blocks()[1];
    assert!(matches!(storage.read(block), Err(StorageError::Gone(_))));
    fs::create_dir(dir.path().join("t")).unwrap();
    fs::write(dir.path().join("t/a"), vec![0; 20_000]).unwrap();
    let error = storage.read(block).unwrap_err();
    assert!(matches!(error, StorageError::Truncated(_)), "{error}");
    assert!(storage.read(torrent.blocks()[0]).is_ok());
    fs::write(dir.path().join("t/a"), vec![0; 40_000]).unwrap();
    assert!(
        storage.read(block).is_ok(),
        "a file that grew is looked at again"
    );
}

#[test]
fn file_deleted_or_cut_under_a_download_is_an_error_until_prepared_again() {
    for cut in [false, true] {
        let (torrent, dir) = (two_files(), tempfile::tempdir().unwrap());
        let storage = torrent.open(dir.path(), Options::default());
        torrent.write_all(&storage);
        storage.trim();
        let path = dir.path().join("t/a");
        if cut {
            fs::File::options()
                .write(true)
                .open(&path)
                .unwrap()
                .set_len(1)
                .unwrap();
        } else {
            fs::remove_file(&path).unwrap();
        }
        let piece = torrent.piece(0);
        let block = torrent.blocks()[0];
        for _ in 0..2 {
            assert!(storage.verify(piece).is_err());
            assert!(storage.write(block, torrent.bytes(block)).is_err());
        }
        assert_eq!(
            path.exists(),
            cut,
            "not made again behind the caller's back"
        );
        let have = check(&storage, 2);
        storage.prepare().unwrap();
        assert_eq!(have, torrent.expected(dir.path()));
        for number in have.zeros() {
            torrent.write_piece(&storage, torrent.piece(number));
            assert!(storage.verify(torrent.piece(number)).unwrap());
        }
        storage.flush().unwrap();
        torrent.assert_on_disk(dir.path());
    }
}

#[test]
fn file_that_was_replaced_is_out_of_use_until_its_verified_pieces_are_good() {
    let (torrent, dir) = (two_files(), tempfile::tempdir().unwrap());
    let path = dir.path().join("t/a");
    let block = torrent.blocks()[0];
    let replace = |bytes: &[u8]| {
        fs::write(dir.path().join("other"), bytes).unwrap();
        fs::rename(dir.path().join("other"), &path).unwrap();
    };
    for others in [vec![1; 40_000], torrent.content[..39_999].to_vec()] {
        let storage = torrent.open(dir.path(), Options::default());
        torrent.write_all(&storage);
        let whole = fs::read(&path).unwrap();
        replace(&others);
        storage.trim();
        for _ in 0..2 {
            assert!(storage.read(block).is_err(), "bytes of another file");
            assert!(storage.prepare().is_err());
            assert!(storage.recover(&AtomicBool::new(false)).is_err());
        }
        assert_eq!(fs::read(&path).unwrap(), others, "it was touched");
        // One with a piece that nobody lost is in use all the time.
        assert!(storage.read(*torrent.blocks().last().unwrap()).is_ok());
        replace(&whole);
        storage.recover(&AtomicBool::new(false)).unwrap();
        assert_eq!(storage.read(block).unwrap(), torrent.bytes(block));
        storage.prepare().unwrap();
        fs::remove_dir_all(dir.path().join("t")).unwrap();
    }
}

#[test]
fn file_that_vanished_is_made_again_when_nothing_in_it_was_verified() {
    let (torrent, dir) = (two_files(), tempfile::tempdir().unwrap());
    let storage = torrent.open(dir.path(), Options::default());
    storage.prepare().unwrap();
    torrent.write_piece(&storage, torrent.piece(0));
    fs::remove_file(dir.path().join("t/a")).unwrap();
    let block = torrent.blocks()[0];
    assert!(storage.write(block, torrent.bytes(block)).is_err());
    storage.prepare().unwrap();
    torrent.write_all(&storage);
    torrent.assert_on_disk(dir.path());
}

#[test]
fn deleted_file_whose_descriptor_is_open_still_is_gone() {
    let torrent = torrent(&[("a", 1 << 18, Kind::Random)], 1 << 16, 2);
    let dir = tempfile::tempdir().unwrap();
    let storage = torrent.open(dir.path(), tight(1));
    torrent.write_piece(&storage, torrent.piece(0));
    fs::remove_file(dir.path().join("t/a")).unwrap();
    let block = torrent
        .info
        .geometry
        .nth_block(torrent.piece(1), 0)
        .unwrap();
    for _ in 0..2 {
        let error = storage.write(block, torrent.bytes(block)).unwrap_err();
        assert!(matches!(error, StorageError::Gone(_)), "{error}");
    }
}

/// A tmpfs refuses at once what is larger than itself, so nothing is filled up for this.
#[cfg(target_os = "linux")]
#[test]
fn full_disk_is_an_error_of_the_first_write() {
    const TMPFS_MAGIC: u64 = 0x0102_1994;
    let shm = Path::new("/dev/shm");
    let kind = u64::try_from(rustix::fs::statfs(shm).unwrap().f_type).unwrap();
    assert_eq!(kind, TMPFS_MAGIC, "this test needs a tmpfs at /dev/shm");
    let disk = rustix::fs::statvfs(shm).unwrap();
    let length = disk.f_blocks * disk.f_frsize + (1 << 20);
    let piece_length = 1 << 28;
    let pieces = usize::try_from(length.div_ceil(piece_length)).unwrap();
    let mut info = format!("d6:lengthi{length}e4:name3:big12:piece lengthi{piece_length}e6:pieces");
    info.push_str(&format!("{}:{}e", pieces * 20, "x".repeat(pieces * 20)));
    let info = std::sync::Arc::new(shoal_metainfo::Info::parse(info.as_bytes()).unwrap());
    let dir = tempfile::tempdir_in(shm).unwrap();
    let storage = Storage::open(dir.path(), info.clone(), Options::default()).unwrap();
    storage.prepare().unwrap();
    let block = info
        .geometry
        .nth_block(info.geometry.piece(0).unwrap(), 0)
        .unwrap();
    for _ in 0..2 {
        let error = storage.write(block, &[1; 1 << 14]).unwrap_err();
        assert!(matches!(error, StorageError::Full(_)), "{error}");
        assert_eq!(error.fault().operation(), Operation::Allocate);
        assert_eq!(error.fault().span(), Some(0..length));
    }
    assert_eq!(storage.usage().windows, 0);
}
