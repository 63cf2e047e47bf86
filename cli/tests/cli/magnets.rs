//! Magnet links: what they say, what they name, and the files that come of them. BEP 9, 53.

use std::fs;

use rustix::process::Signal;
use shoal_metainfo::Torrent;

use crate::support::{Folder, client, seeder};

const HEX: &str = "c12fe1c06bba254a9dc9f519b335aa7c1367a88a";
const BASE32: &str = "YEX6DQDLXISUVHOJ6UM3GNNKPQJWPKEK";

#[test]
fn pasted_link_brings_the_file() {
    let folder = Folder::new();
    let bytes = folder.torrent("film.bin", 300_000);
    let (_seeder, port) = seeder(&folder, "film.bin.torrent");
    let peer = format!("127.0.0.1:{port}");
    let link = folder.done(["magnet", "film.bin.torrent", "--peers", &peer]);
    assert!(link.contains(&format!("&x.pe={peer}")), "{link}");
    let line = client(link.trim(), "--dir there --exit-when-complete --json");
    let mut leecher = folder.start(line);
    let started = leecher.wait("started");
    assert_eq!(started["name"], "film.bin");
    assert!(started["size"].is_null() && started["storage"].is_null());
    let metadata = leecher.wait("metadata");
    assert_eq!(
        (&metadata["size"], &metadata["pieces"]),
        (&300_000.into(), &19.into())
    );
    assert_eq!(leecher.wait("checked")["have"], 0);
    leecher.wait("complete");
    assert_eq!(leecher.end().0, Some(0));
    assert_eq!(fs::read(folder.join("there/film.bin")).unwrap(), bytes);
    // Again, for people: everything is here already.
    let said = folder.done(client(link.trim(), "--dir there --exit-when-complete"));
    for words in [
        "a magnet link",
        "the metadata is here: film.bin",
        "complete",
    ] {
        assert!(said.contains(words), "{words} is not in {said}");
    }
}

#[test]
fn show_says_what_a_link_says() {
    let folder = Folder::new();
    for hash in [HEX, BASE32] {
        let link = format!(
            "magnet:?xt=urn:btih:{hash}&dn=a%20name&xl=5&tr=http://t/announce&tr=udp://u:1\
             &ws=http://w/&x.pe=p.example:7&so=0,2-4"
        );
        let said = folder.done(["show", &link]);
        for words in [
            "name       a name",
            HEX,
            "5 B (5 bytes)",
            "http://t/announce",
            "udp://u:1",
            "http://w/",
            "p.example:7",
            "only 0, 2-4",
            "--fetch",
        ] {
            assert!(said.contains(words), "{words} is not in {said}");
        }
        let shown = folder.done(["show", &link, "--json"]);
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(shown["info_hash"], HEX);
        assert_eq!(shown["selected_files"], serde_json::json!([[0, 0], [2, 4]]));
        assert_eq!(shown["peers"], serde_json::json!(["p.example:7"]));
    }
}

#[test]
fn show_fetches_the_metadata_and_saves_the_torrent_byte_for_byte() {
    let folder = Folder::new();
    folder.torrent("film.bin", 300_000);
    let (_seeder, port) = seeder(&folder, "film.bin.torrent");
    let peer = format!("127.0.0.1:{port}");
    let link = folder.done(["magnet", "film.bin.torrent"]);
    let fetch = [
        "show",
        link.trim(),
        "--fetch",
        "--no-tracker",
        "--peer",
        &peer,
    ];
    let said = folder.done(fetch.iter().chain(&["-o", "got.torrent"]));
    assert!(
        said.contains("film.bin") && said.contains("19 of 16 KiB"),
        "{said}"
    );
    let read = |name: &str| Torrent::parse(&fs::read(folder.join(name)).unwrap()).unwrap();
    let (original, got) = (read("film.bin.torrent"), read("got.torrent"));
    assert_eq!(got.info_bytes(), original.info_bytes());
    assert_eq!(
        (got.info_hash, got.tiers),
        (original.info_hash, original.tiers)
    );
    let names = folder.names();
    assert!(!names.contains("film.bin.work"), "{names:?}");
    let again = fetch.iter().chain(&["-o", "got.torrent"]);
    folder
        .run(again)
        .failed(1, &["got.torrent is there already; --force overwrites it"]);
    folder.done(fetch.iter().chain(&["-o", "got.torrent", "--force"]));
    let shown = folder.done(fetch.iter().chain(&["--json"]));
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        (&shown["pieces"], &shown["size"]),
        (&19.into(), &300_000.into())
    );
}

#[test]
fn fetch_that_nobody_answers_says_so_and_can_be_interrupted() {
    let folder = Folder::new();
    let link = format!("magnet:?xt=urn:btih:{HEX}");
    let mut client = folder.start(client(&link, "--json"));
    let warning = client.wait("warning");
    assert!(
        warning["message"]
            .as_str()
            .unwrap()
            .contains("nobody is asked"),
        "{warning}"
    );
    client.wait("metadata_progress");
    client.signal(Signal::INT);
    let (code, events, _) = client.end();
    assert_eq!(code, Some(130));
    assert!(events.iter().any(|event| event["event"] == "stopped"));
}

#[test]
fn links_that_cannot_be_used_say_what_to_do() {
    let folder = Folder::new();
    let v2 = format!("magnet:?xt=urn:btmh:1220{}", "ab".repeat(32));
    for (link, words) in [
        ("magnet:?dn=a", "no `xt=urn:btih:`"),
        (
            "magnet:?xt=urn:btih:abc",
            "neither 40 hex digits nor 32 of base32",
        ),
        (v2.as_str(), "v2-only"),
        ("magnet:", "must begin with `magnet:?`"),
    ] {
        for command in ["client", "show"] {
            folder.run([command, link]).failed(1, &[words]);
        }
    }
    folder.torrent("a", 10);
    let fetch = ["show", "a.torrent", "--fetch"];
    folder.run(fetch).failed(2, &["has it already"]);
    let peers = ["magnet", "a.torrent", "--peers", "nonsense"];
    folder.run(peers).failed(2, &["nonsense"]);
}
