//! `shoal client`: real transfers between processes, and how it ends.

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use shoal_integration_tests::{Answer, StubTracker, eventually, http};

use crate::support::{Folder, client, closed_pipe, free_port, seeder};

#[test]
fn content_moves_from_one_client_to_another() {
    let folder = Folder::new();
    let bytes = folder.torrent("film.bin", 300_000);
    let (seeder, port) = seeder(&folder, "film.bin.torrent");
    let peer = format!("127.0.0.1:{port}");
    let line = [
        "get",
        "film.bin.torrent",
        "0",
        "--dir",
        "there",
        "--exit-when-complete",
    ];
    let more = ["--no-tracker", "--peer", &peer, "--json", "--json-pieces"];
    let mut leecher = folder.start(line.iter().chain(&more));
    let started = leecher.wait("started");
    assert_eq!(
        (&started["name"], &started["size"]),
        (&"film.bin".into(), &300_000.into())
    );
    assert_eq!(leecher.wait("checked")["have"], 0);
    assert_eq!(leecher.wait("peer_connected")["client"], "Shoal 0.1.0.0");
    let mut pieces = 0;
    let (code, events, _) = leecher.end();
    for event in &events {
        pieces += u32::from(event["event"] == "piece_verified");
    }
    assert_eq!(code, Some(0));
    assert_eq!(pieces, 19);
    assert!(events.iter().any(|event| event["event"] == "complete"));
    let stopped = events.last().unwrap();
    assert_eq!(
        (&stopped["event"], &stopped["complete"]),
        (&"stopped".into(), &true.into())
    );
    assert_eq!(stopped["have"], 19);
    assert_eq!(fs::read(folder.join("there/film.bin")).unwrap(), bytes);

    seeder.signal(Signal::TERM);
    let (code, events, _) = seeder.end();
    assert_eq!(
        code,
        Some(0),
        "a seeding client that is stopped has done its work"
    );
    assert_eq!(events.last().unwrap()["complete"], true);
}

#[test]
fn people_are_told_in_plain_lines_when_there_is_no_terminal() {
    let folder = Folder::new();
    folder.torrent("film.bin", 300_000);
    let (_seeder, port) = seeder(&folder, "film.bin.torrent");
    let peer = format!("127.0.0.1:{port}");
    let more = format!("--dir there --exit-when-complete --peer {peer}");
    let said = folder.done(client("film.bin.torrent", &more));
    for words in [
        "film.bin",
        "checked: 0 of 19",
        "complete after",
        "stopped with 19 of 19",
    ] {
        assert!(said.contains(words), "{words} is not in {said}");
    }
    assert!(!said.contains('\x1b'), "{said:?}");
}

#[test]
fn interrupt_before_it_is_complete_is_told_by_the_exit_code() {
    let folder = Folder::new();
    folder.torrent("a", 100_000);
    for signal in [Signal::INT, Signal::TERM] {
        let mut client = folder.start(client("a.torrent", "--dir there --json"));
        client.wait("checked");
        client.signal(signal);
        let (code, events, _) = client.end();
        assert_eq!(code, Some(130));
        let [.., stopped, error] = &events[..] else {
            panic!("{events:?}");
        };
        assert_eq!(
            (&stopped["event"], &stopped["complete"]),
            (&"stopped".into(), &false.into())
        );
        assert_eq!(
            (&error["event"], &error["exit_code"]),
            (&"error".into(), &130.into())
        );
    }
}

#[test]
fn second_signal_ends_even_a_seeding_client_at_once() {
    let folder = Folder::new();
    folder.torrent("a", 100_000);
    let (seeder, _) = seeder(&folder, "a.torrent");
    // Two kinds: of two equal ones the system may deliver one.
    seeder.signal(Signal::INT);
    seeder.signal(Signal::TERM);
    assert_eq!(seeder.end().0, Some(130));
}

#[test]
fn dead_tracker_is_a_warning() {
    let folder = Folder::new();
    folder.torrent("a", 100_000);
    let mut client = folder.start(["client", "a.torrent", "0", "--dir", "there", "--json"]);
    let warning = client.wait("warning");
    assert!(
        warning["message"]
            .as_str()
            .unwrap()
            .contains("http://127.0.0.1:9/announce")
    );
}

/// The tracker answers the first announce and lets the last one hang: that is given 3 s, while the
/// tracker would have us wait for as long as it lives.
#[test]
fn tracker_that_hangs_does_not_keep_a_client_that_stops() {
    let folder = Folder::new();
    let tracker = StubTracker::start(|line| match line.contains("event=stopped") {
        true => Answer::Never,
        false => http("200 OK", "", b"d8:intervali1800e5:peers0:e"),
    });
    folder.file("a", 100_000);
    folder.done(["create", "a", &tracker.url()]);
    let mut client = folder.start(["client", "a.torrent", "0", "--json"]);
    client.wait("complete");
    eventually("it announces itself", || !tracker.requests().is_empty());
    let begun = Instant::now();
    client.signal(Signal::TERM);
    let (code, ..) = client.end();
    let span = begun.elapsed();
    assert_eq!(code, Some(0));
    let told = tracker
        .requests()
        .iter()
        .any(|line| line.contains("event=stopped"));
    assert!(told, "it said no good-bye: {:?}", tracker.requests());
    // Far above 3 s for the sake of busy machines, far below the 30 s of an announce.
    assert!(span < Duration::from_secs(15), "{span:?}");
}

#[test]
fn client_that_asks_nobody_says_so() {
    let folder = Folder::new();
    folder.torrent("a", 10);
    let ended = folder.run(client("a.torrent", "--exit-when-complete --json"));
    let events = ended.events("client");
    let warning = events
        .iter()
        .find(|event| event["event"] == "warning")
        .unwrap();
    assert!(
        warning["message"].as_str().unwrap().contains("--peer"),
        "{warning}"
    );
}

#[test]
fn taken_port_is_named_with_what_to_do() {
    let folder = Folder::new();
    folder.torrent("a", 10);
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ended = folder.run(["client", "a.torrent", &port, "--no-tracker"]);
    ended.failed(1, &[&port, "another port", "0 for any free one"]);
}

#[test]
fn file_that_is_taken_away_while_it_comes_holds_the_client_up_until_it_is_put_back() {
    let folder = Folder::new();
    let content = folder.torrent("a", 3_000_000);
    let (seeder, port) = seeder(&folder, "a.torrent");
    let peer = format!("127.0.0.1:{port}");
    let more = "--json --max-download 1MB/s --dir there --exit-when-complete --peer";
    let mut leecher = folder.start(client("a.torrent", &format!("{more} {peer}")));
    while !fs::exists(folder.join("there/a")).unwrap() {
        leecher.wait("progress");
    }
    fs::rename(folder.join("there/a"), folder.join("kept")).unwrap();
    fs::create_dir(folder.join("there/a")).unwrap();
    while !leecher.wait("warning")["message"]
        .to_string()
        .contains("there/a")
    {}
    fs::remove_dir(folder.join("there/a")).unwrap();
    fs::rename(folder.join("kept"), folder.join("there/a")).unwrap();
    let (code, events, said) = leecher.end();
    assert_eq!(code, Some(0), "{events:?} {said}");
    assert!(said.contains("there/a"), "{said}");
    let works = |event: &serde_json::Value| event["message"] == "the disk works again";
    assert!(events.iter().any(works), "{events:?}");
    assert_eq!(fs::read(folder.join("there/a")).unwrap(), content);
    drop(seeder);
}

#[test]
fn something_in_the_place_of_a_file_is_named() {
    let folder = Folder::new();
    folder.torrent("a", 10);
    fs::create_dir_all(folder.join("there/a")).unwrap();
    fs::write(folder.join("file"), "").unwrap();
    let line = |dir| client("a.torrent", &format!("--dir {dir}"));
    folder.run(line("there")).failed(1, &["there/a"]);
    folder.run(line("file")).failed(1, &["file"]);
}

#[test]
fn reader_that_goes_away_stops_the_client() {
    let folder = Folder::new();
    folder.torrent("a", 100_000);
    // It cannot even tell that it started.
    let mut command = folder.command(client("a.torrent", "--json"));
    assert_eq!(
        command.stdout(closed_pipe()).status().unwrap().code(),
        Some(130)
    );
    // It seeds, and notices within a second.
    let (seeder, _) = seeder(&folder, "a.torrent");
    assert_eq!(seeder.unread().0, Some(0));
}

#[test]
fn file_that_is_too_long_is_told_once_with_both_sizes() {
    let folder = Folder::new();
    let bytes = folder.torrent("a", 100_000);
    fs::write(folder.join("a"), [&bytes[..], b"more"].concat()).unwrap();
    let ended = folder.run(client("a.torrent", "--exit-when-complete"));
    assert_eq!(ended.code, Some(0));
    let told = ended
        .stderr
        .matches("warning: ./a has 100004 bytes, 100000 in the torrent");
    assert_eq!(told.count(), 1, "{ended:?}");
    let events = folder
        .run(client("a.torrent", "--exit-when-complete --json"))
        .events("client");
    let told: Vec<_> = events
        .iter()
        .filter(|event| event["event"] == "file_too_long")
        .collect();
    let expect =
        json!({"event": "file_too_long", "path": "./a", "length": 100_000, "found": 100_004});
    assert_eq!(told, [&expect]);
    assert_eq!(fs::read(folder.join("a")).unwrap().len(), 100_004);
}

#[test]
fn address_that_a_tracker_sees_is_told() {
    let folder = Folder::new();
    folder.file("a", 100_000);
    let url = format!("http://127.0.0.1:{}/announce", free_port());
    folder.done(["create", "a", &url]);
    let mut tracker = folder.start(["tracker", "a.torrent", "--json"]);
    tracker.wait("started");
    let mut client = folder.start(["client", "a.torrent", "0", "--json"]);
    let told = client.wait("external_ip");
    assert_eq!(
        (&told["ip"], &told["tracker"]),
        (&"127.0.0.1".into(), &url.into())
    );
}
