//! The client against stubs of trackers on UDP. BEP 15, 41.

use std::net::{IpAddr, Ipv6Addr, UdpSocket};
use std::sync::Mutex;

use super::*;
use crate::announce::AnnounceEvent;
use crate::udp::packet::{self, ConnectionId, Counts, Head, Request};

/// What a stub was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Asked {
    Connect,
    Announce {
        event: Option<AnnounceEvent>,
        url: String,
    },
    Scrape(usize),
}

/// A tracker on UDP that keeps what it was asked. Its thread ends with the test.
pub(super) struct Stub {
    pub(super) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Stub {
    /// One that answers well, with this peer.
    pub(super) fn good(ip: IpAddr, peer: &'static [u8]) -> Self {
        let id = ConnectionId(0x5eed);
        Self::new(ip, move |head, request| {
            let mark = head.transaction;
            match request {
                Request::Connect => packet::connect_response(mark, id).to_vec(),
                _ if head.connection != id => [&packet::error_head(mark)[..], b"bad id"].concat(),
                Request::Announce { .. } => {
                    let seconds = Duration::from_secs(900);
                    [&packet::announce_head(mark, seconds, 1, 2)[..], peer].concat()
                }
                Request::Scrape(hashes) => {
                    let counts = hashes.iter().map(|hash| Counts {
                        seeders: u32::from(hash[0]),
                        completed: 8,
                        leechers: 9,
                    });
                    let counts: Vec<_> = counts.flat_map(Counts::encode).collect();
                    [&packet::scrape_head(mark)[..], &counts].concat()
                }
            }
        })
    }

    /// An empty answer is none.
    fn new(
        ip: IpAddr,
        mut answer: impl FnMut(Head, &Request<'_>) -> Vec<u8> + Send + 'static,
    ) -> Self {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&asked);
        thread::spawn(move || {
            let mut buffer = [0; 2_048];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let head = Head::decode(&buffer[..length]).unwrap();
                let request = Request::decode(&buffer[..length]).unwrap();
                kept.lock().unwrap().push(match &request {
                    Request::Connect => Asked::Connect,
                    Request::Announce { request, options } => {
                        let mut buffer = [0; 2_048];
                        let url = options.url(&mut buffer).unwrap();
                        let url = String::from_utf8(url.to_vec()).unwrap();
                        let event = request.event;
                        Asked::Announce { event, url }
                    }
                    Request::Scrape(hashes) => Asked::Scrape(hashes.len()),
                });
                let answer = answer(head, &request);
                if !answer.is_empty() {
                    socket.send_to(&answer, from).unwrap();
                }
            }
        });
        Self { address, asked }
    }

    fn silent(ip: IpAddr) -> Self {
        Self::new(ip, |_, _| Vec::new())
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    fn url(&self, place: &str) -> String {
        format!("udp://{}{place}", self.address)
    }
}

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
const PEER_V4: &[u8] = &[10, 0, 0, 9, 0x1a, 0xe1];
const PEER_V6: &[u8] = &[
    0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0x1a, 0xe1,
];

fn announced(url: &str) -> Asked {
    Asked::Announce {
        event: None,
        url: url.to_owned(),
    }
}

#[test]
fn announce_gets_peers_and_sends_path_and_query() {
    let stub = Stub::good(V4, PEER_V4);
    let got = announce(&stub.url("/announce?passkey=k3y")).unwrap();
    assert_eq!(got.peers, ["10.0.0.9:6881".parse().unwrap()]);
    assert_eq!((got.leechers, got.seeders), (Some(1), Some(2)));
    assert_eq!(got.interval, Duration::from_secs(900));
    let expect = [Asked::Connect, announced("/announce?passkey=k3y")];
    assert_eq!(stub.asked(), expect);
}

#[test]
fn torrents_share_a_connection_id() {
    let stub = Stub::good(V4, PEER_V4);
    let client = client();
    task::block_on(async {
        let url = stub.url("");
        for _ in 0..3 {
            client.clone().announce(&url, &request()).await.unwrap();
        }
        client.scrape(&url, &[InfoHash([1; 20])]).await.unwrap();
    });
    let mut expect = vec![Asked::Connect];
    expect.extend([announced(""), announced(""), announced("")]);
    expect.push(Asked::Scrape(1));
    assert_eq!(stub.asked(), expect);
}

#[test]
fn scrape_over_udp_tells_each_torrent() {
    let stub = Stub::good(V4, PEER_V4);
    let hashes = [InfoHash([3; 20]), InfoHash([4; 20])];
    let got = task::block_on(client().scrape(&stub.url("/x"), &hashes)).unwrap();
    let seeders: Vec<_> = got.iter().map(|e| (e.info_hash, e.seeders)).collect();
    assert_eq!(seeders, [(hashes[0], 3), (hashes[1], 4)]);
}

#[test]
fn refusal_is_in_the_trackers_words() {
    let stub = Stub::new(V4, |head, request| match request {
        Request::Connect => packet::connect_response(head.transaction, ConnectionId(1)).to_vec(),
        _ => [
            &packet::error_head(head.transaction)[..],
            b"unregistered\x1b torrent",
        ]
        .concat(),
    });
    check(
        announce(&stub.url("")),
        "the tracker refuses: unregistered torrent",
    );
}

#[test]
fn silence_ends_with_the_limit() {
    let stub = Stub::silent(V4);
    let error = check(announce_briefly(&stub.url("")), "did not answer");
    assert!(matches!(error, TrackerError::Timeout { .. }));
    assert_eq!(stub.asked(), [Asked::Connect]);
}

/// A name with the addresses of these stubs, whatever its port says.
fn named(stubs: &[&Stub]) -> Client {
    let addresses: Vec<_> = stubs.iter().map(|stub| stub.address).collect();
    let lookup = move |_: &str, _| Ok(addresses.clone());
    Client::assemble(lookup, RootCertStore::empty())
}

#[test]
fn both_address_families_are_announced_to() {
    let (v4, v6) = (Stub::good(V4, PEER_V4), Stub::good(V6, PEER_V6));
    let client = named(&[&v4, &v6]);
    let got = task::block_on(client.announce("udp://t.test:1/a", &request())).unwrap();
    let mut peers: Vec<_> = got.peers.iter().map(ToString::to_string).collect();
    peers.sort();
    assert_eq!(peers, ["10.0.0.9:6881", "[fd00::9]:6881"]);
    assert_eq!((got.leechers, got.seeders), (Some(1), Some(2)));
    for stub in [&v4, &v6] {
        assert_eq!(stub.asked(), [Asked::Connect, announced("/a")]);
    }
}

#[test]
fn family_without_an_answer_holds_the_other_up_for_a_moment_only() {
    let (v4, v6) = (Stub::good(V4, PEER_V4), Stub::silent(V6));
    let client = named(&[&v6, &v4]);
    let got = task::block_on(client.announce("udp://t.test:1", &request())).unwrap();
    assert_eq!(got.peers.len(), 1);
    assert_eq!(v6.asked(), [Asked::Connect]);
}

#[test]
fn silent_address_is_passed_over() {
    let (dead, good) = (Stub::silent(V4), Stub::good(V4, PEER_V4));
    let client = named(&[&dead, &good]);
    let got = task::block_on(client.announce("udp://t.test:1", &request())).unwrap();
    assert_eq!(got.peers.len(), 1);
    assert_eq!(dead.asked(), [Asked::Connect]);
}

#[test]
fn dead_tracker_does_not_hold_up_another() {
    let (dead, good) = (Stub::silent(V4), Stub::good(V4, PEER_V4));
    let client = client();
    task::block_on(async {
        let (url, other) = (dead.url(""), client.clone());
        let waiting = task::spawn(async move { other.announce(&url, &request()).await });
        client.announce(&good.url(""), &request()).await.unwrap();
        waiting.cancel().await;
    });
}

#[test]
fn unusable_udp_urls_are_refused_before_anything_is_sent() {
    check(announce("udp://a.test/announce"), "names no port");
    check(announce("udp://a.test:0"), "port 0");
    check(announce("udp://nowhere.test:1"), "no address");
    check(announce("udp://unknown.example:1"), "cannot find");
    check(announce("udp://metadata.test:1"), "metadata");
}
