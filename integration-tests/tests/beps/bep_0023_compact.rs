//! BEP 23: compact peers, and dictionaries for those who want them.

use std::net::{IpAddr, SocketAddr};

use shoal_bencode::{Options, Value, parse};
use shoal_integration_tests::{Content, StubTracker, TestPeer, TestTracker};

use crate::query;

const FIRST: &str = "aaaaaaaaaaaaaaaaaaaa";

/// What our tracker answers to the second peer of a torrent, with this added to its query.
fn second_answer(further: &str) -> Vec<u8> {
    let content = Content::single(100_000);
    let tracker = TestTracker::start();
    let first = format!("/announce?{}", query(&content, FIRST, 0x1234));
    let _ = tracker.get(first.as_bytes());
    let second = query(&content, "bbbbbbbbbbbbbbbbbbbb", 0x5678);
    let (status, body) = tracker.get(format!("/announce?{second}{further}").as_bytes());
    assert_eq!(status, "HTTP/1.1 200 OK");
    body
}

#[test]
fn tracker_gives_compact_peers_unless_asked_not_to() {
    for further in ["", "&compact=1"] {
        let body = second_answer(further);
        let tree = parse(&body, Options::strict()).unwrap();
        let answer = tree.root().as_dict().unwrap();
        assert_eq!(answer.bytes("peers"), Ok(&b"\x7f\0\0\x01\x12\x34"[..]));
    }
}

#[test]
fn tracker_gives_dictionaries_to_those_who_want_them() {
    for (further, id) in [("&compact=0", true), ("&compact=0&no_peer_id=1", false)] {
        let body = second_answer(further);
        let tree = parse(&body, Options::strict()).unwrap();
        let answer = tree.root().as_dict().unwrap();
        let peers: Vec<_> = answer.list("peers").unwrap().collect();
        let [peer] = peers[..] else {
            panic!("{} peers", peers.len());
        };
        let peer = peer.as_dict().unwrap();
        assert_eq!(peer.text("ip"), Ok("127.0.0.1"));
        assert_eq!(peer.int("port"), Ok(0x1234));
        let expect = id.then_some(FIRST.as_bytes());
        assert_eq!(peer.opt_bytes("peer id"), Ok(expect));
    }
}

fn fills_from(peers: impl Fn(SocketAddr) -> Value<'static>) {
    let content = Content::single(300_000);
    let seeder = TestPeer::seeder(&content).start();
    let body = Value::dict([
        ("interval", Value::from(60)),
        ("peers", peers(seeder.address())),
    ]);
    let stub = StubTracker::with_body(body.encode());
    let leecher = TestPeer::leecher(&content).tier([stub.url()]).start();
    leecher.wait_complete();
    content.assert_identical(leecher.dir());
    assert!(stub.requests()[0].contains("compact=1"));
}

#[test]
fn client_takes_compact_peers() {
    fills_from(|address| {
        let IpAddr::V4(ip) = address.ip() else {
            unreachable!("on 127.0.0.1");
        };
        Value::from([&ip.octets()[..], &address.port().to_be_bytes()].concat())
    });
}

#[test]
fn client_takes_dictionaries() {
    fills_from(|address| {
        let peer = Value::dict([
            ("ip", Value::from(address.ip().to_string())),
            ("peer id", Value::from(FIRST)),
            ("port", Value::from(address.port())),
        ]);
        Value::list([peer])
    });
}
