//! BEP 21: peers that want nothing any more.

use shoal_integration_tests::{Content, PATIENCE, RawPeer, TestPeer};
use shoal_wire::Message;
use shoal_wire::extended::{ExtendedHandshake, UPLOAD_ONLY, upload_only};

use crate::{extension, hello, send_all};

#[test]
fn seed_tells_that_it_wants_nothing_and_parts_from_who_says_the_same() {
    let content = Content::single(100_000);
    let seeder = TestPeer::seeder(&content).start();
    seeder.wait_complete();
    let mut peer = RawPeer::greet(seeder.address(), content.info_hash());
    let is_hello = |message: &Message| matches!(message, Message::Extended { id: 0, .. });
    let Message::Extended { payload, .. } = peer.expect("an extended handshake", is_hello) else {
        unreachable!("it is extended");
    };
    let told = ExtendedHandshake::decode(&payload).unwrap();
    assert_eq!(told.upload_only, Some(true));
    assert_eq!(told.extensions.get("upload_only"), Some(&UPLOAD_ONLY));
    let want_nothing = extension(UPLOAD_ONLY, upload_only::encode(true));
    send_all(&mut peer, [Message::HaveNone, want_nothing]);
    assert!(peer.is_closed_within(PATIENCE));
}

#[test]
fn leecher_tells_when_it_has_everything() {
    let content = Content::single(100_000);
    let leecher = TestPeer::leecher(&content).start();
    assert_eq!(leecher.wait_checked(), 0);
    let mut peer = RawPeer::greet(leecher.address(), content.info_hash());
    let hello = hello(None, &[("upload_only", 99)]);
    send_all(
        &mut peer,
        [Message::HaveNone, hello, Message::Have { index: 0 }],
    );
    // By then the hello was heard.
    peer.expect("interest", |message| *message == Message::Interested);
    let mut seed = RawPeer::greet(leecher.address(), content.info_hash());
    send_all(&mut seed, [Message::HaveAll, Message::Unchoke]);
    seed.serve(PATIENCE, |block| Some(content.block(block)));
    leecher.wait_complete();
    let is_told = |message: &Message| matches!(message, Message::Extended { id: 99, .. });
    let told = peer.expect("upload_only", is_told);
    assert_eq!(told, extension(99, upload_only::encode(true)));
}
