//! The nodes we know, more of them the closer they are. BEP 5 "routing table"; 32, 42.
//!
//! One table a family. A node enters when it has answered a query of ours, and never before; one
//! host has one place, one subnet few, and names that fit their addresses come first. Whom to ask
//! when is told; nothing is sent from here.

mod bucket;

use std::net::SocketAddr;
use std::time::Instant;

use fastrand::Rng;

use crate::address::{Host, Subnet};
use crate::id::{Contact, NodeId};
use crate::limits::{BUCKET_OF_SUBNET_MAX, K, REFRESH_EVERY, TABLE_OF_SUBNET_MAX};

use bucket::{Bucket, Entry};

/// The nodes of one family.
///
/// ```text
/// heard of ──answers us──▶ good ──15 minutes of silence──▶ questionable ──two answers owed──▶ bad
///                           ▲ │ bucket full                    │ answers                      │
///                           │ ▼                                │           a spare takes its place
///                           │ spare ◀──────────────────────────┼──────────────────────────────┘
///                           └──────────────────────────────────┘
/// ```
pub(crate) struct Table {
    own: NodeId,
    /// Bucket `n` holds names that have `n` bits in common with ours; the last, `n` or more.
    buckets: Vec<Bucket>,
}

impl Table {
    pub(crate) fn new(own: NodeId, now: Instant) -> Self {
        Self {
            own,
            buckets: vec![Bucket::new(now)],
        }
    }

    pub(crate) fn own(&self) -> NodeId {
        self.own
    }

    /// The same nodes around another name of ours.
    pub(crate) fn renamed(&self, own: NodeId, now: Instant) -> Self {
        let mut table = Self::new(own, now);
        self.entries().for_each(|entry| table.insert(now, *entry));
        table
    }

    /// A node answered a query of ours.
    pub(crate) fn answered(&mut self, now: Instant, contact: Contact) {
        if contact.id == self.own {
            return;
        }
        let host = Host::of(contact.address);
        let known = self.entries().copied().find(|entry| {
            entry.contact.id == contact.id || Host::of(entry.contact.address) == host
        });
        match known {
            Some(old) if old.contact == contact => {
                let bucket = self.bucket_of(&contact.id);
                bucket.changed = now;
                if let Some(entry) = bucket.find(contact.address) {
                    entry.answered(now);
                }
                return;
            }
            // A place is kept by who has it, unless that one owes answers or changed its name.
            Some(old) if old.contact.address != contact.address && !old.is_bad() => return,
            Some(old) => self.bucket_of(&old.contact.id).remove(old.contact.address),
            None => {}
        }
        self.insert(now, Entry::new(contact, now));
    }

    /// A node asked us something: whether it should be asked for a sign of life, since it is new
    /// and would find a place.
    pub(crate) fn asked(&mut self, now: Instant, contact: Contact) -> bool {
        if contact.id == self.own {
            return false;
        }
        let host = Host::of(contact.address);
        let known = self
            .entries()
            .find(|entry| Host::of(entry.contact.address) == host);
        if let Some(known) = known.map(|entry| entry.contact) {
            if known == contact
                && let Some(entry) = self.bucket_of(&contact.id).find(contact.address)
            {
                entry.asked = Some(now);
            }
            return false;
        }
        let (last, index) = (self.buckets.len() - 1, self.index(&contact.id));
        let bucket = &self.buckets[index];
        let room = index == last || bucket.has_room() || contact.fits() && bucket.has_misfit();
        room && self.subnet_has_room(bucket, contact.address)
    }

    /// A node owes us an answer.
    pub(crate) fn failed(&mut self, address: SocketAddr) {
        for bucket in &mut self.buckets {
            bucket.failed(address);
        }
    }

    /// Whether it has a place and answered lately.
    pub(crate) fn is_good(&self, now: Instant, address: SocketAddr) -> bool {
        let mut entries = self.entries();
        entries.any(|entry| entry.contact.address == address && entry.is_good(now))
    }

    /// The nodes closest to a name, closest first, none that owes two answers.
    pub(crate) fn closest(&self, target: &NodeId, most: usize) -> Vec<Contact> {
        let alive = self.entries().filter(|entry| !entry.is_bad());
        let mut contacts: Vec<_> = alive
            .map(|entry| (entry.contact.id.distance(target), entry.contact))
            .collect();
        if contacts.len() > most && most > 0 {
            contacts.select_nth_unstable(most - 1);
        }
        contacts.truncate(most);
        contacts.sort_unstable();
        contacts.into_iter().map(|(_, contact)| contact).collect()
    }

    /// Everyone in the table, bad ones too, in the order of the buckets.
    pub(crate) fn all(&self) -> impl Iterator<Item = Contact> {
        self.entries().map(|entry| entry.contact)
    }

    /// Everyone who is good.
    pub(crate) fn good(&self, now: Instant) -> impl Iterator<Item = Contact> {
        self.entries()
            .filter(move |entry| entry.is_good(now))
            .map(|entry| entry.contact)
    }

    /// Nodes that may be asked.
    pub(crate) fn len(&self) -> usize {
        self.entries().filter(|entry| !entry.is_bad()).count()
    }

    /// Who should be pinged now: who owes an answer first, then who was silent for longest.
    pub(crate) fn stale(&mut self, now: Instant) -> Option<Contact> {
        let entries = self.buckets.iter_mut().flat_map(|bucket| &mut bucket.nodes);
        let stale = entries.filter(|entry| entry.wants_ping(now));
        let entry = stale.min_by_key(|entry| (entry.fails == 0, entry.heard()))?;
        entry.pinged = Some(now);
        Some(entry.contact)
    }

    /// A name in a bucket that nothing happened in for long, or that was never filled.
    pub(crate) fn unrefreshed(&mut self, now: Instant, rng: &mut Rng) -> Option<NodeId> {
        let last = self.buckets.len() - 1;
        let mut buckets = self.buckets.iter_mut().enumerate();
        let (index, bucket) = buckets.find(|(index, bucket)| {
            let never_filled = !bucket.refreshed && *index != last && bucket.has_room();
            never_filled || now >= bucket.changed + REFRESH_EVERY
        })?;
        bucket.changed = now;
        bucket.refreshed = true;
        Some(self.own.sibling(index, rng))
    }

    fn insert(&mut self, now: Instant, entry: Entry) {
        if entry.contact.id == self.own {
            return;
        }
        loop {
            let index = self.index(&entry.contact.id);
            if !self.subnet_has_room(&self.buckets[index], entry.contact.address) {
                return;
            }
            let last = self.buckets.len() - 1;
            let bucket = &mut self.buckets[index];
            if bucket.take(now, entry) {
                return;
            }
            if index < last || self.buckets.len() == NodeId::BITS {
                self.buckets[index].take_or_spare(now, entry);
                return;
            }
            self.split(now);
        }
    }

    /// Divides the last bucket: our own name is in its far half.
    fn split(&mut self, now: Instant) {
        let bits = self.buckets.len() - 1;
        let own = self.own;
        let farther = |entry: &Entry| entry.contact.id.common_bits(&own) == bits;
        let near = self.buckets[bits].divide(now, farther);
        self.buckets.push(near);
    }

    fn subnet_has_room(&self, bucket: &Bucket, address: SocketAddr) -> bool {
        let Some(subnet) = Subnet::of(address) else {
            return true;
        };
        let of_it = |entry: &&Entry| Subnet::of(entry.contact.address) == Some(subnet);
        let in_bucket = bucket.nodes.iter().filter(of_it).count();
        let in_table = self.entries().filter(of_it).count();
        in_bucket < BUCKET_OF_SUBNET_MAX && in_table < TABLE_OF_SUBNET_MAX
    }

    fn index(&self, id: &NodeId) -> usize {
        self.own.common_bits(id).min(self.buckets.len() - 1)
    }

    fn bucket_of(&mut self, id: &NodeId) -> &mut Bucket {
        let index = self.index(id);
        &mut self.buckets[index]
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.buckets.iter().flat_map(|bucket| &bucket.nodes)
    }
}

const _: () = assert!(K >= BUCKET_OF_SUBNET_MAX);

#[cfg(test)]
mod tests;
