//! A tracker's answer to a packet. BEP 15, 41, BEP 7.
//!
//! One packet in, one or none out, never more bytes than came from one who has not proved its
//! address. Sans-io: sockets and threads are the server's, the clock is an argument.
//!
//! ```text
//! fewer than 16 bytes ─────────────────────────▶ nothing
//! connect ─────────────────────────────────────▶ a connection id: 16 bytes for 16
//! anything else ──▶ is the id good? ──no───────▶ nothing
//!                          └────yes────────────▶ answer, or an error
//! ```

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use shoal_metainfo::InfoHash;

use super::connection_ids::ConnectionIds;
use super::options::Options;
use super::packet::{self, Counts, Head, Request, TransactionId};
use crate::announce::AnnounceRequest;
use crate::limits;
use crate::policy::{Errand, Pass, Policy, PolicyRefusal, errand};
use crate::registry::{Answer, Change, Families, Registry};

/// Answers packets; one for each thread.
#[derive(Debug)]
pub struct Responder {
    ids: ConnectionIds,
    policy: Arc<Policy>,
    /// Used again for each announce.
    answer: Answer,
}

impl Responder {
    /// One that lets in whom the policy lets in.
    #[must_use]
    pub fn new(ids: ConnectionIds, policy: Arc<Policy>) -> Self {
        Self {
            ids,
            policy,
            answer: Answer::default(),
        }
    }

    /// Appends the answer to a packet from that address to `out`; nothing when it deserves none.
    /// Returns a change that people look at.
    pub fn respond(
        &mut self,
        now: Instant,
        packet: &[u8],
        from: IpAddr,
        registry: &Registry,
        out: &mut Vec<u8>,
    ) -> Option<Change> {
        let head = Head::decode(packet)?;
        let ip = from.to_canonical();
        if head.is_connect() {
            let id = self.ids.issue(now, ip);
            out.extend_from_slice(&packet::connect_response(head.transaction, id));
            return None;
        }
        if !self.ids.accepts(now, ip, head.connection) {
            return None;
        }
        match Request::decode(packet) {
            Ok(Request::Announce { request, options }) => {
                return self.announce(now, head.transaction, request, options, ip, registry, out);
            }
            Ok(Request::Scrape(_)) if self.policy.is_private() => {
                refuse(head.transaction, &PolicyRefusal::UdpScrape, out);
            }
            Ok(Request::Scrape(hashes)) => scrape(head.transaction, hashes, registry, out),
            // Asked for above.
            Ok(Request::Connect) => {}
            Err(error) => refuse(head.transaction, &error, out),
        }
        None
    }

    #[expect(clippy::too_many_arguments, reason = "a packet and where it goes")]
    fn announce(
        &mut self,
        now: Instant,
        transaction: TransactionId,
        mut request: AnnounceRequest,
        options: Options<'_>,
        ip: IpAddr,
        registry: &Registry,
        out: &mut Vec<u8>,
    ) -> Option<Change> {
        if ip.is_ipv6() {
            // Such as fit; who leaves it to us is given as many.
            let max = limits::UDP_PEERS_V6_MAX;
            request.numwant = Some(request.numwant.map_or(max, |wanted| wanted.min(max)));
        }
        let pass = match self.enter(now, &request, options) {
            Ok(pass) => pass,
            Err(refusal) => {
                refuse(transaction, &refusal, out);
                return None;
            }
        };
        let answer = &mut self.answer;
        if let Err(refusal) = registry.answer(now, &request, ip, Families::Own, answer) {
            pass.give_back();
            refuse(transaction, &refusal, out);
            return None;
        }
        let [leechers, seeders] =
            [answer.leechers, answer.seeders].map(|count| u32::try_from(count).unwrap_or(u32::MAX));
        let interval = answer.interval(self.policy.interval());
        let head = packet::announce_head(transaction, interval, leechers, seeders);
        out.extend_from_slice(&head);
        // One of them is empty.
        out.extend_from_slice(&answer.peers_v4);
        out.extend_from_slice(&answer.peers_v6);
        answer.told(&request, ip)
    }

    /// Only a private tracker looks at the path, for the passkey in it.
    fn enter(
        &self,
        now: Instant,
        request: &AnnounceRequest,
        options: Options<'_>,
    ) -> Result<Pass, PolicyRefusal> {
        if !self.policy.is_private() {
            return self.policy.enter(now, request, None);
        }
        let mut buffer = [0; limits::UDP_REQUEST_BYTES_MAX];
        let path = options.url(&mut buffer).unwrap_or_default();
        let key = errand(path).filter(|(errand, _)| *errand == Errand::Announce);
        self.policy.enter(now, request, key.map(|(_, key)| key))
    }
}

/// Unknown torrents have no peers: BEP 15 has no other way to say so.
fn scrape(transaction: TransactionId, hashes: &[[u8; 20]], registry: &Registry, out: &mut Vec<u8>) {
    out.extend_from_slice(&packet::scrape_head(transaction));
    for hash in hashes {
        let entry = registry.scrape_one(&InfoHash(*hash));
        let counts = entry.map_or((0, 0, 0), |e| (e.seeders, e.completed, e.leechers));
        let (seeders, completed, leechers) = counts;
        let counts = Counts {
            seeders,
            completed,
            leechers,
        };
        out.extend_from_slice(&counts.encode());
    }
}

fn refuse(transaction: TransactionId, why: &dyn std::fmt::Display, out: &mut Vec<u8>) {
    out.extend_from_slice(&packet::error_head(transaction));
    out.extend_from_slice(why.to_string().as_bytes());
}

#[cfg(test)]
mod tests;
