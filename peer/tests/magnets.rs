//! Torrents that begin with a magnet link, engine to engine. BEP 9.

mod support;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_std::future::timeout;
use async_std::task;
use shoal_metainfo::{Magnet, Torrent};
use shoal_peer::{Engine, Event, Failure, Handle, State, TorrentConfig};

use support::{LONG, assert_same, config, engine, torrent, write_files};

fn run<T>(test: impl Future<Output = T>) -> T {
    task::block_on(async { timeout(LONG, test).await.expect("it hangs") })
}

/// A link with nothing but the hash, and where the engine listens.
fn link(torrent: &Torrent, seeder: &Engine) -> Magnet {
    let peers = seeder.local_addrs().iter().map(ToString::to_string);
    Magnet {
        peers: peers.collect(),
        ..Magnet::new(torrent.info_hash)
    }
}

async fn next(handle: &Handle, wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
    let mut events = handle.events();
    let mut seen = Vec::new();
    while let Some(event) = events.next().await {
        let found = wanted(&event);
        seen.push(event);
        if found {
            return seen;
        }
    }
    panic!("it ended: {seen:?}");
}

/// Content whose metadata has several pieces: 3,000 pieces of 20 bytes.
fn seed(dir: &std::path::Path) -> Arc<Torrent> {
    write_files(dir, "sea", &[3_000 << 10, 17, 2_000], 7);
    torrent(&dir.join("sea"), 1 << 10, &[])
}

#[test]
fn magnet_gets_its_metadata_and_then_the_content_from_the_same_peer() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let torrent = seed(from.path());
    run(async {
        let (seeder, leecher) = (engine(), engine());
        seeder
            .add(torrent.clone(), config(from.path(), &[]))
            .unwrap();
        let magnet = link(&torrent, &seeder);
        let handle = leecher.add_magnet(magnet, config(to.path(), &[])).unwrap();
        assert_eq!(handle.ways(), None);
        let seen = next(&handle, |event| *event == Event::Complete).await;
        let found = seen.iter().filter_map(|event| match event {
            Event::MetadataFound(found) => Some(found.info_bytes()),
            _ => None,
        });
        assert_eq!(found.collect::<Vec<_>>(), [torrent.info_bytes()]);
        let connected = |event: &&Event| {
            matches!(
                event,
                Event::Swarm(shoal_swarm::Event::PeerConnected { .. })
            )
        };
        assert_eq!(
            seen.iter().filter(connected).count(),
            1,
            "no second connection"
        );
        assert_eq!(handle.snapshot().await.unwrap().state, State::Seeding);
        assert_same(&from.path().join("sea"), &to.path().join("sea"));
        // It serves the metadata on: to one that knows nobody else.
        let third = tempfile::tempdir().unwrap();
        let other = engine();
        let magnet = link(&torrent, &leecher);
        seeder.stop(Duration::from_secs(5)).await;
        let handle = other.add_magnet(magnet, config(third.path(), &[])).unwrap();
        assert!(handle.wait_complete().await);
        assert_same(&from.path().join("sea"), &third.path().join("sea"));
        leecher.stop(Duration::from_secs(5)).await;
        other.stop(Duration::from_secs(5)).await;
    });
}

#[test]
fn magnet_goes_on_with_what_is_in_the_folder() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let torrent = seed(from.path());
    // More pieces than are told one by one: the connection is opened anew.
    write_files(to.path(), "sea", &[3_000 << 10, 17, 2_000], 7);
    let large = to.path().join("sea/file0");
    let mut bytes = std::fs::read(&large).unwrap();
    bytes[2_500 << 10] ^= 1;
    std::fs::write(&large, bytes).unwrap();
    run(async {
        let (seeder, leecher) = (engine(), engine());
        seeder
            .add(torrent.clone(), config(from.path(), &[]))
            .unwrap();
        let magnet = link(&torrent, &seeder);
        let handle = leecher.add_magnet(magnet, config(to.path(), &[])).unwrap();
        let seen = next(&handle, |event| *event == Event::Complete).await;
        let pieces = torrent.info.geometry.pieces();
        let checked =
            |event: &Event| matches!(event, Event::Checked { have, .. } if *have == pieces - 1);
        assert!(seen.iter().any(checked), "{seen:?}");
        assert_same(&from.path().join("sea"), &to.path().join("sea"));
        assert_eq!(handle.snapshot().await.unwrap().swarm.downloaded, 1 << 10);
        leecher.stop(Duration::from_secs(5)).await;
        seeder.stop(Duration::from_secs(5)).await;
    });
}

#[test]
fn magnet_for_the_metadata_alone_touches_no_files() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let torrent = seed(from.path());
    run(async {
        let (seeder, leecher) = (engine(), engine());
        seeder
            .add(torrent.clone(), config(from.path(), &[]))
            .unwrap();
        let config = TorrentConfig {
            metadata_only: true,
            ..config(&to.path().join("not made"), &[])
        };
        let handle = leecher.add_magnet(link(&torrent, &seeder), config).unwrap();
        next(&handle, |event| matches!(event, Event::MetadataFound(_))).await;
        handle.stop().await;
        assert_eq!(std::fs::read_dir(to.path()).unwrap().count(), 0);
        leecher.stop(Duration::from_secs(5)).await;
        seeder.stop(Duration::from_secs(5)).await;
    });
}

#[test]
fn magnet_without_peers_says_what_it_is_at_and_can_be_stopped() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let engine = engine();
        let magnet = Magnet::new(shoal_metainfo::InfoHash([9; 20]));
        let handle = engine
            .add_magnet(magnet.clone(), config(dir.path(), &[]))
            .unwrap();
        let snapshot = handle.snapshot().await.unwrap();
        assert_eq!((snapshot.state, snapshot.ways), (State::Metadata, None));
        assert_eq!(snapshot.swarm.metadata.unwrap().peers, 0);
        let again = engine.add_magnet(magnet, config(dir.path(), &[]));
        assert!(matches!(again, Err(shoal_peer::AddError::Running(_))));
        handle.stop().await;
        assert_eq!(handle.snapshot().await.unwrap().state, State::Stopped);
        engine.stop(Duration::from_secs(5)).await;
    });
}

#[test]
fn files_that_cannot_be_used_end_a_magnet_with_their_error() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let torrent = seed(from.path());
    // A file where the torrent's folder belongs.
    std::fs::write(to.path().join("sea"), b"in the way").unwrap();
    run(async {
        let (seeder, leecher) = (engine(), engine());
        seeder
            .add(torrent.clone(), config(from.path(), &[]))
            .unwrap();
        let magnet = link(&torrent, &seeder);
        let handle = leecher.add_magnet(magnet, config(to.path(), &[])).unwrap();
        let seen = next(&handle, |event| matches!(event, Event::Failed(_))).await;
        let last = seen.last();
        assert!(
            matches!(last, Some(Event::Failed(Failure::Storage(_)))),
            "{last:?}"
        );
        leecher.stop(Duration::from_secs(5)).await;
        seeder.stop(Duration::from_secs(5)).await;
    });
}
