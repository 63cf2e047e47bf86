//! What goes wrong, how often, and proof that it did.
//!
//! A fault that never struck tests nothing: every one is counted, and [`Faults::never_struck`]
//! is there for an assertion. What a fault does is the test's business.

use std::collections::BTreeMap;
use std::fmt::Debug;

use crate::rng::Rng;

/// A plan of faults of the kinds `K`, an enum of the test.
///
/// ```
/// use shoal_simulation::{Faults, Rng};
/// #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
/// enum Kind { Cut, Crash }
/// let mut faults = Faults::new(&Rng::new(1)).with(Kind::Cut, 0.5).with(Kind::Crash, 0.0);
/// let cuts = (0..100).filter(|_| faults.strikes(Kind::Cut)).count();
/// assert_eq!(faults.struck(Kind::Cut), cuts as u64);
/// assert_eq!(faults.never_struck(), [Kind::Crash]);
/// ```
#[derive(Debug, Clone)]
pub struct Faults<K> {
    rng: Rng,
    kinds: BTreeMap<K, Fault>,
    stopped: bool,
}

#[derive(Debug, Clone)]
struct Fault {
    probability: f64,
    rng: Rng,
    struck: u64,
}

impl<K: Ord + Copy + Debug> Faults<K> {
    /// Nothing goes wrong yet. Each kind draws from its own fork, by the name that `Debug` gives.
    #[must_use]
    pub fn new(rng: &Rng) -> Self {
        Self {
            rng: rng.fork("faults"),
            kinds: BTreeMap::new(),
            stopped: false,
        }
    }

    /// Lets a kind strike with that probability each time it is asked about, 0 to 1.
    #[must_use]
    pub fn with(mut self, kind: K, probability: f64) -> Self {
        let rng = self.rng.fork(format_args!("{kind:?}"));
        let fault = Fault {
            probability,
            rng,
            struck: 0,
        };
        self.kinds.insert(kind, fault);
        self
    }

    /// Whether the fault strikes now; counted when it does. Kinds not planned never do.
    pub fn strikes(&mut self, kind: K) -> bool {
        let Some(fault) = self.kinds.get_mut(&kind) else {
            return false;
        };
        let strikes = fault.rng.chance(fault.probability) && !self.stopped;
        fault.struck += u64::from(strikes);
        strikes
    }

    /// Ends the bad times: from here on nothing strikes, and everything must come right.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// How often the kind struck.
    #[must_use]
    pub fn struck(&self, kind: K) -> u64 {
        self.kinds.get(&kind).map_or(0, |fault| fault.struck)
    }

    /// How often each planned kind struck, in the order of the enum.
    #[must_use]
    pub fn injected(&self) -> BTreeMap<K, u64> {
        let counts = self.kinds.iter();
        counts.map(|(&kind, fault)| (kind, fault.struck)).collect()
    }

    /// Planned kinds that never struck: a test over many seeds asserts that none is left.
    #[must_use]
    pub fn never_struck(&self) -> Vec<K> {
        let counts = self.injected().into_iter();
        counts
            .filter(|&(_, struck)| struck == 0)
            .map(|(kind, _)| kind)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    enum Kind {
        Cut,
        Corrupt,
    }

    fn times(faults: &mut Faults<Kind>, kind: Kind) -> Vec<bool> {
        (0..200).map(|_| faults.strikes(kind)).collect()
    }

    #[test]
    fn kinds_strike_by_their_own_draws() {
        let both = Faults::new(&Rng::new(5)).with(Kind::Cut, 0.3);
        let mut alone = both.clone();
        let mut both = both.with(Kind::Corrupt, 0.9);
        times(&mut both, Kind::Corrupt);
        assert_eq!(times(&mut both, Kind::Cut), times(&mut alone, Kind::Cut));
        let counts = both.injected();
        assert!((30..90).contains(&counts[&Kind::Cut]), "{counts:?}");
        assert!((160..200).contains(&counts[&Kind::Corrupt]), "{counts:?}");
        assert_eq!(both.never_struck(), []);
    }

    #[test]
    fn stopped_plan_strikes_no_more() {
        let mut faults = Faults::new(&Rng::new(5)).with(Kind::Cut, 1.0);
        assert!(faults.strikes(Kind::Cut) && !faults.strikes(Kind::Corrupt));
        faults.stop();
        assert!(!faults.strikes(Kind::Cut));
        assert_eq!(faults.struck(Kind::Cut), 1);
    }
}
