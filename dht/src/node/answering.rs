//! Queries of others, and what they are answered. BEP 5, 32, 33, 42, 44, 51.
//!
//! An answer never has more bytes than its asker may be sent: what does not fit is left out, nodes
//! and peers before anything else.

use std::net::SocketAddr;
use std::time::Instant;

use shoal_metainfo::InfoHash;

use crate::address::Family;
use crate::bloom::Bloom;
use crate::calls::Purpose;
use crate::id::{Contact, NodeId};
use crate::item::{Item, ItemError, Signed};
use crate::items::PutRefused;
use crate::krpc::{Body, ErrorReply, Message, Method, Query, Response, SignedPut, Want, code};
use crate::limits::{K, PEERS_OF_TORRENT_MAX, REPLY_LENGTH_MAX, SAMPLE_EVERY};

use super::{Node, VERSION};

/// Bytes of a ping of ours.
const PING_LENGTH: usize = 67;
/// Bytes of two filters with their keys. BEP 33.
const FILTERS_LENGTH: usize = 2 * (6 + 4 + 256);
/// Bytes around `nodes6`, around `values`, rounded up.
const KEY_LENGTH: usize = 14;

type Refusal = (i64, &'static str);

impl Node {
    /// Answers a query; `None` when it is not answered at all.
    pub(super) fn asked(
        &mut self,
        now: Instant,
        from: SocketAddr,
        message: &Message<'_>,
        length: usize,
    ) -> Option<()> {
        if self.side(Family::of(from))?.table.is_good(now, from) {
            self.sources.verified(now, from);
        }
        let mut room = self.sources.asked(now, from, length)?;
        let newcomer = self.newcomer(now, from, message);
        if newcomer.is_some() && !self.sources.is_verified(now, from) {
            // What came pays for the answer and for the ping.
            room = room.saturating_sub(PING_LENGTH);
        }
        let reply = match &message.body {
            Body::Query(query) => {
                let reply = self.reply(now, from, query, message.transaction, room);
                reply.or_else(|(number, text)| {
                    let reply = refusal(message.transaction, from, number, text);
                    (reply.len() <= room).then_some(reply).ok_or(())
                })
            }
            Body::BadQuery(fault) => {
                let text = fault.to_string();
                let reply = refusal(message.transaction, from, fault.code(), &text);
                (reply.len() <= room).then_some(reply).ok_or(())
            }
            Body::Response(_) | Body::Error(_) => Err(()),
        };
        let reply = reply.ok()?;
        if !self.sources.is_verified(now, from) {
            self.sources.sent(from, reply.len());
        }
        self.send(from, reply);
        if newcomer.is_some() && self.sources.may_ask(now, from, PING_LENGTH) {
            self.ask(now, from, newcomer, Purpose::Upkeep);
        }
        Some(())
    }

    /// The name of who asks, when it may be worth a place and should be pinged.
    fn newcomer(
        &mut self,
        now: Instant,
        from: SocketAddr,
        message: &Message<'_>,
    ) -> Option<NodeId> {
        let Body::Query(Query { id, .. }) = message.body else {
            return None;
        };
        let contact = Contact { id, address: from };
        let side = self.side_mut(Family::of(from))?;
        (!message.read_only && side.table.asked(now, contact)).then_some(id)
    }

    /// The bytes of an answer within `room`.
    fn reply(
        &mut self,
        now: Instant,
        from: SocketAddr,
        query: &Query<'_>,
        transaction: &[u8],
        room: usize,
    ) -> Result<Vec<u8>, Refusal> {
        let family = Family::of(from);
        let own = self.side(family).map_or(query.id, |side| side.table.own());
        let (mut response, token, item);
        response = Response::new(own);
        match &query.method {
            Method::Ping => {}
            Method::FindNode { target, want } => {
                self.tell_nodes(&mut response, family, *want, target)
            }
            Method::GetPeers {
                info_hash,
                want,
                no_seed,
                scrape,
            } => {
                let target = NodeId::from(*info_hash);
                self.tell_nodes(&mut response, family, *want, &target);
                token = self.secret.token(now, from.ip(), &target);
                // BEP 33: who gets no token announces elsewhere.
                response.token = self.peers.has_room(info_hash).then_some(&token[..]);
                let peers = &self.peers;
                let most = PEERS_OF_TORRENT_MAX.min(room / 8);
                response.values = peers.of(info_hash, family, *no_seed, most, &mut self.rng);
                if *scrape {
                    (response.seeds, response.peers) = self.filters(info_hash);
                }
            }
            Method::Get {
                target, seq, want, ..
            } => {
                self.tell_nodes(&mut response, family, *want, target);
                token = self.secret.token(now, from.ip(), target);
                response.token = Some(&token);
                item = self.items.get(target).cloned();
                if let Some(item) = &item {
                    tell_item(&mut response, item, *seq);
                }
            }
            Method::SampleInfohashes { target, want } => {
                self.tell_nodes(&mut response, family, *want, target);
                response.samples = Some(self.peers.sample(now, &mut self.rng).to_vec());
                response.num = u64::try_from(self.peers.size().0).ok();
                response.interval = Some(SAMPLE_EVERY);
            }
            Method::AnnouncePeer {
                info_hash,
                port,
                token,
                seed,
            } => {
                self.check_token(now, from, &NodeId::from(*info_hash), token)?;
                let peer = SocketAddr::new(from.ip(), port.unwrap_or(from.port()));
                self.peers.announce(now, *info_hash, peer, *seed);
            }
            Method::Put {
                token,
                value,
                signed,
            } => self.put(now, from, token, value, signed.as_ref())?,
        }
        fit(response, transaction, from, room).ok_or((code::GENERIC, "no room"))
    }

    /// The filters of seeds and of other peers, if there are any. BEP 33.
    fn filters(&self, info_hash: &InfoHash) -> (Option<Box<Bloom>>, Option<Box<Bloom>>) {
        let filters = self.peers.scrape(info_hash);
        let boxed = filters.map(|(seeds, peers)| (Box::new(seeds), Box::new(peers)));
        boxed.unzip()
    }

    /// The nodes closest to a name, of the families that are wanted. BEP 32.
    fn tell_nodes(
        &self,
        response: &mut Response<'_>,
        family: Family,
        want: Option<Want>,
        target: &NodeId,
    ) {
        let want = want.unwrap_or(Want {
            v4: family == Family::V4,
            v6: family == Family::V6,
        });
        let closest = |family| self.side(family).map(|side| side.table.closest(target, K));
        // A family that we do not serve has no nodes to tell of.
        response.nodes = want.v4.then(|| closest(Family::V4).unwrap_or_default());
        response.nodes6 = want.v6.then(|| closest(Family::V6).unwrap_or_default());
    }

    fn check_token(
        &mut self,
        now: Instant,
        from: SocketAddr,
        target: &NodeId,
        token: &[u8],
    ) -> Result<(), Refusal> {
        if !self.secret.is_token(now, from.ip(), target, token) {
            return Err((code::PROTOCOL, "bad token"));
        }
        // It got what we had sent.
        self.sources.verified(now, from);
        Ok(())
    }

    fn put(
        &mut self,
        now: Instant,
        from: SocketAddr,
        token: &[u8],
        value: &[u8],
        signed: Option<&SignedPut<'_>>,
    ) -> Result<(), Refusal> {
        let target = match signed {
            None => crate::item::immutable_target(value),
            Some(signed) => crate::item::mutable_target(signed.key, signed.salt),
        };
        // Before the signature, which is much work.
        self.check_token(now, from, &target, token)?;
        let value = value.to_vec();
        let item = match signed {
            None => Item::immutable(value),
            Some(signed) => Item::signed(
                value,
                Signed {
                    key: *signed.key,
                    salt: signed.salt.to_vec(),
                    seq: signed.seq,
                    sig: *signed.sig,
                },
            ),
        };
        let item = item.map_err(|error| match error {
            ItemError::BadSignature => (code::BAD_SIGNATURE, "bad signature"),
            ItemError::SaltTooLong(_) => (code::SALT_TOO_LONG, "salt is too long"),
            ItemError::ValueTooLong(_) => (code::VALUE_TOO_LONG, "value is too long"),
            _ => (code::PROTOCOL, "not an item"),
        })?;
        let own = self.side(Family::of(from)).map(|side| side.table.own());
        let cas = signed.and_then(|signed| signed.cas);
        let stored = self.items.put(now, &own.unwrap_or(target), item, cas);
        stored.map_err(|refused| match refused {
            PutRefused::CasMismatch => (code::CAS_MISMATCH, "another version is stored"),
            PutRefused::SeqTooLow => (code::SEQ_TOO_LOW, "a later version is stored"),
        })
    }
}

/// The item, unless the asker has this version.
fn tell_item<'a>(response: &mut Response<'a>, item: &'a Item, seq: Option<i64>) {
    response.seq = item.seq();
    if seq.is_some_and(|seq| item.seq().is_some_and(|ours| ours <= seq)) {
        return;
    }
    response.value = Some(item.value());
    if let Some(signed) = item.signature() {
        response.key = Some(&signed.key);
        response.sig = Some(&signed.sig);
    }
}

/// Leaves out what does not fit and encodes the rest.
fn fit(
    mut response: Response<'_>,
    transaction: &[u8],
    to: SocketAddr,
    room: usize,
) -> Option<Vec<u8>> {
    let room = if response.value.is_some() {
        room
    } else {
        room.min(REPLY_LENGTH_MAX)
    };
    let mut nodes = [response.nodes.take(), response.nodes6.take()];
    let mut values = std::mem::take(&mut response.values);
    let filters = (response.seeds.take(), response.peers.take());
    let empty = encode(&response, transaction, to).len();
    let mut left = room.checked_sub(empty);
    if left.is_none() {
        // The value goes, its version stays.
        (response.value, response.key, response.sig) = (None, None, None);
        response.samples = response.samples.map(|_| Vec::new());
        left = room.checked_sub(encode(&response, transaction, to).len());
    }
    let mut left = left?;
    if filters.0.is_some() && left >= FILTERS_LENGTH {
        (response.seeds, response.peers) = filters;
        left -= FILTERS_LENGTH;
    }
    let unit = if to.is_ipv4() { 8 } else { 21 };
    let peers_length = (values.len() * unit + KEY_LENGTH).min(left / 2);
    let mut for_nodes = if values.is_empty() {
        left
    } else {
        left - peers_length
    };
    for (nodes, unit) in nodes.iter_mut().zip([26, 38]) {
        let Some(found) = nodes else { continue };
        if for_nodes < KEY_LENGTH {
            *nodes = None;
            continue;
        }
        found.truncate((for_nodes - KEY_LENGTH) / unit);
        let length = KEY_LENGTH + found.len() * unit;
        for_nodes -= length;
        left -= length;
    }
    values.truncate(left.saturating_sub(KEY_LENGTH) / unit);
    [response.nodes, response.nodes6] = nodes;
    response.values = values;
    Some(encode(&response, transaction, to))
}

fn encode(response: &Response<'_>, transaction: &[u8], to: SocketAddr) -> Vec<u8> {
    let message = Message {
        transaction,
        body: Body::Response(response.clone()),
        version: Some(VERSION),
        ip: Some(to),
        read_only: false,
    };
    message.encode()
}

fn refusal(transaction: &[u8], to: SocketAddr, code: i64, text: &str) -> Vec<u8> {
    let text = text.as_bytes();
    let message = Message {
        transaction,
        body: Body::Error(ErrorReply { code, text }),
        version: Some(VERSION),
        ip: Some(to),
        read_only: false,
    };
    message.encode()
}
