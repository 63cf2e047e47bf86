//! BEP 54: a piece that was there is gone.

use shoal_integration_tests::{Content, RawPeer, TestPeer};
use shoal_wire::Message;
use shoal_wire::extended::{LT_DONTHAVE, donthave};

use crate::{extension, send_all};

#[test]
fn interest_ends_with_the_last_piece_that_a_peer_loses() {
    let content = Content::single(100_000);
    let leecher = TestPeer::leecher(&content).start();
    assert_eq!(leecher.wait_checked(), 0);
    let mut peer = RawPeer::greet(leecher.address(), content.info_hash());
    send_all(&mut peer, [Message::HaveAll]);
    peer.expect("interest", |message| *message == Message::Interested);
    let pieces = content.torrent().info.geometry.pieces();
    let gone = |index| extension(LT_DONTHAVE, donthave::encode(index));
    send_all(&mut peer, (0..pieces).map(gone));
    peer.expect("no interest", |message| *message == Message::NotInterested);
    assert_eq!(leecher.swarm().peers[0].pieces_have, 0);
    send_all(&mut peer, [Message::Have { index: pieces - 1 }]);
    peer.expect("interest again", |message| *message == Message::Interested);
}
