//! Our queries: tasks begin, go on and end; answers find what they belong to. BEP 5.

use std::net::SocketAddr;
use std::time::Instant;

use crate::address::{Family, is_local, is_usable};
use crate::calls::{Call, Purpose};
use crate::id::{Contact, NodeId};
use crate::io::{Event, LookupKey, Outcome, Task};
use crate::krpc::{Body, Message, Method, Query, Response};
use crate::limits::{K, LOOKUPS_MAX, LOOKUPS_WAITING_MAX};

use super::job::{Job, merge, pong, target};
use super::side::Search;
use super::{JobKey, Node, VERSION};

/// What came of a query.
enum Reply<'a> {
    Response(&'a Response<'a>),
    Error(i64, &'a [u8]),
    Nothing,
}

impl Node {
    pub(super) fn start(&mut self, now: Instant, key: LookupKey, task: Task) {
        if let Task::Ping { address } = task {
            let address = crate::address::canonical(address);
            if !is_usable(address) || !self.ask(now, address, None, Purpose::Ping(key)) {
                self.finished(key, Outcome::default());
            }
            return;
        }
        if let Task::Put {
            item,
            republish: true,
            ..
        } = &task
        {
            self.publish(now, item.clone());
        }
        let full = |side: &super::Side| side.waiting.len() >= LOOKUPS_WAITING_MAX;
        if self.sides.is_empty() || self.sides.iter().any(full) {
            self.finished(key, Outcome::default());
            return;
        }
        self.open
            .insert(key, (self.sides.len(), Outcome::default()));
        for side in &mut self.sides {
            side.waiting.push_back((JobKey::User(key), task.clone()));
        }
    }

    pub(super) fn cancel(&mut self, key: LookupKey) {
        self.open.remove(&key);
        for side in &mut self.sides {
            side.waiting
                .retain(|(waiting, _)| *waiting != JobKey::User(key));
        }
        for family in Family::BOTH {
            self.jobs.remove(&(JobKey::User(key), family));
        }
    }

    /// Begins a task of the node's own at once, in one family.
    pub(super) fn start_own(&mut self, now: Instant, family: Family, task: Task) -> JobKey {
        self.own_jobs += 1;
        let key = JobKey::Own(self.own_jobs);
        self.begin(now, key, family, task);
        key
    }

    fn begin(&mut self, now: Instant, key: JobKey, family: Family, task: Task) {
        let Some(side) = self.side(family) else {
            return;
        };
        let mut job = Job::new(task, side.table.own(), family, now);
        job.lookup
            .start_from(side.table.closest(&target(&job.task), 2 * K));
        self.jobs.insert((key, family), job);
    }

    /// Begins what may begin, sends what may be sent, ends what is over.
    pub(super) fn pump(&mut self, now: Instant) {
        self.held = None;
        self.admit(now);
        let keys: Vec<_> = self.jobs.keys().copied().collect();
        for key in keys {
            self.pump_job(now, key);
        }
    }

    fn admit(&mut self, now: Instant) {
        for family in Family::BOTH {
            let of_user =
                |(key, at): &&(JobKey, Family)| *at == family && matches!(key, JobKey::User(_));
            let mut running = self.jobs.keys().filter(of_user).count();
            while running < LOOKUPS_MAX {
                let Some(side) = self.side_mut(family).filter(|side| side.is_ready()) else {
                    break;
                };
                let Some((key, task)) = side.waiting.pop_front() else {
                    break;
                };
                self.begin(now, key, family, task);
                running += 1;
            }
        }
    }

    fn pump_job(&mut self, now: Instant, key: (JobKey, Family)) {
        let slow_after = self.calls.slow_after();
        // Taken out, so that it can speak while the node sends.
        let Some(mut job) = self.jobs.remove(&key) else {
            return;
        };
        if !job.search_is_over(now, slow_after) {
            while let Some(step) = job.lookup.next(now, slow_after) {
                let method = job.question();
                if !self.send_query(now, step.to, step.id, Purpose::Lookup(key.0), method) {
                    break;
                }
                job.lookup.asked(now, &step);
            }
        }
        if job.search_is_over(now, slow_after) {
            while let Some(place) = job.next_place() {
                let contact = place.contact;
                let sent = job.statement(&place).is_some_and(|method| {
                    let purpose = Purpose::Store(key.0);
                    self.send_query(now, contact.address, Some(contact.id), purpose, method)
                });
                if !sent {
                    job.put_back(place);
                    break;
                }
            }
        }
        if job.is_over() {
            self.over(now, key, job);
        } else {
            self.jobs.insert(key, job);
        }
    }

    fn over(&mut self, now: Instant, (key, family): (JobKey, Family), job: Job) {
        let is_search = job.is_search;
        if let JobKey::User(key) = key
            && let Some((left, outcome)) = self.open.get_mut(&key)
        {
            *left -= 1;
            merge(outcome, job.outcome(now));
            if *left == 0
                && let Some((_, outcome)) = self.open.remove(&key)
            {
                self.finished(key, outcome);
            }
        }
        if is_search && let Some(side) = self.side_mut(family) {
            let is_first = side.search == Search::Running;
            side.search_is_over(now);
            let nodes = side.table.len();
            if is_first {
                self.event(Event::Bootstrapped { family, nodes });
            }
        }
    }

    fn finished(&mut self, key: LookupKey, outcome: Outcome) {
        self.event(Event::Finished { key, outcome });
    }

    /// Pings an address.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        to: SocketAddr,
        id: Option<NodeId>,
        purpose: Purpose,
    ) -> bool {
        self.send_query(now, to, id, purpose, Method::Ping)
    }

    /// `false` when nothing more may go out now, or not to that family.
    fn send_query(
        &mut self,
        now: Instant,
        to: SocketAddr,
        id: Option<NodeId>,
        purpose: Purpose,
        method: Method<'_>,
    ) -> bool {
        let Some(own) = self.side(Family::of(to)).map(|side| side.table.own()) else {
            return false;
        };
        if !self.calls.may_send(now) {
            self.held = Some(self.calls.ready());
            return false;
        }
        let mut transaction = self.secret.transaction();
        while self.calls.is_out(&transaction) {
            transaction = self.secret.transaction();
        }
        let message = Message {
            transaction: &transaction,
            body: Body::Query(Query { id: own, method }),
            version: Some(VERSION),
            ip: None,
            read_only: self.read_only,
        };
        let bytes = message.encode();
        let call = Call {
            to,
            id,
            purpose,
            sent: now,
        };
        self.calls.add(transaction, call);
        self.counts.queries_out += 1;
        if !self.sources.is_verified(now, to) {
            self.sources.sent(to, bytes.len());
        }
        self.send(to, bytes);
        true
    }

    /// Something came that says it is an answer.
    pub(super) fn told(&mut self, now: Instant, from: SocketAddr, message: &Message<'_>) {
        let Some(call) = self.calls.take(message.transaction, from) else {
            self.counts.stray += 1;
            return;
        };
        self.counts.answers_in += 1;
        self.sources.answered(now, from);
        self.calls.took(now.saturating_duration_since(call.sent));
        if let Some(ip) = message.ip {
            self.vote(now, from, ip);
        }
        match &message.body {
            Body::Response(response) => {
                let contact = Contact {
                    id: response.id,
                    address: from,
                };
                self.answered(now, contact, response, message.read_only);
                self.settle(now, call, Reply::Response(response));
            }
            Body::Error(error) => self.settle(now, call, Reply::Error(error.code, error.text)),
            Body::Query(_) | Body::BadQuery(_) => {}
        }
    }

    /// A node showed that it lives.
    fn answered(
        &mut self,
        now: Instant,
        contact: Contact,
        response: &Response<'_>,
        read_only: bool,
    ) {
        let serves_all = self.routers.contains(&contact.address);
        let is_kept = !read_only && (!serves_all || is_local(contact.address.ip()));
        let Some(side) = self.side_mut(Family::of(contact.address)) else {
            return;
        };
        if is_kept {
            side.table.answered(now, contact);
        }
        // Nodes of the other family, which may have none yet.
        let others = [&response.nodes, &response.nodes6];
        let others = others.into_iter().flatten().flatten();
        let others = others.filter(|node| node.address.is_ipv4() != contact.address.is_ipv4());
        let others: Vec<_> = others.take(K / 2).map(|node| node.address).collect();
        for address in others {
            let side = self.side(Family::of(address));
            let is_poor = side.is_some_and(|side| side.table.len() < K);
            if is_poor && crate::address::may_name(contact.address, address) {
                self.ask(now, address, None, Purpose::Upkeep);
            }
        }
    }

    /// What a query was for gets what came of it.
    fn settle(&mut self, now: Instant, call: Call, reply: Reply<'_>) {
        let family = Family::of(call.to);
        match call.purpose {
            Purpose::Upkeep => {}
            Purpose::Ping(key) => {
                let outcome = match reply {
                    Reply::Response(response) => {
                        let took = now.saturating_duration_since(call.sent);
                        pong(response.id, call.to, took)
                    }
                    Reply::Error(code, text) => Outcome {
                        queries: 1,
                        refused: Some((code, String::from_utf8_lossy(text).into_owned())),
                        ..Outcome::default()
                    },
                    Reply::Nothing => Outcome {
                        queries: 1,
                        ..Outcome::default()
                    },
                };
                self.finished(key, outcome);
            }
            Purpose::Lookup(key) => {
                let Some(job) = self.jobs.get_mut(&(key, family)) else {
                    return;
                };
                let Reply::Response(response) = reply else {
                    job.lookup.failed(call.to, call.id);
                    return;
                };
                let from = Contact {
                    id: response.id,
                    address: call.to,
                };
                let user = match key {
                    JobKey::User(key) => Some(key),
                    JobKey::Own(_) => None,
                };
                if let Some(event) = job.answered(user, from, call.id, response) {
                    self.event(event);
                }
            }
            Purpose::Store(key) => {
                if let Some(job) = self.jobs.get_mut(&(key, family)) {
                    job.stored(match reply {
                        Reply::Response(_) => Ok(()),
                        Reply::Nothing => Err(None),
                        Reply::Error(code, text) => {
                            Err(Some((code, String::from_utf8_lossy(text).into_owned())))
                        }
                    });
                }
            }
        }
    }

    /// Queries that nobody answered.
    pub(super) fn expire_calls(&mut self, now: Instant) {
        while let Some(call) = self.calls.expired(now) {
            self.counts.timeouts += 1;
            if let Some(side) = self.side_mut(Family::of(call.to)) {
                side.table.failed(call.to);
            }
            self.settle(now, call, Reply::Nothing);
        }
    }

    /// Begins to look for nodes where there are none, or few.
    pub(super) fn bootstrap(&mut self, now: Instant) {
        for family in Family::BOTH {
            let routers = self.routers.iter().copied();
            let routers: Vec<_> = routers.filter(|to| Family::of(*to) == family).collect();
            let Some(side) = self.side_mut(family) else {
                continue;
            };
            let nothing = routers.is_empty() && side.known.is_empty() && side.table.len() == 0;
            if side.wants_search(now) && !nothing {
                self.search(now, family, routers);
            }
        }
    }

    /// Looks for the nodes closest to ourselves, or some far ones, and fills the table on the way.
    /// BEP 5.
    pub(super) fn search(&mut self, now: Instant, family: Family, routers: Vec<SocketAddr>) {
        let dual = self.sides.len() == 2;
        let Some(side) = self.sides.iter_mut().find(|side| side.family == family) else {
            return;
        };
        let (target, mut known) = (side.search_begins(&mut self.rng), side.known.clone());
        // When all seem dead, it may have been our own line.
        known.extend(side.table.all());
        let key = self.start_own(now, family, Task::FindNode { target });
        if let Some(job) = self.jobs.get_mut(&(key, family)) {
            job.wants_both = dual;
            job.is_search = true;
            job.lookup.start_from(known);
            job.lookup.start_at(routers);
        }
    }
}
