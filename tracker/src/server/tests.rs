//! The server over loopback, by a raw client that can say what no real one would.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, TcpStream as StdStream};

use shoal_bencode::{Options, parse};
use shoal_metainfo::PeerId;

use super::*;
use crate::announce::AnnounceEvent::{Completed, Started, Stopped};
use crate::http::response::{parse_announce, parse_scrape};

mod connections;
#[cfg(feature = "client")]
mod tls;

const HASH: &str = "%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01";
const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn config() -> ServerConfig {
    ServerConfig {
        listen: vec![LOCAL],
        ..ServerConfig::default()
    }
}

fn start(config: ServerConfig) -> (ServerHandle, SocketAddr) {
    let server = task::block_on(Server::bind(config)).unwrap();
    let address = server.local_addrs()[0];
    (server.spawn(), address)
}

fn stop(handle: &ServerHandle) {
    task::block_on(handle.stop());
}

fn query(port: u16, rest: &str) -> String {
    format!(
        "info_hash={HASH}&peer_id=-SH0100-{port:012}&port={port}\
         &uploaded=0&downloaded=0&left=1{rest}"
    )
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
}

/// Sends bytes and returns status and body of the one answer, read to the end of the connection.
fn raw(address: SocketAddr, request: &[u8]) -> (u16, Vec<u8>) {
    let mut stream = StdStream::connect(address).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    split(&answer)
}

fn split(answer: &[u8]) -> (u16, Vec<u8>) {
    let end = crate::http::head::end(answer).expect("a head");
    let head = crate::http::head::Head::new(&answer[..end]);
    let status = crate::http::head::status(head.start).expect("a status");
    (status, answer[end..].to_vec())
}

fn announce(address: SocketAddr, query: &str) -> (u16, Vec<u8>) {
    raw(address, get(&format!("/announce?{query}")).as_bytes())
}

fn failure(body: &[u8]) -> String {
    match parse_announce(body) {
        Err(crate::TrackerError::Failure { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn announces_and_scrapes_are_answered() {
    let (handle, address) = start(config());
    let (status, body) = announce(address, &query(7, "&event=started"));
    assert_eq!(status, 200);
    let first = parse_announce(&body).unwrap();
    assert_eq!((first.leechers, first.peers.len()), (Some(1), 0));
    assert_eq!(first.external_ip, Some(Ipv4Addr::LOCALHOST.into()));
    assert_eq!(first.interval, limits::SERVER_INTERVAL_DEFAULT);
    let second = parse_announce(&announce(address, &query(8, "")).1).unwrap();
    assert_eq!(second.peers, ["127.0.0.1:7".parse().unwrap()]);
    let scrape = raw(
        address,
        get(&format!("/scrape?info_hash={HASH}")).as_bytes(),
    );
    assert_eq!(parse_scrape(&scrape.1).unwrap()[0].leechers, 2);
    assert_eq!(handle.snapshot().torrents[0].peers.len(), 2);
    stop(&handle);
}

#[test]
fn paths_of_announce_urls_are_served_beside_the_usual_one() {
    let named = ["/k3y/announce", "/announce.php", "/:x/*", "//announce", "/"];
    let (handle, address) = start(ServerConfig {
        announce_paths: named.map(str::to_owned).to_vec(),
        ..config()
    });
    for (port, path) in (1..).zip(named.iter().chain(&["/announce"])) {
        let target = format!("{path}?{}", query(port, ""));
        let (status, body) = raw(address, get(&target).as_bytes());
        assert_eq!(status, 200, "{path}");
        let answer = parse_announce(&body).unwrap();
        assert_eq!(answer.leechers, Some(port.into()), "{path}");
    }
    for path in ["/k3y/scrape", "/scrape.php", "/scrape", "//scrape"] {
        let target = format!("{path}?info_hash={HASH}");
        let (_, body) = raw(address, get(&target).as_bytes());
        assert_eq!(parse_scrape(&body).unwrap()[0].leechers, 6, "{path}");
    }
    for path in ["/%61nnounce", "/k3%79/%61nnounce", "/%6b3y/announc%65"] {
        let target = format!("{path}?{}", query(1, ""));
        let (status, body) = raw(address, get(&target).as_bytes());
        assert_eq!(status, 200, "{path}");
        assert_eq!(parse_announce(&body).unwrap().leechers, Some(6), "{path}");
    }
    for path in [
        "/k3y",
        "/other/announce",
        "/x/y",
        "/k3y/announce/",
        "/k3y%2Fannounce",
        "/%3Ax/*",
        "/announc%6",
    ] {
        assert_eq!(raw(address, get(path).as_bytes()).0, 404, "{path}");
    }
    stop(&handle);
}

#[test]
fn dictionaries_are_given_with_and_without_ids() {
    let (handle, address) = start(config());
    announce(address, &query(7, ""));
    let has_id = |rest: &str| {
        let (_, body) = announce(address, &query(8, rest));
        let tree = parse(&body, Options::strict()).unwrap();
        let peers = tree.root().as_dict().unwrap().list("peers").unwrap();
        let peers: Vec<_> = peers.map(|peer| peer.as_dict().unwrap()).collect();
        assert_eq!(peers.len(), 1);
        assert_eq!(peers[0].text("ip").unwrap(), "127.0.0.1");
        peers[0].opt_bytes("peer id").unwrap().is_some()
    };
    assert!(has_id("&compact=0"));
    assert!(!has_id("&compact=0&no_peer_id=1"));
    stop(&handle);
}

#[test]
fn refusals_are_status_200_and_name_the_parameter() {
    let allowed = Some(BTreeSet::from([InfoHash([2; 20])]));
    let (handle, address) = start(ServerConfig {
        allowed,
        ..config()
    });
    let check = |query: &str, expect: &str| {
        let (status, body) = announce(address, query);
        let reason = failure(&body);
        assert_eq!(status, 200);
        assert!(reason.contains(expect), "{reason}");
    };
    check("", "`info_hash` is missing");
    check(&query(0, ""), "`port` must be");
    check(&query(7, "&event=begun"), "`event` must be");
    check(&query(7, "&left=1"), "`left` is given twice");
    check(&query(7, ""), "unregistered torrent 0101");
    check(
        &query(7, "&trackerid=a b"),
        "`trackerid` is not percent-encoded",
    );
    // Bytes that no URL has: tide would never let them through to be named.
    let raw_bytes = [
        b"GET /announce?info_hash=\xff\xfe&",
        query(7, "").as_bytes(),
    ]
    .concat();
    let request = [&raw_bytes[..], b" HTTP/1.1\r\nConnection: close\r\n\r\n"].concat();
    let reason = failure(&raw(address, &request).1);
    assert!(reason.contains("`info_hash`"), "{reason}");
    let scrape = raw(address, get("/scrape").as_bytes());
    assert!(failure(&scrape.1).contains("`info_hash` is missing"));
    stop(&handle);
}

#[test]
fn old_and_bare_requests_are_answered() {
    let (handle, address) = start(config());
    let query = query(7, "");
    for head in [
        "HTTP/1.0\r\n\r\n",
        "HTTP/1.1\r\nConnection: close\r\n\r\n",
        "HTTP/1.0\n\n",
    ] {
        let (status, body) = raw(address, format!("GET /announce?{query} {head}").as_bytes());
        assert_eq!(status, 200, "{head:?}");
        assert!(parse_announce(&body).is_ok());
    }
    // A header beyond ASCII, which panics the codec beneath tide.
    let umlaut = format!("GET /announce?{query} HTTP/1.0\r\nX: \u{fc}\r\n\r\n");
    assert_eq!(raw(address, umlaut.as_bytes()).0, 200);
    stop(&handle);
}

#[test]
fn other_requests_have_their_status() {
    let (handle, address) = start(config());
    let check = |request: &str, expect: u16| {
        let (status, body) = raw(address, request.as_bytes());
        assert_eq!(status, expect, "{}", String::from_utf8_lossy(&body));
    };
    check(&get("/"), 200);
    check(&get("/nowhere"), 404);
    check(&get("/a/b/c"), 404);
    check("POST /announce HTTP/1.0\r\n\r\n", 405);
    let head = format!("HEAD /announce?{} HTTP/1.0\r\n\r\n", query(1, ""));
    check(&head, 405);
    check("BREW / HTTP/1.0\r\n\r\n", 501);
    check("GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 413);
    check(
        "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        411,
    );
    check("nonsense\r\n\r\n", 400);
    check("GET / HTTP/2\r\n\r\n", 400);
    check(&format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(9_000)), 431);
    check(&"x".repeat(20_000), 431);
    stop(&handle);
}

#[test]
fn one_connection_carries_many_requests_even_at_once() {
    let (handle, address) = start(config());
    let mut stream = StdStream::connect(address).unwrap();
    let one = format!("GET /announce?{} HTTP/1.1\r\nHost: t\r\n\r\n", query(7, ""));
    let last = get("/");
    // Pipelined: all of them before the first answer.
    stream.write_all(one.repeat(200).as_bytes()).unwrap();
    stream.write_all(last.as_bytes()).unwrap();
    let mut answers = Vec::new();
    stream.read_to_end(&mut answers).unwrap();
    let text = String::from_utf8_lossy(&answers);
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 201);
    assert_eq!(text.matches("connection: keep-alive").count(), 200);
    assert!(text.ends_with("peers 1\n"), "{text}");
    stop(&handle);
}

#[test]
fn connection_ends_politely_after_its_share_of_requests() {
    let (handle, address) = start(config());
    let mut stream = StdStream::connect(address).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let more = limits::REQUESTS_PER_CONNECTION_MAX + 1;
    let requests = "GET /nowhere HTTP/1.1\r\n\r\n".repeat(more);
    let writing = std::thread::spawn(move || writer.write_all(requests.as_bytes()));
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    let _ = writing.join().unwrap();
    assert_eq!(answers.matches("connection: keep-alive").count(), more - 2);
    assert_eq!(answers.matches("connection: close").count(), 1);
    stop(&handle);
}

/// Two writes an answer would cost 40 ms each on a kept connection: Nagle meets delayed
/// acknowledgement. Each answer is to arrive in one read, and none needs more than one write.
#[test]
fn kept_connection_is_answered_in_one_piece_each_time() {
    let (handle, address) = start(config());
    let mut stream = StdStream::connect(address).unwrap();
    let request = format!("GET /announce?{} HTTP/1.1\r\nHost: t\r\n\r\n", query(7, ""));
    let mut whole = 0;
    for _ in 0..200 {
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = [0; 4_096];
        let mut count = stream.read(&mut answer).unwrap();
        whole += usize::from(answer[..count].ends_with(b"e"));
        while !answer[..count].ends_with(b"e") {
            count += stream.read(&mut answer[count..]).unwrap();
        }
        assert!(parse_announce(&split(&answer[..count]).1).is_ok());
    }
    assert!(whole >= 190, "{whole} of 200 in one piece");
    stop(&handle);
}

#[test]
fn events_are_told_to_the_monitor() {
    let (handle, address) = start(config());
    let events = handle.events();
    announce(address, &query(7, "&event=started"));
    announce(address, &query(7, ""));
    announce(
        address,
        &query(7, "&event=completed").replace("left=1", "left=0"),
    );
    announce(address, &query(7, "&event=stopped"));
    let next = || task::block_on(events.recv()).unwrap();
    let peer = "127.0.0.1:7".parse().unwrap();
    assert!(matches!(next(), ServerEvent { event: Started, address, .. } if address == peer));
    assert!(matches!(next(), ServerEvent { event: Completed, address, .. } if address == peer));
    assert!(matches!(next(), ServerEvent { event: Stopped, address, .. } if address == peer));
    assert_eq!(handle.snapshot().torrents[0].completed, 1);
    for port in 1..=1_200 {
        handle.shared.tell(ServerEvent {
            event: Started,
            info_hash: InfoHash([0; 20]),
            address: SocketAddr::from(([1, 1, 1, 1], port)),
            peer_id: PeerId([0; 20]),
        });
    }
    assert_eq!(
        handle.events_dropped(),
        1_200 - limits::EVENTS_QUEUED_MAX as u64
    );
    stop(&handle);
}

#[test]
fn forwarded_address_counts_only_when_trusted() {
    let request = |forwarded: &str| {
        format!(
            "GET /announce?{}&ip=9.9.9.9 HTTP/1.0\r\nX-Forwarded-For: {forwarded}\r\n\r\n",
            query(7, "")
        )
    };
    let seen = |trust, forwarded: &str| {
        let trusted_proxies = if trust { Net::ALL.to_vec() } else { Vec::new() };
        let (handle, address) = start(ServerConfig {
            front: FrontConfig {
                trusted_proxies,
                ..FrontConfig::default()
            },
            ..config()
        });
        let (_, body) = raw(address, request(forwarded).as_bytes());
        stop(&handle);
        parse_announce(&body).map(|answer| answer.external_ip.unwrap().to_string())
    };
    assert_eq!(seen(false, "1.2.3.4").unwrap(), "127.0.0.1");
    assert_eq!(seen(true, "6.6.6.6, 1.2.3.4").unwrap(), "1.2.3.4");
    assert_eq!(seen(true, "6.6.6.6, [fd00::1]:80").unwrap(), "fd00::1");
    assert!(seen(true, "1.2.3.4, unknown").is_err());
}

#[test]
fn both_families_are_listened_on_beside_each_other() {
    let any_v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let server = task::block_on(Server::bind(ServerConfig {
        listen: vec![any_v4],
        ..config()
    }));
    let port = server.unwrap().local_addrs()[0].port();
    let listen = vec![
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
    ];
    let (handle, _) = start(ServerConfig { listen, ..config() });
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    announce(v6, &query(7, ""));
    let got = parse_announce(&announce(v4, &query(8, "")).1).unwrap();
    assert_eq!(got.peers, ["[::1]:7".parse().unwrap()]);
    stop(&handle);
    let (handle, address) = start(ServerConfig {
        listen: vec![SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))],
        ..config()
    });
    let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()));
    assert_eq!(
        announce(v4, &query(8, "")).0,
        200,
        "alone, `[::]` takes IPv4 too"
    );
    stop(&handle);
}

#[test]
fn half_open_connections_do_not_stop_an_honest_announce() {
    let (handle, address) = start(config());
    let hostile: Vec<_> = (0..100)
        .map(|number| {
            let mut stream = StdStream::connect(address).unwrap();
            if number % 2 == 0 {
                stream.write_all(b"GET /announce?info_hash=").unwrap();
            }
            stream
        })
        .collect();
    assert_eq!(announce(address, &query(7, "")).0, 200);
    assert_eq!(hostile.len(), 100);
    stop(&handle);
}

/// Slow ones come and come, more than there are places for; an honest one is served between them
/// without waiting for any of their deadlines.
#[test]
fn five_thousand_slow_connections_do_not_delay_an_honest_announce() {
    let (handle, address) = start(ServerConfig {
        connections_max: 200,
        ..config()
    });
    let mut slow = std::collections::VecDeque::new();
    let mut longest = Duration::ZERO;
    for number in 0..5_000u16 {
        let mut stream = StdStream::connect(address).unwrap();
        let said = [
            &b""[..],
            b"G",
            b"GET /announce?info_hash=",
            b"GET / HTTP/1.1\r\n\r\nGET",
        ];
        // It may have been closed in favour of others.
        let _ = stream.write_all(said[usize::from(number % 4)]);
        slow.push_back(stream);
        if slow.len() > 300 {
            slow.pop_front();
        }
        if number % 250 == 249 {
            let asked = Instant::now();
            assert_eq!(announce(address, &query(7, "")).0, 200);
            longest = longest.max(asked.elapsed());
        }
    }
    println!("beside slow connections an announce took {longest:?} at most");
    assert!(longest < limits::HEAD_MAX, "{longest:?}");
    stop(&handle);
}

/// A peer that asks and asks and reads nothing has its answers bounded, and others are served.
#[test]
fn who_never_reads_costs_no_memory_and_delays_nobody() {
    let (handle, address) = start(config());
    let mut deaf = StdStream::connect(address).unwrap();
    deaf.set_nonblocking(true).unwrap();
    let requests = format!("GET /announce?{} HTTP/1.1\r\n\r\n", query(7, "")).repeat(50);
    let mut sent = 0;
    let mut full = 0;
    while full < 100 {
        match deaf.write(requests.as_bytes()) {
            Ok(count) => sent += count,
            Err(_) => {
                full += 1;
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        assert!(sent < 64 << 20, "it is read for ever");
    }
    assert!(sent > requests.len());
    assert_eq!(announce(address, &query(8, "")).0, 200);
    stop(&handle);
}

/// Sent byte by byte, or cut anywhere, a request is the same.
#[test]
fn request_in_two_pieces_is_answered_once() {
    let (handle, address) = start(config());
    let request = get(&format!("/announce?{}", query(7, "")));
    for cut in (1..request.len()).step_by(7) {
        let mut stream = StdStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.write_all(&request.as_bytes()[..cut]).unwrap();
        std::thread::yield_now();
        stream.write_all(&request.as_bytes()[cut..]).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let (status, body) = split(&answer);
        assert_eq!(
            (status, parse_announce(&body).is_ok()),
            (200, true),
            "{cut}"
        );
    }
    stop(&handle);
}

/// What is not ours goes to tide with what was pipelined behind it, and nothing is lost.
#[test]
fn announces_before_and_behind_what_tide_answers_are_answered_in_order() {
    let (handle, address) = start(config());
    let one = |target: &str| format!("GET {target} HTTP/1.1\r\n\r\n");
    let asks = |port| one(&format!("/announce?{}", query(port, "")));
    let text = [
        asks(7),
        one("/nowhere"),
        asks(8),
        one("/"),
        get(&format!("/announce?{}", query(9, ""))),
    ];
    let mut stream = StdStream::connect(address).unwrap();
    stream.write_all(text.concat().as_bytes()).unwrap();
    let mut answers = Vec::new();
    stream.read_to_end(&mut answers).unwrap();
    let text = String::from_utf8_lossy(&answers);
    let statuses: Vec<_> = text
        .match_indices("HTTP/1.1 ")
        .map(|(at, _)| &text[at + 9..at + 12])
        .collect();
    assert_eq!(statuses, ["200", "404", "200", "200", "200"]);
    assert!(
        text.contains("peers 2\n") && text.contains("10:incompletei3e"),
        "{text}"
    );
    stop(&handle);
}

/// None of the holders is let go before: without their leaving nobody would ever be served.
#[test]
fn full_server_serves_the_next_in_the_place_of_the_longest_silent() {
    let (handle, address) = start(ServerConfig {
        connections_max: 10,
        ..config()
    });
    let request = format!("GET /scrape?info_hash={HASH} HTTP/1.1\r\n\r\n");
    let mut kept = StdStream::connect(address).unwrap();
    let ask = |kept: &mut StdStream| {
        kept.write_all(request.as_bytes()).unwrap();
        assert_ne!(kept.read(&mut [0; 2_048]).unwrap(), 0);
    };
    ask(&mut kept);
    let silent = (0..9).map(|_| StdStream::connect(address).unwrap());
    let mut silent: Vec<_> = silent.collect();
    // Served again, it is not the longest silent any more.
    ask(&mut kept);
    for port in 7..12 {
        assert_eq!(announce(address, &query(port, "")).0, 200);
    }
    ask(&mut kept);
    assert_eq!(silent[0].read(&mut [0; 8]).unwrap_or(0), 0, "it stays open");
    // The last is still there: the first left to make room, not since its time was over.
    ask(&mut silent[8]);
    stop(&handle);
}

#[test]
fn stop_closes_every_connection_and_frees_the_port() {
    let (handle, address) = start(config());
    let mut idle = StdStream::connect(address).unwrap();
    assert_eq!(raw(address, get("/").as_bytes()).0, 200);
    stop(&handle);
    assert_eq!(idle.read(&mut [0; 8]).unwrap_or(0), 0);
    let listen = vec![address];
    let (again, _) = start(ServerConfig { listen, ..config() });
    stop(&again);
    stop(&again);
}

#[test]
fn accepted_socket_does_not_wait_for_acknowledgements() {
    let (listeners, _) = listen::all(&[LOCAL], 0).unwrap();
    let _client = StdStream::connect(listeners[0].local_addr().unwrap()).unwrap();
    let (stream, _) = listeners[0].accept().unwrap();
    assert!(stream.nodelay().unwrap());
}

#[test]
fn bad_configurations_are_refused() {
    let bind = |config| {
        task::block_on(Server::bind(config))
            .unwrap_err()
            .to_string()
    };
    let interval = Duration::from_millis(10);
    let short = ServerConfig {
        interval,
        ..config()
    };
    assert!(bind(short).contains("too short"));
    let nowhere = ServerConfig {
        listen: vec![],
        ..config()
    };
    assert!(bind(nowhere).contains("no address"));
    let scrapes = ServerConfig {
        announce_paths: vec!["/scrape".to_owned()],
        ..config()
    };
    assert!(bind(scrapes).contains("`/scrape`"));
    let (handle, address) = start(config());
    let taken = ServerConfig {
        listen: vec![address],
        ..config()
    };
    let error = bind(taken);
    assert!(error.contains(&address.to_string()), "{error}");
    stop(&handle);
}
