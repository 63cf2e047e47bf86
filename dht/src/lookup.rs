//! Finding the nodes closest to a name by asking ever closer ones. BEP 5; 42 "enforcement".
//!
//! Several are asked at the same time. Who does not answer within the usual time gives its place to
//! the next and may still answer; at the end it is asked once more. A lookup is over when the K
//! closest have answered. Only a node whose name fits its address counts to these K (BEP 42), and
//! of a subnet only one, so that whoever owns a few subnets cannot fill the set with names of its
//! choice; the others are asked as well while they are closer. What is asked is not known here.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::address::{Family, Subnet, may_name};
use crate::id::{Contact, Distance, NodeId};
use crate::limits::{
    ALPHA, K, LOOKUP_ANSWERS_ENOUGH, LOOKUP_CANDIDATES_MAX, LOOKUP_IN_FLIGHT_MAX,
    LOOKUP_OF_SUBNET_MAX, LOOKUP_QUERIES_MAX, NODES_OF_ANSWER_MAX, ROUTERS_MAX, TRIES_MAX,
};

/// One search in one family.
pub(crate) struct Lookup {
    target: NodeId,
    family: Family,
    own: NodeId,
    candidates: BTreeMap<(Distance, SocketAddr), Candidate>,
    /// Addresses to begin with whose names are not known; those that answered are none any more.
    starters: BTreeMap<SocketAddr, State>,
    namers: BTreeMap<Subnet, Namer>,
    queries: usize,
    answers: usize,
    hops: usize,
}

/// ```text
/// New ──ask──▶ Asked ──answer──▶ Answered
///                │ ▲ │
///           slow │ │ └──no answer, error──▶ Failed
///                ▼ │ ask again
///               Slow ──answer──▶ Answered
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Asked(Instant),
    Slow,
    Answered,
    Failed,
}

struct Candidate {
    contact: Contact,
    fits: bool,
    subnet: Option<Subnet>,
    state: State,
    tries: u8,
    /// Steps from the nodes that we knew.
    depth: usize,
    /// Who named it.
    namer: Option<Subnet>,
    token: Option<Vec<u8>>,
    /// The version of the item that it has. BEP 44.
    seq: Option<i64>,
}

/// How good the word of a subnet is: who names nodes that are none is soon not listened to.
#[derive(Default)]
struct Namer {
    answered: usize,
    failed: usize,
}

/// Where to store something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) contact: Contact,
    pub(crate) token: Vec<u8>,
    pub(crate) seq: Option<i64>,
}

/// Whom to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) to: SocketAddr,
    pub(crate) id: Option<NodeId>,
}

impl Lookup {
    pub(crate) fn new(target: NodeId, own: NodeId, family: Family) -> Self {
        Self {
            target,
            family,
            own,
            candidates: BTreeMap::new(),
            starters: BTreeMap::new(),
            namers: BTreeMap::new(),
            queries: 0,
            answers: 0,
            hops: 0,
        }
    }

    /// Begins with nodes that we know.
    pub(crate) fn start_from(&mut self, contacts: impl IntoIterator<Item = Contact>) {
        contacts
            .into_iter()
            .for_each(|contact| self.add(contact, None, 0));
    }

    /// Begins with addresses whose names we do not know.
    pub(crate) fn start_at(&mut self, addresses: impl IntoIterator<Item = SocketAddr>) {
        let family = self.family;
        let addresses = addresses
            .into_iter()
            .filter(|&address| Family::of(address) == family);
        self.starters.extend(
            addresses
                .take(ROUTERS_MAX)
                .map(|address| (address, State::New)),
        );
    }

    /// Whom to ask next; to be called until it gives nobody. Does not count as asked before
    /// [`Lookup::asked`] was called.
    pub(crate) fn next(&mut self, now: Instant, slow_after: Duration) -> Option<Step> {
        self.slow_down(now, slow_after);
        let asked = |candidate: &&Candidate| matches!(candidate.state, State::Asked(_));
        let fresh = self.candidates.values().filter(asked).count();
        let slow = self
            .candidates
            .values()
            .filter(|candidate| candidate.state == State::Slow);
        let asked = |state: &&State| matches!(state, State::Asked(_));
        let starting = self.starters.values().filter(asked).count();
        let out = fresh + slow.count();
        if out >= LOOKUP_IN_FLIGHT_MAX || self.queries >= LOOKUP_QUERIES_MAX {
            return None;
        }
        if let Some(to) = self.starter(starting) {
            return Some(Step { to, id: None });
        }
        if fresh >= ALPHA {
            return None;
        }
        let contact = self.frontier()?;
        Some(Step {
            to: contact.address,
            id: Some(contact.id),
        })
    }

    pub(crate) fn asked(&mut self, now: Instant, step: &Step) {
        self.queries += 1;
        match step.id {
            None => drop(self.starters.insert(step.to, State::Asked(now))),
            Some(id) => {
                if let Some(candidate) = self.find(&id, step.to) {
                    candidate.state = State::Asked(now);
                    candidate.tries += 1;
                }
            }
        }
    }

    /// A node answered: the steps to it; `None` when it is not the one that was asked.
    pub(crate) fn answered(
        &mut self,
        contact: Contact,
        asked_as: Option<NodeId>,
        token: Option<&[u8]>,
        seq: Option<i64>,
    ) -> Option<usize> {
        self.starters.remove(&contact.address);
        match asked_as {
            Some(id) if id != contact.id => {
                self.failed(contact.address, asked_as);
                return None;
            }
            Some(_) => {}
            None => self.add(contact, None, 0),
        }
        let candidate = self.find(&contact.id, contact.address)?;
        if candidate.state == State::Answered {
            return None;
        }
        candidate.state = State::Answered;
        candidate.token = token.map(<[u8]>::to_vec);
        candidate.seq = seq;
        let (depth, namer) = (candidate.depth, candidate.namer);
        if let Some(namer) = namer {
            self.namers.entry(namer).or_default().answered += 1;
        }
        self.answers += 1;
        self.hops = self.hops.max(depth + 1);
        Some(depth + 1)
    }

    /// A node owes its answer, or answered with an error, or under another name.
    pub(crate) fn failed(&mut self, address: SocketAddr, asked_as: Option<NodeId>) {
        let Some(id) = asked_as else {
            self.starters.remove(&address);
            return;
        };
        let Some(candidate) = self.find(&id, address) else {
            return;
        };
        // A second try that is out may still be answered.
        let is_open = matches!(candidate.state, State::Asked(_) | State::Slow);
        if !is_open {
            return;
        }
        candidate.state = State::Failed;
        if let Some(namer) = candidate.namer {
            self.namers.entry(namer).or_default().failed += 1;
        }
    }

    /// What an answer names: nodes at so many steps.
    pub(crate) fn named(&mut self, from: SocketAddr, nodes: &[Contact], depth: usize) {
        let namer = Subnet::of(from);
        let of_family = |node: &&Contact| Family::of(node.address) == self.family;
        let nodes = nodes.iter().filter(of_family).take(NODES_OF_ANSWER_MAX);
        let nodes: Vec<_> = nodes
            .filter(|node| may_name(from, node.address))
            .copied()
            .collect();
        nodes
            .into_iter()
            .for_each(|node| self.add(node, namer, depth));
    }

    /// Nobody is left to ask or to wait for.
    pub(crate) fn is_done(&mut self, now: Instant, slow_after: Duration) -> bool {
        self.slow_down(now, slow_after);
        let starting = self.starters.values().any(|state| *state != State::Slow);
        if self.queries >= LOOKUP_QUERIES_MAX {
            return !self.waits();
        }
        !starting && !self.waits() && self.frontier().is_none()
    }

    /// When a query becomes slow.
    pub(crate) fn timeout(&self, slow_after: Duration) -> Option<Instant> {
        let candidates = self.candidates.values().map(|candidate| candidate.state);
        let asked = candidates.chain(self.starters.values().copied());
        let slow = asked.filter_map(|state| match state {
            State::Asked(since) => Some(since + slow_after),
            _ => None,
        });
        slow.min()
    }

    /// The K closest that count, and those closer ones that answered and do not; closest first.
    pub(crate) fn closest(&self) -> Vec<Contact> {
        self.chosen(|_| true)
            .iter()
            .map(|candidate| candidate.contact)
            .collect()
    }

    /// Where to store: the closest that gave a token.
    pub(crate) fn places(&self) -> Vec<Place> {
        let chosen = self.chosen(|candidate| candidate.token.is_some());
        let place = |candidate: &Candidate| Place {
            contact: candidate.contact,
            token: candidate.token.clone().unwrap_or_default(),
            seq: candidate.seq,
        };
        chosen.into_iter().map(place).collect()
    }

    pub(crate) fn queries(&self) -> usize {
        self.queries
    }

    pub(crate) fn answers(&self) -> usize {
        self.answers
    }

    pub(crate) fn hops(&self) -> usize {
        self.hops
    }

    fn add(&mut self, contact: Contact, namer: Option<Subnet>, depth: usize) {
        if contact.id == self.own || Family::of(contact.address) != self.family {
            return;
        }
        let key = (self.target.distance(&contact.id), contact.address);
        if let Some(known) = self.candidates.get_mut(&key) {
            // Named by another: its word may be better.
            known.namer = known.namer.filter(|old| Some(*old) == namer);
            return;
        }
        let subnet = Subnet::of(contact.address);
        if subnet.is_some() && self.crowds_out(subnet, key.0) {
            return;
        }
        let candidate = Candidate {
            contact,
            fits: contact.fits(),
            subnet,
            state: State::New,
            tries: 0,
            depth,
            namer,
            token: None,
            seq: None,
        };
        self.candidates.insert(key, candidate);
        if self.candidates.len() > LOOKUP_CANDIDATES_MAX {
            let mut farthest = self.candidates.iter().rev();
            let farthest = farthest.find(|(_, other)| other.state == State::New);
            if let Some(key) = farthest.map(|(key, _)| *key) {
                self.candidates.remove(&key);
            }
        }
    }

    /// Whether a subnet has enough candidates that were not asked yet; if a new one is closer than
    /// its farthest, that one goes.
    fn crowds_out(&mut self, subnet: Option<Subnet>, distance: Distance) -> bool {
        let waiting = self
            .candidates
            .iter()
            .filter(|(_, candidate)| candidate.subnet == subnet && candidate.state == State::New);
        let keys: Vec<_> = waiting.map(|(key, _)| *key).collect();
        if keys.len() < 2 * LOOKUP_OF_SUBNET_MAX {
            return false;
        }
        let farthest = keys[keys.len() - 1];
        if farthest.0 <= distance {
            return true;
        }
        self.candidates.remove(&farthest);
        false
    }

    fn find(&mut self, id: &NodeId, address: SocketAddr) -> Option<&mut Candidate> {
        self.candidates
            .get_mut(&(self.target.distance(id), address))
    }

    fn starter(&self, starting: usize) -> Option<SocketAddr> {
        let mut starters = self.starters.iter();
        let waiting = starters.find(|(_, state)| **state == State::New);
        waiting
            .filter(|_| starting < 2 * ALPHA)
            .map(|(address, _)| *address)
    }

    fn slow_down(&mut self, now: Instant, slow_after: Duration) {
        let candidates = self.candidates.values_mut();
        let states = candidates.map(|candidate| &mut candidate.state);
        for state in states.chain(self.starters.values_mut()) {
            if let State::Asked(since) = *state
                && now >= since + slow_after
            {
                *state = State::Slow;
            }
        }
    }

    /// Whether someone was asked a moment ago who would be among the closest.
    fn waits(&self) -> bool {
        let mut waits = false;
        self.walk(|candidate| waits |= matches!(candidate.state, State::Asked(_)));
        waits
    }

    /// The next one to ask: the closest new one, else the closest slow one once more.
    fn frontier(&self) -> Option<Contact> {
        let mut seats: BTreeMap<Subnet, usize> = BTreeMap::new();
        for candidate in self.candidates.values() {
            let sits = !matches!(candidate.state, State::New | State::Failed);
            if let Some(subnet) = candidate.subnet.filter(|_| sits) {
                *seats.entry(subnet).or_default() += 1;
            }
        }
        let (mut new, mut again) = (None, None);
        self.walk(|candidate| match candidate.state {
            State::New if new.is_none() => {
                let seats = candidate.subnet.and_then(|subnet| seats.get(&subnet));
                let has_seat = seats.is_none_or(|&seats| seats < LOOKUP_OF_SUBNET_MAX);
                if has_seat && self.is_credible(candidate) {
                    new = Some(candidate.contact);
                }
            }
            State::Slow if again.is_none() && candidate.tries < TRIES_MAX => {
                again = Some(candidate.contact);
            }
            _ => {}
        });
        new.or(again)
    }

    fn is_credible(&self, candidate: &Candidate) -> bool {
        let namer = candidate.namer.and_then(|namer| self.namers.get(&namer));
        namer.is_none_or(|namer| namer.failed < 4 + 2 * namer.answered)
    }

    /// Goes from the target outwards until enough have answered.
    fn walk<'a>(&'a self, mut visit: impl FnMut(&'a Candidate)) {
        let (mut counted, mut answered) = (0, 0);
        let mut heard: Vec<Subnet> = Vec::new();
        for candidate in self.candidates.values() {
            if counted == K || answered == LOOKUP_ANSWERS_ENOUGH {
                return;
            }
            visit(candidate);
            if candidate.state != State::Answered {
                continue;
            }
            let is_heard = candidate
                .subnet
                .is_some_and(|subnet| heard.contains(&subnet));
            heard.extend(candidate.subnet.filter(|_| !is_heard));
            answered += usize::from(!is_heard);
            counted += usize::from(!is_heard && candidate.fits);
        }
    }

    /// The K closest that count and satisfy; half as many closer ones that do not count; others
    /// when there are fewer than K.
    fn chosen(&self, satisfies: impl Fn(&Candidate) -> bool) -> Vec<&Candidate> {
        let mut heard: Vec<Subnet> = Vec::new();
        let mut counted = 0;
        let (mut chosen, mut others) = (Vec::new(), Vec::new());
        for candidate in self.candidates.values() {
            if counted == K {
                break;
            }
            if candidate.state != State::Answered || !satisfies(candidate) {
                continue;
            }
            let is_heard = candidate
                .subnet
                .is_some_and(|subnet| heard.contains(&subnet));
            if is_heard {
                continue;
            }
            heard.extend(candidate.subnet);
            if candidate.fits {
                counted += 1;
                chosen.push(candidate);
            } else {
                others.push(candidate);
            }
        }
        others.truncate((K / 2).max(K - counted));
        chosen.extend(others);
        chosen.sort_by_key(|candidate| self.target.distance(&candidate.contact.id));
        chosen
    }
}

#[cfg(test)]
mod tests;
