//! BEP 48: what a tracker knows of a torrent.

use shoal_integration_tests::{Content, TestPeer, TestTracker, eventually, wait};
use shoal_tracker::{Client, ScrapeEntry};

#[test]
fn scrape_counts_seeders_leechers_and_completions() {
    let content = Content::single(300_000);
    let tracker = TestTracker::start();
    let client = Client::new();
    let hashes = [content.info_hash()];
    let url = tracker.url();
    let scrape = || wait("a scrape", client.scrape(&url, &hashes)).unwrap();
    assert_eq!(scrape(), [], "an unknown torrent is left out");
    let seeder = TestPeer::seeder(&content).tier([tracker.url()]).start();
    tracker.wait_for_peers(&content, 1);
    let leecher = TestPeer::leecher(&content).tier([tracker.url()]).start();
    leecher.wait_complete();
    let expect = |seeders, completed| ScrapeEntry {
        info_hash: content.info_hash(),
        seeders,
        completed,
        leechers: 0,
    };
    eventually("both seed", || scrape() == [expect(2, 1)]);
    let _ = leecher.stop();
    eventually("one seeds", || scrape() == [expect(1, 1)]);
    drop(seeder);
}

#[test]
fn scrape_of_everything_is_refused() {
    let tracker = TestTracker::start();
    let (status, body) = tracker.get(b"/scrape");
    assert_eq!(status, "HTTP/1.1 200 OK");
    let text = String::from_utf8_lossy(&body);
    assert!(text.contains("14:failure reason"), "{text}");
    assert!(text.contains("info_hash"), "{text}");
}
