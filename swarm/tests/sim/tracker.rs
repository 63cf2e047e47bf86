//! A tracker: knows who announced, names some of them by chance, is away at times.

use std::net::SocketAddr;
use std::time::Duration;

use shoal_simulation::Rng;

/// A client asks again after this, unasked. Ours: shorter than real ones, the runs are short.
pub(crate) const INTERVAL: Duration = Duration::from_secs(300);
/// A client may not ask sooner.
pub(crate) const MIN_INTERVAL: Duration = Duration::from_secs(30);
/// A client asks again after this when it got no answer.
pub(crate) const RETRY: Duration = Duration::from_secs(15);
/// There and back.
pub(crate) const ANSWERS_AFTER: Duration = Duration::from_millis(120);
/// Addresses in one answer. Source: BEP 3's `numwant` default.
const NUMWANT: usize = 50;

#[derive(Debug)]
pub(crate) struct Tracker {
    pub(crate) is_up: bool,
    members: Vec<SocketAddr>,
    rng: Rng,
}

impl Tracker {
    pub(crate) fn new(rng: &Rng) -> Self {
        Self {
            is_up: true,
            members: Vec::new(),
            rng: rng.fork("tracker"),
        }
    }

    /// `None` while it is away. Members that are dead are still named: it does not know.
    pub(crate) fn announce(&mut self, from: SocketAddr) -> Option<Vec<SocketAddr>> {
        if !self.is_up {
            return None;
        }
        let others = self.members.iter().copied().filter(|&other| other != from);
        let mut others: Vec<_> = others.collect();
        self.rng.shuffle(&mut others);
        others.truncate(NUMWANT);
        if !self.members.contains(&from) {
            self.members.push(from);
        }
        Some(others)
    }
}
