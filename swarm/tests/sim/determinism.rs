//! D1: the same seed is the same run, to the byte.

use crate::plan;
use crate::seeds::{is_replay, run};

#[test]
fn same_seed_is_the_same_run() {
    if is_replay() {
        return;
    }
    let mut runs = Vec::new();
    for seed in [30, 70, 110] {
        let (once, again) = (run(plan::churn(seed)), run(plan::churn(seed)));
        assert_eq!(once.fingerprint, again.fingerprint, "D1: seed {seed}");
        assert_eq!(once.took, again.took);
        runs.push(once.fingerprint);
    }
    runs.dedup();
    assert_eq!(runs.len(), 3, "other seeds are other runs");
}
