//! BEP 6: have all and none, reject, allowed fast.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::thread;
use std::time::Duration;

use shoal_integration_tests::{Content, Heard, PATIENCE, RawPeer, TestPeer};
use shoal_metainfo::piece::{BLOCK_LENGTH, RawBlock};
use shoal_wire::{Message, allowed_fast_set};

use crate::{plain_greet, send_all};

#[test]
fn have_all_goes_to_those_who_understand_it() {
    let content = Content::single(100_000);
    let seeder = TestPeer::seeder(&content).start();
    seeder.wait_complete();
    let mut fast = RawPeer::greet(seeder.address(), content.info_hash());
    let first = fast.hear(PATIENCE);
    assert_eq!(first, Heard::Message(Message::HaveAll));
    let mut plain = plain_greet(&seeder, &content);
    let first = plain.hear(PATIENCE);
    assert!(
        matches!(first, Heard::Message(Message::Bitfield(_))),
        "{first:?}"
    );
}

fn first_block(index: u32) -> RawBlock {
    RawBlock {
        index,
        begin: 0,
        length: BLOCK_LENGTH,
    }
}

#[test]
fn choked_peer_gets_its_allowed_pieces_and_a_reject_for_others() {
    let content = Content::single(2 << 20);
    let seeder = TestPeer::seeder(&content).start();
    seeder.wait_complete();
    let expect = allowed_fast_set(Ipv4Addr::LOCALHOST, content.info_hash(), 128, 10);
    let mut expect: BTreeSet<u32> = expect.into_iter().collect();
    // What the seeder has alone it gives to whom it chooses.
    let alone = expect.pop_last().unwrap();
    let mut first = RawPeer::greet(seeder.address(), content.info_hash());
    let haves = expect.iter().map(|&index| Message::Have { index });
    send_all(&mut first, haves);
    send_all(&mut first, [Message::Request(first_block(alone))]);
    let reject = Message::Reject(first_block(alone));
    first.expect("a reject", |message| *message == reject);
    let mut peer = RawPeer::greet(seeder.address(), content.info_hash());
    // Never interested, so never unchoked.
    send_all(&mut peer, [Message::HaveNone]);
    let mut allowed = BTreeSet::new();
    while allowed.len() < expect.len() {
        let is_allowed = |message: &Message| matches!(message, Message::AllowedFast { .. });
        if let Message::AllowedFast { index } = peer.expect("allowed fast", is_allowed) {
            allowed.insert(index);
        }
    }
    assert_eq!(allowed, expect);

    let allowed = *allowed.first().unwrap();
    let requests = [alone, allowed].map(|index| Message::Request(first_block(index)));
    send_all(&mut peer, requests);
    peer.expect("a reject", |message| *message == reject);
    let is_piece = |message: &Message| matches!(message, Message::Piece { .. });
    let Message::Piece { index, data, .. } = peer.expect("a block", is_piece) else {
        unreachable!("it is a piece");
    };
    assert_eq!(index, allowed);
    assert!(data == content.block(first_block(allowed)));
}

#[test]
fn reject_frees_the_block_for_another_peer() {
    let content = Content::single(500_000);
    let leecher = TestPeer::leecher(&content).start();
    let _ = leecher.wait_checked();
    let mut peer = RawPeer::greet(leecher.address(), content.info_hash());
    send_all(&mut peer, [Message::HaveAll, Message::Unchoke]);
    let is_request = |message: &Message| matches!(message, Message::Request(_));
    let first = peer.expect("a request", is_request);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut request = Some(first);
            loop {
                if let Some(Message::Request(block)) = request {
                    let _ = peer.send(&Message::Reject(block));
                }
                request = match peer.hear(Duration::from_secs(1)) {
                    Heard::Message(message) => Some(message),
                    Heard::Closed => return,
                    Heard::Silence => None,
                };
            }
        });
        let seeder = TestPeer::seeder(&content).knowing([&leecher]).start();
        leecher.wait_complete();
        content.assert_identical(leecher.dir());
        let _ = leecher.stop();
        drop(seeder);
    });
}

#[test]
fn fast_message_without_the_extension_ends_the_connection() {
    let content = Content::single(100_000);
    let seeder = TestPeer::seeder(&content).start();
    seeder.wait_complete();
    let mut peer = plain_greet(&seeder, &content);
    send_all(&mut peer, [Message::HaveNone]);
    assert!(peer.is_closed_within(PATIENCE));
}
