//! BEP 20: peer ids that name the client.

use shoal_integration_tests::{Content, RawPeer, TestPeer, TestTracker};

#[test]
fn peer_id_names_the_client_and_is_the_same_to_peers_and_trackers() {
    let content = Content::single(100_000);
    let tracker = TestTracker::start();
    let start = || TestPeer::seeder(&content).tier([tracker.url()]).start();
    let peers = [start(), start()];
    TestPeer::wait_all(&peers);
    tracker.wait_for_peers(&content, 2);
    let greet = |peer: &TestPeer| RawPeer::greet(peer.address(), content.info_hash());
    let mut to_peers = peers.each_ref().map(|peer| greet(peer).theirs().peer_id.0);
    assert!(to_peers.iter().all(|id| id.starts_with(b"-SH0100-")));
    assert_ne!(to_peers[0], to_peers[1]);
    let torrent = tracker.torrent(&content).unwrap();
    let mut to_tracker: Vec<_> = torrent.peers.iter().map(|peer| peer.peer_id.0).collect();
    to_tracker.sort_unstable();
    to_peers.sort_unstable();
    assert_eq!(to_tracker, to_peers);
}
