//! Which files are there, and which files a piece lies in: for telling people what is wrong.
//!
//! Looks only, and at names and lengths only. Knows nothing of hashes.

use std::path::PathBuf;

use shoal_metainfo::{FileEntry, PieceIndex};

use crate::error::{Operation, StorageError};
use crate::storage::Storage;

/// What stands in the place of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileStatus {
    /// A file of the right length.
    Right,
    /// Nothing.
    Missing,
    /// A file that ends too early.
    Short {
        /// Bytes that it has.
        found: u64,
    },
    /// A file that goes on behind its end. It is used as it is and never cut.
    Long {
        /// Bytes that it has.
        found: u64,
    },
    /// Something that cannot be opened, or is no file.
    Unusable(StorageError),
}

/// One file of the torrent and what is in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReport<'a> {
    /// As the torrent has it.
    pub entry: &'a FileEntry,
    /// Where it belongs, for people.
    pub path: PathBuf,
    /// What is there.
    pub status: FileStatus,
}

impl Storage {
    /// The files that the piece lies in, padding left out.
    pub fn files_of(&self, piece: PieceIndex) -> impl Iterator<Item = &FileEntry> {
        let content = self.piece_range(piece);
        let files = &self.info.files;
        let first = files.partition_point(|file| file.begin + file.length <= content.start);
        let here = files[first..]
            .iter()
            .take_while(move |file| file.begin < content.end);
        here.filter(|file| file.is_on_disk() && file.length > 0)
    }

    /// What is in the place of each file, in torrent order, padding and links left out.
    #[must_use]
    pub fn files_report(&self) -> Vec<FileReport<'_>> {
        let files = self.files_on_disk();
        files
            .map(|(number, entry)| FileReport {
                entry,
                path: self.content.files.at(number, Operation::Open).path,
                status: match self.content.files.find(number) {
                    Ok(None) => FileStatus::Missing,
                    Ok(Some(found)) if found < entry.length => FileStatus::Short { found },
                    Ok(Some(found)) if found > entry.length => FileStatus::Long { found },
                    Ok(Some(_)) => FileStatus::Right,
                    Err(error) => FileStatus::Unusable(error),
                },
            })
            .collect()
    }
}
