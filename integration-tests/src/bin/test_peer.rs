//! One client in a process of its own, for tests that measure or limit a process.
//!
//! `test-peer TORRENT DIR [--file-size-max BYTES] [PEER]...`: says `listening ADDRESS`, then
//! `checked`, `complete`, `disk failed: WHY`, `failed: WHY`, each on a line of its own. Ends the
//! client at the line `stop`, says `stopped`, and exits when its input ends.
#![forbid(unsafe_code)]

use std::env;
use std::error::Error;
use std::fs;
use std::io::stdin;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_std::task;
use rustix::process::{Resource, Rlimit, setrlimit};
use shoal_metainfo::Torrent;
use shoal_peer::{Engine, EngineConfig, Event, Handle, TorrentConfig};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1);
    let torrent = arguments.next().ok_or("no torrent given")?;
    let dir = PathBuf::from(arguments.next().ok_or("no folder given")?);
    let mut further: Vec<String> = arguments.filter_map(|a| a.into_string().ok()).collect();
    if further.first().is_some_and(|a| a == "--file-size-max") {
        limit_files(further.get(1).ok_or("no size given")?.parse()?)?;
        further.drain(..2);
    }
    let peers = further
        .iter()
        .map(|a| a.parse())
        .collect::<Result<_, _>>()?;

    let torrent = Arc::new(Torrent::parse(&fs::read(torrent)?)?);
    let engine = Engine::start(EngineConfig {
        listen: vec![([127, 0, 0, 1], 0).into()],
        ..EngineConfig::default()
    })?;
    println!("listening {}", engine.local_addrs()[0]);
    let config = TorrentConfig {
        dir,
        peers,
        ..TorrentConfig::default()
    };
    match engine.add(torrent, config) {
        Ok(handle) => drop(task::spawn(tell(handle))),
        Err(error) => println!("refused: {error}"),
    }
    let mut engine = Some(engine);
    for line in stdin().lines() {
        if line?.trim() == "stop"
            && let Some(engine) = engine.take()
        {
            task::block_on(engine.stop(Duration::from_secs(30)));
            println!("stopped");
        }
    }
    Ok(())
}

async fn tell(handle: Handle) {
    let mut events = handle.events();
    while let Some(event) = events.next().await {
        match event {
            Event::Checked { have, pieces, .. } => println!("checked {have}/{pieces}"),
            Event::Complete => println!("complete"),
            Event::DiskFailed(error) => println!("disk failed: {error}"),
            Event::DiskRecovered => println!("disk recovered"),
            Event::Failed(failure) => println!("failed: {failure}"),
            _ => {}
        }
    }
}

/// No file may be longer: the nearest that a user can get to a full disk.
fn limit_files(bytes: u64) -> Result<(), Box<dyn Error>> {
    // Unhandled, the signal would end the process; with it the call fails.
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default())?;
    let limit = Rlimit {
        current: Some(bytes),
        maximum: Some(bytes),
    };
    Ok(setrlimit(Resource::Fsize, limit)?)
}
