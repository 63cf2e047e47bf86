//! Some files of a torrent only: `--only`, and `so=` in magnet links. BEP 53.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Folder, TRACKER, client, seeder};

/// A torrent of five files with a seeder's folder; borders lie inside pieces of 16 KiB.
fn album(folder: &Folder) {
    for (name, length) in [
        ("album/1.flac", 100_001),
        ("album/2.flac", 120_002),
        ("album/art/back.jpg", 50_003),
        ("album/art/front.jpg", 60_004),
        ("album/notes.txt", 7),
    ] {
        folder.file(name, length);
    }
    folder.done(["create", "album", TRACKER]);
}

/// The files below `dir`, hidden ones apart; and how many of those there are.
fn files(dir: &Path) -> (BTreeSet<String>, usize) {
    let (mut seen, mut hidden) = (BTreeSet::new(), 0);
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false if name.starts_with('.') => hidden += 1,
                false => drop(seen.insert(name)),
            }
        }
    }
    (seen, hidden)
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

fn assert_same(folder: &Folder, dir: &str, path: &str) {
    let there = fs::read(folder.join(dir).join(path)).unwrap();
    assert!(there == fs::read(folder.join(path)).unwrap(), "{path}");
}

/// Downloads into `dir` what is chosen; gives the events.
fn fetch(folder: &Folder, torrent: &str, port: u64, dir: &str, more: &[&str]) -> Vec<Value> {
    let peer = format!("127.0.0.1:{port}");
    let mut line = client(torrent, "--json --exit-when-complete --peer");
    line.extend([peer, "--dir".to_owned(), dir.to_owned()]);
    line.extend(more.iter().map(|&word| word.to_owned()));
    let (code, events, stderr) = folder.start(line).end();
    assert_eq!(code, Some(0), "{stderr}");
    events
}

fn event<'e>(events: &'e [Value], name: &str) -> &'e Value {
    let mut events = events.iter();
    let found = events.find(|event| event["event"] == name);
    found.unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn chosen_files_come_and_no_others_are_made_and_more_can_be_chosen_later() {
    let folder = Folder::new();
    album(&folder);
    let (_seeder, port) = seeder(&folder, "album.torrent");
    let text = folder.done(["show", "album.torrent"]);
    assert!(
        text.contains("\n1          120002  album/2.flac\n"),
        "{text}"
    );

    let only = ["--only", "1", "--only", "*/notes.*"];
    let events = fetch(&folder, "album.torrent", port, "got", &only);
    let chosen = event(&events, "files_chosen");
    let expect = json!({"event": "files_chosen", "selected_files": [[1, 1], [4, 4]],
                        "files": 2, "size": 120_009});
    assert_eq!(*chosen, expect);
    let stopped = event(&events, "stopped");
    assert_eq!(
        (&stopped["complete"], &stopped["bytes_left"]),
        (&json!(true), &json!(0))
    );
    assert!(stopped["bytes_have"].as_u64() < stopped["bytes_total"].as_u64());
    assert_eq!(stopped["downloaded"], stopped["bytes_wanted"]);
    let got = folder.join("got");
    assert_eq!(files(&got), (set(["2.flac", "notes.txt"]), 1));
    assert_same(&folder, "got", "album/2.flac");
    assert_same(&folder, "got", "album/notes.txt");

    let verify = folder.run(["verify", "album.torrent", "--dir", "got"]);
    assert_eq!(verify.code, Some(1));
    assert!(
        verify.stdout.contains("whole      album/2.flac\n"),
        "{}",
        verify.stdout
    );
    assert!(
        verify.stdout.contains("missing    album/1.flac\n"),
        "{}",
        verify.stdout
    );

    // As it was left, and then the rest: nothing comes twice.
    let events = fetch(&folder, "album.torrent", port, "got", &only);
    assert_eq!(event(&events, "checked")["bytes_checked"], 0);
    assert_eq!(event(&events, "stopped")["downloaded"], 0);
    let before = stopped["downloaded"].as_u64().unwrap();
    let events = fetch(&folder, "album.torrent", port, "got", &[]);
    let rest = event(&events, "stopped")["downloaded"].as_u64().unwrap();
    assert_eq!(before + rest, stopped["bytes_total"].as_u64().unwrap());
    assert_eq!(files(&got).1, 0, "nothing stands in for a file any more");
    folder.done(["verify", "album.torrent", "--dir", "got"]);
}

#[test]
fn magnet_link_brings_the_files_that_it_names() {
    let folder = Folder::new();
    album(&folder);
    let (_seeder, port) = seeder(&folder, "album.torrent");
    let link = folder.done(["magnet", "album.torrent"]);
    let link = format!("{}&so=0,2-3,9", link.trim());
    let events = fetch(&folder, &link, port, "got", &[]);
    let selected = &event(&events, "files_chosen")["selected_files"];
    assert_eq!(*selected, json!([[0, 0], [2, 3]]));
    let warnings = events.iter().filter(|event| event["event"] == "warning");
    let warnings: Vec<_> = warnings
        .map(|event| event["message"].as_str().unwrap())
        .collect();
    let is_told = |text: &&str| text.contains("not in the torrent, and passed over: 9;");
    assert!(warnings.iter().any(is_told), "{warnings:?}");
    let names = set(["1.flac", "back.jpg", "front.jpg"]);
    assert_eq!(files(&folder.join("got")).0, names);
    assert_same(&folder, "got", "album/art/front.jpg");

    // What is typed goes before what the link says.
    fetch(&folder, &link, port, "other", &["--only", "1.flac"]);
    assert_eq!(files(&folder.join("other")).0, set(["1.flac"]));
}

#[test]
fn choice_of_nothing_is_refused_and_says_what_there_is() {
    let folder = Folder::new();
    album(&folder);
    let only = |choice| ["client", "album.torrent", "0", "--only", choice];
    let ended = folder.run(only("7,9"));
    ended.failed(
        1,
        &["none of the files that were chosen", "0 to 4", "shoal show"],
    );
    folder.run(only("*.mp3")).failed(1, &["none of the files"]);
    folder
        .run(only("3-1"))
        .failed(2, &["no numbers of files", "0,2,6-8"]);
}
