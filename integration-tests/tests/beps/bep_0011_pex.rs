//! BEP 11: peers tell each other of peers.

use std::net::{SocketAddr, TcpListener};

use shoal_integration_tests::{Content, RawPeer, TestPeer, eventually};
use shoal_peer::Event;
use shoal_swarm::io::{CandidateSource, Event as SwarmEvent};
use shoal_wire::Message;
use shoal_wire::extended::pex::{PexFlags, PexPeer};
use shoal_wire::extended::{ExtendedHandshake, Pex, UT_PEX};

use crate::{extension, hello, send_all};

fn content() -> Content {
    Content::single(300_000)
}

/// Whether it is connected to whoever listens there, or has that name.
fn knows(peer: &TestPeer, other: &TestPeer) -> bool {
    let others = other.swarm().peers;
    let here = peer.swarm().peers;
    // Each end sees the other by an address that it may have dialled from: sockets agree on keys
    // only by their ports.
    here.iter().any(|peer| peer.address == other.address())
        || others.iter().any(|there| there.address == peer.address())
}

#[test]
fn peers_that_know_one_other_find_each_other() {
    let content = content();
    // Nobody has all of it, so nobody parts from anybody.
    let hub = TestPeer::holding(&content, |piece| piece % 2 == 0).start();
    let [one, other] = [(); 2].map(|()| TestPeer::leecher(&content).knowing([&hub]).start());
    eventually("both know each other", || knows(&one, &other));
    let by_pex = |peer: &TestPeer| {
        let found = |event: &Event| match event {
            Event::Swarm(SwarmEvent::PeerConnected { source, .. }) => {
                *source == Some(CandidateSource::Pex)
            }
            _ => false,
        };
        peer.news().iter().any(found)
    };
    eventually("one was dialled because of the hub", || {
        by_pex(&one) || by_pex(&other)
    });
}

#[test]
fn address_that_a_peer_tells_is_dialled() {
    let content = content();
    let leecher = TestPeer::leecher(&content).start();
    assert_eq!(leecher.wait_checked(), 0);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut teller = RawPeer::greet(leecher.address(), content.info_hash());
    let added = vec![PexPeer {
        address: listener.local_addr().unwrap(),
        flags: PexFlags::REACHABLE,
    }];
    let dropped = Vec::new();
    let told = extension(UT_PEX, Pex { added, dropped }.encode());
    send_all(&mut teller, [Message::HaveNone, told]);
    let dialled = RawPeer::accept(&listener, content.info_hash());
    assert_eq!(dialled.theirs().info_hash, content.info_hash());
}

#[test]
fn connected_peers_are_told_with_the_port_where_they_listen() {
    let content = content();
    let leecher = TestPeer::leecher(&content).start();
    assert_eq!(leecher.wait_checked(), 0);
    let mut listener = RawPeer::greet(leecher.address(), content.info_hash());
    send_all(&mut listener, [Message::HaveNone, hello(Some(7777), &[])]);
    let mut asker = RawPeer::greet(leecher.address(), content.info_hash());
    send_all(
        &mut asker,
        [Message::HaveNone, hello(None, &[("ut_pex", 77)])],
    );
    let is_pex = |message: &Message| matches!(message, Message::Extended { id: 77, .. });
    let Message::Extended { payload, .. } = asker.expect("a PEX message", is_pex) else {
        unreachable!("it is extended");
    };
    let told = Pex::decode(&payload).unwrap();
    let addresses: Vec<_> = told.added.iter().map(|peer| peer.address).collect();
    assert_eq!(addresses, [SocketAddr::from(([127, 0, 0, 1], 7777))]);
}

#[test]
fn who_wants_no_pex_neither_offers_it_nor_believes_any() {
    let content = content();
    let leecher = TestPeer::leecher(&content)
        .with(|config| config.use_pex = false)
        .start();
    assert_eq!(leecher.wait_checked(), 0);
    let mut teller = RawPeer::greet(leecher.address(), content.info_hash());
    let is_hello = |message: &Message| matches!(message, Message::Extended { id: 0, .. });
    let Message::Extended { payload, .. } = teller.expect("an extended handshake", is_hello) else {
        unreachable!("it is extended");
    };
    let offered = ExtendedHandshake::decode(&payload).unwrap().extensions;
    let names: Vec<_> = offered.into_keys().collect();
    assert_eq!(names, ["lt_donthave", "upload_only", "ut_metadata"]);
    let added = vec![PexPeer {
        address: SocketAddr::from(([127, 0, 0, 1], 9)),
        flags: PexFlags::REACHABLE,
    }];
    let dropped = Vec::new();
    let told = extension(UT_PEX, Pex { added, dropped }.encode());
    // The have is answered, so by then the message was heard.
    send_all(
        &mut teller,
        [Message::HaveNone, told, Message::Have { index: 0 }],
    );
    teller.expect("interest", |message| *message == Message::Interested);
    let sources = leecher.swarm().sources;
    let named = sources.iter().filter(|gave| gave.named > 0);
    assert_eq!(named.count(), 0, "{sources:?}");
}
