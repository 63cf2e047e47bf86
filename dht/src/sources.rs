//! Who asks us, how often, and how much we may answer. BEP 5 says nothing of it.
//!
//! A sender of datagrams can be forged. So nobody is banned for what comes in its name: what is too
//! much is dropped, and the next second is new. And an address that has never shown that it gets
//! what we send is sent at most [`AMPLIFICATION_MAX`] bytes for each of its own, so that we are of
//! no use against third parties.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use crate::address::Host;
use crate::limits::{
    AMPLIFICATION_MAX, ITEM_REPLY_LENGTH_MAX, QUERIES_AT_ONCE_OF_HOST, QUERIES_PER_S_ANSWERED,
    QUERIES_PER_S_OF_HOST, SOURCES_MAX, VERIFIED_TIME,
};
use crate::rate::Rate;

/// Everyone who asked lately.
pub(crate) struct Sources {
    hosts: BTreeMap<Host, Source>,
    all: Rate,
}

struct Source {
    rate: Rate,
    /// Bytes that may still go there unasked.
    credit: usize,
    verified: Option<Instant>,
}

impl Sources {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            hosts: BTreeMap::new(),
            all: Rate::new(QUERIES_PER_S_ANSWERED, QUERIES_PER_S_ANSWERED, now),
        }
    }

    /// A query of so many bytes has come: how many bytes its answer may have; `None`: too much
    /// comes from there, or at all.
    pub(crate) fn asked(&mut self, now: Instant, from: SocketAddr, length: usize) -> Option<usize> {
        let source = self.source(now, from)?;
        if !source.rate.take(now) {
            return None;
        }
        source.credit = (source.credit + length * AMPLIFICATION_MAX).min(ITEM_REPLY_LENGTH_MAX);
        let room = match source.is_verified(now) {
            true => ITEM_REPLY_LENGTH_MAX,
            false => (length * AMPLIFICATION_MAX).min(source.credit),
        };
        self.all.take(now).then_some(room)
    }

    /// So many bytes were sent there that it did not show to get.
    pub(crate) fn sent(&mut self, to: SocketAddr, length: usize) {
        if let Some(source) = self.hosts.get_mut(&Host::of(to)) {
            source.credit = source.credit.saturating_sub(length);
        }
    }

    /// Whether a query of ours of so many bytes is paid for by what came from there.
    pub(crate) fn may_ask(&self, now: Instant, to: SocketAddr, length: usize) -> bool {
        let source = self.hosts.get(&Host::of(to));
        source.is_some_and(|source| source.is_verified(now) || source.credit >= length)
    }

    /// Somebody answered a query of ours; remembered only when it asks us, too, so that our own
    /// queries never use up the room.
    pub(crate) fn answered(&mut self, now: Instant, from: SocketAddr) {
        if let Some(source) = self.hosts.get_mut(&Host::of(from)) {
            source.verified = Some(now);
        }
    }

    /// Somebody who asks us is a node that we know, or brought a token that we had sent to it.
    pub(crate) fn verified(&mut self, now: Instant, from: SocketAddr) {
        if let Some(source) = self.source(now, from) {
            source.verified = Some(now);
        }
    }

    pub(crate) fn is_verified(&self, now: Instant, from: SocketAddr) -> bool {
        let source = self.hosts.get(&Host::of(from));
        source.is_some_and(|source| source.is_verified(now))
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Forgets whom to know makes no difference.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.hosts
            .retain(|_, source| source.is_verified(now) || !source.rate.is_full(now));
    }

    /// `None` when there is no room: then a stranger is not answered, and who is known is.
    fn source(&mut self, now: Instant, from: SocketAddr) -> Option<&mut Source> {
        let host = Host::of(from);
        if self.hosts.len() >= SOURCES_MAX && !self.hosts.contains_key(&host) {
            return None;
        }
        Some(self.hosts.entry(host).or_insert_with(|| Source {
            rate: Rate::new(QUERIES_PER_S_OF_HOST, QUERIES_AT_ONCE_OF_HOST, now),
            credit: 0,
            verified: None,
        }))
    }
}

impl Source {
    fn is_verified(&self, now: Instant) -> bool {
        self.verified
            .is_some_and(|at| now.saturating_duration_since(at) < VERIFIED_TIME)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn host(number: u32) -> SocketAddr {
        SocketAddr::new(
            std::net::Ipv4Addr::from_bits(0x0800_0000 + number).into(),
            6881,
        )
    }

    #[test]
    fn flood_is_dropped_and_the_next_second_is_new() {
        let now = Instant::now();
        let mut sources = Sources::new(now);
        let answered = (0..1000).filter(|_| sources.asked(now, host(1), 100).is_some());
        assert_eq!(answered.count(), 40);
        assert!(sources.asked(now, host(2), 100).is_some(), "another host");
        let later = now + Duration::from_secs(1);
        let answered = (0..1000).filter(|_| sources.asked(later, host(1), 100).is_some());
        assert_eq!(answered.count(), 8);
    }

    #[test]
    fn stranger_gets_three_times_its_bytes_and_who_showed_itself_all() {
        let now = Instant::now();
        let mut sources = Sources::new(now);
        assert_eq!(sources.asked(now, host(1), 90), Some(270));
        sources.sent(host(1), 200);
        assert!(sources.may_ask(now, host(1), 70));
        assert!(!sources.may_ask(now, host(1), 71));
        assert!(!sources.may_ask(now, host(2), 1), "never heard of it");
        sources.verified(now, host(1));
        assert_eq!(sources.asked(now, host(1), 90), Some(ITEM_REPLY_LENGTH_MAX));
        let later = now + VERIFIED_TIME;
        assert!(!sources.is_verified(later, host(1)));
        assert_eq!(sources.asked(later, host(1), 90), Some(270));
    }

    #[test]
    fn memory_is_bounded_and_who_is_known_is_still_answered() {
        let now = Instant::now();
        let mut sources = Sources::new(now);
        sources.verified(now, host(0));
        let many = u32::try_from(SOURCES_MAX).unwrap() + 1000;
        for number in 1..many {
            sources.asked(now, host(number), 100);
        }
        assert_eq!(sources.len(), SOURCES_MAX);
        let later = now + Duration::from_secs(10);
        assert!(sources.asked(later, host(0), 100).is_some());
        assert!(sources.asked(later, host(many), 100).is_none());
        sources.expire(later);
        assert_eq!(sources.len(), 1);
    }

    #[test]
    fn all_answers_together_are_bounded() {
        let now = Instant::now();
        let mut sources = Sources::new(now);
        let answered = (0..3000).filter(|&n| sources.asked(now, host(n), 100).is_some());
        assert_eq!(answered.count(), 1000);
    }
}
