//! Nodes at about the same distance. BEP 5.

use std::net::SocketAddr;
use std::time::Instant;

use crate::id::Contact;
use crate::limits::{CALL_TIMEOUT, FAILS_MAX, GOOD_TIME, K, SPARE_MAX};

/// One node, and what is known of its manners.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) contact: Contact,
    answered: Instant,
    /// When it last asked us something.
    pub(super) asked: Option<Instant>,
    pub(super) pinged: Option<Instant>,
    /// Answers that it owes, in a row.
    pub(super) fails: u8,
}

impl Entry {
    pub(super) fn new(contact: Contact, now: Instant) -> Self {
        Self {
            contact,
            answered: now,
            asked: None,
            pinged: None,
            fails: 0,
        }
    }

    pub(super) fn answered(&mut self, now: Instant) {
        self.answered = now;
        self.fails = 0;
    }

    /// When it last gave a sign of life.
    pub(super) fn heard(&self) -> Instant {
        self.answered.max(self.asked.unwrap_or(self.answered))
    }

    pub(super) fn is_good(&self, now: Instant) -> bool {
        self.fails == 0 && now < self.heard() + GOOD_TIME
    }

    pub(super) fn is_bad(&self) -> bool {
        self.fails >= FAILS_MAX
    }

    pub(super) fn wants_ping(&self, now: Instant) -> bool {
        let waited = self.pinged.is_none_or(|at| now >= at + 2 * CALL_TIMEOUT);
        waited && !self.is_good(now) && !self.is_bad()
    }
}

/// Up to K nodes, and some that wait for a place.
pub(super) struct Bucket {
    pub(super) nodes: Vec<Entry>,
    /// The last is the freshest.
    spare: Vec<Entry>,
    pub(super) changed: Instant,
    pub(super) refreshed: bool,
}

impl Bucket {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            nodes: Vec::new(),
            spare: Vec::new(),
            changed: now,
            refreshed: false,
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.nodes.len() < K || self.nodes.iter().any(Entry::is_bad)
    }

    /// Whether a node is in it whose name does not fit its address. BEP 42.
    pub(super) fn has_misfit(&self) -> bool {
        self.nodes.iter().any(|entry| !entry.contact.fits())
    }

    pub(super) fn find(&mut self, address: SocketAddr) -> Option<&mut Entry> {
        let mut nodes = self.nodes.iter_mut();
        nodes.find(|entry| entry.contact.address == address)
    }

    pub(super) fn remove(&mut self, address: SocketAddr) {
        self.nodes.retain(|entry| entry.contact.address != address);
    }

    /// Gives it a free place, or that of a bad node.
    pub(super) fn take(&mut self, now: Instant, entry: Entry) -> bool {
        if self.nodes.len() < K {
            self.nodes.push(entry);
        } else if let Some(bad) = self.nodes.iter_mut().find(|entry| entry.is_bad()) {
            *bad = entry;
        } else {
            return false;
        }
        self.changed = now;
        true
    }

    /// Gives it the place of a node whose name does not fit, if its own does; else it waits.
    pub(super) fn take_or_spare(&mut self, now: Instant, mut entry: Entry) {
        if entry.contact.fits()
            && let Some(misfit) = self.nodes.iter_mut().find(|entry| !entry.contact.fits())
        {
            std::mem::swap(misfit, &mut entry);
            self.changed = now;
        }
        self.spare
            .retain(|other| other.contact.address != entry.contact.address);
        if self.spare.len() == SPARE_MAX {
            self.spare.remove(0);
        }
        self.spare.push(entry);
    }

    /// It owes one answer more; two, and who waits takes its place.
    pub(super) fn failed(&mut self, address: SocketAddr) {
        self.spare.retain(|entry| entry.contact.address != address);
        let mut nodes = self.nodes.iter_mut();
        let Some(entry) = nodes.find(|entry| entry.contact.address == address) else {
            return;
        };
        entry.fails = entry.fails.saturating_add(1);
        if entry.is_bad()
            && let Some(spare) = self.spare.pop()
        {
            *entry = spare;
        }
    }

    /// Keeps those that are `farther`, gives the others.
    pub(super) fn divide(&mut self, now: Instant, farther: impl Fn(&Entry) -> bool) -> Self {
        let part = |entries: &mut Vec<Entry>| {
            let (far, near) = entries.drain(..).partition(&farther);
            *entries = far;
            near
        };
        Self {
            nodes: part(&mut self.nodes),
            spare: part(&mut self.spare),
            changed: now,
            refreshed: false,
        }
    }
}
