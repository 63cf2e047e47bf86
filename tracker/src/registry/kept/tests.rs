//! A table that ends and one that begins with what was kept of it.

use super::*;
use crate::announce::AnnounceEvent::{self, Completed, Started, Stopped};
use crate::announce::AnnounceRequest;
use crate::registry::{Answer, RegistryConfig};
use proptest::prelude::*;

fn table() -> (Registry, Instant) {
    let now = Instant::now();
    let config = RegistryConfig {
        completed_max: 1_000,
        ..RegistryConfig::default()
    };
    (Registry::new(config, 1, now), now)
}

fn say(
    (registry, now): &(Registry, Instant),
    ip: &str,
    (hash, port, left): (u8, u16, u64),
    event: Option<AnnounceEvent>,
) -> Answer {
    let request = AnnounceRequest {
        info_hash: InfoHash([hash; 20]),
        peer_id: PeerId([port.to_be_bytes()[1]; 20]),
        port,
        left,
        event,
        ..AnnounceRequest::example()
    };
    let answer = registry.announce(*now, &request, ip.parse().unwrap());
    answer.unwrap()
}

#[test]
fn completed_counts_outlive_their_swarms_and_changes_are_told_once() {
    let mut world = table();
    let hash = InfoHash([1; 20]);
    for port in 1..=3 {
        say(&world, "10.0.0.1", (1, port, 0), Some(Completed));
    }
    // Twice by the same peer is once.
    say(&world, "10.0.0.1", (1, 3, 0), Some(Completed));
    let mut told = Vec::new();
    world.0.take_completed(&mut told);
    assert_eq!(told, [(hash, 3)]);
    world.0.take_completed(&mut told);
    assert_eq!(told.len(), 1, "it was told before");
    for port in 1..=3 {
        say(&world, "10.0.0.1", (1, port, 0), Some(Stopped));
    }
    world.1 += Duration::from_secs(9_000);
    world.0.expire(world.1);
    assert_eq!(world.0.size().0, 0);
    assert_eq!(world.0.completed(&hash), 3);
    say(&world, "10.0.0.1", (1, 9, 0), Some(Completed));
    assert_eq!(world.0.scrape_one(&hash).unwrap().completed, 4);
}

#[test]
fn restored_count_is_there_before_and_after_the_torrent_comes() {
    let world = table();
    let [before, after] = [InfoHash([1; 20]), InfoHash([2; 20])];
    world.0.restore_completed(before, 7);
    assert_eq!(world.0.completed(&before), 7);
    say(&world, "10.0.0.1", (1, 1, 1), Some(Started));
    assert_eq!(world.0.scrape_one(&before).unwrap().completed, 7);
    say(&world, "10.0.0.1", (2, 1, 0), Some(Completed));
    world.0.restore_completed(after, 7);
    assert_eq!(world.0.completed(&after), 8);
}

#[test]
fn swarms_come_back_with_their_seeds_and_without_the_silent() {
    let mut world = table();
    say(&world, "10.0.0.1", (1, 1, 0), Some(Completed));
    say(&world, "fd00::1", (1, 2, 5), None);
    world.1 += Duration::from_secs(100);
    say(&world, "10.0.0.2", (2, 3, 5), None);
    let mut bytes = Vec::new();
    (0..Registry::PARTS).for_each(|part| world.0.swarms(part, world.1, &mut bytes));
    let peers = read_swarms(&bytes).unwrap();
    assert_eq!(peers.len(), 3);
    let again = table();
    let silence = Duration::from_secs(3_600 - 50);
    let restored = peers.iter().filter(|(hash, peer)| {
        let silent = peer.silent + silence;
        again.0.restore_peer(*hash, peer, silent)
    });
    assert_eq!(restored.count(), 1, "two were silent for an hour and 50 s");
    for (hash, peer) in &peers {
        assert!(again.0.restore_peer(*hash, peer, peer.silent));
    }
    assert_eq!(again.0.size(), (2, 3));
    let entry = again.0.scrape_one(&InfoHash([1; 20])).unwrap();
    assert_eq!((entry.seeders, entry.leechers), (1, 1));
    // Its completion is in the count that is kept beside.
    say(&again, "10.0.0.1", (1, 1, 0), Some(Completed));
    assert_eq!(again.0.completed(&InfoHash([1; 20])), 0);
}

proptest! {
    #[test]
    fn any_bytes_are_swarms_or_refused(bytes: Vec<u8>, cut in 0usize..200) {
        let _ = read_swarms(&bytes);
        let world = table();
        for hash in 0..3 {
            say(&world, "10.0.0.1", (hash, 1, 0), None);
        }
        let mut bytes = Vec::new();
        (0..Registry::PARTS).for_each(|part| world.0.swarms(part, world.1, &mut bytes));
        let cut = cut.min(bytes.len());
        let whole = read_swarms(&bytes[..cut]);
        prop_assert_eq!(whole.is_some(), cut.is_multiple_of(59));
    }
}
