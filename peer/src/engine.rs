//! The engine: a map of running torrents, and the listeners that find them by info hash.
//!
//! It owns nothing of a torrent but a handle. Torrents share its listeners, its disk threads and
//! its tracker client, and nothing else.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_std::channel::bounded;
use async_std::future::timeout;
use shoal_metainfo::{Info, InfoHash, PeerId, Torrent};
use shoal_storage::{Access, Options, Storage, StorageError};
use shoal_tracker::client::Client;

use crate::config::{EngineConfig, TorrentConfig};
use crate::crowd::Crowd;
use crate::disk::Disk;
use crate::error::{AddError, EngineError};
use crate::event::Board;
use crate::handle::{Command, Handle};
use crate::limits::COMMANDS_QUEUED_MAX;
use crate::listen::{Doors, accept_all, bind_all};
use crate::tasks::Tasks;
use crate::torrent::{self, Start};

/// Runs torrents until it is stopped or dropped. Dropping it ends them at once.
pub struct Engine {
    torrents: Mutex<HashMap<InfoHash, Handle>>,
    doors: Arc<Doors>,
    listening: Tasks,
    running: Tasks,
    disk: Disk,
    client: Arc<Client>,
    local_addrs: Vec<SocketAddr>,
    check_threads: usize,
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
        let disk = Disk::start(config.disk_threads).map_err(EngineError::Threads)?;
        let (doors, listening) = (Arc::new(Doors::default()), Tasks::new());
        let crowd = Arc::new(Crowd::default());
        for listener in listeners {
            let spawner = listening.spawner();
            let accepting = accept_all(listener, doors.clone(), crowd.clone(), spawner.clone());
            spawner.until_stop(accepting);
        }
        Ok(Self {
            torrents: Mutex::default(),
            doors,
            listening,
            running: Tasks::new(),
            disk,
            client: Arc::new(Client::new()),
            local_addrs,
            check_threads: config.check_threads,
        })
    }

    /// The addresses that it listens on, with the ports that were chosen.
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// Opens the torrent's files and starts it: first it looks at what is there, then it downloads
    /// what is missing, then it seeds. Makes folders, so it may block for a moment.
    ///
    /// # Errors
    /// [`AddError`] when it is running already, or its files cannot be used.
    pub fn add(&self, torrent: Arc<Torrent>, config: TorrentConfig) -> Result<Handle, AddError> {
        let info_hash = torrent.info_hash;
        let mut torrents = self.lock();
        if torrents.get(&info_hash).is_some_and(|old| !old.has_ended()) {
            return Err(AddError::Running(info_hash));
        }
        let (storage, unwritable) = open_storage(&config.dir, torrent.info.clone())?;
        let (commands, obeyed) = bounded(COMMANDS_QUEUED_MAX);
        let board = Arc::new(Board::default());
        let handle = Handle::new(info_hash, commands, board.clone());
        let start = Start {
            torrent,
            config,
            storage: Arc::new(storage),
            unwritable,
            peer_id: PeerId::ours(random()?),
            port: self.local_addrs.first().map_or(0, SocketAddr::port),
            seed: u64::from_ne_bytes(random()?),
            key: u32::from_ne_bytes(random()?),
            check_threads: self.check_threads,
            lanes: self.disk.lanes().clone(),
            doors: self.doors.clone(),
            board,
            client: self.client.clone(),
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
        };
        if timeout(limit, good_order).await.is_err() {
            tracing::warn!("not everything ended within {limit:?}");
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<InfoHash, Handle>> {
        // Nothing panics while the lock is held; a poisoned one is whole.
        self.torrents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The files for writing; when that is not allowed, for reading, and why.
fn open_storage(dir: &Path, info: Info) -> Result<(Storage, Option<StorageError>), StorageError> {
    let info = Arc::new(info);
    let writable = Storage::open(dir, info.clone(), Options::default())
        .and_then(|storage| storage.prepare().map(|()| storage));
    match writable {
        Ok(storage) => Ok((storage, None)),
        Err(error @ (StorageError::ReadOnly(_) | StorageError::Permission(_))) => {
            let options = Options {
                access: Access::ReadOnly,
                ..Options::default()
            };
            // Whoever has everything can seed from a folder that cannot be written.
            let storage = Storage::open(dir, info, options).map_err(|_| error.clone())?;
            Ok((storage, Some(error)))
        }
        Err(error) => Err(error),
    }
}

fn random<const N: usize>() -> Result<[u8; N], AddError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(AddError::Random)?;
    Ok(bytes)
}
