//! `shoal tracker`: tells clients of each other over HTTP and UDP. BEP 3, 7, 15, 23, 48.
//!
//! Decides where to listen, which torrents to serve and at which paths; the server does the rest,
//! and `view` shows its table.

pub(crate) mod keys;
mod policy;
mod store;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use async_std::channel::Receiver;
use async_std::task;
use futures_lite::future::or;
use shoal_metainfo::{InfoHash, Torrent};
use shoal_tracker::client::Client;
use shoal_tracker::server::{
    FrontConfig, News, Pages, PassedSockets, Server, ServerConfig, ServerError, ServerEvent,
    ServerHandle,
};
use shoal_tracker::store::StoreConfig;

use self::view::View;
use crate::config::{self, TRACKER_ADDRESS, UsageError};
use crate::error::Error;
use crate::render::Mode;
use crate::signals::{self, Interrupt};
use crate::{args, torrent_file};

/// Between two status logs that news ask for. Ours: a crowd that starts is logged once a second.
const NEWS_EVERY: Duration = Duration::from_secs(1);

/// Where one announces to a private tracker.
const PRIVATE_PATH: &str = "/PASSKEY/announce";

/// What is meant.
struct Config {
    listen: Vec<SocketAddr>,
    /// Where one announces: what the torrents name, in their order, and the usual place.
    paths: Vec<String>,
    /// What will not work as the torrents have it.
    warnings: Vec<String>,
    /// The torrents that are served by name, and their names.
    torrents: BTreeMap<InfoHash, String>,
    /// Whether any other is served.
    any: bool,
    policy: args::Policy,
    interval: Duration,
    status_every: Option<Duration>,
    front: FrontConfig,
    udp: bool,
    store: Option<StoreConfig>,
}

impl Config {
    /// `is_passed` when there are sockets to listen on already.
    fn new(args: args::Tracker, is_passed: bool) -> Result<Self, Error> {
        if args.interval == 0 {
            return Err(UsageError::Interval.into());
        }
        let mut listen = config::listen_addresses(&args.listen)?;
        let mut torrents = BTreeMap::new();
        let (mut paths, mut warnings) = (Vec::new(), Vec::new());
        for (number, path) in args.torrents.iter().enumerate() {
            let torrent = torrent_file::read(path)?;
            if number == 0 && listen.is_empty() && !is_passed {
                listen = addresses_of(&torrent, path, !args.no_udp)?;
            }
            paths.extend(torrent.trackers().filter_map(config::announce_path));
            warnings.extend(torrent_file::warnings(&torrent, path));
            warnings.extend(warnings_of(&torrent, path, !args.no_udp));
            torrents.insert(torrent.info_hash, torrent.info.name);
        }
        if listen.is_empty() && !is_passed {
            listen = vec![TRACKER_ADDRESS];
        }
        paths.push("/announce".to_owned());
        let mut seen = BTreeSet::new();
        paths.retain(|path| seen.insert(path.clone()));
        warnings.extend(policy::warning(&args.policy));
        let (mut front, more) = args.front.config()?;
        warnings.extend(more);
        front.names.clone_from(&torrents);
        // Which torrents there are is for those with a passkey.
        if args.policy.private && args.front.pages.is_none() {
            front.pages = Pages::Sums;
        }
        Ok(Self {
            listen,
            paths,
            warnings,
            any: torrents.is_empty() && !policy::is_closed(&args.policy),
            torrents,
            policy: args.policy,
            interval: Duration::from_secs(args.interval.into()),
            status_every: (args.status_every > 0)
                .then(|| Duration::from_secs(args.status_every.into())),
            front,
            udp: !args.no_udp,
            store: store::config(&args.store)?,
        })
    }
}

/// Where the torrent's announce URL says.
fn addresses_of(torrent: &Torrent, path: &Path, udp: bool) -> Result<Vec<SocketAddr>, UsageError> {
    torrent
        .trackers()
        .filter(|url| udp || !url.starts_with("udp:"))
        .find_map(config::announce_addresses)
        .ok_or_else(|| UsageError::NoAnnounce(path.to_owned()))
}

/// What a torrent's announce URLs promise and a tracker here cannot keep.
fn warnings_of(torrent: &Torrent, path: &Path, udp: bool) -> Vec<String> {
    let path = path.display();
    let is_served =
        |url| config::announce_path(url).is_some() || udp && str::starts_with(url, "udp:");
    if !torrent.trackers().any(is_served) {
        let schemes = if udp { "http or udp" } else { "http" };
        return vec![format!(
            "{path}: none of its announce URLs is of {schemes}, so no client comes here by itself"
        )];
    }
    let refused = torrent.trackers().filter_map(|url| {
        let why = Client::refusal(url)?;
        Some(format!(
            "{path}: {url} is served, but `shoal client` will not announce there: {why}"
        ))
    });
    refused.collect()
}

/// Serves until it is stopped.
///
/// # Errors
/// [`Error`] when it cannot begin.
pub(crate) fn run(args: args::Tracker) -> Result<(), Error> {
    let passed = PassedSockets::take().map_err(ServerError::from)?;
    let mode = Mode::pick(args.json);
    let config = Config::new(args, !passed.is_empty())?;
    let hangups = signals::hangups().map_err(Error::signals)?;
    let interrupt = Interrupt::listen(|| ()).map_err(Error::signals)?;
    let result = task::block_on(serve(config, passed, mode, &interrupt, &hangups));
    match result {
        // Nobody reads any more, which asks for the end like a signal.
        Err(error) if error.is_reader_gone() => Ok(()),
        result => result,
    }
}

async fn serve(
    config: Config,
    passed: PassedSockets,
    mode: Mode,
    interrupt: &Interrupt,
    hangups: &Receiver<()>,
) -> Result<(), Error> {
    let by_name = config.torrents.keys().copied();
    let defaults = ServerConfig::default();
    let https = config.front.tls.is_some();
    let mut bind = ServerConfig {
        listen: config.listen,
        udp_workers: if config.udp { defaults.udp_workers } else { 0 },
        announce_paths: config.paths.clone(),
        allowed: (!config.torrents.is_empty()).then(|| by_name.collect()),
        interval: config.interval,
        front: config.front,
        store: store::watched(config.store, mode),
        ..defaults
    };
    let is_private = config.policy.private;
    policy::apply(config.policy, &mut bind);
    let server = Server::bind_with(bind, passed).await?;
    let addresses = server.local_addrs();
    let admin = server.admin();
    let server = server.spawn();
    let mut view = View::new(mode, config.torrents, config.any);
    let paths = if is_private {
        vec![PRIVATE_PATH.to_owned()]
    } else {
        config.paths
    };
    view.started(&addresses, &paths, https, config.udp)
        .map_err(Error::Output)?;
    if let Some(door) = admin {
        view.admin(&door).map_err(Error::Output)?;
    }
    for warning in &config.warnings {
        view.warn(warning).map_err(Error::Output)?;
    }
    watch(&server, &mut view, config.status_every, interrupt, hangups).await?;
    server.stop().await;
    let news = server.news();
    while let Ok(news) = news.try_recv() {
        view.news(&news).map_err(Error::Output)?;
    }
    view.stopped().map_err(Error::Output)
}

/// Tells what happens until it is to end.
async fn watch(
    server: &ServerHandle,
    view: &mut View,
    status_every: Option<Duration>,
    interrupt: &Interrupt,
    hangups: &Receiver<()>,
) -> Result<(), Error> {
    let (events, news) = (server.events(), server.news());
    let begun = Instant::now();
    let mut next_status = status_every.map(|every| begun + every);
    let mut last_news = None::<Instant>;
    loop {
        let news_due = view
            .has_news()
            .then(|| last_news.map_or(begun, |last| last + NEWS_EVERY));
        let due = [next_status, news_due].into_iter().flatten().min();
        match next(due, interrupt, heard(&events, &news, hangups)).await {
            Next::Interrupted | Next::Event(None) => return Ok(()),
            Next::Event(Some(event)) => view.event(&event).map_err(Error::Output)?,
            Next::News(news) => view.news(&news).map_err(Error::Output)?,
            Next::Hangup => server.reload(),
            Next::Due => {
                let now = Instant::now();
                let all = next_status.is_some_and(|next| now >= next);
                if all {
                    next_status = status_every.map(|every| now + every);
                }
                last_news = Some(now);
                view.status(&server.snapshot(), all)
                    .map_err(Error::Output)?;
            }
        }
    }
}

/// What comes next.
enum Next {
    Event(Option<ServerEvent>),
    News(News),
    /// SIGHUP.
    Hangup,
    Due,
    Interrupted,
}

async fn next(
    due: Option<Instant>,
    interrupt: &Interrupt,
    heard: impl Future<Output = Next>,
) -> Next {
    let wait = due.map(|due| due.saturating_duration_since(Instant::now()));
    if wait == Some(Duration::ZERO) {
        return Next::Due;
    }
    let interrupted = async {
        interrupt.raised().await;
        Next::Interrupted
    };
    let due = async {
        match wait {
            Some(wait) => task::sleep(wait).await,
            None => std::future::pending().await,
        }
        Next::Due
    };
    or(interrupted, or(due, heard)).await
}

/// What the server and the system tell.
async fn heard(
    events: &Receiver<ServerEvent>,
    news: &Receiver<News>,
    hangups: &Receiver<()>,
) -> Next {
    let event = async { Next::Event(events.recv().await.ok()) };
    // Both last as long as we do.
    let news = async {
        match news.recv().await {
            Ok(news) => Next::News(news),
            Err(_) => std::future::pending().await,
        }
    };
    let hangup = async {
        match hangups.recv().await {
            Ok(()) => Next::Hangup,
            Err(_) => std::future::pending().await,
        }
    };
    or(hangup, or(news, event)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Args, Command};

    #[test]
    fn without_torrents_it_serves_any_on_the_usual_port() {
        let args = Args::read(["shoal", "tracker"].map(Into::into)).unwrap();
        let Command::Tracker(args) = args.command else {
            panic!("no tracker");
        };
        let config = Config::new(*args, false).unwrap();
        assert_eq!(config.listen, ["0.0.0.0:6969".parse().unwrap()]);
        assert!(config.torrents.is_empty() && config.any);
        assert_eq!(config.status_every, Some(Duration::from_secs(30)));
    }
}
