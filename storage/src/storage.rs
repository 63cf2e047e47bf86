//! One torrent on the disk. BEP 3 "piece", "request"; BEP 47 "padding files".
//!
//! Blocks in, blocks out: finds their files, holds their piece, and moves the bytes. Who wants
//! which block when is not known here.

use std::io::IoSlice;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use shoal_hashing::{Digest, Hasher, hash_pieces};
use shoal_metainfo::{Block, Chosen, FileEntry, Info, PieceIndex};

use crate::beneath::Folder;
use crate::content::Content;
use crate::edges::{Edges, Names};
use crate::error::{At, Operation, StorageError};
use crate::files::{Allocation, Files};
use crate::layout::{Layout, Place, Span};
use crate::limits::{DIGEST_BLOCKS, WINDOW_BYTES_MAX, WINDOWS_MAX};
use crate::method::{Method, Ways};
use crate::pieces::{Pieces, Reading};
use crate::stand_in;
use crate::windows::{WindowBudget, Windows};

/// Padding, as much at a time as is hashed or compared.
static ZEROS: [u8; 1 << 14] = [0; 1 << 14];

/// What may be done with the files.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Access {
    /// Make, write and read them.
    #[default]
    ReadWrite,
    /// Only read them; nothing on the disk changes.
    ReadOnly,
}

/// How one torrent is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Windows mapped at once; below 1 counts as 1.
    pub windows_max: usize,
    /// Bytes of windows mapped at once; below 128 KiB counts as 128 KiB.
    pub window_bytes_max: u64,
    /// What may be done with the files.
    pub access: Access,
    /// By which way bytes get to and from them.
    pub method: Method,
    /// Whether room for them is reserved.
    pub allocation: Allocation,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            windows_max: WINDOWS_MAX,
            window_bytes_max: WINDOW_BYTES_MAX,
            access: Access::default(),
            method: Method::default(),
            allocation: Allocation::default(),
        }
    }
}

/// What one torrent holds of the system's means now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Usage {
    /// Mapped windows.
    pub windows: usize,
    /// Bytes of mapped windows: address space, of which the page cache holds what was used.
    pub window_bytes: u64,
    /// Open descriptors of files.
    pub files_open: usize,
}

/// The files of one torrent beneath one folder. Share it between disk threads in an [`Arc`].
#[derive(Debug)]
pub struct Storage {
    pub(crate) info: Arc<Info>,
    pub(crate) content: Content,
    pub(crate) pieces: Pieces,
    pub(crate) layout: Layout,
    pub(crate) edges: Edges,
    pub(crate) chosen: Chosen,
    /// What was stood in for was moved to where it belongs.
    pub(crate) moved: AtomicBool,
    pub(crate) access: Access,
}

impl Storage {
    /// For a torrent whose files lie in `dir`. Opens that folder and nothing else; makes it when
    /// it is missing and may be written.
    ///
    /// # Errors
    /// [`StorageError`] when the folder cannot be made or opened.
    pub fn open(dir: &Path, info: Arc<Info>, options: Options) -> Result<Self, StorageError> {
        let budget = WindowBudget::new(options.windows_max, options.window_bytes_max);
        Self::open_within(&budget, dir, info, options)
    }

    /// The same, with windows from a budget that torrents share, whatever the options say of
    /// windows.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_within(
        budget: &WindowBudget,
        dir: &Path,
        info: Arc<Info>,
        options: Options,
    ) -> Result<Self, StorageError> {
        let chosen = Chosen::all(&info);
        Self::open_some(budget, dir, info, chosen, options)
    }

    /// The same of some files only: others are neither made nor given room. What of them shares a
    /// piece with chosen ones goes, where they are not there already, to a file of ours in `dir`,
    /// and from there into them once they are chosen.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_some(
        budget: &WindowBudget,
        dir: &Path,
        info: Arc<Info>,
        chosen: Chosen,
        options: Options,
    ) -> Result<Self, StorageError> {
        let folder = Folder::open(dir, options.access == Access::ReadWrite)?;
        let windows = Windows::new(budget);
        let ways = options
            .method
            .choose(&folder, options.access == Access::ReadWrite);
        let edges = Edges::of(&info);
        let names = Names::new(Arc::clone(&info), &edges);
        let numbers = 0..=names.edges() as usize;
        let sparse = numbers.map(|number| !chosen.has(number)).collect();
        let files = Files::new(folder, names, sparse, options.allocation);
        let stood_in = stand_in::stood_in(&files, &info, &edges, &chosen, options.access);
        let layout = Layout::of(&info, &edges, |file| stood_in.contains(&file));
        Ok(Self {
            pieces: Pieces::new(info.geometry.pieces()),
            content: Content {
                files,
                windows: Arc::new(windows),
                ways,
                unmappable: AtomicBool::new(false),
            },
            layout,
            edges,
            chosen,
            moved: AtomicBool::new(false),
            access: options.access,
            info,
        })
    }

    /// The torrent.
    #[must_use]
    pub fn info(&self) -> &Arc<Info> {
        &self.info
    }

    /// Makes the folders and the files of no bytes, and checks that every chosen file can be
    /// written or made. Moves what was kept for chosen files while they were not into them, once.
    /// Also goes on after files were changed by others, as [`Self::recover`]: what vanished is made
    /// again when nothing that was verified is lost with it.
    ///
    /// # Errors
    /// [`StorageError`] about the first file that something is in the way of.
    pub fn prepare(&self) -> Result<(), StorageError> {
        let files = &self.content.files;
        self.check_access(|| files.at(0, Operation::Create))?;
        files.reopen();
        self.recover(&AtomicBool::new(false))?;
        self.prepare_edges()?;
        let mut folder = None;
        for (number, entry) in self.files_on_disk() {
            if !self.chosen.has(number as usize) || files.try_open(number)?.is_some() {
                continue;
            }
            let above = entry.path.as_str().rsplit_once('/').map(|(above, _)| above);
            if folder != Some(above) {
                files.make_parent(number)?;
                folder = Some(above);
            }
            if entry.length == 0 {
                files.create(number)?;
            }
        }
        Ok(())
    }

    /// By which ways bytes get to and from the files.
    #[must_use]
    pub fn ways(&self) -> Ways {
        self.content.ways()
    }

    /// Writes a block; as [`Self::write_run`] of one.
    ///
    /// # Errors
    /// [`StorageError`]; the block may be written in part then, and can be written again.
    pub fn write(&self, block: Block, data: &[u8]) -> Result<(), StorageError> {
        assert_eq!(
            data.len(),
            block.length() as usize,
            "not the bytes of block {block}"
        );
        self.write_run(block.piece(), block.begin(), &[data])
    }

    /// Writes blocks that lie behind each other in one piece, from `begin` (bytes) on. They reach
    /// the page cache here and the disk by themselves, or with [`Self::flush`].
    ///
    /// A verified piece is not overwritten: a late double of one of its blocks changes nothing.
    /// Bytes for padding are dropped: padding is zeros, and the hash is of those.
    ///
    /// # Errors
    /// [`StorageError`]; the blocks may be written in part then, and can be written again.
    pub fn write_run(
        &self,
        piece: PieceIndex,
        begin: u32,
        blocks: &[&[u8]],
    ) -> Result<(), StorageError> {
        let whole = self.piece_range(piece);
        let bytes: u64 = blocks.iter().map(|data| data.len() as u64).sum();
        let start = whole.start + u64::from(begin);
        let range = start..start + bytes;
        assert!(range.end <= whole.end, "more bytes than piece {piece} has");
        self.check_access(|| self.at_range(range.clone(), Operation::Write))?;
        let Some(held) = self.pieces.write(piece) else {
            return Ok(());
        };
        let mut before = u64::from(begin);
        let mut data = Slices::new(blocks);
        for span in self.layout.spans(range) {
            let mut now = data.take(length(span));
            match span.place {
                Place::File { file, offset } => {
                    let after = whole.end - whole.start - before;
                    let end = self.content.files.length(file).min(offset + after);
                    let around = offset.saturating_sub(before)..end;
                    let bytes = offset..offset + span.length;
                    self.content.write(file, bytes, &mut now, &around, &held)?;
                }
                Place::Zeros if !now.iter().all(|slice| is_zero(slice)) => {
                    tracing::debug!(%piece, "padding that is not zero: dropped");
                }
                Place::Zeros => {}
            }
            before += span.length;
        }
        Ok(())
    }

    /// Reads a block. From a verified piece it is a slice of mapped memory, kept alive by its
    /// window, unless it crosses files or too much is lent out already; else it is a copy.
    ///
    /// # Errors
    /// [`StorageError`]; [`Gone`](StorageError::Gone) or [`Truncated`](StorageError::Truncated)
    /// where the bytes are not on the disk. When that was a verified piece, its files are out of
    /// use until [`Self::recover`].
    pub fn read(&self, block: Block) -> Result<Bytes, StorageError> {
        let held = self.pieces.read(block.piece());
        let bytes = self.read_held(block, &held);
        let is_doubtful = |error: &StorageError| held.verified() && error.casts_doubt();
        bytes.inspect_err(|error| {
            if is_doubtful(error) {
                self.lose(block);
            }
        })
    }

    fn read_held(&self, block: Block, held: &Reading<'_>) -> Result<Bytes, StorageError> {
        let range = self.range(block);
        if held.verified()
            && let Some(span) = self.layout.spans(range.clone()).next()
            && let Place::File { file, offset } = span.place
            && span.length == u64::from(block.length())
        {
            // What lies behind this piece may be about to be written, and is left alone.
            let ahead = self.piece_range(block.piece()).end - range.start;
            let bytes = offset..offset + span.length;
            return self.content.lend(file, bytes, offset + ahead, held);
        }
        let mut copy = Vec::with_capacity(block.length() as usize);
        self.for_each_slice(range, held, |slice| copy.extend_from_slice(slice))?;
        Ok(copy.into())
    }

    /// The SHA-1 of each block of the piece, in order: for finding which of them was bad.
    ///
    /// # Errors
    /// [`StorageError`], as [`Self::read`].
    pub fn digests(&self, piece: PieceIndex) -> Result<Vec<Digest>, StorageError> {
        let held = self.pieces.read(piece);
        let geometry = &self.info.geometry;
        let mut digests = Vec::with_capacity(geometry.block_count(piece));
        let mut blocks = geometry.blocks(piece);
        let mut copy = Vec::new();
        loop {
            copy.clear();
            let mut ends = Vec::with_capacity(DIGEST_BLOCKS);
            for block in blocks.by_ref().take(DIGEST_BLOCKS) {
                let range = self.range(block);
                self.for_each_slice(range, &held, |slice| copy.extend_from_slice(slice))?;
                ends.push(copy.len());
            }
            if ends.is_empty() {
                return Ok(digests);
            }
            let begins = std::iter::once(0).chain(ends.iter().copied());
            let slices: Vec<&[u8]> = begins.zip(&ends).map(|(a, &b)| &copy[a..b]).collect();
            digests.extend(hash_pieces(&slices));
        }
    }

    /// Makes all that was written durable: bytes, then the folders that name new files.
    ///
    /// # Errors
    /// [`StorageError`]; what is not durable yet is tried again by the next call.
    pub fn flush(&self) -> Result<(), StorageError> {
        self.content.files.flush()
    }

    /// Gives back all windows and descriptors that are not in use at this moment.
    pub fn trim(&self) {
        self.content.windows.trim();
        self.content.files.trim();
    }

    /// What this torrent holds of the system's means now.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let mapped = self.content.windows.mapped();
        Usage {
            windows: mapped.windows,
            window_bytes: mapped.bytes,
            files_open: self.content.files.open_count(),
        }
    }

    /// The hash of the whole piece as it is on the disk.
    pub(crate) fn hash(
        &self,
        piece: PieceIndex,
        held: &Reading<'_>,
    ) -> Result<Digest, StorageError> {
        let mut hasher = Hasher::new();
        self.for_each_slice(self.piece_range(piece), held, |slice| hasher.update(slice))?;
        Ok(hasher.finish())
    }

    /// Gives the bytes of a range of content, all of it in the held piece, to `each` in order.
    fn for_each_slice(
        &self,
        range: Range<u64>,
        held: &Reading<'_>,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), StorageError> {
        for span in self.layout.spans(range) {
            match span.place {
                Place::File { file, offset } => {
                    let bytes = offset..offset + span.length;
                    self.content.read(file, bytes, held, &mut each)?;
                }
                Place::Zeros => each_zero(length(span), &mut each),
            }
        }
        Ok(())
    }

    /// Where the bytes of a piece lie.
    pub(crate) fn spans(&self, piece: PieceIndex) -> impl Iterator<Item = Span> + '_ {
        self.layout.spans(self.piece_range(piece))
    }

    /// The files that exist on the disk, with their numbers.
    pub(crate) fn files_on_disk(&self) -> impl Iterator<Item = (u32, &FileEntry)> + '_ {
        let numbered = (0u32..).zip(&self.info.files);
        numbered.filter(|(_, entry)| entry.is_on_disk())
    }

    /// The bytes of a piece in the content.
    pub(crate) fn piece_range(&self, piece: PieceIndex) -> Range<u64> {
        let begin = self.info.geometry.piece_begin(piece);
        begin..begin + u64::from(self.info.geometry.piece_length(piece))
    }

    pub(crate) fn range(&self, block: Block) -> Range<u64> {
        let begin = self.info.geometry.piece_begin(block.piece()) + u64::from(block.begin());
        begin..begin + u64::from(block.length())
    }

    fn check_access(&self, at: impl FnOnce() -> At) -> Result<(), StorageError> {
        match self.access {
            Access::ReadWrite => Ok(()),
            Access::ReadOnly => Err(at().read_only()),
        }
    }

    pub(crate) fn at_range(&self, range: Range<u64>, operation: Operation) -> At {
        let mut spans = self.layout.spans(range);
        let in_file = spans.find_map(|span| match span.place {
            Place::File { file, offset } => Some((file, offset..offset + span.length)),
            Place::Zeros => None,
        });
        let files = &self.content.files;
        in_file.map_or_else(
            || files.at(0, operation),
            |(file, bytes)| files.at(file, operation).span(bytes),
        )
    }
}

/// Slices behind each other, given out by length.
struct Slices<'a> {
    rest: &'a [&'a [u8]],
    /// Bytes of the first of them that are given out already.
    used: usize,
}

impl<'a> Slices<'a> {
    fn new(rest: &'a [&'a [u8]]) -> Self {
        Self { rest, used: 0 }
    }

    fn take(&mut self, mut bytes: usize) -> Vec<IoSlice<'a>> {
        let mut taken = Vec::with_capacity(self.rest.len());
        while bytes > 0
            && let Some((first, rest)) = self.rest.split_first()
        {
            let left = &first[self.used..];
            if left.len() > bytes {
                taken.push(IoSlice::new(&left[..bytes]));
                self.used += bytes;
                break;
            }
            taken.push(IoSlice::new(left));
            bytes -= left.len();
            (self.rest, self.used) = (rest, 0);
        }
        taken
    }
}

/// A span of one piece, for slices.
pub(crate) fn length(span: Span) -> usize {
    usize::try_from(span.length).expect("a piece fits in memory")
}

pub(crate) fn each_zero(mut length: usize, mut each: impl FnMut(&[u8])) {
    while length > 0 {
        let now = length.min(ZEROS.len());
        each(&ZEROS[..now]);
        length -= now;
    }
}

fn is_zero(data: &[u8]) -> bool {
    data.chunks(ZEROS.len())
        .all(|chunk| chunk == &ZEROS[..chunk.len()])
}
