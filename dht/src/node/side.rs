//! What a node has twice, once a family: a name, a table, a search for the first nodes. BEP 32.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::address::Family;
use crate::external::Votes;
use crate::id::{Contact, NodeId};
use crate::io::Task;
use crate::limits::{
    BOOTSTRAP_AGAIN, BOOTSTRAP_AGAIN_MAX, K, REFILL_AGAIN_MAX, SAVED_NODES_MAX, TABLE_POOR,
};
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
    /// The next refill looks in the far half.
    looks_far: bool,
}

/// The search for the first nodes.
///
/// ```text
/// Idle ──addresses──▶ Running ──over──▶ Over ──table empty──▶ Running
///                                       ▲ │ few nodes
///                                  over │ ▼
///                                     Refilling
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Search {
    /// There is nowhere to begin.
    Idle,
    Running,
    /// There are nodes, but few: lookups need not wait.
    Refilling,
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
            pause: BOOTSTRAP_AGAIN,
            looks_far: true,
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
            Search::Running | Search::Refilling => false,
            Search::Over(again) => now >= again,
        };
        may && self.table.len() < TABLE_POOR
    }

    /// A search begins: what for. Around our own name first; a refill looks by turns in the other
    /// half of all names, for two halves that know only themselves would never hear of each other.
    pub(super) fn search_begins(&mut self, rng: &mut Rng) -> NodeId {
        let refills = matches!(self.search, Search::Over(_)) && self.table.len() > 0;
        self.search = match refills {
            true => Search::Refilling,
            false => Search::Running,
        };
        let far = refills && self.looks_far;
        self.looks_far = !far;
        let own = self.table.own();
        if far { own.sibling(0, rng) } else { own }
    }

    /// A table that is still poor is filled again, later each time: where all nodes begin at once,
    /// the first search finds few, and nobody else would tell of the others for long.
    pub(super) fn search_is_over(&mut self, now: Instant) {
        let most = match self.table.len() {
            0 => BOOTSTRAP_AGAIN_MAX,
            1..TABLE_POOR => REFILL_AGAIN_MAX,
            _ => {
                self.pause = BOOTSTRAP_AGAIN;
                BOOTSTRAP_AGAIN
            }
        };
        let pause = self.pause.min(most);
        self.search = Search::Over(now + pause);
        self.pause = pause * 2;
    }

    /// What should be known at the next start: the table, and when it has little, what was known.
    pub(super) fn remembered(&self, now: Instant) -> impl Iterator<Item = Contact> {
        let good: Vec<_> = self.table.good(now).collect();
        let old = self.known.iter().filter(|old| !good.contains(old)).copied();
        let old: Vec<_> = old.collect();
        good.into_iter().chain(old).take(SAVED_NODES_MAX)
    }
}
