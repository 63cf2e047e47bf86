//! Packets in, packets out, without a socket: honest, wrong and hostile ones.

use fastrand::Rng;

use super::super::packet::{ConnectionId, Response};
use super::*;
use crate::announce::AnnounceEvent::Started;
use crate::policy::{KeyLimits, Passkey, PolicyConfig};
use crate::registry::RegistryConfig;

const INTERVAL: std::time::Duration = std::time::Duration::from_secs(900);
const V4: &str = "10.0.0.1";
const V6: &str = "fd00::1";

struct World {
    responder: Responder,
    registry: Arc<Registry>,
    policy: Arc<Policy>,
    now: Instant,
}

impl World {
    fn new(config: RegistryConfig) -> Self {
        Self::under(&PolicyConfig::default(), config)
    }

    fn under(policy: &PolicyConfig, config: RegistryConfig) -> Self {
        let now = Instant::now();
        let ids = ConnectionIds::new(&[1; 16], now);
        let registry = Arc::new(Registry::new(config, 1, now));
        let config = PolicyConfig {
            interval: INTERVAL,
            ..policy.clone()
        };
        let policy = Arc::new(Policy::new(&config, Arc::clone(&registry), now));
        Self {
            responder: Responder::new(ids, Arc::clone(&policy)),
            registry,
            policy,
            now,
        }
    }

    fn send(&mut self, from: &str, packet: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let from = from.parse().unwrap();
        self.responder
            .respond(self.now, packet, from, &self.registry, &mut out);
        out
    }

    fn connect(&mut self, from: &str) -> ConnectionId {
        let answer = self.send(from, &packet::connect_request(TransactionId(5)));
        assert_eq!(
            packet::response_transaction(&answer),
            Some(TransactionId(5))
        );
        match Response::decode(&answer).unwrap() {
            Response::Connect(id) => id,
            other => panic!("{other:?}"),
        }
    }

    fn announce(&mut self, from: &str, request: &AnnounceRequest) -> Vec<u8> {
        let id = self.connect(from);
        let packet = packet::announce_request(id, TransactionId(7), request, b"/announce?x=1");
        self.send(from, &packet)
    }
}

fn request(port: u16, left: u64) -> AnnounceRequest {
    AnnounceRequest {
        port,
        left,
        event: Some(Started),
        ..AnnounceRequest::example()
    }
}

#[test]
fn peers_of_both_families_find_their_own() {
    let mut world = World::new(RegistryConfig::default());
    for from in [V4, V6, "::ffff:10.0.0.2"] {
        world.announce(from, &request(7, 1));
    }
    for (from, ipv6, expect) in [(V4, false, 2), (V6, true, 1), ("fd00::2", true, 1)] {
        let answer = world.announce(from, &request(8, 0));
        assert_eq!(
            packet::response_transaction(&answer),
            Some(TransactionId(7))
        );
        let answer = Response::decode(&answer)
            .unwrap()
            .into_announce(ipv6)
            .unwrap();
        let others = answer.peers.iter().filter(|peer| peer.port() == 7);
        assert_eq!(others.count(), expect, "{from}");
        assert_eq!((answer.interval, answer.leechers), (INTERVAL, Some(3)));
        assert!(answer.peers.iter().all(|peer| peer.is_ipv6() == ipv6));
    }
}

#[test]
fn scrape_counts_in_the_order_asked_and_knows_nothing_of_strangers() {
    let mut world = World::new(RegistryConfig::default());
    world.announce(V4, &request(7, 1));
    world.announce(V6, &request(8, 0));
    let mut hashes = vec![InfoHash([1; 20]); limits::UDP_SCRAPE_HASHES_MAX];
    hashes[70] = InfoHash([9; 20]);
    let id = world.connect(V4);
    let answer = world.send(V4, &packet::scrape_request(id, TransactionId(1), &hashes));
    let entries = Response::decode(&answer)
        .unwrap()
        .into_scrape(&hashes)
        .unwrap();
    assert_eq!(entries.len(), 74);
    let known: Vec<_> = entries.iter().filter(|entry| entry.seeders > 0).collect();
    assert_eq!((known.len(), known[0].info_hash), (1, hashes[70]));
    assert_eq!((known[0].seeders, known[0].leechers), (1, 1));
}

#[test]
fn who_has_proved_its_address_is_told_what_is_wrong() {
    let allowed = Some([InfoHash([1; 20])].into());
    let mut world = World::new(RegistryConfig {
        allowed,
        ..RegistryConfig::default()
    });
    let refusal = |answer: &[u8]| match Response::decode(answer).unwrap() {
        Response::Error(reason) => String::from_utf8(reason.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    };
    let answer = world.announce(V4, &request(7, 1));
    assert!(refusal(&answer).contains("unregistered torrent 0909"));
    let id = world.connect(V4);
    let announce = packet::announce_request(id, TransactionId(7), &request(7, 1), b"");
    let mut bad_port = announce.clone();
    bad_port[96..98].fill(0);
    assert!(refusal(&world.send(V4, &bad_port)).contains("`port`"));
    assert!(refusal(&world.send(V4, &announce[..97])).contains("97 bytes"));
    let mut unknown = announce;
    unknown[11] = 9;
    assert!(refusal(&world.send(V4, &unknown)).contains("action 9"));
    assert_eq!(
        packet::response_transaction(&world.send(V4, &unknown)),
        Some(TransactionId(7))
    );
}

/// However many peers there are, and whatever is asked for.
#[test]
fn answers_fit_the_smallest_path() {
    let mut world = World::new(RegistryConfig::default());
    for port in 1..=300 {
        for from in [V4, V6] {
            world.announce(from, &request(port, 1));
        }
    }
    for numwant in [None, Some(0), Some(5), Some(200), Some(u32::MAX >> 1)] {
        for from in [V4, V6] {
            let asked = AnnounceRequest {
                numwant,
                ..request(400, 1)
            };
            let answer = world.announce(from, &asked);
            // Source: RFC 8200, 1,280 bytes, of which 48 are heads.
            assert!(
                answer.len() <= 1_232,
                "{numwant:?} {from}: {}",
                answer.len()
            );
            assert!(numwant == Some(0) || answer.len() > 20);
        }
    }
}

/// Everything that an unproved address may send: bytes out per byte in.
#[test]
fn nobody_is_flooded_through_us() {
    let mut world = World::new(RegistryConfig::default());
    let mut rng = Rng::with_seed(3);
    let (mut into, mut out, mut connects) = (0, 0, 0);
    for number in 0..200_000u32 {
        let mut bytes = vec![0; rng.usize(..1_600)];
        rng.fill(&mut bytes);
        match number % 4 {
            0 => {
                let connect = packet::connect_request(TransactionId(number));
                bytes.splice(..bytes.len().min(16), connect);
                bytes.truncate(bytes.len().max(16));
            }
            1 if bytes.len() >= 12 => bytes[8..12].copy_from_slice(&rng.u32(..4).to_be_bytes()),
            2 => {
                let (id, port) = (ConnectionId(rng.u64(..)), rng.u16(1..));
                bytes = packet::announce_request(id, TransactionId(1), &request(port, 1), b"");
            }
            _ => {}
        }
        let answer = world.send(V4, &bytes);
        assert!(
            answer.len() <= bytes.len(),
            "{} for {}",
            answer.len(),
            bytes.len()
        );
        connects += u32::from(!answer.is_empty());
        (into, out) = (into + bytes.len(), out + answer.len());
    }
    assert!(
        connects >= 50_000,
        "the injector sent {connects} that are answered"
    );
    assert!(out * 10 < into);
    assert_eq!(world.registry.size(), (0, 0), "nobody got in");
}

/// A stranger who floods in the name of a victim gets nothing done, and the victim is served.
#[test]
fn forged_ids_get_no_answer_and_the_victim_is_served_all_the_same() {
    let count = crate::forgeries();
    let mut world = World::new(RegistryConfig::default());
    let id = world.connect(V4);
    let mut forged = packet::announce_request(id, TransactionId(1), &request(1, 1), b"");
    let mut rng = Rng::with_seed(4);
    let (from, mut out) = (V4.parse().unwrap(), Vec::new());
    for _ in 0..count {
        let guess = rng.u64(..);
        forged[..8].copy_from_slice(&guess.to_be_bytes());
        world
            .responder
            .respond(world.now, &forged, from, &world.registry, &mut out);
    }
    assert!(out.is_empty(), "a forged id was accepted in {count}");
    assert_eq!(world.registry.size(), (0, 0));
    let honest = packet::announce_request(id, TransactionId(1), &request(1, 1), b"");
    assert!(!world.send(V4, &honest).is_empty());
    println!("forged announces: 0 of {count} answered");
}

#[test]
fn changes_of_watched_torrents_are_told() {
    let mut world = World::new(RegistryConfig::default());
    let id = world.connect(V4);
    let packet = packet::announce_request(id, TransactionId(1), &request(7, 1), b"");
    let from = V4.parse().unwrap();
    let mut out = Vec::new();
    let change = world
        .responder
        .respond(world.now, &packet, from, &world.registry, &mut out);
    let change = change.unwrap();
    assert_eq!(
        (change.event, change.address),
        (Started, "10.0.0.1:7".parse().unwrap())
    );
    let again = world
        .responder
        .respond(world.now, &packet, from, &world.registry, &mut out);
    assert_eq!(again, None);
}

#[test]
fn private_tracker_finds_the_passkey_in_the_url_data() {
    let policy = PolicyConfig {
        private: true,
        ..PolicyConfig::default()
    };
    let mut world = World::under(&policy, RegistryConfig::default());
    let key = Passkey::from_random([7; 16]);
    world.policy.add_key(key, KeyLimits::default()).unwrap();
    let id = world.connect(V4);
    let mut send = |url: &str| {
        let packet = packet::announce_request(id, TransactionId(7), &request(7, 1), url.as_bytes());
        world.send(V4, &packet)
    };
    let long = format!("/{key}/announce?{}", "x".repeat(900));
    for good in [format!("/{key}/announce"), format!("/announce/{key}"), long] {
        let answer = send(&good);
        let answer = Response::decode(&answer).unwrap().into_announce(false);
        assert_eq!(answer.unwrap().leechers, Some(1), "{good}");
    }
    for (bad, expect) in [
        (String::new(), "/PASSKEY/announce"),
        ("/announce".to_owned(), "/PASSKEY/announce"),
        (format!("/{key}/scrape"), "/PASSKEY/announce"),
        (format!("/{key}0/announce"), "not valid"),
        (format!("/{}/announce", "00".repeat(16)), "not valid"),
    ] {
        match Response::decode(&send(&bad)).unwrap() {
            Response::Error(reason) => {
                let reason = String::from_utf8_lossy(reason);
                assert!(reason.contains(expect), "{bad}: {reason}");
            }
            other => panic!("{bad}: {other:?}"),
        }
    }
    let packet = packet::scrape_request(id, TransactionId(1), &[InfoHash([9; 20])]);
    let answer = world.send(V4, &packet);
    assert!(matches!(Response::decode(&answer), Ok(Response::Error(_))));
}
