//! A .torrent to be written: whole or not at all, and over nothing unless that was asked for.
//!
//! Knows nothing of what is in it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::error::Error;

/// Refuses before the work what would be refused after it.
///
/// # Errors
/// What stands there, or that the folder is missing.
pub(crate) fn check(output: &Path, force: bool) -> Result<(), Error> {
    match fs::symlink_metadata(output) {
        Ok(metadata) if metadata.is_dir() => Err(Error::OutputIsFolder(output.to_owned())),
        Ok(metadata) if force && !metadata.is_file() && !metadata.is_symlink() => {
            Err(Error::OutputIsSpecial(output.to_owned()))
        }
        Ok(_) if !force => Err(Error::Exists(output.to_owned())),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = folder_of(output);
            match fs::metadata(folder) {
                Ok(_) => Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    Err(Error::OutputFolderMissing(folder.to_owned()))
                }
                Err(source) => Err(Error::Write {
                    path: folder.to_owned(),
                    source,
                }),
            }
        }
        Err(source) => Err(Error::Write {
            path: output.to_owned(),
            source,
        }),
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// A file that is gone when dropped, unless it was moved away.
struct Aside(PathBuf);

impl Drop for Aside {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Writes aside, then moves: whole or not at all, and over nothing unless `force`.
///
/// # Errors
/// As [`check`], and what the system says.
pub(crate) fn write(output: &Path, bytes: &[u8], force: bool) -> Result<(), Error> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => Error::Exists(output.to_owned()),
        _ => Error::Write {
            path: output.to_owned(),
            source,
        },
    };
    let aside = folder_of(output).join(format!(".shoal-{:016x}.part", fastrand::u64(..)));
    let mut file = File::create_new(&aside).map_err(|source| Error::Write {
        path: aside.clone(),
        source,
    })?;
    let aside = Aside(aside);
    file.write_all(bytes).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    if force {
        return fs::rename(&aside.0, output).map_err(failed);
    }
    match renameat_with(CWD, &aside.0, CWD, output, RenameFlags::NOREPLACE) {
        // Some file systems know no such flag; a link fails just as well when the name is taken.
        Err(Errno::INVAL | Errno::NOSYS) => fs::hard_link(&aside.0, output),
        result => result.map_err(io::Error::from),
    }
    .map_err(failed)
}
