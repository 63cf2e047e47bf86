//! `shoal create`: the torrent, what it refuses, and that it leaves nothing half done.

use std::fs::{self, File};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Folder, TRACKER, closed_pipe};

fn shown(folder: &Folder, torrent: &str) -> Value {
    serde_json::from_str(&folder.done(["show", torrent, "--json"])).unwrap()
}

#[test]
fn file_becomes_a_torrent_that_tells_the_same() {
    let folder = Folder::new();
    folder.file("film.bin", 100_000);
    let said = folder.done(["create", "film.bin", TRACKER]);
    let shown = shown(&folder, "film.bin.torrent");
    let info_hash = shown["info_hash"].as_str().unwrap();
    for words in [info_hash, "100000 bytes", "7 of 16 KiB", "film.bin.torrent"] {
        assert!(said.contains(words), "{words} is not in {said}");
    }
    assert_eq!(shown["size"], 100_000);
    assert_eq!(shown["trackers"], serde_json::json!([[TRACKER]]));
    assert_eq!(folder.names().len(), 2);
}

#[test]
fn every_option_is_in_the_torrent() {
    let folder = Folder::new();
    folder.file("a", 40_000);
    let line = "create a http://one/a udp://two:2 -o b.torrent --piece-length 32KiB --private \
                --comment remark --source place --web-seed http://seed/a --no-date --json";
    let ended = folder.run(line.split_whitespace());
    let events = ended.events("create");
    assert_eq!(events[0]["event"], "started");
    let complete = events.last().unwrap();
    assert_eq!(complete["path"], "b.torrent");
    let shown = shown(&folder, "b.torrent");
    assert_eq!(shown["info_hash"], complete["info_hash"]);
    assert_eq!(
        shown["trackers"],
        serde_json::json!([["http://one/a"], ["udp://two:2"]])
    );
    assert_eq!(shown["piece_length"], 32_768);
    assert_eq!(shown["private"], true);
    assert_eq!(shown["comment"], "remark");
    assert_eq!(shown["source"], "place");
    assert_eq!(shown["web_seeds"], serde_json::json!(["http://seed/a"]));
    assert_eq!(shown["creation_date"], Value::Null);
}

#[test]
fn folder_is_sorted_and_says_what_is_left_out() {
    let folder = Folder::new();
    for name in ["d/b", "d/a/z", "d/.hidden"] {
        folder.file(name, 1000);
    }
    std::os::unix::fs::symlink("b", folder.join("d/link")).unwrap();
    let ended = folder.run(["create", "d", TRACKER]);
    assert!(
        ended.stderr.contains("d/.hidden") && ended.stderr.contains("d/link"),
        "{ended:?}"
    );
    let paths = |torrent| {
        let shown = shown(&folder, torrent);
        let files = shown["files"].as_array().unwrap().clone();
        files
            .iter()
            .map(|file| file["path"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(paths("d.torrent"), ["d/a/z", "d/b"]);
    let line = [
        "create",
        "d",
        TRACKER,
        "--include-hidden",
        "-o",
        "all.torrent",
        "--json",
    ];
    let ended = folder.run(line);
    let complete = ended.events("create").pop().unwrap();
    assert_eq!(
        complete["skipped"],
        serde_json::json!([{"path": "d/link", "reason": "symlink"}])
    );
    assert_eq!(paths("all.torrent"), ["d/.hidden", "d/a/z", "d/b"]);
}

#[test]
fn current_folder_has_a_name_too() {
    let folder = Folder::new();
    folder.file("a", 10);
    folder.done(["create", ".", TRACKER, "-o", "here.torrent"]);
    let name = folder
        .path()
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    // A temporary folder may be hidden itself; its own name is not looked at.
    assert_eq!(shown(&folder, "here.torrent")["name"], Value::String(name));
}

#[test]
fn nothing_is_overwritten_without_force() {
    let folder = Folder::new();
    folder.file("a", 10);
    fs::write(folder.join("a.torrent"), "mine").unwrap();
    folder
        .run(["create", "a", TRACKER])
        .failed(1, &["a.torrent", "--force"]);
    assert_eq!(fs::read(folder.join("a.torrent")).unwrap(), b"mine");
    folder.done(["create", "a", TRACKER, "--force"]);
    assert_eq!(shown(&folder, "a.torrent")["size"], 10);
    assert_eq!(folder.names().len(), 2, "{:?}", folder.names());
}

#[test]
fn content_is_never_replaced_by_its_torrent() {
    let folder = Folder::new();
    let bytes = folder.file("a", 10);
    fs::create_dir(folder.join("album")).unwrap();
    let song = folder.file("album/song", 20);
    for (content, output) in [("a", "a"), ("a", "./album/../a"), ("album", "album/song")] {
        let ended = folder.run(["create", content, TRACKER, "-o", output, "--force"]);
        ended.failed(1, &[output, "part of the content", "-o FILE"]);
    }
    assert_eq!(fs::read(folder.join("a")).unwrap(), bytes);
    assert_eq!(fs::read(folder.join("album/song")).unwrap(), song);
    folder.done(["create", "album", TRACKER, "-o", "album/new"]);
}

#[test]
fn same_content_gives_the_same_bytes_without_a_date() {
    let folder = Folder::new();
    folder.file("a", 100_000);
    folder.done(["create", "a", TRACKER, "--no-date", "-o", "1"]);
    folder.done(["create", "a", TRACKER, "--no-date", "-o", "2"]);
    assert_eq!(
        fs::read(folder.join("1")).unwrap(),
        fs::read(folder.join("2")).unwrap()
    );
}

#[test]
fn url_that_is_given_twice_is_written_once_and_told() {
    let folder = Folder::new();
    folder.file("a", 10);
    let other = "http://127.0.0.1:8/announce";
    let line = ["create", "a", TRACKER, other, TRACKER];
    let seeds = [
        "--web-seed",
        "http://w.example/",
        "--web-seed",
        "http://w.example/",
    ];
    let ended = folder.run(line.iter().chain(&seeds));
    ended.failed(
        0,
        &[
            &format!("{TRACKER} is given twice"),
            "http://w.example/ is given twice",
        ],
    );
    let bytes = fs::read(folder.join("a.torrent")).unwrap();
    let written = String::from_utf8_lossy(&bytes)
        .matches("http://w.example/")
        .count();
    assert_eq!(written, 1);
    let shown = shown(&folder, "a.torrent");
    assert_eq!(shown["trackers"], serde_json::json!([[TRACKER], [other]]));
}

#[test]
fn what_cannot_be_shared_is_named() {
    let folder = Folder::new();
    folder.file("a", 10);
    fs::create_dir(folder.join("empty")).unwrap();
    fs::create_dir(folder.join("taken")).unwrap();
    folder
        .run(["create", "nothing", TRACKER])
        .failed(1, &["nothing"]);
    folder
        .run(["create", "empty", TRACKER])
        .failed(1, &["empty", "no bytes"]);
    folder
        .run(["create", "a", TRACKER, "-o", "taken"])
        .failed(1, &["taken", "folder", "-o"]);
    folder
        .run(["create", "a", TRACKER, "-o", "no/where"])
        .failed(1, &["no is not there", "make that folder", "-o FILE"]);
    folder
        .run(["create", "a", TRACKER, "-f", "-o", "/dev/null"])
        .failed(1, &["/dev/null"]);
    assert_eq!(folder.names().len(), 3, "{:?}", folder.names());
}

#[test]
fn failure_is_an_event_too() {
    let folder = Folder::new();
    let ended = folder.run(["create", "nothing", TRACKER, "--json"]);
    let error = ended.events("create").pop().unwrap();
    assert_eq!(
        (&error["event"], &error["exit_code"]),
        (&"error".into(), &1.into())
    );
}

#[test]
fn announce_url_that_our_own_client_refuses_is_warned_of() {
    let folder = Folder::new();
    folder.file("a", 10);
    for (url, warned) in [
        ("http://127.0.0.1:7000/k3y/announce", true),
        ("http://localhost:7000/", true),
        ("http://0.0.0.0:6969/announce", true),
        ("http://127.0.0.1:7000/announce.php", false),
        ("http://tracker.example/k3y/announce", false),
    ] {
        let ended = folder.run(["create", "a", url, "--force"]);
        assert_eq!(ended.code, Some(0));
        let said = ended.stderr.contains(&format!("warning: {url}:"));
        assert_eq!(said, warned, "{ended:?}");
        assert_eq!(ended.stderr.is_empty(), !warned, "{ended:?}");
    }
}

/// A hole: takes no room, but far longer to hash than a test waits.
fn huge(folder: &Folder) {
    let file = File::create(folder.join("huge")).unwrap();
    file.set_len(1 << 38).unwrap();
}

#[test]
fn reader_that_goes_away_interrupts_the_work() {
    let folder = Folder::new();
    huge(&folder);
    let line = ["create", "huge", TRACKER, "--json"];
    let mut running = folder.start(line);
    running.wait("started");
    assert_eq!(running.unread().0, Some(130));
    let mut command = folder.command(line);
    assert_eq!(
        command.stdout(closed_pipe()).status().unwrap().code(),
        Some(130)
    );
    assert_eq!(folder.names().len(), 1, "{:?}", folder.names());
}

#[test]
fn interrupt_leaves_nothing_behind() {
    let folder = Folder::new();
    huge(&folder);
    let mut running = folder.start(["create", "huge", TRACKER, "--json"]);
    running.wait("started");
    running.signal(Signal::INT);
    let (code, events, _) = running.end();
    assert_eq!(code, Some(130));
    assert_eq!(events.last().unwrap()["exit_code"], 130);
    assert_eq!(folder.names().len(), 1, "{:?}", folder.names());
}
