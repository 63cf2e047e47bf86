//! What may stand in the way of the files: each case is told with path and remedy, nothing foreign
//! is harmed, and what can go on does.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use shoal_integration_tests::{Content, TestPeer, TestProcess};
use shoal_peer::{AddError, Event, Failure};
use shoal_storage::{FileStatus, Options, Storage};

const PROGRAM: &str = env!("CARGO_BIN_EXE_test-peer");

fn content() -> Content {
    let content = Content::folder("t").file("a", 300_000);
    content.file("sub/b", 70_000).build()
}

/// Asserts that a leecher in `dir` is refused, or fails at once, with all these words.
fn check_refused(content: &Content, dir: &Path, words: &[&str]) {
    let text = match TestPeer::leecher(content).in_dir(dir).try_start() {
        Err(AddError::Storage(error)) => error.to_string(),
        Err(other) => panic!("{other}"),
        Ok(peer) => peer.wait_for("a failure", |event| match event {
            Event::Failed(Failure::Storage(error)) => Some(error.to_string()),
            _ => None,
        }),
    };
    for word in words {
        assert!(text.contains(word), "`{text}` lacks `{word}`");
    }
}

#[test]
fn folder_in_place_of_a_file_is_told_and_left_alone() {
    let content = content();
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("t/a")).unwrap();
    fs::write(dir.path().join("t/a/mine"), "kept").unwrap();
    check_refused(&content, dir.path(), &["t/a", "move that away"]);
    let kept = fs::read_to_string(dir.path().join("t/a/mine")).unwrap();
    assert_eq!(kept, "kept");
}

#[test]
fn file_in_place_of_a_folder_is_told_and_left_alone() {
    let content = content();
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("t")).unwrap();
    fs::write(dir.path().join("t/sub"), "kept").unwrap();
    check_refused(&content, dir.path(), &["t/sub", "move that away"]);
    let kept = fs::read_to_string(dir.path().join("t/sub")).unwrap();
    assert_eq!(kept, "kept");
}

#[test]
fn link_in_place_of_a_file_or_folder_is_not_followed() {
    let content = content();
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("target");
    fs::write(&target, "kept").unwrap();
    for (place, to) in [("t/a", target.as_path()), ("t/sub", elsewhere.path())] {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("t")).unwrap();
        symlink(to, dir.path().join(place)).unwrap();
        check_refused(&content, dir.path(), &[place, "move that away"]);
    }
    assert_eq!(fs::read_to_string(&target).unwrap(), "kept");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1);
}

#[test]
fn file_that_is_too_long_is_used_and_never_cut() {
    let content = content();
    let dir = tempfile::tempdir().unwrap();
    content.copy_pieces(dir.path(), |piece| piece % 2 == 0);
    let path = dir.path().join("t/a");
    let mut long = fs::read(&path).unwrap();
    long.extend(b"and something of mine behind it");
    fs::write(&path, &long).unwrap();
    let info = Arc::new(content.torrent().info.clone());
    let storage = Storage::open(dir.path(), info, Options::default()).unwrap();
    let found = long.len() as u64;
    assert_eq!(storage.files_report()[0].status, FileStatus::Long { found });
    drop(storage);
    let seeder = TestPeer::seeder(&content).start();
    let leecher = TestPeer::leecher(&content)
        .in_dir(dir.path())
        .knowing([&seeder]);
    let leecher = leecher.start();
    assert!(leecher.wait_checked() >= content.pieces() / 2);
    leecher.wait_complete();
    let _ = leecher.stop();
    let found = fs::read(&path).unwrap();
    assert_eq!(found.len(), long.len(), "it was cut");
    assert!(found[..300_000] == content.bytes()[..300_000]);
    assert!(found[300_000..] == long[300_000..], "its end was touched");
}

#[test]
fn file_that_is_too_short_is_filled_up() {
    let content = content();
    let dir = tempfile::tempdir().unwrap();
    content.copy_pieces(dir.path(), |_| true);
    let path = dir.path().join("t/a");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..100_000]).unwrap();
    let seeder = TestPeer::seeder(&content).start();
    let leecher = TestPeer::leecher(&content)
        .in_dir(dir.path())
        .knowing([&seeder]);
    let leecher = leecher.start();
    // Six whole pieces of `a`, and those of `sub/b` that do not begin in `a`.
    assert_eq!(leecher.wait_checked(), 6 + 4);
    leecher.wait_complete();
    content.assert_identical(dir.path());
}

/// Where this machine cannot provoke the fault; in CI that is a failure.
fn not_tested(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "{why}");
    eprintln!("not tested here: {why}");
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Whether this user may write everywhere: then modes forbid nothing and there is nothing to see.
/// The same cases run as another user through `setpriv` where that is here.
fn is_root(dir: &Path) -> bool {
    mode(dir, 0o555);
    let wrote = fs::write(dir.join("probe"), "").is_ok();
    mode(dir, 0o755);
    let _ = fs::remove_file(dir.join("probe"));
    wrote
}

#[test]
fn folder_that_cannot_be_written_is_told_and_whole_content_in_it_is_seeded() {
    let content = content();
    let empty = tempfile::tempdir().unwrap();
    if is_root(empty.path()) {
        return as_another_user(&content);
    }
    mode(empty.path(), 0o555);
    check_refused(
        &content,
        empty.path(),
        &["permission denied", "another folder"],
    );
    mode(empty.path(), 0o755);

    let full = tempfile::tempdir().unwrap();
    content.copy_pieces(full.path(), |_| true);
    let places = ["t/a", "t/sub/b", "t/sub", "t", ""];
    places
        .iter()
        .for_each(|place| mode(&full.path().join(place), 0o555));
    let seeder = TestPeer::seeder(&content).in_dir(full.path()).start();
    let leecher = TestPeer::leecher(&content).knowing([&seeder]).start();
    leecher.wait_complete();
    content.assert_identical(leecher.dir());
    drop(seeder);
    places
        .iter()
        .for_each(|place| mode(&full.path().join(place), 0o755));
}

/// Root can become somebody else, whom modes do bind.
fn as_another_user(content: &Content) {
    let nobody = || {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        command.arg(PROGRAM);
        command
    };
    // It says what is wrong with its arguments, if it can be run at all.
    let runs = nobody().output().is_ok_and(|output| {
        let text = String::from_utf8_lossy(&output.stderr);
        text.contains("no torrent given")
    });
    if !runs {
        return not_tested("no `setpriv`, or nobody may not run the program");
    }
    let as_nobody = |dir: &Path| {
        let mut command = nobody();
        command.arg(content.torrent_file()).arg(dir);
        command
    };
    let home = tempfile::tempdir().unwrap();
    mode(home.path(), 0o755);
    mode(content.dir(), 0o755);
    let refused = TestProcess::spawn(as_nobody(home.path()));
    let text = refused.wait_for("failed:");
    assert!(text.contains("permission denied"), "{text}");
    assert!(text.contains("another folder"), "{text}");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);

    let seeder = TestProcess::spawn(as_nobody(content.dir()));
    let _ = seeder.wait_for("complete");
    let leecher = TestPeer::leecher(content);
    let leecher = leecher.dialling([seeder.address()]).start();
    leecher.wait_complete();
    content.assert_identical(leecher.dir());
}

#[test]
fn room_that_is_used_up_is_told_and_nothing_is_lost() {
    let content = content();
    let seeder = TestPeer::seeder(&content).start();
    let dir = tempfile::tempdir().unwrap();
    let peer = seeder.address().to_string();
    let limited = ["--file-size-max", "150000", &peer];
    let torrent = content.torrent_file();
    let limited = TestProcess::start(PROGRAM, &torrent, dir.path(), &limited);
    let text = limited.wait_for("disk failed:");
    assert!(text.contains("t/a"), "{text}");
    assert!(text.contains("use another folder"), "{text}");
    assert!(!limited.lines().contains(&"complete".to_owned()));
    drop(limited);
    // With room it goes on.
    let again = TestPeer::leecher(&content)
        .in_dir(dir.path())
        .knowing([&seeder]);
    let again = again.start();
    again.wait_complete();
    content.assert_identical(dir.path());
}

/// A file system of a few MiB, where the system lets us have one without asking anybody.
#[test]
fn full_disk_is_told_and_the_download_goes_on_when_there_is_room() {
    let content = Content::single(2 << 20);
    let seeder = TestPeer::seeder(&content).start();
    let dir = tempfile::tempdir().unwrap();
    // The shell reads the lines too, and makes room when the first failure is told.
    let script = "mount -t tmpfs -o size=4m shoal \"$1\" && \
                  head -c 3000000 /dev/zero > \"$1/ballast\" && \
                  \"$0\" \"$2\" \"$1\" \"$3\" | \
                  while read -r line; do echo \"$line\"; case \"$line\" in \
                  'disk failed'*) rm -f \"$1/ballast\";; esac; done";
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", script, PROGRAM]);
    command.arg(dir.path()).arg(content.torrent_file());
    command.arg(seeder.address().to_string());
    let mut probe = Command::new("unshare");
    probe.args(["--map-root-user", "--mount", "sh", "-c"]);
    probe.arg("mount -t tmpfs shoal \"$0\"").arg(dir.path());
    if !probe.output().is_ok_and(|output| output.status.success()) {
        return not_tested("no mounts without asking on this machine");
    }
    let process = TestProcess::spawn(command);
    let text = process.wait_for("disk failed:");
    assert!(text.contains("the disk or the quota is full"), "{text}");
    assert!(text.contains("free some space"), "{text}");
    let _ = process.wait_for("disk recovered");
    let _ = process.wait_for("complete");
}
