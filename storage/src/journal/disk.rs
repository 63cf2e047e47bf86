//! Where journals lie and how files look: the few calls, apart, so that a test stands in for both.
//!
//! Knows names and bytes; what they mean is known elsewhere.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, OFlags, fadvise};
use rustix::io::Errno;

use super::state::{Moment, Stamp};
use crate::beneath::Folder;
use crate::edges::Names;
use crate::error::StorageError;
use crate::files::folders_above;
use crate::limits::JOURNAL_BYTES_MAX;

/// A folder for journals: flat names, a few calls.
pub trait Disk {
    /// The bytes of a file; `None` when it is not there.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::FileTooLarge`] above [`JOURNAL_BYTES_MAX`].
    fn read(&mut self, name: &str) -> io::Result<Option<Vec<u8>>>;
    /// Makes or replaces a file.
    ///
    /// # Errors
    /// What the system says; then the file holds anything.
    fn create(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Writes at the end of a file that is there, with one call.
    ///
    /// # Errors
    /// What the system says; then a part may have been written.
    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Makes the bytes of a file durable.
    ///
    /// # Errors
    /// What the system says; then they may be lost.
    fn sync(&mut self, name: &str) -> io::Result<()>;
    /// Gives a file another name, and takes that from whatever had it.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file, if it is there.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&mut self, name: &str) -> io::Result<()>;
    /// Makes names durable.
    ///
    /// # Errors
    /// What the system says.
    fn sync_folder(&mut self) -> io::Result<()>;
    /// Where a file is, for people.
    fn shown(&self, name: &str) -> PathBuf;
}

/// The files of the torrent, as far as the journal looks at them.
pub trait Files {
    /// How a file looks, by its number in the torrent; `None` when it is not there.
    ///
    /// # Errors
    /// What the system says when something else is in its place, or it may not be opened.
    fn stamp(&self, file: u32) -> io::Result<Option<Stamp>>;
    /// Makes all of a file durable, whoever wrote it, its time too, and then looks at it.
    ///
    /// # Errors
    /// What the system says; then some of it may be lost.
    fn settle(&self, file: u32) -> io::Result<Option<Stamp>>;
    /// Makes the names of these files durable, up to the chosen folder.
    ///
    /// # Errors
    /// What the system says.
    fn settle_names(&self, files: &[u32]) -> io::Result<()>;
    /// Takes the pages of a file that are not waiting to be written out of the cache, as far as
    /// that can be done, so that the next read asks the device.
    fn uncache(&self, file: u32);
    /// Where a file is, for people.
    fn shown(&self, file: u32) -> PathBuf;
}

/// The folder in `state` for the journals of torrents whose content lies in `data`, which is there.
/// Another folder with the same torrent has journals of its own.
///
/// # Errors
/// What the system says of `data`.
pub fn folder_for(state: &Path, data: &Path) -> io::Result<PathBuf> {
    let data = fs::canonicalize(data)?;
    let name = shoal_hashing::sha1(data.as_os_str().as_encoded_bytes());
    let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(state.join(name))
}

/// A folder of the system.
#[derive(Debug)]
pub struct StateFolder {
    path: PathBuf,
    /// Kept from the first append to the next sync: an idle torrent holds no descriptor.
    appending: Option<(String, File)>,
}

impl StateFolder {
    /// Makes the folder and those above it when they are missing.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        Ok(Self {
            path: path.to_owned(),
            appending: None,
        })
    }

    fn forget(&mut self, name: &str) {
        if self
            .appending
            .as_ref()
            .is_some_and(|(open, _)| open == name)
        {
            self.appending = None;
        }
    }
}

/// `None` for what is not there.
fn if_there<T>(answer: io::Result<T>) -> io::Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Disk for StateFolder {
    fn read(&mut self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = if_there(File::open(self.path.join(name)))? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        let read = file.take(JOURNAL_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if read as u64 > JOURNAL_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(Some(bytes))
    }

    fn create(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.forget(name);
        fs::write(self.path.join(name), bytes)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        if self.appending.as_ref().is_none_or(|(open, _)| open != name) {
            let file = OpenOptions::new().append(true).open(self.path.join(name))?;
            self.appending = Some((name.to_owned(), file));
        }
        let (_, file) = self.appending.as_mut().expect("opened above");
        file.write_all(bytes)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        match self.appending.take() {
            Some((open, file)) if open == name => file.sync_data(),
            _ => File::open(self.path.join(name))?.sync_data(),
        }
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.forget(from);
        self.forget(to);
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.forget(name);
        if_there(fs::remove_file(self.path.join(name))).map(drop)
    }

    fn sync_folder(&mut self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn shown(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// The files of a torrent beneath one folder.
#[derive(Debug)]
pub(crate) struct FolderFiles {
    folder: Folder,
    names: Names,
}

impl FolderFiles {
    pub(crate) fn open(folder: &Path, names: Names) -> Result<Self, StorageError> {
        Ok(Self {
            folder: Folder::open(folder, false)?,
            names,
        })
    }

    fn look(
        &self,
        file: u32,
        first: impl Fn(&File) -> io::Result<()>,
    ) -> io::Result<Option<Stamp>> {
        let path = self.names.path(file);
        let file = match self.folder.open_file(path, OFlags::RDONLY) {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        first(&file)?;
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(Errno::ISDIR.into());
        }
        Ok(Some(Stamp {
            size: found.size(),
            modified: Moment::from_parts(found.mtime(), found.mtime_nsec()),
            inode: found.ino(),
        }))
    }
}

impl Files for FolderFiles {
    fn stamp(&self, file: u32) -> io::Result<Option<Stamp>> {
        self.look(file, |_| Ok(()))
    }

    fn settle(&self, file: u32) -> io::Result<Option<Stamp>> {
        self.look(file, File::sync_all)
    }

    fn settle_names(&self, files: &[u32]) -> io::Result<()> {
        let mut folders = folders_above(&self.names, files).into_iter();
        folders.try_for_each(|folder| match self.folder.sync(folder) {
            // With its files, then.
            Err(Errno::NOENT) => Ok(()),
            answer => Ok(answer?),
        })
    }

    fn uncache(&self, file: u32) {
        let advise = |file: &File| Ok(fadvise(file, 0, None, Advice::DontNeed)?);
        if let Err(error) = self.look(file, advise) {
            tracing::debug!(%error, "the cache is not to be emptied");
        }
    }

    fn shown(&self, file: u32) -> PathBuf {
        self.folder.shown(self.names.path(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_folder_appends_to_what_has_the_name_now() {
        let dir = tempfile::tempdir().unwrap();
        let mut disk = StateFolder::open(&dir.path().join("made")).unwrap();
        assert_eq!(disk.read("a").unwrap(), None);
        assert!(disk.append("a", b"1").is_err());
        disk.create("a", b"1").unwrap();
        disk.append("a", b"2").unwrap();
        disk.append("a", b"3").unwrap();
        disk.create("b", b"x").unwrap();
        disk.rename("b", "a").unwrap();
        disk.append("a", b"y").unwrap();
        disk.sync("a").unwrap();
        disk.sync_folder().unwrap();
        assert_eq!(disk.read("a").unwrap().unwrap(), b"xy");
        disk.remove("a").unwrap();
        disk.remove("a").unwrap();
        assert_eq!(disk.read("a").unwrap(), None);
    }

    #[test]
    fn file_that_is_too_large_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let mut disk = StateFolder::open(dir.path()).unwrap();
        File::create(disk.shown("a"))
            .unwrap()
            .set_len(JOURNAL_BYTES_MAX + 1)
            .unwrap();
        let error = disk.read("a").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }
}
