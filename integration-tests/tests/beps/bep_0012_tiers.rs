//! BEP 12: several trackers in tiers.

use std::net::TcpListener;

use shoal_integration_tests::{Content, StubTracker, TestPeer, TestTracker, eventually};

/// The URL of a tracker that is not there.
fn dead() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}/announce", listener.local_addr().unwrap())
}

#[test]
fn second_tier_serves_when_the_first_is_dead() {
    let content = Content::single(500_000);
    let tracker = TestTracker::start();
    let dead = dead();
    let tiers = |setup: shoal_integration_tests::PeerSetup| {
        setup.tier([dead.as_str()]).tier([tracker.url()]).start()
    };
    let seeder = tiers(TestPeer::seeder(&content));
    tracker.wait_for_peers(&content, 1);
    let leecher = tiers(TestPeer::leecher(&content));
    leecher.wait_complete();
    content.assert_identical(leecher.dir());
    let trackers = seeder.snapshot().trackers;
    let told: Vec<_> = trackers.iter().map(|t| (t.tier, t.working)).collect();
    assert_eq!(told, [(0, false), (1, true)]);
    let message = trackers[0].message.clone().unwrap();
    assert!(message.contains("cannot connect"), "{message}");
}

#[test]
fn every_tracker_of_a_tier_is_tried() {
    let content = Content::single(100_000);
    let tracker = TestTracker::start();
    let tier = [dead(), dead(), tracker.url(), dead()];
    let _seeder = TestPeer::seeder(&content).tier(tier).start();
    tracker.wait_for_peers(&content, 1);
}

#[test]
fn later_tiers_are_left_alone_while_the_first_answers() {
    let content = Content::single(100_000);
    let body = || b"d8:intervali60e5:peers0:e".to_vec();
    let (first, second) = (
        StubTracker::with_body(body()),
        StubTracker::with_body(body()),
    );
    let seeder = TestPeer::seeder(&content);
    let seeder = seeder.tier([first.url()]).tier([second.url()]).start();
    seeder.wait_complete();
    eventually("the first is asked", || !first.requests().is_empty());
    let _ = seeder.stop();
    eventually("and told the end", || first.requests().len() == 2);
    assert_eq!(second.requests().len(), 0);
}
