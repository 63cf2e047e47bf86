//! Whole swarms on loopback: what they move, and what they live through. BEP 3.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use shoal_integration_tests::{
    Content, PATIENCE, RawPeer, TestPeer, TestProcess, TestTracker, eventually,
};
use shoal_metainfo::piece::BLOCK_LENGTH;
use shoal_peer::{Event, State};
use shoal_storage::{Options, Storage};
use shoal_swarm::io::Event as SwarmEvent;
use shoal_wire::Message;

const MIB: usize = 1 << 20;

#[test]
fn one_seeder_fills_one_leecher() {
    let content = Content::single(3 * MIB + 5);
    let tracker = TestTracker::start();
    let seeder = TestPeer::seeder(&content).tier([tracker.url()]).start();
    seeder.wait_complete();
    tracker.wait_for_peers(&content, 1);
    let leecher = TestPeer::leecher(&content).tier([tracker.url()]).start();
    leecher.wait_complete();
    content.assert_identical(leecher.dir());
    let end = leecher.stop();
    assert_eq!(end.state, State::Stopped);
    assert_eq!(end.swarm.bytes_have, content.bytes().len() as u64);
    assert_eq!(end.swarm.wasted, 0, "nobody else could have sent it");
}

#[test]
fn one_seeder_fills_three_leechers_that_help_each_other() {
    let content = Content::single(6 * MIB);
    let tracker = TestTracker::start();
    // Slow enough that the leechers have something to give each other.
    let seeder = TestPeer::seeder(&content)
        .tier([tracker.url()])
        .with(|config| config.upload_bytes_per_s = Some(4 << 20))
        .start();
    seeder.wait_complete();
    let leech = || TestPeer::leecher(&content).tier([tracker.url()]).start();
    let leechers = [leech(), leech(), leech()];
    TestPeer::wait_all(&leechers);
    leechers
        .iter()
        .for_each(|leecher| content.assert_identical(leecher.dir()));
    let given: u64 = leechers.iter().map(|peer| peer.swarm().uploaded).sum();
    assert!(given > 0, "all of it came from the seeder");
    eventually("the tracker counts three completions", || {
        tracker.torrent(&content).is_some_and(|t| t.completed == 3)
    });
}

#[test]
fn three_partial_seeds_make_one_whole() {
    let content = Content::single(2 * MIB);
    let part = |rest| TestPeer::holding(&content, move |piece| piece % 3 == rest).start();
    let parts = [part(0), part(1), part(2)];
    for part in &parts {
        let have = part.wait_checked();
        assert!(
            have >= content.pieces() / 3 && have < content.pieces(),
            "{have}"
        );
    }
    let leecher = TestPeer::leecher(&content).knowing(&parts).start();
    leecher.wait_complete();
    content.assert_identical(leecher.dir());
    // And through it, all of them.
    TestPeer::wait_all(&parts);
    parts
        .iter()
        .for_each(|part| content.assert_identical(part.dir()));
}

#[test]
fn folder_of_large_tiny_and_empty_files_arrives_whole() {
    let content = Content::folder("album")
        .file("a/large", MIB + 1)
        .file("a/b/c/tiny", 1)
        .file("empty first", 0)
        .file("many/1", 700)
        .file("many/2", 0)
        .file("many/3", 15_000)
        .file("many/4", 3)
        .file("z", 40_000)
        .piece_length(32 << 10)
        .build();
    let seeder = TestPeer::seeder(&content).start();
    let leecher = TestPeer::leecher(&content).knowing([&seeder]).start();
    leecher.wait_complete();
    content.assert_identical(leecher.dir());
}

#[test]
fn foreign_files_are_left_alone() {
    let content = Content::folder("shared").file("ours", 200_000).build();
    let seeder = TestPeer::seeder(&content).start();
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("shared/theirs")).unwrap();
    let foreign = [
        ("shared/notes.txt", "mine"),
        ("shared/theirs/x", ""),
        ("elsewhere", "too"),
    ];
    for (path, text) in foreign {
        fs::write(dir.path().join(path), text).unwrap();
    }
    let leecher = TestPeer::leecher(&content)
        .in_dir(dir.path())
        .knowing([&seeder]);
    let leecher = leecher.start();
    leecher.wait_complete();
    let _ = leecher.stop();
    content.assert_identical(dir.path());
    for (path, text) in foreign {
        let found = fs::read_to_string(dir.path().join(path)).unwrap();
        assert_eq!(found, text, "{path}");
    }
    let names = fs::read_dir(dir.path().join("shared")).unwrap().count();
    assert_eq!(names, 3, "nothing was left beside the content");
}

#[test]
fn stopped_download_holds_what_is_verified_and_goes_on_there() {
    let content = Content::single(4 * MIB);
    let total = content.bytes().len() as u64;
    let seeder = TestPeer::seeder(&content).start();
    let dir = tempfile::tempdir().unwrap();
    let leecher = TestPeer::leecher(&content)
        .in_dir(dir.path())
        .knowing([&seeder])
        .with(|config| config.download_bytes_per_s = Some(1 << 20))
        .start();
    eventually("a quarter is here", || {
        leecher.swarm().bytes_have >= total / 4
    });
    let stopped = leecher.stop().swarm;
    assert!(stopped.pieces_have < content.pieces(), "stopped too late");

    let info = Arc::new(content.torrent().info.clone());
    let storage = Storage::open(dir.path(), info, Options::default()).unwrap();
    let have = storage.check(1, &|_| {}, &AtomicBool::new(false)).unwrap();
    // Blocks may have made one more piece whole that was not told any more.
    assert!(have.count() >= stopped.pieces_have, "{}", have.count());
    assert!(!have.is_full());
    drop(storage);

    let again = TestPeer::leecher(&content)
        .in_dir(dir.path())
        .knowing([&seeder]);
    let again = again.start();
    assert_eq!(again.wait_checked(), have.count());
    again.wait_complete();
    content.assert_identical(dir.path());
    let swarm = again.swarm();
    let missing = total - u64::from(have.count()) * (16 << 10);
    assert_eq!(swarm.downloaded - swarm.wasted, missing, "fetched again");
}

/// Answers every request of `leecher` with `spoil`t blocks until it is thrown out.
fn poison(
    leecher: SocketAddr,
    content: &Content,
    began: &mpsc::Sender<SocketAddr>,
    spoils: impl Fn(u32) -> bool,
) {
    let mut peer = RawPeer::greet(leecher, content.info_hash());
    let ours = peer.stream().local_addr().unwrap();
    peer.send(&Message::HaveAll).unwrap();
    peer.send(&Message::Unchoke).unwrap();
    let _ = peer.serve(PATIENCE, |block| {
        let mut data = content.block(block);
        if spoils(block.begin / BLOCK_LENGTH) {
            data[7] ^= 1;
        }
        // Only the first is waited for.
        let _ = began.send(ours);
        Some(data)
    });
}

/// One poisoner and two honest seeders: only the first is banned and the download completes.
fn check_poisoner(spoils: fn(u32) -> bool) {
    let content = Content::folder("t").file("f", 3 * MIB);
    let content = content.piece_length(64 << 10).build();
    let leecher = TestPeer::leecher(&content).start();
    let _ = leecher.wait_checked();
    let (began, spoiled) = mpsc::channel();
    thread::scope(|scope| {
        let address = leecher.address();
        let content = &content;
        scope.spawn(move || poison(address, content, &began, spoils));
        let poisoner = spoiled.recv_timeout(PATIENCE).unwrap();
        let honest = || TestPeer::seeder(content).knowing([&leecher]).start();
        let honest = [honest(), honest()];
        leecher.wait_complete();
        content.assert_identical(leecher.dir());
        let banned = leecher.wait_for("the poisoner is banned", |event| match event {
            Event::Swarm(SwarmEvent::PeerBanned { address, .. }) => Some(*address),
            _ => None,
        });
        assert_eq!(banned, poisoner);
        let bans = leecher
            .news()
            .iter()
            .filter(|event| matches!(event, Event::Swarm(SwarmEvent::PeerBanned { .. })))
            .count();
        assert_eq!(bans, 1, "only the poisoner");
        // One of them may have given it all before the other was connected.
        let given = || honest.iter().map(|peer| peer.swarm().uploaded).sum::<u64>();
        eventually("the honest ones have given", || given() > 0);
    });
}

#[test]
fn peer_that_sends_bad_blocks_is_banned_and_nobody_else() {
    check_poisoner(|_| true);
}

#[test]
fn peer_that_spoils_one_block_of_each_piece_is_banned_and_nobody_else() {
    check_poisoner(|block| block == 2);
}

#[test]
fn tracker_that_was_gone_is_found_again() {
    let content = Content::single(MIB);
    let tracker = TestTracker::start();
    let (address, url) = (tracker.address(), tracker.url());
    let seeder = TestPeer::seeder(&content).tier([url.clone()]).start();
    tracker.wait_for_peers(&content, 1);
    tracker.stop();
    let leecher = TestPeer::leecher(&content).tier([url]).start();
    let error = leecher.wait_for("a failed announce", |event| match event {
        Event::TrackerFailed { error, .. } => Some(error.clone()),
        _ => None,
    });
    assert!(error.contains("cannot connect"), "{error}");
    // With an empty table: both have to come back.
    let tracker = TestTracker::at(address);
    leecher.wait_complete();
    content.assert_identical(leecher.dir());
    tracker.wait_for_peers(&content, 2);
    drop(seeder);
}

#[test]
fn seeder_that_restarts_is_dialled_again() {
    let content = Content::single(4 * MIB);
    let slow = |setup: shoal_integration_tests::PeerSetup| {
        setup.with(|config| config.upload_bytes_per_s = Some(1 << 20))
    };
    let seeder = slow(TestPeer::seeder(&content)).start();
    let address = seeder.address();
    let leecher = TestPeer::leecher(&content).knowing([&seeder]).start();
    eventually("some of it is here", || leecher.swarm().pieces_have > 16);
    let _ = seeder.stop();
    assert!(leecher.swarm().pieces_have < content.pieces());
    let again = TestPeer::seeder(&content).listening_on(address).start();
    leecher.wait_complete();
    content.assert_identical(leecher.dir());
    assert!(again.swarm().uploaded > 0);
}

#[test]
fn twenty_leechers_at_once_are_filled() {
    let content = Content::single(2 * MIB);
    let tracker = TestTracker::start();
    let seeder = TestPeer::seeder(&content).tier([tracker.url()]).start();
    seeder.wait_complete();
    let leech = |_| TestPeer::leecher(&content).tier([tracker.url()]).start();
    let leechers: Vec<_> = (0..20).map(leech).collect();
    TestPeer::wait_all(&leechers);
    leechers
        .iter()
        .for_each(|leecher| content.assert_identical(leecher.dir()));
}

/// The average over a whole transfer, bytes a second.
fn rate(length: usize, began: Instant) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a few MiB")]
    let length = length as f64;
    length / began.elapsed().as_secs_f64()
}

#[test]
fn limits_of_rate_are_kept_in_the_long_run() {
    const LIMIT: f64 = 1_000_000.0;
    let content = Content::single(4 * MIB);
    let seeder = TestPeer::seeder(&content).start();
    let began = Instant::now();
    let limited = TestPeer::leecher(&content)
        .knowing([&seeder])
        .with(|config| config.download_bytes_per_s = Some(1_000_000))
        .start();
    limited.wait_complete();
    let found = rate(content.bytes().len(), began);
    assert!(found < 1.5 * LIMIT, "{found} bytes a second downloaded");
    drop(seeder);

    let limited = TestPeer::seeder(&content)
        .with(|config| config.upload_bytes_per_s = Some(1_000_000))
        .start();
    let began = Instant::now();
    let leecher = TestPeer::leecher(&content).knowing([&limited]).start();
    leecher.wait_complete();
    let found = rate(content.bytes().len(), began);
    assert!(found < 1.5 * LIMIT, "{found} bytes a second uploaded");
}

#[test]
fn limits_of_rate_can_be_changed_while_it_runs() {
    let content = Content::single(2 * MIB);
    let seeder = TestPeer::seeder(&content).start();
    // At this rate it would take hours.
    let leecher = TestPeer::leecher(&content)
        .knowing([&seeder])
        .with(|config| config.download_bytes_per_s = Some(100))
        .start();
    eventually("they are connected", || !leecher.swarm().peers.is_empty());
    let unlimited = leecher.handle().set_rates(None, None);
    shoal_integration_tests::wait("it is told", unlimited);
    leecher.wait_complete();
    content.assert_identical(leecher.dir());
}

#[test]
fn clean_stop_leaves_no_port_and_no_thread() {
    let content = Content::single(MIB);
    let mut process = TestProcess::start(
        env!("CARGO_BIN_EXE_test-peer"),
        &content.torrent_file(),
        content.dir(),
        &[],
    );
    let _ = process.wait_for("complete");
    let address = process.address();
    let leecher = TestPeer::leecher(&content).dialling([address]).start();
    leecher.wait_complete();
    let disk = |name: &String| name.starts_with("disk-") || name.starts_with("shoal-");
    assert!(process.threads().iter().any(disk), "no disk thread to end");
    process.stop_client();
    eventually("its threads have ended", || {
        !process.threads().iter().any(disk)
    });
    let refused = TcpStream::connect_timeout(&address, Duration::from_secs(5));
    assert!(refused.is_err(), "it still listens");
    eventually("the leecher sees it go", || {
        leecher.swarm().peers.is_empty()
    });
}
