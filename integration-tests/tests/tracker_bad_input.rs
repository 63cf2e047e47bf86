//! Bad input at both ends of a tracker: announces that our server must refuse by name, and trackers
//! that our client must survive. BEP 3 "trackers".

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};

use shoal_bencode::{Options, parse};
use shoal_integration_tests::{Answer, Content, RawPeer, StubTracker, TestPeer, TestTracker, http};
use shoal_peer::Event;

/// A good announce, in parts.
fn good(content: &Content) -> Vec<(&'static str, String)> {
    let hash = content
        .info_hash()
        .0
        .iter()
        .fold(String::new(), |mut out, byte| {
            let _ = write!(out, "%{byte:02X}");
            out
        });
    let rest = [
        ("peer_id", "aaaaaaaaaaaaaaaaaaaa"),
        ("port", "6881"),
        ("uploaded", "0"),
        ("downloaded", "0"),
        ("left", "1"),
    ];
    let rest = rest.map(|(name, value)| (name, value.to_owned()));
    [("info_hash", hash)].into_iter().chain(rest).collect()
}

fn target(parts: &[(&str, String)]) -> Vec<u8> {
    let parts = parts.iter().map(|(name, value)| format!("{name}={value}"));
    let parts: Vec<_> = parts.collect();
    format!("/announce?{}", parts.join("&")).into_bytes()
}

/// The failure reason of an answer with status 200, if it is one.
fn failure(tracker: &TestTracker, target: &[u8]) -> Option<String> {
    let (status, body) = tracker.get(target);
    assert_eq!(status, "HTTP/1.1 200 OK", "{}", target.escape_ascii());
    let tree = parse(&body, Options::strict()).expect("canonical bencode");
    let answer = tree.root().as_dict().expect("a dictionary");
    let reason = answer.opt_text("failure reason").expect("text");
    reason.map(str::to_owned)
}

/// Asserts that the announce is refused with a reason that names the parameter.
fn check(tracker: &TestTracker, target: &[u8], names: &str) {
    let reason = failure(tracker, target);
    let reason = reason.unwrap_or_else(|| panic!("accepted {}", target.escape_ascii()));
    assert!(reason.contains(names), "`{reason}` does not name {names}");
}

/// The good announce with one value changed.
fn changed(content: &Content, name: &'static str, value: &str) -> Vec<u8> {
    let mut parts = good(content);
    parts.retain(|(other, _)| *other != name);
    parts.push((name, value.to_owned()));
    target(&parts)
}

#[test]
fn every_parameter_missing_doubled_or_wrong_is_refused_by_name() {
    let content = Content::single(1);
    let tracker = TestTracker::start();
    let parts = good(&content);
    for (at, part) in parts.iter().enumerate() {
        let mut missing = parts.clone();
        missing.remove(at);
        check(&tracker, &target(&missing), part.0);
        let mut doubled = parts.clone();
        doubled.push(part.clone());
        check(&tracker, &target(&doubled), part.0);
        let wrong = if part.0.ends_with("ed") || part.0 == "left" || part.0 == "port" {
            ["-1", "1x", "", "99999999999999999999999", "%31%3"].to_vec()
        } else {
            [
                "short",
                "",
                "123456789012345678901",
                "%ZZ345678901234567890",
            ]
            .to_vec()
        };
        for value in wrong {
            check(&tracker, &changed(&content, part.0, value), part.0);
        }
    }
    let optional = [
        ("port", "0"),
        ("port", "65536"),
        ("event", "finished"),
        ("numwant", "many"),
        ("compact", "2"),
        ("no_peer_id", "yes"),
    ];
    for (name, value) in optional {
        check(&tracker, &changed(&content, name, value), name);
    }
    assert!(tracker.torrent(&content).is_none(), "a bad one was noted");
    assert_eq!(failure(&tracker, &target(&parts)), None);
}

#[test]
fn bytes_that_are_not_percent_encoded_are_refused_by_name() {
    let content = Content::single(1);
    let tracker = TestTracker::start();
    let mut raw = b"/announce?info_hash=".to_vec();
    raw.extend([0x80, 0xff, 0x9a].iter().cycle().take(20));
    raw.extend(b"&peer_id=aaaaaaaaaaaaaaaaaaaa&port=1&uploaded=0&downloaded=0&left=0");
    check(&tracker, &raw, "info_hash");
    check(&tracker, &changed(&content, "info_hash", "%"), "info_hash");
    check(&tracker, b"/announce", "missing");
    check(&tracker, b"/announce?&&&=&==", "missing");
    check(&tracker, b"/scrape?info_hash=short", "info_hash");
}

#[test]
fn unknown_torrent_is_refused_when_only_some_are_served() {
    let served = Content::single(1);
    let other = Content::single(2);
    let hash = served.info_hash();
    let tracker = TestTracker::with(|config| config.allowed = Some([hash].into()));
    assert_eq!(failure(&tracker, &target(&good(&served))), None);
    let reason = failure(&tracker, &target(&good(&other))).unwrap();
    assert!(reason.contains("unregistered torrent"), "{reason}");
    assert!(reason.contains(&other.info_hash().to_string()), "{reason}");
}

#[test]
fn what_is_no_good_http_is_answered_in_kind_and_closed() {
    let tracker = TestTracker::start();
    let check = |request: &[u8], expect: &str| {
        let (status, _) = tracker.ask(request);
        assert!(
            status.contains(expect),
            "{status}: {}",
            request.escape_ascii()
        );
    };
    check(b"\x13BitTorrent protocol\r\n\r\n", "400");
    check(b"\0\xff\r\n\r\n", "400");
    check(b"GET\r\n\r\n", "400");
    check(b"BREW /announce HTTP/1.1\r\n\r\n", "501");
    check(
        b"POST /announce HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
        "413",
    );
    check(b"GET /nowhere HTTP/1.0\r\n\r\n", "404");
    let long = [
        b"GET /announce?x=",
        &[b'a'; 9_000][..],
        b" HTTP/1.1\r\n\r\n",
    ];
    check(&long.concat(), "431");
    let endless = vec![b'a'; 100_000];
    let mut stream = TcpStream::connect(tracker.address()).unwrap();
    // It need not read all of it.
    let _ = stream.write_all(&endless);
    let (status, _) = tracker.get(b"/");
    assert_eq!(status, "HTTP/1.1 200 OK");
}

#[test]
fn two_hundred_half_open_connections_keep_nobody_out() {
    let content = Content::single(300_000);
    let tracker = TestTracker::start();
    let open = |number: usize| {
        let mut stream = TcpStream::connect(tracker.address()).unwrap();
        let begun: &[u8] = if number.is_multiple_of(2) {
            b""
        } else {
            b"GET /ann"
        };
        stream.write_all(begun).unwrap();
        stream
    };
    let half_open: Vec<_> = (0..200).map(open).collect();
    let seeder = TestPeer::seeder(&content).tier([tracker.url()]).start();
    tracker.wait_for_peers(&content, 1);
    let leecher = TestPeer::leecher(&content).tier([tracker.url()]).start();
    leecher.wait_complete();
    content.assert_identical(leecher.dir());
    drop((half_open, seeder));
}

/// 64 MiB of zeros as gzip, 0.4 MiB long: one literal, then copies of 258 bytes, each of 13 bits.
fn gzip_bomb() -> Vec<u8> {
    let mut bits = BitWriter::default();
    // Last block, fixed codes; the literal 0.
    bits.put(0b1, 1);
    bits.put(0b10, 2);
    bits.put(0b0000_1100, 8);
    for _ in 0..(64 << 20) / 258 {
        // Length 258, code 1100_0101 from its first bit; distance 1, code 0_0000.
        bits.put(0b1010_0011, 8);
        bits.put(0, 5);
    }
    // End of the block.
    bits.put(0, 7);
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    bytes.extend(bits.bytes);
    // Whoever gets so far as to check the sum has lost already.
    bytes.extend([0; 8]);
    bytes
}

/// Bits from the lowest of each byte. Source: RFC 1951.
#[derive(Default)]
struct BitWriter {
    bytes: Vec<u8>,
    used: u32,
}

impl BitWriter {
    fn put(&mut self, bits: u8, count: u32) {
        for number in 0..count {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let last = self.bytes.last_mut().expect("pushed above");
            *last |= (bits >> number & 1) << (self.used % 8);
            self.used += 1;
        }
    }
}

/// A client with this tracker says so with these words, and is filled by a peer all the same.
fn check_client(url: &str, words: &[&str]) {
    let content = Content::single(200_000);
    let seeder = TestPeer::seeder(&content).start();
    let leecher = TestPeer::leecher(&content).tier([url]).knowing([&seeder]);
    let leecher = leecher.start();
    leecher.wait_complete();
    content.assert_identical(leecher.dir());
    let (told, error) = leecher.wait_for("a failed announce", |event| match event {
        Event::TrackerFailed { url, error, .. } => Some((url.clone(), error.clone())),
        _ => None,
    });
    assert_eq!(told, url);
    for word in words {
        assert!(error.contains(word), "`{error}` lacks `{word}`");
    }
    let _ = leecher.stop();
}

#[test]
fn client_without_tracker_takes_peers_from_the_user() {
    let content = Content::single(200_000);
    let seeder = TestPeer::seeder(&content).start();
    let leecher = TestPeer::leecher(&content).knowing([&seeder]).start();
    leecher.wait_complete();
    assert!(leecher.snapshot().trackers.is_empty());
}

#[test]
fn announce_url_that_leads_nowhere_is_told_and_the_download_goes_on() {
    check_client("no url at all", &["cannot be used", "correct it"]);
    check_client("wss://127.0.0.1:1/announce", &["`wss`", "not supported"]);
    check_client("udp://127.0.0.1/announce", &["names no port"]);
    check_client("gopher://h/announce", &["`gopher`", "use an http"]);
    let host = "no-such-host.invalid";
    let url = format!("http://{host}/announce");
    check_client(&url, &[host, "cannot find", "check its name"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("http://{address}/announce");
    check_client(
        &url,
        &["cannot connect", &address.to_string(), "may be down"],
    );
    let url = format!("http://{address}/admin?");
    check_client(&url, &["/announce", "not contacted"]);
}

#[test]
fn tracker_that_answers_nonsense_is_told_and_the_download_goes_on() {
    let check = |answer: Answer, words: &[&str]| {
        let stub = StubTracker::start(move |_| answer.clone());
        check_client(&stub.url(), words);
    };
    let page = b"<!DOCTYPE html><html><body>Welcome</body></html>";
    check(
        http("404 Not Found", "", b"gone"),
        &["404", "is the announce URL right"],
    );
    check(http("503 Busy", "", b""), &["503", "on its side"]);
    check(
        http("200 OK", "", page),
        &["web page", "is the announce URL right"],
    );
    check(http("200 OK", "", b""), &["bencode"]);
    check(http("200 OK", "", b"d5:peersi7ee"), &["malformed", "peers"]);
    let gzip = "Content-Encoding: gzip\r\n";
    check(http("200 OK", gzip, &gzip_bomb()), &["compressed", "gzip"]);
    check(http("200 OK", "", &gzip_bomb()), &["compressed", "gzip"]);
    check(
        http("200 OK", "", &vec![b'x'; 3 << 20]),
        &["more than 1048576 bytes"],
    );
    check(
        Answer::Bytes(b"\0\0\0\0".to_vec()),
        &["HTTP answer is broken"],
    );
    let short = b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\nd8:".to_vec();
    check(Answer::Bytes(short), &["truncated"]);
}

#[test]
fn tracker_that_never_answers_delays_neither_the_download_nor_the_end() {
    let content = Content::single(200_000);
    let stub = StubTracker::start(|_| Answer::Never);
    let seeder = TestPeer::seeder(&content).start();
    let quiet = TestPeer::leecher(&content)
        .tier([stub.url()])
        .knowing([&seeder]);
    let quiet = quiet.start();
    quiet.wait_complete();
    shoal_integration_tests::eventually("it was asked", || !stub.requests().is_empty());
    // Not yet told as failed: it has its 30 seconds.
    let news = quiet.news();
    assert!(
        !news
            .iter()
            .any(|event| matches!(event, Event::TrackerFailed { .. }))
    );
    // The farewell takes 3 s at most, so the end comes within our patience.
    let _ = quiet.stop();
    let mut peer = RawPeer::open(seeder.address()).unwrap();
    assert!(peer.send_raw(b"\x13").is_ok(), "the seeder lives");
}
