//! Random numbers from one seed, split by purpose.
//!
//! A fork depends on the seed and its name alone, never on how much was drawn: one more draw for
//! the links leaves the faults as they were, and a failing seed stays failing while code grows.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

/// A source of random numbers.
///
/// ```
/// use shoal_simulation::Rng;
/// let world = Rng::new(7);
/// let (mut links, mut again) = (world.fork("links"), world.fork("links"));
/// assert_eq!(links.below(1000), again.below(1000));
/// ```
#[derive(Debug, Clone)]
pub struct Rng {
    seed: u64,
    source: fastrand::Rng,
}

impl Rng {
    /// Everything follows from the seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            source: fastrand::Rng::with_seed(seed),
        }
    }

    /// What it was made from: for messages, and for the seed of a state machine.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// An independent source of that name.
    #[must_use]
    pub fn fork(&self, name: impl Display) -> Self {
        // FNV-1a of the name on top of the seed, then two rounds of a strong mixer.
        let hash = name.to_string().bytes().fold(mix(self.seed), |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self::new(mix(hash))
    }

    /// Below `bound`, which is at least 1.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.source.u64(..bound)
    }

    /// An index into something of that length, which is at least 1.
    pub fn index(&mut self, length: usize) -> usize {
        self.source.usize(..length)
    }

    /// True with that probability, 0 to 1.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.source.f64() < probability
    }

    /// Between the two, both included.
    pub fn duration(&mut self, range: RangeInclusive<Duration>) -> Duration {
        let span = range.end().saturating_sub(*range.start()).as_nanos();
        let span = u64::try_from(span).unwrap_or(u64::MAX);
        *range.start() + Duration::from_nanos(self.source.u64(..=span))
    }

    /// One of them; `None` of nothing.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        self.source.choice(of)
    }

    /// Puts them in random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        self.source.shuffle(items);
    }

    /// Fills the bytes.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.source.fill(bytes);
    }
}

/// The finalizer of SplitMix64: every bit of the input moves every bit of the output.
fn mix(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(mut rng: Rng) -> Vec<u64> {
        (0..16).map(|_| rng.below(1 << 40)).collect()
    }

    #[test]
    fn fork_does_not_depend_on_what_was_drawn() {
        let mut world = Rng::new(3);
        let before = draws(world.fork("links"));
        world.below(10);
        assert_eq!(draws(world.fork("links")), before);
    }

    #[test]
    fn forks_of_other_names_and_seeds_differ() {
        let world = Rng::new(3);
        let links = draws(world.fork("links"));
        assert_ne!(links, draws(world.fork("faults")));
        assert_ne!(links, draws(Rng::new(4).fork("links")));
        assert_ne!(draws(world.fork(1)), draws(world.fork(2)));
        assert_ne!(draws(world.clone()), links);
    }

    #[test]
    fn duration_stays_in_its_range() {
        let mut rng = Rng::new(1);
        let (low, high) = (Duration::from_millis(5), Duration::from_millis(6));
        for _ in 0..1000 {
            assert!((low..=high).contains(&rng.duration(low..=high)));
        }
        assert_eq!(rng.duration(low..=low), low);
    }

    #[test]
    fn chance_is_what_it_says() {
        let mut rng = Rng::new(1);
        let hits = (0..10_000).filter(|_| rng.chance(0.25)).count();
        assert!((2300..2700).contains(&hits), "{hits}");
        assert!(!rng.chance(0.0) && rng.chance(1.0));
    }
}
