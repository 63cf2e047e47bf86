//! Swarms of 30 in which everything goes wrong for a while.

use std::collections::BTreeMap;

use crate::plan;
use crate::seeds::{CHURN_SEEDS, Scenario, run, seeds};
use crate::weather::Fault;

const PARTS: u64 = 4;

fn churn(part: u64) {
    let mut struck: BTreeMap<Fault, u64> = BTreeMap::new();
    let mut planned: BTreeMap<Fault, u64> = BTreeMap::new();
    let seeds = seeds(Scenario::Churn, CHURN_SEEDS, (part, PARTS));
    let mut slowest = (std::time::Duration::ZERO, 0);
    for &seed in &seeds {
        let plan = plan::churn(seed);
        for (kind, often) in &plan.faults {
            *planned.entry(*kind).or_default() += u64::from(*often > 0.0);
        }
        let outcome = run(plan);
        for (kind, count) in &outcome.faults {
            *struck.entry(*kind).or_default() += count;
        }
        slowest = slowest.max((outcome.took, seed));
    }
    println!(
        "{} seeds; slowest {slowest:?}; faults {struck:?}",
        seeds.len()
    );
    // A few seeds cannot show everything.
    if seeds.len() as u64 >= CHURN_SEEDS / PARTS {
        let never = planned.keys().filter(|kind| !struck.contains_key(kind));
        assert_eq!(
            never.collect::<Vec<_>>(),
            Vec::<&Fault>::new(),
            "F1: never struck"
        );
    }
}

#[test]
fn every_downloader_finishes_under_churn_in_the_first_quarter_of_seeds() {
    churn(0);
}

#[test]
fn every_downloader_finishes_under_churn_in_the_second_quarter_of_seeds() {
    churn(1);
}

#[test]
fn every_downloader_finishes_under_churn_in_the_third_quarter_of_seeds() {
    churn(2);
}

#[test]
fn every_downloader_finishes_under_churn_in_the_last_quarter_of_seeds() {
    churn(3);
}
