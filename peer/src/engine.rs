//! The engine: a map of running torrents, and the listeners that find them by info hash.
//!
//! It owns nothing of a torrent but a handle. Torrents share its listeners, its disk threads and
//! its tracker client, and nothing else.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_std::channel::bounded;
use async_std::future::timeout;
use shoal_metainfo::{Info, InfoHash, PeerId, Torrent};
use shoal_storage::{Access, FolderLock, Options, Storage, StorageError, WindowBudget};
use shoal_tracker::client::Client;

use crate::config::{EngineConfig, TorrentConfig};
use crate::crowd::Crowd;
use crate::disk::Disk;
use crate::disk::keeper::Keeper;
use crate::error::{AddError, EngineError};
use crate::event::{Board, Event};
use crate::handle::{Command, Handle};
use crate::limits::COMMANDS_QUEUED_MAX;
use crate::listen::{Doors, accept_all, bind_all};
use crate::tasks::Tasks;
use crate::torrent::{self, Opened, Start};

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
    state_dir: Option<PathBuf>,
    /// Windows of mapped memory, shared by all torrents.
    windows: WindowBudget,
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
            state_dir: config.state_dir,
            windows: WindowBudget::of_this_machine(),
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
        let (commands, obeyed) = bounded(COMMANDS_QUEUED_MAX);
        let board = Arc::new(Board::default());
        let opened = self.open(&config, torrent.info.clone(), &board)?;
        let ways = opened.storage.ways();
        tracing::info!(dir = %config.dir.display(), "files are used by {ways}");
        let handle = Handle::new(info_hash, commands, board.clone(), ways);
        let start = Start {
            torrent,
            config,
            opened,
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

    /// Opens the folder of a torrent, locks it, and finds what is known of it.
    fn open(&self, config: &TorrentConfig, info: Info, board: &Board) -> Result<Opened, AddError> {
        let info = Arc::new(info);
        let options = Options {
            method: config.method,
            allocation: config.allocation,
            ..Options::default()
        };
        let open =
            |options| Storage::open_within(&self.windows, &config.dir, info.clone(), options);
        let read_only = |error: StorageError| {
            let access = Access::ReadOnly;
            // Whoever has everything can seed from a folder that cannot be written.
            let storage = open(Options { access, ..options }).map_err(|_| error.clone())?;
            Ok::<_, AddError>((storage, Some(error)))
        };
        let (mut storage, mut unwritable) = match open(options) {
            Ok(storage) => (storage, None),
            Err(error) if is_for_readers(&error) => read_only(error)?,
            Err(error) => return Err(error.into()),
        };
        let lock = FolderLock::take(&config.dir)?;
        // Before anything in the folder changes.
        let kept = self.state_dir.as_deref().map(|state| {
            let kept = Keeper::open(lock.clone(), state, info.clone());
            kept.map_err(|error| {
                let error = error.to_string();
                board.post(Event::NotRemembered { error });
            })
        });
        if unwritable.is_none()
            && let Err(error) = storage.prepare()
        {
            match is_for_readers(&error) {
                true => (storage, unwritable) = read_only(error)?,
                false => return Err(error.into()),
            }
        }
        let (keeper, resume) = kept.and_then(Result::ok).unzip();
        Ok(Opened {
            storage: Arc::new(storage),
            unwritable,
            keeper: keeper.map(Arc::new),
            resume,
            lock,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<InfoHash, Handle>> {
        // Nothing panics while the lock is held; a poisoned one is whole.
        self.torrents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether one may still read.
fn is_for_readers(error: &StorageError) -> bool {
    matches!(
        error,
        StorageError::ReadOnly(_) | StorageError::Permission(_)
    )
}

fn random<const N: usize>() -> Result<[u8; N], AddError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(AddError::Random)?;
    Ok(bytes)
}
