//! One client a folder: two that wrote the same files would spoil each other's.
//!
//! `flock` on the folder itself: it leaves nothing behind, and ends with the process however that
//! ends. Several torrents of one process share a folder and its lock. Cannot know of clients that
//! do not ask, nor of those on other machines where the file system has no locks.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::error::{At, Operation, StorageError};

/// Device and inode of a folder.
type Key = (u64, u64);

/// What this process holds: the descriptor that carries the lock, and how many share it.
static HELD: Mutex<BTreeMap<Key, (File, usize)>> = Mutex::new(BTreeMap::new());

fn held() -> MutexGuard<'static, BTreeMap<Key, (File, usize)>> {
    // Counted within single statements.
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why a folder could not be locked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process has it.
    #[error(
        "another client uses the folder {}; stop that client, or choose another folder",
        .0.display()
    )]
    InUse(PathBuf),
    /// It cannot be opened.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A folder that no other process locks while this, or a clone of it, lives.
#[derive(Debug)]
pub struct FolderLock {
    key: Key,
    path: PathBuf,
}

impl FolderLock {
    /// Locks a folder that exists, for data or for journals.
    ///
    /// Where the file system knows no locks it goes on with a warning: a lock that is not to be
    /// had protects no one.
    ///
    /// # Errors
    /// [`LockError::InUse`] when another process has it; [`LockError::Storage`] when the folder
    /// cannot be opened.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let failed = |error: &std::io::Error| {
            let errno = Errno::from_io_error(error).unwrap_or(Errno::INVAL);
            At::new(path, Operation::Open).failed(errno)
        };
        let file = File::open(path).map_err(|error| failed(&error))?;
        let found = file.metadata().map_err(|error| failed(&error))?;
        if !found.is_dir() {
            return Err(At::new(path, Operation::Open).not_a_file().into());
        }
        let key = (found.dev(), found.ino());
        let mut held = held();
        if let Some((_, count)) = held.get_mut(&key) {
            *count += 1;
        } else {
            lock(&file, path)?;
            held.insert(key, (file, 1));
        }
        Ok(Self {
            key,
            path: path.to_owned(),
        })
    }

    /// The folder, as it was named.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn lock(file: &File, path: &Path) -> Result<(), LockError> {
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) => return Err(LockError::InUse(path.to_owned())),
            Err(error) => {
                let path = path.display();
                tracing::warn!(%path, %error, "no locks here: run one client only on this folder");
                return Ok(());
            }
        }
    }
}

impl Clone for FolderLock {
    fn clone(&self) -> Self {
        if let Some((_, count)) = held().get_mut(&self.key) {
            *count += 1;
        }
        Self {
            key: self.key,
            path: self.path.clone(),
        }
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        let mut held = held();
        if let Some((_, count)) = held.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As another process would: another open file description of the folder.
    fn another_client_may(folder: &Path) -> bool {
        let file = File::open(folder).unwrap();
        flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
    }

    #[test]
    fn folder_is_locked_until_the_last_torrent_lets_go() {
        let dir = tempfile::tempdir().unwrap();
        let first = FolderLock::take(dir.path()).unwrap();
        let second = FolderLock::take(&dir.path().join(".")).unwrap();
        let third = second.clone();
        for lock in [first, second, third] {
            assert!(!another_client_may(dir.path()));
            drop(lock);
        }
        assert!(another_client_may(dir.path()));
    }

    #[test]
    fn folder_of_another_client_is_refused_until_that_ends() {
        let dir = tempfile::tempdir().unwrap();
        let other = File::open(dir.path()).unwrap();
        flock(&other, FlockOperation::NonBlockingLockExclusive).unwrap();
        let error = FolderLock::take(dir.path()).unwrap_err();
        assert_eq!(error, LockError::InUse(dir.path().to_owned()));
        assert!(error.to_string().contains("another client"), "{error}");
        drop(other);
        FolderLock::take(dir.path()).unwrap();
    }

    #[test]
    fn what_is_no_folder_cannot_be_locked() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing");
        let error = FolderLock::take(&missing).unwrap_err();
        assert!(
            matches!(error, LockError::Storage(StorageError::Gone(_))),
            "{error}"
        );
        std::fs::write(&missing, b"").unwrap();
        let error = FolderLock::take(&missing).unwrap_err();
        assert!(
            matches!(error, LockError::Storage(StorageError::NotAFile(_))),
            "{error}"
        );
    }

    #[test]
    fn locks_of_many_threads_neither_fail_nor_stay() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        drop(FolderLock::take(dir.path()).unwrap());
                    }
                });
            }
        });
        assert!(another_client_may(dir.path()));
    }
}
