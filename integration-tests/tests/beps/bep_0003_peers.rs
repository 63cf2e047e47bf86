//! BEP 3 "peer protocol" and "peer messages", spoken by hand with our client.

use std::collections::BTreeSet;
use std::time::Duration;

use shoal_integration_tests::{Content, Heard, RawPeer, TestPeer};
use shoal_metainfo::Bitfield;
use shoal_wire::Message;

use crate::{plain_greet, send_all};

#[test]
fn blocks_arrive_byte_for_byte_in_the_order_asked() {
    let content = Content::single(400_000);
    let seeder = TestPeer::seeder(&content).start();
    seeder.wait_complete();
    let mut peer = RawPeer::greet(seeder.address(), content.info_hash());
    send_all(&mut peer, [Message::HaveNone, Message::Interested]);
    peer.expect("unchoke", |message| *message == Message::Unchoke);
    let mut blocks = content.blocks();
    blocks.reverse();
    send_all(&mut peer, blocks.iter().copied().map(Message::Request));
    for block in blocks {
        let is_piece = |message: &Message| matches!(message, Message::Piece { .. });
        let Message::Piece { index, begin, data } = peer.expect("a block", is_piece) else {
            unreachable!("it is a piece");
        };
        assert_eq!((index, begin), (block.index, block.begin));
        assert!(data == content.block(block), "bytes of {block:?}");
    }
}

#[test]
fn bitfield_comes_first_and_tells_what_is_there() {
    let content = Content::single(500_000);
    let holder = TestPeer::holding(&content, |piece| piece % 2 == 0).start();
    let _ = holder.wait_checked();
    let mut peer = plain_greet(&holder, &content);
    let Heard::Message(Message::Bitfield(bits)) = peer.hear(Duration::from_secs(60)) else {
        panic!("no bitfield first");
    };
    let have = Bitfield::from_wire(&bits, content.pieces()).unwrap();
    let ones: Vec<u32> = have.ones().collect();
    let even: Vec<u32> = (0..content.pieces()).step_by(2).collect();
    assert_eq!(ones, even);
}

#[test]
fn have_tells_each_piece_that_was_verified() {
    let content = Content::single(500_000);
    let seeder = TestPeer::seeder(&content).start();
    let leecher = TestPeer::leecher(&content).start();
    let _ = leecher.wait_checked();
    let mut peer = RawPeer::greet(leecher.address(), content.info_hash());
    send_all(&mut peer, [Message::HaveNone]);
    let none = |message: &Message| *message == Message::HaveNone;
    peer.expect("it has nothing yet", none);
    let other = TestPeer::seeder(&content).knowing([&leecher]).start();
    leecher.wait_complete();
    let mut told = BTreeSet::new();
    while told.len() < content.pieces() as usize {
        let have = |message: &Message| matches!(message, Message::Have { .. });
        if let Message::Have { index } = peer.expect("a have", have) {
            assert!(told.insert(index), "piece {index} told twice");
        }
    }
    drop((seeder, other));
}

#[test]
fn leecher_is_interested_in_who_has_something_and_asks_ahead() {
    let content = Content::single(1 << 20);
    let leecher = TestPeer::leecher(&content).start();
    let _ = leecher.wait_checked();
    let mut peer = RawPeer::greet(leecher.address(), content.info_hash());
    send_all(&mut peer, [Message::HaveAll]);
    peer.expect("interest", |message| *message == Message::Interested);
    send_all(&mut peer, [Message::Unchoke]);
    let mut asked = BTreeSet::new();
    let is_request = |message: &Message| matches!(message, Message::Request(_));
    // A pipeline: many requests before the first answer.
    while asked.len() < 8 {
        if let Message::Request(block) = peer.expect("requests", is_request) {
            assert_eq!(block.length, 16 << 10);
            assert!(asked.insert((block.index, block.begin)), "asked twice");
        }
    }
}

#[test]
fn second_connection_of_one_peer_is_closed() {
    let content = Content::single(100_000);
    let seeder = TestPeer::seeder(&content).start();
    seeder.wait_complete();
    let ours = shoal_integration_tests::handshake(content.info_hash());
    let mut first = RawPeer::greet_as(seeder.address(), ours);
    let have_all = |message: &Message| *message == Message::HaveAll;
    first.expect("its pieces", have_all);
    let mut second = RawPeer::greet_as(seeder.address(), ours);
    assert!(second.is_closed_within(shoal_integration_tests::PATIENCE));
    assert_eq!(seeder.swarm().peers.len(), 1);
}
