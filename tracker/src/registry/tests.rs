//! The table as a tracker uses it.

mod sharing;

use super::*;
use AnnounceEvent::{Completed, Started, Stopped};

const HASH: InfoHash = InfoHash([9; 20]);
const INTERVAL: Duration = Duration::from_secs(60);

pub(super) fn request(port: u16, left: u64, event: Option<AnnounceEvent>) -> AnnounceRequest {
    let mut id = [b'-'; 20];
    id[..2].copy_from_slice(&port.to_be_bytes());
    AnnounceRequest {
        info_hash: HASH,
        peer_id: PeerId(id),
        port,
        uploaded: 1,
        downloaded: 2,
        left,
        event,
        ..AnnounceRequest::example()
    }
}

struct World {
    registry: Registry,
    now: Instant,
}

impl World {
    fn new(config: RegistryConfig) -> Self {
        let now = Instant::now();
        let registry = Registry::new(config, 1, now);
        Self { registry, now }
    }

    fn open() -> Self {
        Self::new(RegistryConfig {
            interval: INTERVAL,
            ..RegistryConfig::default()
        })
    }

    fn announce_from(&self, ip: &str, request: &AnnounceRequest) -> Result<Answer, Refusal> {
        let ip = ip.parse().unwrap();
        self.registry.announce(self.now, request, ip)
    }

    fn announce(&self, port: u16, left: u64, event: Option<AnnounceEvent>) -> Answer {
        let request = request(port, left, event);
        self.announce_from("10.0.0.1", &request).unwrap()
    }
}

fn ports(answer: &Answer) -> Vec<u16> {
    let mut ports: Vec<_> = answer.peers().iter().map(|(peer, _)| peer.port()).collect();
    ports.sort_unstable();
    ports
}

#[test]
fn peers_are_introduced_to_each_other() {
    let world = World::open();
    let first = world.announce(1, 100, Some(Started));
    assert_eq!(ports(&first), [0u16; 0]);
    assert_eq!((first.seeders, first.leechers), (0, 1));
    assert_eq!(first.change, Some(Started));
    let second = world.announce(2, 0, Some(Started));
    assert_eq!(ports(&second), [1]);
    assert_eq!((second.seeders, second.leechers), (1, 1));
    assert_eq!(ports(&world.announce(1, 50, None)), [2]);
    assert_eq!(world.announce(1, 50, None).change, None);
}

#[test]
fn seeds_are_not_given_seeds() {
    let world = World::open();
    world.announce(1, 0, None);
    world.announce(2, 0, None);
    assert_eq!(ports(&world.announce(3, 0, None)), [0u16; 0]);
    assert_eq!(ports(&world.announce(4, 1, None)), [1, 2, 3]);
    assert_eq!(ports(&world.announce(3, 0, None)), [4]);
}

#[test]
fn stopped_peer_is_gone_and_is_given_nobody() {
    let world = World::open();
    world.announce(1, 1, None);
    world.announce(2, 1, None);
    let answer = world.announce(1, 1, Some(Stopped));
    assert_eq!((ports(&answer), answer.leechers), (vec![], 1));
    assert_eq!(answer.change, Some(Stopped));
    assert_eq!(world.announce(1, 1, Some(Stopped)).change, None);
    assert_eq!(ports(&world.announce(3, 1, None)), [2]);
    assert_eq!(world.registry.size(), (1, 2));
}

#[test]
fn stopped_under_another_id_removes_nobody() {
    let world = World::open();
    world.announce(1, 1, None);
    world.announce(2, 0, None);
    for (port, left) in [(1, 1), (2, 0)] {
        let mut stranger = request(port, left, Some(Stopped));
        stranger.peer_id = PeerId([b'x'; 20]);
        let answer = world.announce_from("10.0.0.1", &stranger).unwrap();
        assert_eq!(
            (answer.change, answer.seeders, answer.leechers),
            (None, 1, 1)
        );
        assert_eq!(
            world.announce(port, left, Some(Stopped)).change,
            Some(Stopped)
        );
        world.announce(port, left, None);
    }
    // A client that was started again has a new id, and is the one that is there.
    let mut again = request(1, 1, Some(Started));
    again.peer_id = PeerId([b'y'; 20]);
    world.announce_from("10.0.0.1", &again).unwrap();
    assert_eq!(world.registry.size(), (1, 2));
    assert_eq!(world.announce(1, 1, Some(Stopped)).change, None);
    again.event = Some(Stopped);
    let answer = world.announce_from("10.0.0.1", &again).unwrap();
    assert_eq!(answer.change, Some(Stopped));
}

#[test]
fn same_id_at_another_port_is_another_peer() {
    let mut world = World::open();
    world.announce(1, 1, None);
    let mut moved = request(1, 1, None);
    moved.port = 2;
    let answer = world.announce_from("10.0.0.1", &moved).unwrap();
    assert_eq!((answer.leechers, ports(&answer)), (2, vec![1]));
    // The first falls silent, and is gone.
    for _ in 0..3 {
        world.now += INTERVAL;
        world.announce_from("10.0.0.1", &moved).unwrap();
    }
    let answer = world.announce_from("10.0.0.1", &moved).unwrap();
    assert_eq!((answer.leechers, ports(&answer)), (1, vec![]));
}

#[test]
fn client_that_starts_again_at_its_address_is_another_peer() {
    let world = World::open();
    let life = |name: u8, left, event| {
        let peer_id = PeerId([name; 20]);
        let request = AnnounceRequest {
            peer_id,
            ..request(1, left, event)
        };
        world.announce_from("10.0.0.1", &request).unwrap()
    };
    for name in [1, 2] {
        assert_eq!(life(name, 100, Some(Started)).change, Some(Started));
        assert_eq!(life(name, 100, Some(Started)).change, None);
        let done = life(name, 0, Some(Completed));
        assert_eq!(done.change, Some(Completed));
        assert_eq!((done.seeders, done.leechers), (1, 0));
        assert_eq!(world.registry.scrape(&[HASH])[0].completed, u32::from(name));
    }
}

#[test]
fn completed_is_counted_once_a_peer() {
    let world = World::open();
    world.announce(1, 1, Some(Started));
    assert_eq!(
        world.announce(1, 0, Some(Completed)).change,
        Some(Completed)
    );
    assert_eq!(world.announce(1, 0, Some(Completed)).change, None);
    assert_eq!(
        world.announce(2, 5, Some(Completed)).change,
        Some(Started),
        "left is not 0"
    );
    let entry = world.registry.scrape(&[HASH, InfoHash([0; 20])]);
    let expect = ScrapeEntry {
        info_hash: HASH,
        seeders: 1,
        completed: 1,
        leechers: 1,
    };
    assert_eq!(entry, [expect]);
}

#[test]
fn silent_peer_expires_after_two_intervals() {
    let mut world = World::open();
    world.announce(1, 1, None);
    let silence = INTERVAL * 2 + limits::EXPIRY_SLACK;
    world.now += silence;
    assert_eq!(
        ports(&world.announce(2, 1, None)),
        [1],
        "to the last second"
    );
    world.now += limits::SWEEP_EVERY;
    assert_eq!(ports(&world.announce(3, 1, None)), [2]);
    world.now += silence + Duration::from_secs(1);
    world.registry.expire(world.now);
    assert_eq!(world.registry.size(), (0, 0), "a deserted torrent goes too");
}

#[test]
fn numwant_is_obeyed_within_bounds() {
    let world = World::open();
    for port in 1..=300 {
        world.announce(port, 1, None);
    }
    let check = |numwant, expect: usize| {
        let request = AnnounceRequest {
            numwant,
            ..request(1, 1, None)
        };
        let answer = world.announce_from("10.0.0.1", &request).unwrap();
        let ports = ports(&answer);
        assert_eq!(ports.len(), expect, "{numwant:?}");
        assert!(!ports.contains(&1));
    };
    check(None, limits::NUMWANT_DEFAULT);
    check(Some(0), 0);
    check(Some(7), 7);
    check(Some(u32::MAX), limits::NUMWANT_MAX);
}

#[test]
fn one_host_never_becomes_the_swarm() {
    let max = limits::PEERS_PER_HOST_MAX;
    let mut world = World::open();
    let crowd = |world: &mut World, ips: &[&str]| {
        let before = world.registry.size().1;
        for port in 1..=u16::try_from(4 * max).unwrap() {
            let ip = ips[usize::from(port) % ips.len()];
            world.announce_from(ip, &request(port, 1, None)).unwrap();
        }
        world.registry.size().1 - before
    };
    assert_eq!(crowd(&mut world, &["203.0.113.9"]), max);
    assert_eq!(crowd(&mut world, &["203.0.113.8"]), max, "another host");
    // One host has a /64, and so every address of it.
    assert_eq!(
        crowd(&mut world, &["2001:db8::1", "2001:db8::dead:beef"]),
        max
    );
    assert_eq!(crowd(&mut world, &["2001:db8:0:1::1"]), max);
    for local in [
        "127.0.0.1",
        "10.1.2.3",
        "192.168.1.1",
        "100.64.0.1",
        "::1",
        "fd00::1",
    ] {
        assert_eq!(crowd(&mut world, &[local]), 4 * max, "{local}");
    }
    // Who comes late to a crowded NAT is taken all the same, and is one of them from then on.
    let late = request(60_000, 0, None);
    let change = |world: &mut World| world.announce_from("203.0.113.9", &late).unwrap().change;
    assert_eq!(change(&mut world), Some(Started));
    assert_eq!(change(&mut world), None);
}

#[test]
fn both_families_are_given_with_the_askers_first() {
    let world = World::open();
    for port in 1..=30 {
        world.announce_from("::1", &request(port, 1, None)).unwrap();
        world
            .announce_from("127.0.0.1", &request(port, 1, None))
            .unwrap();
    }
    let answer = world.announce_from("::1", &request(99, 1, None)).unwrap();
    assert_eq!(
        (answer.peers_v6.len(), answer.peers_v4.len()),
        (30 * 18, 20 * 6)
    );
    let mapped = world
        .announce_from("::ffff:127.0.0.1", &request(1, 1, None))
        .unwrap();
    assert_eq!(
        (mapped.peers_v4.len(), mapped.peers_v6.len()),
        (29 * 6, 21 * 18)
    );
    assert_eq!(mapped.change, None, "a mapped address is the IPv4 one");
}

#[test]
fn ids_are_given_to_those_who_want_dictionaries() {
    let world = World::open();
    for port in 1..=10 {
        let ip = if port % 2 == 0 { "::1" } else { "127.0.0.1" };
        world
            .announce_from(ip, &request(port, (port % 3).into(), None))
            .unwrap();
    }
    let request_ids = AnnounceRequest {
        compact: false,
        ..request(99, 1, None)
    };
    let answer = world.announce_from("127.0.0.1", &request_ids).unwrap();
    let peers = answer.peers();
    assert_eq!(peers.len(), 10);
    for (peer, id) in peers {
        assert_eq!(id.unwrap().0[..2], peer.port().to_be_bytes());
        assert_eq!(peer.is_ipv6(), peer.port() % 2 == 0);
    }
}

#[test]
fn closed_table_serves_its_own_torrents_alone() {
    let mut world = World::new(RegistryConfig {
        allowed: Some(BTreeSet::from([HASH])),
        ..RegistryConfig::default()
    });
    let foreign = AnnounceRequest {
        info_hash: InfoHash([1; 20]),
        ..request(1, 1, None)
    };
    let refused = world.announce_from("10.0.0.1", &foreign).unwrap_err();
    assert_eq!(refused, Refusal::Unregistered(foreign.info_hash));
    assert!(refused.to_string().contains("0101"));
    world.announce(1, 1, None);
    world.now += Duration::from_secs(86_400);
    world.registry.expire(world.now);
    assert_eq!(world.registry.size(), (1, 0), "a registered torrent stays");
    assert_eq!(world.registry.snapshot(world.now).torrents.len(), 1);
}

#[test]
fn snapshot_shows_every_peer() {
    let mut world = World::open();
    world.announce(2, 5, None);
    world.now += Duration::from_secs(3);
    world.announce(1, 0, None);
    let snapshot = world.registry.snapshot(world.now);
    let [torrent] = &snapshot.torrents[..] else {
        panic!("one torrent");
    };
    assert_eq!((torrent.seeders, torrent.leechers), (1, 1));
    let seen: Vec<_> = torrent
        .peers
        .iter()
        .map(|p| (p.address.port(), p.last_seen))
        .collect();
    assert_eq!(seen, [(1, Duration::ZERO), (2, Duration::from_secs(3))]);
    assert_eq!(
        (torrent.peers[1].left, torrent.peers[1].downloaded),
        (Some(5), 2)
    );
}

#[test]
fn hostile_announces_stay_within_every_bound() {
    let mut world = World::new(RegistryConfig {
        torrents_max: 50,
        peers_per_torrent_max: 100,
        peers_total_max: 2_000,
        interval: INTERVAL,
        ..RegistryConfig::default()
    });
    let mut rng = Rng::with_seed(5);
    let (mut refused, mut served) = (0, 0);
    for _ in 0..200_000 {
        let mut hash = [0; 20];
        hash[0] = rng.u8(..100);
        let request = AnnounceRequest {
            info_hash: InfoHash(hash),
            left: rng.u64(..2),
            ..request(rng.u16(1..), 0, None)
        };
        let ip = if rng.bool() { "10.0.0.1" } else { "fd00::1" };
        match world.announce_from(ip, &request) {
            Ok(_) => served += 1,
            Err(Refusal::Full) => refused += 1,
            Err(other) => panic!("{other}"),
        }
        let (torrents, peers) = world.registry.size();
        assert!(torrents <= 50 && peers <= 2_000);
    }
    assert!(refused > 0 && served > 0);
    let snapshot = world.registry.snapshot(world.now);
    let peers: usize = snapshot
        .torrents
        .iter()
        .map(|t| t.seeders + t.leechers)
        .sum();
    assert_eq!(world.registry.size(), (50, peers));
    world.now += Duration::from_secs(1_000);
    world.registry.expire(world.now);
    assert_eq!(world.registry.size(), (0, 0), "and all of it goes away");
}

#[test]
fn many_deserted_torrents_are_forgotten_step_by_step() {
    let mut world = World::open();
    let count = limits::SHARDS * limits::SWEEP_PEERS / limits::SWEEP_TORRENT_COST * 2;
    for name in 0..u32::try_from(count).unwrap() {
        let mut hash = [0; 20];
        hash[..4].copy_from_slice(&name.to_be_bytes());
        let request = AnnounceRequest {
            info_hash: InfoHash(hash),
            ..request(1, 1, None)
        };
        world.announce_from("10.0.0.1", &request).unwrap();
    }
    assert_eq!(world.registry.size(), (count, count));
    world.now += Duration::from_secs(1_000);
    let mut calls = 0;
    while world.registry.size().0 > 0 {
        let before = world.registry.size().0;
        world.registry.expire(world.now);
        let gone = before - world.registry.size().0;
        assert!((1..=count / 2).contains(&gone), "{gone} in one call");
        calls += 1;
    }
    assert!((2..=4).contains(&calls), "{calls}");
    assert_eq!(world.registry.size(), (0, 0));
}

#[test]
fn large_torrent_is_swept_step_by_step_while_it_changes() {
    let mut world = World::open();
    let count = u16::try_from(limits::SWEEP_PEERS * 3).unwrap();
    for port in 1..=count {
        let ip = if port % 3 == 0 { "fd00::1" } else { "10.0.0.1" };
        world
            .announce_from(ip, &request(port, u64::from(port % 2), None))
            .unwrap();
    }
    world.now += Duration::from_secs(1_000);
    let late = count + 1;
    let mut calls = 0;
    while world.registry.size().1 > 1 {
        // Somebody comes, goes and completes between the steps.
        world.announce(late, 1, None);
        world.announce(late, 0, Some(Completed));
        world.registry.expire(world.now);
        world.now += Duration::from_secs(1);
        calls += 1;
        assert!(calls < 100, "it never ends");
    }
    assert!(calls >= 3, "{calls}: the lock was held too long");
    assert_eq!(ports(&world.announce(late, 0, None)), [0u16; 0]);
    let torrent = &world.registry.snapshot(world.now).torrents[0];
    assert_eq!(
        (torrent.seeders, torrent.leechers, torrent.completed),
        (1, 0, 1)
    );
}

#[test]
fn only_the_first_torrents_are_watched() {
    let world = World::new(RegistryConfig {
        watched_max: 2,
        ..RegistryConfig::default()
    });
    for name in 1..=3 {
        let request = AnnounceRequest {
            info_hash: InfoHash([name; 20]),
            ..request(1, 1, Some(Started))
        };
        let answer = world.announce_from("10.0.0.1", &request).unwrap();
        assert_eq!((answer.watched, answer.change), (name <= 2, Some(Started)));
    }
    let snapshot = world.registry.snapshot(world.now);
    assert_eq!(snapshot.torrents.len(), 2);
    assert_eq!((snapshot.torrents_total, snapshot.peers_total), (3, 3));
    assert_eq!(snapshot.torrents[1].peers.len(), 1);
}

#[test]
fn leech_is_given_seeds_first_and_others_beside_them() {
    let world = World::open();
    for port in 1..=300 {
        world.announce(port, u64::from(port > 30), None);
    }
    let seeds = |answer: &Answer| ports(answer).iter().filter(|port| **port <= 30).count();
    let answer = world.announce(999, 1, None);
    assert_eq!(
        (seeds(&answer), ports(&answer).len()),
        (25, 50),
        "half of the sample"
    );
    let answer = world.announce(1, 0, None);
    assert_eq!((seeds(&answer), ports(&answer).len()), (0, 50));
}

#[test]
fn own_family_alone_is_given_where_there_is_room_for_no_other() {
    let world = World::open();
    for (ip, port) in [("10.0.0.1", 1), ("fd00::1", 2), ("10.0.0.2", 3)] {
        let ip = ip.parse().unwrap();
        world
            .registry
            .announce(world.now, &request(port, 1, None), ip)
            .unwrap();
    }
    let mut answer = Answer::default();
    for (ip, expect) in [("10.0.0.9", (12, 0)), ("fd00::9", (0, 18))] {
        let (ip, asked) = (ip.parse().unwrap(), request(9, 1, None));
        let (own, table) = (Families::Own, &world.registry);
        table
            .answer(world.now, &asked, ip, own, &mut answer)
            .unwrap();
        assert_eq!((answer.peers_v4.len(), answer.peers_v6.len()), expect);
    }
}

/// Threads that announce, scrape and sweep at once leave the numbers right.
#[test]
fn table_is_shared_by_threads() {
    let world = World::open();
    let (registry, now) = (&world.registry, world.now);
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            scope.spawn(move || {
                for round in 0..2_000u16 {
                    let request = AnnounceRequest {
                        info_hash: InfoHash([u8::try_from(round % 50).unwrap(); 20]),
                        event: (round >= 1_500).then_some(Stopped),
                        ..request(1 + round % 500, u64::from(round % 3), None)
                    };
                    let ip = IpAddr::from([10, 0, 0, thread]);
                    registry.announce(now, &request, ip).unwrap();
                    registry.expire(now + limits::SWEEP_EVERY);
                    assert!(registry.scrape(&[request.info_hash]).len() == 1);
                }
            });
        }
    });
    assert_eq!(registry.size(), (50, 0));
}
