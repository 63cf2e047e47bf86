//! What must hold of every message. BEP 5, 32, 33, 42, 43, 44, 51.

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use shoal_dht::bloom::Bloom;
use shoal_dht::krpc::{
    Body, ErrorReply, Message, Method, Query, Response, SignedPut, Want, decode,
};
use shoal_dht::{Contact, NodeId, Saved};
use shoal_metainfo::InfoHash;

fn id() -> impl Strategy<Value = NodeId> {
    any::<[u8; 20]>().prop_map(NodeId)
}

fn v4() -> impl Strategy<Value = SocketAddr> {
    any::<SocketAddrV4>().prop_map(SocketAddr::V4)
}

fn v6() -> impl Strategy<Value = SocketAddr> {
    any::<(std::net::Ipv6Addr, u16)>()
        .prop_map(|(ip, port)| SocketAddr::V6(SocketAddrV6::new(ip, port, 0, 0)))
}

fn nodes(address: impl Strategy<Value = SocketAddr>) -> impl Strategy<Value = Vec<Contact>> {
    vec(
        (id(), address).prop_map(|(id, address)| Contact { id, address }),
        0..9,
    )
}

fn want() -> impl Strategy<Value = Option<Want>> {
    option::of(prop_oneof![
        Just((true, false)),
        Just((false, true)),
        Just((true, true))
    ])
    .prop_map(|want| want.map(|(v4, v6)| Want { v4, v6 }))
}

/// What the borrowed parts of a message borrow from.
#[derive(Debug, Clone)]
struct Bytes {
    transaction: Vec<u8>,
    token: Vec<u8>,
    value: Vec<u8>,
    salt: Vec<u8>,
    key: [u8; 32],
    sig: [u8; 64],
    text: Vec<u8>,
}

prop_compose! {
    fn bytes()(
        transaction in vec(any::<u8>(), 0..20),
        token in vec(any::<u8>(), 0..64),
        number: i64,
        salt in vec(any::<u8>(), 0..64),
        key: [u8; 32],
        sig in vec(any::<u8>(), 64),
        text in vec(any::<u8>(), 0..40),
    ) -> Bytes {
        let sig = sig.try_into().unwrap();
        let value = format!("i{number}e").into_bytes();
        Bytes { transaction, token, value, salt, key, sig, text }
    }
}

fn check(bytes: &Bytes, body: Body<'_>, ip: Option<SocketAddr>, read_only: bool) {
    let message = Message {
        transaction: &bytes.transaction,
        body,
        version: Some(&bytes.text),
        ip,
        read_only,
    };
    let encoded = message.encode();
    assert_eq!(
        decode(&encoded).as_ref(),
        Ok(&message),
        "{}",
        encoded.escape_ascii()
    );
}

proptest! {
    #[test]
    fn query_reads_as_it_was_written(
        bytes in bytes(),
        (id, target) in (id(), id()),
        want in want(),
        seq in option::of(0..=i64::MAX),
        port in option::of(1..=u16::MAX),
        flags: [bool; 4],
        ip in option::of(prop_oneof![v4(), v6()]),
    ) {
        let info_hash = InfoHash::from(target);
        let signed = seq.map(|seq| SignedPut {
            key: &bytes.key,
            salt: &bytes.salt,
            seq,
            sig: &bytes.sig,
            cas: flags[0].then_some(seq / 2),
        });
        let methods = [
            Method::Ping,
            Method::FindNode { target, want },
            Method::GetPeers { info_hash, want, no_seed: flags[1], scrape: flags[2] },
            Method::AnnouncePeer { info_hash, port, token: &bytes.token, seed: flags[1] },
            Method::Get { target, seq, want, padded: flags[1] },
            Method::Put { token: &bytes.token, value: &bytes.value, signed },
            Method::SampleInfohashes { target, want },
        ];
        for method in methods {
            check(&bytes, Body::Query(Query { id, method }), ip, flags[3]);
        }
    }

    #[test]
    fn response_reads_as_it_was_written(
        bytes in bytes(),
        id in id(),
        nodes in option::of(nodes(v4())),
        nodes6 in option::of(nodes(v6())),
        values in vec(prop_oneof![v4(), v6()], 0..20),
        samples in option::of(vec(any::<[u8; 20]>().prop_map(InfoHash), 0..20)),
        numbers in option::of((any::<i64>(), 0..i64::MAX as u64)),
        flags: [bool; 4],
    ) {
        let filter = flags[0].then(|| Box::new(Bloom([bytes.key[0]; 256])));
        let response = Response {
            id,
            nodes,
            nodes6,
            values,
            token: flags[1].then_some(&bytes.token),
            seeds: filter.clone(),
            peers: filter,
            value: flags[2].then_some(&bytes.value),
            key: flags[2].then_some(&bytes.key),
            seq: numbers.map(|(seq, _)| seq),
            sig: flags[2].then_some(&bytes.sig),
            samples,
            num: numbers.map(|(_, num)| num),
            interval: numbers.map(|(_, seconds)| Duration::from_secs(seconds)),
        };
        check(&bytes, Body::Response(response), None, flags[3]);
    }

    #[test]
    fn error_reads_as_it_was_written(bytes in bytes(), code: i64) {
        check(&bytes, Body::Error(ErrorReply { code, text: &bytes.text }), None, false);
    }

    #[test]
    fn arbitrary_bytes_never_panic(data in vec(any::<u8>(), 0..300)) {
        shoal_dht::fuzz::krpc(&data);
    }

    #[test]
    fn message_with_broken_bytes_never_panics(
        bytes in bytes(),
        id in id(),
        nodes in nodes(v4()),
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let response = Response {
            nodes: Some(nodes),
            token: Some(&bytes.token),
            value: Some(&bytes.value),
            ..Response::new(id)
        };
        let message = Message {
            transaction: &bytes.transaction,
            body: Body::Response(response),
            version: None,
            ip: None,
            read_only: false,
        };
        let mut data = message.encode();
        for (at, byte) in flips {
            let at = at.index(data.len());
            data[at] = byte;
        }
        shoal_dht::fuzz::krpc(&data);
        data.truncate(cut.index(data.len()));
        shoal_dht::fuzz::krpc(&data);
    }

    #[test]
    fn memory_reads_as_it_was_written(
        ids in option::of((id(), id())),
        v4 in nodes(v4()),
        v6 in nodes(v6()),
    ) {
        let saved = Saved {
            id_v4: ids.map(|(id, _)| id),
            id_v6: ids.map(|(_, id)| id),
            nodes: v4.into_iter().chain(v6).collect(),
        };
        prop_assert_eq!(Saved::decode(&saved.encode()), Some(saved));
    }
}
