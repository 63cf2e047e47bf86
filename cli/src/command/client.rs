//! `shoal client`: checks what is here, downloads what is missing, seeds until it is stopped.
//!
//! Listens to one torrent of an engine and to the signals; `view` shows what they say. Knows
//! nothing of peers and pieces: the engine does the work.

mod sources;
mod told;
mod view;

use std::env;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_std::channel::Receiver;
use async_std::task;
use futures_lite::future::{or, pending};
use shoal_metainfo::{Choice, Torrent};
use shoal_peer::ports::{MapBy, PortNews};
use shoal_peer::shoal_dht::Snapshot;
use shoal_peer::{
    AddError, Dht, DhtConfig, Engine, EngineConfig, EngineError, Event, Events, Failure, Handle,
    Proxy,
};
use shoal_peer::{TorrentConfig, TorrentSnapshot};

pub(crate) use self::told::asking;
use self::view::{TooLong, View};
use crate::error::Error;
use crate::link::{self, Named};
use crate::render::Mode;
use crate::signals::Interrupt;
use crate::{args, config, torrent_file};

/// Between two looks at how things stand. Source: docs/json-events.md, `progress`.
const TICK: Duration = Duration::from_secs(1);
/// The same while the line is live. Ours: it moves while one looks.
const TICK_LIVE: Duration = Duration::from_millis(250);
/// For the end in good order: the trackers have 3 s of it, the rest is for the disk.
const STOP_MAX: Duration = Duration::from_secs(5);

/// Why the client could not begin or go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// It could not listen, or the like.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The torrent could not be taken up.
    #[error(transparent)]
    Add(#[from] AddError),
    /// The torrent ended by itself.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// What is meant.
struct Config {
    named: Named,
    port: u16,
    proxy: Option<Proxy>,
    dir: PathBuf,
    state_dir: Option<PathBuf>,
    use_lsd: bool,
    map_port: Vec<MapBy>,
    dht: Option<DhtConfig>,
    /// The system names no folder for that.
    has_no_state: bool,
    exit_when_complete: bool,
    with_pieces: bool,
    /// Nobody is named who could know peers.
    is_alone: bool,
    /// What of the torrent is left out.
    warnings: Vec<String>,
    mode: Mode,
}

/// Runs it.
///
/// # Errors
/// [`Error::Interrupted`] when it was stopped before it was complete.
pub(crate) fn run(args: args::Client) -> Result<(), Error> {
    let named = link::named(&args.torrent)?;
    let proxy = config::proxy(args.proxy.as_deref())?;
    let mut peers = Vec::new();
    for peer in &args.peers {
        peers.extend(config::peer_beside(peer, proxy.as_ref())?);
    }
    let dir = config::folder(args.dir.as_deref());
    let torrent_config = TorrentConfig {
        dir: dir.clone(),
        peers,
        use_trackers: !args.no_tracker,
        use_web_seeds: !args.no_web_seeds,
        use_pex: !args.no_pex,
        upload_bytes_per_s: args.max_upload.map(|rate| rate.0),
        download_bytes_per_s: args.max_download.map(|rate| rate.0),
        method: args.storage,
        allocation: args.allocation,
        files: (args.only.iter().cloned()).fold(Choice::default(), Choice::and),
        ..TorrentConfig::default()
    };
    let is_private = matches!(&named, Named::File(torrent) if torrent.info.private);
    // BEP 27: of a private torrent nobody but its trackers may know. Beside a proxy nothing goes.
    let may_seek = !is_private && proxy.is_none();
    let dht = config::dht_of(&args.dht)?.filter(|_| may_seek);
    let seeks = dht.is_some() || (may_seek && !args.no_lsd);
    let warnings = match &named {
        Named::File(torrent) => torrent_file::warnings(torrent, &args.torrent).collect(),
        Named::Link(_) => Vec::new(),
    };
    let state_dir = match args.no_resume {
        true => None,
        false => config::state_folder(args.state_dir.as_deref(), |name| env::var_os(name)),
    };
    let config = Config {
        has_no_state: state_dir.is_none() && !args.no_resume,
        state_dir,
        is_alone: !(seeks || names_source(&named, &args)),
        use_lsd: !args.no_lsd,
        map_port: match args.map_port {
            None => Vec::new(),
            Some(None) => MapBy::ALL.to_vec(),
            Some(Some(by)) => vec![by],
        },
        dht,
        warnings,
        named,
        port: args.port,
        proxy,
        dir,
        exit_when_complete: args.exit_when_complete,
        with_pieces: args.json_pieces,
        mode: Mode::pick(args.json),
    };
    let interrupt = Interrupt::listen(|| ()).map_err(Error::signals)?;
    shoal_peer::start_executor();
    task::block_on(serve(&config, torrent_config, &interrupt))
}

/// Whether anybody is named who has the content, or knows who has.
fn names_source(named: &Named, args: &args::Client) -> bool {
    let (tracker, other) = match named {
        Named::File(torrent) => {
            let seeds = torrent.web_seeds.iter().chain(&torrent.http_seeds);
            let has_seed = !args.no_web_seeds && seeds.count() > 0;
            (torrent.trackers().next().is_some(), has_seed)
        }
        // A web seed gives no metadata.
        Named::Link(magnet) => (!magnet.trackers.is_empty(), !magnet.peers.is_empty()),
    };
    (tracker && !args.no_tracker) || other || !args.peers.is_empty()
}

async fn serve(
    config: &Config,
    torrent_config: TorrentConfig,
    interrupt: &Interrupt,
) -> Result<(), Error> {
    let engine = Engine::start(EngineConfig {
        state_dir: config.state_dir.clone(),
        use_lsd: config.use_lsd,
        map_port: config.map_port.clone(),
        dht: config.dht.clone(),
        ..match &config.proxy {
            Some(proxy) => EngineConfig::behind(proxy.clone()),
            None => EngineConfig::on_port(config.port),
        }
    });
    let engine = engine.map_err(ClientError::from)?;
    let port = engine.local_addrs().first().map(SocketAddr::port);
    let added = match &config.named {
        Named::File(torrent) => engine.add(Arc::clone(torrent), torrent_config),
        Named::Link(magnet) => engine.add_magnet((**magnet).clone(), torrent_config),
    };
    let handle = match added {
        Ok(handle) => handle,
        Err(error) => {
            engine.stop(STOP_MAX).await;
            return Err(ClientError::from(error).into());
        }
    };
    let mut client = Client {
        config,
        torrent: match &config.named {
            Named::File(torrent) => Some(Arc::clone(torrent)),
            Named::Link(_) => None,
        },
        events: handle.events(),
        port_news: engine.port_news(),
        dht: engine.dht().cloned(),
        handle,
        complete: false,
    };
    let mut view = View::new(config.mode, &config.named, config.with_pieces);
    let alone = "nobody is asked for peers: no tracker, no web seed and no DHT is used, no --peer \
                 ADDRESS:PORT given, and nobody looked for in the network; \
                 only who connects to us is served";
    let forgetful = "neither XDG_STATE_HOME nor HOME names a folder, so nothing is remembered for \
                     the next start; --state-dir DIR names one, --no-resume does without";
    let told = view
        .started(port, &config.dir, client.handle.ways())
        .and_then(|()| config.warnings.iter().try_for_each(|text| view.warn(text)))
        .and_then(|()| match config.is_alone {
            true => view.warn(alone),
            false => Ok(()),
        })
        .and_then(|()| match config.has_no_state {
            true => view.warn(forgetful),
            false => Ok(()),
        });
    let end = match told {
        Ok(()) => client.watch(&mut view, interrupt).await,
        Err(error) => Err(Error::Output(error)),
    };
    engine.stop(STOP_MAX).await;
    client.finish(&view, end).await
}

/// One torrent that is watched.
struct Client<'a> {
    config: &'a Config,
    /// `None` until a magnet's metadata is here.
    torrent: Option<Arc<Torrent>>,
    handle: Handle,
    events: Events,
    port_news: Option<Receiver<PortNews>>,
    dht: Option<Dht>,
    complete: bool,
}

/// What comes next.
enum Next {
    Event(Option<Event>),
    Port(PortNews),
    Tick,
    Interrupted,
}

impl Client<'_> {
    /// Shows what happens until it shall end.
    async fn watch(&mut self, view: &mut View, interrupt: &Interrupt) -> Result<(), Error> {
        let tick = match view.is_live() {
            true => TICK_LIVE,
            false => TICK,
        };
        let mut next_tick = Instant::now() + tick;
        loop {
            match self.next(next_tick, interrupt).await {
                Next::Interrupted => {
                    view.stopping();
                    return Ok(());
                }
                Next::Tick => {
                    next_tick = Instant::now() + tick;
                    if let Some(snapshot) = self.handle.snapshot().await {
                        let node = self.node().await;
                        view.progress(&snapshot, node.as_ref())
                            .map_err(Error::Output)?;
                    }
                }
                Next::Port(news) => view.port(&news).map_err(Error::Output)?,
                Next::Event(None | Some(Event::Stopped)) => return Ok(()),
                Next::Event(Some(Event::Failed(failure))) => {
                    return Err(ClientError::from(failure).into());
                }
                Next::Event(Some(Event::Complete)) => {
                    self.complete = true;
                    let snapshot = self.handle.snapshot().await;
                    view.complete(snapshot.as_ref()).map_err(Error::Output)?;
                    if self.config.exit_when_complete {
                        return Ok(());
                    }
                }
                Next::Event(Some(event)) => {
                    if let Event::MetadataFound(torrent) = &event {
                        self.torrent = Some(Arc::clone(torrent));
                    }
                    let is_checked = matches!(event, Event::Checked { .. });
                    let snapshot = match is_checked {
                        true => self.handle.snapshot().await,
                        false => None,
                    };
                    view.event(&event, snapshot.as_ref())
                        .map_err(Error::Output)?;
                    if is_checked && let Some(torrent) = &self.torrent {
                        let long = too_long(torrent, &self.config.dir);
                        view.too_long(&long).map_err(Error::Output)?;
                    }
                }
            }
        }
    }

    /// How the node of the DHT stands, if there is one.
    async fn node(&self) -> Option<Snapshot> {
        self.dht.as_ref()?.snapshot().await
    }

    async fn next(&mut self, tick: Instant, interrupt: &Interrupt) -> Next {
        let wait = tick.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            return Next::Tick;
        }
        let interrupted = async {
            interrupt.raised().await;
            Next::Interrupted
        };
        let ticked = async {
            task::sleep(wait).await;
            Next::Tick
        };
        let event = async { Next::Event(self.events.next().await) };
        let news = async {
            let next = self.port_news.as_ref().map(Receiver::recv);
            match next {
                Some(next) => next.await.map_or(Next::Tick, Next::Port),
                None => pending().await,
            }
        };
        or(interrupted, or(ticked, or(event, news))).await
    }

    /// The last word: how it stands, and what it means.
    async fn finish(mut self, view: &View, end: Result<(), Error>) -> Result<(), Error> {
        let snapshot: Option<TorrentSnapshot> = self.handle.snapshot().await;
        match end {
            Ok(()) => {}
            // Nobody reads any more, which asks for the end like a signal.
            Err(error) if error.is_reader_gone() => {}
            Err(error) => return Err(error),
        }
        // What was written could not be made durable, or is no longer there.
        while let Some(event) = self.events.try_next() {
            if let Event::Failed(failure) = event {
                return Err(ClientError::from(failure).into());
            }
        }
        match view.stopped(snapshot.as_ref(), self.complete) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                return Err(Error::Output(error));
            }
            _ => {}
        }
        match self.complete {
            true => Ok(()),
            false => Err(Error::Interrupted),
        }
    }
}

/// The files on the disk that go on behind their end: they are used, and nothing says so otherwise.
fn too_long(torrent: &Torrent, dir: &Path) -> Vec<TooLong> {
    let files = torrent.info.files.iter().filter(|file| file.is_on_disk());
    files
        .filter_map(|file| {
            let path = dir.join(&file.path);
            // Nothing there, or no file: that is told elsewhere.
            let metadata = fs::symlink_metadata(&path)
                .ok()
                .filter(fs::Metadata::is_file)?;
            let (length, found) = (file.length, metadata.len());
            (found > length).then_some(TooLong {
                path,
                length,
                found,
            })
        })
        .collect()
}
