//! BEP 27: private torrents take peers from their trackers and nowhere else.

use shoal_integration_tests::{Content, RawPeer, TestPeer, TestTracker};
use shoal_wire::{ExtendedHandshake, Message};

fn content(private: bool) -> Content {
    let builder = Content::folder("t").file("f", 300_000);
    let builder = if private { builder.private() } else { builder };
    builder.build()
}

#[test]
fn private_torrent_has_another_name() {
    let (private, public) = (content(true), content(false));
    assert!(private.torrent().info.private);
    assert_ne!(private.info_hash(), public.info_hash());
}

#[test]
fn private_torrent_offers_neither_dht_nor_exchange_of_peers() {
    let content = content(true);
    let tracker = TestTracker::start();
    let seeder = TestPeer::seeder(&content).tier([tracker.url()]).start();
    tracker.wait_for_peers(&content, 1);
    let leecher = TestPeer::leecher(&content).tier([tracker.url()]).start();
    leecher.wait_complete();
    content.assert_identical(leecher.dir());

    let mut peer = RawPeer::greet(seeder.address(), content.info_hash());
    // The bit of BEP 5.
    assert_eq!(peer.theirs().extensions.0[7] & 1, 0);
    let extended = |message: &Message| matches!(message, Message::Extended { id: 0, .. });
    let Message::Extended { payload, .. } = peer.expect("an extended handshake", extended) else {
        unreachable!("it is extended");
    };
    let told = ExtendedHandshake::decode(&payload).unwrap().extensions;
    assert!(!told.contains_key("ut_pex"), "{told:?}");
}
