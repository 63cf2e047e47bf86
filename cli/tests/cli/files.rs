//! `shoal show`, `verify`, `magnet`, and the .torrent files that every command refuses.

use std::fs;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;

use crate::support::{Folder, TRACKER, closed_pipe};

#[test]
fn bad_torrent_is_refused_by_every_command_with_its_path_and_a_reason() {
    let folder = Folder::new();
    folder.torrent("good", 100_000);
    let good = fs::read(folder.join("good.torrent")).unwrap();
    fs::create_dir(folder.join("folder.torrent")).unwrap();
    let v2 = b"d4:infod9:file treed1:ad0:d6:lengthi1eeee12:meta versioni2e4:name1:a\
               12:piece lengthi16384eee";
    for (name, bytes) in [
        ("empty.torrent", &b""[..]),
        (
            "page.torrent",
            b"<!DOCTYPE html><html><title>Log in</title></html>",
        ),
        ("cut.torrent", &good[..good.len() / 2]),
        ("list.torrent", b"le"),
        ("keys.torrent", b"de"),
        ("v2.torrent", v2),
    ] {
        fs::write(folder.join(name), bytes).unwrap();
    }
    for (name, said) in [
        ("missing.torrent", "not there"),
        ("folder.torrent", "folder"),
        ("empty.torrent", "empty"),
        ("page.torrent", "web page"),
        ("cut.torrent", "cut off"),
        ("list.torrent", "dictionary"),
        ("keys.torrent", "info"),
        ("v2.torrent", "not supported yet"),
    ] {
        for command in ["show", "verify", "magnet", "client", "tracker"] {
            folder.run([command, name]).failed(1, &[name, said]);
        }
    }
}

#[test]
fn what_is_no_ordinary_file_is_refused_at_once() {
    let folder = Folder::new();
    let pipe = folder.join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    for path in ["/dev/zero", "pipe"] {
        for command in ["show", "client", "verify", "tracker", "magnet"] {
            folder
                .run([command, path])
                .failed(1, &[path, "no ordinary file"]);
        }
    }
}

/// A torrent of one byte with these entries at the top.
fn with_entries(folder: &Folder, entries: &str) {
    let info = "d6:lengthi1e4:name1:a12:piece lengthi16384e6:pieces20:01234567890123456789e";
    fs::write(folder.join("a.torrent"), format!("d{entries}4:info{info}e")).unwrap();
}

#[test]
fn trackers_that_cannot_be_read_are_told_and_the_rest_is_used() {
    let folder = Folder::new();
    let good = "13:announce-listll18:http://127.0.0.1:9ee";
    for (entries, said, has_tracker) in [
        (
            "8:announcei5e".to_owned(),
            "`announce` must be a string, but is an integer",
            false,
        ),
        (
            format!("8:announcei5e{good}"),
            "`announce` must be a string, but is an integer",
            true,
        ),
        ("8:announce0:".to_owned(), "`announce`: `` is no URL", false),
        (
            "8:announce10:http:\r\n//a".to_owned(),
            "`announce`: `http:",
            false,
        ),
        (
            "8:announce18:http://127.0.0.1:913:announce-list3:u:b".to_owned(),
            "`announce-list` must be a list, but is a string",
            true,
        ),
    ] {
        with_entries(&folder, &entries);
        for command in ["show", "magnet"] {
            let ended = folder.run([command, "a.torrent"]);
            ended.failed(0, &["warning: a.torrent: key ", said, "another place"]);
            assert_eq!(ended.stdout.contains("127.0.0.1"), has_tracker, "{ended:?}");
        }
        let shown = folder.run(["show", "a.torrent", "--json"]);
        assert!(shown.stderr.is_empty(), "{shown:?}");
        assert!(shown.stdout.contains(said), "{shown:?}");
        let mut client = folder.start(["client", "a.torrent", "0", "--json"]);
        let warning = client.wait("warning");
        assert!(
            warning["message"].as_str().unwrap().contains(said),
            "{warning}"
        );
        if !has_tracker {
            let alone = client.wait("warning");
            assert!(
                alone["message"]
                    .as_str()
                    .unwrap()
                    .contains("nobody is asked"),
                "{alone}"
            );
        }
        client.signal(Signal::TERM);
        client.end();
    }
}

#[test]
fn show_tells_people_what_a_torrent_holds() {
    let folder = Folder::new();
    folder.torrent("film.bin", 100_000);
    let said = folder.done(["show", "film.bin.torrent"]);
    for words in [
        "film.bin",
        "100000 bytes",
        "7 of 16 KiB",
        TRACKER,
        "UTC",
        "Shoal",
    ] {
        assert!(said.contains(words), "{words} is not in {said}");
    }
}

#[test]
fn hostile_text_cannot_steer_the_terminal() {
    let folder = Folder::new();
    let mut torrent = b"d8:announce14:http://a\x1b[2J/b7:comment6:\x1b]0;x\x07".to_vec();
    torrent.extend(b"4:infod6:lengthi1e4:name8:\x1b[31mred12:piece lengthi16384e6:pieces20:");
    torrent.extend([7; 20]);
    torrent.extend(b"ee");
    fs::write(folder.join("t"), torrent).unwrap();
    for line in [&["show", "t"][..], &["verify", "t"], &["magnet", "t"]] {
        let ended = folder.run(line);
        let said = format!("{}{}", ended.stdout, ended.stderr);
        let steers = |c: char| c.is_control() && c != '\n';
        assert!(!said.contains(steers), "{line:?}: {said:?}");
    }
}

#[test]
fn magnet_names_hash_and_tracker() {
    let folder = Folder::new();
    folder.torrent("a", 10);
    let link = folder.done(["magnet", "a.torrent"]);
    assert!(link.starts_with("magnet:?xt=urn:btih:"), "{link}");
    assert!(
        link.contains("&tr=http%3A%2F%2F127.0.0.1%3A9%2Fannounce"),
        "{link}"
    );
}

#[test]
fn verify_ends_well_only_when_everything_is_good() {
    let folder = Folder::new();
    let bytes = folder.torrent("a", 100_000);
    assert!(
        folder
            .done(["verify", "a.torrent"])
            .contains("a: whole, 7 pieces (")
    );

    let mut damaged = bytes.clone();
    damaged[20_000] ^= 1;
    fs::write(folder.join("a"), &damaged).unwrap();
    let ended = folder.run(["verify", "a.torrent"]);
    ended.failed(1, &["1 of 7 pieces"]);
    assert!(ended.stdout.contains("bad pieces: 1\n"), "{ended:?}");
    assert!(ended.stdout.contains("damaged    a"), "{ended:?}");

    fs::write(folder.join("a"), &bytes[..50_000]).unwrap();
    let ended = folder.run(["verify", "a.torrent"]);
    ended.failed(1, &["4 of 7 pieces"]);
    assert!(ended.stdout.contains("bad pieces: 3-6\n"), "{ended:?}");
    assert!(ended.stdout.contains("50000 of 100000 bytes"), "{ended:?}");

    fs::write(folder.join("a"), [&bytes[..], b"more"].concat()).unwrap();
    let ended = folder.run(["verify", "a.torrent"]);
    ended.failed(
        1,
        &[
            "all pieces are good, but too long: 1 of 1 file;",
            "truncate",
            "remove it",
        ],
    );
    assert!(
        !ended.stderr.contains("shoal client"),
        "it would not help: {ended:?}"
    );
    assert!(ended.stdout.contains("too long   a: 100004"), "{ended:?}");

    fs::remove_file(folder.join("a")).unwrap();
    let ended = folder.run(["verify", "a.torrent"]);
    ended.failed(1, &["7 of 7 pieces", "`shoal client` fetches"]);
    assert!(ended.stdout.contains("missing    a"), "{ended:?}");
    assert_eq!(folder.names().len(), 1, "verify made something");
}

#[test]
fn verify_tells_programs_which_pieces_and_files_are_bad() {
    let folder = Folder::new();
    for (name, length) in [("d/a", 20_000), ("d/b", 20_000), ("d/c", 0)] {
        folder.file(name, length);
    }
    folder.done(["create", "d", TRACKER]);
    fs::create_dir(folder.join("there")).unwrap();
    fs::rename(folder.join("d"), folder.join("there/d")).unwrap();
    fs::remove_file(folder.join("there/d/b")).unwrap();
    fs::remove_file(folder.join("there/d/c")).unwrap();
    let ended = folder.run(["verify", "d.torrent", "--dir", "there", "--json"]);
    assert_eq!(ended.code, Some(1));
    let events = ended.events("verify");
    let checked = events
        .iter()
        .find(|event| event["event"] == "checked")
        .unwrap();
    assert_eq!(checked["have"], 1);
    assert_eq!(checked["bytes_have"], 16_384);
    assert_eq!(checked["bad_pieces"], serde_json::json!([[1, 2]]));
    let bad: Vec<_> = checked["bad_files"].as_array().unwrap().iter().collect();
    let status: Vec<_> = bad
        .iter()
        .map(|file| file["status"].as_str().unwrap())
        .collect();
    assert_eq!(status, ["bad", "missing", "missing"]);
    assert_eq!(events.last().unwrap()["exit_code"], 1);
}

#[test]
fn verify_lists_what_it_cannot_read_and_goes_on() {
    let folder = Folder::new();
    let names = ["d/a", "d/b", "d/c", "d/e"];
    for name in names {
        folder.file(name, 20_000);
    }
    folder.done(["create", "d", TRACKER]);
    fs::remove_file(folder.join("d/a")).unwrap();
    fs::create_dir(folder.join("d/a")).unwrap();
    fs::rename(folder.join("d/b"), folder.join("b")).unwrap();
    std::os::unix::fs::symlink("../b", folder.join("d/b")).unwrap();
    fs::remove_file(folder.join("d/c")).unwrap();
    let ended = folder.run(["verify", "d.torrent"]);
    ended.failed(
        1,
        &[
            "4 of 5 pieces and 4 of 4 files",
            "move away",
            "`shoal client`",
        ],
    );
    for line in [
        "unusable   d/a: cannot",
        "unusable   d/b: cannot",
        "missing    d/c",
    ] {
        assert!(ended.stdout.contains(line), "{line} is not in {ended:?}");
    }
    let events = folder
        .run(["verify", "d.torrent", "--json"])
        .events("verify");
    let checked = events
        .iter()
        .find(|event| event["event"] == "checked")
        .unwrap();
    assert_eq!(checked["bad_pieces"], serde_json::json!([[0, 3]]));
    let bad = checked["bad_files"].as_array().unwrap();
    let status: Vec<_> = bad
        .iter()
        .map(|file| file["status"].as_str().unwrap())
        .collect();
    assert_eq!(status, ["unusable", "unusable", "missing", "bad"]);
    assert!(
        bad[0]["reason"].as_str().unwrap().contains("d/a"),
        "{bad:?}"
    );
    assert_eq!(events.last().unwrap()["exit_code"], 1);
}

#[test]
fn verify_that_nobody_hears_is_no_success() {
    let folder = Folder::new();
    folder.torrent("a", 10);
    for (line, code) in [
        (&["verify", "a.torrent", "--json"][..], 130),
        (&["verify", "a.torrent"], 0),
    ] {
        let mut command = folder.command(line);
        let ended = command.stdout(closed_pipe()).status().unwrap();
        assert_eq!(ended.code(), Some(code), "{line:?}");
    }
    fs::remove_file(folder.join("a")).unwrap();
    let mut command = folder.command(["verify", "a.torrent"]);
    let ended = command.stdout(closed_pipe()).status().unwrap();
    assert_eq!(ended.code(), Some(1));
}

#[test]
fn verify_of_a_folder_that_is_not_there_says_so() {
    let folder = Folder::new();
    folder.torrent("a", 10);
    folder
        .run(["verify", "a.torrent", "--dir", "nowhere"])
        .failed(1, &["the folder nowhere does not exist; --dir names"]);
    assert!(!folder.join("nowhere").exists());
}
