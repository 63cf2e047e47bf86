//! Makes a .torrent of a file or folder and writes it to standard output:
//! `cargo run -p shoal-metainfo --example create PATH [TRACKER_URL]... > some.torrent`.
#![forbid(unsafe_code)]

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use shoal_metainfo::create::{Draft, Plan, ScanOptions, piece_length_for};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let path = PathBuf::from(args.next().ok_or("usage: create PATH [TRACKER_URL]...")?);
    let plan = Plan::scan(&path, ScanOptions::default())?;
    for skipped in plan.skipped() {
        eprintln!(
            "left out: {} ({:?})",
            skipped.path.display(),
            skipped.reason
        );
    }
    let threads = std::thread::available_parallelism()?.get();
    let progress = |bytes| eprint!("\r{bytes} of {} bytes", plan.total());
    let never = AtomicBool::new(false);
    let hashes = plan.hash(piece_length_for(plan.total()), threads, &progress, &never)?;
    eprintln!();
    let torrent = Draft::with_trackers(args).encode(&plan, &hashes);
    std::io::stdout().write_all(&torrent)?;
    Ok(())
}
