//! The operator's door over loopback: who comes in, and what is done.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};

use serde_json::Value;
use shoal_metainfo::{InfoHash, PeerId};

use super::*;
use crate::announce::{AnnounceEvent, AnnounceRequest};
use crate::server::{FrontConfig, Server, ServerConfig, ServerHandle};

fn hash(number: u8) -> InfoHash {
    InfoHash([number; 20])
}

struct Door {
    handle: ServerHandle,
    public: SocketAddr,
    address: SocketAddr,
    token: String,
}

impl Door {
    fn open() -> Self {
        Self::open_with(None)
    }

    /// With torrents that are given by name.
    fn open_with(allowed: Option<std::collections::BTreeSet<InfoHash>>) -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let admin = AdminConfig {
            listen: any,
            token_file: None,
        };
        let config = ServerConfig {
            listen: vec![any],
            udp_workers: 0,
            allowed,
            front: FrontConfig {
                admin: Some(admin),
                ..FrontConfig::default()
            },
            ..ServerConfig::default()
        };
        let server = task::block_on(Server::bind(config)).unwrap();
        let (public, door) = (server.local_addrs()[0], server.admin().unwrap());
        let handle = server.spawn();
        for torrent in 1..=3 {
            let request = AnnounceRequest {
                info_hash: InfoHash([torrent; 20]),
                peer_id: PeerId(*b"-TR4050-abcdefghijkl"),
                port: 7_000,
                uploaded: 0,
                downloaded: 0,
                left: 5,
                event: Some(AnnounceEvent::Started),
                numwant: None,
                key: 0,
                tracker_id: None,
                compact: true,
            };
            let registry = &handle.shared.registry;
            let ip = [10, 66, 77, 88].into();
            registry
                .announce(std::time::Instant::now(), &request, ip)
                .unwrap();
        }
        Self {
            handle,
            public,
            address: door.address,
            token: door.token.unwrap(),
        }
    }

    fn raw(&self, head: &str, body: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let length = body.len();
        let fields = format!("Content-Length: {length}\r\nConnection: close\r\n\r\n");
        write!(stream, "{head}{fields}{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head[9..12].parse().unwrap();
        (status, head.to_lowercase(), body.to_owned())
    }

    fn ask(&self, line: &str, body: &str) -> (u16, Value) {
        let (address, token) = (self.address, &self.token);
        let head =
            format!("{line} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n");
        let (status, head, body) = self.raw(&head, body);
        // Never for another site to read.
        assert!(!head.contains("access-control"), "{head}");
        (status, serde_json::from_str(&body).unwrap_or(Value::Null))
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        task::block_on(self.handle.stop());
    }
}

#[test]
fn operator_looks_at_torrents_and_removes_them() {
    let door = Door::open();
    let (status, all) = door.ask("GET /api/torrents", "");
    assert_eq!((status, &all["total"]), (200, &3.into()));
    assert_eq!(all["torrents"].as_array().unwrap().len(), 3);
    let (_, one) = door.ask(&format!("GET /api/torrents/{}", hash(1)), "");
    assert_eq!(one["peers"][0]["address"], "10.66.77.88:7000");
    assert_eq!(one["peers"][0]["client"], "Transmission 4.0.5.0");
    let remove = format!("DELETE /api/torrents/{}", hash(1));
    assert_eq!(door.ask(&remove, "").0, 204);
    assert_eq!(door.ask(&remove, "").0, 404);
    let body = format!("{{\"info_hashes\":[\"{}\",\"{}\"]}}", hash(1), hash(2));
    let (status, removed) = door.ask("POST /api/torrents/remove", &body);
    assert_eq!((status, &removed["removed"]), (200, &1.into()));
    assert_eq!(door.handle.shared.registry.size(), (1, 1));
    assert_eq!(door.ask("GET /api/stats", "").1["peers"], 1);
}

#[test]
fn torrent_that_is_served_by_name_or_by_list_is_not_removed() {
    let door = Door::open_with(Some((1..=3).map(hash).collect()));
    door.handle.policy().allow(hash(4));
    for (n, why) in [(1, "on the command line"), (4, "a list allows it")] {
        let (status, answer) = door.ask(&format!("DELETE /api/torrents/{}", hash(n)), "");
        let error = answer["error"].as_str().unwrap();
        assert_eq!(status, 409, "{error}");
        assert!(
            error.contains(why) && error.contains("/api/lists/deny"),
            "{error}"
        );
    }
    let body = format!("{{\"info_hashes\":[\"{}\"]}}", hash(2));
    assert_eq!(door.ask("POST /api/torrents/remove", &body).0, 409);
    assert_eq!(door.handle.shared.registry.size(), (4, 3));
    // What the answer advises helps.
    door.ask("POST /api/lists/deny", &body);
    assert_eq!(door.handle.shared.registry.size(), (3, 2));
    assert_eq!(
        door.ask(&format!("DELETE /api/torrents/{}", hash(2)), "").0,
        404
    );
}

#[test]
fn operator_turns_pages_of_torrents_and_keys() {
    let door = Door::open();
    for _ in 0..5 {
        assert_eq!(door.ask("POST /api/keys", "{}").0, 201);
    }
    for (path, name, key, total) in [
        ("/api/torrents", "torrents", "info_hash", 3),
        ("/api/keys", "keys", "key", 5),
    ] {
        let (mut had, mut query) = (Vec::new(), "?limit=2".to_owned());
        loop {
            let (status, page) = door.ask(&format!("GET {path}{query}"), "");
            assert_eq!((status, &page["total"]), (200, &total.into()), "{page}");
            let entries = page[name].as_array().unwrap();
            had.extend(
                entries
                    .iter()
                    .map(|entry| entry[key].as_str().unwrap().to_owned()),
            );
            let Some(next) = page["next"].as_str() else {
                break;
            };
            assert_eq!(entries.len(), 2);
            query = format!("?after={next}&limit=2");
        }
        assert_eq!(had.len(), total, "{path}");
        assert!(had.is_sorted_by(|a, b| a < b), "{had:?}");
        for wrong in ["?after=x", "?limit=0", "?limit=1001", "?page=2"] {
            assert_eq!(
                door.ask(&format!("GET {path}{wrong}"), "").0,
                400,
                "{wrong}"
            );
        }
    }
}

#[test]
fn operator_turns_pages_of_lists_and_fills_them_up() {
    let door = Door::open();
    let body = |numbers: std::ops::Range<u8>| {
        let hashes: Vec<_> = numbers.map(|n| hash(n).to_string()).collect();
        serde_json::json!({ "info_hashes": hashes }).to_string()
    };
    let policy = door.handle.policy();
    policy.set_listed(Some((10..15).map(hash).collect()), Default::default());
    policy.set_listed_max(7);
    assert_eq!(door.ask("POST /api/lists/deny", &body(11..18)).0, 200);
    let (status, answer) = door.ask("POST /api/lists/deny", &body(17..19));
    let error = answer["error"].as_str().unwrap_or_default();
    assert!(status == 409 && error.contains("denied here"), "{answer}");
    let (mut had, mut query) = ((Vec::new(), Vec::new()), "?limit=3".to_owned());
    loop {
        let (status, page) = door.ask(&format!("GET /api/lists{query}"), "");
        assert_eq!((status, &page["denied_total"]), (200, &7.into()), "{page}");
        for (name, had) in [("allowed", &mut had.0), ("denied", &mut had.1)] {
            let hashes = page[name].as_array().unwrap().iter();
            had.extend(hashes.map(|hash| hash.as_str().unwrap().to_owned()));
        }
        let Some(next) = page["next"].as_str() else {
            break;
        };
        query = format!("?after={next}&limit=3");
    }
    let hex = |numbers: std::ops::Range<u8>| numbers.map(|n| hash(n).to_string()).collect();
    assert_eq!(had, (hex(10..15), hex(11..18)));
    assert_eq!(
        door.ask("POST /api/lists/clear", &body(11..13)).1["changed"],
        2
    );
    assert_eq!(
        door.ask("POST /api/lists/deny", &body(17..19)).1["changed"],
        1
    );
    for wrong in ["?after=x", "?limit=0", "?limit=1001", "?page=2"] {
        let status = door.ask(&format!("GET /api/lists{wrong}"), "").0;
        assert_eq!(status, 400, "{wrong}");
    }
}

#[test]
fn what_is_wrong_is_told_by_its_status() {
    let door = Door::open();
    let long = " ".repeat(limits::ADMIN_BODY_BYTES_MAX + 1);
    for (line, body, expect) in [
        ("GET /api/nothing", "", 404),
        ("GET /api/", "", 404),
        ("GET /nothing", "", 404),
        ("PUT /api/torrents", "", 405),
        ("POST /api/stats", "", 405),
        ("GET /api/torrents/remove", "", 405),
        ("POST /", "", 405),
        ("GET /api/torrents/xyz", "", 400),
        ("POST /api/torrents/remove", "[", 400),
        ("POST /api/torrents/remove", "{}", 400),
        ("POST /api/torrents/remove", &long, 413),
    ] {
        let (status, answer) = door.ask(line, body);
        assert_eq!(status, expect, "{line}");
        assert!(
            answer["error"].is_string() || expect == 413,
            "{line}: {answer}"
        );
    }
}

#[test]
fn only_the_token_opens_and_only_by_address() {
    let door = Door::open();
    let (address, token) = (door.address, &door.token);
    let status = |line: &str, host: &str, authorization: &str| {
        let head = format!("{line} HTTP/1.1\r\nHost: {host}\r\n{authorization}\r\n");
        let head = head.replace("\r\n\r\n", "\r\n");
        door.raw(&head, "").0
    };
    let host = address.to_string();
    let bearer = format!("Authorization: Bearer {token}");
    let api = "GET /api/torrents";
    assert_eq!(status(api, &host, &bearer), 200);
    assert_eq!(status(api, "localhost", &bearer), 200);
    assert_eq!(status(api, "[::1]:5", &bearer), 200);
    for name in [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil:1",
        "",
        "::1",
    ] {
        assert_eq!(status(api, name, &bearer), 421, "{name}");
    }
    for wrong in ["", "Authorization: Bearer x", "Authorization: Basic eDp5"] {
        assert_eq!(status(api, &host, wrong), 401, "{wrong}");
        assert_eq!(status("GET /", &host, wrong), 401, "{wrong}");
    }
    // What is shown here is not where strangers look.
    let page = |address: SocketAddr, extra: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        let hash = InfoHash([1; 20]);
        write!(
            stream,
            "GET /torrent/{hash} HTTP/1.1\r\nHost: {address}\r\n{extra}Connection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let bearer = format!("{bearer}\r\n");
    assert!(page(address, &bearer).contains("10.66.77.88:7000"));
    let public = page(door.public, &bearer);
    assert!(public.contains("Transmission") && !public.contains("10.66.77.88"));
}

#[test]
fn operator_changes_lists_and_keys() {
    let door = Door::open();
    let one = InfoHash([1; 20]).to_string();
    let body = format!("{{\"info_hashes\":[\"{one}\"]}}");
    let (status, answer) = door.ask("POST /api/lists/deny", &body);
    assert_eq!((status, &answer["changed"]), (200, &1.into()));
    // Who is denied is gone.
    assert_eq!(door.ask(&format!("GET /api/torrents/{one}"), "").0, 404);
    assert_eq!(door.ask("GET /api/lists", "").1["denied"][0], one.as_str());
    assert_eq!(door.ask("POST /api/lists/clear", &body).1["changed"], 1);
    assert_eq!(door.ask("GET /api/lists", "").1["denied_total"], 0);
    let (status, made) = door.ask("POST /api/keys", "{\"peers_max\":3}");
    assert_eq!(status, 201);
    let key = made["key"].as_str().unwrap();
    let path = format!("/api/keys/{key}");
    let (_, shown) = door.ask(&format!("GET {path}"), "");
    assert_eq!(
        (&shown["peers_max"], &shown["expires"]),
        (&3.into(), &Value::Null)
    );
    assert_eq!(door.ask("GET /api/keys", "").1["total"], 1);
    assert_eq!(door.ask(&format!("DELETE {path}"), "").0, 204);
    assert_eq!(door.ask(&format!("DELETE {path}"), "").0, 404);
    for (line, body, expect) in [
        ("POST /api/keys", "{\"peers\":3}", 400),
        ("GET /api/keys/xyz", "", 400),
        ("PUT /api/keys", "", 405),
        ("GET /api/lists/deny", "", 405),
        ("GET /api/lists/other", "", 404),
    ] {
        assert_eq!(door.ask(line, body).0, expect, "{line}");
    }
}
