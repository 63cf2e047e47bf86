//! A tracker over HTTP and UDP. BEP 3 "trackers", BEP 7, 15, 23, 24, 48.
//!
//! Threads of their own answer, for UDP and for HTTP; what is asked over HTTP and is neither
//! announce nor scrape goes to tide. The answers themselves come from [`crate::registry`], which
//! knows neither.

mod admin;
mod app;
mod connection;
mod counters;
mod front;
mod guests;
mod history;
mod http;
mod keeper;
mod listen;
mod lists;
mod pages;
mod passed;
mod paths;
mod proxies;
mod state;
mod tls;
mod udp;
mod warnings;

use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_std::channel::{Receiver, Sender, bounded};
use async_std::task;
use futures_lite::FutureExt as _;
use shoal_metainfo::InfoHash;

use crate::limits;
use crate::policy::{Policy, PolicyConfig};
use crate::registry::{Change, Registry, RegistryConfig, RegistrySnapshot};
use crate::udp::connection_ids::ConnectionIds;
use admin::Admin;
pub use admin::{AdminConfig, AdminDoor, AdminError, TokenError};
use front::Front;
pub use front::FrontConfig;
use guests::Guests;
use http::{Loop, Waker};
use keeper::Keeper;
use lists::Watch;
pub use lists::{ListFileError, ListFiles, ListsLoaded, News};
pub use pages::Pages;
pub use passed::{PassedError, PassedSockets};
use paths::Paths;
pub use proxies::{Net, NetError};
use state::State;
pub use state::{KeptKeys, StateConfig, StateError};
#[cfg(feature = "store")]
pub(crate) use tls::chain;
pub use tls::{TlsError, TlsFiles};
use udp::Workers;

/// One thing that happened to a watched torrent, for a monitor.
pub type ServerEvent = Change;

/// What a server is to do.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Where to listen. Port 0 takes a free one. `[::]` takes IPv4 too unless an IPv4 address is
    /// listed.
    pub listen: Vec<SocketAddr>,
    /// Threads that answer over UDP on each of these addresses, at the port of HTTP; 0 for none.
    pub udp_workers: usize,
    /// Paths that are announced at beside `/announce`, as a URL has them: `/PASSKEY/announce`,
    /// `/announce.php`. Scrapes are where BEP 48 puts them.
    pub announce_paths: Vec<String>,
    /// The torrents served; `None` serves any, unless the lists name some.
    pub allowed: Option<BTreeSet<InfoHash>>,
    /// Lists in files that are read again when they change.
    pub lists: ListFiles,
    /// Whether an announce needs a passkey, `/KEY/announce`.
    pub private: bool,
    /// Announces a second that are no burden: with more, the interval is stretched.
    pub capacity: Option<u32>,
    /// Where it is kept what the next run shall know; `None` keeps nothing.
    pub state: Option<StateConfig>,
    /// Torrents at the same time, when any is served.
    pub torrents_max: usize,
    /// Peers of all torrents.
    pub peers_max: usize,
    /// What peers are told to keep, whole seconds, at least [`limits::SERVER_INTERVAL_MIN`].
    pub interval: Duration,
    /// What peers are told not to fall below.
    pub min_interval: Option<Duration>,
    /// Connections at the same time; for a further one that is closed which was silent the longest.
    /// One address of the internet has [`limits::CONNECTIONS_PER_HOST_MAX`] of them, unless it is
    /// a trusted proxy's, which speaks for many.
    pub connections_max: usize,
    /// A store through which it shares its swarms with other trackers.
    #[cfg(feature = "store")]
    pub store: Option<crate::store::StoreConfig>,
    /// How it is reached and looked at.
    pub front: FrontConfig,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([0, 0, 0, 0], 6969))],
            udp_workers: udp_workers(),
            announce_paths: Vec::new(),
            allowed: None,
            lists: ListFiles::default(),
            private: false,
            capacity: None,
            state: None,
            torrents_max: limits::TORRENTS_MAX,
            peers_max: limits::PEERS_TOTAL_MAX,
            interval: limits::SERVER_INTERVAL_DEFAULT,
            min_interval: None,
            connections_max: limits::CONNECTIONS_MAX,
            #[cfg(feature = "store")]
            store: None,
            front: FrontConfig::default(),
        }
    }
}

impl ServerConfig {
    fn check(&self, passed: &PassedSockets) -> Result<(), ServerError> {
        let (interval, min) = (self.interval, limits::SERVER_INTERVAL_MIN);
        if interval < min {
            return Err(ServerError::Interval { interval, min });
        }
        if self.listen.is_empty() && passed.is_empty() {
            return Err(ServerError::NoAddress);
        }
        Ok(())
    }
}

/// One for each core that we may use.
fn udp_workers() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cores.min(limits::UDP_WORKERS_MAX)
}

/// Why a server cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// An address that cannot be listened on.
    #[error("cannot listen on {address}: {source}; {}", listen::remedy(*.address, source))]
    Listen {
        /// Which.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// An address whose UDP port cannot be had.
    #[error(
        "cannot listen on {address} (UDP): {source}; {}, or do without UDP",
        listen::remedy(*.address, source)
    )]
    Udp {
        /// Which.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// Too few descriptors to wait for connections.
    #[error("cannot wait for connections: {0}; raise the limit of open files")]
    Descriptors(#[source] io::Error),
    /// No randomness for the secrets of this run.
    #[error("the system gives no randomness: {0}")]
    Random(getrandom::Error),
    /// An announce path that is none, or where others scrape.
    #[error("nobody can announce at the path `{path}`: {why}; use another in the announce URL")]
    AnnouncePath {
        /// Which.
        path: String,
        /// Why not.
        why: &'static str,
    },
    /// A list that cannot be used.
    #[error(transparent)]
    List(#[from] ListFileError),
    /// What the run before kept cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// A certificate that cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The operator cannot be served.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// A socket that was passed and is of no use.
    #[error(transparent)]
    Passed(#[from] PassedError),
    /// Nowhere to listen.
    #[error("no address to listen on was given")]
    NoAddress,
    /// An interval that no peer could keep.
    #[error("the interval {interval:?} is too short; give at least {min:?}")]
    Interval {
        /// As given.
        interval: Duration,
        /// The bound.
        min: Duration,
    },
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    registry: Arc<Registry>,
    policy: Arc<Policy>,
    watch: Watch,
    paths: Paths,
    min_interval: Option<Duration>,
    front: Front,
    events: Sender<ServerEvent>,
    events_queue: Receiver<ServerEvent>,
    events_dropped: AtomicU64,
    /// Wakes the loop of HTTP to see that.
    waker: Waker,
    /// Closed to stop the server; nothing is ever sent.
    stop: Sender<()>,
    stopped: Receiver<()>,
}

impl Shared {
    fn tell(&self, event: ServerEvent) {
        if self.events.try_send(event).is_err() {
            self.events_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Pends until the server is to stop.
    async fn stopped(&self) {
        let _ = self.stopped.recv().await;
    }
}

/// A server that listens and does not answer yet: call [`Server::run`] or [`Server::spawn`].
#[derive(Debug)]
pub struct Server {
    addresses: Vec<SocketAddr>,
    http: Loop,
    udp: Vec<udp::Worker>,
    ids: ConnectionIds,
    admin: Option<Admin>,
    shared: Arc<Shared>,
    keeper: Option<Keeper>,
    #[cfg(feature = "store")]
    store: Option<crate::store::StoreConfig>,
    /// Closed by being dropped, when nobody answers any more.
    running: Sender<()>,
    ended: Receiver<()>,
    /// The same, when all is over.
    alive: Sender<()>,
    over: Receiver<()>,
}

impl Server {
    /// Listens on all addresses of the configuration.
    ///
    /// # Errors
    /// [`ServerError`] names the address that cannot be had.
    pub async fn bind(config: ServerConfig) -> Result<Self, ServerError> {
        Self::bind_with(config, PassedSockets::default()).await
    }

    /// Listens on sockets that were passed, and on all addresses of the configuration, of which
    /// there may be none then.
    ///
    /// # Errors
    /// [`ServerError`] names the address that cannot be had.
    #[expect(
        clippy::unused_async,
        reason = "the face leaves room for a bind that waits"
    )]
    pub async fn bind_with(
        config: ServerConfig,
        passed: PassedSockets,
    ) -> Result<Self, ServerError> {
        config.check(&passed)?;
        let paths = Paths::new(&config.announce_paths)?;
        let (listeners, udp) = listen::with(passed, &config.listen, config.udp_workers)?;
        let admin = config.front.admin.as_ref().map(Admin::open).transpose()?;
        let now = Instant::now();
        let key = random()?;
        let rules = Rules::begin(&config, now)?;
        let (events, events_queue) = bounded(limits::EVENTS_QUEUED_MAX);
        let waker = Waker::new().map_err(ServerError::Descriptors)?;
        let (stop, stopped) = bounded(1);
        let (running, ended) = bounded(1);
        let (alive, over) = bounded(1);
        let shared = Shared {
            registry: rules.registry,
            policy: rules.policy,
            watch: rules.watch,
            paths,
            min_interval: config.min_interval,
            front: Front::new(config.front, udp.len(), now)?,
            events,
            events_queue,
            events_dropped: AtomicU64::new(0),
            waker,
            stop,
            stopped,
        };
        let shared = Arc::new(shared);
        let (per_host_max, proxies) = (limits::CONNECTIONS_PER_HOST_MAX, &shared.front.proxies);
        let guests = Guests::new(config.connections_max, per_host_max, proxies.clone());
        let addresses = listeners.iter().map(TcpListener::local_addr);
        let addresses = addresses.filter_map(Result::ok).collect();
        let http = Loop::new(listeners, Arc::clone(&shared), guests, running.clone());
        Ok(Self {
            addresses,
            http: http.map_err(ServerError::Descriptors)?,
            udp,
            ids: ConnectionIds::new(&key, now),
            admin,
            shared,
            keeper: rules.keeper,
            #[cfg(feature = "store")]
            store: config.store,
            running,
            ended,
            alive,
            over,
        })
    }

    /// Where it listens, with the ports it was given; over UDP, if at all, the same.
    #[must_use]
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.addresses.clone()
    }

    /// The door for the operator, if there is one: to be told once.
    #[must_use]
    pub fn admin(&self) -> Option<AdminDoor> {
        self.admin.as_ref().map(|admin| admin.door.clone())
    }

    /// A handle to look at the server and to stop it.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        ServerHandle {
            shared: Arc::clone(&self.shared),
            ended: self.over.clone(),
        }
    }

    /// Answers until [`ServerHandle::stop`]; then closes all connections and returns.
    pub async fn run(self) {
        let Self {
            http,
            udp,
            ids,
            admin,
            shared,
            keeper,
            #[cfg(feature = "store")]
            store,
            running,
            ended,
            alive,
            ..
        } = self;
        if let Err(error) = http.spawn() {
            tracing::error!(%error, "cannot start the thread for HTTP");
            shared.stop.close();
        }
        #[cfg(feature = "store")]
        let store = store.and_then(|store| {
            let thread =
                crate::store::start(store, Arc::clone(&shared.registry), shared.stop.clone());
            let failed =
                |error: &_| tracing::error!(%error, "cannot start the thread for the store");
            thread.inspect_err(failed).ok()
        });
        let workers = Workers::start(udp, &shared, &ids, &running);
        shared.watch.start(&shared, &running);
        let keeping = keeper.map(|keeper| keeper.start(&shared));
        let is_kept = keeping.is_some();
        if let Some(admin) = admin {
            task::spawn(admin.serve(Arc::clone(&shared), running.clone()));
        }
        sweep(shared, is_kept).await;
        // The sockets here go first: who waits for the end may take the port.
        workers.wake();
        #[cfg(feature = "store")]
        crate::store::ended(store).await;
        drop(running);
        // The last thread and the last connection drop the last sender.
        let _ = ended.recv().await;
        // Nothing can change any more.
        if let Some(keeping) = keeping {
            keeping.end().await;
        }
        drop(alive);
    }

    /// Runs in a task of its own.
    #[must_use]
    pub fn spawn(self) -> ServerHandle {
        let handle = self.handle();
        task::spawn(self.run());
        handle
    }
}

/// Looks at a server and stops it.
#[derive(Debug, Clone)]
pub struct ServerHandle {
    shared: Arc<Shared>,
    ended: Receiver<()>,
}

impl ServerHandle {
    /// Stops accepting, answers what was asked already, closes all connections and waits until that
    /// is done, [`limits::DRAIN_MAX`] at most.
    pub async fn stop(&self) {
        self.shared.stop.close();
        self.shared.waker.wake();
        let _ = self.ended.recv().await;
    }

    /// Reads certificate and key again, if there are any; if they are of no use, the old ones stay.
    /// They are also read when their files change.
    ///
    /// # Errors
    /// [`TlsError`] names the file at fault.
    pub fn reload_tls(&self) -> Result<(), TlsError> {
        self.shared
            .front
            .tls
            .as_ref()
            .map_or(Ok(()), tls::Tls::reload)
    }

    /// A copy of the table.
    #[must_use]
    pub fn snapshot(&self) -> RegistrySnapshot {
        self.shared.registry.snapshot(Instant::now())
    }

    /// The rules of this tracker: keys and lists, to be looked at and changed while it runs.
    #[must_use]
    pub fn policy(&self) -> &Arc<Policy> {
        &self.shared.policy
    }

    /// Reads all lists again, now, and the certificate; what is of no use is told, and what was
    /// in force stays.
    pub fn reload(&self) {
        self.shared.watch.reload();
        if let Err(error) = self.reload_tls() {
            let what = "the certificate was not read again";
            self.shared.front.warnings.tell(what, &error);
        }
    }

    /// What becomes of the lists, and of the interval under load; as [`ServerHandle::events`].
    #[must_use]
    pub fn news(&self) -> Receiver<News> {
        self.shared.watch.news()
    }

    /// What happens from now on, at most [`limits::EVENTS_QUEUED_MAX`] of it unread: one stream,
    /// whoever reads.
    #[must_use]
    pub fn events(&self) -> Receiver<ServerEvent> {
        self.shared.events_queue.clone()
    }

    /// Events that nobody read in time.
    #[must_use]
    pub fn events_dropped(&self) -> u64 {
        self.shared.events_dropped.load(Ordering::Relaxed)
    }
}

/// The table and who may be in it, with what the run before knew.
struct Rules {
    registry: Arc<Registry>,
    policy: Arc<Policy>,
    watch: Watch,
    keeper: Option<Keeper>,
}

impl Rules {
    fn begin(config: &ServerConfig, now: Instant) -> Result<Self, ServerError> {
        let state = config.state.as_ref();
        let opened = state.map(|state| State::open(&state.folder)).transpose()?;
        let table = RegistryConfig {
            completed_max: opened.as_ref().map_or(0, |_| limits::COMPLETED_MAX),
            interval: config.interval,
            torrents_max: config.torrents_max,
            peers_total_max: config.peers_max,
            ..RegistryConfig::default()
        };
        let registry = Registry::new(table, u64::from_ne_bytes(random()?), now);
        let registry = Arc::new(registry);
        let rules = PolicyConfig {
            private: config.private,
            capacity: config.capacity,
            interval: config.interval,
            unix_now: unix_now(),
        };
        let policy = Arc::new(Policy::new(&rules, Arc::clone(&registry), now));
        let (state, remembered) = opened.unzip();
        let mut remembered = remembered.unwrap_or_default();
        let (clean, had_swarms) = (remembered.clean, !remembered.swarms.is_empty());
        keeper::restore_rules(&mut remembered, &policy);
        let watch = Watch::begin(config.lists.clone(), config.allowed.clone(), &policy)?;
        keeper::restore(remembered, &registry);
        if state.is_some() && !clean {
            watch.tell(News::Unclean);
        }
        let swarms = config.state.as_ref().is_some_and(|state| state.swarms);
        let keeper = state.map(|state| Keeper::new(state, swarms, had_swarms));
        Ok(Self {
            registry,
            policy,
            watch,
            keeper,
        })
    }
}

/// Forgets the silent, a part of the table every second, and changes that nobody keeps.
async fn sweep(shared: Arc<Shared>, is_kept: bool) {
    let stopped = async {
        shared.stopped().await;
        true
    };
    let mut stopped = Box::pin(stopped);
    loop {
        let tick = async {
            task::sleep(Duration::from_secs(1)).await;
            false
        };
        if tick.or(&mut stopped).await {
            return;
        }
        let now = Instant::now();
        shared.registry.expire(now);
        if !is_kept {
            shared.policy.drop_changes();
        }
        if let Some(interval) = shared.policy.tick(now) {
            let load = shared.policy.load();
            shared.watch.tell(News::Interval { interval, load });
        }
        shared.front.tick(now, &shared.registry);
    }
}

/// Seconds since 1970.
fn unix_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// The secrets of this run.
fn random<const N: usize>() -> Result<[u8; N], ServerError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(ServerError::Random)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
