//! The thread between the table and the store: round after round of telling and asking.
//!
//! A round takes what is new out of the table and tells it; tells a part of everything again, if
//! the store was away; and asks for the torrents whose turn it is. What a round could not tell and
//! the table does not know stays in hand, as much of it as [`limits::STORE_PENDING_MAX`].

mod asking;
mod telling;

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use async_std::channel::Sender;
use fastrand::Rng;
use shoal_metainfo::InfoHash;

use super::followed::Followed;
use super::nodes::Nodes;
use super::words::Scope;
use super::{StoreConfig, StoreEvent, StoreFault};
use crate::limits;
use crate::registry::{Heard, Registry};

/// How soon it is seen that the server is to stop. Ours: nobody notices.
const STOP_SEEN: Duration = Duration::from_millis(50);

pub(super) struct Link<'r> {
    table: &'r Registry,
    nodes: Nodes,
    scope: Scope,
    every: Duration,
    /// How long a peer lives in silence.
    life: Duration,
    events: Option<Sender<StoreEvent>>,
    pending: Pending,
    repair: Repair,
    followed: Followed,
    is_there: Option<bool>,
    refused: Refused,
    dropped: u64,
}

/// What was taken out of the table and not told yet.
#[derive(Debug, Default)]
struct Pending {
    /// Ages are of then, within a second.
    as_of: Option<Instant>,
    peers: BTreeMap<InfoHash, Vec<Heard>>,
    completed: BTreeMap<InfoHash, u32>,
}

/// What is to be told again.
#[derive(Debug, Default)]
struct Repair {
    is_on: bool,
    torrents: Vec<InfoHash>,
    told: u64,
}

/// What the store does not do.
#[derive(Debug, Default)]
struct Refused {
    times: u64,
    why: String,
    told: Option<Instant>,
}

impl<'r> Link<'r> {
    pub(super) fn new(config: &StoreConfig, table: &'r Registry) -> Self {
        let mut seed = [0; 8];
        // For the jitter of waits alone: without it all trackers come back at once, and no worse.
        let _ = getrandom::fill(&mut seed);
        let rng = Rng::with_seed(u64::from_ne_bytes(seed));
        Self {
            table,
            nodes: Nodes::new(config.servers.clone(), config.authorities.clone(), rng),
            scope: Scope {
                is_local: config.is_local(),
            },
            every: config.every,
            life: table.silence(),
            events: config.events.clone(),
            pending: Pending::default(),
            repair: Repair::default(),
            followed: Followed::new(limits::STORE_FOLLOWED_MAX),
            is_there: None,
            refused: Refused::default(),
            dropped: 0,
        }
    }

    /// Round after round, until it is to stop; then tells what is left, if the store is there.
    pub(super) fn run(&mut self, is_over: impl Fn() -> bool) {
        let mut next = Instant::now();
        while !is_over() {
            let now = Instant::now();
            if now < next {
                thread::sleep(STOP_SEEN.min(next - now));
                continue;
            }
            self.round(now);
            // Late ones are not made up for.
            next = Instant::now().max(next + self.every);
        }
        if self.nodes.are_all_there() {
            self.take(Instant::now());
            self.tell();
        }
    }

    fn round(&mut self, now: Instant) {
        // Longer while a stretched interval is kept.
        self.life = self.table.silence();
        let again = self.nodes.connect(now);
        if !again.is_empty() {
            self.repair(&again);
        }
        self.judge();
        self.take(now);
        self.tell();
        self.tell_again();
        self.ask(now);
        self.judge();
        self.tell_refused(now);
    }

    /// All torrents of servers that are there again are to be told and asked again.
    fn repair(&mut self, again: &[usize]) {
        let is_theirs = |hash: &InfoHash| self.nodes.of(hash).is_some_and(|at| again.contains(&at));
        let mut torrents: Vec<_> = self.table.info_hashes().flatten().collect();
        torrents.retain(is_theirs);
        torrents.append(&mut self.repair.torrents);
        torrents.sort_unstable();
        torrents.dedup();
        (self.repair.torrents, self.repair.is_on) = (torrents, true);
        self.followed.forget_marks();
    }

    /// Tells whether the store is there when that has changed.
    fn judge(&mut self) {
        let is_there = self.nodes.are_all_there();
        if self.is_there == Some(is_there) {
            return;
        }
        self.is_there = Some(is_there);
        if is_there {
            return self.event(StoreEvent::There);
        }
        let (server, fault) = match self.nodes.fault.take() {
            Some((server, fault)) => (server, fault),
            None => (String::new(), StoreFault::Strange),
        };
        let why = crate::text::printable(fault.to_string().as_bytes());
        tracing::debug!(server, why, "the store is away");
        self.event(StoreEvent::Away { server, why });
    }

    fn refuse(&mut self, why: String) {
        self.refused.times += 1;
        self.refused.why = why;
    }

    fn tell_refused(&mut self, now: Instant) {
        let refused = &mut self.refused;
        let is_due =
            |told: Instant| now.saturating_duration_since(told) >= limits::STORE_WARN_EVERY;
        if !refused.told.is_none_or(is_due) {
            return;
        }
        let (times, dropped) = (
            std::mem::take(&mut refused.times),
            std::mem::take(&mut self.dropped),
        );
        if times + dropped > 0 {
            refused.told = Some(now);
        }
        let why = std::mem::take(&mut refused.why);
        if times > 0 {
            self.event(StoreEvent::Refused { times, why });
        }
        if dropped > 0 {
            self.event(StoreEvent::Dropped { words: dropped });
        }
    }

    fn event(&self, event: StoreEvent) {
        if let Some(events) = &self.events {
            // Nobody reads: then nobody wants to know.
            let _ = events.try_send(event);
        }
    }
}

impl Pending {
    /// Ages are of now; what of a second is not full counts later.
    fn grow_old(&mut self, now: Instant) {
        let since = *self.as_of.get_or_insert(now);
        let waited = now.saturating_duration_since(since).as_secs();
        self.as_of = Some(since + Duration::from_secs(waited));
        let waited = u32::try_from(waited).unwrap_or(u32::MAX);
        for heard in self.peers.values_mut().flatten() {
            heard.age = heard.age.saturating_add(waited);
        }
    }

    /// Counts completed downloads; of too many torrents none, but the table has them all.
    fn count(&mut self, info_hash: InfoHash, more: u32) {
        let is_known = self.completed.contains_key(&info_hash);
        if more > 0 && (is_known || self.completed.len() < limits::STORE_PENDING_MAX) {
            let count = self.completed.entry(info_hash).or_default();
            *count = count.saturating_add(more);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Kind;
    use shoal_metainfo::PeerId;

    #[test]
    fn what_waits_grows_old_whatever_the_steps() {
        for step in [1, 300, 999, 1_000, 1_700] {
            let begun = Instant::now();
            let mut pending = Pending::default();
            pending.grow_old(begun);
            let heard = Heard {
                address: "10.0.0.1:1".parse().unwrap(),
                peer_id: PeerId([1; 20]),
                kind: Kind::Gone,
                age: 3,
            };
            pending.peers.insert(InfoHash([1; 20]), vec![heard]);
            for at in (0..=17_000).step_by(step) {
                pending.grow_old(begun + Duration::from_millis(at));
            }
            pending.grow_old(begun + Duration::from_secs(17));
            assert_eq!(pending.peers[&InfoHash([1; 20])][0].age, 20, "{step} ms");
        }
    }
}
