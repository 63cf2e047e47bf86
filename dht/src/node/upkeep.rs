//! What a node does unasked: fresh tables, a name that fits, items put again. BEP 5, 42, 44.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::address::{Family, Host, is_usable};
use crate::calls::Purpose;
use crate::id::NodeId;
use crate::io::{Event, Output, Task};
use crate::item::Item;
use crate::limits::{PERSIST_EVERY, PUBLISHED_MAX, REPUBLISH_EVERY, UPKEEP_EVERY};

use super::{JobKey, Node};

/// How often what is stored is looked through.
const EXPIRE_EVERY: Duration = Duration::from_secs(60);

impl Node {
    /// Does what is due.
    pub(super) fn upkeep(&mut self, now: Instant) {
        if now < self.upkeep {
            return;
        }
        self.upkeep = now + UPKEEP_EVERY;
        for family in Family::BOTH {
            self.freshen(now, family);
        }
        self.bootstrap(now);
        self.republish(now);
        self.sources.expire(now);
        if now >= self.expiry {
            self.expiry = now + EXPIRE_EVERY;
            self.peers.expire(now);
            self.items.expire(now);
        }
        if now >= self.persist {
            self.persist = now + PERSIST_EVERY;
            self.outputs.push_back(Output::Persist);
        }
    }

    /// Pings one silent node and looks into one silent bucket.
    fn freshen(&mut self, now: Instant, family: Family) {
        let own = |key: &(JobKey, Family)| key.1 == family && matches!(key.0, JobKey::Own(_));
        let busy = self.jobs.keys().any(own);
        let Some(side) = self.sides.iter_mut().find(|side| side.family == family) else {
            return;
        };
        let stale = side.table.stale(now);
        let refresh = match !busy && side.table.len() > 0 {
            true => side.table.unrefreshed(now, &mut self.rng),
            false => None,
        };
        if let Some(contact) = stale {
            self.ask(now, contact.address, Some(contact.id), Purpose::Upkeep);
        }
        if let Some(target) = refresh {
            self.start_own(now, family, Task::FindNode { target });
        }
    }

    /// An item of ours, to be put every hour.
    pub(super) fn publish(&mut self, now: Instant, item: Item) {
        let target = item.target();
        if self.published.len() < PUBLISHED_MAX || self.published.contains_key(&target) {
            self.published.insert(target, (item, now + REPUBLISH_EVERY));
        }
    }

    fn republish(&mut self, now: Instant) {
        let mut published = self.published.values_mut();
        let Some((item, due)) = published.find(|(_, due)| now >= *due) else {
            return;
        };
        *due = now + REPUBLISH_EVERY;
        let task = Task::Put {
            item: item.clone(),
            cas: None,
            republish: false,
        };
        for family in Family::BOTH {
            self.start_own(now, family, task.clone());
        }
    }

    /// Somebody says that there is a node. BEP 5 `port`.
    pub(super) fn heard(&mut self, now: Instant, address: SocketAddr) {
        let Some(side) = self.side(Family::of(address)) else {
            return;
        };
        let host = Host::of(address);
        let is_known = side
            .table
            .all()
            .any(|known| Host::of(known.address) == host);
        if is_usable(address) && !is_known {
            self.ask(now, address, None, Purpose::Upkeep);
        }
    }

    /// Somebody says what our address is. When enough agree and our name does not fit it, we take
    /// one that does. BEP 42.
    pub(super) fn vote(&mut self, now: Instant, voter: SocketAddr, told: SocketAddr) {
        let family = Family::of(voter);
        let ip: IpAddr = told.ip().to_canonical();
        let Some(side) = self.sides.iter_mut().find(|side| side.family == family) else {
            return;
        };
        let Some(ip) = side.votes.vote(voter, ip) else {
            return;
        };
        let rename = !side.table.own().fits(ip);
        if rename {
            let id = NodeId::for_ip(ip, &mut self.rng);
            side.table = side.table.renamed(id, now);
        }
        self.event(Event::ExternalAddress { ip });
        if rename {
            self.search(now, family, Vec::new());
        }
    }
}
