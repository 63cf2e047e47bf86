//! What a peer costs in memory, of honest swarms and of hostile ones. BEP 3.
//!
//! Alone in its process, and one test after the other: what is measured is what the process holds.

use std::fs;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use fastrand::Rng;
use shoal_metainfo::{InfoHash, PeerId};
use shoal_tracker::limits;
use shoal_tracker::registry::{Registry, RegistryConfig};
use shoal_tracker::{AnnounceEvent, AnnounceRequest};

/// Bytes of memory that are this process's own.
fn resident() -> u64 {
    let text = fs::read_to_string("/proc/self/smaps_rollup").expect("Linux");
    let line = text.lines().find(|line| line.starts_with("Anonymous:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    1_024 * kib.expect("a line of it").parse::<u64>().expect("a number")
}

fn request(hash: u64, peer: u64, left: u64) -> AnnounceRequest {
    let mut info_hash = [0; 20];
    info_hash[..8].copy_from_slice(&hash.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    let mut id = [b'-'; 20];
    id[..8].copy_from_slice(&peer.to_be_bytes());
    AnnounceRequest {
        info_hash: InfoHash(info_hash),
        peer_id: PeerId(id),
        port: 6_881,
        uploaded: 0,
        downloaded: 0,
        left,
        event: Some(AnnounceEvent::Started),
        numwant: Some(0),
        key: 0,
        tracker_id: None,
        compact: true,
    }
}

fn ip(peer: u64) -> IpAddr {
    IpAddr::from(u32::try_from(0x5000_0000 + peer).unwrap().to_be_bytes())
}

#[test]
fn memory_stays_within_what_is_promised() {
    // What the first holds stays, or the second would be measured in the memory that it gave back.
    let held = million_peers_of_a_hundred_thousand_swarms_take_64_bytes_each();
    million_hostile_announces_stay_under_the_cap();
    assert_eq!(held.map(|registry| registry.size().1), [1_000_000, 100_000]);
}

fn million_peers_of_a_hundred_thousand_swarms_take_64_bytes_each() -> [Registry; 2] {
    let now = Instant::now();
    let before = resident();
    let registry = Registry::new(RegistryConfig::default(), 1, now);
    let (torrents, peers) = (100_000, 1_000_000);
    for peer in 0..peers {
        let request = request(peer % torrents, peer, u64::from(peer % 7 > 0));
        registry.announce(now, &request, ip(peer)).unwrap();
    }
    assert_eq!(registry.size(), (100_000, 1_000_000));
    let each = (resident() - before) / peers;
    println!("{peers} peers of {torrents} torrents: {each} bytes a peer");
    assert!(each <= 64, "{each} bytes a peer");
    // One swarm has them too, with its index.
    let before = resident();
    let large = Registry::new(RegistryConfig::default(), 1, now);
    for peer in 0..100_000 {
        large.announce(now, &request(1, peer, 1), ip(peer)).unwrap();
    }
    let each = (resident() - before) / 100_000;
    println!("100,000 peers of one torrent: {each} bytes a peer");
    // This one is watched, which takes 24 more and their slack.
    assert!(each <= 64 + 36, "{each} bytes a peer");
    [registry, large]
}

/// Random hashes, addresses of both families, ports, ids and events: nothing of it helps to take
/// more memory than the caps say, and all of it is given back.
fn million_hostile_announces_stay_under_the_cap() {
    let now = Instant::now();
    let before = resident();
    let config = RegistryConfig {
        torrents_max: 100_000,
        peers_total_max: 200_000,
        ..RegistryConfig::default()
    };
    // As `limits` says: 200 bytes a torrent, 64 a peer; IPv6 takes 12 more and a box a torrent.
    let cap = 100_000 * (200 + 200) + 200_000 * (64 + 12);
    let registry = Registry::new(config, 1, now);
    let (mut rng, mut refused) = (Rng::with_seed(1), 0u32);
    for _ in 0..1_000_000 {
        let mut request = request(rng.u64(..), rng.u64(..), rng.u64(..2));
        if rng.u8(..4) == 0 {
            request.info_hash = InfoHash([rng.u8(..); 20]);
        }
        request.port = rng.u16(1..);
        request.numwant = Some(rng.u32(..));
        request.event = [
            None,
            Some(AnnounceEvent::Completed),
            Some(AnnounceEvent::Stopped),
        ][rng.usize(..3)];
        let v6 = IpAddr::from(rng.u128(..).to_be_bytes());
        let from = if rng.bool() {
            v6
        } else {
            ip(rng.u64(..1 << 29))
        };
        refused += u32::from(registry.announce(now, &request, from).is_err());
    }
    let (torrents, peers) = registry.size();
    assert!(torrents <= 100_000 && peers <= 200_000);
    assert!(
        refused > 100_000,
        "{refused} refused: the cap was never met"
    );
    let taken = resident() - before;
    println!("a million hostile announces: {torrents} torrents, {peers} peers, {taken} bytes");
    assert!(taken > cap / 10, "{taken} bytes: that is not all");
    assert!(taken <= cap, "{taken} bytes, and the caps allow {cap}");
    let mut later = now + limits::SERVER_INTERVAL_DEFAULT * 3;
    for _ in 0..100 {
        registry.expire(later);
        later += Duration::from_secs(1);
    }
    assert_eq!(registry.size(), (0, 0), "and all of it goes away");
}
