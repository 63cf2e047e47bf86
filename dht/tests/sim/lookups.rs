//! Lookups in a large network of which a third has just died.

use std::time::Duration;

use shoal_dht::{Announce, Task};
use shoal_metainfo::InfoHash;

use crate::figures::{collect, quantile};
use crate::world::World;

const NODES: usize = 2_000;
const TORRENTS: usize = 100;
const LOOKUPS: usize = 400;

fn torrent(number: usize) -> InfoHash {
    let mut rng = fastrand::Rng::with_seed(number as u64);
    InfoHash(std::array::from_fn(|_| rng.u8(..)))
}

fn get_peers(number: usize, announce: bool) -> Task {
    let port = Some(6881);
    Task::GetPeers {
        info_hash: torrent(number),
        announce: announce.then_some(Announce { port, seed: false }),
        scrape: false,
    }
}

#[test]
fn lookups_find_peers_fast_though_thirty_percent_are_dead() {
    let mut world = World::new(2, 0.02);
    world.populate(NODES);
    world.run_for(Duration::from_secs(20));
    let mut announced = Vec::new();
    for number in 0..TORRENTS {
        let host = world.any();
        announced.push((world.start(host, get_peers(number, true)), world.now()));
        world.run_for(Duration::from_millis(50));
    }
    world.run_for(Duration::from_secs(20));
    let stored = collect(&world, &announced);
    let stored = stored.iter().map(|figure| figure.outcome.stored);
    assert!(quantile(stored, 0.0) >= 4, "announces are stored");
    for _ in 0..NODES * 3 / 10 {
        let host = world.any();
        world.kill(host);
    }
    let mut begun = Vec::new();
    for number in 0..LOOKUPS {
        let host = world.any();
        begun.push((
            world.start(host, get_peers(number % TORRENTS, false)),
            world.now(),
        ));
        world.run_for(Duration::from_millis(50));
    }
    world.run_for(Duration::from_secs(20));
    assert!(world.lost > 1_000, "{} datagrams were lost", world.lost);
    let figures = collect(&world, &begun);
    let found: Vec<_> = figures
        .iter()
        .filter(|figure| figure.first.is_some())
        .collect();
    let first = |share| quantile(found.iter().filter_map(|figure| figure.first), share);
    let took = |share| quantile(figures.iter().map(|figure| figure.outcome.took), share);
    let hops = |share| quantile(found.iter().filter_map(|f| f.outcome.hops_to_result), share);
    let queries = |share| quantile(figures.iter().map(|figure| figure.outcome.queries), share);
    println!(
        "{} of {LOOKUPS} lookups found peers; first peer after {:?} (median), {:?} (p99); whole \
         lookup {:?}, {:?}; round trips to the result {}, {}; queries {}, {}; {} datagrams in all",
        found.len(),
        first(0.5),
        first(0.99),
        took(0.5),
        took(0.99),
        hops(0.5),
        hops(0.99),
        queries(0.5),
        queries(0.99),
        world.datagrams,
    );
    assert!(
        found.len() * 100 >= LOOKUPS * 99,
        "{} of {LOOKUPS}",
        found.len()
    );
    assert!(hops(0.5) < 8);
    assert!(took(0.99) < Duration::from_secs(3), "{:?}", took(0.99));
}

#[test]
fn same_seed_is_the_same_run() {
    let run = |seed| {
        let mut world = World::new(seed, 0.05);
        world.populate(60);
        let host = world.any();
        world.start(host, get_peers(1, true));
        world.run_for(Duration::from_secs(30));
        world.trace.fingerprint()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
