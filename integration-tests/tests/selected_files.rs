//! Some files of a torrent only, from the swarm to the disk and to trackers. BEP 21, 53.

use std::fs;

use shoal_integration_tests::{Content, StubTracker, TestPeer, WebServer, eventually};
use shoal_metainfo::Choice;
use shoal_peer::{AddError, Event, State, TorrentConfig};
use shoal_tracker::AnnounceEvent;
use shoal_tracker::http::query::announce;

const KIB: usize = 1 << 10;

/// Four files whose borders lie inside pieces of 16 KiB.
fn album() -> Content {
    let builder = Content::folder("album");
    let builder = builder.file("a", 300 * KIB + 1).file("b", 200 * KIB + 2);
    builder.file("c", 50).file("d", 250 * KIB + 3).build()
}

fn only(choice: &str) -> impl FnOnce(&mut TorrentConfig) + use<> {
    let choice: Choice = choice.parse().unwrap();
    move |config| config.files = choice
}

/// That it has these files whole, and no others.
fn assert_has(content: &Content, peer: &TestPeer, numbers: &[usize]) {
    for (number, entry) in content.torrent().info.files.iter().enumerate() {
        let path = peer.dir().join(&entry.path);
        match numbers.contains(&number) {
            false => assert!(!path.exists(), "{} was made", entry.path),
            true => {
                let whole = fs::read(content.dir().join(&entry.path)).unwrap();
                assert!(
                    fs::read(path).unwrap() == whole,
                    "{} is another",
                    entry.path
                );
            }
        }
    }
}

#[test]
fn leechers_that_chose_others_help_each_other_and_get_nothing_else() {
    let content = album();
    let seeder = TestPeer::seeder(&content).start();
    seeder.wait_complete();
    let leech = |choice| {
        let setup = TestPeer::leecher(&content).knowing([&seeder]);
        setup.with(only(choice)).start()
    };
    let first = leech("0-1");
    first.wait_complete();
    // It is a partial seed now, and has all that the next ones want.
    drop(seeder);
    let help = |choice| {
        let setup = TestPeer::leecher(&content).knowing([&first]);
        setup.with(only(choice)).start()
    };
    let (second, third) = (help("0"), help("1"));
    TestPeer::wait_all([&second, &third]);
    assert_has(&content, &first, &[0, 1]);
    assert_has(&content, &second, &[0]);
    assert_has(&content, &third, &[1]);
    let shared = first.snapshot();
    assert_eq!(shared.state, State::Seeding);
    assert_eq!(shared.swarm.bytes_left, 0);
    assert!(shared.swarm.bytes_have < shared.swarm.bytes_total);
    for peer in [&second, &third] {
        let swarm = peer.swarm();
        assert_eq!(
            swarm.pieces_have, swarm.pieces_wanted,
            "a piece that nobody chose"
        );
        assert_eq!(swarm.downloaded, swarm.bytes_wanted + swarm.wasted);
    }
}

#[test]
fn magnet_fetches_the_chosen_files_alone() {
    let content = album();
    let seeder = TestPeer::seeder(&content).start();
    seeder.wait_complete();
    let leecher = TestPeer::leecher(&content).by_magnet([seeder.address()]);
    let leecher = leecher.with(only("album/c")).start();
    leecher.wait_complete();
    assert_has(&content, &leecher, &[2]);
    let (files, vain) = leecher.wait_for("the choice", |event| match event {
        Event::FilesChosen { files, vain, .. } => Some((files.clone(), vain.clone())),
        _ => None,
    });
    assert_eq!((files, vain), (vec![2], vec![]));
    // Fifty bytes are one piece or two.
    assert!(leecher.swarm().downloaded <= 32 * KIB as u64);
}

#[test]
fn web_seed_is_asked_for_the_chosen_files_and_the_ends_of_their_neighbours() {
    let content = album();
    let server = WebServer::of(content.dir());
    let leecher = TestPeer::leecher(&content).web_seed(server.url());
    let leecher = leecher.with(only("1")).start();
    leecher.wait_complete();
    assert_has(&content, &leecher, &[1]);
    let paths: Vec<_> = server
        .requests()
        .into_iter()
        .map(|request| request.path)
        .collect();
    assert!(paths.iter().any(|path| path.ends_with("/b")), "{paths:?}");
    assert!(leecher.swarm().downloaded <= 240 * KIB as u64);
}

#[test]
fn partial_seed_never_tells_a_tracker_that_it_is_complete() {
    let content = album();
    let stub = StubTracker::with_body(b"d8:intervali60e5:peers0:e".to_vec());
    let seeder = TestPeer::seeder(&content).start();
    let leecher = TestPeer::leecher(&content)
        .tier([stub.url()])
        .knowing([&seeder]);
    let leecher = leecher.with(only("0")).start();
    leecher.wait_complete();
    eventually("started is told", || !stub.requests().is_empty());
    let end = leecher.stop();
    eventually("stopped is told", || stub.requests().len() == 2);
    let told = stub.requests().into_iter().map(|line| {
        let target = line.split(' ').nth(1).unwrap().to_owned();
        let query = target.split_once('?').unwrap().1.to_owned();
        announce(query.as_bytes()).unwrap().request
    });
    let told: Vec<_> = told.collect();
    let events: Vec<_> = told.iter().map(|request| request.event).collect();
    let expect = [AnnounceEvent::Started, AnnounceEvent::Stopped].map(Some);
    assert_eq!(events, expect);
    assert_eq!(told[1].left, end.swarm.bytes_total - end.swarm.bytes_have);
    assert!(told[1].left > 0);
}

#[test]
fn choice_without_a_file_is_refused() {
    let content = album();
    let refused = TestPeer::leecher(&content).with(only("9")).try_start();
    assert!(matches!(refused, Err(AddError::NoneChosen(_))));
}
