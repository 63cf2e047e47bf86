//! Engines that find each other by nodes of the DHT alone, on loopback. BEP 5.

mod support;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use async_std::future::timeout;
use async_std::io::{ReadExt, WriteExt};
use async_std::net::TcpStream;
use async_std::task;
use shoal_metainfo::create::{Draft, Plan, ScanOptions};
use shoal_metainfo::{Magnet, PeerId, Torrent};
use shoal_peer::{Dht, DhtConfig, Engine, EngineConfig};
use shoal_swarm::io::CandidateSource;
use shoal_wire::{Extensions, Handshake};
use std::sync::atomic::AtomicBool;
use support::{LONG, assert_same, config, torrent, write_files};

fn run<T>(test: impl Future<Output = T>) -> T {
    task::block_on(async { timeout(LONG, test).await.expect("the test hangs") })
}

/// A node that serves no torrent, to begin with.
fn router() -> Dht {
    let listen = ["127.0.0.1:0".parse().unwrap()];
    Dht::start(DhtConfig::default(), &listen, None).unwrap()
}

fn engine(bootstrap: Option<&Dht>) -> Engine {
    let to = |dht: &Dht| ("127.0.0.1".to_owned(), dht.local_addrs()[0].port());
    Engine::start(EngineConfig {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        disk_threads: 2,
        check_threads: 1,
        dht: Some(DhtConfig {
            bootstrap: bootstrap.map(to).into_iter().collect(),
            read_only: false,
        }),
        ..EngineConfig::default()
    })
    .unwrap()
}

fn private(path: &Path) -> Arc<Torrent> {
    let plan = Plan::scan(path, ScanOptions::default()).unwrap();
    let hashes = plan
        .hash(16 << 10, 1, &|_| {}, &AtomicBool::new(false))
        .unwrap();
    let draft = Draft {
        private: true,
        ..Draft::default()
    };
    Arc::new(Torrent::parse(&draft.encode(&plan, &hashes)).unwrap())
}

#[test]
fn peers_find_each_other_by_the_dht_alone_and_so_does_a_magnet() {
    run(async {
        let (from, to, third) = (
            tempfile::tempdir().unwrap(),
            tempfile::tempdir().unwrap(),
            tempfile::tempdir().unwrap(),
        );
        write_files(from.path(), "t", &[500_000, 70_000], 1);
        let torrent = torrent(&from.path().join("t"), 32 << 10, &[]);
        let router = router();
        let engines = [(); 3].map(|()| engine(Some(&router)));
        let seeding = engines[0]
            .add(torrent.clone(), config(from.path(), &[]))
            .unwrap();
        assert!(seeding.wait_complete().await);
        // So that the others look when there is somebody to find.
        while router.snapshot().await.unwrap().peers == 0 {
            task::sleep(std::time::Duration::from_millis(5)).await;
        }
        let leeching = engines[1]
            .add(torrent.clone(), config(to.path(), &[]))
            .unwrap();
        assert!(leeching.wait_complete().await);
        assert_same(&from.path().join("t"), &to.path().join("t"));
        let magnet = Magnet::from_torrent(&torrent).to_string();
        let magnet: Magnet = magnet.parse().unwrap();
        let fetching = engines[2]
            .add_magnet(magnet, config(third.path(), &[]))
            .unwrap();
        assert!(fetching.wait_complete().await);
        assert_same(&from.path().join("t"), &third.path().join("t"));
        let sources = leeching.snapshot().await.unwrap().swarm.sources;
        let sources = format!("{sources:?}");
        assert!(
            sources.contains(&format!("{:?}", CandidateSource::Dht)),
            "{sources}"
        );
        for engine in engines {
            engine.stop(LONG).await;
        }
    });
}

#[test]
fn private_torrent_is_told_to_no_node_and_its_handshake_does_not_speak_of_one() {
    run(async {
        let from = tempfile::tempdir().unwrap();
        write_files(from.path(), "p", &[100_000], 2);
        write_files(from.path(), "t", &[100_000], 3);
        let router = router();
        let engine = engine(Some(&router));
        let hidden = private(&from.path().join("p"));
        let open = torrent(&from.path().join("t"), 32 << 10, &[]);
        let (hidden_dir, open_dir) = (from.path(), from.path().join("other"));
        write_files(&open_dir, "t", &[100_000], 3);
        let hiding = engine.add(hidden.clone(), config(hidden_dir, &[])).unwrap();
        let showing = engine.add(open.clone(), config(&open_dir, &[])).unwrap();
        assert!(hiding.wait_complete().await && showing.wait_complete().await);
        while router.snapshot().await.unwrap().torrents == 0 {
            task::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert_eq!(
            router.snapshot().await.unwrap().torrents,
            1,
            "the other one alone"
        );
        for (info_hash, speaks) in [(hidden.info_hash, false), (open.info_hash, true)] {
            let mut stream = TcpStream::connect(engine.local_addrs()[0]).await.unwrap();
            let ours = Handshake {
                extensions: Extensions::OURS.with_dht(),
                info_hash,
                peer_id: PeerId::ours([9; 12]),
            };
            stream.write_all(&ours.encode()).await.unwrap();
            let mut theirs = [0; 68];
            stream.read_exact(&mut theirs).await.unwrap();
            let theirs = Handshake::decode(&theirs).unwrap();
            assert_eq!(theirs.extensions.dht(), speaks);
            // The port of the node comes for the one, and never for the other.
            let port = engine.dht().unwrap().local_addrs()[0].port().to_be_bytes();
            let message = [0, 0, 0, 3, 9, port[0], port[1]];
            let mut heard = Vec::new();
            let mut buffer = [0; 4096];
            let wait = std::time::Duration::from_millis(if speaks { 30_000 } else { 300 });
            let told = timeout(wait, async {
                while !heard.windows(7).any(|window| window == message) {
                    let length = stream.read(&mut buffer).await.unwrap();
                    assert!(length > 0 || !speaks, "closed");
                    if length == 0 {
                        return std::future::pending().await;
                    }
                    heard.extend_from_slice(&buffer[..length]);
                }
            });
            assert_eq!(told.await.is_ok(), speaks);
        }
        engine.stop(LONG).await;
    });
}

#[test]
fn node_told_by_a_peer_is_asked_and_known() {
    run(async {
        let from = tempfile::tempdir().unwrap();
        write_files(from.path(), "t", &[100_000], 3);
        let torrent = torrent(&from.path().join("t"), 32 << 10, &[]);
        let (engine, stranger) = (engine(None), router());
        let seeding = engine
            .add(torrent.clone(), config(from.path(), &[]))
            .unwrap();
        assert!(seeding.wait_complete().await);
        let mut stream = TcpStream::connect(engine.local_addrs()[0]).await.unwrap();
        let ours = Handshake {
            extensions: Extensions::FAST.with_dht(),
            info_hash: torrent.info_hash,
            peer_id: PeerId::ours([9; 12]),
        };
        let port = stranger.local_addrs()[0].port().to_be_bytes();
        let have_none = [0, 0, 0, 1, 15];
        let told = [
            &ours.encode()[..],
            &have_none,
            &[0, 0, 0, 3, 9, port[0], port[1]],
        ]
        .concat();
        stream.write_all(&told).await.unwrap();
        engine.dht().unwrap().ready().await;
        let known = engine.dht().unwrap().snapshot().await.unwrap();
        assert_eq!(known.families[0].nodes, 1);
        engine.stop(LONG).await;
    });
}

#[test]
fn engine_without_a_node_does_not_speak_of_one() {
    run(async {
        let from = tempfile::tempdir().unwrap();
        write_files(from.path(), "t", &[1000], 3);
        let torrent = torrent(&from.path().join("t"), 32 << 10, &[]);
        let engine = support::engine();
        let seeding = engine
            .add(torrent.clone(), config(from.path(), &[]))
            .unwrap();
        assert!(seeding.wait_complete().await && engine.dht().is_none());
        let mut stream = TcpStream::connect(engine.local_addrs()[0]).await.unwrap();
        let ours = Handshake {
            extensions: Extensions::OURS.with_dht(),
            info_hash: torrent.info_hash,
            peer_id: PeerId::ours([9; 12]),
        };
        stream.write_all(&ours.encode()).await.unwrap();
        let mut theirs = [0; 68];
        stream.read_exact(&mut theirs).await.unwrap();
        assert!(!Handshake::decode(&theirs).unwrap().extensions.dht());
        engine.stop(LONG).await;
    });
}
