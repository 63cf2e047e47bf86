//! npm's bittorrent-tracker, the client of WebTorrent, at our tracker: over HTTP by IPv4 and IPv6,
//! and over UDP by IPv4, which is all that it speaks of it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use crate::clients::{script, shoal_binary};
use crate::net::Running;
use crate::run;
use crate::store::room::wait;

const HASH: &str = "3333333333333333333333333333333333333333";

/// Our tracker on both loopback addresses.
fn tracker(dir: &tempfile::TempDir) -> (Running, SocketAddr, SocketAddr) {
    let mut command = Command::new(shoal_binary());
    command.args([
        "tracker",
        "--no-state",
        "--listen",
        "127.0.0.1:0",
        "--listen",
        "[::1]:0",
        "--json",
    ]);
    let running = Running::start(&mut command, &dir.path().join("tracker.log"));
    let mut listens = Vec::new();
    wait(
        "the tracker listens",
        || running.said(),
        || {
            let said = running.said();
            let list = said.split_once("\"listen\":[").map_or("", |(_, rest)| rest);
            let list = list.split(']').take(3).collect::<Vec<_>>().join("]");
            listens = list
                .split('"')
                .filter_map(|word| word.parse().ok())
                .collect();
            listens.len() >= 2
        },
    );
    let of = |is_v6: bool| {
        let one = listens
            .iter()
            .find(|address: &&SocketAddr| address.is_ipv6() == is_v6);
        *one.expect("it listens on both")
    };
    let (v4, v6) = (of(false), of(true));
    (running, v4, v6)
}

fn announce(url: &str, port: &str) -> String {
    let mut command = Command::new("node");
    let modules = std::env::var("SHOAL_NODE_MODULES");
    let modules = modules.expect("SHOAL_NODE_MODULES has bittorrent-tracker: see the README");
    command.env("SHOAL_NODE_MODULES", modules);
    run(command
        .arg(script("bittorrent_tracker_client.mjs"))
        .args([url, HASH, port]))
}

/// A leech that stays, of another make.
fn stay(address: SocketAddr, port: u16) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    let hash = "3".repeat(20);
    let head = format!(
        "GET /announce?info_hash={hash}&peer_id=-XX0001-000000000000&port={port}\
         &uploaded=0&downloaded=0&left=5&compact=1 HTTP/1.0\r\n\r\n"
    );
    stream
        .write_all(head.as_bytes())
        .expect("a request is taken");
    stream.read_to_end(&mut Vec::new()).expect("an answer");
}

#[test]
fn client_of_webtorrent_announces_completes_scrapes_and_stops() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (running, v4, v6) = tracker(&dir);
    stay(v4, 8_001);
    stay(v6, 8_002);
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
