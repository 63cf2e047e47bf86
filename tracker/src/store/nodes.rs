//! The servers of the store: one, or the masters of a cluster. Source: the specification of Redis
//! Cluster.
//!
//! Whoever answers `CLUSTER SLOTS` is of a cluster, whose map says where the others are; it is
//! asked for again when a server says that it moved, or is away. A server that is away is tried
//! again after a while, longer each time and never at the same moment by all trackers; the others
//! go on.

use std::time::Instant;

use fastrand::Rng;
use redis::{Cmd, ConnectionInfo, Value, cmd};
use shoal_metainfo::InfoHash;

use super::StoreFault;
use super::line::{Line, words};
use super::slots::Slots;
use super::wire::Authorities;
use super::words::Scripts;
use crate::limits;

struct Node {
    host: String,
    port: u16,
    line: Option<Line>,
    retry: Retry,
}

/// When to try again.
#[derive(Debug, Default)]
struct Retry {
    failures: u32,
    after: Option<Instant>,
}

impl Retry {
    fn is_due(&self, now: Instant) -> bool {
        self.after.is_none_or(|after| now >= after)
    }

    fn failed(&mut self, now: Instant, rng: &mut Rng) {
        let doubled = limits::STORE_RETRY_MIN * 2u32.saturating_pow(self.failures.min(16));
        let wait = doubled.min(limits::STORE_RETRY_MAX);
        self.failures += 1;
        // Between half of it and all: many trackers lost it at the same moment.
        self.after = Some(now + wait.mul_f64(rng.f64().mul_add(0.5, 0.5)));
    }
}

/// What became of a command.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Its answer.
    Answered(Value),
    /// The store does not do it: no use in asking again.
    Refused(String),
    /// It did not come to an answer; perhaps it was done.
    Lost,
}

pub(super) struct Nodes {
    given: Vec<ConnectionInfo>,
    /// They all speak TLS, or none does.
    authorities: Option<Authorities>,
    nodes: Vec<Node>,
    slots: Slots,
    /// The map is to be asked for again.
    is_stale: bool,
    retry: Retry,
    rng: Rng,
    /// What went wrong last.
    pub(super) fault: Option<(String, StoreFault)>,
}

impl Nodes {
    pub(super) fn new(
        given: Vec<ConnectionInfo>,
        authorities: Option<Authorities>,
        rng: Rng,
    ) -> Self {
        Self {
            given,
            authorities,
            nodes: Vec::new(),
            slots: Slots::One,
            is_stale: true,
            retry: Retry::default(),
            rng,
            fault: None,
        }
    }

    /// Whether all servers are there, as far as is known.
    pub(super) fn are_all_there(&self) -> bool {
        !self.nodes.is_empty() && self.nodes.iter().all(|node| node.line.is_some())
    }

    /// The place of the server that has a torrent.
    pub(super) fn of(&self, info_hash: &InfoHash) -> Option<usize> {
        self.slots.node(info_hash)
    }

    pub(super) fn scripts(&self, node: usize) -> Option<&Scripts> {
        Some(&self.nodes.get(node)?.line.as_ref()?.scripts)
    }

    /// Connects to whom it is time to connect to. Returns the places of those that are there again.
    pub(super) fn connect(&mut self, now: Instant) -> Vec<usize> {
        if self.is_stale && self.retry.is_due(now) {
            match self.learn() {
                Ok(()) => (self.is_stale, self.retry) = (false, Retry::default()),
                Err(fault) => {
                    self.fault = Some(fault);
                    self.retry.failed(now, &mut self.rng);
                }
            }
        }
        let mut again = Vec::new();
        let in_cluster = self.slots != Slots::One;
        let who = (&self.given[0], self.authorities.as_ref());
        for (place, node) in self.nodes.iter_mut().enumerate() {
            if node.line.is_some() || !node.retry.is_due(now) {
                continue;
            }
            match Line::open(&node.host, node.port, who, in_cluster) {
                Ok(line) => {
                    (node.line, node.retry) = (Some(line), Retry::default());
                    again.push(place);
                }
                Err(fault) => {
                    self.fault = Some((format!("{}:{}", node.host, node.port), fault));
                    node.retry.failed(now, &mut self.rng);
                    // Another may have taken its slots.
                    self.is_stale = true;
                }
            }
        }
        again
    }

    /// Asks whoever answers for the map of the cluster, or finds that there is none.
    fn learn(&mut self) -> Result<(), (String, StoreFault)> {
        let mut last = (String::new(), StoreFault::Strange);
        let known = self.nodes.iter().map(|node| (node.host.clone(), node.port));
        let given = self.given.iter().filter_map(host_and_port);
        let all: Vec<_> = given.chain(known).collect();
        let who = (&self.given[0], self.authorities.as_ref());
        for (host, port) in all {
            let mut slots = cmd("CLUSTER");
            slots.arg("SLOTS");
            let asked =
                Line::open(&host, port, who, true).and_then(|mut line| line.ask(vec![slots]));
            match asked.map(|mut answers| answers.pop()) {
                // One that is no cluster says so.
                Ok(Some(Value::ServerError(_))) => {
                    self.take(Slots::One, vec![(host, port)]);
                    return Ok(());
                }
                Ok(Some(answer)) => {
                    if let Some((slots, masters)) = Slots::read(&answer, &host) {
                        self.take(slots, masters);
                        return Ok(());
                    }
                    last = (format!("{host}:{port}"), StoreFault::NoSlots);
                }
                Ok(None) => {}
                Err(fault) => last = (format!("{host}:{port}"), fault),
            }
        }
        Err(last)
    }

    /// Takes a new map; lines to servers that are still in it are kept.
    fn take(&mut self, slots: Slots, masters: Vec<(String, u16)>) {
        let mut before = std::mem::take(&mut self.nodes);
        let node = |(host, port): (String, u16)| {
            let same = |node: &Node| node.host == host && node.port == port;
            match before.iter().position(same) {
                Some(at) => before.swap_remove(at),
                None => Node {
                    host,
                    port,
                    line: None,
                    retry: Retry::default(),
                },
            }
        };
        self.nodes = masters.into_iter().map(node).collect();
        self.slots = slots;
    }

    /// Has one server do all commands.
    pub(super) fn ask(&mut self, place: usize, commands: Vec<Cmd>) -> Vec<Outcome> {
        let count = commands.len();
        let lost = || (0..count).map(|_| Outcome::Lost).collect();
        let Some(node) = self.nodes.get_mut(place) else {
            return lost();
        };
        let Some(line) = &mut node.line else {
            return lost();
        };
        match line.ask(commands) {
            Ok(answers) => answers
                .into_iter()
                .map(|one| self.judge(place, one))
                .collect(),
            Err(fault) => {
                self.fault = Some((format!("{}:{}", node.host, node.port), fault));
                node.line = None;
                node.retry.failed(Instant::now(), &mut self.rng);
                self.is_stale = true;
                lost()
            }
        }
    }

    fn judge(&mut self, place: usize, answer: Value) -> Outcome {
        let Value::ServerError(error) = &answer else {
            return Outcome::Answered(answer);
        };
        match error.code() {
            // Its slots are elsewhere, or nobody has them now.
            "MOVED" | "ASK" | "TRYAGAIN" | "CLUSTERDOWN" => self.is_stale = true,
            // It is about to be good, or has become a replica, or has forgotten the scripts.
            "LOADING" | "READONLY" | "MASTERDOWN" | "NOSCRIPT" | "BUSY" => {
                self.is_stale = true;
                let node = &mut self.nodes[place];
                node.line = None;
                node.retry.failed(Instant::now(), &mut self.rng);
                let address = format!("{}:{}", node.host, node.port);
                self.fault = Some((address, StoreFault::Refused(words(error))));
            }
            _ => return Outcome::Refused(words(error)),
        }
        Outcome::Lost
    }
}

/// Where a server given by URL is; of other kinds there is none here.
pub(super) fn host_and_port(info: &ConnectionInfo) -> Option<(String, u16)> {
    match info.addr() {
        redis::ConnectionAddr::Tcp(host, port) => Some((host.clone(), *port)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_differ() {
        let (now, mut rng) = (Instant::now(), Rng::with_seed(1));
        let mut retry = Retry::default();
        assert!(retry.is_due(now));
        let mut waits = Vec::new();
        for _ in 0..40 {
            retry.failed(now, &mut rng);
            assert!(!retry.is_due(now));
            waits.push(retry.after.unwrap() - now);
        }
        assert!(waits[0] <= limits::STORE_RETRY_MIN);
        let last = &waits[20..];
        let range = limits::STORE_RETRY_MAX / 2..=limits::STORE_RETRY_MAX;
        assert!(last.iter().all(|wait| range.contains(wait)), "{last:?}");
        let first = last[0];
        assert!(
            last.iter()
                .any(|wait| wait.abs_diff(first) > Duration::from_secs(1))
        );
    }
}
