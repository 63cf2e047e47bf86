//! Datagrams of the DHT, from and to bytes. BEP 5, 32, 33, 44. An item is a datagram.

use std::net::SocketAddr;

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use shoal_dht::bloom::Bloom;
use shoal_dht::krpc::{Body, Message, Method, Query, Response, decode};
use shoal_dht::{Contact, NodeId};
use shoal_metainfo::InfoHash;

const KINDS: [&str; 5] = ["query", "nodes", "peers", "scrape", "item"];

fn main() {
    divan::main();
}

#[divan::bench(args = KINDS)]
fn decode_message(bencher: Bencher<'_, '_>, kind: &str) {
    let bytes = message(kind, |message| message.encode());
    bencher
        .counter(ItemsCount::new(1_u32))
        .counter(BytesCount::of_slice(&bytes))
        .bench_local(|| black_box(decode(black_box(&bytes)).is_ok()));
}

#[divan::bench(args = KINDS)]
fn encode_message(bencher: Bencher<'_, '_>, kind: &str) {
    let length = message(kind, |message| message.encode().len());
    let counted = bencher
        .counter(ItemsCount::new(1_u32))
        .counter(BytesCount::new(length));
    message(kind, |message| {
        counted.bench_local(|| black_box(message).encode())
    });
}

/// Whatever nobody understands must cost little.
#[divan::bench]
fn refuse_nonsense(bencher: Bencher<'_, '_>) {
    let mut rng = fastrand::Rng::with_seed(1);
    let bytes = shoal_bench::random_bytes(1_000, &mut rng);
    bencher
        .counter(ItemsCount::new(1_u32))
        .bench_local(|| black_box(decode(black_box(&bytes)).is_err()));
}

fn message<T>(kind: &str, then: impl FnOnce(&Message<'_>) -> T) -> T {
    let id = NodeId([7; 20]);
    let address = |number: u8| SocketAddr::from(([8, 8, 8, number], 6881));
    let nodes = (0..8).map(|number| Contact {
        id: NodeId([number; 20]),
        address: address(number),
    });
    let nodes = Response {
        nodes: Some(nodes.collect()),
        token: Some(b"aoeusnth"),
        ..Response::new(id)
    };
    let value = format!("900:{}", "x".repeat(900));
    let filter = Some(Box::new(Bloom([0x55; 256])));
    let response = match kind {
        "peers" => Response {
            values: (0..90).map(address).collect(),
            ..nodes
        },
        "scrape" => Response {
            seeds: filter.clone(),
            peers: filter,
            ..nodes
        },
        "item" => Response {
            value: Some(value.as_bytes()),
            key: Some(&[1; 32]),
            sig: Some(&[2; 64]),
            seq: Some(1),
            ..nodes
        },
        _ => nodes,
    };
    let query = Query {
        id,
        method: Method::GetPeers {
            info_hash: InfoHash([9; 20]),
            want: None,
            no_seed: false,
            scrape: false,
        },
    };
    let body = match kind {
        "query" => Body::Query(query),
        _ => Body::Response(response),
    };
    then(&Message {
        transaction: b"abcd",
        body,
        version: Some(b"SH01"),
        ip: Some(address(1)),
        read_only: false,
    })
}
