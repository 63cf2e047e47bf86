//! A fifth of the network lies, out of a few subnets. BEP 42.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use shoal_dht::limits::K;
use shoal_dht::{Announce, NodeId, Task};

use crate::figures::collect;
use crate::sybil::Names;
use crate::world::World;

const HONEST: usize = 1_600;
const SYBILS: usize = 400;
const LOOKUPS: usize = 200;

/// Liars in so many subnets.
fn sybils(subnets: usize) -> impl Iterator<Item = SocketAddr> {
    (0..SYBILS).map(move |number| {
        let subnet = u8::try_from(number % subnets).unwrap();
        let host = u8::try_from(number / subnets).unwrap();
        SocketAddr::new(
            Ipv4Addr::new(45, 80 + subnet * 3, subnet, host).into(),
            6881,
        )
    })
}

/// A network of which a fifth are liars in so many subnets.
fn besieged(seed: u64, names: Names, subnets: usize) -> World {
    let mut world = World::new(seed, 0.01);
    world.ring.names = names;
    world.populate(HONEST);
    world.add_sybils(sybils(subnets));
    world.run_for(Duration::from_secs(30));
    world
}

fn get_peers(target: NodeId, announce: bool) -> Task {
    let announce = announce.then_some(Announce {
        port: Some(6881),
        seed: false,
    });
    Task::GetPeers {
        info_hash: target.into(),
        announce,
        scrape: false,
    }
}

/// Of the honest nodes closest to each target, how many each lookup found, and the peers that it
/// was told.
fn hits(world: &mut World, targets: &[NodeId]) -> Vec<(usize, usize)> {
    let mut begun = Vec::new();
    for &target in targets {
        let host = world.any();
        let own = world.address(host);
        begun.push((
            world.start(host, get_peers(target, false)),
            world.now(),
            own,
        ));
        world.run_for(Duration::from_millis(50));
    }
    world.run_for(Duration::from_secs(20));
    let keys: Vec<_> = begun.iter().map(|(key, at, _)| (*key, *at)).collect();
    let figures = collect(world, &keys);
    let queries: usize = figures.iter().map(|figure| figure.outcome.queries).sum();
    println!(
        "{} queries a lookup, {} lies",
        queries / targets.len(),
        world.ring.lies
    );
    let figures = figures.iter().zip(targets).zip(&begun);
    let hits = figures.map(|((figure, target), (_, _, own))| {
        let mut honest = world.closest(target, K + 1);
        honest.retain(|contact| contact.address != *own);
        honest.truncate(K);
        let found: BTreeSet<_> = figure.outcome.closest.iter().collect();
        let hits = honest.iter().filter(|contact| found.contains(contact));
        (hits.count(), figure.outcome.peers)
    });
    hits.collect()
}

fn targets(seed: u64) -> Vec<NodeId> {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..LOOKUPS).map(|_| NodeId::random(&mut rng)).collect()
}

#[test]
fn honest_closest_nodes_are_found_though_a_fifth_lies() {
    let mut world = besieged(3, Names::Chosen, 8);
    let hits = hits(&mut world, &targets(4));
    assert!(world.ring.lies > 1_000, "only {} lies", world.ring.lies);
    let whole = hits.iter().filter(|(hits, _)| *hits == K).count();
    println!(
        "{whole} of {LOOKUPS} lookups found all {K} honest closest nodes, {} of {} in all",
        hits.iter().map(|(hits, _)| hits).sum::<usize>(),
        LOOKUPS * K,
    );
    assert!(whole * 100 >= LOOKUPS * 95, "{whole} of {LOOKUPS}");
}

/// Names that fit are no defence against who owns hundreds of addresses; that a subnet counts once
/// is: it takes one of the K seats at most.
#[test]
fn subnet_of_liars_whose_names_fit_takes_one_seat_and_hides_no_peer() {
    const SUBNETS: usize = 4;
    let mut world = besieged(5, Names::Fitting, SUBNETS);
    let targets = targets(6);
    let announced = targets.iter().map(|&target| {
        let host = world.any();
        let begun = (world.start(host, get_peers(target, true)), world.now());
        world.run_for(Duration::from_millis(50));
        begun
    });
    let announced: Vec<_> = announced.collect();
    world.run_for(Duration::from_secs(20));
    let stored = collect(&world, &announced);
    let hits = hits(&mut world, &targets);
    assert!(world.ring.lies > 1_000, "only {} lies", world.ring.lies);
    let count = |least: usize| hits.iter().filter(|(hits, _)| *hits >= least).count();
    let (whole, some) = (count(K), count(K - SUBNETS));
    let least = stored.iter().map(|figure| figure.outcome.stored).min();
    let found = hits.iter().filter(|(_, peers)| *peers > 0).count();
    println!(
        "{whole} of {LOOKUPS} lookups found all {K} honest closest nodes, {some} of them at least \
         {}; {found} found the peer that {least:?} nodes and more had stored",
        K - SUBNETS
    );
    assert!(some * 100 >= LOOKUPS * 95, "{some} of {LOOKUPS}");
    assert!(found * 100 >= LOOKUPS * 99, "{found} of {LOOKUPS}");
}
