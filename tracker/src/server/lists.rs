//! Lists in files, read again when they change or when somebody asks for it.
//!
//! A thread looks at them every two seconds. What has changed is read when it has not changed any
//! more for that long, so that a file is not read while an editor writes it. A list with a mistake
//! is refused whole, and the one before stays; of a folder, the .torrent with the mistake. What the
//! lists mean, the policy knows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use async_std::channel::{Receiver, Sender, bounded};
use async_std::task;
use futures_lite::FutureExt as _;
use shoal_metainfo::limits::TORRENT_BYTES_MAX;
use shoal_metainfo::{InfoHash, Torrent, TorrentError};

use super::Shared;
use crate::limits;
use crate::policy::{ListError, LoadStatus, Policy, parse_clients, parse_hashes};

/// Between two looks. Ours: soon enough for people, and nothing for the machine.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The lists that are in files.
#[derive(Debug, Clone, Default)]
pub struct ListFiles {
    /// Folders whose `.torrent` files are served, and no others.
    pub folders: Vec<PathBuf>,
    /// Lists of the info hashes that are served, and no others.
    pub allow: Vec<PathBuf>,
    /// Lists of info hashes that are not served.
    pub deny: Vec<PathBuf>,
    /// Lists of what peer ids of unwanted clients begin with.
    pub deny_clients: Vec<PathBuf>,
}

/// A list that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListFileError {
    /// It cannot be read.
    #[error("cannot read the list {path}: {source}; check the path and who may read it")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It has a mistake: `FILE:LINE: what`.
    #[error("{path}:{source}")]
    Mistake {
        /// Which.
        path: PathBuf,
        /// Where, and what.
        source: ListError,
    },
    /// A .torrent with a mistake.
    #[error("{path}: {source}")]
    Torrent {
        /// Which.
        path: PathBuf,
        /// What.
        source: TorrentError,
    },
    /// A .torrent of a folder that cannot be read.
    #[error("cannot read {path}: {source}; let the tracker read it, then change it or send SIGHUP")]
    UnreadableTorrent {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Larger than any list.
    #[error("{path} has more than {max} bytes; a list is shorter, split it")]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// The bound.
        max: usize,
    },
    /// A folder of too many.
    #[error("{path} has more than {max} .torrent files; give a list of info hashes instead")]
    TooMany {
        /// Which.
        path: PathBuf,
        /// The bound.
        max: usize,
    },
}

/// The size of the lists in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListsLoaded {
    /// Torrents that are served; `None` for any.
    pub allowed: Option<usize>,
    /// Torrents that are not.
    pub denied: usize,
    /// Clients that are not, by what their ids begin with.
    pub clients: usize,
}

/// What becomes of the rules while the tracker runs.
#[derive(Debug)]
#[non_exhaustive]
pub enum News {
    /// Lists were read again, and are in force.
    Loaded(ListsLoaded),
    /// Something of them has a mistake, and what was in force before stays.
    Refused(ListFileError),
    /// What changed cannot be written down; it is tried again.
    NotKept(String),
    /// The run before did not end by itself: what it had not written yet is lost.
    Unclean,
    /// Peers are told another interval.
    Interval {
        /// From now on.
        interval: Duration,
        /// Why.
        load: LoadStatus,
    },
}

/// What tells that a file was changed. Source: as make and rsync do, with the inode for files that
/// were moved into place.
type Stamp = (i64, i64, u64, u64);

/// A file as it was when it was read.
#[derive(Debug)]
struct Read<T> {
    /// `None` when it could not be read.
    stamp: Option<Stamp>,
    /// Seen once, and different; read when it is seen again.
    pending: Option<Option<Stamp>>,
    what: T,
}

impl<T: Default> Default for Read<T> {
    fn default() -> Self {
        Self {
            stamp: None,
            pending: None,
            what: T::default(),
        }
    }
}

impl<T> Read<T> {
    /// Whether it is to be read: it is new, or changed and at rest.
    fn is_due(&mut self, stamp: Option<Stamp>, at_once: bool) -> bool {
        if at_once {
            return true;
        }
        if stamp == self.stamp {
            self.pending = None;
            return false;
        }
        self.pending.replace(stamp) == Some(stamp)
    }

    fn read(&mut self, stamp: Option<Stamp>) {
        (self.stamp, self.pending) = (stamp, None);
    }
}

/// All files as they were when they were read.
#[derive(Debug, Default)]
struct Known {
    folders: BTreeMap<PathBuf, BTreeMap<PathBuf, Read<Option<InfoHash>>>>,
    /// Folders that could not be read when they were looked at last.
    unreadable: BTreeSet<PathBuf>,
    allow: BTreeMap<PathBuf, Read<BTreeSet<InfoHash>>>,
    deny: BTreeMap<PathBuf, Read<BTreeSet<InfoHash>>>,
    clients: BTreeMap<PathBuf, Read<Vec<Box<[u8]>>>>,
}

/// Files under watch.
#[derive(Debug)]
pub(super) struct Watch {
    files: ListFiles,
    /// Given by name, beside the files.
    allowed: Option<BTreeSet<InfoHash>>,
    known: Mutex<Known>,
    policy: Arc<Policy>,
    asks: Sender<()>,
    asked: Receiver<()>,
    news: Sender<News>,
    news_queue: Receiver<News>,
}

impl Watch {
    /// Reads all lists for the first time and puts them in force.
    ///
    /// # Errors
    /// [`ListFileError`] of the first that cannot be used: a tracker does not begin with half of
    /// its rules. A .torrent in a folder that is bad or cannot be read is told as news, and not
    /// served: it says nothing of the others, and whoever puts files there may not run the tracker.
    pub(super) fn begin(
        files: ListFiles,
        allowed: Option<BTreeSet<InfoHash>>,
        policy: &Arc<Policy>,
    ) -> Result<Self, ListFileError> {
        let (asks, asked) = bounded(1);
        let (news, news_queue) = bounded(limits::EVENTS_QUEUED_MAX);
        let watch = Self {
            files,
            allowed,
            known: Mutex::default(),
            policy: Arc::clone(policy),
            asks,
            asked,
            news,
            news_queue,
        };
        let (_, errors) = watch.read(true);
        for error in errors {
            match error {
                ListFileError::Torrent { .. } | ListFileError::UnreadableTorrent { .. } => {
                    watch.tell(News::Refused(error));
                }
                error => return Err(error),
            }
        }
        watch.put_in_force();
        Ok(watch)
    }

    /// Looks at the files in a thread of its own, until the server is to stop.
    pub(super) fn start(&self, shared: &Arc<Shared>, running: &Sender<()>) {
        if self.files.is_empty() {
            return;
        }
        let (shared, running) = (Arc::clone(shared), running.clone());
        let watch = move || {
            while let Some(at_once) = task::block_on(shared.watch.wait(&shared)) {
                shared.watch.look(at_once);
            }
            drop(running);
        };
        let thread = thread::Builder::new().name("tracker-lists".to_owned());
        if let Err(error) = thread.spawn(watch) {
            tracing::error!(%error, "cannot start the thread for lists: changes are not seen");
        }
    }

    /// Until it is time for a look, to read all if so it says; `None` when the server is to stop.
    async fn wait(&self, shared: &Shared) -> Option<bool> {
        let stopped = async {
            shared.stopped().await;
            None
        };
        let due = async {
            task::sleep(LOOK_EVERY).await;
            Some(false)
        };
        let asked = async {
            let _ = self.asked.recv().await;
            Some(true)
        };
        stopped.or(asked).or(due).await
    }

    /// Asks for a look at once.
    pub(super) fn reload(&self) {
        // One that waits is enough.
        let _ = self.asks.try_send(());
    }

    /// Whether a torrent was given by name, beside all files.
    pub(super) fn is_by_name(&self, info_hash: &InfoHash) -> bool {
        self.allowed
            .as_ref()
            .is_some_and(|allowed| allowed.contains(info_hash))
    }

    pub(super) fn news(&self) -> Receiver<News> {
        self.news_queue.clone()
    }

    pub(super) fn tell(&self, news: News) {
        // Nobody reads: then nobody wants to know.
        let _ = self.news.try_send(news);
    }

    /// Reads what has changed. All of it is put in force, or nothing of a list with a mistake.
    fn look(&self, at_once: bool) {
        let (changed, errors) = self.read(at_once);
        errors
            .into_iter()
            .for_each(|error| self.tell(News::Refused(error)));
        if changed || at_once {
            let loaded = self.put_in_force();
            self.tell(News::Loaded(loaded));
        }
    }

    fn read(&self, at_once: bool) -> (bool, Vec<ListFileError>) {
        let (mut changed, mut errors) = (false, Vec::new());
        let known = &mut *self.known();
        let mut note = |result: Result<bool, ListFileError>| match result {
            Ok(news) => changed |= news,
            Err(error) => errors.push(error),
        };
        for path in &self.files.allow {
            let read = known.allow.entry(path.clone()).or_default();
            note(list(path, read, at_once, parse_hashes));
        }
        for path in &self.files.deny {
            let read = known.deny.entry(path.clone()).or_default();
            note(list(path, read, at_once, parse_hashes));
        }
        for path in &self.files.deny_clients {
            let read = known.clients.entry(path.clone()).or_default();
            note(list(path, read, at_once, parse_clients));
        }
        for path in &self.files.folders {
            let read = known.folders.entry(path.clone()).or_default();
            match folder(path, read, at_once) {
                Ok(results) => {
                    known.unreadable.remove(path);
                    results.into_iter().for_each(&mut note);
                }
                Err(error) if known.unreadable.insert(path.clone()) || at_once => note(Err(error)),
                Err(_) => {}
            }
        }
        (changed, errors)
    }

    fn put_in_force(&self) -> ListsLoaded {
        let known = self.known();
        let in_folders = known.folders.values().flat_map(BTreeMap::values);
        let in_folders = in_folders.filter_map(|read| read.what);
        let in_lists = known.allow.values().flat_map(|read| &read.what).copied();
        let by_name = self.allowed.iter().flatten().copied();
        let allowed: BTreeSet<_> = in_folders.chain(in_lists).chain(by_name).collect();
        let closed = self.allowed.is_some()
            || !self.files.allow.is_empty()
            || !self.files.folders.is_empty();
        let denied: BTreeSet<_> = known
            .deny
            .values()
            .flat_map(|read| &read.what)
            .copied()
            .collect();
        let clients: BTreeSet<_> = known.clients.values().flat_map(|read| &read.what).collect();
        let clients: Vec<_> = clients.into_iter().cloned().collect();
        let loaded = ListsLoaded {
            allowed: closed.then_some(allowed.len()),
            denied: denied.len(),
            clients: clients.len(),
        };
        self.policy.set_listed(closed.then_some(allowed), denied);
        self.policy.set_clients(clients);
        loaded
    }

    /// It is whole between any two looks.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ListFiles {
    fn is_empty(&self) -> bool {
        let lists = [&self.folders, &self.allow, &self.deny, &self.deny_clients];
        lists.iter().all(|paths| paths.is_empty())
    }
}

/// Reads a list if it is time; whether it is another one now.
fn list<T>(
    path: &Path,
    known: &mut Read<T>,
    at_once: bool,
    parse: impl Fn(&[u8]) -> Result<T, ListError>,
) -> Result<bool, ListFileError> {
    let unreadable = |source| ListFileError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let found = stamp(path);
    let stamp = found.as_ref().ok().copied();
    if !known.is_due(stamp, at_once) {
        return Ok(false);
    }
    known.read(stamp);
    found.map_err(unreadable)?;
    let max = limits::LIST_BYTES_MAX;
    let bytes = bytes(path, max).map_err(unreadable)?;
    if bytes.len() > max {
        let path = path.to_owned();
        return Err(ListFileError::TooLarge { path, max });
    }
    known.what = parse(&bytes).map_err(|source| ListFileError::Mistake {
        path: path.to_owned(),
        source,
    })?;
    Ok(true)
}

/// Reads the .torrent files of a folder that are new or changed.
fn folder(
    path: &Path,
    known: &mut BTreeMap<PathBuf, Read<Option<InfoHash>>>,
    at_once: bool,
) -> Result<Vec<Result<bool, ListFileError>>, ListFileError> {
    let unreadable = |source| ListFileError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mut there = BTreeSet::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        if file
            .extension()
            .is_some_and(|extension| extension == "torrent")
        {
            there.insert(file);
        }
        let max = limits::FOLDER_FILES_MAX;
        if there.len() > max {
            let path = path.to_owned();
            return Err(ListFileError::TooMany { path, max });
        }
    }
    let before = known.len();
    known.retain(|file, _| there.contains(file));
    let mut results = vec![Ok(known.len() < before)];
    for file in there {
        let known = known.entry(file.clone()).or_default();
        results.push(torrent(&file, known, at_once));
    }
    Ok(results)
}

fn torrent(
    path: &Path,
    known: &mut Read<Option<InfoHash>>,
    at_once: bool,
) -> Result<bool, ListFileError> {
    let unreadable = |source| ListFileError::UnreadableTorrent {
        path: path.to_owned(),
        source,
    };
    // It may be gone again by now, and will be missed at the next look.
    let Ok(stamp) = stamp(path) else {
        return Ok(false);
    };
    if !known.is_due(Some(stamp), at_once) {
        return Ok(false);
    }
    known.read(Some(stamp));
    let bytes = bytes(path, TORRENT_BYTES_MAX).map_err(unreadable)?;
    let torrent = Torrent::parse(&bytes);
    let torrent = torrent.map_err(|source| ListFileError::Torrent {
        path: path.to_owned(),
        source,
    })?;
    known.what = Some(torrent.info_hash);
    Ok(true)
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no ordinary file"));
    }
    let (seconds, nanoseconds) = (metadata.mtime(), metadata.mtime_nsec());
    Ok((seconds, nanoseconds, metadata.size(), metadata.ino()))
}

/// All of a file; of one that has more than `max` one more than that.
fn bytes(path: &Path, max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
