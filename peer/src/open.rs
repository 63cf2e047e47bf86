//! Taking up the files of a torrent: the folder, its lock, and what is remembered of it.
//!
//! May block, on a slow disk for long. Knows nothing of peers.

use std::path::PathBuf;
use std::sync::Arc;

use shoal_metainfo::{Bitfield, Chosen, Info};
use shoal_storage::journal::Resume;
use shoal_storage::{Access, FolderLock, Options, Storage, StorageError, WindowBudget};
use shoal_swarm::holdings::Holdings;

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
    /// The pieces of the wanted files; `None`: all.
    pub(crate) wanted: Option<Bitfield>,
    /// Bytes in them.
    pub(crate) bytes_wanted: u64,
}

impl Opened {
    /// Whether nothing is missing of what is wanted.
    pub(crate) fn is_complete(&self, have: &Bitfield) -> bool {
        let lacks = |wanted: &Bitfield| Holdings::new(wanted.clone()).count_outside(have) > 0;
        match &self.wanted {
            None => have.is_full(),
            Some(wanted) => !lacks(wanted),
        }
    }
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
        let chosen = choose(config, &info, board)?;
        let options = Options {
            method: config.method,
            allocation: config.allocation,
            ..Options::default()
        };
        let open = |options| {
            Storage::open_some(
                &self.windows,
                &config.dir,
                info.clone(),
                chosen.clone(),
                options,
            )
        };
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
            let kept = Keeper::open(lock.clone(), state, &storage);
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
        let pieces = chosen.pieces(&info);
        let lengths = pieces
            .ones()
            .filter_map(|number| info.geometry.piece(number));
        let lengths = lengths.map(|piece| u64::from(info.geometry.piece_length(piece)));
        Ok(Opened {
            bytes_wanted: lengths.sum(),
            wanted: Some(pieces).filter(|pieces| !pieces.is_full()),
            storage: Arc::new(storage),
            unwritable,
            keeper: keeper.map(Arc::new),
            resume,
            lock,
        })
    }
}

/// The files that are wanted, and what is to be told of them.
fn choose(config: &TorrentConfig, info: &Info, board: &Board) -> Result<Chosen, OpenError> {
    let (chosen, vain) = config.files.resolve(info)?;
    if !config.files.is_empty() {
        board.post(Event::FilesChosen {
            files: chosen.numbers(info).collect(),
            bytes: chosen.bytes(info),
            vain,
        });
    }
    Ok(chosen)
}

/// Whether one may still read.
fn is_for_readers(error: &StorageError) -> bool {
    matches!(
        error,
        StorageError::ReadOnly(_) | StorageError::Permission(_)
    )
}
