//! BEP 10: the extended handshake.

use bytes::Bytes;
use shoal_integration_tests::{Content, RawPeer, TestPeer};
use shoal_metainfo::piece::{BLOCK_LENGTH, RawBlock};
use shoal_wire::{ExtendedHandshake, Message};

use crate::{plain_greet, send_all};

fn extended(message: &Message) -> bool {
    matches!(message, Message::Extended { id: 0, .. })
}

#[test]
fn extended_handshake_tells_version_port_queue_and_your_address() {
    let content = Content::single(100_000);
    let seeder = TestPeer::seeder(&content).start();
    seeder.wait_complete();
    let mut peer = RawPeer::greet(seeder.address(), content.info_hash());
    let Message::Extended { payload, .. } = peer.expect("an extended handshake", extended) else {
        unreachable!("it is extended");
    };
    let told = ExtendedHandshake::decode(&payload).unwrap();
    assert!(told.version.unwrap().starts_with("Shoal "));
    assert_eq!(told.port, Some(seeder.address().port()));
    assert_eq!(told.reqq, Some(500));
    assert_eq!(told.your_ip, Some("127.0.0.1".parse().unwrap()));
}

#[test]
fn unknown_extended_messages_are_passed_over() {
    let content = Content::single(100_000);
    let seeder = TestPeer::seeder(&content).start();
    seeder.wait_complete();
    let mut peer = RawPeer::greet(seeder.address(), content.info_hash());
    let message = |id, payload: &'static [u8]| Message::Extended {
        id,
        payload: Bytes::from_static(payload),
    };
    let unknown = [
        Message::HaveNone,
        message(0, b"d1:md10:ut_unheardi9eee"),
        message(0, b"de"),
        message(77, b"whatever"),
        Message::Port(6881),
        Message::Interested,
    ];
    send_all(&mut peer, unknown);
    peer.expect("unchoke", |message| *message == Message::Unchoke);
    let block = RawBlock {
        index: 2,
        begin: 0,
        length: BLOCK_LENGTH,
    };
    send_all(&mut peer, [Message::Request(block)]);
    peer.expect("the block", |message| {
        matches!(message, Message::Piece { .. })
    });
}

#[test]
fn who_does_not_offer_it_is_told_nothing_extended() {
    let content = Content::single(100_000);
    let seeder = TestPeer::seeder(&content).start();
    seeder.wait_complete();
    let mut peer = plain_greet(&seeder, &content);
    send_all(&mut peer, [Message::Interested]);
    let last = |message: &Message| {
        assert!(!extended(message), "an extended message to who has none");
        *message == Message::Unchoke
    };
    peer.expect("unchoke", last);
}
