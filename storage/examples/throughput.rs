//! How fast one torrent goes to the disk and back, in time and in processor time:
//! `cargo run --release --example throughput [DIR] [MIB]`.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use shoal_metainfo::Info;
use shoal_storage::{Options, Storage};

const PIECE_LENGTH: usize = 1 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let above = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let mib: usize = args.next().map_or(Ok(1024), |text| text.parse())?;
    let dir = tempfile::tempdir_in(above)?;

    // Every piece is the same random bytes, so that making them costs nothing.
    let mut content = vec![0; PIECE_LENGTH];
    fastrand::Rng::with_seed(1).fill(&mut content);
    let total = mib << 20;
    let pieces = total / PIECE_LENGTH;
    let mut dict = format!("d6:lengthi{total}e4:name4:data12:piece lengthi{PIECE_LENGTH}e6:pieces");
    dict.push_str(&format!("{}:", pieces * 20));
    let mut dict = dict.into_bytes();
    dict.extend(shoal_hashing::sha1(&content).repeat(pieces));
    dict.push(b'e');
    let info = Arc::new(Info::parse(&dict)?);

    let storage = Storage::open(dir.path(), Arc::clone(&info), Options::default())?;
    let geometry = info.geometry;
    let rate = |what: &str, (start, cpu_start): (Instant, Duration)| {
        let seconds = start.elapsed().as_secs_f64();
        let cpu = (cpu_time() - cpu_start).as_secs_f64();
        let rate = mib as f64 / seconds;
        println!("{what:<24} {seconds:7.3} s {rate:9.0} MiB/s {cpu:7.3} s of processor");
    };

    let start = (Instant::now(), cpu_time());
    storage.prepare()?;
    for block in geometry
        .all_pieces()
        .flat_map(|piece| geometry.blocks(piece))
    {
        let begin = block.begin() as usize;
        storage.write(block, &content[begin..][..block.length() as usize])?;
    }
    rate("write, 1 thread", start);

    let start = (Instant::now(), cpu_time());
    for piece in geometry.all_pieces() {
        assert!(storage.verify(piece)?);
    }
    rate("verify, 1 thread", start);

    let start = (Instant::now(), cpu_time());
    let mut bytes = 0;
    for block in geometry
        .all_pieces()
        .flat_map(|piece| geometry.blocks(piece))
    {
        bytes += storage.read(block)?.len();
    }
    assert_eq!(bytes, total);
    rate("read, 1 thread, no copy", start);

    let start = (Instant::now(), cpu_time());
    storage.flush()?;
    rate("flush", start);

    let cores = std::thread::available_parallelism()?.get();
    for threads in [1, cores] {
        let start = (Instant::now(), cpu_time());
        assert!(
            storage
                .check(threads, &|_| {}, &AtomicBool::new(false))?
                .is_full()
        );
        rate(&format!("check, {threads} threads"), start);
    }
    Ok(())
}

fn cpu_time() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(spent).unwrap_or_default()
}
