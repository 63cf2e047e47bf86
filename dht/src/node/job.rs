//! One task at work in one family: a lookup, and what is done where it ends. BEP 5, 33, 44, 51.
//!
//! Turns a task into queries and answers into results; sends nothing itself.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::address::Family;
use crate::bloom::Bloom;
use crate::id::{Contact, NodeId};
use crate::io::{Event, LookupKey, Outcome, Task};
use crate::item::{Item, Signed, immutable_target};
use crate::krpc::{Method, Response, SignedPut, Want, code};
use crate::lookup::{Lookup, Place};

/// A lookup with its purpose.
///
/// ```text
/// searching ──closest answered──▶ storing ──all answered or late──▶ over
///     └──────nothing to store, or found what was wanted─────────────▶┘
/// ```
pub(super) struct Job {
    pub(super) task: Task,
    pub(super) lookup: Lookup,
    /// The node's own search for its first nodes.
    pub(super) is_search: bool,
    /// Whether nodes of both families are wanted. BEP 32: when there are none yet.
    pub(super) wants_both: bool,
    began: Instant,
    storing: Option<Storing>,
    /// The best item so far.
    item: Option<Item>,
    is_found: bool,
    filters: Option<(Bloom, Bloom)>,
    outcome: Outcome,
}

struct Storing {
    places: VecDeque<Place>,
    out: usize,
}

impl Job {
    pub(super) fn new(task: Task, own: NodeId, family: Family, now: Instant) -> Self {
        Self {
            lookup: Lookup::new(target(&task), own, family),
            task,
            is_search: false,
            wants_both: false,
            began: now,
            storing: None,
            item: None,
            is_found: false,
            filters: None,
            outcome: Outcome::default(),
        }
    }

    /// What to ask the nodes on the way.
    pub(super) fn question(&self) -> Method<'static> {
        let target = target(&self.task);
        let both = Want { v4: true, v6: true };
        match &self.task {
            Task::FindNode { .. } | Task::Ping { .. } => Method::FindNode {
                target,
                want: self.wants_both.then_some(both),
            },
            Task::GetPeers { scrape, .. } => Method::GetPeers {
                info_hash: target.into(),
                want: None,
                no_seed: false,
                scrape: *scrape,
            },
            Task::Get { .. } => Method::Get {
                target,
                seq: None,
                want: None,
                padded: true,
            },
            Task::Put { .. } => Method::Get {
                target,
                // The value is not wanted, its version is.
                seq: Some(i64::MAX),
                want: None,
                padded: false,
            },
            Task::Sample { .. } => Method::SampleInfohashes { target, want: None },
        }
    }

    /// A node of the lookup answered; what there is to tell of it.
    pub(super) fn answered(
        &mut self,
        key: Option<LookupKey>,
        from: Contact,
        asked_as: Option<NodeId>,
        response: &Response<'_>,
    ) -> Option<Event> {
        let (token, seq) = (response.token, response.seq);
        let depth = self.lookup.answered(from, asked_as, token, seq)?;
        for nodes in [&response.nodes, &response.nodes6].into_iter().flatten() {
            self.lookup.named(from.address, nodes, depth);
        }
        let event = self.learned(key?, from, response);
        let is_result = matches!(event, Some(Event::Peers { .. } | Event::Item { .. }));
        if is_result && self.outcome.hops_to_result.is_none() {
            self.outcome.hops_to_result = Some(depth);
        }
        event
    }

    fn learned(&mut self, key: LookupKey, from: Contact, response: &Response<'_>) -> Option<Event> {
        match &self.task {
            Task::GetPeers { scrape, .. } => {
                if *scrape {
                    self.count(response);
                }
                self.outcome.peers += response.values.len();
                let peers = response.values.clone();
                (!peers.is_empty()).then_some(Event::Peers {
                    key,
                    from: from.address,
                    peers,
                })
            }
            Task::Get { target, salt } => {
                let item = item(target, salt, response)?;
                if self
                    .item
                    .as_ref()
                    .is_some_and(|old| old.seq() >= item.seq())
                {
                    return None;
                }
                // What never changes need not be looked for any more.
                self.is_found = item.seq().is_none();
                self.item = Some(item.clone());
                Some(Event::Item { key, item })
            }
            Task::Sample { .. } => Some(Event::Samples {
                key,
                from,
                samples: response.samples.clone()?,
                num: response.num,
                interval: response.interval,
            }),
            _ => None,
        }
    }

    /// Unites what a node says of the swarm's size; from nodes without filters, their values.
    fn count(&mut self, response: &Response<'_>) {
        let (seeds, peers) = self.filters.get_or_insert_default();
        match (&response.seeds, &response.peers) {
            (Some(more_seeds), Some(more_peers)) => {
                seeds.unite(more_seeds);
                peers.unite(more_peers);
            }
            _ => response
                .values
                .iter()
                .for_each(|peer| peers.insert(peer.ip())),
        }
    }

    /// Whether the search is over; when there is something to store, that begins.
    pub(super) fn search_is_over(&mut self, now: Instant, slow_after: Duration) -> bool {
        if self.storing.is_some() {
            return true;
        }
        if !self.is_found && !self.lookup.is_done(now, slow_after) {
            return false;
        }
        let stores = match &self.task {
            Task::GetPeers { announce, .. } => announce.is_some(),
            task => matches!(task, Task::Put { .. }),
        };
        let places = if stores {
            self.lookup.places()
        } else {
            Vec::new()
        };
        self.storing = Some(Storing {
            places: places.into(),
            out: 0,
        });
        true
    }

    /// Where to store next.
    pub(super) fn next_place(&mut self) -> Option<Place> {
        let storing = self.storing.as_mut()?;
        let place = storing.places.pop_front()?;
        storing.out += 1;
        Some(place)
    }

    /// A place that could not be served yet comes first again.
    pub(super) fn put_back(&mut self, place: Place) {
        if let Some(storing) = &mut self.storing {
            storing.places.push_front(place);
            storing.out -= 1;
        }
    }

    /// What to store there.
    pub(super) fn statement<'a>(&'a self, place: &'a Place) -> Option<Method<'a>> {
        match &self.task {
            Task::GetPeers {
                info_hash,
                announce: Some(announce),
                ..
            } => Some(Method::AnnouncePeer {
                info_hash: *info_hash,
                port: announce.port,
                token: &place.token,
                seed: announce.seed,
            }),
            Task::Put { item, cas, .. } => Some(Method::Put {
                token: &place.token,
                value: item.value(),
                signed: item.signature().map(|signed| SignedPut {
                    key: &signed.key,
                    salt: &signed.salt,
                    seq: signed.seq,
                    sig: &signed.sig,
                    // BEP 44: not to a node that has nothing.
                    cas: cas.filter(|_| place.seq.is_some()),
                }),
            }),
            _ => None,
        }
    }

    /// A place answered what was to be stored: well, or with an error, or not at all.
    pub(super) fn stored(&mut self, result: Result<(), Option<(i64, String)>>) {
        let Some(storing) = &mut self.storing else {
            return;
        };
        storing.out -= 1;
        match result {
            Ok(()) => self.outcome.stored += 1,
            // That a version is outdated matters more than other troubles.
            Err(Some(refused)) => {
                let matters = refused.0 >= code::CAS_MISMATCH;
                if matters || self.outcome.refused.is_none() {
                    self.outcome.refused = Some(refused);
                }
            }
            Err(None) => {}
        }
    }

    pub(super) fn is_over(&self) -> bool {
        let storing = self.storing.as_ref();
        storing.is_some_and(|storing| storing.places.is_empty() && storing.out == 0)
    }

    /// When a query of the lookup becomes slow.
    pub(super) fn timeout(&self, slow_after: Duration) -> Option<Instant> {
        match self.storing {
            Some(_) => None,
            None => self.lookup.timeout(slow_after),
        }
    }

    pub(super) fn outcome(mut self, now: Instant) -> Outcome {
        let estimate = |filter: &Bloom| filter.estimate();
        self.outcome.closest = self.lookup.closest();
        self.outcome.answers = self.lookup.answers();
        self.outcome.queries += self.lookup.queries();
        self.outcome.hops = self.lookup.hops();
        self.outcome.seeds = self.filters.as_ref().map(|(seeds, _)| estimate(seeds));
        self.outcome.leechers = self.filters.as_ref().map(|(_, peers)| estimate(peers));
        self.outcome.took = now.saturating_duration_since(self.began);
        self.outcome
    }
}

/// What is looked for.
pub(super) fn target(task: &Task) -> NodeId {
    match task {
        Task::FindNode { target } | Task::Get { target, .. } | Task::Sample { target } => *target,
        Task::GetPeers { info_hash, .. } => (*info_hash).into(),
        Task::Put { item, .. } => item.target(),
        Task::Ping { .. } => NodeId([0; 20]),
    }
}

/// The item in an answer, if it is the one that was asked for and whoever may say so said it.
fn item(target: &NodeId, salt: &[u8], response: &Response<'_>) -> Option<Item> {
    let value = response.value?;
    let item = match (response.key, response.sig, response.seq) {
        (Some(key), Some(sig), Some(seq)) => Item::signed(
            value.to_vec(),
            Signed {
                key: *key,
                salt: salt.to_vec(),
                seq,
                sig: *sig,
            },
        ),
        _ if immutable_target(value) == *target => Item::immutable(value.to_vec()),
        _ => return None,
    };
    item.ok().filter(|item| item.target() == *target)
}

/// Adds what came of another family.
pub(super) fn merge(whole: &mut Outcome, part: Outcome) {
    let sum = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        (a, b) => a.or(b),
    };
    whole.closest.extend(part.closest);
    whole
        .closest
        .sort_by_key(|contact| contact.address.is_ipv6());
    whole.answers += part.answers;
    whole.queries += part.queries;
    whole.peers += part.peers;
    whole.stored += part.stored;
    whole.refused = whole.refused.take().or(part.refused);
    whole.seeds = sum(whole.seeds, part.seeds);
    whole.leechers = sum(whole.leechers, part.leechers);
    whole.hops = whole.hops.max(part.hops);
    let hops = [whole.hops_to_result, part.hops_to_result];
    whole.hops_to_result = hops.into_iter().flatten().min();
    whole.took = whole.took.max(part.took);
}

/// What a ping that was answered comes to.
pub(super) fn pong(id: NodeId, address: SocketAddr, took: Duration) -> Outcome {
    Outcome {
        closest: vec![Contact { id, address }],
        answers: 1,
        queries: 1,
        took,
        ..Outcome::default()
    }
}
