//! A million hostile requests, as bytes over UDP and HTTP, against a table with caps. BEP 3, 15.
//!
//! Alone in its process: what is measured is what the process holds. All that reads bytes, decides,
//! keeps and answers takes part; sockets do not.

use std::fs;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use shoal_metainfo::{InfoHash, PeerId};
use shoal_tracker::http::head::{self, Head, RequestLine};
use shoal_tracker::http::query;
use shoal_tracker::http::response::parse_announce;
use shoal_tracker::http::response::{AnnounceReply, Peers, encode_announce, encode_failure};
use shoal_tracker::policy::{Policy, PolicyConfig};
use shoal_tracker::registry::{Answer, Families, Registry, RegistryConfig};
use shoal_tracker::udp::connection_ids::ConnectionIds;
use shoal_tracker::udp::packet::{self, Response, TransactionId};
use shoal_tracker::udp::responder::Responder;
use shoal_tracker::{AnnounceEvent, AnnounceRequest, AnnounceResponse, limits};

const REQUESTS: u32 = 1_000_000;
const TORRENTS_MAX: usize = 100_000;
const PEERS_MAX: usize = 200_000;
const COUNTS_MAX: usize = 50_000;

/// Bytes that these caps allow. As `limits` says: 200 a torrent, 64 a peer, 30 a completed count,
/// which is had twice until somebody has written it down; IPv6 takes 12 more a peer and a box a
/// torrent.
const CAP: usize = TORRENTS_MAX * (200 + 200 + 30) + PEERS_MAX * (64 + 12) + COUNTS_MAX * 2 * 30;

/// Bytes of memory that are this process's own.
fn resident() -> usize {
    let text = fs::read_to_string("/proc/self/smaps_rollup").expect("Linux");
    let line = text.lines().find(|line| line.starts_with("Anonymous:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    1_024
        * kib
            .expect("a line of it")
            .parse::<usize>()
            .expect("a number")
}

/// What became of requests of one kind.
#[derive(Debug, Default)]
struct Tally {
    answered: u32,
    refused: u32,
    /// No announce any more, or under an id of no use: unanswered, or answered as what it is.
    passed: u32,
}

/// A tracker without its sockets.
struct Tracker {
    registry: Arc<Registry>,
    policy: Arc<Policy>,
    responder: Responder,
    now: Instant,
    answer: Answer,
    out: Vec<u8>,
}

impl Tracker {
    fn new() -> Self {
        let now = Instant::now();
        let config = RegistryConfig {
            torrents_max: TORRENTS_MAX,
            peers_total_max: PEERS_MAX,
            completed_max: COUNTS_MAX,
            ..RegistryConfig::default()
        };
        let registry = Arc::new(Registry::new(config, 1, now));
        let policy = Policy::new(&PolicyConfig::default(), Arc::clone(&registry), now);
        let policy = Arc::new(policy);
        let ids = ConnectionIds::new(&[7; 16], now);
        Self {
            responder: Responder::new(ids, Arc::clone(&policy)),
            registry,
            policy,
            now,
            answer: Answer::default(),
            out: Vec::new(),
        }
    }

    /// Answers a packet into `out`.
    fn packet(&mut self, bytes: &[u8], from: IpAddr) {
        self.out.clear();
        let (now, out) = (self.now, &mut self.out);
        self.responder
            .respond(now, bytes, from, &self.registry, out);
    }

    /// The id that an address is given which takes packets.
    fn connect(&mut self, from: IpAddr) -> packet::ConnectionId {
        self.packet(&packet::connect_request(TransactionId(1)), from);
        match Response::decode(&self.out) {
            Ok(Response::Connect(id)) => id,
            other => panic!("no connection id: {other:?}"),
        }
    }

    /// Answers the head of a request into `out`, as the server does; `None` is not ours to answer.
    fn head(&mut self, bytes: &[u8], from: IpAddr) -> Option<Result<(), String>> {
        let head = Head::new(&bytes[..head::end(bytes)?]);
        let line = RequestLine::parse(head.start)?;
        if (line.method, line.path) != (b"GET", b"/announce") {
            return None;
        }
        Some(self.query(line.query, from).inspect_err(|reason| {
            self.out = encode_failure(reason);
        }))
    }

    fn query(&mut self, query: &[u8], from: IpAddr) -> Result<(), String> {
        let query = query::announce(query).map_err(|error| error.to_string())?;
        let (now, request, answer) = (self.now, &query.request, &mut self.answer);
        let pass = self.policy.enter(now, request, None);
        let pass = pass.map_err(|refusal| refusal.to_string())?;
        let answered = self
            .registry
            .answer(now, request, from, Families::Both, answer);
        answered.map_err(|refusal| {
            pass.give_back();
            refusal.to_string()
        })?;
        let dictionaries = answer.peers();
        let peers = match request.compact {
            true => Peers::Compact {
                v4: &answer.peers_v4,
                v6: &answer.peers_v6,
            },
            false => Peers::Dictionaries(&dictionaries),
        };
        self.out = encode_announce(&AnnounceReply {
            interval: self.policy.interval(),
            min_interval: None,
            seeders: answer.seeders,
            leechers: answer.leechers,
            peers,
            external_ip: from,
        });
        Ok(())
    }

    /// An honest announce over HTTP.
    fn over_http(&mut self, request: &AnnounceRequest, from: IpAddr) -> AnnounceResponse {
        let answered = self.head(&get(request, ""), from);
        assert_eq!(answered, Some(Ok(())));
        parse_announce(&self.out).expect("an answer to an announce")
    }

    /// The same over UDP.
    fn over_udp(&mut self, request: &AnnounceRequest, from: IpAddr) -> AnnounceResponse {
        let id = self.connect(from);
        let bytes = packet::announce_request(id, TransactionId(2), request, b"/announce");
        self.packet(&bytes, from);
        let response = Response::decode(&self.out).expect("an answer");
        response
            .into_announce(from.is_ipv6())
            .expect("to an announce")
    }
}

/// The head of a request, with more of a query behind it.
fn get(request: &AnnounceRequest, more: &str) -> Vec<u8> {
    let target = query::announce_url("/announce", request);
    format!("GET {target}{more} HTTP/1.1\r\nHost: t\r\nUser-Agent: x/1\r\n\r\n").into_bytes()
}

/// Random in all that there is, and an address of either family.
fn hostile(rng: &mut Rng) -> (AnnounceRequest, IpAddr) {
    let (mut info_hash, mut peer_id) = ([rng.u8(..); 20], [0; 20]);
    // A quarter is of few torrents.
    if rng.u8(..4) > 0 {
        rng.fill(&mut info_hash);
    }
    rng.fill(&mut peer_id);
    let mut tracker_id = vec![0; rng.usize(..300)];
    rng.fill(&mut tracker_id);
    let request = AnnounceRequest {
        info_hash: InfoHash(info_hash),
        peer_id: PeerId(peer_id),
        port: rng.u16(..),
        uploaded: rng.u64(..),
        downloaded: rng.u64(..),
        left: rng.u64(..) >> rng.u8(..64) >> 1,
        event: [
            None,
            Some(AnnounceEvent::Started),
            Some(AnnounceEvent::Completed),
            Some(AnnounceEvent::Stopped),
            Some(AnnounceEvent::Paused),
        ][rng.usize(..5)],
        numwant: Some(rng.u32(..)),
        key: rng.u32(..),
        tracker_id: (rng.u8(..8) == 0).then_some(tracker_id),
        compact: rng.bool(),
    };
    let from = match rng.bool() {
        true => IpAddr::from(rng.u128(..).to_be_bytes()),
        false => IpAddr::from(rng.u32(..).to_be_bytes()),
    };
    (request, from)
}

/// Cuts, lengthens or changes half of what it is given, in one way of four.
fn mutate(rng: &mut Rng, bytes: &mut Vec<u8>) {
    if rng.bool() {
        return;
    }
    let at = rng.usize(..bytes.len());
    match rng.u8(..4) {
        0 => bytes.truncate(at),
        1 => {
            let mut more = vec![0; rng.usize(..1_500)];
            rng.fill(&mut more);
            bytes.splice(at..at, more);
        }
        2 => drop(bytes.drain(at..(at + rng.usize(1..30)).min(bytes.len()))),
        _ => {
            for _ in 0..rng.usize(1..8) {
                let at = rng.usize(..bytes.len());
                bytes[at] = rng.u8(..);
            }
        }
    }
}

/// Over UDP, from an address that is the attacker's own.
fn attack_udp(tracker: &mut Tracker, rng: &mut Rng, tally: &mut Tally) {
    let (request, from) = hostile(rng);
    let id = tracker.connect(from);
    let mut url = vec![0; rng.usize(..600)];
    rng.fill(&mut url);
    let mut bytes = packet::announce_request(id, TransactionId(rng.u32(..)), &request, &url);
    mutate(rng, &mut bytes);
    tracker.packet(&bytes, from);
    match tracker
        .out
        .first_chunk()
        .map(|action| u32::from_be_bytes(*action))
    {
        Some(1) => tally.answered += 1,
        Some(3) => tally.refused += 1,
        _ => tally.passed += 1,
    }
}

/// Over HTTP; whether the table was full.
fn attack_http(tracker: &mut Tracker, rng: &mut Rng, tally: &mut Tally) -> bool {
    let (request, from) = hostile(rng);
    let more = [
        "",
        "&numwant=-1",
        "&left=",
        "&port=99999",
        "&x=%",
        "&ip=10.0.0.1",
    ];
    let mut bytes = get(&request, more[rng.usize(..more.len())]);
    mutate(rng, &mut bytes);
    match tracker.head(&bytes, from) {
        Some(Ok(())) => tally.answered += 1,
        Some(Err(reason)) => {
            tally.refused += 1;
            return reason.contains("full");
        }
        None => tally.passed += 1,
    }
    false
}

fn honest(port: u16) -> (AnnounceRequest, IpAddr) {
    let request = AnnounceRequest {
        info_hash: InfoHash(*b"a torrent of honesty"),
        peer_id: PeerId::ours([b'h'; 12]),
        port,
        uploaded: 0,
        downloaded: 0,
        left: 5,
        event: Some(AnnounceEvent::Started),
        numwant: None,
        key: 0,
        tracker_id: None,
        compact: true,
    };
    (request, [203, 0, 113, 5].into())
}

#[test]
fn million_hostile_requests_stay_under_the_caps_and_honest_peers_are_served() {
    let before = resident();
    let mut tracker = Tracker::new();
    for port in 1..=20 {
        let (request, from) = honest(port);
        tracker.over_udp(&request, from);
    }
    let (mut rng, mut full) = (Rng::with_seed(1), 0);
    let (mut udp, mut http) = (Tally::default(), Tally::default());
    let mut written = Vec::new();
    for number in 0..REQUESTS {
        if number % 2 == 0 {
            attack_udp(&mut tracker, &mut rng, &mut udp);
        } else {
            full += u32::from(attack_http(&mut tracker, &mut rng, &mut http));
        }
        if number % 20_000 == 0 {
            // As the server has it every two seconds.
            written.clear();
            tracker.registry.take_completed(&mut written);
        }
    }
    let (taken, (torrents, peers)) = (resident() - before, tracker.registry.size());
    println!("a million hostile requests: {torrents} torrents, {peers} peers, {taken} bytes");
    println!("of a bound of {CAP}; over UDP {udp:?}, over HTTP {http:?}, {full} of them met a cap");
    for tally in [&udp, &http] {
        assert_eq!(tally.answered + tally.refused + tally.passed, REQUESTS / 2);
        assert!(
            tally.answered.min(tally.refused).min(tally.passed) > 10_000,
            "{tally:?}"
        );
    }
    assert!(full > 50_000, "{full}: the caps were hardly met");
    assert!(torrents <= TORRENTS_MAX && peers <= PEERS_MAX);
    assert!(taken > CAP / 10, "{taken} bytes: that is not all");
    assert!(taken <= CAP, "{taken} bytes, and the caps allow {CAP}");

    // A torrent that was there is served on, by either way, and takes newcomers.
    let (request, from) = honest(21);
    let (newcomer, other) = honest(22);
    let answers = [
        tracker.over_http(&request, from),
        tracker.over_udp(&newcomer, other),
    ];
    for answer in answers {
        assert!(answer.leechers >= Some(20), "{:?}", answer.leechers);
        assert!(answer.peers.len() >= 19, "{:?}", answer.peers);
        assert!(answer.peers.iter().all(|peer| peer.ip() == from));
    }
    // And when the attack is over, so are its traces.
    tracker.now += limits::SERVER_INTERVAL_DEFAULT * 3;
    for _ in 0..100 {
        tracker.registry.expire(tracker.now);
        tracker.now += Duration::from_secs(1);
    }
    assert_eq!(tracker.registry.size(), (0, 0), "and all of it goes away");
    assert_eq!(tracker.over_http(&request, from).leechers, Some(1));
}
