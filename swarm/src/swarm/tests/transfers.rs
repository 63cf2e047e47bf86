//! Whole downloads over a direct pipe.

use super::*;

pub(crate) fn some(pieces: &[u32]) -> Bitfield {
    let mut have = Bitfield::none(4);
    for &index in pieces {
        have.insert(piece(index));
    }
    have
}

fn assert_complete(world: &World) {
    for node in &world.nodes {
        assert!(node.swarm.is_complete());
        let geometry = world.geometry;
        for block in geometry
            .all_pieces()
            .flat_map(|piece| geometry.blocks(piece))
        {
            assert_eq!(node.disk[&block], data(block));
        }
    }
}

fn bans(world: &World) -> Vec<(usize, SocketAddr)> {
    let bans = world.log.iter().filter_map(|(node, output)| match output {
        Output::Event(Event::PeerBanned { address, .. }) => Some((*node, *address)),
        _ => None,
    });
    bans.collect()
}

#[test]
fn leecher_gets_everything_from_a_seed() {
    let mut world = World::new(vec![Bitfield::all(4), Bitfield::none(4)], 1);
    world.run();
    assert_complete(&world);
    let snapshot = world.nodes[1].swarm.snapshot(world.now);
    assert_eq!(snapshot.downloaded, geometry().total());
    assert_eq!(snapshot.bytes_have, geometry().total());
    assert_eq!(snapshot.wasted, 0);
}

#[test]
fn peers_without_extensions_are_served_alike() {
    for plain in [[true, false], [true, true]] {
        let mut world = World::new(vec![Bitfield::all(4), Bitfield::none(4)], 1);
        for (node, plain) in world.nodes.iter_mut().zip(plain) {
            if plain {
                node.extensions = Extensions::default();
            }
        }
        world.run();
        assert_complete(&world);
    }
}

#[test]
fn partial_seeds_complete_each_other() {
    let haves = vec![some(&[0]), some(&[1, 2]), some(&[3])];
    let mut world = World::new(haves, 1);
    world.introduce(1, 2);
    world.run();
    assert_complete(&world);
}

#[test]
fn twelve_leechers_complete_for_every_seed() {
    for seed in 0..20 {
        let mut haves = vec![Bitfield::none(4); 13];
        haves[0] = Bitfield::all(4);
        let mut world = World::new(haves, seed);
        for node in 2..13 {
            world.introduce(node, node - 1);
            world.introduce(node, node / 2);
        }
        world.run();
        assert_complete(&world);
    }
}

#[test]
fn two_that_dial_each_other_keep_one_connection() {
    let mut world = World::new(vec![some(&[0, 1]), some(&[2, 3])], 1);
    world.introduce(0, 1);
    world.run();
    assert_complete(&world);
    let duplicates = world.log.iter().filter(|(_, output)| {
        matches!(
            output,
            Output::Close {
                reason: CloseReason::Duplicate,
                ..
            }
        )
    });
    assert!(duplicates.count() > 0);
}

#[test]
fn sole_sender_of_bad_data_is_banned_and_the_rest_completes() {
    let mut world = World::new(
        vec![Bitfield::all(4), Bitfield::all(4), Bitfield::none(4)],
        1,
    );
    world.nodes[0].spoils = geometry().blocks(piece(2)).collect();
    world.introduce(2, 1);
    world.run();
    assert_complete(&world);
    let banned = bans(&world);
    assert!(
        banned.iter().all(|ban| *ban == (2, address(0))),
        "{banned:?}"
    );
}

#[test]
fn only_the_sender_of_bad_blocks_is_banned_among_many() {
    let geometry = Geometry::new(40 << 18, 1 << 18).unwrap();
    let mut injected = 0;
    for seed in 0..10 {
        let mut haves = vec![Bitfield::all(40); 6];
        haves[5] = Bitfield::none(40);
        let mut world = World::of(geometry, haves, seed);
        let pieces = geometry.all_pieces();
        let every_third = pieces.flat_map(|piece| geometry.blocks(piece).step_by(3));
        world.nodes[3].spoils = every_third.collect();
        for other in 1..5 {
            world.introduce(5, other);
        }
        world.run();
        assert_complete(&world);
        let banned = bans(&world);
        assert!(
            banned.iter().all(|ban| *ban == (5, address(3))),
            "{banned:?}"
        );
        injected += banned.len();
    }
    assert!(injected > 0, "no bad block was ever sent");
}

#[test]
fn same_seed_gives_the_same_outputs() {
    let run = || {
        let mut haves = vec![Bitfield::none(4); 8];
        haves[0] = Bitfield::all(4);
        let mut world = World::new(haves, 42);
        for node in 2..8 {
            world.introduce(node, node - 1);
        }
        world.run();
        world.log
    };
    let first = run();
    assert!(first.len() > 100);
    assert_eq!(first, run());
}
