//! Moves a file of random bytes between two engines on loopback, and says what it cost.
//!
//! `cargo run --release -p shoal-peer --example loopback -- [MEBIBYTES] [FOLDER]`

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use std::{env, fs};

use async_std::task;
use shoal_metainfo::Torrent;
use shoal_metainfo::create::{Draft, Plan, ScanOptions};
use shoal_peer::{Engine, EngineConfig, TorrentConfig};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let mebibytes: usize = args.next().map_or(Ok(64), |text| text.parse())?;
    let parent = args.next().map_or_else(env::temp_dir, PathBuf::from);
    let root = parent.join(format!("shoal-loopback-{}", std::process::id()));
    let moved = task::block_on(run(&root, mebibytes << 20));
    fs::remove_dir_all(&root)?;
    moved
}

async fn run(root: &std::path::Path, length: usize) -> Result<(), Box<dyn Error>> {
    let (from, to) = (root.join("from"), root.join("to"));
    fs::create_dir_all(&from)?;
    fs::create_dir_all(&to)?;
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(1).fill(&mut bytes);
    fs::write(from.join("file"), &bytes)?;
    drop(bytes);
    let plan = Plan::scan(&from.join("file"), ScanOptions::default())?;
    let hashes = plan.hash(1 << 20, 2, &|_| {}, &AtomicBool::new(false))?;
    let torrent = Arc::new(Torrent::parse(&Draft::default().encode(&plan, &hashes))?);

    let config = || EngineConfig {
        listen: vec![([127, 0, 0, 1], 0).into()],
        ..EngineConfig::default()
    };
    let (seeder, leecher) = (Engine::start(config())?, Engine::start(config())?);
    let content = |dir, peers: &[_]| TorrentConfig {
        dir,
        peers: peers.to_vec(),
        use_trackers: false,
        ..TorrentConfig::default()
    };
    let seeding = seeder.add(torrent.clone(), content(from, &[]))?;
    seeding.wait_complete().await;

    let (began, cpu) = (Instant::now(), cpu_time()?);
    let leeching = leecher.add(torrent, content(to, seeder.local_addrs()))?;
    leeching.wait_complete().await;
    let (wall, cpu) = (began.elapsed(), cpu_time()? - cpu);
    let gibibytes = length as f64 / f64::from(1 << 30);
    println!(
        "{:.2} GiB in {:.2} s ({:.2} GiB/s), {:.2} CPU-s per GiB for both ends",
        gibibytes,
        wall.as_secs_f64(),
        gibibytes / wall.as_secs_f64(),
        cpu.as_secs_f64() / gibibytes
    );
    leecher.stop(Duration::from_secs(10)).await;
    seeder.stop(Duration::from_secs(10)).await;
    Ok(())
}

/// CPU time of this process so far.
fn cpu_time() -> Result<Duration, Box<dyn Error>> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // Behind the name in brackets: fields 14 and 15 of proc(5), in hundredths of a second.
    let rest = stat.rsplit_once(')').ok_or("no name in stat")?.1;
    let ticks = rest.split_ascii_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(Duration::from_millis(ticks * 10))
}
