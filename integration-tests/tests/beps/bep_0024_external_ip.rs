//! BEP 24: the tracker tells where it sees the peer.

use shoal_integration_tests::{Content, TestTracker};

use crate::query;

#[test]
fn tracker_tells_the_address_it_sees() {
    let content = Content::single(100_000);
    let tracker = TestTracker::start();
    let announce = query(&content, "aaaaaaaaaaaaaaaaaaaa", 6881);
    // Nobody may name another's address.
    let target = format!("/announce?{announce}&ip=192.0.2.1");
    let (_, body) = tracker.get(target.as_bytes());
    let told = b"11:external ip4:\x7f\0\0\x01";
    let found = body.windows(told.len()).any(|bytes| bytes == told);
    assert!(found, "{}", body.escape_ascii());
    let peers = tracker.torrent(&content).unwrap().peers;
    assert_eq!(peers[0].address, "127.0.0.1:6881".parse().unwrap());
}
