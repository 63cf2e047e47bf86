//! Messages to bytes. BEP 5 and what came after it.

use std::net::SocketAddr;

use shoal_bencode::Value;
use shoal_metainfo::compact::{push_v4, push_v6};

use super::{Body, Message, Method, Query, Response, SignedPut, Want};
use crate::id::{Contact, NodeId};
use crate::limits::PAD_LENGTH;

impl Message<'_> {
    /// The datagram.
    ///
    /// # Panics
    /// For a [`Body::BadQuery`]: nobody sends one.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (kind, key, body) = match &self.body {
            Body::Query(query) => ("q", "a", arguments(query)),
            Body::Response(response) => ("r", "r", results(response)),
            Body::Error(error) => {
                let list = Value::list([Value::from(error.code), Value::from(error.text)]);
                ("e", "e", list)
            }
            Body::BadQuery(fault) => panic!("{fault} is what others send"),
        };
        let mut fields = vec![
            ("t", Value::from(self.transaction)),
            ("y", Value::from(kind)),
            (key, body),
        ];
        if let Body::Query(query) = &self.body {
            fields.push(("q", Value::from(name(&query.method))));
        }
        if let Some(version) = self.version {
            fields.push(("v", Value::from(version)));
        }
        if let Some(ip) = self.ip {
            fields.push(("ip", Value::from(compact(ip))));
        }
        if self.read_only {
            fields.push(("ro", Value::from(1)));
        }
        Value::dict(fields).encode()
    }
}

fn name(method: &Method<'_>) -> &'static str {
    match method {
        Method::Ping => "ping",
        Method::FindNode { .. } => "find_node",
        Method::GetPeers { .. } => "get_peers",
        Method::AnnouncePeer { .. } => "announce_peer",
        Method::Get { .. } => "get",
        Method::Put { .. } => "put",
        Method::SampleInfohashes { .. } => "sample_infohashes",
    }
}

type Fields<'v> = Vec<(&'static str, Value<'v>)>;

fn arguments<'v>(query: &'v Query<'v>) -> Value<'v> {
    let mut fields: Fields<'v> = vec![("id", Value::from(&query.id.0))];
    match &query.method {
        Method::Ping => {}
        Method::FindNode { target, want } | Method::SampleInfohashes { target, want } => {
            fields.push(("target", Value::from(&target.0)));
            fields.extend(wanted(*want));
        }
        Method::GetPeers {
            info_hash,
            want,
            no_seed,
            scrape,
        } => {
            fields.push(("info_hash", Value::from(&info_hash.0)));
            fields.extend(wanted(*want));
            fields.extend(no_seed.then(|| ("noseed", Value::from(1))));
            fields.extend(scrape.then(|| ("scrape", Value::from(1))));
        }
        Method::AnnouncePeer {
            info_hash,
            port,
            token,
            seed,
        } => {
            fields.push(("info_hash", Value::from(&info_hash.0)));
            fields.push(("implied_port", Value::from(i32::from(port.is_none()))));
            // Nodes from before `implied_port` want a port in any case.
            fields.push(("port", Value::from(port.unwrap_or(1))));
            fields.push(("token", Value::from(*token)));
            fields.extend(seed.then(|| ("seed", Value::from(1))));
        }
        Method::Get {
            target,
            seq,
            want,
            padded,
        } => {
            fields.push(("target", Value::from(&target.0)));
            fields.extend(seq.map(|seq| ("seq", Value::from(seq))));
            fields.extend(wanted(*want));
            fields.extend(padded.then(|| ("pad", Value::from(&[0; PAD_LENGTH]))));
        }
        Method::Put {
            token,
            value,
            signed,
        } => {
            fields.push(("token", Value::from(*token)));
            fields.push(("v", Value::Raw((*value).into())));
            fields.extend(signed.iter().flat_map(signature));
        }
    }
    Value::dict(fields)
}

fn signature<'v>(signed: &SignedPut<'v>) -> Fields<'v> {
    let mut fields = vec![
        ("k", Value::from(signed.key)),
        ("seq", Value::from(signed.seq)),
        ("sig", Value::from(signed.sig)),
    ];
    if !signed.salt.is_empty() {
        fields.push(("salt", Value::from(signed.salt)));
    }
    fields.extend(signed.cas.map(|cas| ("cas", Value::from(cas))));
    fields
}

fn wanted<'v>(want: Option<Want>) -> Option<(&'static str, Value<'v>)> {
    let Want { v4, v6 } = want?;
    let words = [(v4, "n4"), (v6, "n6")]
        .into_iter()
        .filter(|(wanted, _)| *wanted);
    Some(("want", Value::list(words.map(|(_, word)| word))))
}

fn results<'v>(response: &'v Response<'v>) -> Value<'v> {
    let mut fields: Fields<'v> = vec![("id", Value::from(&response.id.0))];
    let mut add = |key, value: Option<Value<'v>>| fields.extend(value.map(|value| (key, value)));
    let positive = |number: u64| Value::from(i64::try_from(number).unwrap_or(i64::MAX));
    let contacts = |nodes: &[Contact]| Value::from(contacts_to_bytes(nodes));
    add("nodes", response.nodes.as_deref().map(contacts));
    add("nodes6", response.nodes6.as_deref().map(contacts));
    let values = response.values.iter().map(|&peer| compact(peer));
    add(
        "values",
        (!response.values.is_empty()).then(|| Value::list(values)),
    );
    add("token", response.token.map(Value::from));
    add(
        "BFsd",
        response.seeds.as_ref().map(|filter| Value::from(&filter.0)),
    );
    add(
        "BFpe",
        response.peers.as_ref().map(|filter| Value::from(&filter.0)),
    );
    add("v", response.value.map(|value| Value::Raw(value.into())));
    add("k", response.key.map(Value::from));
    add("seq", response.seq.map(Value::from));
    add("sig", response.sig.map(Value::from));
    let samples = response.samples.as_deref().map(|samples| {
        let bytes: Vec<u8> = samples.iter().flat_map(|hash| hash.0).collect();
        Value::from(bytes)
    });
    add("samples", samples);
    add("num", response.num.map(positive));
    add(
        "interval",
        response
            .interval
            .map(|interval| positive(interval.as_secs())),
    );
    Value::dict(fields)
}

/// Compact node info. BEP 5, 32.
pub(crate) fn contacts_to_bytes(contacts: &[Contact]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(contacts.len() * 38);
    for Contact {
        id: NodeId(id),
        address,
    } in contacts
    {
        bytes.extend_from_slice(id);
        push(&mut bytes, *address);
    }
    bytes
}

fn compact(address: SocketAddr) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(18);
    push(&mut bytes, address);
    bytes
}

fn push(bytes: &mut Vec<u8>, address: SocketAddr) {
    match address {
        SocketAddr::V4(address) => push_v4(bytes, address),
        SocketAddr::V6(address) => push_v6(bytes, address),
    }
}
