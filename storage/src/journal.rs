//! What is known of a torrent's pieces from one run to the next, so that nothing is hashed twice.
//!
//! ```text
//!                 before_write ─▶ wrote ─▶ verified ─▶ begin_flush, run, end_flush
//! a piece:  missing ───▶ blocks written ───▶ verified ───▶ durable
//! kept by:               the page cache      the page cache      the disk
//! claimed after:         kill -9             kill -9             kill -9, loss of power
//! ```
//! Promise: a piece is claimed only while its bytes are what was verified. After a crash of the
//! process alone everything reported is claimed; after a loss of power (another boot) what was
//! durable. A file whose size or time of writing is not ours has its pieces checked. A journal that
//! is torn, damaged, of a newer version or missing leads to a check of what is on the disk: pieces
//! in doubt may not be written. The journal before stays as a second generation, and one that
//! cannot be read is set aside.
//!
//! Cannot know: a change by others while we hold the file open for writing, or within the lease
//! ([`JOURNAL_LEASE`]) after a crash; a change that leaves size and
//! time as they were; bytes that a device loses or garbles after it has called them durable, that
//! are lost with a device torn off in the same boot, or in a flush that failed when even that could
//! not be recorded. A journal cut exactly between two records is one of an earlier moment: what
//! it claims is true, and what came later is fetched again. Where a server keeps the times of files
//! (NFS), or they come late, an unclean end leads to needless checks. The clock of the system is
//! believed; one that was set back leads to checks too.
//!
//! The file that stands in for files which nobody chose
//! ([`open_some`](crate::Storage::open_some)) is one more, behind those of the torrent: a claim
//! holds while it is what it was.
//!
//! Names: `<info hash>.journal`, `.journal.old` (the generation before), `.journal.new` (in the
//! making), `.journal.damaged` and `.journal.version-<n>` (set aside, never read).

//!
//! ```
//! # use std::{sync::Arc, time::SystemTime};
//! # use shoal_metainfo::Info;
//! # use shoal_storage::{FolderLock, Journal, Options, Storage};
//! # use shoal_storage::journal::{Moment, Scope};
//! # let mut info = b"d6:lengthi5e4:name5:hello12:piece lengthi16384e6:pieces20:".to_vec();
//! # info.extend(shoal_hashing::sha1(b"shoal"));
//! # info.push(b'e');
//! # let info = Arc::new(Info::parse(&info)?);
//! # let (data, state) = (tempfile::tempdir()?, tempfile::tempdir()?);
//! let now = || Moment::from(SystemTime::now());
//! let storage = Storage::open(data.path(), Arc::clone(&info), Options::default())?;
//! let lock = FolderLock::take(data.path())?;
//! let (mut journal, resume) = Journal::open(lock, state.path(), Arc::clone(&info))?;
//! // First `resume.check`: each is hashed, then `verified` or `incomplete`. Then what is missing.
//! assert!(resume.have.is_empty() && resume.check.is_empty());
//! let piece = info.geometry.piece(0).unwrap();
//! let block = info.geometry.nth_block(piece, 0).unwrap();
//! journal.before_write(piece, now())?;
//! storage.write(block, b"shoal")?;
//! journal.wrote([block]);
//! match storage.verify(piece)? {
//!     true => journal.verified(&[piece])?,
//!     false => journal.forget(&[piece])?,
//! }
//! // Every second: `journal.tick()`. Every few seconds, on a thread that may wait, and at the end:
//! if let Some(flush) = journal.begin_flush(Scope::Closing) {
//!     let flushed = flush.run(|| storage.flush());
//!     journal.end_flush(flushed, now())?;
//! }
//! drop(journal);
//! let lock = FolderLock::take(data.path())?;
//! let (_, resume) = Journal::open(lock, state.path(), info)?;
//! assert!(resume.have.is_full());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub(crate) mod codec;
mod disk;
mod flush;
#[doc(hidden)]
pub mod fuzz;
mod judge;
mod lock;
mod open;
mod resume;
mod state;

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::Arc;

use rustix::io::Errno;
use shoal_metainfo::{Bitfield, Block, Info, InfoHash, PieceIndex};

pub use disk::{Disk, Files, StateFolder, folder_for};
pub use flush::{Flush, FlushFailed, Flushed, Scope};
pub use lock::{FolderLock, LockError};
pub use resume::{Found, Resume};
pub use state::{Blocks, BootId, Moment, Stamp};

use crate::edges::Edges;
use crate::error::{At, Operation, StorageError};
use crate::layout::{Layout, Place};
use crate::limits::{JOURNAL_LEASE, JOURNAL_LEASE_LEFT};
use codec::Check;
use state::{Entry, FileState, Partial, State, ranges};

/// The journal of one torrent. Calls that say so wait for the disk; the others write to the page
/// cache at most.
///
/// An error means that something was not recorded. It costs a check after the next start and
/// nothing else, except where a call says that it binds.
pub struct Journal<D = StateFolder> {
    disk: D,
    names: Names,
    files: Arc<dyn Files + Send + Sync>,
    info: Arc<Info>,
    layout: Layout,
    edges: Edges,
    state: State,
    tail: Tail,
    current: Current,
    /// On the disk stand claims that hold no more.
    stale: bool,
    /// No loss of power brings an older generation back. Unknown at first: the process before may
    /// have died between giving a name and making it durable.
    names_are_durable: bool,
    /// Nor takes the end of this one; not known of what the process before has written.
    tail_is_durable: bool,
    /// Bytes of frames that the journal takes at least.
    frames_min: u64,
    /// Bytes of the snapshot, and of the whole journal.
    snapshot_length: u64,
    length: u64,
    check: Check,
    /// Pieces that may be written now.
    begun: BTreeSet<PieceIndex>,
    /// Begun, or with blocks from before, when a flush failed: some of their bytes may be lost
    /// whatever their hash says.
    tainted: BTreeSet<PieceIndex>,
    /// Unfinished pieces whose blocks are not recorded yet.
    unlogged: BTreeSet<PieceIndex>,
    /// Something may have been written since the last flush began.
    is_written: bool,
    /// Files in the state [`FileState::Open`].
    open: BTreeSet<u32>,
    /// Files that others have written, or we in another life: the next flush has to sync them.
    foreign: BTreeSet<u32>,
    flight: flush::Flight,
    _lock: Option<FolderLock>,
}

/// The names of the files of one journal.
#[derive(Clone, Debug)]
struct Names {
    current: String,
    old: String,
    new: String,
}

impl Names {
    fn new(info_hash: InfoHash) -> Self {
        let current = format!("{info_hash}.journal");
        Self {
            old: format!("{current}.old"),
            new: format!("{current}.new"),
            current,
        }
    }
}

/// How the next entry gets to the disk.
#[derive(Clone, Debug)]
enum Tail {
    /// Behind the last one.
    Whole,
    /// With a new snapshot.
    Rewrite,
    /// Not before a new snapshot has worked out, which the slow calls try.
    Broken(StorageError),
}

/// What bears the name of the journal.
#[derive(Clone, Debug)]
enum Current {
    Missing,
    Usable,
    /// To be set aside under this name.
    Unusable(String),
}

impl<D: Disk> Journal<D> {
    /// To be called before blocks of a piece are written, at least once in
    /// [`JOURNAL_LEASE_LEFT`] while writes go on: cheap when
    /// there is nothing to do. Waits for the disk when claims have to be taken back first, when a
    /// file with durable pieces is opened anew, and when no flush came for as long.
    ///
    /// # Errors
    /// Binds: while there is an error, nothing may be written.
    ///
    /// # Panics
    /// When the piece is in doubt: it has to be checked first, for it may be whole.
    pub fn before_write(&mut self, piece: PieceIndex, now: Moment) -> Result<(), StorageError> {
        if self.stale {
            self.rewrite()?;
        }
        self.sync_names()?;
        self.is_written = true;
        let needs_lease = self.state.lease < now.plus(JOURNAL_LEASE_LEFT);
        let is_new = !self.begun.contains(&piece) && !self.state.verified.has(piece);
        if !needs_lease && !is_new {
            return Ok(());
        }
        let mut entries = Vec::new();
        // A loss of power must not take the record of it and leave the new time of a file that
        // holds claims.
        let mut is_vital = needs_lease && !self.state.durable.is_empty();
        if needs_lease {
            entries.push(Entry::Lease(now.plus(JOURNAL_LEASE)));
        }
        if is_new {
            let is_in_doubt = self.state.doubtful.has(piece) && !self.tainted.contains(&piece);
            assert!(!is_in_doubt, "piece {piece} is in doubt: check it first");
            self.begun.insert(piece);
            let files: Vec<u32> = self.files_of(piece).collect();
            for file in files {
                self.flight.reopened(file);
                if let FileState::Settled(before) = self.state.files[file as usize] {
                    let open = FileState::Open(judge::opened(before, now));
                    entries.push(Entry::File(file, open));
                    self.open.insert(file);
                    is_vital |= self
                        .pieces_of(file)
                        .any(|piece| self.state.durable.has(piece));
                }
            }
        }
        // Not recorded, it only leads to a check.
        let logged = self.log(&entries);
        if let Err(error) = logged.and_then(|()| if is_vital { self.sync() } else { Ok(()) }) {
            tracing::debug!(%error, "the journal is behind");
        }
        Ok(())
    }

    /// Notes blocks that were written, for [`Self::tick`] to record. Other blocks than those of
    /// [`Geometry::blocks`](shoal_metainfo::Geometry::blocks), and of pieces that were not begun
    /// with [`Self::before_write`], are not noted.
    pub fn wrote(&mut self, blocks: impl IntoIterator<Item = Block>) {
        let geometry = &self.info.geometry;
        for block in blocks {
            let (piece, number) = (block.piece(), block.number());
            let is_whole = geometry.nth_block(piece, number) == Some(block);
            if !is_whole || !self.begun.contains(&piece) || self.tainted.contains(&piece) {
                continue;
            }
            let none = || Blocks::none(geometry.block_count(piece));
            let partial = self.state.partial.entry(piece).or_insert_with(|| Partial {
                written: none(),
                durable: none(),
            });
            if partial.written.insert(number) {
                self.unlogged.insert(piece);
            }
        }
    }

    /// Records pieces whose bytes are in the files and have the torrent's hash. Those that were
    /// begun before a flush failed are not recorded, but checked after the next start.
    ///
    /// # Errors
    /// [`StorageError`]; not recorded then, but the next snapshot has them.
    pub fn verified(&mut self, pieces: &[PieceIndex]) -> Result<(), StorageError> {
        for piece in pieces {
            self.begun.remove(piece);
            self.unlogged.remove(piece);
        }
        let sound = pieces.iter().filter(|piece| !self.tainted.contains(piece));
        let ranges = ranges(sound.copied());
        if ranges.is_empty() {
            return Ok(());
        }
        self.log(&[Entry::Verified(ranges)])
    }

    /// Records that a check found these pieces not whole: they may be written now. What is known
    /// of their blocks stays.
    ///
    /// # Errors
    /// [`StorageError`]; they are checked again after the next start then.
    pub fn incomplete(&mut self, pieces: &[PieceIndex]) -> Result<(), StorageError> {
        let doubtful = pieces
            .iter()
            .filter(|piece| self.state.doubtful.has(**piece));
        let ranges = ranges(doubtful.copied());
        if ranges.is_empty() {
            return Ok(());
        }
        self.log(&[Entry::Incomplete(ranges)])
    }

    /// Takes back everything that is known of these pieces, because their hash is wrong. Waits for
    /// the disk if one of them was claimed.
    ///
    /// # Errors
    /// Binds: until [`Self::before_write`] is without an error, nothing may be written.
    pub fn forget(&mut self, pieces: &[PieceIndex]) -> Result<(), StorageError> {
        let mut entries = Vec::new();
        for &piece in pieces {
            self.begun.remove(&piece);
            self.tainted.remove(&piece);
            self.unlogged.remove(&piece);
            self.flight.spoiled(piece);
            if self.state.verified.has(piece) {
                self.state.withdraw(piece);
                self.stale = true;
            }
            let doubtful = self.state.doubtful.has(piece);
            if doubtful || self.state.partial.contains_key(&piece) {
                entries.push(Entry::Restarted(piece));
            }
        }
        if self.stale {
            entries.iter().for_each(|entry| self.state.apply(entry));
            return self.rewrite();
        }
        // The blocks of an unfinished piece are no claim.
        if let Err(error) = self.log(&entries) {
            tracing::debug!(%error, "the journal is behind");
        }
        Ok(())
    }

    /// Records blocks written since, once a second or so. Waits for the disk when a new snapshot is
    /// due.
    ///
    /// # Errors
    /// [`StorageError`]; the next call tries again.
    pub fn tick(&mut self) -> Result<(), StorageError> {
        let is_long =
            self.length - self.snapshot_length > self.snapshot_length.max(self.frames_min);
        if self.stale || is_long || matches!(self.tail, Tail::Broken(_)) {
            return self.rewrite();
        }
        let unlogged = std::mem::take(&mut self.unlogged);
        let partial = unlogged.into_iter().filter_map(|piece| {
            let partial = self.state.partial.get(&piece)?;
            Some(Entry::Blocks(piece, partial.written.clone()))
        });
        let entries: Vec<Entry> = partial.collect();
        self.log(&entries)
    }

    /// Whether a flush would change anything.
    #[must_use]
    pub fn needs_flush(&self) -> bool {
        let undurable = self.state.verified.count() > self.state.durable.count();
        self.is_written || undurable || !self.foreign.is_empty()
    }

    /// Looks at the files again, before a check of everything, and gives the pieces that are in
    /// doubt from now on: those that were claimed in files that have changed.
    ///
    /// Waits for the disk when there are any.
    ///
    /// # Errors
    /// Binds, as [`Self::forget`].
    pub fn look_again(&mut self) -> Result<Bitfield, StorageError> {
        let before = self.state.doubtful.clone();
        self.look(true, true);
        if self.stale {
            self.rewrite()?;
        }
        let mut new = self.state.doubtful.clone();
        for piece in before
            .ones()
            .filter_map(|piece| self.info.geometry.piece(piece))
        {
            new.remove(piece);
        }
        Ok(new)
    }

    /// Other than [`JOURNAL_FRAMES_MIN`](crate::limits::JOURNAL_FRAMES_MIN), so that a test sees
    /// many snapshots.
    #[doc(hidden)]
    pub fn set_frames_min(&mut self, bytes: u64) {
        self.frames_min = bytes;
    }

    /// The pieces that are claimed now.
    #[must_use]
    pub fn have(&self) -> &Bitfield {
        &self.state.verified
    }

    /// Makes the entries true, and writes them.
    fn log(&mut self, entries: &[Entry]) -> Result<(), StorageError> {
        entries.iter().for_each(|entry| self.state.apply(entry));
        match &self.tail {
            _ if entries.is_empty() => Ok(()),
            Tail::Whole => {
                let pieces = self.info.geometry.pieces();
                let (bytes, check) = codec::frame(entries, pieces, self.check);
                self.tail_is_durable = false;
                if let Err(error) = self.disk.append(&self.names.current, &bytes) {
                    return Err(self.broken(Operation::Write, &error));
                }
                self.check = check;
                self.length += bytes.len() as u64;
                Ok(())
            }
            Tail::Rewrite => self.rewrite(),
            Tail::Broken(error) => Err(error.clone()),
        }
    }

    /// Makes all that was logged durable.
    fn sync(&mut self) -> Result<(), StorageError> {
        self.sync_names()?;
        let synced = self.disk.sync(&self.names.current);
        synced.map_err(|error| self.broken(Operation::Flush, &error))?;
        self.tail_is_durable = true;
        Ok(())
    }

    fn sync_names(&mut self) -> Result<(), StorageError> {
        if !self.names_are_durable {
            let synced = self.disk.sync_folder();
            synced.map_err(|error| self.broken(Operation::Flush, &error))?;
            self.names_are_durable = true;
        }
        Ok(())
    }

    /// Writes a snapshot aside and puts it in the place of the journal, durably.
    fn rewrite(&mut self) -> Result<(), StorageError> {
        let (bytes, check) = codec::snapshot(&self.state);
        self.names_are_durable = false;
        if let Err(error) = self.replace(&bytes) {
            return Err(self.broken(Operation::Create, &error));
        }
        self.tail = Tail::Whole;
        self.stale = false;
        self.names_are_durable = true;
        self.tail_is_durable = true;
        self.check = check;
        self.snapshot_length = bytes.len() as u64;
        self.length = self.snapshot_length;
        self.unlogged.clear();
        Ok(())
    }

    fn replace(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Self { disk, names, .. } = self;
        disk.create(&names.new, bytes)?;
        disk.sync(&names.new)?;
        if let Current::Unusable(aside) = &self.current {
            disk.rename(&names.current, aside)?;
            disk.sync_folder()?;
            self.current = Current::Missing;
        }
        if self.stale {
            // No generation may outlive a claim that is taken back. There is always one, though.
            match self.current {
                Current::Missing => rename_if_there(disk, &names.old, &names.current)?,
                _ => disk.remove(&names.old)?,
            }
            disk.sync_folder()?;
        } else if matches!(self.current, Current::Usable) {
            rename_if_there(disk, &names.current, &names.old)?;
            self.current = Current::Missing;
        }
        disk.rename(&names.new, &names.current)?;
        self.current = Current::Usable;
        disk.sync_folder()
    }

    fn broken(&mut self, operation: Operation, error: &io::Error) -> StorageError {
        let at = At::new(self.disk.shown(&self.names.current), operation);
        let error = at.failed(errno(error));
        self.tail = Tail::Broken(error.clone());
        error
    }

    /// The files that a piece lies in, padding left out.
    fn files_of(&self, piece: PieceIndex) -> impl Iterator<Item = u32> + '_ {
        let begin = self.info.geometry.piece_begin(piece);
        let end = begin + u64::from(self.info.geometry.piece_length(piece));
        let spans = self.layout.spans(begin..end);
        spans.filter_map(|span| match span.place {
            Place::File { file, .. } => Some(file),
            Place::Zeros => None,
        })
    }
}

fn rename_if_there(disk: &mut impl Disk, from: &str, to: &str) -> io::Result<()> {
    match disk.rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        answer => answer,
    }
}

fn errno(error: &io::Error) -> Errno {
    match error.kind() {
        io::ErrorKind::FileTooLarge => Errno::FBIG,
        _ => Errno::from_io_error(error).unwrap_or(Errno::IO),
    }
}

impl<D> fmt::Debug for Journal<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("name", &self.names.current)
            .field("verified", &self.state.verified.count())
            .field("durable", &self.state.durable.count())
            .field("doubtful", &self.state.doubtful.count())
            .field("partial", &self.state.partial.len())
            .field("tail", &self.tail)
            .finish_non_exhaustive()
    }
}
