//! How a journal is opened: alone, beside a storage, or on a world of a test.
//!
//! Looks at the folder of the journal and at each file of the torrent; writes nothing.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use shoal_metainfo::{Info, InfoHash};

use super::disk::{Disk, Files, FolderFiles, StateFolder};
use super::lock::FolderLock;
use super::resume::{self, Resume};
use super::state::BootId;
use super::{Journal, Names, Tail, errno, flush};
use crate::edges::{self, Edges};
use crate::error::{At, Operation, StorageError};
use crate::layout::Layout;
use crate::limits::JOURNAL_FRAMES_MIN;
use crate::storage::Storage;

impl Journal {
    /// Opens the journal in the folder `state` for a torrent whose files lie in the locked folder.
    ///
    /// Looks at each file of the torrent and reads no content; writes nothing yet. To be called
    /// before any file is written. Who shares `state` with other processes locks that too.
    ///
    /// # Errors
    /// [`StorageError`] when one of the folders cannot be opened. Nothing that the journal holds is
    /// an error: see [`Resume::found`].
    pub fn open(
        lock: FolderLock,
        state: &Path,
        info: Arc<Info>,
    ) -> Result<(Self, Resume), StorageError> {
        let edges = Edges::of(&info);
        let layout = Layout::of(&info, &edges, |_| false);
        Self::open_with(lock, state, info, edges, layout)
    }

    /// The same beside a storage that is open, which may have been told to keep some files only.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn open_beside(
        storage: &Storage,
        lock: FolderLock,
        state: &Path,
    ) -> Result<(Self, Resume), StorageError> {
        let (edges, layout) = (storage.edges.clone(), storage.layout.clone());
        Self::open_with(lock, state, Arc::clone(&storage.info), edges, layout)
    }

    fn open_with(
        lock: FolderLock,
        state: &Path,
        info: Arc<Info>,
        edges: Edges,
        layout: Layout,
    ) -> Result<(Self, Resume), StorageError> {
        let names = edges::Names::new(Arc::clone(&info), &edges);
        let files = FolderFiles::open(lock.path(), names)?;
        let disk = StateFolder::open(state)
            .map_err(|error| At::new(state, Operation::Create).failed(errno(&error)))?;
        let boot = BootId::of_this_system();
        let (mut journal, resume) =
            Self::open_placed(disk, Arc::new(files), info, (edges, layout), boot);
        journal._lock = Some(lock);
        Ok((journal, resume))
    }
}

impl<D: Disk> Journal<D> {
    /// As [`Journal::open`], on any disk and in any boot.
    pub fn open_on(
        disk: D,
        files: Arc<dyn Files + Send + Sync>,
        info: Arc<Info>,
        boot: BootId,
    ) -> (Self, Resume) {
        let edges = Edges::of(&info);
        let layout = Layout::of(&info, &edges, |_| false);
        Self::open_placed(disk, files, info, (edges, layout), boot)
    }

    fn open_placed(
        mut disk: D,
        files: Arc<dyn Files + Send + Sync>,
        info: Arc<Info>,
        (edges, layout): (Edges, Layout),
        boot: BootId,
    ) -> (Self, Resume) {
        let info_hash = InfoHash(shoal_hashing::sha1(info.bytes()));
        let names = Names::new(info_hash);
        let loaded = resume::load(&mut disk, &names, info_hash, &info, boot);
        let mut journal = Self {
            layout,
            edges,
            disk,
            names,
            files,
            info,
            state: loaded.state,
            tail: if loaded.is_whole {
                Tail::Whole
            } else {
                Tail::Rewrite
            },
            current: loaded.current,
            stale: false,
            names_are_durable: false,
            tail_is_durable: false,
            frames_min: JOURNAL_FRAMES_MIN,
            snapshot_length: loaded.snapshot_length,
            length: loaded.length,
            check: loaded.check,
            begun: BTreeSet::new(),
            tainted: BTreeSet::new(),
            unlogged: BTreeSet::new(),
            is_written: false,
            open: BTreeSet::new(),
            foreign: BTreeSet::new(),
            flight: flush::Flight::default(),
            _lock: None,
        };
        let changed = journal.take_up(boot, loaded.is_whole);
        let resume = Resume {
            have: journal.state.verified.clone(),
            blocks: journal.blocks(),
            check: journal.state.doubtful.clone(),
            changed,
            found: loaded.found,
        };
        (journal, resume)
    }
}
