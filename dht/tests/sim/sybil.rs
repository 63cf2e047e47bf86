//! Liars that answer with each other, each under a name close to whatever is looked for.
//!
//! They look like anybody until somebody searches: then each names eight others as the closest
//! nodes there are, and these answer under the names that were told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use shoal_dht::krpc::{Body, Message, Method, Query, Response, decode};
use shoal_dht::{Contact, NodeId};
use shoal_simulation::Rng;

/// All liars together: they tell each other everything.
#[derive(Default)]
pub(crate) struct Ring {
    ids: BTreeMap<SocketAddr, NodeId>,
    addresses: Vec<SocketAddr>,
    /// Who was told of whom as close to what.
    told: BTreeSet<(SocketAddr, NodeId, SocketAddr)>,
    pub(crate) lies: u64,
    turn: usize,
}

impl Ring {
    pub(crate) fn add(&mut self, address: SocketAddr, rng: &mut Rng) -> NodeId {
        let mut ids = fastrand::Rng::with_seed(rng.below(u64::MAX));
        let id = NodeId::for_ip(address.ip(), &mut ids);
        self.ids.insert(address, id);
        self.addresses.push(address);
        id
    }

    /// A query that makes a node known.
    pub(crate) fn hello(id: NodeId) -> Vec<u8> {
        message(
            b"aaaa",
            Body::Query(Query {
                id,
                method: Method::Ping,
            }),
        )
    }

    pub(crate) fn answer(
        &mut self,
        own: SocketAddr,
        from: SocketAddr,
        bytes: &[u8],
    ) -> Option<Vec<u8>> {
        let query = decode(bytes).ok()?;
        let transaction = query.transaction;
        let Body::Query(query) = query.body else {
            return None;
        };
        let target = match query.method {
            Method::FindNode { target, .. } | Method::Get { target, .. } => Some(target),
            Method::GetPeers { info_hash, .. } => Some(info_hash.into()),
            _ => None,
        };
        let mut response = Response::new(self.ids[&own]);
        if let Some(target) = target {
            if self.told.contains(&(from, target, own)) {
                response.id = near(target, own);
            }
            response.nodes = Some(self.eight(target, from));
            response.token = Some(b"lie");
            self.lies += 1;
        }
        Some(message(transaction, Body::Response(response)))
    }

    /// Eight of them, others each time.
    fn eight(&mut self, target: NodeId, asker: SocketAddr) -> Vec<Contact> {
        let count = self.addresses.len();
        self.turn += 8;
        let chosen = (0..8).map(|step| self.addresses[(self.turn + step * 53) % count]);
        let chosen: Vec<_> = chosen.collect();
        for address in &chosen {
            self.told.insert((asker, target, *address));
        }
        let contact = |address| Contact {
            id: near(target, address),
            address,
        };
        chosen.into_iter().map(contact).collect()
    }
}

/// The name under which a liar stands beside a target.
fn near(target: NodeId, address: SocketAddr) -> NodeId {
    let mut id = target;
    let std::net::IpAddr::V4(ip) = address.ip() else {
        return id;
    };
    id.0[16..].copy_from_slice(&ip.octets());
    id
}

fn message(transaction: &[u8], body: Body<'_>) -> Vec<u8> {
    let message = Message {
        transaction,
        body,
        version: None,
        ip: None,
        read_only: false,
    };
    message.encode()
}
