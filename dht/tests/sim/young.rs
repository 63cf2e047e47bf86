//! Small networks whose nodes all begin at the same moment, knowing one of them.

use std::time::Duration;

use crate::figures::quantile;
use crate::world::World;

const NODES: usize = 20;

/// Nodes that each node knows.
fn known(world: &World) -> Vec<usize> {
    let nodes = (0..NODES).filter_map(|host| world.node(host));
    let snapshots = nodes.map(|node| node.snapshot(world.now()));
    snapshots.map(|all| all.families[0].nodes).collect()
}

#[test]
fn nodes_that_begin_at_once_know_each_other_within_a_minute() {
    for seed in 0..20 {
        let mut world = World::new(seed, 0.02);
        world.begin_at_once(NODES);
        world.run_for(Duration::from_secs(60));
        let (known, minute) = (known(&world), world.datagrams);
        world.run_for(Duration::from_secs(3_600));
        let hour = world.datagrams - minute;
        println!(
            "seed {seed}: each knows {} to {} of {NODES}; {minute} datagrams in the first minute, \
             {hour} in the hour behind it",
            quantile(known.iter().copied(), 0.0),
            quantile(known.iter().copied(), 1.0),
        );
        assert!(known.iter().all(|&known| known >= 12), "{known:?}");
        let each = NODES as u64;
        assert!(minute < 200 * each, "{minute} datagrams");
        assert!(hour < 300 * each, "{hour} datagrams");
    }
}

#[test]
fn network_too_small_for_a_full_table_is_left_in_peace() {
    let mut world = World::new(1, 0.0);
    world.begin_at_once(3);
    world.run_for(Duration::from_secs(3_600));
    let before = world.datagrams;
    world.run_for(Duration::from_secs(3_600));
    let hour = world.datagrams - before;
    println!("three nodes: {hour} datagrams in the second hour");
    assert!(hour < 3 * 60, "{hour} datagrams");
}
