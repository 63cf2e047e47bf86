//! One thing goes wrong at a known time: what must happen then is known too.

use std::time::Duration;

use crate::outcome::Outcome;
use crate::plan::{KIB, Plan, SECOND};
use crate::script::Deed;
use crate::seeds::{Replay, Scenario, run_with, seeds};

/// One seed and seven leechers, about a minute of work.
fn plan(seed: u64) -> Plan {
    let mut plan = Plan::new(seed, 40, 4);
    plan.nodes = vec![plan.seed(100 * KIB)];
    plan.nodes
        .extend(std::iter::repeat_n(plan.leecher(100 * KIB), 7));
    plan.patience = SECOND * 400;
    plan
}

fn check(part: u64, deeds: &[(u32, Deed)], expect: impl Fn(&Outcome)) {
    for seed in seeds(Scenario::Operations, 24, (part, 6)) {
        let _replay = Replay(seed);
        let outcome = run_with(plan(seed), |world| {
            for (second, deed) in deeds {
                world.at(*second, deed.clone());
            }
        });
        expect(&outcome);
    }
}

#[test]
fn both_sides_of_a_partition_finish_when_it_heals() {
    let deeds = [(8, Deed::Divide(vec![4, 5, 6, 7])), (200, Deed::Heal)];
    check(0, &deeds, |outcome| {
        let late = outcome.nodes[4..]
            .iter()
            .map(|node| node.record.complete_at);
        let healed = outcome.begin + SECOND * 200;
        assert!(
            late.flatten().all(|at| at > healed),
            "the partition held nothing up"
        );
        assert!(outcome.took < SECOND * 330, "{:?}", outcome.took);
    });
}

#[test]
fn leechers_finish_when_the_only_seed_comes_back() {
    let deeds = [(6, Deed::Crash(0)), (120, Deed::Start(0))];
    check(1, &deeds, |outcome| {
        assert!(
            outcome.took > SECOND * 120,
            "the seed was not needed any more"
        );
        assert!(outcome.took < SECOND * 240, "{:?}", outcome.took);
    });
}

#[test]
fn swarm_finishes_when_the_tracker_is_away_from_the_start_and_comes_back() {
    let deeds = [(0, Deed::TrackerDown), (60, Deed::TrackerUp)];
    check(2, &deeds, |outcome| {
        assert!(
            outcome.took > SECOND * 60 && outcome.took < SECOND * 200,
            "{:?}",
            outcome.took
        );
    });
}

#[test]
fn node_asks_for_nothing_while_its_disk_fails_and_finishes_after() {
    for seed in seeds(Scenario::Operations, 24, (3, 6)) {
        let _replay = Replay(seed);
        let failed = SECOND * 10;
        let outcome = run_with(plan(seed), |world| {
            world.at(10, Deed::DiskFails(3));
            world.at(90, Deed::DiskMended(3));
            world.quiet = Some((3, failed + SECOND * 5, SECOND * 90));
        });
        let node = &outcome.nodes[3];
        assert!(
            node.record
                .complete_at
                .is_some_and(|at| at > outcome.begin + SECOND * 90)
        );
        assert!(outcome.took < SECOND * 250, "{:?}", outcome.took);
        let others = outcome.nodes[1..]
            .iter()
            .filter(|other| other.host != node.host);
        let others = others.filter_map(|other| other.record.complete_at).max();
        assert!(
            others < node.record.complete_at,
            "the others did not wait for it"
        );
    }
}

#[test]
fn slow_disk_slows_its_own_node_only() {
    for seed in seeds(Scenario::Operations, 24, (4, 6)) {
        let _replay = Replay(seed);
        let mut plan = plan(seed);
        plan.nodes[5].disk.write = Duration::from_millis(300);
        plan.nodes[5].disk.verify = Duration::from_secs(1);
        let outcome = run_with(plan, |_| {});
        let at = |node: usize| {
            outcome.nodes[node]
                .record
                .complete_at
                .expect("all are complete")
        };
        let others = [1, 2, 3, 4, 6, 7].map(at).into_iter().max();
        // 160 blocks at 300 ms and 40 checks at 1 s.
        assert!(at(5) - outcome.begin > SECOND * 88);
        assert!(others.is_some_and(|others| others < outcome.begin + SECOND * 88));
    }
}

#[test]
fn limited_download_gets_its_rate_and_no_more() {
    let rate = 20 * KIB;
    let deeds = [(1, Deed::LimitDownload(2, rate))];
    check(5, &deeds, |outcome| {
        let node = &outcome.nodes[2];
        let took = node
            .record
            .complete_at
            .map(|at| (at - outcome.begin).as_secs_f64());
        // What was asked for in the first second came at full speed.
        let least = (outcome.total as f64 - 400_000.0) / rate as f64;
        let most = outcome.total as f64 / rate as f64 * 1.15 + 5.0;
        assert!(
            took.is_some_and(|took| (least..most).contains(&took)),
            "{took:?} of {most}"
        );
    });
}
