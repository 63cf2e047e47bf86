//! What a client remembers: kills without warning, clean ends, files that others change, journals
//! that are damaged, and two clients for one folder.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Folder, Running, seeder};

const NAME: &str = "film.bin.torrent";
/// Kills in the long test, if the environment names no other number.
const KILLS: u32 = 100;

/// A client for the folder `there` that knows one peer.
fn leecher(folder: &Folder, port: u64, more: &[&str]) -> Running {
    let peer = format!("127.0.0.1:{port}");
    let line = ["client", NAME, "0", "--dir", "there", "--no-tracker"];
    let known = ["--peer", &peer, "--json", "--json-pieces"];
    let state = ["--state-dir", "state"];
    folder.start(line.iter().chain(&known).chain(&state).chain(more))
}

fn number(event: &Value, name: &str) -> u64 {
    event[name].as_u64().unwrap_or_else(|| panic!("{event}"))
}

/// The journal and the generation before it.
fn journals(folder: &Folder) -> Vec<PathBuf> {
    let folders = fs::read_dir(folder.join("state")).unwrap();
    let files = folders.flat_map(|entry| fs::read_dir(entry.unwrap().path()).unwrap());
    files.map(|entry| entry.unwrap().path()).collect()
}

/// A client with everything that was stopped in good order.
fn completed(length: usize) -> (Folder, Vec<u8>) {
    let folder = Folder::new();
    let bytes = folder.torrent("film.bin", length);
    let (_seeder, port) = seeder(&folder, NAME);
    let (code, _, stderr) = leecher(&folder, port, &["--exit-when-complete"]).end();
    assert_eq!(code, Some(0), "{stderr}");
    (folder, bytes)
}

/// Starts a client that may have everything, and gives what it says of its check.
fn checked(folder: &Folder) -> Value {
    let mut client = leecher(folder, 9, &[]);
    let checked = client.wait("checked");
    client.signal(Signal::TERM);
    client.end();
    checked
}

#[test]
fn killed_client_neither_hashes_nor_fetches_again_what_was_verified() {
    let kills = std::env::var("SHOAL_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let folder = Folder::new();
    let bytes = folder.torrent("film.bin", 6 << 20);
    let (_seeder, port) = seeder(&folder, NAME);
    let mut killed = 0;
    let mut random = fastrand::Rng::with_seed(7);
    while killed < kills {
        for name in ["there", "state"] {
            // The first time, there is nothing.
            let _ = fs::remove_dir_all(folder.join(name));
        }
        let mut seen = BTreeSet::new();
        loop {
            let mut client = leecher(&folder, port, &["--max-download", "3MiB/s"]);
            let checked = client.wait("checked");
            assert_eq!(number(&checked, "bytes_checked"), 0, "{checked}");
            assert!(number(&checked, "have") >= seen.len() as u64, "{checked}");
            let here = (number(&checked, "have") << 14) + number(&checked, "bytes_partial");
            if killed == kills || checked["have"] == checked["pieces"] {
                let complete = client.wait("complete");
                assert!(
                    number(&complete, "downloaded") + here <= bytes.len() as u64,
                    "fetched twice: {checked} {complete}"
                );
                break;
            }
            for _ in 0..random.u32(1..30) {
                match client.wait_any(&["piece_verified", "complete"]) {
                    event if event["event"] == "complete" => break,
                    event => assert!(seen.insert(number(&event, "piece")), "twice: {event}"),
                }
            }
            client.signal(Signal::KILL);
            client.end();
            killed += 1;
        }
        assert!(fs::read(folder.join("there/film.bin")).unwrap() == bytes);
    }
}

#[test]
fn client_that_was_stopped_hashes_nothing_at_the_next_start() {
    let (folder, bytes) = completed(3 << 20);
    let checked = checked(&folder);
    assert_eq!(number(&checked, "bytes_checked"), 0);
    assert_eq!(number(&checked, "bytes_have"), bytes.len() as u64);
    // Whoever asks for a check gets one.
    folder.done(["verify", NAME, "--dir", "there"]);
}

#[test]
fn blocks_of_an_unfinished_piece_survive_a_stop_and_are_not_fetched_again() {
    let folder = Folder::new();
    let bytes = folder.file("film.bin", 8 << 20);
    let line = ["create", "film.bin", crate::support::TRACKER];
    folder.done(line.iter().chain(&["--piece-length", "4MiB"]));
    let (_seeder, port) = seeder(&folder, NAME);
    let mut client = leecher(&folder, port, &["--max-download", "1MiB/s"]);
    while number(&client.wait("progress"), "downloaded") < 1 << 20 {}
    client.signal(Signal::TERM);
    let (code, events, _) = client.end();
    assert_eq!(code, Some(130));
    let stopped = events.iter().rfind(|event| event["event"] == "stopped");
    let before = number(stopped.unwrap(), "downloaded");
    let mut client = leecher(&folder, port, &["--exit-when-complete"]);
    let checked = client.wait("checked");
    assert_eq!(number(&checked, "bytes_checked"), 0);
    let here = (number(&checked, "have") << 22) + number(&checked, "bytes_partial");
    assert!(here <= before, "{checked} of {before}");
    assert!(number(&checked, "bytes_partial") > 0, "{checked}");
    let complete = client.wait("complete");
    assert_eq!(number(&complete, "downloaded"), bytes.len() as u64 - here);
    assert!(fs::read(folder.join("there/film.bin")).unwrap() == bytes);
}

#[test]
fn file_that_others_changed_is_checked_again() {
    let (folder, mut bytes) = completed(3 << 20);
    bytes[1 << 20] ^= 1;
    fs::write(folder.join("there/film.bin"), &bytes).unwrap();
    let checked = checked(&folder);
    assert_eq!(number(&checked, "bytes_checked"), bytes.len() as u64);
    assert_eq!(number(&checked, "have") + 1, number(&checked, "pieces"));
}

#[test]
fn damaged_journal_leads_to_a_check_of_everything() {
    let (folder, bytes) = completed(1 << 20);
    let damaged = journals(&folder);
    assert!(!damaged.is_empty());
    for path in damaged {
        let mut journal = fs::read(&path).unwrap();
        journal.truncate(journal.len() / 3);
        journal.iter_mut().for_each(|byte| *byte ^= 0x55);
        fs::write(path, journal).unwrap();
    }
    let checked = checked(&folder);
    assert_eq!(number(&checked, "bytes_checked"), bytes.len() as u64);
    assert_eq!(checked["have"], checked["pieces"]);
}

#[test]
fn second_client_is_refused_the_folder() {
    let folder = Folder::new();
    folder.torrent("film.bin", 100_000);
    let (_seeder, _) = seeder(&folder, NAME);
    let ended = folder.run(["client", NAME, "0", "--no-tracker"]);
    ended.failed(
        1,
        &["another client uses the folder", "choose another folder"],
    );
}

#[test]
fn client_without_a_journal_goes_on_and_says_so() {
    let folder = Folder::new();
    folder.torrent("film.bin", 100_000);
    // A file where the folder belongs.
    let line = ["client", NAME, "0", "--no-tracker", "--json"];
    let more = ["--exit-when-complete", "--state-dir", "film.bin"];
    let mut client = folder.start(line.iter().chain(&more));
    while !client.wait("warning")["message"]
        .to_string()
        .contains("not remembered")
    {}
    assert_eq!(client.end().0, Some(0));
    let forgets = ["--exit-when-complete", "--no-resume"];
    for _ in 0..2 {
        let mut client = folder.start(line.iter().chain(&forgets));
        assert_eq!(number(&client.wait("checked"), "bytes_checked"), 100_000);
        assert_eq!(client.end().0, Some(0));
    }
}

#[test]
fn content_moves_in_every_way_of_storing_it() {
    let folder = Folder::new();
    let bytes = folder.torrent("film.bin", 2 << 20);
    let (_seeder, port) = seeder(&folder, NAME);
    for (storage, shown) in [
        ("auto", "mmap reads, pwrite writes"),
        ("mmap", "mmap"),
        ("pread", "pread and pwrite"),
    ] {
        for allocation in ["full", "sparse"] {
            let _ = fs::remove_dir_all(folder.join("there"));
            let ways = ["--storage", storage, "--allocation", allocation];
            let more = [&ways[..], &["--exit-when-complete"]].concat();
            let mut client = leecher(&folder, port, &more);
            assert_eq!(client.wait("started")["storage"], shown);
            assert_eq!(client.end().0, Some(0));
            assert!(fs::read(folder.join("there/film.bin")).unwrap() == bytes);
        }
    }
    for wrong in [["--storage", "tape"], ["--allocation", "some"]] {
        let ended = folder.run(["client", NAME].iter().chain(&wrong));
        ended.failed(2, &["; say "]);
    }
}

#[test]
fn memory_is_told_by_kind() {
    let folder = Folder::new();
    folder.torrent("film.bin", 1 << 20);
    let (mut seeder, _) = seeder(&folder, NAME);
    loop {
        let progress = seeder.wait("progress");
        if !progress["memory"].is_null() {
            assert!(number(&progress["memory"], "anonymous") > 0);
            assert_eq!(number(&progress, "faults"), 0);
            break;
        }
    }
}

/// The hash of so many zeros, as `shoal create` has it.
fn hash_of_zeros(folder: &Folder, length: u64) -> [u8; 20] {
    let file = fs::File::create(folder.join("zeros")).unwrap();
    file.set_len(length).unwrap();
    let line = ["create", "zeros", crate::support::TRACKER, "--piece-length"];
    folder.done(line.iter().chain(&[length.to_string().as_str()]));
    let torrent = fs::read(folder.join("zeros.torrent")).unwrap();
    let key = b"6:pieces20:";
    let at = torrent.windows(key.len()).position(|some| some == key);
    let hash = &torrent[at.unwrap() + key.len()..];
    *hash.first_chunk().unwrap()
}

/// Writes a .torrent of one file, and the file, all of it a hole: every second piece is zeros, of
/// the others nobody has the bytes.
fn sparse_torrent(folder: &Folder, pieces: u64, piece_length: u64) {
    let hashes = [hash_of_zeros(folder, piece_length), [7; 20]];
    let length = pieces * piece_length;
    let mut torrent = format!("d4:infod6:lengthi{length}e4:name8:film.bin").into_bytes();
    let head = format!("12:piece lengthi{piece_length}e6:pieces{}:", pieces * 20);
    torrent.extend(head.bytes());
    torrent.extend((0..pieces / 2).flat_map(|_| hashes).flatten());
    torrent.extend(b"ee");
    fs::write(folder.join(NAME), torrent).unwrap();
    fs::create_dir(folder.join("there")).unwrap();
    let file = fs::File::create(folder.join("there/film.bin")).unwrap();
    file.set_len(length).unwrap();
}

#[test]
fn tebibyte_of_holes_is_checked_without_reading_and_then_not_at_all() {
    let folder = Folder::new();
    let (pieces, piece_length) = (1 << 16, 16 << 20);
    sparse_torrent(&folder, pieces, piece_length);
    // Reading it would take a quarter of an hour and more, and `checked` waits for two minutes.
    let first = checked(&folder);
    assert_eq!(number(&first, "bytes_checked"), pieces * piece_length);
    assert_eq!(number(&first, "have"), pieces / 2);
    let second = checked(&folder);
    assert_eq!(number(&second, "bytes_checked"), 0);
    assert_eq!(number(&second, "have"), pieces / 2);
    assert_eq!(number(&second, "bytes_have"), pieces / 2 * piece_length);
    let file = fs::metadata(folder.join("there/film.bin")).unwrap();
    assert_eq!(
        std::os::unix::fs::MetadataExt::blocks(&file),
        0,
        "still a hole"
    );
}
