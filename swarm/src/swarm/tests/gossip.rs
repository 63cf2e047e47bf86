//! Peers tell each other of peers. BEP 10, 11, 27, 55.

use std::collections::{BTreeMap, BTreeSet};

use shoal_wire::ExtendedHandshake;
use shoal_wire::extended::holepunch::HolepunchError;
use shoal_wire::extended::pex::{PexFlags, PexPeer};
use shoal_wire::extended::{Holepunch, Pex, UT_HOLEPUNCH, UT_PEX};

use super::*;
use crate::PeerMisbehaved;
use crate::limits::{INTRODUCTION_COST, INTRODUCTIONS_BURST, PEX_HEARD_BURST, PEX_HEARD_COST};

/// Their ids: others than ours, so that a mix-up shows.
const THEIR_PEX: u8 = 21;
const THEIR_HOLEPUNCH: u8 = 22;

/// The extended handshake of node `id`.
fn hello(id: u8, names: &[(&str, u8)]) -> Message {
    let names = names.iter().map(|(name, id)| ((*name).to_owned(), *id));
    let handshake = ExtendedHandshake {
        extensions: names.collect(),
        port: Some(address(id).port()),
        ..ExtendedHandshake::default()
    };
    handshake.message()
}

fn all_extensions(id: u8) -> Message {
    let names = [("ut_pex", THEIR_PEX), ("ut_holepunch", THEIR_HOLEPUNCH)];
    hello(id, &names)
}

/// A `ut_pex` message to us.
fn pex(added: impl IntoIterator<Item = SocketAddr>) -> Message {
    let flags = PexFlags::default();
    let added = added.into_iter().map(|address| PexPeer { address, flags });
    let (added, dropped) = (added.collect(), Vec::new());
    let payload = Bytes::from(Pex { added, dropped }.encode());
    Message::Extended {
        id: UT_PEX,
        payload,
    }
}

fn holepunch(message: Holepunch) -> Message {
    let payload = Bytes::from(message.encode());
    Message::Extended {
        id: UT_HOLEPUNCH,
        payload,
    }
}

fn dials(outputs: &[Output]) -> Vec<SocketAddr> {
    let dials = outputs.iter().filter_map(|output| match output {
        Output::Dial { address } => Some(*address),
        _ => None,
    });
    dials.collect()
}

/// The PEX messages that the peer was sent.
fn told(outputs: &[Output], peer: PeerKey) -> Vec<Pex> {
    let messages = sent(outputs, peer).into_iter();
    let told = messages.filter_map(|message| match message {
        Message::Extended {
            id: THEIR_PEX,
            payload,
        } => Some(Pex::decode(&payload).unwrap()),
        _ => None,
    });
    told.collect()
}

/// The introductions that the peer was sent.
fn introduced(outputs: &[Output], peer: PeerKey) -> Vec<Holepunch> {
    let messages = sent(outputs, peer).into_iter();
    let told = messages.filter_map(|message| match message {
        Message::Extended {
            id: THEIR_HOLEPUNCH,
            payload,
        } => Some(Holepunch::decode(&payload).unwrap()),
        _ => None,
    });
    told.collect()
}

/// Peers 11, 12, … with these keys, who said their extended handshake.
fn acquainted(stage: &mut Stage, keys: impl IntoIterator<Item = u64>) {
    for key in keys {
        let id = 10 + key as u8;
        stage.connect(PeerKey(key), id, Extensions::OURS);
        stage.says(PeerKey(key), vec![all_extensions(id)]);
    }
}

/// Six nodes that lack a piece nobody has, five of them knowing only the first.
fn gossiping_world(seed: u64) -> World {
    let mut without_last = Bitfield::all(4);
    without_last.remove(piece(3));
    let mut haves = vec![Bitfield::none(4); 6];
    haves[0] = without_last;
    let mut world = World::new(haves, seed);
    world.run_for(SECOND * 300);
    world
}

#[test]
fn peers_that_know_one_other_find_all_by_pex() {
    let world = gossiping_world(7);
    for (at, node) in world.nodes.iter().enumerate() {
        let snapshot = node.swarm.snapshot(world.now);
        let names: BTreeSet<_> = snapshot.peers.iter().map(|peer| peer.peer_id).collect();
        assert_eq!(names.len(), 5, "node {at} knows {names:?}");
        if at > 0 {
            let by_pex = |gave: &&crate::io::SourceSnapshot| {
                gave.source == CandidateSource::Pex && gave.named > 0 && gave.connected > 0
            };
            assert!(
                snapshot.sources.iter().any(|gave| by_pex(&gave)),
                "node {at}"
            );
            let stranger = snapshot.peers.iter().filter(|peer| {
                !peer.sources.has(CandidateSource::Pex) && !peer.sources.has(CandidateSource::User)
            });
            assert_eq!(stranger.count(), 0, "node {at}");
        }
    }
}

#[test]
fn gossip_is_the_same_for_the_same_seed() {
    let log = gossiping_world(7).log;
    assert_eq!(log, gossiping_world(7).log);
    assert_ne!(log, gossiping_world(8).log);
}

#[test]
fn newcomer_is_told_soon_and_others_when_their_minute_is_over() {
    let mut stage = Stage::leecher();
    acquainted(&mut stage, 1..=3);
    let outputs = stage.wait(SECOND * 2);
    for key in 1..=3 {
        let others = (1..=3).filter(|&other| other != key);
        let expect: Vec<_> = others.map(|other| address(10 + other)).collect();
        let told = told(&outputs, PeerKey(key.into()));
        assert_eq!(told.len(), 1, "{told:?}");
        let addresses: Vec<_> = told[0].added.iter().map(|peer| peer.address).collect();
        assert_eq!(addresses, expect);
        assert_eq!(told[0].added[0].flags, PexFlags::HOLEPUNCH);
    }
    stage.handle(Input::Disconnected { peer: PeerKey(3) });
    acquainted(&mut stage, [4]);
    let outputs = stage.wait(SECOND * 50);
    assert_eq!(told(&outputs, PeerKey(1)), []);
    assert_eq!(told(&outputs, PeerKey(4)).len(), 1);
    let outputs = stage.wait(SECOND * 12);
    let told = told(&outputs, PeerKey(1));
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].added[0].address, address(14));
    assert_eq!(told[0].dropped, [address(13)]);
}

#[test]
fn nobody_is_told_of_peers_that_cannot_be_dialled() {
    let mut stage = Stage::leecher();
    stage.connect(PeerKey(1), 11, Extensions::OURS);
    acquainted(&mut stage, [2]);
    assert_eq!(told(&stage.wait(SECOND * 100), PeerKey(2)), []);
    let direction = Direction::Outgoing;
    stage.handle(Input::Connected {
        peer: PeerKey(3),
        address: address(13),
        direction,
        handshake: handshake(13, Extensions::OURS),
    });
    let told = told(&stage.wait(SECOND * 100), PeerKey(2));
    let expect = PexPeer {
        address: address(13),
        flags: PexFlags::REACHABLE,
    };
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].added, [expect]);
}

#[test]
fn address_told_by_a_peer_is_dialled_and_its_source_is_told() {
    let mut stage = Stage::leecher();
    acquainted(&mut stage, [1]);
    let outputs = stage.say([pex([address(20), address(11), address(20)])]);
    assert_eq!(
        dials(&outputs),
        [address(20)],
        "nobody twice, and not the teller"
    );
    let outputs = stage.handle(Input::Connected {
        peer: PeerKey(2),
        address: address(20),
        direction: Direction::Outgoing,
        handshake: handshake(20, Extensions::OURS),
    });
    let expect = Event::PeerConnected {
        peer: PeerKey(2),
        address: address(20),
        peer_id: PeerId([20; 20]),
        source: Some(CandidateSource::Pex),
    };
    assert!(events(&outputs).contains(&expect), "{outputs:?}");
}

#[test]
fn private_torrent_neither_tells_nor_hears() {
    let config = Config {
        private: true,
        ..config(1)
    };
    let mut stage = Stage::with(config, Bitfield::none(4));
    let outputs = stage.connect(KEY, 11, Extensions::OURS);
    let hello = sent(&outputs, KEY)
        .into_iter()
        .find_map(|message| match message {
            Message::Extended { id: 0, payload } => ExtendedHandshake::decode(&payload).ok(),
            _ => None,
        });
    let offered: Vec<_> = hello.unwrap().extensions.into_keys().collect();
    assert_eq!(offered, ["lt_donthave", "upload_only", "ut_metadata"]);
    stage.say([all_extensions(11)]);
    acquainted(&mut stage, [2]);
    let connect = holepunch(Holepunch::Connect(address(20)));
    let rendezvous = holepunch(Holepunch::Rendezvous(address(12)));
    let mut outputs = stage.say([pex([address(20)]), connect, rendezvous]);
    for source in CandidateSource::ALL {
        let addresses = vec![address(30 + source.place() as u8)];
        outputs.extend(stage.handle(Input::Candidates { source, addresses }));
    }
    outputs.extend(stage.wait(SECOND * 100));
    let dialled: BTreeSet<_> = dials(&outputs).into_iter().collect();
    let from = [
        CandidateSource::User,
        CandidateSource::Tracker,
        CandidateSource::Incoming,
    ];
    let expect = from.map(|source| address(30 + source.place() as u8));
    assert_eq!(dialled, BTreeSet::from(expect));
    for key in [KEY, PeerKey(2)] {
        assert_eq!(told(&outputs, key), []);
        assert_eq!(introduced(&outputs, key), []);
    }
}

#[test]
fn flood_of_pex_closes_the_connection() {
    let mut stage = Stage::leecher();
    acquainted(&mut stage, [1]);
    for _ in 0..PEX_HEARD_BURST / PEX_HEARD_COST {
        assert_eq!(closed(&stage.say([pex([])])), []);
    }
    let reason = CloseReason::Misbehaved(PeerMisbehaved::PexFlood);
    assert_eq!(closed(&stage.say([pex([])])), [(KEY, reason)]);
}

#[test]
fn flooder_cannot_displace_or_delay_good_candidates() {
    let mut stage = Stage::leecher();
    acquainted(&mut stage, 1..=2);
    let nobody = |n: u32| SocketAddr::from((n.to_be_bytes(), 6881));
    let first = u32::from_be_bytes([20, 0, 0, 0]);
    // When each was dialled for the first time, and who has not answered yet.
    let mut dialled = BTreeMap::new();
    let mut under_way = Vec::new();
    for round in 0..60 {
        let mut outputs = Vec::new();
        for address in std::mem::take(&mut under_way) {
            outputs.extend(stage.handle(Input::DialFailed { address }));
        }
        let garbage = (first + round * 50..).take(50).map(nobody);
        outputs.extend(stage.says(PeerKey(1), vec![pex(garbage)]));
        outputs.extend(stage.says(PeerKey(2), vec![Message::KeepAlive]));
        if round == 30 {
            let (source, addresses) = (CandidateSource::Tracker, vec![address(50)]);
            let at_once = stage.handle(Input::Candidates { source, addresses });
            assert_eq!(dials(&at_once), [address(50)]);
        }
        if round == 40 {
            outputs.extend(stage.says(PeerKey(2), vec![pex([address(60)])]));
        }
        outputs.extend(stage.wait(SECOND * 20));
        assert_eq!(closed(&outputs), []);
        under_way = dials(&outputs);
        for &address in &under_way {
            dialled.entry(address).or_insert(round);
        }
    }
    assert!(dialled.len() > 300, "the flood was real: {}", dialled.len());
    let waited = dialled.get(&address(60)).map(|round| round - 40);
    assert!(
        waited.is_some_and(|rounds| rounds <= 8),
        "{waited:?} rounds of 20 s"
    );
}

#[test]
fn both_ends_of_a_rendezvous_are_told_to_dial_each_other() {
    let mut stage = Stage::leecher();
    acquainted(&mut stage, 1..=2);
    let outputs = stage.say([holepunch(Holepunch::Rendezvous(address(12)))]);
    assert_eq!(introduced(&outputs, KEY), [Holepunch::Connect(address(12))]);
    let there = introduced(&outputs, PeerKey(2));
    assert_eq!(there, [Holepunch::Connect(address(11))]);
}

#[test]
fn rendezvous_that_comes_to_nothing_is_answered_with_its_error() {
    let mut stage = Stage::leecher();
    acquainted(&mut stage, [1]);
    stage.connect(PeerKey(2), 12, Extensions::OURS);
    stage.says(PeerKey(2), vec![hello(12, &[("ut_pex", THEIR_PEX)])]);
    let nonsense = SocketAddr::from(([0, 0, 0, 0], 5));
    for (target, error) in [
        (nonsense, HolepunchError::NoSuchPeer),
        (address(11), HolepunchError::NoSelf),
        (address(99), HolepunchError::NotConnected),
        (address(12), HolepunchError::NoSupport),
    ] {
        let outputs = stage.say([holepunch(Holepunch::Rendezvous(target))]);
        let expect = Holepunch::Error(target, error);
        assert_eq!(introduced(&outputs, KEY), [expect]);
        assert_eq!(sent(&outputs, PeerKey(2)), []);
    }
}

#[test]
fn introductions_are_bounded_for_who_asks_and_for_who_is_introduced() {
    let most = (INTRODUCTIONS_BURST / INTRODUCTION_COST) as usize;
    let mut stage = Stage::leecher();
    acquainted(&mut stage, 1..=3);
    let mut introductions = 0;
    for key in [1, 3] {
        for _ in 0..3 * most {
            let message = holepunch(Holepunch::Rendezvous(address(12)));
            let outputs = stage.says(PeerKey(key), vec![message]);
            introductions += introduced(&outputs, PeerKey(2)).len();
            assert_eq!(closed(&outputs), []);
        }
    }
    assert_eq!(introductions, most);
}

#[test]
fn peer_introduced_to_us_is_dialled_at_once() {
    let mut stage = Stage::leecher();
    acquainted(&mut stage, [1]);
    let connect = holepunch(Holepunch::Connect(address(20)));
    assert_eq!(dials(&stage.say([connect.clone()])), [address(20)]);
    stage.handle(Input::DialFailed {
        address: address(20),
    });
    assert_eq!(
        dials(&stage.say([connect])),
        [address(20)],
        "it does not wait"
    );
    let ours = holepunch(Holepunch::Connect(address(11)));
    assert_eq!(dials(&stage.say([ours])), [], "connected already");
}
