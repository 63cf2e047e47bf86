//! That the end of a download wastes little, on unequal lines. How fast a swarm is: `fluid`.

use std::time::Duration;

use shoal_simulation::HostConfig;

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
