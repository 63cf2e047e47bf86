//! Which seeds a scenario runs, and what a failure prints.
//!
//! The last digit of a seed names its scenario, so one number replays one run.
//!
//! - `SHOAL_SIM_SEED=n`: that seed alone, with a log; what the other tests do is left out.
//! - `SHOAL_SIM_SEEDS=n`: so many seeds of churn in place of the usual 200, and of the other
//!   scenarios more in the same measure.

use crate::outcome::Outcome;
use crate::plan::Plan;
use crate::world::World;

/// A kind of world, with the last digit of its seeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    Churn = 0,
    Poison = 1,
    Adversaries = 2,
    Operations = 3,
    Efficiency = 4,
    Magnets = 5,
    Liars = 6,
    Gossip = 7,
    Selected = 8,
}

/// Seeds of churn in the normal test run.
pub(crate) const CHURN_SEEDS: u64 = 200;

/// The seeds of a scenario: `usual` of them, part `part.0` of `part.1`.
pub(crate) fn seeds(scenario: Scenario, usual: u64, part: (u64, u64)) -> Vec<u64> {
    let digit = scenario as u64;
    if let Some(seed) = from_environment("SHOAL_SIM_SEED") {
        let ours = seed % 10 == digit && seed / 10 % part.1 == part.0;
        return if ours { vec![seed] } else { Vec::new() };
    }
    let wanted = from_environment("SHOAL_SIM_SEEDS").unwrap_or(CHURN_SEEDS);
    let count = (usual * wanted).div_ceil(CHURN_SEEDS);
    let numbers = (0..count).filter(|number| number % part.1 == part.0);
    numbers.map(|number| number * 10 + digit).collect()
}

/// Whether one seed is replayed, with a log.
pub(crate) fn is_replay() -> bool {
    from_environment("SHOAL_SIM_SEED").is_some()
}

fn from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
    )
}

/// Runs a world; when it fails, says how to see it again.
pub(crate) fn run(plan: Plan) -> Outcome {
    run_with(plan, |_| {})
}

/// The same, after `prepare`.
pub(crate) fn run_with(plan: Plan, prepare: impl FnOnce(&mut World)) -> Outcome {
    let _replay = Replay(plan.seed);
    let mut world = World::new(plan, is_replay());
    prepare(&mut world);
    world.run()
}

/// Tells the seed when a test fails.
pub(crate) struct Replay(pub(crate) u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "seed {0} failed; to see what happened: just sim {0}",
                self.0
            );
        }
    }
}
