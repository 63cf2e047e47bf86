//! Adversaries: whatever tricks they play, honest nodes finish, and not much later.

use std::collections::BTreeMap;

use shoal_metainfo::Bitfield;
use shoal_simulation::HostConfig;

use crate::adversary::Trick;
use crate::plan::{KIB, NodePlan, Plan, Role, SECOND};
use crate::script::Deed;
use crate::seeds::{Replay, Scenario, run_with, seeds};

const HONEST: usize = 12;

fn plan(seed: u64) -> Plan {
    let mut plan = Plan::new(seed, 40, 4);
    plan.nodes = vec![plan.seed(200 * KIB)];
    plan.nodes
        .extend(std::iter::repeat_n(plan.leecher(100 * KIB), HONEST - 1));
    plan.patience = SECOND * 600;
    plan
}

fn adversary(plan: &Plan, trick: Trick) -> NodePlan {
    NodePlan {
        role: Role::Adversary(trick),
        have: Bitfield::none(plan.content.geometry.pieces()),
        line: HostConfig {
            upload_bytes_per_s: Some(1_000 * KIB),
            download_bytes_per_s: None,
        },
        ..plan.leecher(KIB)
    }
}

/// With so many adversaries of each trick.
fn hostile(seed: u64, tricks: &[Trick], each: usize) {
    let _replay = Replay(seed);
    let alone = run_with(plan(seed), |_| {}).took;
    let mut plan = plan(seed);
    for &trick in tricks {
        let adversary = adversary(&plan, trick);
        plan.nodes.extend(std::iter::repeat_n(adversary, each));
    }
    let deaf = plan.nodes.iter().enumerate();
    let deaf = deaf.filter(|(_, node)| node.role == Role::Adversary(Trick::NeverReads));
    let deaf: Vec<_> = deaf.map(|(node, _)| node).collect();
    let outcome = run_with(plan, |world| {
        for &node in &deaf {
            world.at(3, Deed::StopReading(node));
        }
    });
    let played: BTreeMap<Trick, u64> = outcome.played.clone();
    println!(
        "{tricks:?} × {each}: {:?} in place of {alone:?}; messages {played:?}",
        outcome.took
    );
    for (trick, played) in played {
        assert!(
            played > 0 || trick == Trick::LiesInSilence,
            "F1: {trick:?} did nothing"
        );
    }
    let most = alone * 4 + SECOND * 60;
    assert!(
        outcome.took < most,
        "{:?} in place of {alone:?}",
        outcome.took
    );
}

#[test]
fn honest_nodes_finish_among_adversaries_of_any_one_kind() {
    for seed in seeds(Scenario::Adversaries, 12, (0, 2)) {
        let trick = Trick::ALL[usize::try_from(seed / 20 % 6).expect("small")];
        hostile(seed, &[trick], 8);
    }
}

#[test]
fn honest_nodes_finish_among_adversaries_of_all_kinds() {
    for seed in seeds(Scenario::Adversaries, 4, (1, 2)) {
        hostile(seed, &Trick::ALL, 2);
    }
}
