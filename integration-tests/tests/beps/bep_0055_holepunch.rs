//! BEP 55: two who cannot be dialled are introduced to each other by a third.

use std::net::{SocketAddr, TcpListener};

use shoal_integration_tests::{Content, RawPeer, TestPeer};
use shoal_wire::Message;
use shoal_wire::extended::holepunch::HolepunchError;
use shoal_wire::extended::{Holepunch, UT_HOLEPUNCH};

use crate::{extension, hello, send_all};

const THEIRS: u8 = 55;

fn ours(message: Holepunch) -> Message {
    extension(UT_HOLEPUNCH, message.encode())
}

fn introduced(peer: &mut RawPeer) -> Holepunch {
    let is_it = |message: &Message| matches!(message, Message::Extended { id: THEIRS, .. });
    let Message::Extended { payload, .. } = peer.expect("an introduction", is_it) else {
        unreachable!("it is extended");
    };
    Holepunch::decode(&payload).unwrap()
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

#[test]
fn rendezvous_is_relayed_to_both_or_answered_with_its_error() {
    let content = Content::single(100_000);
    let relay = TestPeer::leecher(&content).start();
    assert_eq!(relay.wait_checked(), 0);
    let mut peers = [7001, 7002].map(|port| {
        let mut peer = RawPeer::greet(relay.address(), content.info_hash());
        let hello = hello(Some(port), &[("ut_holepunch", THEIRS)]);
        // The have is answered when all before it was heard.
        send_all(
            &mut peer,
            [Message::HaveNone, hello, Message::Have { index: 0 }],
        );
        peer.expect("interest", |message| *message == Message::Interested);
        peer
    });
    send_all(&mut peers[0], [ours(Holepunch::Rendezvous(address(7002)))]);
    assert_eq!(introduced(&mut peers[0]), Holepunch::Connect(address(7002)));
    assert_eq!(introduced(&mut peers[1]), Holepunch::Connect(address(7001)));
    send_all(&mut peers[0], [ours(Holepunch::Rendezvous(address(7003)))]);
    let error = Holepunch::Error(address(7003), HolepunchError::NotConnected);
    assert_eq!(introduced(&mut peers[0]), error);
}

#[test]
fn peer_introduced_to_us_is_dialled() {
    let content = Content::single(100_000);
    let leecher = TestPeer::leecher(&content).start();
    assert_eq!(leecher.wait_checked(), 0);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut relay = RawPeer::greet(leecher.address(), content.info_hash());
    let connect = ours(Holepunch::Connect(listener.local_addr().unwrap()));
    let hello = hello(None, &[("ut_holepunch", THEIRS)]);
    send_all(&mut relay, [Message::HaveNone, hello, connect]);
    let dialled = RawPeer::accept(&listener, content.info_hash());
    assert_eq!(dialled.theirs().info_hash, content.info_hash());
}
