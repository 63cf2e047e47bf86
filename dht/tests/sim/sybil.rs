//! Liars that answer with each other, each under a name close to whatever is looked for.
//!
//! They look like anybody until somebody searches: then each names eight others as the closest
//! nodes there are, and these answer under the names that were told. A ring of [`Names::Chosen`]
//! stands beside every target, under names that fit no address (BEP 42); one of [`Names::Fitting`]
//! takes of the names that fit its many addresses those that are closest.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use shoal_dht::krpc::{Body, Message, Method, Query, Response, decode};
use shoal_dht::{Contact, NodeId};
use shoal_simulation::Rng;

/// Under which names they answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Names {
    #[default]
    Chosen,
    Fitting,
}

/// All liars together: they tell each other everything.
#[derive(Default)]
pub(crate) struct Ring {
    pub(crate) names: Names,
    /// The names that fit each address, but for the bits that anybody may choose.
    fitting: BTreeMap<SocketAddr, Vec<NodeId>>,
    /// Who comes closest to what was looked for.
    best: BTreeMap<NodeId, Vec<SocketAddr>>,
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
        // Three bits of the last byte decide: eight names, of each the first 21 bits.
        let mut eight = BTreeMap::new();
        while eight.len() < 8 {
            let id = NodeId::for_ip(address.ip(), &mut ids);
            eight.insert(id.0[19] & 7, id);
        }
        self.fitting.insert(address, eight.into_values().collect());
        self.best.clear();
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
                response.id = self.name(target, own);
            }
            response.nodes = Some(self.eight(target, from));
            response.token = Some(b"lie");
            self.lies += 1;
        }
        Some(message(transaction, Body::Response(response)))
    }

    /// Eight of them: the best of each subnet, or others each time.
    fn eight(&mut self, target: NodeId, asker: SocketAddr) -> Vec<Contact> {
        let chosen = match self.names {
            Names::Fitting => self.best(target),
            Names::Chosen => {
                let count = self.addresses.len();
                self.turn += 8;
                let chosen = (0..8).map(|step| self.addresses[(self.turn + step * 53) % count]);
                chosen.collect()
            }
        };
        for address in &chosen {
            self.told.insert((asker, target, *address));
        }
        let contact = |address| Contact {
            id: self.name(target, address),
            address,
        };
        chosen.into_iter().map(contact).collect()
    }

    /// The liar of each subnet that may come closest, closest first.
    fn best(&mut self, target: NodeId) -> Vec<SocketAddr> {
        if let Some(best) = self.best.get(&target) {
            return best.clone();
        }
        let closest = |ids: &Vec<NodeId>| ids.iter().map(|id| id.distance(&target)).min();
        let mut all: Vec<_> = self.fitting.iter().collect();
        all.sort_by_cached_key(|(_, ids)| closest(ids));
        let mut chosen: Vec<SocketAddr> = Vec::new();
        for (address, _) in all {
            let subnet = |address: &SocketAddr| match address.ip() {
                IpAddr::V4(ip) => ip.to_bits() >> 8,
                IpAddr::V6(_) => 0,
            };
            let of_it = subnet(address);
            if chosen.len() < 8 && !chosen.iter().any(|other| subnet(other) == of_it) {
                chosen.push(*address);
            }
        }
        self.best.insert(target, chosen.clone());
        chosen
    }

    /// Under which name a liar answers who looks for a target.
    fn name(&self, target: NodeId, address: SocketAddr) -> NodeId {
        if self.names == Names::Chosen {
            return near(target, address);
        }
        let eight = self.fitting[&address].iter();
        let fits = eight.min_by_key(|id| id.distance(&target));
        let fits = fits.expect("eight of each").0;
        let mut id = target;
        id.0[..2].copy_from_slice(&fits[..2]);
        id.0[2] = fits[2] & 0xf8 | target.0[2] & 7;
        id.0[19] = fits[19] & 7 | target.0[19] & !7;
        assert!(id.fits(address.ip()), "a name that fits");
        id
    }
}

/// The name under which a liar stands beside a target.
fn near(target: NodeId, address: SocketAddr) -> NodeId {
    let mut id = target;
    let IpAddr::V4(ip) = address.ip() else {
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
