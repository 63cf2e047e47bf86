//! What a peer costs in memory. BEP 3.
//!
//! Alone in its process: what is measured is what the process holds. What hostile ones cost,
//! `hostile` measures.

use std::fs;
use std::net::IpAddr;
use std::time::Instant;

use shoal_metainfo::{InfoHash, PeerId};
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
fn million_peers_of_a_hundred_thousand_swarms_take_64_bytes_each() {
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
    // What the first holds stayed, or this one would have been measured in what it gave back.
    assert_eq!(registry.size().1, 1_000_000);
}
