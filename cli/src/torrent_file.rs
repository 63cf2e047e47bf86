//! The .torrent that a command was given: read with a bound, parsed, errors with its path.
//!
//! Knows nothing of what the torrent is for.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use shoal_metainfo::limits::TORRENT_BYTES_MAX;
use shoal_metainfo::{Torrent, TorrentError};

use crate::render::{self, text::Printable};

/// Why a .torrent cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TorrentFileError {
    /// It is not there.
    #[error("{0} is not there; check the path, or make it with `shoal create`")]
    Missing(PathBuf),
    /// It is a folder.
    #[error("{0} is a folder; give the .torrent file itself")]
    Folder(PathBuf),
    /// It is a device, a pipe or the like, which may have no end.
    #[error("{0} is no ordinary file; save the .torrent to one and give that")]
    Special(PathBuf),
    /// The system does not give it.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its bytes are no torrent that we can use.
    #[error("{path}: {source}")]
    Content {
        /// Which.
        path: PathBuf,
        /// Why.
        source: TorrentError,
    },
}

/// Reads a .torrent.
///
/// # Errors
/// [`TorrentFileError`], which names the file.
pub(crate) fn read(path: &Path) -> Result<Torrent, TorrentFileError> {
    let unreadable = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => TorrentFileError::Missing(path.to_owned()),
        _ => TorrentFileError::Unreadable {
            path: path.to_owned(),
            source,
        },
    };
    // Before it is opened: to open a pipe waits for who writes.
    let kind = fs::metadata(path).map_err(unreadable)?.file_type();
    if kind.is_dir() {
        return Err(TorrentFileError::Folder(path.to_owned()));
    }
    if !kind.is_file() {
        return Err(TorrentFileError::Special(path.to_owned()));
    }
    let bytes = bytes(path).map_err(unreadable)?;
    Torrent::parse(&bytes).map_err(|source| TorrentFileError::Content {
        path: path.to_owned(),
        source,
    })
}

/// What is left out of a torrent because it is wrong, each a line for people.
pub(crate) fn warnings<'a>(
    torrent: &'a Torrent,
    path: &'a Path,
) -> impl Iterator<Item = String> + 'a {
    let path = path.display();
    torrent
        .flaws
        .iter()
        .map(move |flaw| format!("{path}: {flaw}"))
}

/// The same on standard error, where a command has no other place for them.
pub(crate) fn tell_warnings(torrent: &Torrent, path: &Path) {
    for warning in warnings(torrent, path) {
        render::warn(Printable(&warning));
    }
}

/// At most one byte more than a torrent may have: enough for the parser to refuse it.
fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = TORRENT_BYTES_MAX as u64 + 1;
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}
