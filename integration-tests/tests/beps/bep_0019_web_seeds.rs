//! BEP 19: a web server has the files, and nobody else.

use std::sync::atomic::{AtomicUsize, Ordering};

use shoal_integration_tests::{Content, TestPeer, WebAnswer, WebServer, web};
use shoal_peer::Event;

fn content() -> Content {
    Content::folder("web")
        .file("a b/1.bin", 300_000)
        .file("a b/empty", 0)
        .file("c%d", 1)
        .padding("pad", 20_000)
        .file("e", 250_000)
        .piece_length(32 << 10)
        .build()
}

#[test]
fn torrent_with_only_a_web_seed_completes() {
    let content = content();
    let server = WebServer::of(content.dir());
    let leecher = TestPeer::leecher(&content).web_seed(server.url()).start();
    leecher.wait_complete();
    content.assert_identical(leecher.dir());
    let asked = server.requests();
    let pieces = content.pieces() as usize;
    assert!(
        asked.len() < 2 * pieces,
        "many blocks to a question: {asked:?}"
    );
    assert!(asked.iter().all(|request| !request.path.contains("pad")));
    assert!(asked.iter().any(|request| request.path == "web/c%d"));
    assert!(server.connections() <= 3, "{}", server.connections());
    let snapshot = leecher.stop();
    assert_eq!(snapshot.swarm.uploaded, 0);
    assert_eq!(snapshot.swarm.wasted, 0);
    assert_eq!(snapshot.web_seeds[0].error, None);
}

#[test]
fn single_file_is_at_the_url_itself_or_below_it() {
    let content = Content::single(200_000);
    for whole in [true, false] {
        let server = WebServer::of(content.dir());
        let name = if whole { "single" } else { "" };
        let url = format!("{}{name}", server.url());
        let leecher = TestPeer::leecher(&content).web_seed(url).start();
        leecher.wait_complete();
        content.assert_identical(leecher.dir());
    }
}

#[test]
fn web_seed_that_spoils_a_piece_is_banned_and_the_other_completes() {
    let content = content();
    let (dir, good) = (content.dir().to_owned(), WebServer::of(content.dir()));
    let spoiled = WebServer::start(move |request| match web::file(&dir, request) {
        WebAnswer::Content(mut bytes) => {
            bytes.iter_mut().for_each(|byte| *byte ^= 1);
            WebAnswer::Content(bytes)
        }
        other => other,
    });
    let leecher = TestPeer::leecher(&content).web_seed(spoiled.url()).start();
    leecher.wait_for("the ban", |event| match event {
        Event::Swarm(shoal_swarm::io::Event::PeerBanned { .. }) => Some(()),
        _ => None,
    });
    let snapshot = leecher.snapshot();
    let error = snapshot.web_seeds[0].error.clone().unwrap_or_default();
    assert!(error.contains("not the torrent's"), "{error}");
    drop(leecher);
    let leecher = TestPeer::leecher(&content)
        .web_seed(spoiled.url())
        .web_seed(good.url())
        .start();
    leecher.wait_complete();
    content.assert_identical(leecher.dir());
}

#[test]
fn web_seed_that_fails_is_asked_again() {
    let content = content();
    let (dir, asked) = (content.dir().to_owned(), AtomicUsize::new(0));
    let server = WebServer::start(move |request| {
        match (
            asked.fetch_add(1, Ordering::SeqCst),
            web::file(&dir, request),
        ) {
            (1, _) => WebAnswer::Status("503 Busy\r\nRetry-After: 1\r\n".to_owned()),
            (3, WebAnswer::Content(bytes)) => WebAnswer::Half(bytes),
            (_, answer) => answer,
        }
    });
    let leecher = TestPeer::leecher(&content).web_seed(server.url()).start();
    leecher.wait_complete();
    content.assert_identical(leecher.dir());
    let failed = leecher.news().into_iter().filter_map(|event| match event {
        Event::WebSeedFailed { error, .. } => Some(error),
        _ => None,
    });
    let failed: Vec<_> = failed.collect();
    assert_eq!(failed.len(), 2, "{failed:?}");
    assert!(failed[0].contains("come back later"), "{failed:?}");
}

#[test]
fn redirects_and_servers_without_ranges_are_taken() {
    let content = content();
    let dir = content.dir().to_owned();
    let real = WebServer::start(move |request| match web::file(&dir, request) {
        WebAnswer::Content(bytes) => WebAnswer::Whole(bytes),
        other => other,
    });
    let base = real.url();
    let moved = WebServer::start(move |request| {
        let path = request.path.replace('%', "%25").replace(' ', "%20");
        WebAnswer::Status(format!("302 Found\r\nLocation: {base}{path}\r\n"))
    });
    let leecher = TestPeer::leecher(&content).web_seed(moved.url()).start();
    leecher.wait_complete();
    content.assert_identical(leecher.dir());
    assert!(!real.requests().is_empty() && !moved.requests().is_empty());
}

#[test]
fn file_of_a_server_that_knows_neither_ranges_nor_kept_lines_is_sent_few_times() {
    let content = Content::single(600_000);
    let dir = content.dir().to_owned();
    let server = WebServer::start(move |request| match web::file(&dir, request) {
        WebAnswer::Content(bytes) => WebAnswer::Closing(bytes),
        other => other,
    });
    let url = format!("{}single", server.url());
    let leecher = TestPeer::leecher(&content).web_seed(url).start();
    leecher.wait_complete();
    content.assert_identical(leecher.dir());
    let asked = server.requests().len();
    assert!(asked < 5, "{asked} times for {} pieces", content.pieces());
}

#[test]
fn server_with_other_files_is_told_and_gives_nothing() {
    let content = content();
    let other = WebServer::start(|_| WebAnswer::Content(vec![0; 10_000_000]));
    let missing = WebServer::of(std::path::Path::new("/nonexistent"));
    for (server, says) in [(other, "bytes where"), (missing, "404")] {
        let leecher = TestPeer::leecher(&content).web_seed(server.url()).start();
        let error = leecher.wait_for("the failure", |event| match event {
            Event::WebSeedFailed { error, .. } => Some(error.clone()),
            _ => None,
        });
        assert!(error.contains(says), "{error}");
        assert_eq!(leecher.stop().swarm.downloaded, 0);
    }
}

#[test]
fn web_seed_and_peers_share_the_work() {
    let content = content();
    let server = WebServer::of(content.dir());
    let partial = TestPeer::holding(&content, |piece| piece % 2 == 0).start();
    assert!(partial.wait_checked() < content.pieces());
    let leecher = TestPeer::leecher(&content)
        .knowing([&partial])
        .web_seed(server.url())
        .start();
    TestPeer::wait_all([&leecher, &partial]);
    content.assert_identical(leecher.dir());
    content.assert_identical(partial.dir());
}
