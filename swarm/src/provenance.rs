//! Who named an address: a set, for several may. BEP 3, 5, 9, 11, 14.
//!
//! Knows the names of the sources and how much of the room each may fill, and no address.

use crate::io::CandidateSource;
use crate::limits::{
    CANDIDATES_OF_DHT_MAX, CANDIDATES_OF_INCOMING_MAX, CANDIDATES_OF_LSD_MAX,
    CANDIDATES_OF_MAGNET_MAX, CANDIDATES_OF_PEX_MAX, CANDIDATES_OF_TRACKERS_MAX,
    CANDIDATES_OF_USER_MAX,
};

impl CandidateSource {
    /// Every source, the best first.
    pub const ALL: [Self; 7] = [
        Self::User,
        Self::Tracker,
        Self::Magnet,
        Self::Lsd,
        Self::Incoming,
        Self::Dht,
        Self::Pex,
    ];

    /// Whether strangers speak through it: anybody can have it name thousands of addresses that
    /// are nobody's, or somebody's who is to be harmed.
    #[must_use]
    pub fn is_hearsay(self) -> bool {
        matches!(self, Self::Dht | Self::Pex)
    }

    /// Whether a private torrent may take addresses from it. BEP 27.
    #[must_use]
    pub fn is_for_private(self) -> bool {
        matches!(self, Self::User | Self::Tracker | Self::Incoming)
    }

    /// Addresses that may be known by it at a time; all of them together are
    /// [`CANDIDATES_MAX`](crate::limits::CANDIDATES_MAX).
    pub(crate) fn share(self) -> usize {
        match self {
            Self::User => CANDIDATES_OF_USER_MAX,
            Self::Tracker => CANDIDATES_OF_TRACKERS_MAX,
            Self::Magnet => CANDIDATES_OF_MAGNET_MAX,
            Self::Lsd => CANDIDATES_OF_LSD_MAX,
            Self::Incoming => CANDIDATES_OF_INCOMING_MAX,
            Self::Dht => CANDIDATES_OF_DHT_MAX,
            Self::Pex => CANDIDATES_OF_PEX_MAX,
        }
    }

    /// Its place in [`Self::ALL`].
    pub(crate) fn place(self) -> usize {
        self as usize
    }
}

/// Some of the sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sources(u8);

impl Sources {
    /// Adds one; true when it is new.
    pub fn insert(&mut self, source: CandidateSource) -> bool {
        let before = *self;
        self.0 |= 1 << source.place();
        *self != before
    }

    /// Whether it is among them.
    #[must_use]
    pub fn has(self, source: CandidateSource) -> bool {
        self.0 & (1 << source.place()) != 0
    }

    /// These and those.
    #[must_use]
    pub fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// All of them, the best first.
    pub fn iter(self) -> impl Iterator<Item = CandidateSource> {
        let all = CandidateSource::ALL.into_iter();
        all.filter(move |&source| self.has(source))
    }

    /// The best of them.
    #[must_use]
    pub fn best(self) -> Option<CandidateSource> {
        self.iter().next()
    }
}

impl From<CandidateSource> for Sources {
    fn from(source: CandidateSource) -> Self {
        Self(1 << source.place())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::CANDIDATES_MAX;
    use CandidateSource::{Dht, Pex, Tracker, User};

    #[test]
    fn sources_are_told_the_best_first() {
        let mut sources = Sources::from(Pex);
        assert!(sources.insert(Tracker) && !sources.insert(Pex));
        assert_eq!(sources.iter().collect::<Vec<_>>(), [Tracker, Pex]);
        assert_eq!(sources.best(), Some(Tracker));
        assert!(sources.has(Pex) && !sources.has(Dht));
        assert_eq!(sources.and(User.into()).best(), Some(User));
        assert_eq!(Sources::default().best(), None);
    }

    #[test]
    fn places_and_shares_cover_every_source_once() {
        for (place, source) in CandidateSource::ALL.into_iter().enumerate() {
            assert_eq!(source.place(), place);
        }
        let shares = CandidateSource::ALL.map(CandidateSource::share);
        assert_eq!(shares.iter().sum::<usize>(), CANDIDATES_MAX);
    }
}
