//! `shoal show --scrape`, and what a proxy forbids.

use serde_json::json;

use crate::support::{Folder, free_port};

#[test]
fn scrape_tells_what_each_tracker_knows() {
    let folder = Folder::new();
    folder.file("a", 100_000);
    let url = format!("http://127.0.0.1:{}/announce", free_port());
    let dead = format!("http://127.0.0.1:{}/announce", free_port());
    folder.done(["create", "a", &url, &dead, "http://192.0.2.1/x"]);
    let mut tracker = folder.start([
        "tracker",
        "a.torrent",
        "--json",
        "--listen",
        &url[7..url.len() - 9],
    ]);
    tracker.wait("started");
    let mut seeder = folder.start(["client", "a.torrent", "0", "--json"]);
    seeder.wait("complete");
    tracker.wait("announce");
    let shown = folder.done(["show", "a.torrent", "--scrape", "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let [good, gone, other] = &shown["scrapes"].as_array().unwrap()[..] else {
        panic!("{shown}")
    };
    let expect = json!({
        "tracker": url, "seeders": 1, "leechers": 0, "completed": 0, "error": null
    });
    assert_eq!(good, &expect);
    assert_eq!(gone["seeders"], json!(null));
    let error = |told: &serde_json::Value| told["error"].as_str().unwrap().to_owned();
    assert!(error(gone).contains("cannot connect"), "{gone}");
    assert!(error(other).contains("no scrape address"), "{other}");

    let text = folder.done(["show", "a.torrent", "--scrape"]);
    assert!(
        text.contains("1 seeder, 0 leechers, 0 completions"),
        "{text}"
    );
    let plain = folder.done(["show", "a.torrent", "--json"]);
    assert!(!plain.contains("scrapes"), "only when it is asked for");
}

#[test]
fn scrape_without_an_answer_fails_when_all_is_told() {
    let folder = Folder::new();
    folder.file("a", 10);
    let dead = format!("http://127.0.0.1:{}/announce", free_port());
    folder.done(["create", "a", &dead, "http://192.0.2.1/x"]);
    let lonely =
        "d4:infod6:lengthi1e4:name1:b12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaaee";
    std::fs::write(folder.join("b.torrent"), lonely).unwrap();
    let shown = folder.run(["show", "a.torrent", "--scrape"]);
    assert!(shown.stdout.contains("cannot connect"), "{}", shown.stdout);
    shown.failed(1, &["no tracker told"]);
    let shown = folder.run(["show", "a.torrent", "--scrape", "--json"]);
    let lines: Vec<serde_json::Value> = shown
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["scrapes"].as_array().map(Vec::len), Some(2));
    assert_eq!(lines[1]["event"], "error");
    shown.failed(1, &["no tracker told"]);
    let shown = folder.run(["show", "b.torrent", "--scrape"]);
    shown.failed(1, &["names no tracker"]);
}

#[test]
fn unusable_proxy_is_wrong_usage() {
    let folder = Folder::new();
    folder.torrent("a", 10);
    let client = |proxy: &str, peer: &str| {
        let line = ["client", "a.torrent", "0", "--proxy", proxy, "--peer", peer];
        folder.run(line)
    };
    client("http://127.0.0.1:1", "127.0.0.1:1").failed(2, &["--proxy", "socks5://HOST:PORT"]);
    client("socks5://127.0.0.1", "127.0.0.1:1").failed(2, &["--proxy", "no port"]);
    client("socks5://127.0.0.1:1", "name.invalid:1").failed(2, &["--peer", "the peer's address"]);
    let shown = folder.run(["show", "a.torrent", "--proxy", "socks5://127.0.0.1:1"]);
    shown.failed(2, &["--scrape"]);
}
