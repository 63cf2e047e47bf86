//! From a journal on the disk, and files as they look now, to what may be believed.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use shoal_metainfo::{Bitfield, Geometry, Info, InfoHash, PieceIndex};

use crate::edges::edges_number;

use super::codec::{self, Check, DecodeError, Decoded};
use super::disk::Disk;
use super::judge::{Trust, judge};
use super::state::{Blocks, BootId, FileState, Identity, Stamp, State};
use super::{Current, Journal, Names, Tail};

/// What a torrent begins with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resume {
    /// Pieces that need no hash.
    pub have: Bitfield,
    /// Pieces that may be on the disk and have to be hashed; none of them is in `have`, and none
    /// may be written before. Each is then reported as
    /// [`verified`](Journal::verified) or [`incomplete`](Journal::incomplete). All others that are
    /// not in `have` are known to be missing.
    pub check: Bitfield,
    /// Blocks of unfinished pieces that are in the files already. They were never hashed, so a
    /// wrong hash of such a piece says nothing of any peer.
    pub blocks: Vec<(PieceIndex, Blocks)>,
    /// Files, by number, that are not as we left them.
    pub changed: Vec<u32>,
    /// What stood in the place of the journal.
    pub found: Found,
}

/// What stood in the place of a journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Found {
    /// No journal: a new torrent.
    Nothing,
    /// A journal, all of it.
    Whole,
    /// A journal whose end is torn or damaged: what stands before counts.
    Cut,
    /// Only the generation before, for the journal is missing or damaged.
    Earlier,
    /// A journal that cannot be used. It will be set aside, and files are checked.
    Unusable,
    /// A journal that a newer client wrote. It will be set aside, and files are checked.
    Newer {
        /// Its version.
        version: u32,
    },
}

/// What was read.
pub(super) struct Loaded {
    pub(super) state: State,
    pub(super) check: Check,
    pub(super) snapshot_length: u64,
    pub(super) length: u64,
    /// Whether the state is the last one that was written.
    pub(super) is_whole: bool,
    pub(super) current: Current,
    pub(super) found: Found,
}

/// Reads the journal, or the generation before it.
pub(super) fn load(
    disk: &mut impl Disk,
    names: &Names,
    info_hash: InfoHash,
    info: &Info,
    boot: BootId,
) -> Loaded {
    let identity = Identity {
        info_hash,
        geometry: info.geometry,
        // And the one that stands in for others.
        files: edges_number(info) + 1,
    };
    let aside = |suffix: &str| Current::Unusable(format!("{}.{suffix}", names.current));
    let (current, mut found) = match read(disk, &names.current, &identity) {
        Ok(Some((decoded, is_whole))) => {
            let found = if is_whole { Found::Whole } else { Found::Cut };
            return decoded.loaded(is_whole, Current::Usable, found);
        }
        Ok(None) => (Current::Missing, Found::Nothing),
        Err(DecodeError::Newer(version)) => (
            aside(&format!("version-{version}")),
            Found::Newer { version },
        ),
        Err(DecodeError::Damaged(_)) => (aside("damaged"), Found::Unusable),
    };
    // What a newer client did since then is not known.
    if !matches!(found, Found::Newer { .. }) {
        match read(disk, &names.old, &identity) {
            Ok(Some((decoded, _))) => return decoded.loaded(false, current, Found::Earlier),
            Ok(None) => {}
            Err(_) => found = Found::Unusable,
        }
    }
    Loaded {
        state: State::new(identity, boot),
        check: Check::default(),
        snapshot_length: 0,
        length: 0,
        is_whole: false,
        current,
        found,
    }
}

impl Decoded {
    fn loaded(self, is_whole: bool, current: Current, found: Found) -> Loaded {
        Loaded {
            state: self.state,
            check: self.check,
            snapshot_length: self.snapshot_length as u64,
            length: self.length as u64,
            is_whole,
            current,
            found,
        }
    }
}

/// Reads one generation, and whether it is good to its end; `None` when it is not there.
fn read(
    disk: &mut impl Disk,
    name: &str,
    identity: &Identity,
) -> Result<Option<(Decoded, bool)>, DecodeError> {
    let bytes = match disk.read(name) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(None),
        Err(error) => {
            tracing::warn!(path = %disk.shown(name).display(), %error, "cannot read the journal");
            return Err(DecodeError::Damaged("it cannot be read"));
        }
    };
    let decoded = codec::decode(&bytes).and_then(|decoded| {
        let is_ours = decoded.state.identity.is_or_was(identity);
        let is_ours = is_ours.then_some(decoded);
        is_ours.ok_or(DecodeError::Damaged("it is of another torrent"))
    });
    let decoded = decoded.inspect_err(|error| {
        tracing::warn!(path = %disk.shown(name).display(), %error, "cannot use the journal");
    })?;
    let is_whole = decoded.length == bytes.len();
    Ok(Some((decoded, is_whole)))
}

impl<D: Disk> Journal<D> {
    /// Takes over what an earlier boot or process left, and gives the files that have changed.
    pub(super) fn take_up(&mut self, boot: BootId, is_whole: bool) -> Vec<u32> {
        let before = self.state.clone();
        self.state.know_edges(edges_number(&self.info));
        let same_boot = self.state.boot.is_same(boot);
        if same_boot {
            self.uncache_doubtful();
        } else {
            self.state.keep_durable();
            self.state.boot = boot;
        }
        let changed = self.look(same_boot, is_whole);
        // A flush of what this process writes does not reach what it did not write: neither what
        // is claimed, nor what a check is going to find.
        let undurable = self.state.undurable();
        let foreign = undurable.iter().flat_map(|&piece| self.files_of(piece));
        let foreign: BTreeSet<u32> = foreign.chain(self.doubtful_files()).collect();
        self.foreign.extend(foreign);
        if self.state != before && matches!(self.tail, Tail::Whole) {
            self.tail = Tail::Rewrite;
        }
        changed
    }

    /// After a flush that failed the cache may hold what the device does not.
    fn uncache_doubtful(&self) {
        self.doubtful_files()
            .into_iter()
            .for_each(|file| self.files.uncache(file));
    }

    fn doubtful_files(&self) -> BTreeSet<u32> {
        let geometry = self.info.geometry;
        let doubtful = self
            .state
            .doubtful
            .ones()
            .filter_map(|number| geometry.piece(number));
        doubtful.flat_map(|piece| self.files_of(piece)).collect()
    }

    /// Compares what the journal says with how the files look, takes back what cannot be believed,
    /// and gives the files that are not as we left them.
    pub(super) fn look(&mut self, same_boot: bool, is_whole: bool) -> Vec<u32> {
        let mut changed = Vec::new();
        let info = Arc::clone(&self.info);
        let on_disk = (0u32..)
            .zip(&info.files)
            .filter(|(_, entry)| entry.is_on_disk())
            .map(|(file, _)| file);
        let has_edges = self.layout.edges().next().is_some();
        let edges = has_edges.then(|| edges_number(&info));
        for file in on_disk.chain(edges) {
            let found = self.files.stamp(file);
            let expected = self.state.files[file as usize];
            let length = self.length(file);
            let trust = found.as_ref().map_or(Trust::Changed, |&found| {
                judge(expected, found, length, self.state.lease, same_boot)
            });
            // What cannot be looked at may be there or not.
            let found = found.ok();
            let size = found.map_or(u64::MAX, |found| found.map_or(0, |found| found.size));
            match trust {
                // Neither there nor expected: what is claimed of it lies in the edges.
                Trust::Settled if size == 0 && self.is_stood_in(file) => {}
                Trust::Settled => {
                    self.doubt_behind(file, size);
                    if found == Some(None) {
                        self.state.files[file as usize] = FileState::Settled(None);
                    }
                }
                Trust::Open => {
                    self.doubt_behind(file, size);
                    if !same_boot || !is_whole {
                        self.doubt_up_to(file, size);
                    }
                    self.open.insert(file);
                    self.foreign.insert(file);
                }
                Trust::Changed => {
                    self.take_over(file, found.flatten());
                    self.doubt_up_to(file, size);
                    changed.push(file);
                }
            }
        }
        changed
    }

    /// Begins anew with a file that someone else wrote: its pieces are in doubt.
    pub(super) fn take_over(&mut self, file: u32, found: Option<Stamp>) {
        self.doubt_behind(file, 0);
        self.doubt_up_to(file, found.map_or(0, |found| found.size));
        self.flight.reopened(file);
        self.state.files[file as usize] = FileState::Settled(found);
        self.open.remove(&file);
        if found.is_some() {
            self.foreign.insert(file);
        }
    }

    /// Takes back the claims on these bytes of the content: those pieces may be there, or not.
    pub(super) fn doubt_claims(&mut self, content: Range<u64>) {
        for piece in pieces_in(self.info.geometry, content.clone()) {
            let is_claimed = self.state.verified.has(piece);
            if is_claimed || self.has_blocks_in(piece, &content) {
                self.state.doubt(piece);
                self.flight.spoiled(piece);
                self.stale |= is_claimed;
            }
        }
    }

    /// Whether blocks of an unfinished piece are said to lie in these bytes of the content.
    fn has_blocks_in(&self, piece: PieceIndex, content: &Range<u64>) -> bool {
        let Some(partial) = self.state.partial.get(&piece) else {
            return false;
        };
        let geometry = &self.info.geometry;
        let blocks = partial
            .written
            .iter()
            .filter_map(|number| geometry.nth_block(piece, number));
        let begin = geometry.piece_begin(piece);
        let mut ranges = blocks.map(|block| {
            let begin = begin + u64::from(block.begin());
            begin..begin + u64::from(block.length())
        });
        ranges.any(|block| block.start < content.end && content.start < block.end)
    }

    /// Pieces in these bytes of the content that are not claimed may be there nonetheless.
    fn doubt_rest(&mut self, content: Range<u64>) {
        for piece in pieces_in(self.info.geometry, content) {
            if !self.state.verified.has(piece) && !self.begun.contains(&piece) {
                self.state.doubtful.insert(piece);
            }
        }
    }

    /// Takes back the claims on what a file of that size does not reach to.
    pub(super) fn doubt_behind(&mut self, file: u32, size: u64) {
        for (_, behind) in self.split_at(file, size) {
            self.doubt_claims(behind);
        }
    }

    fn doubt_up_to(&mut self, file: u32, size: u64) {
        for (before, _) in self.split_at(file, size) {
            self.doubt_rest(before);
        }
    }

    /// The content that lies in a file of that size, and what would lie in the rest of it. The file
    /// that stands in for others has its whole length or counts as empty.
    fn split_at(&self, file: u32, size: u64) -> Vec<(Range<u64>, Range<u64>)> {
        if let Some(entry) = self.info.files.get(file as usize) {
            let reach = entry.begin + size.min(entry.length);
            return vec![(entry.begin..reach, reach..entry.begin + entry.length)];
        }
        let is_whole = size >= self.edges.length();
        let edges = self.layout.edges().map(|edge| match is_whole {
            true => (edge.clone(), edge.end..edge.end),
            false => (edge.start..edge.start, edge),
        });
        edges.collect()
    }

    /// Bytes.
    pub(super) fn length(&self, file: u32) -> u64 {
        let entry = self.info.files.get(file as usize);
        entry.map_or_else(|| self.edges.length(), |entry| entry.length)
    }

    /// Whether some of what belongs to the file lies elsewhere.
    fn is_stood_in(&self, file: u32) -> bool {
        let Some(entry) = self.info.files.get(file as usize) else {
            return false;
        };
        let mut spans = self.layout.spans(entry.range());
        spans.any(|span| span.place.file() != Some(file))
    }

    /// The pieces that lie in a file, all or in part.
    pub(super) fn pieces_of(&self, file: u32) -> impl Iterator<Item = PieceIndex> + use<D> {
        let geometry = self.info.geometry;
        let whole = self.split_at(file, u64::MAX).into_iter();
        whole.flat_map(move |(content, _)| pieces_in(geometry, content))
    }

    pub(super) fn blocks(&self) -> Vec<(PieceIndex, Blocks)> {
        let partial = self.state.partial.iter();
        partial
            .map(|(&piece, partial)| (piece, partial.written.clone()))
            .collect()
    }
}

/// The pieces that lie in a stretch of content, all or in part.
fn pieces_in(geometry: Geometry, content: Range<u64>) -> impl Iterator<Item = PieceIndex> {
    let length = u64::from(geometry.full_piece_length());
    let last = if content.is_empty() {
        content.start / length
    } else {
        content.end.div_ceil(length)
    };
    let numbers = content.start / length..last;
    numbers.filter_map(move |number| geometry.piece(u32::try_from(number).ok()?))
}
