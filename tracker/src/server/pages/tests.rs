//! Pages as strangers get them, over loopback.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use async_std::task;
use shoal_metainfo::{InfoHash, PeerId};

use super::*;
use crate::announce::AnnounceEvent;
use crate::announce::AnnounceRequest;
use crate::server::{FrontConfig, Server, ServerConfig, ServerHandle};

const EVIL: &str = "<script>alert('1')</script>\"&amp;\u{202e}";

fn start(pages: Pages) -> (ServerHandle, SocketAddr) {
    let names = BTreeMap::from([(InfoHash([1; 20]), EVIL.to_owned())]);
    let config = ServerConfig {
        listen: vec![(Ipv4Addr::LOCALHOST, 0).into()],
        udp_workers: 0,
        front: FrontConfig {
            pages,
            names,
            full_scrape: pages == Pages::Sums,
            ..FrontConfig::default()
        },
        ..ServerConfig::default()
    };
    let server = task::block_on(Server::bind(config)).unwrap();
    let address = server.local_addrs()[0];
    let handle = server.spawn();
    // Torrent n of 120 has n peers behind one address, and one seed.
    for torrent in 1..=120u8 {
        for port in 1..=u16::from(torrent) {
            announce(&handle, torrent, port);
        }
    }
    (handle, address)
}

fn announce(handle: &ServerHandle, torrent: u8, port: u16) {
    let request = AnnounceRequest {
        info_hash: InfoHash([torrent; 20]),
        peer_id: PeerId(*b"-<b1234-<i>abcdefghi"),
        port,
        uploaded: 0,
        downloaded: 0,
        left: u64::from(port - 1),
        event: Some(AnnounceEvent::Started),
        numwant: Some(0),
        key: 0,
        tracker_id: None,
        compact: true,
    };
    let ip = [10, 66, 77, 88].into();
    handle
        .shared
        .registry
        .announce(now(), &request, ip)
        .unwrap();
}

/// Head and body of a page, as a browser asks for it.
fn get(address: SocketAddr, target: &str) -> (String, String) {
    ask(
        address,
        &format!("GET {target} HTTP/1.1\r\nAccept: text/html,*/*\r\n"),
    )
}

fn ask(address: SocketAddr, head: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "{head}Host: t\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), body.to_owned())
}

fn stop(handle: &ServerHandle) {
    task::block_on(handle.stop());
}

#[test]
fn status_page_shows_the_largest_torrents_a_page_at_a_time() {
    let (handle, address) = start(Pages::All);
    let (head, first) = get(address, "/");
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let rows = |page: &str| page.matches("<tr data-key=").count();
    assert_eq!(rows(&first), limits_rows());
    assert!(first.contains("1–100 of 120"));
    assert!(first.find(&"78".repeat(20)) < first.find(&"77".repeat(20)));
    let (_, second) = get(address, "/?page=2&sort=seeders");
    assert_eq!(rows(&second), 20);
    // Of a name, of a part of the hash, of all of it, of nothing.
    let check =
        |target: &str, expect| assert_eq!(rows(&get(address, target).1), expect, "{target}");
    check("/?q=%3CSCRIPT", 1);
    check("/?q=7777", 1);
    check(&format!("/?q={}", "05".repeat(20)), 1);
    check(&format!("/?q={}", "ff".repeat(20)), 0);
    check("/?q=nothing", 0);
    check("/?page=99", 20);
    stop(&handle);
}

fn limits_rows() -> usize {
    crate::limits::ROWS_MAX
}

#[test]
fn nothing_from_outside_is_markup_and_nothing_but_our_script_may_run() {
    let (handle, address) = start(Pages::All);
    let torrent = format!("/torrent/{}", "01".repeat(20));
    let reflected = "/?q=%22%3E%3Cimg+src=x+onerror=alert(1)%3E";
    for target in ["/", reflected, &torrent] {
        let (head, page) = get(address, target);
        let nonce = head.split("script-src 'nonce-").nth(1).unwrap();
        let nonce = nonce.split('\'').next().unwrap();
        assert_eq!(page.matches("<script").count(), 1, "{target}");
        assert!(page.contains(&format!("<script nonce=\"{nonce}\">")));
        for evil in ["<img", "<b", "alert('", "\u{202e}", "<i>"] {
            let page = page.replace("<body>", "");
            assert!(!page.contains(evil), "{target}: {evil}");
        }
        for (name, value) in [
            ("content-security-policy", "default-src 'none'"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert!(head.contains(&format!("{name}: {value}")), "{head}");
        }
        assert_ne!(
            get(address, target).0,
            head,
            "each page has a nonce of its own"
        );
    }
    stop(&handle);
}

#[test]
fn torrent_page_counts_clients_and_tells_strangers_no_address() {
    let (handle, address) = start(Pages::All);
    let (_, page) = get(address, &format!("/torrent/{}", "78".repeat(20)));
    assert!(page.contains("&lt;b 1.2.3.4"), "{page}");
    assert!(page.contains("Completeness") && !page.contains("10.66.77.88"));
    let (head, page) = get(address, &format!("/torrent/{}", "ff".repeat(20)));
    assert!(head.starts_with("http/1.1 404") && page.contains("does not know"));
    for nothing in ["/torrent/", "/torrent/xyz", "/torrent/../x", "/other"] {
        assert!(
            get(address, nothing).0.starts_with("http/1.1 404"),
            "{nothing}"
        );
    }
    stop(&handle);
}

#[test]
fn programs_get_numbers() {
    let (handle, address) = start(Pages::All);
    let (head, json) = get(address, "/stats.json");
    assert!(head.contains("content-type: application/json"));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["torrents"], &json["seeders"]),
        (&120.into(), &120.into())
    );
    assert_eq!(json["peers"], (1..=120).sum::<u64>());
    let (_, metrics) = get(address, "/metrics");
    assert!(
        metrics.contains("\nshoal_tracker_peers{kind=\"seeder\"} 120\n"),
        "{metrics}"
    );
    let samples = metrics.lines().filter(|line| !line.starts_with('#'));
    for line in samples {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(
            name.starts_with("shoal_tracker_") && value.parse::<u64>().is_ok(),
            "{line}"
        );
    }
    // Who does not ask for a page gets plain text, as ever.
    let (_, text) = ask(address, "GET / HTTP/1.1\r\nAccept: */*\r\n");
    assert!(text.starts_with("Shoal tracker\ntorrents 120\n"), "{text}");
    let (head, body) = ask(address, "HEAD / HTTP/1.1\r\nAccept: text/html\r\n");
    assert!(head.contains("text/html") && body.is_empty());
    stop(&handle);
}

#[test]
fn strangers_are_shown_no_more_than_they_may_see() {
    let (handle, address) = start(Pages::Sums);
    let (_, page) = get(address, "/?q=01");
    assert!(page.contains("Announces/s") && !page.contains(&"01".repeat(20)));
    let hidden = format!("/torrent/{}", "01".repeat(20));
    assert!(get(address, &hidden).0.starts_with("http/1.1 404"));
    // Only where it was asked for.
    let (_, all) = ask(address, "GET /scrape HTTP/1.1\r\n");
    assert_eq!(all.matches("10:downloaded").count(), 120);
    stop(&handle);
    let (handle, address) = start(Pages::Health);
    for path in ["/", "/stats.json", "/metrics", &hidden] {
        assert!(get(address, path).0.starts_with("http/1.1 404"), "{path}");
    }
    assert_eq!(get(address, "/health").1, "ok\n");
    let (_, refused) = ask(address, "GET /scrape HTTP/1.1\r\n");
    assert!(refused.contains("info_hash"), "{refused}");
    stop(&handle);
}
