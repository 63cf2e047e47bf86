//! Downloads that begin with a name alone: under churn, and among peers that lie about metadata.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::liar::Lie;
use crate::plan::{self, KIB, Plan, Role, SECOND};
use crate::seeds::{Replay, Scenario, run, seeds};
use crate::weather::Fault;

/// Seeds of churn with magnets in the normal test run.
const CHURN: u64 = 40;
/// Seeds of worlds of liars in the normal test run.
const LIARS: u64 = 200;
/// Liars among ten who claim to have the metadata.
const LIARS_OF_TEN: usize = 9;

#[test]
fn every_magnet_finishes_under_churn() {
    let mut slowest = (Duration::ZERO, 0);
    let mut found = 0;
    for seed in seeds(Scenario::Magnets, CHURN, (0, 1)) {
        let mut plan = plan::churn(seed);
        let rng = &mut plan.rng().fork("magnets");
        plan.content = plan.content.with_info(1 + rng.below(9) * 12 * KIB, seed);
        for node in &mut plan.nodes {
            node.plain = false;
            node.magnet = !node.have.is_full() && rng.chance(0.8);
        }
        let outcome = run(plan);
        slowest = slowest.max((outcome.took, seed));
        found += outcome
            .honest()
            .map(|node| node.record.metadata_found)
            .sum::<u64>();
    }
    println!("magnets: metadata was found {found} times; slowest {slowest:?}");
}

/// One honest seed, nine liars, and three who have nothing but a name.
fn poisoned(seed: u64) -> Plan {
    let mut plan = Plan::new(seed, 4, 2);
    let rng = &mut plan.rng().fork("plan");
    plan.content = plan
        .content
        .with_info(20 * KIB + rng.below(150 * KIB), seed);
    plan.nodes = vec![plan.seed(300 * KIB)];
    for nth in 0..LIARS_OF_TEN {
        let mut node = plan.seed(300 * KIB);
        let lie = match nth < Lie::ALL.len() && rng.chance(0.5) {
            true => Lie::ALL[nth],
            false => Lie::ALL[rng.index(Lie::ALL.len())],
        };
        node.role = Role::Liar(lie);
        // Mostly they are first to be asked.
        plan.nodes.push(node);
    }
    for _ in 0..3 {
        let mut node = plan.leecher(100 * KIB);
        node.magnet = true;
        plan.nodes.push(node);
    }
    for node in &mut plan.nodes {
        node.joins_at = rng.duration(Duration::ZERO..=SECOND * 3);
    }
    let honest_is_late = rng.chance(0.3);
    if honest_is_late {
        plan.nodes[0].joins_at = SECOND * 20;
    }
    plan.faults = vec![(Fault::CutConnection, 0.2)];
    plan.calm_at = SECOND * 30;
    plan.patience = SECOND * 300;
    plan
}

#[test]
fn magnets_get_the_right_metadata_though_nine_of_ten_lie() {
    let mut took = Vec::new();
    let mut lied: BTreeMap<Lie, u64> = BTreeMap::new();
    let (mut failed, mut banned) = (0, 0);
    let seeds = seeds(Scenario::Liars, LIARS, (0, 1));
    for &seed in &seeds {
        let _replay = Replay(seed);
        let outcome = run(poisoned(seed));
        for node in &outcome.nodes {
            if let Role::Liar(lie) = node.plan.role {
                *lied.entry(lie).or_default() += node.record.lies;
            }
            failed += node.record.metadata_failed;
            let liars = node
                .banned
                .iter()
                .map(|&other| outcome.nodes[other].plan.role);
            for role in liars {
                let Role::Liar(lie) = role else {
                    panic!("S6: {role:?} is banned");
                };
                assert!(lie.is_provable() || lie == Lie::Huge, "{lie:?} is no proof");
                banned += 1;
            }
        }
        took.push((outcome.took, seed));
    }
    took.sort_unstable();
    let median = took.get(took.len() / 2);
    println!(
        "liars: {failed} wrong, {banned} bans, lies {lied:?}; median {median:?}, slowest {:?}",
        took.last()
    );
    if seeds.len() as u64 >= LIARS {
        assert!(
            lied.len() == Lie::ALL.len() && lied.values().all(|&lies| lies > 0),
            "F1: {lied:?}"
        );
        assert!(
            failed > 0 && banned > 0,
            "F1: no lie was believed for a moment"
        );
    }
}
