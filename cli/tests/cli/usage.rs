//! Options, help, and what is wrong usage: exit codes 0 and 2.

use std::process::{Command, Stdio};

use crate::support::Folder;

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[test]
fn help_and_version_end_well() {
    let folder = Folder::new();
    for line in ["--help", "-h", "help", "--version", "help client"] {
        assert!(folder.done(words(line)).contains("shoal"), "{line}");
    }
    for command in [
        "create",
        "tracker",
        "client",
        "get",
        "show",
        "verify",
        "magnet",
        "dht",
        "completions",
        "demo",
    ] {
        assert!(
            folder.done([command, "--help"]).contains("USAGE"),
            "{command}"
        );
    }
}

#[test]
fn wrong_usage_ends_with_two_and_says_why() {
    let folder = Folder::new();
    for (line, said) in [
        ("", "USAGE"),
        ("swim", "no command `swim`"),
        ("swim --json", "create, tracker, keys, client, get, show"),
        ("trakcer a", "did you mean `tracker`?"),
        ("create", "PATH"),
        ("create p", "TRACKER_URL"),
        (
            "create p tracker.example:6969/announce",
            "http://tracker.example:6969/announce",
        ),
        ("create p gopher://a/announce", "http, https or udp"),
        ("create p wss://a/announce", "WebTorrent"),
        ("create p udp://a", "udp://HOST:PORT"),
        ("create p http://a/ --piece-length 17KiB", "power of two"),
        ("create p http://a/ --piece-length 1K", "KiB"),
        ("create p http://a/ --web-seed ftp://a", "web seed"),
        (
            "create p http:// --json",
            "http://tracker.example:6969/announce",
        ),
        ("create p http://a:0/announce", "port 0"),
        ("create p http:a/announce", "http://a/announce"),
        ("tracker --listen nowhere", "nowhere"),
        ("tracker --listen 65536", "65535"),
        ("tracker --interval 0 --json", "--interval"),
        ("tracker --interval soon", "whole number"),
        ("client t --dir=", "--dir"),
        ("create p http://a/ --output=", "--output"),
        ("tracker --interval 0", "--interval"),
        ("client", "TORRENT"),
        ("client t 65536", "a number from 0 to 65535"),
        ("client t x", "a number from 0 to 65535"),
        ("demo --peers 65536", "whole number"),
        ("client t 0 --max-upload 8Mbit/s", "bytes"),
        ("client t 0 --max-download 0", "no limit"),
        ("client t --json-pieces", "--json"),
        ("completions vi", "vi"),
        ("demo --peers 0", "--peers"),
        ("demo --size 0", "--size"),
        ("demo --size much", "much"),
    ] {
        let ended = folder.run(words(line));
        ended.failed(2, &[said]);
        assert_eq!(ended.stdout, "", "{line}");
        assert!(!ended.stderr.contains("target type"), "{}", ended.stderr);
    }
    assert!(folder.names().is_empty());
}

#[test]
fn mistyped_peer_is_wrong_usage_and_an_unknown_name_is_not() {
    let folder = Folder::new();
    folder.torrent("a", 10);
    let client = |peer| folder.run(["client", "a.torrent", "0", "--peer", peer]);
    client("127.0.0.1").failed(2, &["ADDRESS:PORT", "NAME:PORT"]);
    // Source: RFC 6761: a name that nobody has.
    client("nosuch.invalid:1").failed(
        1,
        &["cannot find the address of nosuch.invalid", "ADDRESS:PORT"],
    );
}

/// All options are understood: what fails is only that nothing is there.
#[test]
fn every_option_of_the_contract_is_taken() {
    let folder = Folder::new();
    for line in [
        "create missing http://t/a udp://u:1 -o f --piece-length 16KiB --private --comment c \
         --source s --web-seed http://w/1 --web-seed http://w/2 --no-date --json \
         --include-hidden --force",
        "tracker missing --listen 127.0.0.1:0 --listen [::1]:0 --interval 60 --status-every 5 \
         --json --trust-forwarded-for --trusted-proxy 10.0.0.0/8 --trusted-proxy ::1 \
         --tls-cert c --tls-key k --full-scrape --pages sums --admin=127.0.0.1:0 \
         --admin-token-file t",
        "client missing 0 --dir d --exit-when-complete --peer 127.0.0.1:5 --peer [::1]:6 \
         --no-tracker --max-upload 5MiB/s --max-download 10MB --json -v \
         --proxy socks5://u:p@127.0.0.1:1080",
        "get missing",
        "show missing --json --scrape --proxy socks5://127.0.0.1:1080",
        "verify missing --dir d --json",
        "magnet missing",
    ] {
        folder.run(words(line)).failed(1, &["missing"]);
    }
}

#[test]
fn completions_are_made_for_each_shell() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = folder.done(["completions", shell]);
        assert!(script.contains("exit-when-complete"), "{shell}");
    }
}

#[test]
fn reader_that_goes_away_is_no_failure() {
    let folder = Folder::new();
    folder.torrent("a", 10);
    for line in [
        vec!["completions", "zsh"],
        vec!["show", "a.torrent"],
        vec!["--help"],
    ] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_shoal"))
            .args(&line)
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{line:?}: {output:?}");
        assert!(output.stderr.is_empty(), "{line:?}: {output:?}");
    }
}
