//! Getting the metadata of a magnet link, and nothing else of it. BEP 9.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_std::task;
use futures_lite::future::or;
use shoal_metainfo::create::Draft;
use shoal_metainfo::{Magnet, Torrent};
use shoal_peer::{Engine, EngineConfig, Event, Handle, Proxy, TorrentConfig};

use crate::command::client::{ClientError, asking};
use crate::error::Error;
use crate::render::line::{Line, UNKNOWN};
use crate::render::{self, Mode};
use crate::signals::Interrupt;
use crate::{args, config, output};

/// For the end in good order: the trackers are told.
const STOP_MAX: Duration = Duration::from_secs(4);

/// Asks peers until one has given the metadata, and writes the .torrent if that is wanted.
///
/// # Errors
/// [`Error::Interrupted`] when it was stopped before; else as a client, and of the file.
pub(super) fn run(
    magnet: Magnet,
    args: &args::Show,
    proxy: Option<Proxy>,
) -> Result<Arc<Torrent>, Error> {
    if let Some(path) = &args.output {
        output::check(path, args.force)?;
    }
    let mut peers = Vec::new();
    for peer in &args.peers {
        peers.extend(config::peer_beside(peer, proxy.as_ref())?);
    }
    // Beside a proxy nothing goes.
    let dht = config::dht_of(&args.dht)?.filter(|_| proxy.is_none());
    let has_tracker = !args.no_tracker && !magnet.trackers.is_empty();
    if !has_tracker && peers.is_empty() && magnet.peers.is_empty() && dht.is_none() {
        render::note(
            "nobody is asked for the metadata: the link names no tracker and no peer, no DHT \
             is used, and no \
             --peer ADDRESS:PORT is given",
        );
    }
    let engine_config = EngineConfig {
        dht,
        ..proxy.map_or_else(|| EngineConfig::on_port(0), EngineConfig::behind)
    };
    let config = TorrentConfig {
        peers,
        use_trackers: !args.no_tracker,
        metadata_only: true,
        ..TorrentConfig::default()
    };
    let interrupt = Interrupt::listen(|| ()).map_err(Error::signals)?;
    shoal_peer::start_executor();
    let torrent = task::block_on(fetch(magnet, engine_config, config, args.json, &interrupt))?;
    if let Some(path) = &args.output {
        save(&torrent, path, args.force)?;
    }
    Ok(torrent)
}

async fn fetch(
    magnet: Magnet,
    engine_config: EngineConfig,
    config: TorrentConfig,
    is_json: bool,
    interrupt: &Interrupt,
) -> Result<Arc<Torrent>, Error> {
    let name = magnet.name.clone();
    let name = name.unwrap_or_else(|| magnet.info_hash.to_string());
    let line = Line::new(Mode::pick(is_json), &name, UNKNOWN);
    let engine = Engine::start(engine_config).map_err(ClientError::from)?;
    let fetched = match engine.add_magnet(magnet, config) {
        Ok(handle) => {
            let interrupted = async {
                interrupt.raised().await;
                Err(Error::Interrupted)
            };
            or(interrupted, watch(&handle, line)).await
        }
        Err(error) => Err(ClientError::from(error).into()),
    };
    engine.stop(STOP_MAX).await;
    fetched
}

async fn watch(handle: &Handle, mut line: Line) -> Result<Arc<Torrent>, Error> {
    let mut events = handle.events();
    loop {
        match events.next().await {
            Some(Event::MetadataFound(torrent)) => return Ok(torrent),
            Some(Event::MetadataProgress(progress)) => {
                line.set_total(progress.total);
                line.set(progress.bytes, asking(&progress));
            }
            Some(Event::TrackerFailed { url, error, .. }) => {
                tracing::warn!("tracker {url}: {error}");
            }
            Some(Event::Failed(failure)) => return Err(ClientError::from(failure).into()),
            Some(_) => {}
            None => return Err(Error::Interrupted),
        }
    }
}

/// Writes the .torrent: `info` byte for byte, the trackers and web seeds of the link.
fn save(torrent: &Torrent, path: &Path, force: bool) -> Result<(), Error> {
    let draft = Draft {
        tiers: torrent.tiers.clone(),
        web_seeds: torrent.web_seeds.clone(),
        ..Draft::default()
    };
    output::write(path, &draft.encode_around(torrent.info_bytes()), force)
}
