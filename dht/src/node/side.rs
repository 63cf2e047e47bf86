//! What a node has twice, once a family: a name, a table, a search for the first nodes. BEP 32.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::address::Family;
use crate::external::Votes;
use crate::id::{Contact, NodeId};
use crate::io::Task;
use crate::limits::{BOOTSTRAP_AGAIN, K, SAVED_NODES_MAX};
use crate::table::Table;

use super::JobKey;

/// One family's half of a node.
pub(super) struct Side {
    pub(super) family: Family,
    pub(super) table: Table,
    pub(super) votes: Votes,
    /// Nodes of an earlier run; asked when the table is empty.
    pub(super) known: Vec<Contact>,
    pub(super) search: Search,
    /// Tasks that wait for the first nodes, or for their turn.
    pub(super) waiting: VecDeque<(JobKey, Task)>,
    pause: Duration,
}

/// The search for the first nodes.
///
/// ```text
/// Idle ──addresses──▶ Running ──over──▶ Over ──table empty──▶ Running
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Search {
    /// There is nowhere to begin.
    Idle,
    Running,
    /// When it may begin again.
    Over(Instant),
}

impl Side {
    pub(super) fn new(family: Family, id: NodeId, known: Vec<Contact>, now: Instant) -> Self {
        Self {
            family,
            table: Table::new(id, now),
            votes: Votes::default(),
            known,
            search: Search::Idle,
            waiting: VecDeque::new(),
            pause: BOOTSTRAP_AGAIN.0,
        }
    }

    /// Whether lookups would find what there is to be found.
    pub(super) fn is_ready(&self) -> bool {
        self.search != Search::Running || self.table.len() >= K
    }

    /// Whether a search for nodes is due.
    pub(super) fn wants_search(&self, now: Instant) -> bool {
        let may = match self.search {
            Search::Idle => true,
            Search::Running => false,
            Search::Over(again) => now >= again,
        };
        may && self.table.len() == 0
    }

    pub(super) fn search_is_over(&mut self, now: Instant) {
        if self.table.len() > 0 {
            self.pause = BOOTSTRAP_AGAIN.0;
        }
        self.search = Search::Over(now + self.pause);
        self.pause = (self.pause * 2).min(BOOTSTRAP_AGAIN.1);
    }

    /// What should be known at the next start: the table, and when it has little, what was known.
    pub(super) fn remembered(&self, now: Instant) -> impl Iterator<Item = Contact> {
        let good: Vec<_> = self.table.good(now).collect();
        let old = self.known.iter().filter(|old| !good.contains(old)).copied();
        let old: Vec<_> = old.collect();
        good.into_iter().chain(old).take(SAVED_NODES_MAX)
    }
}
