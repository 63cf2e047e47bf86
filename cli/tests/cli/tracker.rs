//! `shoal tracker`: where it listens, what it serves, what it logs.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Folder, free_port};

fn info_hash(folder: &Folder, torrent: &str) -> String {
    let shown = folder.done(["show", torrent, "--json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    shown["info_hash"].as_str().unwrap().to_owned()
}

/// Announces by hand; gives the body of the answer.
pub(crate) fn announce(address: &str, info_hash: &str, more: &str) -> String {
    let more =
        format!("&peer_id=-TR4050-abcdefghijkl&port=7000&uploaded=1&downloaded=2&compact=1{more}");
    ask(address, "/announce", info_hash, &more)
}

/// Asks by hand at a path; gives the body of the answer.
pub(crate) fn ask(address: &str, path: &str, info_hash: &str, more: &str) -> String {
    let hash: String = info_hash
        .as_bytes()
        .chunks(2)
        .map(|pair| format!("%{}", str::from_utf8(pair).unwrap()))
        .collect();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path}?info_hash={hash}{more} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[test]
fn torrent_says_where_to_listen_and_is_the_only_one_served() {
    let folder = Folder::new();
    folder.file("a", 100_000);
    let url = format!("http://127.0.0.1:{}/announce", free_port());
    folder.done(["create", "a", &url]);
    let hash = info_hash(&folder, "a.torrent");
    let mut tracker = folder.start(["tracker", "a.torrent", "--status-every", "1", "--json"]);
    let started = tracker.wait("started");
    assert_eq!(started["announce"], json!([url]));
    assert_eq!(started["any"], false);
    assert_eq!(
        started["torrents"],
        json!([{"info_hash": hash, "name": "a"}])
    );
    let address = started["listen"][0].as_str().unwrap();

    let answer = announce(address, &hash, "&left=5&event=started");
    assert!(
        answer.starts_with('d') && answer.contains("8:intervali1800e"),
        "{answer}"
    );
    let heard = tracker.wait("announce");
    assert_eq!(
        (&heard["kind"], &heard["name"]),
        (&"started".into(), &"a".into())
    );
    assert_eq!(heard["client"], "Transmission 4.0.5.0");
    let status = loop {
        let status = tracker.wait("status");
        if status["torrents"][0]["leechers"] == 1 {
            break status;
        }
    };
    let peer = &status["torrents"][0]["peers"][0];
    assert_eq!(peer["address"], "127.0.0.1:7000");
    assert_eq!((&peer["left"], &peer["uploaded"]), (&5.into(), &1.into()));
    assert_eq!(peer["downloaded"], 2);

    announce(address, &hash, "&left=0&event=completed");
    assert_eq!(tracker.wait("announce")["kind"], "completed");
    announce(address, &hash, "&left=0&event=stopped");
    assert_eq!(tracker.wait("announce")["kind"], "stopped");
    let other = "00".repeat(20);
    assert!(announce(address, &other, "&left=5").contains("failure reason"));

    tracker.signal(Signal::INT);
    let (code, events, _) = tracker.end();
    assert_eq!(code, Some(0));
    assert_eq!(events.last().unwrap()["event"], "stopped");
}

#[test]
fn torrents_are_announced_where_their_urls_say() {
    let folder = Folder::new();
    let at = format!("http://127.0.0.1:{}", free_port());
    for (name, path, length) in [("a", "/k3y/announce?x=1", 10), ("b", "/announce.php", 20)] {
        folder.file(name, length);
        folder.done([
            "create",
            name,
            &format!("{at}{path}"),
            "udp://tracker.example:1",
        ]);
    }
    let (a, b) = (
        info_hash(&folder, "a.torrent"),
        info_hash(&folder, "b.torrent"),
    );
    let mut tracker = folder.start(["tracker", "a.torrent", "b.torrent", "--json"]);
    let started = tracker.wait("started");
    let paths = ["/k3y/announce", "/announce.php", "/announce"];
    let urls: Vec<_> = paths.iter().map(|path| format!("{at}{path}")).collect();
    assert_eq!(started["announce"], json!(urls));
    // Our own client has a rule against that: the one who runs the tracker is told.
    let warning = tracker.wait("warning");
    let message = warning["message"].as_str().unwrap();
    assert!(
        message.starts_with(&format!("a.torrent: {at}/k3y/announce")),
        "{message}"
    );
    let address = started["listen"][0].as_str().unwrap();
    let more = "&peer_id=-TR4050-abcdefghijkl&uploaded=0&downloaded=0&compact=1&left=5";
    for (hash, path, port) in [(&a, paths[0], 1), (&b, paths[1], 2), (&a, paths[2], 3)] {
        let answer = ask(address, path, hash, &format!("{more}&port={port}"));
        assert!(answer.contains("8:interval"), "{path}: {answer}");
    }
    for path in ["/k3y/scrape", "/scrape.php", "/scrape"] {
        let answer = ask(address, path, &a, "");
        assert!(answer.contains("10:incompletei2e"), "{path}: {answer}");
    }
    tracker.signal(Signal::TERM);
    let (_, events, _) = tracker.end();
    assert!(
        events.iter().all(|event| event["event"] != "warning"),
        "{events:?}"
    );
}

#[test]
fn path_that_cannot_be_served_is_named() {
    let folder = Folder::new();
    folder.file("a", 10);
    let url = format!("http://127.0.0.1:{}/scrape", free_port());
    folder.done(["create", "a", &url]);
    let ended = folder.run(["tracker", "a.torrent"]);
    ended.failed(1, &["`/scrape`", "scrapes", "another in the announce URL"]);
}

#[test]
fn any_torrent_is_served_when_none_is_named() {
    let folder = Folder::new();
    let line = [
        "tracker",
        "--listen",
        "127.0.0.1:0",
        "--listen",
        "127.0.0.1:0",
        "--json",
    ];
    let mut tracker = folder.start(line.iter().chain(&["--interval", "77"]));
    let started = tracker.wait("started");
    assert_eq!(started["any"], true);
    assert_eq!(started["listen"].as_array().unwrap().len(), 2);
    for address in started["listen"].as_array().unwrap() {
        let answer = announce(
            address.as_str().unwrap(),
            &"ab".repeat(20),
            "&left=5&event=started",
        );
        assert!(answer.contains("8:intervali77e"), "{answer}");
    }
    assert_eq!(tracker.wait("announce")["name"], Value::Null);
}

#[test]
fn people_read_a_status_at_each_piece_of_news() {
    let folder = Folder::new();
    let port = free_port().to_string();
    let address = format!("127.0.0.1:{port}");
    let told = thread::scope(|scope| {
        let said = scope.spawn(|| {
            // It ends when `head` has read enough lines and closes the pipe.
            let program = env!("CARGO_BIN_EXE_shoal");
            let line = format!(
                "{program} tracker --no-state --listen {address} --status-every 1 | head -n 5"
            );
            let output = std::process::Command::new("sh")
                .args(["-c", &line])
                .output()
                .unwrap();
            String::from_utf8(output.stdout).unwrap()
        });
        while TcpStream::connect(&address).is_err() {
            thread::sleep(std::time::Duration::from_millis(10));
        }
        announce(&address, &"ab".repeat(20), "&left=5&event=started");
        said.join().unwrap()
    });
    for words in [
        "any info hash is served",
        "started: 127.0.0.1:7000 (Transmission 4.0.5.0)",
    ] {
        assert!(told.contains(words), "{words} is not in {told}");
    }
    assert!(told.contains("0 seeders, 1 leecher, 0 completed"), "{told}");
    drop(folder);
}

#[test]
fn taken_port_is_named() {
    let folder = Folder::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    folder
        .run(["tracker", "--listen", &address])
        .failed(1, &[&address]);
}

#[test]
fn address_of_another_machine_is_named_as_such() {
    let folder = Folder::new();
    // Source: RFC 5737: nobody's address.
    folder
        .run(["tracker", "--listen", "192.0.2.1:6969"])
        .failed(1, &["192.0.2.1:6969", "no such address", "0.0.0.0:6969"]);
}

#[test]
fn torrent_without_a_tracker_that_we_could_be_needs_an_address() {
    let folder = Folder::new();
    folder.file("a", 10);
    folder.done(["create", "a", "udp://127.0.0.1:1"]);
    folder
        .run(["tracker", "a.torrent", "--no-udp"])
        .failed(2, &["a.torrent", "--listen"]);
    let listen = ["--no-udp", "--listen", "127.0.0.1:0", "--json"];
    let mut tracker = folder.start(["tracker", "a.torrent"].iter().chain(&listen));
    assert_eq!(tracker.wait("started")["any"], false);
    let warning = tracker.wait("warning");
    assert!(
        warning["message"]
            .as_str()
            .unwrap()
            .contains("none of its announce URLs")
    );
    fs::remove_file(folder.join("a")).unwrap();
}

#[test]
fn same_address_twice_is_wrong_usage() {
    let folder = Folder::new();
    let address = format!("127.0.0.1:{}", free_port());
    let twice = ["tracker", "--listen", &address, "--listen", &address];
    folder.run(twice).failed(2, &[&address, "twice"]);
    let port = free_port().to_string();
    let any = format!("0.0.0.0:{port}");
    let twice = ["tracker", "--listen", &port, "--listen", &any];
    folder.run(twice).failed(2, &[&any, "twice"]);
    // Each takes a free port.
    let free = ["--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"];
    let mut tracker = folder.start(["tracker", "--no-state", "--json"].iter().chain(&free));
    let started = tracker.wait("started");
    assert_eq!(started["listen"].as_array().map(Vec::len), Some(2));
}
