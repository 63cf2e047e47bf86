//! The engine: a map of running torrents, and the listeners that find them by info hash.
//!
//! It owns nothing of a torrent but a handle. Torrents share its listeners, its disk threads and
//! its tracker client, and nothing else.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_std::channel::{Receiver, bounded};
use async_std::future::timeout;
use futures_lite::future::zip;
use shoal_metainfo::{Choice, InfoHash, Magnet, PeerId, Torrent};
use shoal_storage::WindowBudget;
use shoal_tracker::client::{Client, Proxy};

use crate::config::{EngineConfig, TorrentConfig};
use crate::crowd::Crowd;
use crate::dht::Dht;
use crate::disk::Disk;
use crate::error::{AddError, EngineError};
use crate::event::Board;
#[cfg(doc)]
use crate::event::Event;
use crate::handle::{Command, Handle};
use crate::limits::COMMANDS_QUEUED_MAX;
use crate::listen::{Doors, accept_all, bind_all};
use crate::lsd;
use crate::open::Opener;
use crate::ports::{Mappers, PortNews, Reach};
use crate::tasks::Tasks;
use crate::torrent::{self, Begin, Start};

/// Runs torrents until it is stopped or dropped. Dropping it ends them at once.
pub struct Engine {
    torrents: Mutex<HashMap<InfoHash, Handle>>,
    doors: Arc<Doors>,
    listening: Tasks,
    running: Tasks,
    disk: Disk,
    client: Arc<Client>,
    proxy: Option<Arc<Proxy>>,
    local_addrs: Vec<SocketAddr>,
    mappers: Option<Mappers>,
    reach: Reach,
    dht: Option<Dht>,
    use_lsd: bool,
    check_threads: usize,
    opener: Opener,
}

impl Engine {
    /// Binds the listeners and starts the disk threads.
    ///
    /// # Errors
    /// [`EngineError`]; most often that a port is taken.
    pub fn start(config: EngineConfig) -> Result<Self, EngineError> {
        let listeners = bind_all(&config.listen)?;
        let local_addrs = listeners.iter().map(|listener| listener.local_addr());
        let local_addrs = local_addrs.collect::<io::Result<Vec<_>>>();
        let local_addrs = local_addrs.map_err(|source| EngineError::Listen {
            address: config.listen[0],
            source,
        })?;
        let client = match &config.proxy {
            Some(proxy) => Client::through(proxy.clone()),
            None => Client::new(),
        };
        let disk = Disk::start(config.disk_threads).map_err(EngineError::Threads)?;
        let (doors, listening) = (Arc::new(Doors::default()), Tasks::new());
        let crowd = Arc::new(Crowd::default());
        for listener in listeners {
            let spawner = listening.spawner();
            let accepting = accept_all(listener, doors.clone(), crowd.clone(), spawner.clone());
            spawner.until_stop(accepting);
        }
        let port = local_addrs.first().map_or(0, SocketAddr::port);
        // Beside a proxy nothing is sent.
        let beside = config.proxy.is_none();
        if config.use_lsd && beside {
            lsd::start(&listening, doors.clone(), port);
        }
        let reach = Reach::new(port);
        let state_dir = config.state_dir.as_deref();
        let start_dht = |dht| Dht::start(dht, &local_addrs, state_dir);
        let dht = config.dht.filter(|_| beside).map(start_dht).transpose()?;
        let any_v4 = SocketAddr::from((std::net::Ipv4Addr::UNSPECIFIED, 0));
        let datagrams = dht.as_ref().and_then(|dht| dht.port_for(any_v4));
        let mappers = Mappers::start_if_wanted(&config.map_port, &reach, datagrams);
        Ok(Self {
            torrents: Mutex::default(),
            doors,
            listening,
            running: Tasks::new(),
            disk,
            client: Arc::new(client),
            proxy: config.proxy.map(Arc::new),
            local_addrs,
            mappers,
            reach,
            dht,
            use_lsd: config.use_lsd,
            check_threads: config.check_threads,
            opener: Opener {
                windows: WindowBudget::of_this_machine(),
                state_dir: config.state_dir,
            },
        })
    }

    /// The addresses that it listens on, with the ports that were chosen.
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// What becomes of our ports at the gateway; `None` when that is not asked. Each piece of news
    /// goes to one reader.
    #[must_use]
    pub fn port_news(&self) -> Option<Receiver<PortNews>> {
        self.mappers.as_ref().map(|mappers| mappers.news.clone())
    }

    /// The node of the DHT, if there is one.
    #[must_use]
    pub fn dht(&self) -> Option<&Dht> {
        self.dht.as_ref()
    }

    /// Opens the torrent's files and starts it: first it looks at what is there, then it downloads
    /// what is missing, then it seeds. Makes folders, so it may block for a moment.
    ///
    /// # Errors
    /// [`AddError`] when it is running already, or its files cannot be used.
    pub fn add(&self, torrent: Arc<Torrent>, config: TorrentConfig) -> Result<Handle, AddError> {
        let tiers = torrent.tiers.clone();
        self.start_torrent(torrent.info_hash, tiers, config, |config, board| {
            let opened = self.opener.open(config, torrent.info.clone(), board)?;
            Ok(Begin::Files(torrent, Box::new(opened)))
        })
    }

    /// Starts a torrent that is known by a magnet link alone: it asks peers for the metadata
    /// ([`Event::MetadataProgress`], then [`Event::MetadataFound`]), and goes on as one of
    /// [`add`](Self::add). Its files are opened when it is known which; what is wrong with them
    /// ends it with a [`Failure`](crate::Failure). BEP 9.
    ///
    /// # Errors
    /// [`AddError`] when it is running already.
    pub fn add_magnet(
        &self,
        magnet: Magnet,
        mut config: TorrentConfig,
    ) -> Result<Handle, AddError> {
        if config.files.is_empty() {
            config.files = Choice::of_numbers(magnet.select.clone());
        }
        let (info_hash, tiers) = (magnet.info_hash, magnet.tiers());
        self.start_torrent(info_hash, tiers, config, |_, _| Ok(Begin::Magnet(magnet)))
    }

    fn start_torrent(
        &self,
        info_hash: InfoHash,
        tiers: Vec<Vec<String>>,
        config: TorrentConfig,
        begin: impl FnOnce(&TorrentConfig, &Board) -> Result<Begin, AddError>,
    ) -> Result<Handle, AddError> {
        let mut torrents = self.lock();
        if torrents.get(&info_hash).is_some_and(|old| !old.has_ended()) {
            return Err(AddError::Running(info_hash));
        }
        let (commands, obeyed) = bounded(COMMANDS_QUEUED_MAX);
        let board = Arc::new(Board::default());
        let begin = begin(&config, &board)?;
        let ways = begin.ways();
        let handle = Handle::new(info_hash, commands, board.clone(), ways);
        let start = Start {
            info_hash,
            tiers,
            begin,
            config,
            opener: self.opener.clone(),
            peer_id: PeerId::ours(random()?),
            reach: self.reach.clone(),
            seed: u64::from_ne_bytes(random()?),
            key: u32::from_ne_bytes(random()?),
            check_threads: self.check_threads,
            lanes: self.disk.lanes().clone(),
            doors: self.doors.clone(),
            board,
            client: self.client.clone(),
            proxy: self.proxy.clone(),
            dht: self.dht.clone(),
            use_lsd: self.use_lsd,
            commands: obeyed,
        };
        self.running.spawner().until_stop(torrent::run(start));
        torrents.insert(info_hash, handle.clone());
        Ok(handle)
    }

    /// The running torrents and those that ended and were not added again.
    #[must_use]
    pub fn torrents(&self) -> Vec<Handle> {
        self.lock().values().cloned().collect()
    }

    /// Ends everything in good order: takes no more connections, ends each torrent as
    /// [`Handle::stop`] does, and waits for every task and thread; for `limit` at most, then what
    /// is left ends at once.
    pub async fn stop(self, limit: Duration) {
        let handles = self.torrents();
        let Self {
            listening,
            running,
            disk,
            mappers,
            dht,
            ..
        } = self;
        let good_order = async {
            listening.join().await;
            let still: Vec<_> = handles
                .iter()
                .filter(|handle| !handle.has_ended())
                .collect();
            still.iter().for_each(|handle| handle.tell(Command::Stop));
            for handle in still {
                handle.ended().await;
            }
            running.join().await;
            disk.join().await;
            if let Some(dht) = dht {
                dht.stop().await;
            }
        };
        let unmapped = async {
            if let Some(mappers) = mappers {
                mappers.stop().await;
            }
        };
        if timeout(limit, zip(good_order, unmapped)).await.is_err() {
            tracing::warn!("not everything ended within {limit:?}");
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<InfoHash, Handle>> {
        // Nothing panics while the lock is held; a poisoned one is whole.
        self.torrents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn random<const N: usize>() -> Result<[u8; N], AddError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(AddError::Random)?;
    Ok(bytes)
}
