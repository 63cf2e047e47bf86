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
