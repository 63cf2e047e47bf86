//! A node's promises, one datagram at a time.

mod asking;

use super::*;
use crate::id::Contact;
use crate::io::{Announce, Task};
use crate::item::SecretKey;
use crate::krpc::{ErrorReply, Message, Method, Query, Response, SignedPut, Want, code};
use crate::limits::{
    AMPLIFICATION_MAX, CALL_TIMEOUT, K, PUBLISHED_MAX, REPUBLISH_EVERY, VOTES_NEEDED,
};
use shoal_metainfo::InfoHash;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

const TORRENT: InfoHash = InfoHash([0x55; 20]);
const THEM: NodeId = NodeId([0x77; 20]);

/// A host in a subnet of its own.
fn at(number: u32) -> SocketAddr {
    SocketAddr::new(
        Ipv4Addr::from_bits(0x0b00_0001 + (number << 8)).into(),
        6881,
    )
}

fn v6(number: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::from([0x2001, 0xdb8, number, 0, 0, 0, 0, 1]), 6881)
}

struct World {
    node: Node,
    now: Instant,
    events: Vec<Event>,
}

impl World {
    fn new(config: Config) -> Self {
        let now = Instant::now();
        let node = Node::new(config, &[1; 32], now);
        Self {
            node,
            now,
            events: Vec::new(),
        }
    }

    fn both() -> Self {
        Self::new(Config {
            v4: true,
            v6: true,
            ..Config::default()
        })
    }

    /// Everything that is to be sent; events are kept.
    fn sent(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut sent = Vec::new();
        while let Some(output) = self.node.poll() {
            match output {
                Output::Send { to, bytes } => sent.push((to, bytes)),
                Output::Event(event) => self.events.push(event),
                Output::Persist => {}
            }
        }
        sent
    }

    fn receive(&mut self, from: SocketAddr, message: &Message<'_>) {
        let bytes = message.encode();
        self.node.handle(
            self.now,
            Input::Received {
                from,
                bytes: &bytes,
            },
        );
    }

    /// Asks the node; everything that it sends there.
    fn ask(&mut self, from: SocketAddr, method: Method<'_>) -> Vec<Vec<u8>> {
        let body = Body::Query(Query { id: THEM, method });
        self.receive(from, &message(b"tt", body));
        let sent = self.sent().into_iter();
        sent.filter(|(to, _)| *to == from)
            .map(|(_, bytes)| bytes)
            .collect()
    }

    /// The answer alone.
    fn answer(&mut self, from: SocketAddr, method: Method<'_>) -> Vec<u8> {
        self.ask(from, method)
            .into_iter()
            .next()
            .expect("an answer")
    }

    /// Lets every query that goes out be answered by whoever it goes to, named by `id`.
    fn serve(&mut self, id: impl Fn(SocketAddr) -> NodeId, response: &Response<'_>) -> usize {
        let mut served = 0;
        for _ in 0..100 {
            let sent = self.sent();
            if sent.is_empty() {
                return served;
            }
            for (to, bytes) in sent {
                let query = decode(&bytes).unwrap();
                if matches!(query.body, Body::Query(_)) {
                    let id = id(to);
                    let response = Response {
                        id,
                        ..response.clone()
                    };
                    self.receive(to, &message(query.transaction, Body::Response(response)));
                    served += 1;
                }
            }
        }
        served
    }

    /// Nodes that the node knows and believes in.
    fn meet(&mut self, addresses: impl IntoIterator<Item = SocketAddr>) {
        for address in addresses {
            self.node.handle(self.now, Input::Heard { address });
            self.serve(name, &Response::new(THEM));
        }
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.node.timeout().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            self.node.handle(self.now, Input::Timeout);
            if self.node.timeout() == Some(due) {
                break;
            }
        }
        self.now = end;
        self.node.handle(end, Input::Timeout);
    }

    fn start(&mut self, task: Task) {
        let key = LookupKey(1);
        self.node.handle(self.now, Input::Start { key, task });
    }

    fn outcome(&mut self) -> Option<Outcome> {
        self.sent();
        self.events.iter().find_map(|event| match event {
            Event::Finished { outcome, .. } => Some(outcome.clone()),
            _ => None,
        })
    }

    fn nodes(&self, family: Family) -> usize {
        self.node.side(family).unwrap().table.len()
    }
}

fn message<'a>(transaction: &'a [u8], body: Body<'a>) -> Message<'a> {
    Message {
        transaction,
        body,
        version: None,
        ip: None,
        read_only: false,
    }
}

/// A name that fits the address.
fn name(address: SocketAddr) -> NodeId {
    let seed = address.port().into();
    NodeId::for_ip(address.ip(), &mut Rng::with_seed(seed))
}

fn response(bytes: &[u8]) -> Response<'_> {
    match decode(bytes).unwrap().body {
        Body::Response(response) => response,
        other => panic!("not an answer: {other:?}"),
    }
}

fn error(bytes: &[u8]) -> i64 {
    match decode(bytes).unwrap().body {
        Body::Error(ErrorReply { code, .. }) => code,
        other => panic!("not an error: {other:?}"),
    }
}

fn get_peers(want: Option<Want>) -> Method<'static> {
    Method::GetPeers {
        info_hash: TORRENT,
        want,
        no_seed: false,
        scrape: false,
    }
}

fn announce(token: &[u8], seed: bool) -> Method<'_> {
    Method::AnnouncePeer {
        info_hash: TORRENT,
        port: Some(80),
        token,
        seed,
    }
}

fn announced(world: &mut World, from: SocketAddr, seed: bool) {
    let bytes = world.answer(from, get_peers(None));
    let token = response(&bytes).token.expect("a token").to_vec();
    let bytes = world.answer(from, announce(&token, seed));
    response(&bytes);
}

#[test]
fn ping_is_answered_with_the_address_that_it_came_from() {
    let mut world = World::both();
    for from in [at(1), v6(1)] {
        let bytes = world.answer(from, Method::Ping);
        let message = decode(&bytes).unwrap();
        assert_eq!((message.transaction, message.ip), (&b"tt"[..], Some(from)));
        let own = world.node.side(Family::of(from)).unwrap().table.own();
        assert_eq!(response(&bytes).id, own);
    }
}

#[test]
fn who_asks_enters_the_table_only_after_it_answered() {
    let mut world = World::both();
    let sent = world.ask(at(1), Method::Ping);
    let [_, ping] = &sent[..] else {
        panic!("an answer and a ping, not {}", sent.len())
    };
    assert_eq!(world.nodes(Family::V4), 0);
    let ping = decode(ping).unwrap();
    let pong = message(ping.transaction, Body::Response(Response::new(THEM)));
    world.receive(at(2), &pong);
    assert_eq!(world.nodes(Family::V4), 0, "somebody else answers");
    world.receive(at(1), &pong);
    assert_eq!(world.nodes(Family::V4), 1);
}

#[test]
fn read_only_asker_is_answered_and_not_kept() {
    let mut world = World::both();
    let body = Body::Query(Query {
        id: THEM,
        method: Method::Ping,
    });
    let query = Message {
        read_only: true,
        ..message(b"tt", body)
    };
    world.receive(at(1), &query);
    assert_eq!(world.sent().len(), 1, "an answer and no ping");
}

#[test]
fn read_only_node_answers_nobody_and_says_so() {
    let mut world = World::new(Config {
        v4: true,
        read_only: true,
        ..Config::default()
    });
    assert!(world.ask(at(1), Method::Ping).is_empty());
    world.start(Task::Ping { address: at(1) });
    let sent = world.sent();
    assert!(decode(&sent[0].1).unwrap().read_only);
}

#[test]
fn nodes_of_both_families_are_told_to_who_wants_them() {
    let mut world = World::both();
    world.meet((0..20).map(at).chain((0..20).map(v6)));
    assert!(world.nodes(Family::V4) >= K && world.nodes(Family::V6) >= K);
    let asker = at(1);
    let mut check = |from: SocketAddr, want, expect: (bool, bool)| {
        let bytes = world.answer(from, get_peers(want));
        let response = response(&bytes);
        let counts = [response.nodes, response.nodes6];
        let counts = counts.map(|nodes| nodes.map(|nodes| nodes.len()));
        assert_eq!(counts, [expect.0, expect.1].map(|there| there.then_some(K)));
    };
    let want = |v4, v6| Some(Want { v4, v6 });
    check(asker, None, (true, false));
    check(v6(1), None, (false, true));
    check(asker, want(true, true), (true, true));
    check(asker, want(false, true), (false, true));
}

#[test]
fn announced_peer_is_told_to_its_own_family() {
    let mut world = World::both();
    announced(&mut world, at(1), false);
    announced(&mut world, v6(1), false);
    let bytes = world.answer(at(2), get_peers(None));
    assert_eq!(response(&bytes).values, [SocketAddr::new(at(1).ip(), 80)]);
    let bytes = world.answer(v6(2), get_peers(None));
    assert_eq!(response(&bytes).values, [SocketAddr::new(v6(1).ip(), 80)]);
}

#[test]
fn announce_without_a_good_token_is_refused() {
    let mut world = World::both();
    let bytes = world.answer(at(1), get_peers(None));
    let token = response(&bytes).token.unwrap().to_vec();
    let bytes = world.answer(at(2), announce(&token, false));
    assert_eq!(error(&bytes), code::PROTOCOL, "another's token");
    let bytes = world.answer(at(1), announce(b"nonsense", false));
    assert_eq!(error(&bytes), code::PROTOCOL);
    world.wait(Duration::from_secs(601));
    let bytes = world.answer(at(1), announce(&token, false));
    assert_eq!(error(&bytes), code::PROTOCOL, "too old");
    assert_eq!(world.node.snapshot(world.now).peers, 0);
}

#[test]
fn scrape_tells_filters_to_who_receives_what_is_sent() {
    let mut world = World::both();
    (1..=3).for_each(|number| announced(&mut world, at(number), number == 1));
    let scrape = || Method::GetPeers {
        info_hash: TORRENT,
        want: None,
        no_seed: true,
        scrape: true,
    };
    let bytes = world.answer(at(9), scrape());
    assert_eq!(
        response(&bytes).seeds,
        None,
        "a stranger's query is too short"
    );
    let bytes = world.answer(at(1), scrape());
    let response = response(&bytes);
    let count = |filter: Option<Box<crate::bloom::Bloom>>| filter.unwrap().estimate().round();
    assert_eq!((count(response.seeds), count(response.peers)), (1.0, 2.0));
    assert_eq!(response.values.len(), 2, "without the seed");
}

#[test]
fn sample_tells_torrents_and_how_many_there_are() {
    let mut world = World::both();
    announced(&mut world, at(1), false);
    let target = THEM;
    let bytes = world.answer(at(2), Method::SampleInfohashes { target, want: None });
    let response = response(&bytes);
    assert_eq!(response.samples, Some(vec![TORRENT]));
    assert_eq!(response.num, Some(1));
    assert!(response.interval.is_some() && response.nodes.is_some());
}

#[test]
fn stranger_never_gets_more_than_three_times_its_bytes() {
    let mut world = World::both();
    world.meet((0..40).map(at).chain((0..40).map(v6)));
    for number in 100..400 {
        announced(&mut world, at(number), false);
    }
    let both = Some(Want { v4: true, v6: true });
    let target = THEM;
    let methods = [
        Method::Ping,
        Method::FindNode { target, want: None },
        Method::FindNode { target, want: both },
        get_peers(None),
        get_peers(both),
        Method::SampleInfohashes { target, want: both },
        announce(b"x", false),
    ];
    for (number, method) in (1_000..).zip(methods) {
        for from in [at(number), v6(u16::try_from(number).unwrap())] {
            let body = Body::Query(Query {
                id: name(from),
                method: method.clone(),
            });
            let query = message(b"tt", body).encode();
            let mut answers = 0;
            for _ in 0..10 {
                world.node.handle(
                    world.now,
                    Input::Received {
                        from,
                        bytes: &query,
                    },
                );
                let sent = world.sent().into_iter().filter(|(to, _)| *to == from);
                answers += sent.map(|(_, bytes)| bytes.len()).sum::<usize>();
            }
            let most = query.len() * AMPLIFICATION_MAX * 10;
            assert!(
                answers > 0 && answers <= most,
                "{method:?}: {answers} of {most}"
            );
        }
    }
}

#[test]
fn peers_fill_a_datagram_and_no_more() {
    let mut world = World::both();
    for number in 0..300 {
        announced(&mut world, at(number), false);
        world.now += Duration::from_millis(10);
    }
    let bytes = world.answer(at(1), get_peers(None));
    assert!((900..=1024).contains(&bytes.len()), "{} bytes", bytes.len());
    assert!(response(&bytes).values.len() > 90);
}

#[test]
fn flood_is_dropped_and_others_are_answered() {
    let mut world = World::both();
    let answers = (0..500).filter(|_| !world.ask(at(1), Method::Ping).is_empty());
    assert!(answers.count() < 50);
    assert!(!world.ask(at(2), Method::Ping).is_empty());
    assert!(world.node.snapshot(world.now).counts.dropped > 400);
    world.now += Duration::from_secs(10);
    assert!(
        !world.ask(at(1), Method::Ping).is_empty(),
        "nobody is banned"
    );
}

#[test]
fn bad_queries_get_their_error() {
    let check = |arguments: &str, method: &str, expect| {
        let mut world = World::both();
        let bytes = format!(
            "d1:ad2:id20:{}{arguments}e1:q{method}1:t2:tt1:y1:qe",
            "x".repeat(20)
        );
        let bytes = bytes.as_bytes();
        world
            .node
            .handle(world.now, Input::Received { from: at(1), bytes });
        assert_eq!(error(&world.sent()[0].1), expect, "{method} {arguments}");
    };
    let target = format!("6:target20:{}", "y".repeat(20));
    let filler = "z".repeat(90);
    check(&format!("3:pad90:{filler}"), "4:what", code::METHOD_UNKNOWN);
    check("6:target3:abc", "9:find_node", code::PROTOCOL);
    check(&target, "9:get_peers", code::PROTOCOL);
    check(
        &format!("5:token1:x1:v1001:{}", "v".repeat(1001)),
        "3:put",
        205,
    );
    let signed = format!("1:k32:{}4:salt65:{}", "k".repeat(32), "s".repeat(65));
    check(&format!("{signed}5:token1:x1:v1:v"), "3:put", 207);
}

#[test]
fn method_of_tomorrow_with_a_target_is_answered_as_find_node() {
    let mut world = World::both();
    world.meet([at(5)]);
    let (id, target) = ("x".repeat(20), "y".repeat(20));
    let bytes = format!("d1:ad2:id20:{id}6:target20:{target}e1:q8:tomorrow1:t2:tt1:y1:qe");
    let bytes = bytes.as_bytes();
    world
        .node
        .handle(world.now, Input::Received { from: at(1), bytes });
    assert_eq!(
        response(&world.sent()[0].1).nodes.map(|nodes| nodes.len()),
        Some(1)
    );
}

#[test]
fn item_is_stored_for_who_brings_a_token_and_a_good_signature() {
    let mut world = World::both();
    let key = SecretKey::new(&[5; 32]);
    let item = key.sign(b"5:hello".to_vec(), b"salt", 3).unwrap();
    let get = |seq| Method::Get {
        target: item.target(),
        seq,
        want: None,
        padded: true,
    };
    let bytes = world.answer(at(1), get(None));
    let token = response(&bytes).token.unwrap().to_vec();
    let signed = item.signature().unwrap();
    let put = |token, sig, seq, cas| Method::Put {
        token,
        value: item.value(),
        signed: Some(SignedPut {
            key: &signed.key,
            salt: &signed.salt,
            seq,
            sig,
            cas,
        }),
    };
    let bytes = world.answer(at(1), put(b"bad", &signed.sig, 3, None));
    assert_eq!(error(&bytes), code::PROTOCOL);
    let bytes = world.answer(at(1), put(&token, &[0; 64], 3, None));
    assert_eq!(error(&bytes), code::BAD_SIGNATURE);
    response(&world.answer(at(1), put(&token, &signed.sig, 3, None)));
    let bytes = world.answer(at(2), get(None));
    let found = response(&bytes);
    assert_eq!(found.value, Some(item.value()));
    assert_eq!((found.key, found.seq), (Some(&signed.key), Some(3)));
    let bytes = world.answer(at(2), get(Some(3)));
    let known = response(&bytes);
    assert_eq!((known.value, known.seq), (None, Some(3)));
    let older = key.sign(b"5:older".to_vec(), b"salt", 2).unwrap();
    let old_sig = older.signature().unwrap().sig;
    let old = |cas| Method::Put {
        token: &token,
        value: older.value(),
        signed: Some(SignedPut {
            key: &signed.key,
            salt: &signed.salt,
            seq: 2,
            sig: &old_sig,
            cas,
        }),
    };
    assert_eq!(error(&world.answer(at(1), old(None))), code::SEQ_TOO_LOW);
    assert_eq!(
        error(&world.answer(at(1), old(Some(1)))),
        code::CAS_MISMATCH
    );
}
