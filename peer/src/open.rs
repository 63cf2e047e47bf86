//! Taking up the files of a torrent: the folder, its lock, and what is remembered of it.
//!
//! May block, on a slow disk for long. Knows nothing of peers.

use std::path::PathBuf;
use std::sync::Arc;

use shoal_metainfo::Info;
use shoal_storage::journal::Resume;
use shoal_storage::{Access, FolderLock, Options, Storage, StorageError, WindowBudget};

use crate::config::TorrentConfig;
use crate::disk::keeper::Keeper;
use crate::error::OpenError;
use crate::event::{Board, Event};

/// The files of a torrent, and what is known of them.
pub(crate) struct Opened {
    pub(crate) storage: Arc<Storage>,
    /// Why the files cannot be written; no matter when nothing is missing.
    pub(crate) unwritable: Option<StorageError>,
    /// Remembers for the next start; `None`: nothing is.
    pub(crate) keeper: Option<Arc<Keeper>>,
    /// What was remembered.
    pub(crate) resume: Option<Resume>,
    pub(crate) lock: FolderLock,
}

/// What all torrents of an engine are opened with.
#[derive(Clone)]
pub(crate) struct Opener {
    /// Windows of mapped memory, shared by all torrents.
    pub(crate) windows: WindowBudget,
    pub(crate) state_dir: Option<PathBuf>,
}

impl Opener {
    /// Opens the folder of a torrent, locks it, and finds what is known of it.
    pub(crate) fn open(
        &self,
        config: &TorrentConfig,
        info: Info,
        board: &Board,
    ) -> Result<Opened, OpenError> {
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
            Ok::<_, OpenError>((storage, Some(error)))
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
        tracing::info!(dir = %config.dir.display(), "files are used by {}", storage.ways());
        Ok(Opened {
            storage: Arc::new(storage),
            unwritable,
            keeper: keeper.map(Arc::new),
            resume,
            lock,
        })
    }
}

/// Whether one may still read.
fn is_for_readers(error: &StorageError) -> bool {
    matches!(
        error,
        StorageError::ReadOnly(_) | StorageError::Permission(_)
    )
}
