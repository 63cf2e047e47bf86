//! BEP 15: trackers on UDP.

use std::net::{IpAddr, Ipv6Addr};

use shoal_integration_tests::{
    Content, StubTracker, TestPeer, UdpAsked, UdpStub, eventually, http, wait,
};
use shoal_tracker::AnnounceEvent::{Completed, Started, Stopped};
use shoal_tracker::{Client, ScrapeEntry};

#[test]
fn swarm_finds_itself_by_a_tracker_on_udp() {
    let content = Content::single(500_000);
    let tracker = UdpStub::start();
    let seeder = TestPeer::seeder(&content).tier([tracker.url("")]).start();
    eventually("the seeder is announced", || {
        !tracker.announces().is_empty()
    });
    let leecher = TestPeer::leecher(&content).tier([tracker.url("")]).start();
    leecher.wait_complete();
    content.assert_identical(leecher.dir());
    eventually("the leecher has told that it is complete", || {
        tracker
            .announces()
            .iter()
            .any(|told| told.event == Some(Completed))
    });
    let _ = leecher.stop();
    let announces = tracker.announces();
    let of = |peer: &TestPeer| {
        let port = peer.address().port();
        let mine = announces.iter().filter(move |told| told.port == port);
        mine.cloned().collect::<Vec<_>>()
    };
    let seeders = of(&seeder);
    assert_eq!((seeders[0].event, seeders[0].left), (Some(Started), 0));
    let other = |told: &&shoal_tracker::AnnounceRequest| told.port != seeder.address().port();
    let leechers: Vec<_> = announces.iter().filter(other).collect();
    assert_eq!(
        (leechers[0].event, leechers[0].left),
        (Some(Started), 500_000)
    );
    let last = leechers.last().unwrap();
    assert_eq!((last.event, last.left), (Some(Stopped), 0));
    assert!(last.downloaded >= 500_000);
    assert_eq!(last.numwant, Some(0), "who goes wants nobody");
    let keys: Vec<_> = leechers.iter().map(|told| told.key).collect();
    assert!(keys.iter().all(|&key| key == keys[0]), "one key for a run");
    assert_ne!(keys[0], seeders[0].key);
}

#[test]
fn swarm_on_ipv6_finds_itself_by_a_tracker_on_udp() {
    let content = Content::single(200_000);
    let tracker = UdpStub::on(IpAddr::V6(Ipv6Addr::LOCALHOST));
    let v6 = |setup: shoal_integration_tests::PeerSetup| {
        let setup = setup.listening_on("[::1]:0".parse().unwrap());
        setup.tier([tracker.url("/announce")]).start()
    };
    let _seeder = v6(TestPeer::seeder(&content));
    eventually("the seeder is announced", || {
        !tracker.announces().is_empty()
    });
    let leecher = v6(TestPeer::leecher(&content));
    leecher.wait_complete();
    content.assert_identical(leecher.dir());
}

#[test]
fn silent_tracker_on_udp_delays_nobody() {
    let content = Content::single(200_000);
    let (dead, tracker) = (UdpStub::silent(), UdpStub::start());
    let tiers = |setup: shoal_integration_tests::PeerSetup| {
        setup.tier([dead.url("")]).tier([tracker.url("")]).start()
    };
    let _seeder = tiers(TestPeer::seeder(&content));
    eventually("the seeder is announced", || {
        !tracker.announces().is_empty()
    });
    let leecher = tiers(TestPeer::leecher(&content));
    leecher.wait_complete();
    assert!(dead.asked().len() >= 2, "both asked it first");
    // Its 105 seconds are not over: nobody waited for them.
    let trackers = leecher.snapshot().trackers;
    let told: Vec<_> = trackers.iter().map(|t| (t.failures, t.working)).collect();
    assert_eq!(told, [(0, false), (0, true)]);
}

#[test]
fn tiers_mix_udp_and_http() {
    let content = Content::single(100_000);
    let refusing = http("200 OK", "", b"d14:failure reason2:noe");
    let refusing = StubTracker::start(move |_| refusing.clone());
    let tracker = UdpStub::start();
    let seeder = TestPeer::seeder(&content);
    let seeder = seeder.tier([refusing.url()]).tier([tracker.url("/x")]);
    let seeder = seeder.tier(["wss://tracker.example/announce"]).start();
    eventually("the second tier is asked", || {
        !tracker.announces().is_empty()
    });
    eventually("and its answer is known", || {
        seeder.snapshot().trackers[1].working
    });
    assert!(!refusing.requests().is_empty());
}

#[test]
fn scrape_and_announces_share_a_connection_id() {
    let content = Content::single(100_000);
    let tracker = UdpStub::start();
    let seeder = TestPeer::seeder(&content).tier([tracker.url("")]).start();
    seeder.wait_complete();
    eventually("it is announced", || !tracker.announces().is_empty());
    let client = Client::new();
    let hashes = [content.info_hash()];
    let entry = ScrapeEntry {
        info_hash: hashes[0],
        seeders: 1,
        completed: 0,
        leechers: 0,
    };
    for _ in 0..2 {
        let got = wait("a scrape", client.scrape(&tracker.url(""), &hashes));
        assert_eq!(got, Ok(vec![entry]));
    }
    let asked = tracker.asked();
    let connects = asked
        .iter()
        .filter(|asked| **asked == UdpAsked::Connect)
        .count();
    assert_eq!(connects, 2, "one of each client: {asked:?}");
}
