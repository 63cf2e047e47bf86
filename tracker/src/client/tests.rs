//! The client against local stubs of every bad tracker. Names are looked up in the test itself.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use async_std::task;
use futures_rustls::TlsAcceptor;
use futures_rustls::rustls::ServerConfig;
use futures_rustls::rustls::crypto::ring;
use futures_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use shoal_metainfo::PeerId;

use super::*;
use crate::error::Retry;

mod lines;
mod proxy;
mod redirects;
mod secure;
mod ssrf;
mod udp;

fn request() -> AnnounceRequest {
    AnnounceRequest {
        info_hash: InfoHash([0xff; 20]),
        peer_id: PeerId::ours([b'x'; 12]),
        key: 1,
        ..AnnounceRequest::example()
    }
}

/// Names under `.test` are this machine; there are no others.
fn lookup(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    match host {
        "metadata.test" => Ok(vec![SocketAddr::from(([169, 254, 169, 254], port))]),
        "nowhere.test" => Ok(vec![]),
        _ if host.ends_with(".test") => Ok(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))]),
        _ => Err(io::Error::other("Name or service not known")),
    }
}

fn client() -> Client {
    Client::assemble(lookup, RootCertStore::empty())
}

fn announce(url: &str) -> Result<AnnounceResponse, TrackerError> {
    task::block_on(client().announce(url, &request()))
}

/// Like [`announce`], with a limit that is sure to pass.
fn announce_briefly(url: &str) -> Result<AnnounceResponse, TrackerError> {
    let client = client().with_timeout(Duration::from_millis(300));
    task::block_on(client.announce(url, &request()))
}

/// A tracker that treats one connection as it likes. The thread ends with the test.
fn stub(serve: impl FnOnce(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        read_head(&mut stream);
        serve(stream);
    });
    address
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut chunk = [0; 4_096];
    while crate::http::head::end(&head).is_none() {
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => break,
            Ok(count) => head.extend_from_slice(&chunk[..count]),
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// Announces to a stub that gives this answer and closes.
fn answered_by(answer: impl AsRef<[u8]>) -> Result<AnnounceResponse, TrackerError> {
    let answer = answer.as_ref().to_vec();
    let address = stub(move |mut stream| {
        let _ = stream.write_all(&answer);
    });
    announce(&format!("http://{address}/announce"))
}

fn check(result: Result<AnnounceResponse, TrackerError>, expect: &str) -> TrackerError {
    let error = result.unwrap_err();
    assert!(error.to_string().contains(expect), "{error}");
    error
}

const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\nd8:intervali900ee";

#[test]
fn every_framing_of_a_body_is_read() {
    let interval = |answer: &str| answered_by(answer).unwrap().interval.as_secs();
    assert_eq!(interval(GOOD), 900);
    assert_eq!(
        interval("HTTP/1.0 200 OK\r\n\r\nd8:intervali901ee"),
        901,
        "no length"
    );
    assert_eq!(
        interval("HTTP/1.1 200\n\nd8:intervali902ee"),
        902,
        "bare lines"
    );
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n\
        9\r\nd8:interv\r\n8\r\nali903ee\r\n0\r\n\r\n";
    assert_eq!(interval(chunked), 903);
    let umlaut = GOOD.replace("Content", "Server: \u{fc}\r\nContent");
    assert_eq!(
        interval(&umlaut),
        900,
        "a field beyond ASCII panics the codec"
    );
}

#[test]
fn request_is_what_trackers_expect() {
    let (sender, heads) = mpsc::channel();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        sender.send(read_head(&mut stream)).unwrap();
        stream.write_all(GOOD.as_bytes()).unwrap();
    });
    let url = format!(
        "http://tracker.test:{}/announce?passkey=a%2Fb",
        address.port()
    );
    announce(&url).unwrap();
    let head = heads.recv().unwrap();
    let hash = "%FF".repeat(20);
    assert!(
        head.starts_with(&format!("GET /announce?passkey=a%2Fb&info_hash={hash}&")),
        "{head}"
    );
    let lower = head.to_lowercase();
    for field in [
        "user-agent: shoal/0.1.0",
        "accept-encoding: identity",
        "host: tracker.test:",
    ] {
        assert!(lower.contains(field), "{head}");
    }
}

#[test]
fn useless_urls_are_permanent_errors() {
    let check = |url: &str, expect: &str| {
        assert!(check(announce(url), expect).is_permanent(), "{url}");
    };
    check("", "cannot be used");
    check("/announce", "cannot be used");
    check("http://", "cannot be used");
    check("http://[::1", "cannot be used");
    check("http://a.test:99999/announce", "cannot be used");
    check("http://a.test:0/announce", "port 0");
    check(&format!("http://a.test/{}", "x".repeat(4_096)), "too long");
    check("udp://a.test/announce", "names no port");
    check("wss://a.test/announce", "`wss` is not supported");
    check("gopher://a.test/announce", "`gopher` is not supported");
    check("file:///etc/passwd", "`file` is not supported");
}

#[test]
fn spaces_around_a_url_do_no_harm() {
    let port = stubs(vec![GOOD.to_owned(); 2]);
    for url in [
        "http://a.test:PORT/announce ",
        " http://a.test:PORT/announce\t#x",
    ] {
        assert!(
            announce(&url.replace("PORT", &port.to_string()))
                .is_ok_and(|got| { got.interval == Duration::from_secs(900) }),
            "{url}"
        );
    }
}

#[test]
fn unresolvable_name_is_said_to_be() {
    let error = check(
        announce("http://tracker.invalid/announce"),
        "tracker.invalid",
    );
    assert!(matches!(error, TrackerError::Resolve { .. }) && !error.is_permanent());
    check(announce("http://nowhere.test/announce"), "no address");
}

#[test]
fn refused_connection_is_said_to_be() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = check(announce(&format!("http://{address}/announce")), "refused");
    assert!(matches!(error, TrackerError::Connect { address: a, .. } if a == address));
}

#[test]
fn forbidden_addresses_are_not_contacted() {
    check(announce("http://169.254.169.254/announce"), "metadata");
    check(announce("http://metadata.test/announce"), "metadata");
    check(announce("http://127.0.0.1:1/admin"), "/announce");
    // The forms in which browsers write 127.0.0.1.
    for host in [
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "[::ffff:127.0.0.1]",
        "admin.test",
    ] {
        check(announce(&format!("http://{host}:1/admin")), "/announce");
    }
}

#[test]
fn refusal_is_known_beforehand_where_no_name_has_to_be_looked_up() {
    for refused in [
        "http://127.0.0.1:1/k3y/announce",
        "http://[::1]:1/x",
        "http://0.0.0.0:6969/announce",
        "http://169.254.169.254/announce",
    ] {
        let why = Client::refusal(refused).unwrap_or_else(|| panic!("{refused}"));
        check(announce(refused), why);
    }
    for refused in ["http://localhost:1/", "http://tracker.localhost/x"] {
        assert!(Client::refusal(refused).is_some(), "{refused}");
    }
    for good in [
        "http://127.0.0.1:1/announce.php",
        "http://localhost:1/announce",
        "http://192.168.0.1/x",
        "http://tracker.example/x",
        "nonsense",
    ] {
        assert_eq!(Client::refusal(good), None, "{good}");
    }
}

#[test]
fn statuses_are_told() {
    let status = |code: u16| {
        let answer = format!("HTTP/1.1 {code} X\r\nContent-Length: 3\r\n\r\nabc");
        check(answered_by(answer), &code.to_string())
    };
    assert_eq!(status(404), TrackerError::Status { code: 404 });
    assert!(status(410).is_permanent());
    assert!(!status(522).is_permanent());
}

#[test]
fn other_answers_are_told_apart() {
    let body = |body: &[u8]| [b"HTTP/1.1 200 OK\r\n\r\n", body].concat();
    check(answered_by(body(b"<html>hello</html>")), "web page");
    check(answered_by(body(b"hello")), "not bencode");
    check(answered_by(body(b"d8:interval")), "truncated");
    check(answered_by(body(b"")), "not bencode");
    let refused = answered_by(body(b"d14:failure reason8:no\x1b[0m \n8:retry in5:nevere"));
    let error = check(refused, "refuses: no[0m");
    let retry = Some(Retry::Never);
    assert!(matches!(error, TrackerError::Failure { retry: r, .. } if r == retry));
    check(answered_by("SSH-2.0-OpenSSH_9.2\r\n"), "not HTTP");
    check(answered_by(""), "closed before");
    check(answered_by("HTTP/1.1 200 OK\r\n"), "closed before");
    check(answered_by("HTTP/1.1 abc\r\n\r\n"), "no status");
    check(
        answered_by("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"),
        "no number",
    );
    check(
        answered_by("HTTP/1.1 200 OK\r\nTransfer-Encoding: br\r\n\r\n"),
        "unknown",
    );
    check(
        answered_by(format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(9_000))),
        "too long",
    );
}

#[test]
fn compressed_answer_is_not_inflated() {
    let named = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f";
    check(answered_by(named), "compressed (`gzip`)");
    let bomb = [b"HTTP/1.1 200 OK\r\n\r\n\x1f\x8b\x08", &[0; 1_000][..]].concat();
    check(answered_by(bomb), "compressed (`gzip`)");
}

#[test]
fn large_and_endless_bodies_are_cut() {
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n";
    check(answered_by(length), "more than 1048576 bytes");
    let sent = Arc::new(AtomicUsize::new(0));
    for head in ["\r\n", "Transfer-Encoding: chunked\r\n\r\n10000000\r\n"] {
        let (head, counter) = (format!("HTTP/1.1 200 OK\r\n{head}"), Arc::clone(&sent));
        let address = stub(move |mut stream| {
            let mut bytes = head.into_bytes();
            while stream.write_all(&bytes).is_ok() {
                counter.fetch_add(bytes.len(), Ordering::Relaxed);
                bytes = vec![b'1'; 1 << 16];
            }
        });
        check(
            announce(&format!("http://{address}/announce")),
            "more than 1048576 bytes",
        );
    }
    assert!(sent.load(Ordering::Relaxed) >= 2 * limits::BODY_BYTES_MAX);
}

#[test]
fn silence_and_slow_drips_end_with_the_limit() {
    let (release, held) = mpsc::channel::<()>();
    let silent = stub(move |stream| {
        let _ = held.recv();
        drop(stream);
    });
    let error = check(
        announce_briefly(&format!("http://{silent}/announce")),
        "did not answer",
    );
    assert!(matches!(error, TrackerError::Timeout { .. }));
    drop(release);
    let dripped = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&dripped);
    let dripping = stub(move |mut stream| {
        let answer = [b"HTTP/1.1 200 OK\r\n\r\n", &[b'1'; 100_000][..]].concat();
        for byte in answer {
            if stream.write_all(&[byte]).is_err() {
                break;
            }
            counter.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(5));
        }
    });
    check(
        announce_briefly(&format!("http://{dripping}/announce")),
        "did not answer",
    );
    assert!(dripped.load(Ordering::Relaxed) > 0);
}

/// A stub that answers each connection with the next of these.
fn stubs(answers: Vec<String>) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            read_head(&mut stream);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    port
}

fn moved(location: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\n\r\n")
}

#[test]
fn scrape_asks_where_the_convention_says() {
    let entry = ScrapeEntry {
        info_hash: InfoHash([7; 20]),
        seeders: 1,
        completed: 2,
        leechers: 3,
    };
    let body = response::encode_scrape(&[entry]);
    let (sender, heads) = mpsc::channel();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        sender.send(read_head(&mut stream)).unwrap();
        stream
            .write_all(&[b"HTTP/1.1 200 OK\r\n\r\n", &body[..]].concat())
            .unwrap();
    });
    let client = client();
    let hashes = [entry.info_hash];
    let url = format!("http://{address}/announce");
    let got = client.scrape(&url, &hashes);
    assert_eq!(task::block_on(got), Ok(vec![entry]));
    assert!(
        heads
            .recv()
            .unwrap()
            .starts_with("GET /scrape?info_hash=%07%07")
    );
    let none = task::block_on(client.scrape("http://a.test/x", &hashes));
    assert_eq!(none, Err(TrackerError::ScrapeUnsupported));
}
