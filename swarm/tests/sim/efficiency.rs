//! How close a swarm comes to what its lines allow.
//!
//! Two bounds: the fluid one, max(F / u_s, N·F / (u_s + Σ u_i)), for bytes that flow like water,
//! and with M pieces and equal lines F / u · (1 + ⌊log2 N⌋ / M) (Mundinger, Weber, Weiss 2008).

use std::time::Duration;

use shoal_simulation::HostConfig;

use crate::outcome::Outcome;
use crate::plan::{MIB, Plan, Role, SECOND};
use crate::seeds::{Replay, Scenario, run_with, seeds};

/// 20 Mbit/s.
const LINE: u64 = 2_500_000;

fn plan(seed: u64, leechers: usize, pieces: u32) -> Plan {
    let mut plan = Plan::new(seed, pieces, 16);
    plan.link.latency = (Duration::from_millis(5), Duration::from_millis(40));
    plan.link.jitter = Duration::from_millis(5);
    let line = HostConfig {
        upload_bytes_per_s: Some(LINE),
        download_bytes_per_s: Some(20 * LINE),
    };
    plan.nodes = vec![plan.seed(LINE)];
    plan.nodes
        .extend(std::iter::repeat_n(plan.leecher(LINE), leechers));
    for node in &mut plan.nodes {
        node.line = line;
    }
    plan
}

/// The last completion over the two bounds.
fn measure(seed: u64, leechers: usize, pieces: u32) -> (f64, f64) {
    let _replay = Replay(seed);
    let outcome = run_with(plan(seed, leechers, pieces), |_| {});
    let (bytes, lines) = (outcome.total as f64, LINE as f64);
    let n = leechers as f64;
    let alone = bytes / lines;
    let fluid = alone.max(n * bytes / (lines * (n + 1.0)));
    let whole = alone * (1.0 + n.log2().floor() / f64::from(pieces));
    let took = outcome.took.as_secs_f64();
    print_figures(&outcome, leechers, [fluid, whole]);
    (took / fluid, took / whole)
}

fn print_figures(outcome: &Outcome, leechers: usize, bounds: [f64; 2]) {
    let took = outcome.took.as_secs_f64();
    let first = outcome.nodes[1..]
        .iter()
        .filter_map(|node| node.record.complete_at)
        .min();
    let first = first.map_or(0.0, |at| (at - outcome.begin).as_secs_f64());
    let seed = &outcome.nodes[0].record;
    let busy = |node: &crate::node::Node| node.record.sent as f64 / (LINE as f64 * took);
    let lines: Vec<_> = outcome
        .nodes
        .iter()
        .map(|node| format!("{:.2}", busy(node)))
        .collect();
    let chokes: u64 = outcome
        .nodes
        .iter()
        .map(|node| node.record.choke_changes)
        .sum();
    println!(
        "1 seed, {leechers} leechers: {took:.1} s, first {first:.1} s; over the fluid bound {:.3}, \
         over the bound of pieces {:.3}; the seed sent {:.3} F; waste {:.4}; \
         {chokes} choke changes; lines busy {}",
        took / bounds[0],
        took / bounds[1],
        seed.sent as f64 / outcome.total as f64,
        outcome.waste(),
        lines.join(" "),
    );
}

#[test]
fn eight_equal_leechers_finish_near_the_fluid_bound() {
    for seed in seeds(Scenario::Efficiency, 6, (0, 2)) {
        let (fluid, _) = measure(seed, 8, 256);
        assert!(fluid < 1.25, "seed {seed}: {fluid:.3} of the bound");
    }
}

#[test]
fn fifty_equal_leechers_finish_near_the_fluid_bound() {
    for seed in seeds(Scenario::Efficiency, 2, (1, 2)) {
        let (fluid, _) = measure(seed, 50, 256);
        assert!(fluid < 2.0, "seed {seed}: {fluid:.3} of the bound");
    }
}

#[test]
fn end_game_wastes_little() {
    for seed in seeds(Scenario::Efficiency, 6, (0, 2)) {
        let _replay = Replay(seed);
        let mut plan = plan(seed, 8, 64);
        let rng = &mut plan.rng().fork("lines");
        for node in &mut plan.nodes {
            node.line.upload_bytes_per_s = Some(LINE / (1 + rng.below(10)));
        }
        let outcome = run_with(plan, |_| {});
        assert!(
            outcome
                .nodes
                .iter()
                .all(|node| node.plan.role == Role::Honest)
        );
        println!(
            "unequal lines: {:?}, waste {:.4}",
            outcome.took,
            outcome.waste()
        );
        assert!(
            outcome.waste() < 0.03,
            "seed {seed}: waste {:.4}",
            outcome.waste()
        );
        assert!(outcome.total == 16 * MIB - 1_000 && outcome.took < SECOND * 300);
    }
}
