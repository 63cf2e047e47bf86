//! npm's bittorrent-tracker, the client of WebTorrent, at our tracker: over HTTP by IPv4 and IPv6,
//! and over UDP by IPv4, which is all that it speaks of it.

use std::process::Command;

use crate::clients::script;
use crate::loopback::{announce_leech, tracker};
use crate::run;

const HASH: &str = "3333333333333333333333333333333333333333";

fn announce(url: &str, port: &str) -> String {
    let mut command = Command::new("node");
    let modules = std::env::var("SHOAL_NODE_MODULES");
    let modules = modules.expect("SHOAL_NODE_MODULES has bittorrent-tracker: see the README");
    command.env("SHOAL_NODE_MODULES", modules);
    run(command
        .arg(script("bittorrent_tracker_client.mjs"))
        .args([url, HASH, port]))
}

#[test]
fn client_of_webtorrent_announces_completes_scrapes_and_stops() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let log = dir.path().join("tracker.log");
    let both = ["--listen", "127.0.0.1:0", "--listen", "[::1]:0"];
    let (running, listens) = tracker(&both, &log);
    let [v4, v6] = listens[..] else {
        panic!("it listens at {listens:?}");
    };
    // Leeches that stay, of another make.
    announce_leech(v4, 8_001);
    announce_leech(v6, 8_002);
    let urls = [
        format!("http://{v4}/announce"),
        format!("udp://{v4}"),
        format!("http://{v6}/announce"),
    ];
    for (downloads, url) in (1..).zip(&urls) {
        let said = announce(url, &format!("{}", 7_000 + downloads));
        let numbers = |complete: u32, incomplete: u32| {
            format!("{{\"complete\":{complete},\"incomplete\":{incomplete}")
        };
        let (before, after) = (numbers(0, 3), numbers(1, 2));
        let downloaded = |count: u32| format!(",\"downloaded\":{count}");
        let expect = [
            format!("{{\"started\":{before}}}}}"),
            format!("{{\"scraped\":{before}{}}}}}", downloaded(downloads - 1)),
            format!("{{\"completed\":{after}}}}}"),
            format!("{{\"scraped\":{after}{}}}}}", downloaded(downloads)),
            format!("{{\"stopped\":{}}}}}", numbers(0, 2)),
        ];
        let (peers, lines): (Vec<_>, Vec<_>) =
            said.lines().partition(|line| line.starts_with("{\"peer\""));
        assert_eq!(lines, expect, "{url}");
        // Whom another told of, it is told of: BEP 23's and BEP 7's lists alike.
        assert!(peers.contains(&"{\"peer\":\"127.0.0.1:8001\"}"), "{said}");
        let has_v6 = peers.contains(&"{\"peer\":\"[::1]:8002\"}");
        assert_eq!(has_v6, url.starts_with("http:"), "{said}");
    }
    assert_eq!(running.interrupt(), Some(0), "it stops cleanly");
}
