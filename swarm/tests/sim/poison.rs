//! Poisoners: peers that serve wrong bytes. Only they are banned, and no wrong byte is kept.

use std::time::Duration;

use crate::plan::{KIB, Plan, Role, SECOND};
use crate::seeds::{Replay, Scenario, run, seeds};
use crate::weather::Fault;

/// Seeds in the normal test run: 12 a share of poisoners.
const SEEDS: u64 = 48;

/// 24 nodes of which 10, 20, 33 or 50 % poison, always or now and then.
fn plan(seed: u64) -> Plan {
    let share = [10, 20, 33, 50][usize::try_from(seed / 10 % 4).expect("small")];
    let mut plan = Plan::new(seed, 32, 4);
    let rng = &mut plan.rng().fork("plan");
    plan.nodes = vec![plan.seed(300 * KIB)];
    plan.add_homes(rng, 23);
    let poisoners = 24 * share / 100;
    let always = rng.chance(0.5);
    for node in plan.nodes.iter_mut().rev().take(poisoners) {
        // They pretend to be seeds, so that everybody asks them.
        node.have = shoal_metainfo::Bitfield::all(32);
        node.line.upload_bytes_per_s = Some(100 * KIB + rng.below(200 * KIB));
        node.role = Role::Poisoner(if always {
            1.0
        } else {
            0.05 + 0.5 * rng.below(100) as f64 / 100.0
        });
    }
    for node in &mut plan.nodes {
        node.plain = rng.chance(0.2);
        node.joins_at = rng.duration(Duration::ZERO..=SECOND * 5);
    }
    plan.faults = vec![(Fault::CutConnection, 0.3), (Fault::DiskFailure, 0.02)];
    plan.calm_at = SECOND * 60;
    plan
}

fn poison(part: (u64, u64)) {
    let mut waste = Vec::new();
    let (mut banned, mut poisoners, mut failed) = (0, 0, 0);
    for seed in seeds(Scenario::Poison, SEEDS, part) {
        let _replay = Replay(seed);
        let outcome = run(plan(seed));
        waste.push((outcome.waste(), seed));
        banned += outcome.bans().1;
        poisoners += outcome.poisoners();
        failed += outcome
            .honest()
            .map(|node| node.record.pieces_failed)
            .sum::<u64>();
        let pairs = outcome.poisoners() * outcome.honest().count();
        let spoiled: u64 = outcome.honest().map(|node| node.record.pieces_failed).sum();
        // Each victim finds out by itself: about one piece for each poisoner, two at most.
        assert!(
            spoiled <= 2 * pairs as u64,
            "{spoiled} pieces failed, {pairs} pairs"
        );
        assert!(
            outcome.waste() < 0.6,
            "{:.3} of the payload is waste",
            outcome.waste()
        );
    }
    waste.sort_by(|a, b| b.0.total_cmp(&a.0));
    println!(
        "poison {part:?}: {failed} pieces failed; banned {banned} of {poisoners}; worst waste {:?}",
        &waste[..waste.len().min(3)]
    );
    if waste.len() >= 10 {
        assert!(failed > 0 && banned > 0, "F1: no poison");
    }
}

#[test]
fn only_poisoners_are_banned_when_one_in_ten_or_one_in_three_poisons() {
    poison((0, 2));
}

#[test]
fn only_poisoners_are_banned_when_one_in_five_or_every_second_poisons() {
    poison((1, 2));
}
