//! What is new, and everything again: to the store.

use std::collections::BTreeMap;
use std::time::Instant;

use redis::Cmd;
use shoal_metainfo::InfoHash;

use super::Link;
use crate::limits;
use crate::registry::{Heard, Kind};
use crate::store::StoreEvent;
use crate::store::nodes::Outcome;
use crate::store::words::{Telling, number};

/// Commands for one server, and what they are about.
#[derive(Default)]
struct Batch {
    commands: Vec<Cmd>,
    about: Vec<About>,
    peers: usize,
}

struct About {
    info_hash: InfoHash,
    peers: Vec<Heard>,
    completed_more: u32,
}

/// What a batch could not tell.
type Left = Vec<About>;

impl Link<'_> {
    /// Takes what is new out of the table.
    pub(super) fn take(&mut self, now: Instant) {
        self.pending.grow_old(now);
        for outgoing in self.table.outgoing(now) {
            self.dropped += outgoing.dropped;
            for (info_hash, mut peers) in outgoing.peers {
                self.followed.asked(info_hash, now);
                peers.retain(|heard| self.scope.takes(&heard.address));
                if !peers.is_empty() {
                    let pending = self.pending.peers.entry(info_hash).or_default();
                    pending.extend(peers);
                }
            }
            for (info_hash, more) in outgoing.completed {
                self.pending.count(info_hash, more);
            }
        }
    }

    /// Tells what is in hand; what a server that is away should have got stays in hand.
    pub(super) fn tell(&mut self) {
        self.pending.grow_old(Instant::now());
        let peers = std::mem::take(&mut self.pending.peers);
        let mut completed = std::mem::take(&mut self.pending.completed);
        let mut batches = BTreeMap::<usize, Batch>::new();
        let mut left = Left::new();
        let counted: Vec<_> = completed
            .keys()
            .filter(|hash| !peers.contains_key(hash))
            .map(|hash| (*hash, Vec::new()))
            .collect();
        for (info_hash, mut peers) in peers.into_iter().chain(counted) {
            let mut more = completed.remove(&info_hash).unwrap_or(0);
            loop {
                let rest = peers.split_off(peers.len().min(limits::STORE_WRITE_PEERS));
                let about = About {
                    info_hash,
                    peers,
                    completed_more: std::mem::take(&mut more),
                };
                // What has waited for long is not news: others must look at all there is.
                let fresh = 2 * self.every.as_secs() + 5;
                let old = |heard: &Heard| u64::from(heard.age) > fresh;
                let is_old = about.peers.iter().any(old);
                self.add(about, is_old, &mut batches, &mut left);
                if rest.is_empty() {
                    break;
                }
                peers = rest;
            }
        }
        for (place, batch) in batches {
            self.send(place, batch, &mut left);
        }
        let mut room = limits::STORE_PENDING_MAX;
        for About {
            info_hash,
            mut peers,
            completed_more,
        } in left
        {
            let place = self.nodes.of(&info_hash);
            if place.is_none_or(|place| self.nodes.scripts(place).is_none()) {
                // Who is there it is told again when it is back; who has gone, only from here.
                peers.retain(|heard| heard.kind == Kind::Gone);
            }
            self.dropped += peers.len().saturating_sub(room) as u64;
            peers.truncate(room);
            room -= peers.len();
            if !peers.is_empty() {
                let pending = self.pending.peers.entry(info_hash).or_default();
                pending.extend(peers);
            }
            self.pending.count(info_hash, completed_more);
        }
    }

    /// Puts a command into the batch of its server, and sends that when it is full.
    fn add(
        &mut self,
        about: About,
        is_old: bool,
        batches: &mut BTreeMap<usize, Batch>,
        left: &mut Left,
    ) {
        let Some((place, scripts)) = self
            .nodes
            .of(&about.info_hash)
            .and_then(|place| Some((place, self.nodes.scripts(place)?)))
        else {
            left.push(about);
            return;
        };
        let completed = match about.completed_more {
            0 => 0,
            more => {
                let known = self.table.completed_told(&about.info_hash);
                known.saturating_sub(more)
            }
        };
        let telling = Telling {
            info_hash: &about.info_hash,
            peers: &about.peers,
            life: self.life,
            is_old,
            completed,
            completed_more: about.completed_more,
        };
        let command = telling.command(scripts);
        let batch = batches.entry(place).or_default();
        batch.push(command, about);
        if batch.is_full() {
            let batch = std::mem::take(batch);
            self.send(place, batch, left);
        }
    }

    fn send(&mut self, place: usize, batch: Batch, left: &mut Left) {
        let now = Instant::now();
        let outcomes = self.nodes.ask(place, batch.commands);
        for (outcome, about) in outcomes.into_iter().zip(batch.about) {
            match outcome {
                Outcome::Answered(sum) => {
                    let sum = number(&sum).and_then(|sum| u32::try_from(sum).ok());
                    if let Some(sum @ 1..) = sum {
                        self.table.merge(now, &about.info_hash, &[], sum);
                    }
                }
                Outcome::Refused(why) => self.refuse(why),
                Outcome::Lost => left.push(about),
            }
        }
    }

    /// Tells a part of everything again, when the store was away.
    pub(super) fn tell_again(&mut self) {
        if !self.repair.is_on {
            return;
        }
        let mut budget = limits::STORE_REPAIR_PEERS;
        let mut batches = BTreeMap::<usize, Batch>::new();
        let mut left = Left::new();
        while budget > 0
            && let Some(info_hash) = self.repair.torrents.pop()
        {
            let Some((mut peers, completed)) = self.table.own(Instant::now(), &info_hash) else {
                continue;
            };
            peers.retain(|heard| self.scope.takes(&heard.address));
            budget = budget.saturating_sub(peers.len() + 1);
            let chunks = peers.chunks(limits::STORE_WRITE_PEERS);
            let empty: &[Heard] = &[];
            // Its count is told even if nobody is there.
            let counted = (peers.is_empty() && completed > 0).then_some(empty);
            for peers in chunks.chain(counted) {
                let Some(place) = self.nodes.of(&info_hash) else {
                    continue;
                };
                let Some(scripts) = self.nodes.scripts(place) else {
                    // Its server will be told when it is there again.
                    continue;
                };
                let telling = Telling {
                    info_hash: &info_hash,
                    peers,
                    life: self.life,
                    is_old: true,
                    completed,
                    completed_more: 0,
                };
                let command = telling.command(scripts);
                let about = About {
                    info_hash,
                    peers: peers.to_vec(),
                    completed_more: 0,
                };
                self.repair.told += peers.len() as u64;
                let batch = batches.entry(place).or_default();
                batch.push(command, about);
                if batch.is_full() {
                    let batch = std::mem::take(batch);
                    self.send(place, batch, &mut left);
                }
            }
        }
        for (place, batch) in batches {
            self.send(place, batch, &mut left);
        }
        // A server may answer before its cluster lets it work.
        for about in left {
            self.repair.told -= about.peers.len() as u64;
            self.repair.torrents.push(about.info_hash);
        }
        self.repair.torrents.dedup();
        if self.repair.torrents.is_empty() && self.nodes.are_all_there() {
            let peers = std::mem::take(&mut self.repair).told;
            self.event(StoreEvent::Repaired { peers });
        }
    }
}

impl Batch {
    fn push(&mut self, command: Cmd, about: About) {
        self.peers += about.peers.len() + 1;
        self.commands.push(command);
        self.about.push(about);
    }

    fn is_full(&self) -> bool {
        self.peers >= limits::STORE_WRITE_AT_ONCE
    }
}
