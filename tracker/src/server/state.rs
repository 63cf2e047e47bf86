//! What a tracker knows in its next run too: a database in one file. BEP 48.
//!
//! Completed counts, keys and what was announced with them, what people allowed and denied, and
//! swarms where that is wanted. A database that is not whole, or not ours, is refused and stays as
//! it is, byte for byte: it is first read beneath an overlay that takes all writes. After a clean
//! stop both of the database's roots say the same, so that no flipped bit leads to an older one.
//! When to write, the keeper knows.

mod keys;
mod overlay;
mod record;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{
    Database, ReadTransaction, ReadableDatabase as _, ReadableTable as _, TableDefinition,
    TableHandle as _, WriteTransaction,
};
use rustix::fs::{FlockOperation, flock};
use shoal_metainfo::InfoHash;

use crate::limits;
use crate::policy::{KeyRecord, Passkey, PolicyChanges};
use crate::registry::{KeptPeer, read_swarms};
pub use keys::KeptKeys;
use overlay::Overlay;

/// The file in the folder.
const FILE: &str = "tracker.redb";
/// A new one, until it is whole.
const FILE_BEGUN: &str = "tracker.redb.new";
/// Held by who uses the folder.
const LOCK: &str = "tracker.lock";

/// What the tables mean. A change of it is another number.
const FORMAT: u64 = 1;

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const COMPLETED: TableDefinition<'_, &[u8; 20], u32> = TableDefinition::new("completed");
const KEYS: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("keys");
/// Whether a torrent was allowed or denied.
const HASHES: TableDefinition<'_, &[u8; 20], bool> = TableDefinition::new("hashes");
/// By part of the table: when it was written, seconds since 1970, big-endian; then its swarms.
const SWARMS: TableDefinition<'_, u8, &[u8]> = TableDefinition::new("swarms");

/// Where and what a tracker keeps.
#[derive(Debug, Clone)]
pub struct StateConfig {
    /// The folder; made if it is not there.
    pub folder: PathBuf,
    /// Whether swarms are kept too.
    pub swarms: bool,
}

/// Why the state cannot be used. It was not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The folder, or a file in it, cannot be used.
    #[error("cannot use {path} to keep the tracker's state: {source}; use another state folder")]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Somebody else uses it.
    #[error(
        "another tracker has its state in {0}: stop it, or give this one a state folder of its own"
    )]
    InUse(PathBuf),
    /// Something else.
    #[error(
        "{0} is no tracker's state, and was left as it is: use another state folder, or move the \
         file away"
    )]
    Foreign(PathBuf),
    /// Of a later version of this program.
    #[error(
        "{path} was written by a later version of this program (format {format}): use that one"
    )]
    Newer {
        /// Which.
        path: PathBuf,
        /// Its format.
        format: u64,
    },
    /// A change cannot be written.
    #[error("cannot write {path}: {why}; is there room, and may this user write there?")]
    NotKept {
        /// Which.
        path: PathBuf,
        /// What the database says.
        why: String,
    },
    /// Not what was written.
    #[error(
        "the tracker's state {path} is damaged ({why}), and was left as it is: put back a copy of \
         it, or move it away to begin with nothing"
    )]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What was noticed.
        why: String,
    },
}

/// What was kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Remembered {
    pub(super) completed: Vec<(InfoHash, u32)>,
    pub(super) keys: Vec<(Passkey, KeyRecord)>,
    pub(super) hashes: Vec<(InfoHash, bool)>,
    /// With the seconds since 1970 at which each was written.
    pub(super) swarms: Vec<(InfoHash, KeptPeer, u64)>,
    /// Whether the run before ended by itself.
    pub(super) clean: bool,
}

/// What is to be written.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// 0 for what is forgotten.
    pub(super) completed: BTreeMap<InfoHash, u32>,
    pub(super) changes: PolicyChanges,
    /// By part of the table; none forgets it.
    pub(super) swarms: BTreeMap<u8, Vec<u8>>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.completed.is_empty() && self.changes.is_empty() && self.swarms.is_empty()
    }
}

/// A database in use.
#[derive(Debug)]
pub(super) struct State {
    path: PathBuf,
    /// `None` after a write failed: then the next one opens it again.
    database: Option<Database>,
    /// Released when it is dropped.
    _lock: File,
}

impl State {
    /// Opens the state in a folder, and makes it where there is none.
    ///
    /// # Errors
    /// [`StateError`]; then nothing was changed.
    pub(super) fn open(folder: &Path) -> Result<(Self, Remembered), StateError> {
        fs::create_dir_all(folder).map_err(|source| at(folder, source))?;
        let lock = lock(folder)?;
        let path = folder.join(FILE);
        if !path.try_exists().map_err(|source| at(&path, source))? {
            make(folder, &path)?;
        }
        let remembered = examine(&path)?;
        let mut state = Self {
            path,
            database: None,
            _lock: lock,
        };
        match state.database().map(drop) {
            Ok(()) => Ok((state, remembered)),
            Err(error) => Err(unopened(&state.path, error)),
        }
    }

    /// Writes a batch: all of it or, if there is an error, nothing.
    ///
    /// # Errors
    /// The database's, with the system's behind it.
    pub(super) fn save(&mut self, batch: &Batch) -> Result<(), Box<redb::Error>> {
        let written = self.database().and_then(|database| {
            let transaction = database.begin_write()?;
            write(&transaction, batch)?;
            transaction.open_table(META)?.insert("clean", 0)?;
            Ok(transaction.commit()?)
        });
        // After a failed write it takes no others until it was opened again.
        written.map_err(|error| {
            self.database = None;
            Box::new(error)
        })
    }

    /// Says that the run ends, in both roots of the database.
    ///
    /// # Errors
    /// As [`State::save`].
    pub(super) fn close(mut self) -> Result<(), Box<redb::Error>> {
        for _ in 0..2 {
            let closed = self.database().and_then(|database| {
                let transaction = database.begin_write()?;
                transaction.open_table(META)?.insert("clean", 1)?;
                Ok(transaction.commit()?)
            });
            closed.map_err(Box::new)?;
        }
        Ok(())
    }

    fn database(&mut self) -> Result<&Database, redb::Error> {
        let database = match self.database.take() {
            Some(database) => database,
            None => builder().open(&self.path)?,
        };
        Ok(self.database.insert(database))
    }
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(limits::STATE_CACHE_BYTES);
    builder
}

fn at(path: &Path, source: io::Error) -> StateError {
    let path = path.to_owned();
    StateError::Io { path, source }
}

/// What was read as whole just now, and cannot be opened to be written.
fn unopened(path: &Path, error: redb::Error) -> StateError {
    match error {
        redb::Error::Io(source) => at(path, source),
        error => damaged(path, &error),
    }
}

fn damaged(path: &Path, why: &dyn std::fmt::Display) -> StateError {
    StateError::Damaged {
        path: path.to_owned(),
        why: why.to_string(),
    }
}

fn lock(folder: &Path) -> Result<File, StateError> {
    let path = folder.join(LOCK);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path);
    let file = file.map_err(|source| at(&path, source))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StateError::InUse(folder.to_owned())),
        Err(error) => Err(at(&path, error.into())),
    }
}

/// Makes an empty one: aside, and then in its place, so that it is never there in part.
fn make(folder: &Path, path: &Path) -> Result<(), StateError> {
    let begun = folder.join(FILE_BEGUN);
    let failed = |error: redb::Error| match error {
        redb::Error::Io(source) => at(&begun, source),
        error => at(&begun, io::Error::other(error.to_string())),
    };
    match fs::remove_file(&begun) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&begun, error)),
        _ => {}
    }
    let make = || {
        let database = builder().create(&begun)?;
        let transaction = database.begin_write()?;
        write(&transaction, &Batch::default())?;
        let mut meta = transaction.open_table(META)?;
        meta.insert("format", FORMAT)?;
        meta.insert("clean", 1)?;
        drop(meta);
        Ok(transaction.commit()?)
    };
    make().map_err(failed)?;
    let moved = fs::rename(&begun, path).and_then(|()| File::open(folder)?.sync_all());
    moved.map_err(|source| at(path, source))
}

fn write(transaction: &WriteTransaction, batch: &Batch) -> Result<(), redb::Error> {
    let mut completed = transaction.open_table(COMPLETED)?;
    for (info_hash, count) in &batch.completed {
        match count {
            0 => drop(completed.remove(&info_hash.0)?),
            count => drop(completed.insert(&info_hash.0, count)?),
        }
    }
    let mut keys = transaction.open_table(KEYS)?;
    for (key, record) in &batch.changes.keys {
        match record {
            None => drop(keys.remove(&key.bytes())?),
            Some(record) => drop(keys.insert(&key.bytes(), &record::encode(record)[..])?),
        }
    }
    let mut hashes = transaction.open_table(HASHES)?;
    for (info_hash, allowed) in &batch.changes.hashes {
        match allowed {
            None => drop(hashes.remove(&info_hash.0)?),
            Some(allowed) => drop(hashes.insert(&info_hash.0, allowed)?),
        }
    }
    let mut swarms = transaction.open_table(SWARMS)?;
    for (part, bytes) in &batch.swarms {
        match bytes.is_empty() {
            true => drop(swarms.remove(part)?),
            false => drop(swarms.insert(part, &bytes[..])?),
        }
    }
    Ok(())
}

/// Reads all of a database, every checksum with it, and changes nothing of the file.
fn examine(path: &Path) -> Result<Remembered, StateError> {
    let overlay = Overlay::open(path).map_err(|source| at(path, source))?;
    if !overlay.is_database().map_err(|source| at(path, source))? {
        return Err(match fs::metadata(path) {
            Ok(metadata) if metadata.len() == 0 => damaged(path, &"it is empty"),
            _ => StateError::Foreign(path.to_owned()),
        });
    }
    let read = AssertUnwindSafe(|| {
        let mut builder = builder();
        builder.set_check_integrity_on_open(true);
        let database = builder.create_with_backend(overlay)?;
        read(path, &database.begin_read()?)
    });
    // The database is careful, but not with every byte that can be wrong.
    let read = catch_unwind(read);
    let read = read.map_err(|_| damaged(path, &"its parts contradict each other"))?;
    read.map_err(|error| match error {
        Unread::Refused(error) => error,
        Unread::Database(error) => damaged(path, &error),
    })
}

enum Unread {
    Refused(StateError),
    Database(redb::Error),
}

impl<E: Into<redb::Error>> From<E> for Unread {
    fn from(error: E) -> Self {
        Self::Database(error.into())
    }
}

fn read(path: &Path, transaction: &ReadTransaction) -> Result<Remembered, Unread> {
    let bad = |why: &str| Unread::Refused(damaged(path, &why));
    let mut tables = transaction.list_tables()?;
    if !tables.any(|table| table.name() == "meta") {
        return Err(Unread::Refused(StateError::Foreign(path.to_owned())));
    }
    let meta = transaction.open_table(META)?;
    let format = meta.get("format")?.map(|format| format.value());
    match format {
        Some(FORMAT) => {}
        Some(format) if format > FORMAT => {
            let path = path.to_owned();
            return Err(Unread::Refused(StateError::Newer { path, format }));
        }
        _ => return Err(bad("it has no format")),
    }
    let mut remembered = Remembered {
        clean: meta.get("clean")?.is_some_and(|clean| clean.value() == 1),
        ..Remembered::default()
    };
    for entry in transaction.open_table(COMPLETED)?.iter()? {
        let (info_hash, count) = entry?;
        let completed = (InfoHash(*info_hash.value()), count.value());
        remembered.completed.push(completed);
    }
    for entry in transaction.open_table(KEYS)?.iter()? {
        let (key, bytes) = entry?;
        let key = Passkey::from_random(*key.value());
        let record = record::decode(bytes.value()).ok_or_else(|| bad("a key has no such form"))?;
        remembered.keys.push((key, record));
    }
    for entry in transaction.open_table(HASHES)?.iter()? {
        let (info_hash, allowed) = entry?;
        let hash = (InfoHash(*info_hash.value()), allowed.value());
        remembered.hashes.push(hash);
    }
    for entry in transaction.open_table(SWARMS)?.iter()? {
        let (_, bytes) = entry?;
        let (at, swarms) = bytes
            .value()
            .split_first_chunk()
            .ok_or_else(|| bad("a swarm has no time"))?;
        let at = u64::from_be_bytes(*at);
        let peers = read_swarms(swarms).ok_or_else(|| bad("a swarm has no such form"))?;
        let peers = peers.into_iter().map(|(hash, peer)| (hash, peer, at));
        remembered.swarms.extend(peers);
    }
    Ok(remembered)
}

#[cfg(test)]
mod tests;
