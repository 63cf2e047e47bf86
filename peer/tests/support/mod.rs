//! Torrents and engines for the tests of this crate.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use shoal_metainfo::Torrent;
use shoal_metainfo::create::{Draft, Plan, ScanOptions};
use shoal_peer::{Engine, EngineConfig, TorrentConfig};

/// For whatever should take a moment: only a hang is longer.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Writes files of these lengths, of random bytes, to `dir/name`.
pub(crate) fn write_files(dir: &Path, name: &str, lengths: &[usize], seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    fs::create_dir_all(dir.join(name).join("sub")).unwrap();
    for (number, &length) in lengths.iter().enumerate() {
        let mut bytes = vec![0; length];
        random.fill(&mut bytes);
        let path = dir.join(name);
        let path = if number % 2 == 0 {
            path.join(format!("file{number}"))
        } else {
            path.join("sub").join(format!("file{number}"))
        };
        fs::write(path, bytes).unwrap();
    }
}

/// The torrent of what lies at `path`, with these trackers.
pub(crate) fn torrent(path: &Path, piece_length: u32, trackers: &[String]) -> Arc<Torrent> {
    let plan = Plan::scan(path, ScanOptions::default()).unwrap();
    let hashes = plan
        .hash(piece_length, 1, &|_| {}, &AtomicBool::new(false))
        .unwrap();
    let draft = Draft::with_trackers(trackers.iter().cloned());
    Arc::new(Torrent::parse(&draft.encode(&plan, &hashes)).unwrap())
}

/// An engine on a free loopback port.
pub(crate) fn engine() -> Engine {
    Engine::start(EngineConfig {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        disk_threads: 2,
        check_threads: 1,
        ..EngineConfig::default()
    })
    .unwrap()
}

/// A torrent's configuration without trackers.
pub(crate) fn config(dir: &Path, peers: &[SocketAddr]) -> TorrentConfig {
    TorrentConfig {
        dir: dir.to_owned(),
        peers: peers.to_vec(),
        use_trackers: false,
        ..TorrentConfig::default()
    }
}

/// Asserts that two folders hold the same files.
pub(crate) fn assert_same(left: &Path, right: &Path) {
    let mut names: Vec<_> = fs::read_dir(left).unwrap().map(|e| e.unwrap()).collect();
    names.sort_by_key(fs::DirEntry::file_name);
    assert!(!names.is_empty());
    for entry in names {
        let other = right.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            assert_same(&entry.path(), &other);
        } else {
            assert!(
                fs::read(entry.path()).unwrap() == fs::read(&other).unwrap(),
                "{} differs",
                other.display()
            );
        }
    }
}
