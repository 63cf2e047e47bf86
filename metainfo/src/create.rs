//! Making a torrent: which files ([`Plan`]), their hashes ([`Hashes`]), the .torrent ([`Draft`]).
//! BEP 3 "metainfo files".
//!
//! The one place of this crate that reads files. What is planned is what is hashed: a file that
//! changes in between is an error that names it. Knows nothing of the terminal: progress is a
//! callback, and interruption a flag.

mod draft;
mod hash;
mod read;
mod scan;

use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use crate::limits::{
    CREATE_PIECE_LENGTH_MAX, CREATE_PIECE_LENGTH_MIN, CREATE_PIECES_AIM, DUPLICATES_MAX, FILES_MAX,
};
use crate::path::{PathError, SafePath};
use crate::piece::{Geometry, GeometryError};

pub use draft::Draft;

/// The files of a torrent to be made, in the order of its content.
#[derive(Clone, Debug)]
pub struct Plan {
    root: PathBuf,
    name: String,
    multi_file: bool,
    files: Vec<PlanFile>,
    total: u64,
    skipped: Vec<Skipped>,
}

/// One file of a [`Plan`].
#[derive(Clone, Debug)]
pub struct PlanFile {
    /// As the torrent will name it; begins with the torrent's name if there is a folder.
    pub path: SafePath,
    /// Bytes.
    pub length: u64,
    modified: SystemTime,
}

/// Something in the folder that will not be in the torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Where it is.
    pub path: PathBuf,
    /// Why.
    pub reason: SkipReason,
}

/// Why something is not in the torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// Its name begins with a dot, and [`ScanOptions::include_hidden`] was not asked for.
    Hidden,
    /// A symbolic link: never followed.
    Symlink,
    /// Neither file nor folder: a pipe, a socket, a device.
    Special,
}

/// What to include.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScanOptions {
    /// Also files and folders whose names begin with a dot.
    pub include_hidden: bool,
}

/// The SHA-1 of every piece of a [`Plan`].
#[derive(Clone, Debug)]
pub struct Hashes {
    geometry: Geometry,
    pieces: Vec<[u8; 20]>,
}

/// Why no torrent could be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// A file or folder cannot be read.
    #[error("cannot read {}: {source}; check that it exists and its permissions", .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The path given is neither file nor folder.
    #[error("{} is neither a file nor a folder; a torrent is made of files", .0.display())]
    NotAFile(PathBuf),
    /// The path given has no name, like `/`.
    #[error("{} has no name to give to the torrent; choose a file or folder in it", .0.display())]
    NoName(PathBuf),
    /// A name is not UTF-8.
    #[error("the name {} is not valid UTF-8, as a torrent needs; rename it", .0.display())]
    NotUtf8(PathBuf),
    /// A name that is no name on some system, so that others would store it differently.
    #[error("{} has a name that others could only store as {stored}; rename it", .path.display())]
    UnsafeName {
        /// Which.
        path: PathBuf,
        /// What it would become.
        stored: String,
    },
    /// A name that others would refuse.
    #[error("{} has a name that others would refuse: {source}; rename it", .path.display())]
    RefusedName {
        /// Which.
        path: PathBuf,
        /// Why.
        source: PathError,
    },
    /// Two names that are one where case does not count.
    #[error(
        "{} and {} have the same name where upper and lower case are one; rename one of them",
        .path.display(), .other.display()
    )]
    Collision {
        /// One of them.
        path: PathBuf,
        /// The other, or a file inside it where that is a folder.
        other: PathBuf,
    },
    /// More than [`DUPLICATES_MAX`] of these.
    #[error(
        "more than {DUPLICATES_MAX} files have the same name as another where upper and lower \
         case are one, such as {0}; rename them"
    )]
    Collisions(SafePath),
    /// No file, or all of them empty.
    #[error("{} holds no bytes to share", .0.display())]
    Empty(PathBuf),
    /// More than [`FILES_MAX`] files.
    #[error("{} holds more than {FILES_MAX} files; pack them into archives first", .0.display())]
    TooManyFiles(PathBuf),
    /// The sizes of all files overflow.
    #[error("the files of {} have 2^63 bytes or more", .0.display())]
    TooLarge(PathBuf),
    /// The piece length does not fit the content.
    #[error("{0}; choose another piece length")]
    PieceLength(#[from] GeometryError),
    /// A file changed between scan and end of hashing.
    #[error("{} changed while it was read; try again when nothing writes to it", .0.display())]
    Changed(PathBuf),
    /// The flag was raised.
    #[error("interrupted")]
    Cancelled,
}

impl Plan {
    /// The files in the order of the content: sorted by the bytes of their path's components.
    #[must_use]
    pub fn files(&self) -> &[PlanFile] {
        &self.files
    }

    /// Bytes of all files.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// What was found and left out, sorted likewise; of a folder left out, only itself.
    #[must_use]
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// The torrent's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a folder.
    #[must_use]
    pub fn is_multi_file(&self) -> bool {
        self.multi_file
    }

    /// Where the file is.
    fn source(&self, file: &PlanFile) -> PathBuf {
        let mut source = self.root.clone();
        source.extend(file.path.components().skip(1));
        source
    }
}

impl Hashes {
    /// Sizes and number of the pieces.
    #[must_use]
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// In order.
    #[must_use]
    pub fn pieces(&self) -> &[[u8; 20]] {
        &self.pieces
    }
}

/// The piece length for that much content: a power of two that gives 1,000 to 2,000 pieces, as far
/// as 16 KiB to 16 MiB allow.
///
/// ```
/// use shoal_metainfo::create::piece_length_for;
/// assert_eq!(piece_length_for(10 << 20), 16 << 10);
/// assert_eq!(piece_length_for(1 << 30), 1 << 20);
/// assert_eq!(piece_length_for(1 << 50), 16 << 20);
/// ```
#[must_use]
pub fn piece_length_for(total: u64) -> u32 {
    let mut length = CREATE_PIECE_LENGTH_MIN;
    while length < CREATE_PIECE_LENGTH_MAX && total.div_ceil(u64::from(length)) > CREATE_PIECES_AIM
    {
        length *= 2;
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn piece_length_gives_a_thousand_to_two_thousand_pieces(total in 1u64..1 << 50) {
            let length = piece_length_for(total);
            let pieces = total.div_ceil(u64::from(length));
            prop_assert!(length.is_power_of_two());
            prop_assert!((1 << 14..=1 << 24).contains(&length));
            prop_assert!(pieces >= 1000 || length == 1 << 14);
            prop_assert!(pieces <= 2000 || length == 1 << 24);
        }
    }
}
