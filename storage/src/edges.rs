//! The file that stands in for files that nobody chose. BEP 53.
//!
//! A piece may lie in a file that is wanted and in its neighbours, which are not; it is downloaded
//! whole or not at all. What of it belongs to files that are neither wanted nor there, their edges,
//! goes to one hidden file in the chosen folder, `.<info hash>.parts`. Each piece that several
//! files share has a place in it that follows from the torrent alone: there is no table to be kept,
//! none to be torn, and another choice at the next start finds everything. The file is sparse:
//! only what is written takes room.
//!
//! Pure arithmetic and names. Which files are stood in for is decided elsewhere.

use std::sync::Arc;

use shoal_metainfo::{Info, InfoHash, SafePath};

/// The places of shared pieces.
#[derive(Debug, Clone, Default)]
pub(crate) struct Edges {
    /// The pieces that several files share, ascending; each has the place of its rank.
    pieces: Box<[u32]>,
    /// Bytes of a place.
    piece_length: u64,
}

impl Edges {
    pub(crate) fn of(info: &Info) -> Self {
        let files = info.files.iter();
        let files = files.map(|file| (file.length, file.is_on_disk()));
        Self::new(files, info.geometry.full_piece_length().into())
    }

    /// From every file's length in bytes and whether it exists on the disk, in torrent order.
    pub(crate) fn new(files: impl Iterator<Item = (u64, bool)>, piece_length: u64) -> Self {
        let number = |at: u64| u32::try_from(at / piece_length).expect("a piece's number");
        let mut pieces: Vec<u32> = Vec::new();
        let mut begin = 0;
        let mut before = None;
        for (length, on_disk) in files {
            if on_disk && length > 0 {
                let first = number(begin);
                if before == Some(first) && pieces.last() != Some(&first) {
                    pieces.push(first);
                }
                before = Some(number(begin + length - 1));
            }
            begin += length;
        }
        Self {
            pieces: pieces.into(),
            piece_length,
        }
    }

    /// Whether no two files share a piece, so that there is nothing to stand in for.
    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The pieces that have a place.
    pub(crate) fn pieces(&self) -> &[u32] {
        &self.pieces
    }

    /// Where a byte of content has its place, if its piece has one.
    pub(crate) fn place_at(&self, content: u64) -> Option<u64> {
        let piece = u32::try_from(content.checked_div(self.piece_length)?).ok()?;
        let rank = self.pieces.binary_search(&piece).ok()?;
        Some(rank as u64 * self.piece_length + content % self.piece_length)
    }

    /// Where the piece of a byte of content begins.
    pub(crate) fn piece_begin(&self, content: u64) -> u64 {
        content - content.checked_rem(self.piece_length).unwrap_or(0)
    }

    /// Where the piece of a byte of content ends, if it is a full one.
    pub(crate) fn piece_end(&self, content: u64) -> u64 {
        self.piece_begin(content) + self.piece_length
    }

    /// Bytes of all places.
    pub(crate) fn length(&self) -> u64 {
        self.pieces.len() as u64 * self.piece_length
    }
}

/// The files by their numbers: those of the torrent, and behind them the one that stands in.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    info: Arc<Info>,
    edges: SafePath,
    edges_length: u64,
}

impl Names {
    pub(crate) fn new(info: Arc<Info>, edges: &Edges) -> Self {
        let info_hash = InfoHash(shoal_hashing::sha1(info.bytes()));
        let name = format!(".{info_hash}.parts");
        Self {
            edges: SafePath::new([name.as_bytes()]).expect("a dot, digits and letters"),
            edges_length: edges.length(),
            info,
        }
    }

    /// The number of the file that stands in.
    pub(crate) fn edges(&self) -> u32 {
        edges_number(&self.info)
    }

    pub(crate) fn path(&self, file: u32) -> &SafePath {
        match self.info.files.get(file as usize) {
            Some(entry) => &entry.path,
            None => &self.edges,
        }
    }

    /// Bytes.
    pub(crate) fn length(&self, file: u32) -> u64 {
        match self.info.files.get(file as usize) {
            Some(entry) => entry.length,
            None => self.edges_length,
        }
    }

    /// Whether the torrent says that it can be run. BEP 47.
    pub(crate) fn is_executable(&self, file: u32) -> bool {
        let entry = self.info.files.get(file as usize);
        entry.is_some_and(|entry| entry.attributes.executable)
    }
}

/// The number behind those of the torrent's files.
pub(crate) fn edges_number(info: &Info) -> u32 {
    u32::try_from(info.files.len()).expect("metainfo bounds the files")
}
