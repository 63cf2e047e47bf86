//! By which way bytes get to and from the files, and whether a mount can do it.
//!
//! Promise: what is chosen is right there. Mapped reads beside written calls are right only where
//! both see the same pages; that is tried out once for each mount, on a file of its own without a
//! name. Knows nothing of torrents.
//!
//! Why calls write: pieces come in random order, and then the kernel builds the page cache of a
//! mapping page by page, at three times the cost of a `pwritev` that brings many blocks at once.
//! docs/performance.md has the figures.

use std::collections::HashMap;
use std::fmt;
use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use rustix::io::Errno;
use shoal_metainfo::Geometry;

use crate::beneath::Folder;
use crate::map::{Mapping, Purpose};
use crate::pieces::Pieces;

/// By which way bytes get to and from the files.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Method {
    /// Written by calls, read through windows of mapped memory; read by calls, too, where that
    /// does not work.
    #[default]
    Auto,
    /// Written and read through windows of mapped memory, whatever it costs.
    Mmap,
    /// Written and read by calls.
    Pread,
}

/// What a torrent really uses, after its mount was tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ways {
    /// Reads go through mapped memory.
    pub reads_mapped: bool,
    /// Writes go through mapped memory.
    pub writes_mapped: bool,
}

impl FromStr for Method {
    type Err = UnknownMethod;

    fn from_str(text: &str) -> Result<Self, UnknownMethod> {
        match text {
            "auto" => Ok(Self::Auto),
            "mmap" => Ok(Self::Mmap),
            "pread" => Ok(Self::Pread),
            _ => Err(UnknownMethod),
        }
    }
}

/// Not the name of a [`Method`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a way to store; say auto, mmap or pread")]
pub struct UnknownMethod;

impl fmt::Display for Ways {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.reads_mapped, self.writes_mapped) {
            (true, true) => "mmap",
            (true, false) => "mmap reads, pwrite writes",
            (false, _) => "pread and pwrite",
        })
    }
}

impl Method {
    /// The ways for files in this folder; tries its mount when it has to be known.
    pub(crate) fn choose(self, folder: &Folder, writes: bool) -> Ways {
        let (reads_mapped, writes_mapped) = match self {
            Self::Mmap => (true, true),
            Self::Pread => (false, false),
            // Where nothing is written there is nothing to agree with; `Content` reads by calls
            // when a file cannot be mapped.
            Self::Auto if !writes => (true, false),
            Self::Auto => (maps_agree(folder), false),
        };
        Ways {
            reads_mapped,
            writes_mapped,
        }
    }
}

/// Whether mapped reads see what calls write, on the mount of this folder.
fn maps_agree(folder: &Folder) -> bool {
    static TRIED: Mutex<Option<HashMap<u64, bool>>> = Mutex::new(None);
    let Ok(device) = folder.device() else {
        return false;
    };
    let mut tried = TRIED.lock().unwrap_or_else(PoisonError::into_inner);
    let tried = tried.get_or_insert_default();
    if let Some(&answer) = tried.get(&device) {
        return answer;
    }
    let path = folder.path().display();
    let answer = folder.scratch_file().and_then(|file| agree(&file));
    match answer {
        Ok(true) => {}
        Ok(false) => tracing::warn!(%path, "mapped memory shows old bytes here: read by calls"),
        Err(errno) => {
            tracing::info!(%path, %errno, "cannot try mapped memory here: read by calls");
        }
    }
    // A full disk or a folder that cannot be written says nothing of the mount.
    if matches!(answer, Ok(_) | Err(Errno::NODEV)) {
        tried.insert(device, answer == Ok(true));
    }
    answer == Ok(true)
}

/// Writes twice by calls, before and after mapping, and looks through the mapping.
fn agree(file: &OwnedFd) -> Result<bool, Errno> {
    const LENGTH: usize = 8 << 10;
    let write = |byte: u8| -> Result<(), Errno> {
        let bytes = [byte; LENGTH];
        let written = rustix::io::pwritev(file, &[IoSlice::new(&bytes)], 0)?;
        if written == LENGTH {
            Ok(())
        } else {
            Err(Errno::IO)
        }
    };
    write(1)?;
    let mapping = Mapping::new(file.as_fd(), 0, LENGTH, Purpose::Read)?.into_own();
    // The file is ours alone, so its one piece is in nobody's way.
    let pieces = Pieces::new(1);
    let piece = Geometry::new(1, 1).ok().and_then(|one| one.piece(0));
    let held = pieces.read(piece.expect("one piece of one byte"));
    let shows = |byte: u8| mapping.bytes(&held).iter().all(|&b| b == byte);
    let before = shows(1);
    write(2)?;
    let after = shows(2);
    mapping.check().map(|()| before && after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_has_its_ways() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path(), true).unwrap();
        let shown = |method: Method| method.choose(&folder, true).to_string();
        assert_eq!(shown(Method::Mmap), "mmap");
        assert_eq!(shown(Method::Pread), "pread and pwrite");
        // A folder for temporary files can map on every system that the tests run on.
        assert_eq!(shown(Method::Auto), "mmap reads, pwrite writes");
    }

    #[test]
    fn trying_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path(), true).unwrap();
        assert_eq!(
            folder.scratch_file().and_then(|file| agree(&file)),
            Ok(true)
        );
        assert_eq!(dir.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn methods_have_names() {
        assert_eq!("auto".parse(), Ok(Method::Auto));
        assert_eq!("mmap".parse(), Ok(Method::Mmap));
        assert_eq!("pread".parse(), Ok(Method::Pread));
        assert_eq!("map".parse::<Method>(), Err(UnknownMethod));
    }
}
