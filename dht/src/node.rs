//! A node: facts in, deeds out. BEP 5.
//!
//! Control flow alone: what comes is handed to the part that knows, what is due is done. The same
//! seed and facts give the same deeds.

mod answering;
mod asking;
mod job;
mod side;
mod upkeep;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use fastrand::Rng;

use crate::address::{Family, canonical, is_usable};
use crate::calls::Calls;
use crate::id::NodeId;
use crate::io::{
    Config, Counts, Event, FamilySnapshot, Input, LookupKey, Outcome, Output, Snapshot,
};
use crate::item::Item;
use crate::items::Items;
use crate::krpc::{Body, decode};
use crate::limits::{OUTPUTS_MAX, PERSIST_EVERY, ROUTERS_MAX, UPKEEP_EVERY};
use crate::peers::Peers;
use crate::saved::Saved;
use crate::secret::{Secret, Seed};
use crate::sources::Sources;

use job::Job;
use side::Side;

/// What we call ourselves, `v`: the code of BEP 20 and a version.
const VERSION: &[u8; 4] = b"SH\x00\x01";

/// A task of somebody's, or one of the node's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum JobKey {
    /// Filling tables, putting items again.
    Own(u64),
    /// Started by [`Input::Start`].
    User(LookupKey),
}

/// One node of the DHT, in one family or both.
pub struct Node {
    read_only: bool,
    rng: Rng,
    secret: Secret,
    sides: Vec<Side>,
    calls: Calls,
    /// What is at work, one job a family.
    jobs: BTreeMap<(JobKey, Family), Job>,
    /// What came of the families that are done, and how many are not.
    open: BTreeMap<LookupKey, (usize, Outcome)>,
    own_jobs: u64,
    routers: BTreeSet<SocketAddr>,
    sources: Sources,
    peers: Peers,
    items: Items,
    /// Items of ours, and when they are put again.
    published: BTreeMap<NodeId, (Item, Instant)>,
    outputs: VecDeque<Output>,
    counts: Counts,
    upkeep: Instant,
    expiry: Instant,
    persist: Instant,
    /// When queries that wait may go out.
    held: Option<Instant>,
}

impl Node {
    /// A node that knows what `config` says it remembers. `seed` must be drawn from the system:
    /// tokens and transaction ids come of it.
    #[must_use]
    pub fn new(config: Config, seed: &Seed, now: Instant) -> Self {
        let mut rng = Rng::with_seed(Secret::number(seed));
        let any = NodeId::random(&mut rng);
        let Saved {
            id_v4,
            id_v6,
            nodes,
        } = config.saved;
        let families = [
            (config.v4, Family::V4, id_v4.unwrap_or(any)),
            (config.v6, Family::V6, id_v6.unwrap_or(any)),
        ];
        let served = families.into_iter().filter(|(served, _, _)| *served);
        let side = |(_, family, id)| {
            let known = nodes
                .iter()
                .filter(|node| Family::of(node.address) == family);
            Side::new(family, id, known.copied().collect(), now)
        };
        let mut node = Self {
            read_only: config.read_only,
            rng,
            secret: Secret::new(seed, now),
            sides: served.map(side).collect(),
            calls: Calls::new(now),
            jobs: BTreeMap::new(),
            open: BTreeMap::new(),
            own_jobs: 0,
            routers: BTreeSet::new(),
            sources: Sources::new(now),
            peers: Peers::new(),
            items: Items::default(),
            published: BTreeMap::new(),
            outputs: VecDeque::new(),
            counts: Counts::default(),
            upkeep: now + UPKEEP_EVERY,
            expiry: now,
            persist: now + PERSIST_EVERY,
            held: None,
        };
        node.bootstrap(now);
        node.pump(now);
        node
    }

    /// Takes one fact; never fails.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Timeout => {}
            Input::Received { from, bytes } => self.received(now, canonical(from), bytes),
            Input::Bootstrap { addresses } => {
                let addresses = addresses
                    .into_iter()
                    .map(canonical)
                    .filter(|a| is_usable(*a));
                let addresses: Vec<_> = addresses.take(ROUTERS_MAX).collect();
                let room = ROUTERS_MAX - self.routers.len();
                self.routers.extend(addresses.iter().take(room));
                let searches = self.jobs.values_mut().filter(|job| job.is_search);
                searches.for_each(|job| job.lookup.start_at(addresses.iter().copied()));
                self.bootstrap(now);
            }
            Input::Heard { address } => self.heard(now, canonical(address)),
            Input::Start { key, task } => self.start(now, key, task),
            Input::Cancel { key } => self.cancel(key),
        }
        self.expire_calls(now);
        self.upkeep(now);
        self.pump(now);
    }

    /// The next deed; until `None` before the next fact.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Timeout`] is due.
    #[must_use]
    pub fn timeout(&self) -> Option<Instant> {
        let slow_after = self.calls.slow_after();
        let slow = self
            .jobs
            .values()
            .filter_map(|job| job.timeout(slow_after))
            .min();
        let times = [self.calls.timeout(), slow, self.held, Some(self.upkeep)];
        times.into_iter().flatten().min()
    }

    /// What should be known at the next start.
    #[must_use]
    pub fn save(&self, now: Instant) -> Saved {
        let id = |family| self.side(family).map(|side| side.table.own());
        let nodes = self.sides.iter().flat_map(|side| side.remembered(now));
        Saved {
            id_v4: id(Family::V4),
            id_v6: id(Family::V6),
            nodes: nodes.collect(),
        }
    }

    /// How things stand.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let family = |side: &Side| FamilySnapshot {
            family: side.family,
            id: side.table.own(),
            nodes: side.table.len(),
            good: side.table.good(now).count(),
            external_ip: side.votes.elected(),
            bootstrapped: side.is_ready(),
        };
        let (torrents, peers) = self.peers.size();
        Snapshot {
            families: self.sides.iter().map(family).collect(),
            lookups: self.open.len(),
            calls: self.calls.len(),
            round_trip: self.calls.round_trip(),
            torrents,
            peers,
            items: self.items.len(),
            counts: self.counts,
        }
    }

    fn received(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        self.counts.bytes_in += bytes.len() as u64;
        let Ok(message) = decode(bytes) else {
            self.counts.stray += 1;
            return;
        };
        if self.side(Family::of(from)).is_none() || !is_usable(from) {
            self.counts.stray += 1;
            return;
        }
        match &message.body {
            Body::Query(_) | Body::BadQuery(_) => {
                self.counts.queries_in += 1;
                let room = self.outputs.len() < OUTPUTS_MAX && !self.read_only;
                if room && self.asked(now, from, &message, bytes.len()).is_some() {
                    self.counts.answered += 1;
                } else {
                    self.counts.dropped += 1;
                }
            }
            Body::Response(_) | Body::Error(_) => self.told(now, from, &message),
        }
    }

    fn send(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        self.counts.bytes_out += bytes.len() as u64;
        self.outputs.push_back(Output::Send { to, bytes });
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn side(&self, family: Family) -> Option<&Side> {
        self.sides.iter().find(|side| side.family == family)
    }

    fn side_mut(&mut self, family: Family) -> Option<&mut Side> {
        self.sides.iter_mut().find(|side| side.family == family)
    }
}

#[cfg(test)]
mod tests;
