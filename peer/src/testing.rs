//! Torrents for this crate's unit tests.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use shoal_metainfo::Torrent;
use shoal_metainfo::create::{Draft, Plan, ScanOptions};

/// The torrent of what lies at `path`, without trackers.
pub(crate) fn torrent(path: &Path, piece_length: u32) -> Torrent {
    let plan = Plan::scan(path, ScanOptions::default()).unwrap();
    let hashes = plan
        .hash(piece_length, 1, &|_| {}, &AtomicBool::new(false))
        .unwrap();
    Torrent::parse(&Draft::default().encode(&plan, &hashes)).unwrap()
}
