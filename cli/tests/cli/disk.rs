//! `shoal client` on a disk that is full, and on one that cannot be written.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::support::{Folder, Running, free_port};

/// A line in the log of a run that could not show what it is for; a failure where that must be.
fn not_tested(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "not tested: {why}");
    eprintln!("not tested: {why}");
}

fn may_mount(at: &Path) -> bool {
    let mut probe = Command::new("unshare");
    probe.args(["--map-root-user", "--mount", "sh", "-c"]);
    probe.arg("mount -t tmpfs shoal \"$0\"").arg(at);
    probe.output().is_ok_and(|output| output.status.success())
}

/// On a file system of a few MiB, where the system lets us have one without asking anybody.
#[test]
fn full_disk_is_told_once_and_the_download_goes_on_when_there_is_room() {
    let folder = Folder::new();
    folder.torrent("a", 2 << 20);
    let small = folder.join("small");
    fs::create_dir(&small).unwrap();
    if !may_mount(&small) {
        return not_tested("no mounts without asking on this machine");
    }
    // The shell alone sees the mount, and makes room in it when a file says so.
    let script = "mount -t tmpfs -o size=3m shoal small
                  head -c 2500000 /dev/zero > small/ballast
                  (until [ -e room ]; do sleep 0.05; done; rm small/ballast) &
                  exec \"$@\"";
    let port = free_port().to_string();
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-ec", script, "sh"]);
    command.arg(env!("CARGO_BIN_EXE_shoal"));
    command.args([
        "client",
        "a.torrent",
        &port,
        "--no-tracker",
        "--dir",
        "small",
    ]);
    command.args(["--exit-when-complete", "--no-dht", "--no-lsd", "--json"]);
    command.current_dir(folder.path());
    let mut leecher = Running::spawn(command, "client");
    leecher.wait("checked");
    let peer = format!("127.0.0.1:{port}");
    let _seeder = folder.start([
        "client",
        "a.torrent",
        "0",
        "--no-tracker",
        "--json",
        "--peer",
        &peer,
    ]);
    let warning = leecher.wait("warning");
    let message = warning["message"].as_str().unwrap();
    for words in [
        "small/a",
        "the disk or the quota is full",
        "goes on by itself",
    ] {
        assert!(message.contains(words), "{message}");
    }
    fs::write(folder.join("room"), "").unwrap();
    let (code, events, stderr) = leecher.end();
    assert_eq!(code, Some(0), "{stderr}");
    let warnings: Vec<_> = events
        .iter()
        .filter(|event| event["event"] == "warning")
        .collect();
    assert_eq!(warnings.len(), 1, "the disk works again: {warnings:?}");
    assert!(events.iter().any(|event| event["event"] == "complete"));
}

#[test]
fn folder_that_cannot_be_written_is_named_with_what_to_do() {
    let folder = Folder::new();
    folder.torrent("a", 10);
    let closed = folder.join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o555)).unwrap();
    let line = [
        "client",
        "a.torrent",
        "0",
        "--no-tracker",
        "--no-dht",
        "--no-lsd",
        "--dir",
        "closed",
    ];
    let is_root = fs::write(closed.join("probe"), "").is_ok();
    let output = if is_root {
        // Root can become somebody else, whom modes do bind.
        fs::remove_file(closed.join("probe")).unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let nobody = |line: &[&str]| {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
            command.arg(env!("CARGO_BIN_EXE_shoal")).args(line);
            command.current_dir(folder.path()).output()
        };
        if !nobody(&["--version"]).is_ok_and(|output| output.status.success()) {
            return not_tested("no `setpriv`, or nobody may not run the program");
        }
        nobody(&line).unwrap()
    } else {
        folder.command(line).output().unwrap()
    };
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    for words in ["closed", "permission denied", "another folder"] {
        assert!(said.contains(words), "{said}");
    }
    assert_eq!(fs::read_dir(&closed).unwrap().count(), 0);
    fs::set_permissions(&closed, Permissions::from_mode(0o755)).unwrap();
}
