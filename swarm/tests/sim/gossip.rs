//! That one who knows a tracker is enough: the others know him alone and find all by PEX. BEP 11.

use shoal_swarm::io::CandidateSource;

use crate::outcome::Outcome;
use crate::plan::{KIB, Plan};
use crate::seeds::{Replay, Scenario, run, seeds};

/// A seed and a leecher at a tracker, and eight who know nobody but that leecher.
fn plan(seed: u64) -> Plan {
    let mut plan = Plan::new(seed, 40, 4);
    plan.nodes = vec![plan.seed(128 * KIB), plan.leecher(128 * KIB)];
    for _ in 0..8 {
        let mut node = plan.leecher(64 * KIB);
        node.introduced_by = Some(1);
        plan.nodes.push(node);
    }
    plan
}

/// Of what a node's peers came from, the addresses that others told it.
fn told(outcome: &Outcome, node: usize) -> u64 {
    let brain = outcome.nodes[node].brain.as_ref().expect("nobody crashes");
    let sources = brain.snapshot(outcome.begin + outcome.took).sources;
    let pex = sources
        .iter()
        .find(|gave| gave.source == CandidateSource::Pex);
    pex.map_or(0, |gave| gave.named)
}

#[test]
fn those_who_know_one_find_all_others() {
    for seed in seeds(Scenario::Gossip, 6, (0, 1)) {
        let _replay = Replay(seed);
        let outcome = run(plan(seed));
        let strangers = 2..outcome.nodes.len();
        let told: Vec<_> = strangers.map(|node| told(&outcome, node)).collect();
        println!("{:?}, told of {told:?}", outcome.took);
        // Who dialled first needs not be told; somebody is for every pair.
        assert!(told.iter().all(|&told| told > 0), "seed {seed}: {told:?}");
        assert!(
            told.iter().sum::<u64>() >= 8 * 7 / 2,
            "seed {seed}: {told:?}"
        );
        // Not all of it went through the one whom they knew.
        let hub = outcome.nodes[1].record.sent;
        let wanted = 9 * outcome.total;
        assert!(hub < wanted / 2, "seed {seed}: {hub} of {wanted} bytes");
        let again = run(plan(seed));
        assert_eq!(outcome.fingerprint, again.fingerprint, "D1: seed {seed}");
    }
}
