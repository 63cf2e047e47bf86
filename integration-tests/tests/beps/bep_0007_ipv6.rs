//! BEP 7: peers and trackers over IPv6.

use std::net::{SocketAddr, TcpListener};

use shoal_integration_tests::{Content, TestPeer, TestTracker};

use crate::query;

/// A free port of `::1`; none on a machine without IPv6, where there is nothing to see.
fn loopback() -> Option<SocketAddr> {
    let address = "[::1]:0".parse().unwrap();
    let here = TcpListener::bind(address).is_ok();
    if !here {
        assert!(std::env::var_os("CI").is_none(), "no IPv6 on this machine");
        eprintln!("not tested here: no IPv6 on this machine");
    }
    here.then_some(address)
}

#[test]
fn swarm_on_ipv6_finds_itself_by_its_tracker() {
    let Some(any) = loopback() else { return };
    let content = Content::single(1 << 20);
    let tracker = TestTracker::at(any);
    let on = |setup: shoal_integration_tests::PeerSetup| {
        setup.listening_on(any).tier([tracker.url()]).start()
    };
    let seeder = on(TestPeer::seeder(&content));
    tracker.wait_for_peers(&content, 1);
    let leecher = on(TestPeer::leecher(&content));
    leecher.wait_complete();
    content.assert_identical(leecher.dir());
    let peers = seeder.swarm().peers;
    assert!(peers.iter().all(|peer| peer.address.is_ipv6()));
}

#[test]
fn tracker_gives_ipv6_peers_in_peers6() {
    let Some(any) = loopback() else { return };
    let content = Content::single(100_000);
    let tracker = TestTracker::at(any);
    let first = format!(
        "/announce?{}",
        query(&content, "aaaaaaaaaaaaaaaaaaaa", 0x1234)
    );
    let _ = tracker.get(first.as_bytes());
    let second = format!(
        "/announce?{}",
        query(&content, "bbbbbbbbbbbbbbbbbbbb", 0x5678)
    );
    let (_, body) = tracker.get(second.as_bytes());
    let peer = b"6:peers618:\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x12\x34";
    let found = body.windows(peer.len()).any(|bytes| bytes == peer);
    assert!(found, "{}", body.escape_ascii());
}
