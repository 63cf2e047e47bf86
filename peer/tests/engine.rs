//! Whole engines on loopback: what they move, how they end, what they refuse.

mod support;

use std::fs;
use std::future::Future;
use std::net::SocketAddr;

use async_std::future::timeout;
use async_std::io::{ReadExt, WriteExt};
use async_std::net::TcpStream;
use async_std::task;
use shoal_metainfo::{InfoHash, PeerId};
use shoal_peer::{AddError, Engine, EngineConfig, EngineError, Event, Failure, State};
use shoal_swarm::io::Event as SwarmEvent;
use shoal_wire::{Extensions, Handshake};
use support::{LONG, assert_same, config, engine, torrent, write_files};

fn run<T>(test: impl Future<Output = T>) -> T {
    task::block_on(async { timeout(LONG, test).await.expect("the test hangs") })
}

#[test]
fn many_files_move_from_one_engine_to_another() {
    run(async {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write_files(from.path(), "t", &[3_000_000, 1, 70_000, 0, 500_001], 1);
        let torrent = torrent(&from.path().join("t"), 64 << 10, &[]);
        let (seeder, leecher) = (engine(), engine());
        let seeding = seeder
            .add(torrent.clone(), config(from.path(), &[]))
            .unwrap();
        assert!(seeding.wait_complete().await);
        let peers = seeder.local_addrs().to_vec();
        let leeching = leecher.add(torrent, config(to.path(), &peers)).unwrap();
        assert!(leeching.wait_complete().await);
        assert_same(&from.path().join("t"), &to.path().join("t"));
        let snapshot = leeching.snapshot().await.unwrap();
        assert_eq!(snapshot.state, State::Seeding);
        assert_eq!(snapshot.swarm.bytes_have, snapshot.swarm.bytes_total);
        assert!(snapshot.swarm.downloaded >= snapshot.swarm.bytes_total);
        leecher.stop(LONG).await;
        seeder.stop(LONG).await;
        let last = leeching.snapshot().await.unwrap();
        assert_eq!(last.state, State::Stopped);
    });
}

#[test]
fn download_goes_on_where_it_stopped() {
    run(async {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write_files(from.path(), "t", &[1_000_000, 300_000], 2);
        let torrent = torrent(&from.path().join("t"), 32 << 10, &[]);
        // Half of it is there, and one piece of that is spoiled.
        write_files(to.path(), "t", &[1_000_000, 300_000], 2);
        let path = to.path().join("t/file0");
        let mut bytes = fs::read(&path).unwrap();
        bytes.truncate(500_000);
        bytes[40_000] ^= 1;
        fs::write(&path, bytes).unwrap();
        let (seeder, leecher) = (engine(), engine());
        let seeding = seeder
            .add(torrent.clone(), config(from.path(), &[]))
            .unwrap();
        assert!(seeding.wait_complete().await);
        let leeching = leecher
            .add(torrent, config(to.path(), seeder.local_addrs()))
            .unwrap();
        let mut events = leeching.events();
        let have = loop {
            if let Event::Checked { have, pieces, .. } = events.next().await.unwrap() {
                assert!(have < pieces);
                break have;
            }
        };
        assert!(have >= 20, "{have} pieces were kept");
        assert!(leeching.wait_complete().await);
        assert_same(&from.path().join("t"), &to.path().join("t"));
        let swarm = leeching.snapshot().await.unwrap().swarm;
        assert!(
            swarm.downloaded < swarm.bytes_total,
            "kept pieces were fetched again"
        );
        leecher.stop(LONG).await;
        seeder.stop(LONG).await;
    });
}

#[test]
fn same_torrent_can_be_added_again_only_after_it_ended() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        write_files(dir.path(), "t", &[100_000], 3);
        let torrent = torrent(&dir.path().join("t"), 16 << 10, &[]);
        let engine = engine();
        let first = engine
            .add(torrent.clone(), config(dir.path(), &[]))
            .unwrap();
        let again = engine.add(torrent.clone(), config(dir.path(), &[]));
        assert!(matches!(again, Err(AddError::Running(hash)) if hash == torrent.info_hash));
        first.stop().await;
        first.stop().await;
        let second = engine.add(torrent, config(dir.path(), &[])).unwrap();
        assert!(second.wait_complete().await);
        engine.stop(LONG).await;
        assert_eq!(second.snapshot().await.unwrap().state, State::Stopped);
        assert!(second.wait_complete().await, "it was complete");
    });
}

#[test]
fn taken_port_is_a_typed_error() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap();
    let config = EngineConfig {
        listen: vec![taken],
        ..EngineConfig::default()
    };
    let error = Engine::start(config).err().unwrap();
    assert!(matches!(error, EngineError::PortTaken { address } if address == taken));
}

#[test]
fn folder_in_place_of_a_file_is_a_typed_error() {
    run(async {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write_files(from.path(), "t", &[100_000, 5], 4);
        let torrent = torrent(&from.path().join("t"), 16 << 10, &[]);
        fs::create_dir_all(to.path().join("t/file0")).unwrap();
        let engine = engine();
        let error = engine.add(torrent, config(to.path(), &[])).err().unwrap();
        assert!(matches!(error, AddError::Storage(_)), "{error}");
        assert!(error.to_string().contains("file0"), "{error}");
        engine.stop(LONG).await;
    });
}

async fn greet(address: SocketAddr, info_hash: InfoHash) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let ours = Handshake {
        extensions: Extensions::OURS,
        info_hash,
        peer_id: PeerId::ours([9; 12]),
    };
    stream.write_all(&ours.encode()).await.unwrap();
    stream
}

/// Reads until the other side closes; how much it sent.
async fn read_to_the_end(stream: &mut TcpStream) -> usize {
    let mut bytes = Vec::new();
    // A reset is an end too.
    let _ = stream.read_to_end(&mut bytes).await;
    bytes.len()
}

#[test]
fn strangers_and_garbage_are_turned_away_unanswered() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        write_files(dir.path(), "t", &[100_000], 5);
        let torrent = torrent(&dir.path().join("t"), 16 << 10, &[]);
        let engine = engine();
        let handle = engine.add(torrent, config(dir.path(), &[])).unwrap();
        assert!(handle.wait_complete().await);
        let address = engine.local_addrs()[0];
        let mut stranger = greet(address, InfoHash([1; 20])).await;
        assert_eq!(read_to_the_end(&mut stranger).await, 0);
        let mut garbage = TcpStream::connect(address).await.unwrap();
        garbage.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        assert_eq!(read_to_the_end(&mut garbage).await, 0);
        assert!(handle.snapshot().await.unwrap().swarm.peers.is_empty());
        engine.stop(LONG).await;
    });
}

#[test]
fn peers_can_connect_as_soon_as_complete_is_told() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        write_files(dir.path(), "t", &[20_000], 9);
        let torrent = torrent(&dir.path().join("t"), 16 << 10, &[]);
        let engine = engine();
        for _ in 0..200 {
            let handle = engine
                .add(torrent.clone(), config(dir.path(), &[]))
                .unwrap();
            assert!(handle.wait_complete().await);
            let mut peer = greet(engine.local_addrs()[0], torrent.info_hash).await;
            let answer = peer.read_exact(&mut [0; 68]).await;
            assert!(answer.is_ok(), "turned away");
            handle.stop().await;
        }
        engine.stop(LONG).await;
    });
}

#[test]
fn stop_closes_what_is_open_and_drop_does_too() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        write_files(dir.path(), "t", &[100_000], 6);
        let torrent = torrent(&dir.path().join("t"), 16 << 10, &[]);
        for dropped in [false, true] {
            let engine = engine();
            let handle = engine
                .add(torrent.clone(), config(dir.path(), &[]))
                .unwrap();
            assert!(handle.wait_complete().await);
            let address = engine.local_addrs()[0];
            let mut peer = greet(address, torrent.info_hash).await;
            let mut half_open = TcpStream::connect(address).await.unwrap();
            peer.read_exact(&mut [0; 68]).await.unwrap();
            let mut events = handle.events();
            if dropped {
                drop(engine);
            } else {
                engine.stop(LONG).await;
            }
            read_to_the_end(&mut peer).await;
            read_to_the_end(&mut half_open).await;
            let mut last = None;
            while let Some(event) = events.next().await {
                last = Some(event);
            }
            assert_eq!(last, Some(Event::Stopped));
            assert!(
                TcpStream::connect(address).await.is_err(),
                "it still listens"
            );
        }
    });
}

#[test]
fn seeding_from_a_folder_that_cannot_be_written_is_fine_and_downloading_is_not() {
    use std::os::unix::fs::PermissionsExt;
    run(async {
        let (full, empty) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write_files(full.path(), "t", &[100_000], 7);
        let torrent = torrent(&full.path().join("t"), 16 << 10, &[]);
        let lock = |path: &std::path::Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        for path in ["t/file0", "t/sub", "t", ""] {
            lock(&full.path().join(path), 0o555);
        }
        lock(empty.path(), 0o555);
        // Root may write everywhere; then there is nothing to see here.
        let is_root = fs::write(empty.path().join("probe"), b"").is_ok();
        if is_root {
            eprintln!("not tested here: cli/tests/cli/disk.rs becomes somebody else");
        } else {
            let engine = engine();
            let seeding = engine
                .add(torrent.clone(), config(full.path(), &[]))
                .unwrap();
            assert!(seeding.wait_complete().await);
            seeding.stop().await;
            let leeching = engine.add(torrent, config(empty.path(), &[])).unwrap();
            let mut events = leeching.events();
            let mut last = None;
            while let Some(event) = events.next().await {
                last = Some(event);
            }
            assert!(
                matches!(last, Some(Event::Failed(Failure::Storage(_)))),
                "{last:?}"
            );
            engine.stop(LONG).await;
        }
        for path in ["", "t", "t/sub"] {
            lock(&full.path().join(path), 0o755);
        }
        lock(empty.path(), 0o755);
    });
}

/// A tracker that gives one peer to everyone; the query strings that it was asked with.
fn tracker(peer: SocketAddr) -> (String, std::sync::mpsc::Receiver<String>) {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/announce", listener.local_addr().unwrap());
    let (told, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read(&mut byte).unwrap_or(0) == 0 {
                    break;
                }
                head.extend(byte);
            }
            let SocketAddr::V4(peer) = peer else {
                panic!("an IPv4 address is wanted")
            };
            let mut body = b"d8:intervali1800e5:peers6:".to_vec();
            body.extend(peer.ip().octets());
            body.extend(peer.port().to_be_bytes());
            body.push(b'e');
            let length = body.len();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            let _ = stream.write_all(&[answer.as_bytes(), &body].concat());
            if told
                .send(String::from_utf8_lossy(&head).into_owned())
                .is_err()
            {
                return;
            }
        }
    });
    (url, heard)
}

#[test]
fn peers_of_a_tracker_are_used_and_it_is_told_of_every_step() {
    run(async {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write_files(from.path(), "t", &[400_000], 8);
        let (seeder, leecher) = (engine(), engine());
        let (url, heard) = tracker(seeder.local_addrs()[0]);
        let torrent = torrent(&from.path().join("t"), 16 << 10, std::slice::from_ref(&url));
        let seeding = seeder
            .add(torrent.clone(), config(from.path(), &[]))
            .unwrap();
        assert!(seeding.wait_complete().await);
        let mut config = config(to.path(), &[]);
        config.use_trackers = true;
        let leeching = leecher.add(torrent, config).unwrap();
        assert!(leeching.wait_complete().await);
        let status = leeching.snapshot().await.unwrap().trackers;
        assert_eq!(status[0].url, url);
        leecher.stop(LONG).await;
        seeder.stop(LONG).await;
        let heard: Vec<_> = heard.try_iter().collect();
        for (number, event) in ["started", "completed", "stopped"].iter().enumerate() {
            assert!(
                heard[number].contains(&format!("event={event}")),
                "{heard:?}"
            );
        }
        assert!(
            heard[0].contains("left=400000") && heard[2].contains("left=0"),
            "{heard:?}"
        );
    });
}

#[test]
fn tracker_that_is_gone_is_told_and_does_not_delay_the_end() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        write_files(dir.path(), "t", &[10_000], 9);
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/announce", free.local_addr().unwrap());
        drop(free);
        let torrent = torrent(&dir.path().join("t"), 16 << 10, std::slice::from_ref(&url));
        let engine = engine();
        let mut config = config(dir.path(), &[]);
        config.use_trackers = true;
        let handle = engine.add(torrent, config).unwrap();
        let mut events = handle.events();
        let failed = loop {
            if let Event::TrackerFailed { url, error, .. } = events.next().await.unwrap() {
                break (url, error);
            }
        };
        assert_eq!(failed.0, url);
        assert!(failed.1.contains("cannot connect"), "{}", failed.1);
        engine.stop(LONG).await;
    });
}

#[test]
fn disk_that_fails_under_way_is_told_and_the_download_goes_on_when_it_works_again() {
    run(async {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write_files(from.path(), "t", &[200_000, 300_000], 10);
        let torrent = torrent(&from.path().join("t"), 16 << 10, &[]);
        let (seeder, leecher) = (engine(), engine());
        let leeching = leecher
            .add(torrent.clone(), config(to.path(), &[]))
            .unwrap();
        let mut events = leeching.events();
        while !matches!(events.next().await, Some(Event::Checked { .. })) {}
        // Once it is looked at, something comes into the way.
        let in_the_way = to.path().join("t/file0");
        fs::create_dir_all(&in_the_way).unwrap();
        let mut peer = config(from.path(), leecher.local_addrs());
        peer.use_trackers = false;
        let seeding = seeder.add(torrent, peer).unwrap();
        assert!(seeding.wait_complete().await);
        let error = loop {
            if let Event::DiskFailed(error) = events.next().await.unwrap() {
                break error;
            }
        };
        assert!(error.to_string().contains("file0"), "{error}");
        assert!(leeching.snapshot().await.unwrap().swarm.disk_failed);
        fs::remove_dir(&in_the_way).unwrap();
        while !matches!(events.next().await, Some(Event::DiskRecovered)) {}
        assert!(leeching.wait_complete().await);
        assert_same(&from.path().join("t"), &to.path().join("t"));
        let banned = leeching.snapshot().await.unwrap().swarm.banned;
        assert_eq!(banned, 0, "nobody is to blame");
        leecher.stop(LONG).await;
        seeder.stop(LONG).await;
    });
}

#[test]
fn file_that_is_cut_under_a_seed_stops_it_until_it_is_whole_again() {
    run(async {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write_files(from.path(), "t", &[2_000_000, 300_000], 9);
        let torrent = torrent(&from.path().join("t"), 64 << 10, &[]);
        let (seeder, leecher) = (engine(), engine());
        let seeding = seeder
            .add(torrent.clone(), config(from.path(), &[]))
            .unwrap();
        assert!(seeding.wait_complete().await);
        let path = from.path().join("t/file0");
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..100_000]).unwrap();
        let mut news = seeding.events();
        let peers = seeder.local_addrs().to_vec();
        let leeching = leecher
            .add(torrent.clone(), config(to.path(), &peers))
            .unwrap();
        while !matches!(news.next().await, Some(Event::DiskFailed(_))) {}
        // As long as before, and other bytes: that is not what was verified.
        let mut other = bytes.clone();
        other[1_999_999] ^= 1;
        fs::write(&path, &other).unwrap();
        task::sleep(std::time::Duration::from_secs(4)).await;
        assert!(seeding.snapshot().await.unwrap().swarm.disk_failed);
        fs::write(&path, &bytes).unwrap();
        while !matches!(news.next().await, Some(Event::DiskRecovered)) {}
        let mut told = leeching.events();
        while let Some(event) = told.try_next() {
            let failed = matches!(event, Event::Swarm(SwarmEvent::PieceFailed { .. }));
            assert!(!failed, "{event:?}");
        }
        leecher.stop(LONG).await;
        let (leecher, to) = (engine(), tempfile::tempdir().unwrap());
        let leeching = leecher.add(torrent, config(to.path(), &peers)).unwrap();
        assert!(leeching.wait_complete().await);
        assert_same(&from.path().join("t"), &to.path().join("t"));
        leecher.stop(LONG).await;
        seeder.stop(LONG).await;
    });
}
