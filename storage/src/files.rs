//! The files of one torrent: opened, made and allocated when they are needed. BEP 3 "files".
//!
//! Promise: at most [`FILES_OPEN_MAX`] descriptors are kept, however many files there are; room
//! for a file is reserved before it is mapped for writing, so that a full disk is an error of a
//! call and not a fault; nothing is ever cut or removed. A file that vanished or shrank stays an
//! error until [`Files::accept`], for what was verified in it is lost. Knows nothing of pieces.

mod bytes;

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{FallocateFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::beneath::Folder;
use crate::edges::Names;
use crate::error::{At, Operation, StorageError};
use crate::limits::{FILES_OPEN_MAX, SYNCED_ALONE_MAX};

/// The files and what is known of each.
#[derive(Debug)]
pub(crate) struct Files {
    folder: Folder,
    names: Names,
    /// Those whose room is never reserved.
    sparse: Box<[bool]>,
    allocation: Allocation,
    states: Box<[State]>,
    open: Mutex<Open>,
    open_max: usize,
    dirty: Mutex<Unsynced>,
}

/// Whether room on the disk is reserved before it is needed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Allocation {
    /// For the whole file at its first write, where the file system can: a full disk shows at
    /// once, and the file lies in few extents.
    #[default]
    Full,
    /// For what is written: a full disk shows late.
    Sparse,
}

impl FromStr for Allocation {
    type Err = UnknownAllocation;

    fn from_str(text: &str) -> Result<Self, UnknownAllocation> {
        match text {
            "full" => Ok(Self::Full),
            "sparse" => Ok(Self::Sparse),
            _ => Err(UnknownAllocation),
        }
    }
}

/// Not the name of an [`Allocation`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a way to reserve room; say full or sparse")]
pub struct UnknownAllocation;

/// What is known of one file.
#[derive(Debug, Default)]
struct State {
    /// Even: as it was found. Odd: room for all of it is reserved. Every change makes it larger.
    version: AtomicU32,
    dirty: AtomicBool,
    /// It vanished, shrank or was replaced: it is not used until its pieces were looked at again.
    lost: AtomicBool,
    /// The piece that was bad when it was looked at last.
    bad_piece: AtomicU32,
    /// Which file it was when it was opened first: device and inode.
    known: Mutex<Option<(u64, u64)>>,
    allocating: Mutex<()>,
}

/// The descriptors, by file and whether they can write.
#[derive(Debug, Default)]
struct Open {
    files: HashMap<(u32, bool), (Arc<OwnedFd>, u64)>,
    clock: u64,
}

/// What a power failure would take.
#[derive(Debug, Default)]
struct Unsynced {
    written: Vec<u32>,
    created: Vec<u32>,
}

/// The version of a file's state; windows of one version are not used in another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Version(pub(crate) u32);

impl Version {
    /// Whether room for the whole file is reserved, so that its windows can be written.
    pub(crate) fn is_allocated(self) -> bool {
        self.0 % 2 == 1
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these guard is whole between any two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_regular(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

fn length_of(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

impl Files {
    /// Of the torrent, and the one that stands in for some of them; `sparse` by their numbers.
    pub(crate) fn new(
        folder: Folder,
        names: Names,
        sparse: Box<[bool]>,
        allocation: Allocation,
    ) -> Self {
        let states = (0..=names.edges()).map(|_| State::default()).collect();
        Self {
            folder,
            names,
            sparse,
            allocation,
            states,
            open: Mutex::default(),
            open_max: open_max(),
            dirty: Mutex::default(),
        }
    }

    /// Bytes that the torrent gives the file.
    pub(crate) fn length(&self, file: u32) -> u64 {
        self.names.length(file)
    }

    pub(crate) fn version(&self, file: u32) -> Version {
        Version(self.states[file as usize].version.load(Ordering::Acquire))
    }

    /// The beginning of an error about this file.
    pub(crate) fn at(&self, file: u32, operation: Operation) -> At {
        let path = self.names.path(file);
        At::new(self.folder.shown(path), operation)
    }

    /// How many descriptors are kept.
    pub(crate) fn open_count(&self) -> usize {
        lock(&self.open).files.len()
    }

    /// Closes all descriptors that are only kept.
    pub(crate) fn trim(&self) {
        let files = std::mem::take(&mut lock(&self.open).files);
        drop(files);
    }

    /// Starts over: what is on the disk may have changed in any way, and will be checked.
    pub(crate) fn forget(&self) {
        self.reopen();
        (0u32..)
            .zip(&self.states)
            .for_each(|(file, _)| self.accept(file));
    }

    /// Opens and allocates everything anew. What was lost stays so.
    pub(crate) fn reopen(&self) {
        self.states.iter().for_each(State::start_over);
        self.trim();
    }

    /// Takes a file out of use, because what was verified in it is not there any more.
    pub(crate) fn lose(&self, file: u32) {
        self.states[file as usize]
            .lost
            .store(true, Ordering::Release);
        self.suspect(file);
    }

    /// Takes a file as it will be found next.
    pub(crate) fn accept(&self, file: u32) {
        let state = &self.states[file as usize];
        *lock(&state.known) = None;
        state.lost.store(false, Ordering::Release);
    }

    /// The piece that kept a lost file out of use the last time; 0 at first.
    pub(crate) fn bad_piece(&self, file: u32) -> u32 {
        self.states[file as usize].bad_piece.load(Ordering::Relaxed)
    }

    pub(crate) fn set_bad_piece(&self, file: u32, piece: u32) {
        let state = &self.states[file as usize];
        state.bad_piece.store(piece, Ordering::Relaxed);
    }

    /// The files that are out of use.
    pub(crate) fn lost(&self) -> impl Iterator<Item = u32> {
        let numbered = (0u32..).zip(&self.states);
        numbered.filter_map(|(file, state)| state.lost.load(Ordering::Acquire).then_some(file))
    }

    /// Looks whether a file that was there once is still that, and whole.
    pub(crate) fn examine(&self, file: u32) {
        if !self.is_known(file) {
            return;
        }
        match self.open_regular(file, OFlags::RDONLY) {
            Ok((_, stat)) if length_of(&stat) < self.length(file) => self.lose(file),
            // Loses it when it is another.
            Ok((_, stat)) => drop(self.recognize(file, &stat, || self.at(file, Operation::Open))),
            Err(StorageError::Gone(_)) => self.lose(file),
            Err(_) => {}
        }
    }

    /// Whether it was there once.
    fn is_known(&self, file: u32) -> bool {
        lock(&self.states[file as usize].known).is_some()
    }

    /// That the file is the one it was.
    fn recognize(
        &self,
        file: u32,
        stat: &Stat,
        at: impl FnOnce() -> At,
    ) -> Result<(), StorageError> {
        let found = (stat.st_dev, stat.st_ino);
        let state = &self.states[file as usize];
        let same = *lock(&state.known).get_or_insert(found) == found;
        if same && !state.lost.load(Ordering::Acquire) {
            return Ok(());
        }
        self.lose(file);
        if length_of(stat) < self.length(file) {
            return Err(at().truncated());
        }
        Err(at().changed())
    }

    /// Takes the file's windows out of use after it was found changed.
    ///
    /// A file that was allocated stays so: then it has shrunk, which no new look can mend.
    pub(crate) fn suspect(&self, file: u32) {
        self.states[file as usize]
            .version
            .fetch_add(2, Ordering::AcqRel);
        let mut open = lock(&self.open);
        let old = [true, false].map(|writable| open.files.remove(&(file, writable)));
        drop(open);
        drop(old);
    }

    /// A descriptor of an existing file.
    fn get(&self, file: u32, writable: bool) -> Result<Arc<OwnedFd>, StorageError> {
        {
            let mut open = lock(&self.open);
            open.clock += 1;
            let now = open.clock;
            if let Some((fd, used)) = open.files.get_mut(&(file, writable)) {
                *used = now;
                return Ok(Arc::clone(fd));
            }
        }
        let flags = if writable {
            OFlags::RDWR
        } else {
            OFlags::RDONLY
        };
        let (fd, stat) = self.open_regular(file, flags).inspect_err(|error| {
            if matches!(error, StorageError::Gone(_)) && self.is_known(file) {
                self.lose(file);
            }
        })?;
        self.recognize(file, &stat, || self.at(file, Operation::Open))?;
        Ok(self.keep(file, writable, fd))
    }

    fn keep(&self, file: u32, writable: bool, fd: OwnedFd) -> Arc<OwnedFd> {
        let fd = Arc::new(fd);
        let mut open = lock(&self.open);
        let mut closed = None;
        if open.files.len() >= self.open_max {
            let oldest = open.files.iter().min_by_key(|(_, (_, used))| *used);
            let oldest = oldest.map(|(&key, _)| key);
            closed = oldest.and_then(|key| open.files.remove(&key));
        }
        let used = open.clock;
        let replaced = open.files.insert((file, writable), (Arc::clone(&fd), used));
        drop(open);
        drop((closed, replaced));
        fd
    }

    fn open_regular(&self, file: u32, flags: OFlags) -> Result<(OwnedFd, Stat), StorageError> {
        let path = self.names.path(file);
        let operation = if flags.contains(OFlags::CREATE) {
            Operation::Create
        } else {
            Operation::Open
        };
        let at = || self.at(file, operation);
        let open = || self.folder.open_file(path, flags);
        let fd = match open() {
            Err(Errno::MFILE | Errno::NFILE) => {
                self.trim();
                open()
            }
            answer => answer,
        };
        let fd = fd.map_err(|errno| at().failed(errno))?;
        let stat = rustix::fs::fstat(&fd).map_err(|errno| at().failed(errno))?;
        if is_regular(&stat) {
            Ok((fd, stat))
        } else {
            Err(at().not_a_file())
        }
    }

    /// Opens a file for writing, and makes it and the folders above it when they are missing. One
    /// that BEP 47 calls executable is made so; one that is there stays as it is.
    pub(crate) fn create(&self, file: u32) -> Result<(OwnedFd, Stat), StorageError> {
        match self.open_regular(file, OFlags::RDWR) {
            Err(StorageError::Gone(fault)) if self.is_known(file) => {
                self.lose(file);
                return Err(StorageError::Gone(fault));
            }
            Err(StorageError::Gone(_)) => {}
            answer => return answer,
        }
        let path = self.names.path(file);
        self.folder
            .make_parent(path)
            .map_err(|errno| self.at(file, Operation::Create).failed(errno))?;
        let (fd, stat) = self.open_regular(file, OFlags::RDWR | OFlags::CREATE)?;
        lock(&self.dirty).created.push(file);
        if self.names.is_executable(file) {
            // Who may read it may run it. Without modes, the content is kept all the same.
            let mode = Mode::from_raw_mode(stat.st_mode);
            let _ =
                rustix::fs::fchmod(&fd, mode | Mode::from_raw_mode((stat.st_mode & 0o444) >> 2));
        }
        Ok((fd, stat))
    }

    /// Opens a file for writing only to see whether that can be done: the bytes it has, or `None`
    /// when it is not there.
    pub(crate) fn try_open(&self, file: u32) -> Result<Option<u64>, StorageError> {
        match self.open_regular(file, OFlags::RDWR) {
            Ok((_, stat)) => Ok(Some(length_of(&stat))),
            Err(StorageError::Gone(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The bytes that a file has on the disk, `None` when it is not there.
    pub(crate) fn find(&self, file: u32) -> Result<Option<u64>, StorageError> {
        match self.open_regular(file, OFlags::RDONLY) {
            Ok((_, stat)) => Ok(Some(length_of(&stat))),
            Err(StorageError::Gone(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes the folders above a file, and checks that it can be made in the last of them.
    pub(crate) fn make_parent(&self, file: u32) -> Result<(), StorageError> {
        let path = self.names.path(file);
        self.folder
            .make_parent(path)
            .and_then(|parent| Folder::check_writable(&parent))
            .map_err(|errno| self.at(file, Operation::Create).failed(errno))
    }

    /// Gives the file its whole length, once, and room for all of it unless it shall be sparse:
    /// the first write pays for all.
    ///
    /// # Errors
    /// [`StorageError::Full`] and all others of making a file; the next call tries again.
    pub(crate) fn allocate(&self, file: u32) -> Result<Version, StorageError> {
        let state = &self.states[file as usize];
        let version = self.version(file);
        if version.is_allocated() {
            return Ok(version);
        }
        let _first = lock(&state.allocating);
        let version = self.version(file);
        if version.is_allocated() {
            return Ok(version);
        }
        let (fd, stat) = self.create(file)?;
        self.recognize(file, &stat, || self.at(file, Operation::Open))?;
        let length = self.length(file);
        let at = || self.at(file, Operation::Allocate).span(0..length);
        let reserves = self.allocation == Allocation::Full && !self.sparse[file as usize];
        let reserved = reserves
            && match fallocate(&fd, length) {
                Ok(()) => true,
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                    let path = self.folder.path().display();
                    tracing::info!(%path, "no preallocation here: a full disk shows late");
                    false
                }
                Err(errno) => return Err(at().failed(errno)),
            };
        if !reserved && length_of(&stat) < length {
            rustix::fs::ftruncate(&fd, length).map_err(|errno| at().failed(errno))?;
        }
        self.keep(file, true, fd);
        // Length and blocks are news for the next flush, even if no byte follows.
        self.mark_written(file);
        Ok(state.now_allocated())
    }

    /// Notes that bytes were written; to be called after them.
    pub(crate) fn mark_written(&self, file: u32) {
        // Before the flush takes the mark away, or after: either way no byte is forgotten.
        if !self.states[file as usize]
            .dirty
            .swap(true, Ordering::AcqRel)
        {
            lock(&self.dirty).written.push(file);
        }
    }

    /// Makes all that was written durable, file by file, then the folders that got new files.
    ///
    /// Mapped writes are the page cache's own pages, so on Linux `fdatasync` covers them.
    pub(crate) fn flush(&self) -> Result<(), StorageError> {
        let mut unsynced = std::mem::take(&mut *lock(&self.dirty));
        let done = self.sync(&mut unsynced);
        for &file in &unsynced.written {
            self.mark_written(file);
        }
        lock(&self.dirty).created.append(&mut unsynced.created);
        done
    }

    /// Takes out of `unsynced` what is durable, or gone for good.
    fn sync(&self, unsynced: &mut Unsynced) -> Result<(), StorageError> {
        for &file in &unsynced.written {
            self.states[file as usize]
                .dirty
                .swap(false, Ordering::AcqRel);
        }
        if unsynced.written.len() > SYNCED_ALONE_MAX {
            self.folder.begin_sync();
        }
        while let Some(&file) = unsynced.written.last() {
            let synced = self.get(file, true).and_then(|fd| {
                rustix::fs::fdatasync(&*fd)
                    .map_err(|errno| self.at(file, Operation::Flush).failed(errno))?;
                self.check_in_place(file, &fd)
            });
            use StorageError::{Changed, Gone};
            if !matches!(synced, Ok(()) | Err(Gone(_) | Changed(_))) {
                return synced;
            }
            unsynced.written.pop();
            synced?;
        }
        for folder in folders_above(&self.names, &unsynced.created) {
            self.folder.sync(folder).map_err(|errno| {
                At::new(self.folder.path().join(folder), Operation::Flush).failed(errno)
            })?;
        }
        unsynced.created.clear();
        Ok(())
    }

    /// Whether what was written is still what its name leads to: durable bytes that no one can find
    /// are lost.
    fn check_in_place(&self, file: u32, fd: &OwnedFd) -> Result<(), StorageError> {
        let (_, named) = self.open_regular(file, OFlags::RDONLY)?;
        let at = || self.at(file, Operation::Flush);
        let ours = rustix::fs::fstat(fd).map_err(|errno| at().failed(errno))?;
        if (named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino) {
            return Ok(());
        }
        self.lose(file);
        Err(at().changed())
    }

    /// Takes the file that stands in for others away: nobody needs it any more.
    pub(crate) fn remove_edges(&self) -> Result<(), StorageError> {
        let file = self.names.edges();
        self.trim();
        match self.folder.remove(self.names.path(file)) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.at(file, Operation::Create).failed(errno)),
        }
    }

    /// Hands over a descriptor that can read, unless there is none.
    pub(crate) fn with(&self, file: u32, then: &mut dyn FnMut(BorrowedFd<'_>)) {
        if let Ok(fd) = self.get(file, false) {
            then(fd.as_fd());
        }
    }

    /// How long a file is on the disk, and where its next bytes that are not a hole begin and end
    /// from `from` on. Where the file system cannot tell holes, all is data.
    pub(crate) fn next_data(&self, file: u32, from: u64) -> Result<Extent, StorageError> {
        let fd = self.get(file, false)?;
        let stat = rustix::fs::fstat(&*fd)
            .map_err(|errno| self.at(file, Operation::Read).failed(errno))?;
        let length = length_of(&stat);
        let data = if from < length {
            data_from(&fd, from, length)
        } else {
            None
        };
        Ok(Extent { length, data })
    }
}

/// Every folder above these files, relative, the chosen folder as the empty path.
pub(crate) fn folders_above<'a>(names: &'a Names, files: &[u32]) -> BTreeSet<&'a str> {
    let mut folders = BTreeSet::new();
    for &file in files {
        let mut path = names.path(file).as_str();
        while let Some((above, _)) = path.rsplit_once('/') {
            if !folders.insert(above) {
                break;
            }
            path = above;
        }
        folders.insert("");
    }
    folders
}

/// A quarter of what the process may have; the rest is for peers.
fn open_max() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let quarter = limit.and_then(|limit| usize::try_from(limit / 4).ok());
    quarter.map_or(FILES_OPEN_MAX, |quarter| quarter.clamp(1, FILES_OPEN_MAX))
}

/// What is known of a file without reading it.
pub(crate) struct Extent {
    pub(crate) length: u64,
    pub(crate) data: Option<Range<u64>>,
}

#[cfg(any(target_os = "linux", target_os = "freebsd", target_vendor = "apple"))]
fn data_from(fd: &OwnedFd, from: u64, length: u64) -> Option<Range<u64>> {
    use rustix::fs::{SeekFrom, seek};
    let start = match seek(fd, SeekFrom::Data(from)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return None,
        Err(_) => from,
    };
    Some(start..seek(fd, SeekFrom::Hole(start)).unwrap_or(length))
}

#[cfg(not(any(target_os = "linux", target_os = "freebsd", target_vendor = "apple")))]
fn data_from(_: &OwnedFd, from: u64, length: u64) -> Option<Range<u64>> {
    Some(from..length)
}

impl State {
    fn start_over(&self) {
        // To the next even number: not allocated, and unlike any version before.
        let next = |version: u32| Some((version | 1).wrapping_add(1));
        let _ = self
            .version
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
    }

    fn now_allocated(&self) -> Version {
        Version(self.version.fetch_or(1, Ordering::AcqRel) | 1)
    }
}

fn fallocate(fd: &OwnedFd, length: u64) -> Result<(), Errno> {
    loop {
        match rustix::fs::fallocate(fd, FallocateFlags::empty(), 0, length) {
            Err(Errno::INTR) => {}
            answer => return answer,
        }
    }
}
