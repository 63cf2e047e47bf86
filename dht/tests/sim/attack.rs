//! A fifth of the network lies, out of a few subnets. BEP 42.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use shoal_dht::limits::K;
use shoal_dht::{NodeId, Task};

use crate::figures::collect;
use crate::world::World;

const HONEST: usize = 800;
const SYBILS: usize = 200;
const SUBNETS: usize = 8;
const LOOKUPS: usize = 200;

fn sybils() -> impl Iterator<Item = SocketAddr> {
    (0..SYBILS).map(|number| {
        let subnet = u8::try_from(number % SUBNETS).unwrap();
        let host = u8::try_from(number / SUBNETS).unwrap();
        SocketAddr::new(
            Ipv4Addr::new(45, 80 + subnet * 3, subnet, host).into(),
            6881,
        )
    })
}

#[test]
fn honest_closest_nodes_are_found_though_a_fifth_lies() {
    let mut world = World::new(3, 0.01);
    world.populate(HONEST);
    world.add_sybils(sybils());
    world.run_for(Duration::from_secs(30));
    let mut rng = fastrand::Rng::with_seed(4);
    let targets: Vec<_> = (0..LOOKUPS).map(|_| NodeId::random(&mut rng)).collect();
    let mut begun = Vec::new();
    for &target in &targets {
        let host = world.any();
        let own = world.address(host);
        let task = Task::GetPeers {
            info_hash: target.into(),
            announce: None,
            scrape: false,
        };
        begun.push((world.start(host, task), world.now(), own));
        world.run_for(Duration::from_millis(50));
    }
    world.run_for(Duration::from_secs(20));
    assert!(world.ring.lies > 1_000, "only {} lies", world.ring.lies);
    let keys: Vec<_> = begun.iter().map(|(key, at, _)| (*key, *at)).collect();
    let figures = collect(&world, &keys);
    let (mut whole, mut recalled, mut queries) = (0, 0, 0);
    for ((figure, target), (_, _, own)) in figures.iter().zip(&targets).zip(&begun) {
        let mut honest = world.closest(target, K + 1);
        honest.retain(|contact| contact.address != *own);
        honest.truncate(K);
        let found: BTreeSet<_> = figure.outcome.closest.iter().collect();
        let hits = honest
            .iter()
            .filter(|contact| found.contains(contact))
            .count();
        recalled += hits;
        queries += figure.outcome.queries;
        whole += usize::from(hits == K);
    }
    println!(
        "{whole} of {LOOKUPS} lookups found all {K} honest closest nodes, {recalled} of {} in all; \
         {} queries a lookup, {} lies",
        LOOKUPS * K,
        queries / LOOKUPS,
        world.ring.lies
    );
    assert!(whole * 100 >= LOOKUPS * 95, "{whole} of {LOOKUPS}");
}
