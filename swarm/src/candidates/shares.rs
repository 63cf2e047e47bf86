//! The room of each source of addresses, and whose turn it is. BEP 3, 5, 9, 11, 14.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::Turn;
use crate::io::CandidateSource;

/// What one source gave.
#[derive(Debug, Default)]
pub(super) struct Share {
    /// Those that wait, by when they are due.
    pub(super) queue: BTreeSet<(Turn, SocketAddr)>,
    /// Those that are known.
    pub(super) known: usize,
    /// Those that were ever kept.
    pub(super) named: u64,
}

/// All shares.
#[derive(Debug, Default)]
pub(super) struct Shares {
    shares: [Share; CandidateSource::ALL.len()],
    /// The place of the source that is next.
    next: usize,
}

impl Shares {
    pub(super) fn get(&self, source: CandidateSource) -> &Share {
        &self.shares[source.place()]
    }

    pub(super) fn of(&mut self, source: CandidateSource) -> &mut Share {
        &mut self.shares[source.place()]
    }

    /// A person's choice, then the others, each in its turn.
    pub(super) fn in_turn(&self) -> impl Iterator<Item = CandidateSource> + use<> {
        let all = CandidateSource::ALL;
        let next = self.next;
        let others = (0..all.len()).map(move |step| all[(next + step) % all.len()]);
        let others = others.filter(|&source| source != CandidateSource::User);
        std::iter::once(CandidateSource::User).chain(others)
    }

    pub(super) fn had_its_turn(&mut self, source: CandidateSource) {
        if source != CandidateSource::User {
            self.next = source.place() + 1;
        }
    }
}
