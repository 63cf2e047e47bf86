//! BEP 3 "trackers": what our client tells one, and what it tells people of the answer.

use shoal_integration_tests::{Content, StubTracker, TestPeer, eventually};
use shoal_peer::Event;
use shoal_tracker::AnnounceEvent;
use shoal_tracker::http::query::{AnnounceQuery, announce};

/// The announces so far, as our server would read them.
fn announces(stub: &StubTracker) -> Vec<AnnounceQuery> {
    let lines = stub.requests().into_iter();
    let targets = lines.map(|line| line.split(' ').nth(1).unwrap().to_owned());
    let queries = targets.map(|target| target.split_once('?').unwrap().1.to_owned());
    queries
        .map(|query| announce(query.as_bytes()).unwrap())
        .collect()
}

#[test]
fn announces_tell_started_completed_and_stopped() {
    let content = Content::single(300_000);
    let stub = StubTracker::with_body(b"d8:intervali60e5:peers0:e".to_vec());
    let seeder = TestPeer::seeder(&content).start();
    let leecher = TestPeer::leecher(&content).tier([stub.url()]).start();
    let port = leecher.address().port();
    let total = content.bytes().len() as u64;
    eventually("started is told", || announces(&stub).len() == 1);
    let again = TestPeer::seeder(&content).knowing([&leecher]).start();
    leecher.wait_complete();
    eventually("completed is told", || announces(&stub).len() == 2);
    let _ = leecher.stop();
    eventually("stopped is told", || announces(&stub).len() == 3);

    let all = announces(&stub);
    let events = all.iter().map(|query| query.request.event);
    let (started, completed) = (AnnounceEvent::Started, AnnounceEvent::Completed);
    let expect = [started, completed, AnnounceEvent::Stopped].map(Some);
    assert_eq!(events.collect::<Vec<_>>(), expect);
    for query in &all {
        let request = &query.request;
        assert_eq!(request.info_hash, content.info_hash());
        assert_eq!(request.peer_id, all[0].request.peer_id);
        assert_eq!(request.key, all[0].request.key);
        assert_eq!(request.port, port);
        assert!(request.compact);
    }
    assert_eq!((all[0].request.left, all[0].request.downloaded), (total, 0));
    assert_eq!(all[1].request.left, 0);
    assert!(all[2].request.downloaded >= total);
    drop((seeder, again));
}

#[test]
fn who_starts_whole_never_tells_completed() {
    let content = Content::single(100_000);
    let stub = StubTracker::with_body(b"d8:intervali60e5:peers0:e".to_vec());
    let seeder = TestPeer::seeder(&content).tier([stub.url()]).start();
    seeder.wait_complete();
    eventually("started is told", || announces(&stub).len() == 1);
    let _ = seeder.stop();
    eventually("stopped is told", || announces(&stub).len() == 2);
    assert_eq!(announces(&stub)[0].request.left, 0);
    let told = announces(&stub)[1].request.event;
    assert_eq!(told, Some(AnnounceEvent::Stopped));
}

#[test]
fn failure_reason_and_warning_reach_people() {
    let content = Content::single(100_000);
    let failing = b"d14:failure reason9:no thanks8:intervali60e5:peers0:e";
    let failing = StubTracker::with_body(failing.to_vec());
    let peer = TestPeer::seeder(&content).tier([failing.url()]).start();
    let error = peer.wait_for("a failure", |event| match event {
        Event::TrackerFailed { error, .. } => Some(error.clone()),
        _ => None,
    });
    assert_eq!(error, "the tracker refuses: no thanks");

    let warning = b"d8:intervali60e5:peers0:15:warning message8:slow dowe";
    let warning = StubTracker::with_body(warning.to_vec());
    let peer = TestPeer::seeder(&content).tier([warning.url()]).start();
    let text = peer.wait_for("a warning", |event| match event {
        Event::TrackerAnswered { warning, .. } => warning.clone(),
        _ => None,
    });
    assert_eq!(text, "slow dow");
}
