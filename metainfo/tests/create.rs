//! Making torrents of real files, and reading what was made.
#![forbid(unsafe_code)]
#![expect(
    clippy::cast_possible_truncation,
    reason = "content is made of the low bytes of numbers"
)]

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use proptest::prelude::*;
use shoal_hashing::sha1;
use shoal_metainfo::create::{CreateError, Draft, Hashes, Plan, ScanOptions, SkipReason};
use shoal_metainfo::{Geometry, Magnet, Torrent};
use tempfile::TempDir;

const VISIBLE: ScanOptions = ScanOptions {
    include_hidden: false,
};

fn content(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|i| ((i + seed) * 31 / 7) as u8).collect()
}

/// A folder `album` in a temporary one, with these files.
fn album(files: &[(&str, usize)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (seed, (name, length)) in files.iter().enumerate() {
        let path = folder.path().join("album").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content(*length, seed)).unwrap();
    }
    folder
}

fn scan(folder: &TempDir) -> Result<Plan, CreateError> {
    Plan::scan(&folder.path().join("album"), VISIBLE)
}

fn hash(plan: &Plan, piece_length: u32, threads: usize) -> Result<Hashes, CreateError> {
    plan.hash(piece_length, threads, &|_| {}, &AtomicBool::new(false))
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.files().iter().map(|file| file.path.as_str()).collect()
}

fn check_error(result: Result<Plan, CreateError>, parts: &[&str]) {
    let message = result.expect_err("no torrent of this").to_string();
    for part in parts {
        assert!(message.contains(part), "`{message}` lacks `{part}`");
    }
}

#[test]
fn made_torrent_reads_back_with_all_it_was_given() {
    let folder = album(&[("b.bin", 70_000), ("a/z", 1), ("a-b", 40_000), ("empty", 0)]);
    let plan = scan(&folder).unwrap();
    let hashes = hash(&plan, 1 << 15, 2).unwrap();
    let draft = Draft {
        tiers: vec![
            vec!["http://a/".into(), "http://b/".into()],
            vec!["udp://c:1".into()],
        ],
        private: true,
        comment: Some("a comment".into()),
        source: Some("a source".into()),
        web_seeds: vec!["http://w/1".into(), "http://w/2".into()],
        created_by: Some("shoal 0".into()),
        creation_date: Some(1_700_000_000),
    };
    let bytes = draft.encode(&plan, &hashes);
    let torrent = Torrent::parse(&bytes).unwrap();
    assert!(shoal_bencode::parse(&bytes, shoal_bencode::Options::strict()).is_ok());
    assert_eq!(torrent.tiers, draft.tiers);
    assert_eq!(torrent.web_seeds, draft.web_seeds);
    assert_eq!(torrent.comment, draft.comment);
    assert_eq!(torrent.created_by, draft.created_by);
    assert_eq!(torrent.creation_date, draft.creation_date);
    assert_eq!(torrent.info.source, draft.source);
    assert!(torrent.info.private && torrent.info.multi_file);
    assert_eq!(torrent.info.name, "album");
    assert_eq!(
        torrent.info.geometry,
        Geometry::new(110_001, 1 << 15).unwrap()
    );
    assert_eq!(torrent.info.piece_hashes(), hashes.pieces());
    let files: Vec<_> = torrent
        .info
        .files
        .iter()
        .map(|f| (f.path.as_str(), f.length))
        .collect();
    assert_eq!(
        files,
        [
            ("album/a/z", 1),
            ("album/a-b", 40_000),
            ("album/b.bin", 70_000),
            ("album/empty", 0)
        ]
    );
    assert_eq!(torrent.info_hash.0, sha1(torrent.info_bytes()));
    assert_eq!(
        draft.encode(&scan(&folder).unwrap(), &hash(&plan, 1 << 15, 1).unwrap()),
        bytes
    );
    let magnet = Magnet::from_torrent(&torrent);
    assert_eq!(magnet.to_string().parse(), Ok(magnet));
}

#[test]
fn single_file_and_single_tracker_take_the_plain_keys() {
    let folder = album(&[("one.bin", 5)]);
    let plan = Plan::scan(&folder.path().join("album/one.bin"), VISIBLE).unwrap();
    let hashes = hash(&plan, 1 << 14, 1).unwrap();
    let draft = Draft {
        web_seeds: vec!["http://w/".into()],
        ..Draft::with_trackers(["http://t/".to_owned()])
    };
    let digest = sha1(&content(5, 0));
    let expected = [
        &b"d8:announce9:http://t/4:infod6:lengthi5e4:name7:one.bin"[..],
        b"12:piece lengthi16384e6:pieces20:",
        &digest,
        b"e8:url-list9:http://w/e",
    ];
    assert_eq!(
        draft.encode(&plan, &hashes).escape_ascii().to_string(),
        expected.concat().escape_ascii().to_string()
    );
    let none = Draft::default().encode(&plan, &hashes);
    assert!(none.starts_with(b"d4:info"));
    let torrent = Torrent::parse(&none).unwrap();
    assert!(!torrent.info.multi_file && torrent.tiers.is_empty());
}

#[test]
fn hashes_do_not_depend_on_threads_or_file_borders() {
    let files: Vec<(String, usize)> = (0..120)
        .map(|i| (format!("{i:03}"), i * i % 9000))
        .collect();
    let files: Vec<(&str, usize)> = files.iter().map(|(n, l)| (n.as_str(), *l)).collect();
    let folder = album(&files);
    let all: Vec<u8> = files
        .iter()
        .enumerate()
        .flat_map(|(i, (_, l))| content(*l, i))
        .collect();
    let plan = scan(&folder).unwrap();
    for piece_length in [1000, 16_384, 65_536, 1 << 20, (1 << 24) + 1] {
        let expected: Vec<_> = all.chunks(piece_length as usize).map(sha1).collect();
        for threads in [0, 1, 2, 7, 1_000_000] {
            let hashes = hash(&plan, piece_length, threads).unwrap();
            assert_eq!(hashes.pieces(), expected, "{piece_length} on {threads}");
        }
    }
}

#[test]
fn long_pieces_are_hashed_in_chunks() {
    let folder = album(&[("a", 3_000_000), ("b", 2_500_000)]);
    let plan = scan(&folder).unwrap();
    let all = [content(3_000_000, 0), content(2_500_000, 1)].concat();
    for piece_length in [4_000_000, 5_000_000, 1 << 24] {
        let expected: Vec<_> = all.chunks(piece_length as usize).map(sha1).collect();
        assert_eq!(hash(&plan, piece_length, 1).unwrap().pieces(), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn hashes_are_those_of_the_bytes_whatever_the_layout(
        lengths in prop::collection::vec(
            prop_oneof![4 => 0..3000usize, 2 => 0..300_000usize, 1 => 0..3_000_000usize],
            1..30,
        ),
        piece_length in prop_oneof![
            (14..23u32).prop_map(|exponent| 1 << exponent),
            1000..3_000_000u32,
        ],
        threads in 1..5usize,
    ) {
        let names: Vec<String> = (0..lengths.len()).map(|i| format!("{i:03}")).collect();
        let files: Vec<_> = names.iter().map(String::as_str).zip(lengths).collect();
        let all: Vec<u8> = files.iter().zip(0..).flat_map(|((_, l), i)| content(*l, i)).collect();
        prop_assume!(!all.is_empty());
        let folder = album(&files);
        let hashes = hash(&scan(&folder).unwrap(), piece_length, threads).unwrap();
        let expected: Vec<_> = all.chunks(piece_length as usize).map(sha1).collect();
        prop_assert_eq!(hashes.pieces(), expected);
    }
}

#[test]
fn progress_grows_to_the_total() {
    let folder = album(&[("a", 1_000_000), ("b", 234_567)]);
    let plan = scan(&folder).unwrap();
    let (greatest, calls) = (AtomicU64::new(0), AtomicU64::new(0));
    let progress = |bytes| {
        greatest.fetch_max(bytes, Ordering::Relaxed);
        calls.fetch_add(1, Ordering::Relaxed);
    };
    plan.hash(1 << 14, 2, &progress, &AtomicBool::new(false))
        .unwrap();
    assert_eq!(greatest.into_inner(), plan.total());
    assert!(calls.into_inner() >= 4);
}

#[test]
fn raised_flag_ends_the_work() {
    let folder = album(&[("a", 4_000_000)]);
    let plan = scan(&folder).unwrap();
    for piece_length in [1 << 14, 1 << 22] {
        let cancel = AtomicBool::new(false);
        let result = plan.hash(
            piece_length,
            1,
            &|_| cancel.store(true, Ordering::Relaxed),
            &cancel,
        );
        assert!(matches!(result, Err(CreateError::Cancelled)));
    }
    let result = plan.hash(1 << 14, 2, &|_| {}, &AtomicBool::new(true));
    assert!(matches!(result, Err(CreateError::Cancelled)));
}

/// Does something to `album` between scan and hashing, then during hashing, and wants the error.
fn check_change(change: impl Fn(&Path) + Sync, name: &str) {
    let files = [("first", 600_000), ("second", 600_000), ("third", 0)];
    for during in [false, true] {
        let folder = album(&files);
        let album = folder.path().join("album");
        let plan = scan(&folder).unwrap();
        let once = AtomicBool::new(during);
        if !during {
            change(&album);
        }
        let progress = |_| {
            if once.swap(false, Ordering::Relaxed) {
                change(&album);
            }
        };
        match plan.hash(1 << 14, 1, &progress, &AtomicBool::new(false)) {
            Err(CreateError::Changed(path)) => assert_eq!(path, album.join(name)),
            other => panic!("during {during}: {other:?}"),
        }
        assert!(!once.into_inner(), "the change was made");
    }
}

#[test]
fn file_that_changes_is_named() {
    let rewrite = |name: &'static str, length: usize| {
        move |album: &Path| {
            fs::write(album.join(name), content(length, 9)).unwrap();
            // Not left to the grain of the clock.
            let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
            let file = fs::File::options()
                .append(true)
                .open(album.join(name))
                .unwrap();
            file.set_modified(later).unwrap();
        }
    };
    check_change(rewrite("first", 600_000), "first");
    check_change(rewrite("second", 600_000), "second");
    check_change(rewrite("second", 600_001), "second");
    check_change(rewrite("second", 10), "second");
    check_change(rewrite("first", 599_999), "first");
    check_change(rewrite("third", 1), "third");
    for name in ["first", "second", "third"] {
        check_change(|album| fs::remove_file(album.join(name)).unwrap(), name);
    }
}

#[test]
fn order_is_by_components() {
    let folder = album(&[
        ("b", 1),
        ("a b", 1),
        ("a/c", 1),
        ("a/B", 1),
        ("B2", 1),
        ("a-b/x", 1),
    ]);
    let plan = scan(&folder).unwrap();
    let expected = [
        "album/B2",
        "album/a/B",
        "album/a/c",
        "album/a b",
        "album/a-b/x",
        "album/b",
    ];
    assert_eq!(names(&plan), expected);
    assert_eq!((plan.name(), plan.total()), ("album", 6));
    assert!(plan.skipped().is_empty());
}

#[test]
fn hidden_names_are_left_out_unless_asked_for() {
    let folder = album(&[("a", 1), (".b", 1), (".c/d", 1), ("e/.f", 1)]);
    let plan = scan(&folder).unwrap();
    assert_eq!(names(&plan), ["album/a"]);
    let skipped: Vec<_> = plan
        .skipped()
        .iter()
        .map(|s| (s.path.as_path(), s.reason))
        .collect();
    let path = |name| folder.path().join("album").join(name);
    let hidden = [path(".b"), path(".c"), path("e/.f")];
    assert_eq!(
        skipped,
        hidden.each_ref().map(|p| (p.as_path(), SkipReason::Hidden))
    );
    let options = ScanOptions {
        include_hidden: true,
    };
    let plan = Plan::scan(&folder.path().join("album"), options).unwrap();
    assert_eq!(
        names(&plan),
        ["album/.b", "album/.c/d", "album/a", "album/e/.f"]
    );
    // A hidden name that was chosen itself is not left out.
    assert!(Plan::scan(&path(".c"), VISIBLE).is_ok());
}

#[test]
fn collisions_and_unsafe_names_are_errors_that_name_them() {
    let check = |files: &[(&str, usize)], parts: &[&str]| check_error(scan(&album(files)), parts);
    if cfg!(target_os = "linux") {
        check(
            &[("Read", 1), ("read", 1)],
            &["album/Read", "album/read", "rename"],
        );
        check(&[("d/x", 1), ("D", 1)], &["album/D", "album/d/x", "rename"]);
        check(&[("d/a\x1bb", 1)], &["album/d/a", "album/d/a_b", "rename"]);
        check(&[("a\\b", 1)], &["album/a\\b", "separator", "rename"]);
        // Names that only Windows reserves are as good as any here.
        assert!(scan(&album(&[("aux.c", 1), ("What?", 1), ("a./b", 1)])).is_ok());
        let many: Vec<String> = (0..502)
            .flat_map(|i| [format!("x{i}"), format!("X{i}")])
            .collect();
        let many: Vec<(&str, usize)> = many.iter().map(|name| (name.as_str(), 1)).collect();
        check(&many, &["500", "rename"]);
    }
}

#[test]
fn nothing_to_share_is_an_error() {
    check_error(scan(&album(&[("a", 0), ("b", 0)])), &["album", "no bytes"]);
    check_error(scan(&album(&[(".a", 5)])), &["album", "no bytes"]);
    let folder = tempfile::tempdir().unwrap();
    check_error(
        Plan::scan(&folder.path().join("gone"), VISIBLE),
        &["gone", "cannot read", "check"],
    );
    check_error(
        Plan::scan(Path::new("/"), VISIBLE),
        &["/", "no name", "choose"],
    );
}

#[test]
fn impossible_piece_lengths_are_refused() {
    let plan = scan(&album(&[("a", 3_000_000)])).unwrap();
    for (piece_length, part) in [
        (0, "piece length 0"),
        (1, "3000000 pieces"),
        (u32::MAX, "4294967295"),
    ] {
        let message = hash(&plan, piece_length, 1).unwrap_err().to_string();
        assert!(
            message.contains(part) && message.contains("choose another"),
            "{message}"
        );
    }
}

#[cfg(unix)]
mod unix {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::os::unix::net::UnixListener;
    use std::os::unix::process::CommandExt as _;
    use std::process::Command;

    use super::*;

    /// Descriptors, mappings of files and threads are those of the whole process: a process of its
    /// own counts them.
    #[test]
    #[cfg(target_os = "linux")]
    fn thousands_of_files_need_few_descriptors_mappings_and_threads() {
        const ALONE: &str = "SHOAL_TEST_ALONE";
        if std::env::var_os(ALONE).is_none() {
            let test = "unix::thousands_of_files_need_few_descriptors_mappings_and_threads";
            let mut command = Command::new(std::env::current_exe().unwrap());
            let output = command
                .args(["--exact", test])
                .env(ALONE, "1")
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(said.contains("1 passed"), "{said}");
            return;
        }
        let names: Vec<String> = (0..3000).map(|i| format!("{}/{i:04}", i / 100)).collect();
        let files: Vec<_> = names.iter().map(|name| (name.as_str(), 1234)).collect();
        let folder = album(&files);
        let plan = scan(&folder).unwrap();
        let count = |of: &str| fs::read_dir(format!("/proc/self/{of}")).unwrap().count();
        let now = || [count("fd"), count("map_files"), count("task")];
        let before = now();
        let most = [const { AtomicU64::new(0) }; 3];
        let progress = |_| {
            for (most, now) in most.iter().zip(now()) {
                most.fetch_max(now as u64, Ordering::Relaxed);
            }
        };
        plan.hash(1 << 14, 4, &progress, &AtomicBool::new(false))
            .unwrap();
        // Each of four threads reads one file, looks ahead in another, and counts in a folder.
        // No file is mapped.
        let more = [12, 0, 4];
        for ((most, before), more) in most.iter().zip(before).zip(more) {
            let most = most.load(Ordering::Relaxed);
            let bound = before as u64 + more;
            assert!((1..=bound).contains(&most), "{most}, {before} before");
        }
    }

    #[test]
    fn links_and_special_files_are_left_out_and_reported() {
        let folder = album(&[("a", 1), ("d/b", 1)]);
        let path = |name| folder.path().join("album").join(name);
        symlink(path("a"), path("link")).unwrap();
        symlink(path("d"), path("d/loop")).unwrap();
        symlink("/nowhere", path("z")).unwrap();
        let _socket = UnixListener::bind(path("s")).unwrap();
        let plan = scan(&folder).unwrap();
        assert_eq!(names(&plan), ["album/a", "album/d/b"]);
        let skipped: Vec<_> = plan
            .skipped()
            .iter()
            .map(|s| (s.path.clone(), s.reason))
            .collect();
        let expected = [
            (path("d/loop"), SkipReason::Symlink),
            (path("link"), SkipReason::Symlink),
            (path("s"), SkipReason::Special),
            (path("z"), SkipReason::Symlink),
        ];
        assert_eq!(skipped, expected);
        check_error(
            Plan::scan(&path("s"), VISIBLE),
            &["album/s", "neither a file nor a folder"],
        );
    }

    /// Root reads everything: runs the test once more as somebody who does not.
    fn again_as_nobody(test: &str) {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let copy = folder.path().join("test");
        fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
        let mut command = Command::new(copy);
        command.args(["--exact", test]).env("TMPDIR", folder.path());
        let output = command.uid(65_534).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("1 passed"), "{said}");
    }

    #[test]
    fn path_itself_may_be_a_link() {
        let folder = album(&[("a", 7)]);
        let link = folder.path().join("link");
        symlink(folder.path().join("album"), &link).unwrap();
        let plan = Plan::scan(&link, VISIBLE).unwrap();
        assert_eq!((plan.name(), names(&plan)), ("link", vec!["link/a"]));
        assert_eq!(
            hash(&plan, 1 << 14, 1).unwrap().pieces(),
            [sha1(&content(7, 0))]
        );
        let dots = Plan::scan(&folder.path().join("album/../album/."), VISIBLE).unwrap();
        assert_eq!(dots.name(), "album");
        let parent = Plan::scan(
            &folder.path().join("album/.."),
            ScanOptions {
                include_hidden: true,
            },
        );
        // Its name is that of the temporary folder, whatever it is.
        assert_eq!(parent.unwrap().files().len(), 1);
    }

    #[test]
    fn names_that_are_not_utf8_are_named() {
        let folder = album(&[("a", 1)]);
        let name = OsStr::from_bytes(b"caf\xe9");
        // Some file systems refuse the name themselves.
        if fs::write(folder.path().join("album").join(name), "x").is_ok() {
            check_error(scan(&folder), &["album/caf", "UTF-8", "rename"]);
        }
    }

    #[test]
    fn unreadable_files_and_folders_are_named() {
        let folder = album(&[("a", 1), ("d/b", 1)]);
        let set = |name: &str, mode| {
            let path = folder.path().join("album").join(name);
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        set("a", 0o000);
        if fs::File::open(folder.path().join("album/a")).is_ok() {
            return again_as_nobody("unix::unreadable_files_and_folders_are_named");
        }
        check_error(scan(&folder), &["album/a", "cannot read", "permissions"]);
        set("a", 0o644);
        set("d", 0o000);
        check_error(scan(&folder), &["album/d", "cannot read", "permissions"]);
        set("d", 0o755);
        assert!(scan(&folder).is_ok());
    }
}
