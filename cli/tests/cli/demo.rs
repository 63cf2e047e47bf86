//! `shoal demo`: a whole swarm of processes, and that nothing of it stays.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::Folder;

#[test]
fn all_copies_are_identical_and_nothing_stays() {
    let folder = Folder::new();
    let said = folder.done(["demo", "--size", "1MB", "--peers", "2"]);
    for words in [
        "1 seeder",
        "all copies are identical",
        "to 2 downloaders",
        "/s",
    ] {
        assert!(said.contains(words), "{words} is not in {said}");
    }
    assert!(folder.names().is_empty(), "{:?}", folder.names());
    assert_eq!(processes_with(&folder), 0);
}

#[test]
fn size_that_does_not_fit_is_refused_before_anything_is_written() {
    let folder = Folder::new();
    let ended = folder.run(["demo", "--size", "1000000TB"]);
    ended.failed(1, &["needed", "free", "--size"]);
    assert!(folder.names().is_empty(), "{:?}", folder.names());
}

#[test]
fn folder_is_kept_when_asked_for() {
    let folder = Folder::new();
    let said = folder.done(["demo", "--size", "100kB", "--peers", "1", "--keep"]);
    let kept = folder.names().pop_first().unwrap();
    assert!(said.contains(&kept), "{said}");
    let copy = |client: &str| fs::read(folder.join(&kept).join(client).join("demo.bin")).unwrap();
    assert_eq!(copy("seeder").len(), 100_000);
    assert_eq!(copy("seeder"), copy("client-1"));
}

#[test]
fn interrupt_ends_the_children_and_cleans_up() {
    for signals in [&[Signal::INT][..], &[Signal::INT, Signal::TERM]] {
        let folder = Folder::new();
        let mut demo = std::process::Command::new(env!("CARGO_BIN_EXE_shoal"))
            .args(["demo", "--size", "100MB", "--peers", "3"])
            .current_dir(folder.path())
            .env("TMPDIR", folder.path())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        while processes_with(&folder) < 2 {
            assert_eq!(demo.try_wait().unwrap(), None, "it ended too early");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        for &signal in signals {
            kill_process(Pid::from_child(&demo), signal).unwrap();
        }
        assert_eq!(demo.wait().unwrap().code(), Some(130));
        assert!(folder.names().is_empty(), "{:?}", folder.names());
        while processes_with(&folder) > 0 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

/// How many processes work in that folder or name it on their command line.
fn processes_with(folder: &Folder) -> usize {
    let path = folder.path().to_str().unwrap();
    let is_ours = |process: &fs::DirEntry| {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let at = fs::read_link(process.path().join("cwd")).unwrap_or_default();
        at.starts_with(path) || String::from_utf8_lossy(&line).contains(path)
    };
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(is_ours)
        .count()
}
