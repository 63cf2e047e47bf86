//! A fingerprint of everything that happened: equal runs have equal fingerprints.
//!
//! Equal within one build of the tests, that is all it is for: the hash is not fixed between
//! versions of Rust.

use std::hash::{DefaultHasher, Hash, Hasher};

/// A running hash of events in their order.
///
/// ```
/// use shoal_simulation::Trace;
/// let (mut a, mut b) = (Trace::default(), Trace::default());
/// a.note(&("sent", 3));
/// b.note(&("sent", 3));
/// assert_eq!(a.fingerprint(), b.fingerprint());
/// b.note(&"closed");
/// assert_ne!(a.fingerprint(), b.fingerprint());
/// ```
#[derive(Debug, Clone, Default)]
pub struct Trace {
    hasher: DefaultHasher,
    events: u64,
}

impl Trace {
    /// Adds one event.
    pub fn note(&mut self, event: &impl Hash) {
        event.hash(&mut self.hasher);
        self.events += 1;
    }

    /// How many events were noted, and the hash of all.
    #[must_use]
    pub fn fingerprint(&self) -> (u64, u64) {
        (self.events, self.hasher.finish())
    }
}
