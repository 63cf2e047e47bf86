//! Downloads of some files only: everybody chooses others, and gets those and nothing else.

use std::ops::Range;

use shoal_metainfo::Bitfield;
use shoal_simulation::Rng;

use crate::node::Node;
use crate::plan::{self, Plan, SECOND};
use crate::seeds::{Replay, Scenario, run, seeds};

fn number(below: u64) -> u32 {
    u32::try_from(below).expect("few pieces")
}

/// The pieces that a torrent's files lie in; neighbours share one where they meet inside it.
fn files(pieces: u32, rng: &mut Rng) -> Vec<Range<u32>> {
    let mut files = Vec::new();
    let mut begin = 0;
    while begin < pieces {
        let end = (begin + 1 + number(rng.below(8))).min(pieces);
        files.push(begin..end);
        let shared = end < pieces && end - begin > 1 && rng.chance(0.6);
        begin = end - u32::from(shared);
    }
    files
}

/// Each leecher chooses files by chance, most of them by a magnet that says so.
fn choose(plan: &mut Plan) {
    let rng = &mut plan.rng().fork("files");
    let geometry = plan.content.geometry;
    let files = files(geometry.pieces(), rng);
    for node in &mut plan.nodes {
        if node.have.is_full() {
            continue;
        }
        let mut wanted = Bitfield::none(geometry.pieces());
        for file in &files {
            if rng.chance(0.3) {
                for piece in file.clone().filter_map(|index| geometry.piece(index)) {
                    wanted.insert(piece);
                }
            }
        }
        if wanted.is_empty() {
            wanted.insert(
                geometry
                    .piece(number(rng.below(geometry.pieces().into())))
                    .unwrap(),
            );
        }
        node.wanted = Some(wanted);
    }
}

/// That each has what it chose and nothing else; gives how many chose less than all.
fn judge(nodes: &[Node]) -> usize {
    let mut partial = 0;
    for (number, node) in nodes.iter().enumerate() {
        let Some(wanted) = &node.plan.wanted else {
            continue;
        };
        if !node.gone {
            assert_eq!(
                &node.have, wanted,
                "node {number} has other pieces than it chose"
            );
        }
        partial += usize::from(!wanted.is_full());
    }
    partial
}

#[test]
fn everybody_gets_the_files_that_he_chose_and_no_others() {
    for seed in seeds(Scenario::Selected, 20, (0, 2)) {
        let _replay = Replay(seed);
        let mut plan = Plan::new(seed, 120, 3);
        let rng = &mut plan.rng().fork("homes");
        plan.nodes = vec![plan.seed(200 << 10)];
        plan.add_homes(rng, 12);
        choose(&mut plan);
        let outcome = run(plan);
        assert!(judge(&outcome.nodes) >= 10, "most choose some files only");
        assert!(outcome.took < SECOND * 600);
    }
}

#[test]
fn choices_hold_under_churn_and_for_magnets() {
    for seed in seeds(Scenario::Selected, 40, (1, 2)) {
        let _replay = Replay(seed);
        let mut plan = plan::churn(seed);
        let rng = &mut plan.rng().fork("magnets");
        plan.content = plan.content.with_info(1 + rng.below(60_000), seed);
        for node in &mut plan.nodes {
            node.plain = false;
            node.magnet = !node.have.is_full() && rng.chance(0.5);
        }
        // Seeds stay: those who chose less than all cannot stand in for them.
        plan.nodes.iter_mut().for_each(|node| node.leaves = false);
        choose(&mut plan);
        let outcome = run(plan);
        assert!(judge(&outcome.nodes) > 0);
    }
}
