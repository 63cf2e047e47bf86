//! The bytes of a journal: one snapshot of everything, then frames of what changed since.
//!
//! ```text
//! snapshot: "SHOALJNL" | version u32 | length u32 | body | check
//!     body: info hash 20 | total u64 | piece length u32 | files u32 | boot 16 | lease i64
//!           | a file: kind u8, size u64, modified i64, inode u64   (× files)
//!           | verified, durable, doubtful ⌈pieces/8⌉ each
//!           | partial u32 | a piece: number u32, written, durable ⌈blocks/8⌉ each   (× partial)
//! frame:    length u32 | entries | check          (× any number)
//! ```
//! Little-endian. `check` is the first 8 bytes of the SHA-1 over the check before it and all bytes
//! since, so a frame counts only behind the very snapshot and frames that it was written behind:
//! neither a torn tail nor what an older file left in a block of the disk passes for one.
//!
//! Promise: any bytes give a state or an error, in memory and time in proportion to them. What is
//! behind the first wrong frame is not looked at.

use std::ops::Range;

use shoal_hashing::Hasher;
use shoal_metainfo::{Bitfield, Geometry, InfoHash, PieceIndex};

use super::state::{Blocks, BootId, Entry, FileState, Identity, Moment, Partial, Stamp, State};

/// What a journal begins with.
const MAGIC: [u8; 8] = *b"SHOALJNL";
/// The format that this module writes, and the only one so far.
pub(crate) const VERSION: u32 = 1;

/// Magic, version, length.
const HEAD_LENGTH: usize = 16;
const CHECK_LENGTH: usize = 8;
/// Kind and stamp.
const FILE_LENGTH: usize = 25;

/// Ties bytes to all that came before them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Check([u8; CHECK_LENGTH]);

impl Check {
    fn then(self, bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(&self.0);
        hasher.update(bytes);
        let [a, b, c, d, e, f, g, h, ..] = hasher.finish();
        Self([a, b, c, d, e, f, g, h])
    }
}

/// Why bytes are no journal that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    /// Of a version that a newer client writes.
    #[error("version {0} of the journal is newer than this client")]
    Newer(u32),
    /// Anything else.
    #[error("the journal is damaged: {0}")]
    Damaged(&'static str),
}

/// What was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Decoded {
    pub(crate) state: State,
    /// Bytes of the snapshot.
    pub(crate) snapshot_length: usize,
    /// Bytes up to the end of the last good frame.
    pub(crate) length: usize,
    /// Of those bytes: what the next frame is tied to.
    pub(crate) check: Check,
}

/// A snapshot of the state, and what its first frame is tied to.
pub(crate) fn snapshot(state: &State) -> (Vec<u8>, Check) {
    let bits = state.verified.as_wire();
    let length = 100 + state.files.len() * FILE_LENGTH + 3 * bits.len();
    let mut out = Vec::with_capacity(length);
    out.extend(MAGIC);
    out.extend(VERSION.to_le_bytes());
    out.extend([0; 4]);
    let identity = &state.identity;
    out.extend(identity.info_hash.0);
    out.extend(identity.geometry.total().to_le_bytes());
    out.extend(identity.geometry.full_piece_length().to_le_bytes());
    out.extend(identity.files.to_le_bytes());
    out.extend(state.boot.0);
    out.extend(state.lease.nanos().to_le_bytes());
    state
        .files
        .iter()
        .for_each(|&file| put_file(&mut out, file));
    out.extend_from_slice(bits);
    out.extend_from_slice(state.durable.as_wire());
    out.extend_from_slice(state.doubtful.as_wire());
    put_length(&mut out, state.partial.len());
    for (piece, partial) in &state.partial {
        out.extend(piece.get().to_le_bytes());
        out.extend_from_slice(partial.written.as_bytes());
        out.extend_from_slice(partial.durable.as_bytes());
    }
    let body = length_of(out.len() - HEAD_LENGTH);
    out[HEAD_LENGTH - 4..HEAD_LENGTH].copy_from_slice(&body);
    let check = Check::default().then(&out);
    out.extend(check.0);
    (out, check)
}

/// A frame of entries behind what `check` is of, and the check of the next.
pub(crate) fn frame(entries: &[Entry], pieces: u32, check: Check) -> (Vec<u8>, Check) {
    let mut out = vec![0; 4];
    entries
        .iter()
        .for_each(|entry| put_entry(&mut out, entry, pieces));
    let body = length_of(out.len() - 4);
    out[..4].copy_from_slice(&body);
    let check = check.then(&out);
    out.extend(check.0);
    (out, check)
}

/// Reads a journal.
///
/// # Errors
/// [`DecodeError`] when the snapshot cannot be used. Wrong frames are no error: they end it.
pub(crate) fn decode(bytes: &[u8]) -> Result<Decoded, DecodeError> {
    let mut reader = Reader(bytes);
    if reader.array() != Some(MAGIC) {
        return Err(DecodeError::Damaged("it begins with something else"));
    }
    let short = DecodeError::Damaged("it ends too early");
    let version = reader.u32().ok_or(short)?;
    if version != VERSION {
        return Err(if version > VERSION {
            DecodeError::Newer(version)
        } else {
            DecodeError::Damaged("there is no such version")
        });
    }
    let body = reader.u32().ok_or(short)? as usize;
    let body = reader.take(body).ok_or(short)?;
    let mut check = Check::default().then(&bytes[..HEAD_LENGTH + body.len()]);
    if reader.array() != Some(check.0) {
        return Err(DecodeError::Damaged("its checksum is another"));
    }
    let mut state = state(body).ok_or(DecodeError::Damaged("its snapshot makes no sense"))?;
    let snapshot_length = bytes.len() - reader.0.len();
    let mut length = snapshot_length;
    while let Some((entries, next)) = next_frame(&mut reader, check, &state.identity) {
        entries.iter().for_each(|entry| state.apply(entry));
        check = next;
        length = bytes.len() - reader.0.len();
    }
    Ok(Decoded {
        state,
        snapshot_length,
        length,
        check,
    })
}

fn next_frame(
    reader: &mut Reader<'_>,
    check: Check,
    identity: &Identity,
) -> Option<(Vec<Entry>, Check)> {
    let from = reader.0;
    let length = reader.u32()? as usize;
    let body = reader.take(length)?;
    let check = check.then(&from[..4 + length]);
    if reader.array()? != check.0 {
        return None;
    }
    let mut body = Reader(body);
    let mut entries = Vec::new();
    while !body.0.is_empty() {
        entries.push(entry(&mut body, identity)?);
    }
    Some((entries, check))
}

fn state(body: &[u8]) -> Option<State> {
    let mut reader = Reader(body);
    let info_hash = InfoHash(reader.array()?);
    let (total, piece_length) = (reader.u64()?, reader.u32()?);
    let identity = Identity {
        info_hash,
        geometry: Geometry::new(total, piece_length.into()).ok()?,
        files: reader.u32()?,
    };
    let boot = BootId(reader.array()?);
    let lease = reader.moment()?;
    let files = reader.take((identity.files as usize).checked_mul(FILE_LENGTH)?)?;
    let files = files.chunks_exact(FILE_LENGTH);
    let files: Option<Box<[_]>> = files.map(|bytes| Reader(bytes).file()).collect();
    let pieces = identity.geometry.pieces();
    let mut bits = || {
        let bytes = reader.take(pieces.div_ceil(8) as usize)?;
        Bitfield::from_wire(bytes, pieces).ok()
    };
    let (verified, durable, doubtful) = (bits()?, bits()?, bits()?);
    let mut state = State {
        identity,
        boot,
        lease,
        files: files?,
        verified,
        durable,
        doubtful,
        partial: std::collections::BTreeMap::new(),
    };
    for _ in 0..reader.u32()? {
        let (piece, written) = reader.blocks(&identity)?;
        let durable = reader.blocks_of(&identity, piece)?;
        let is_subset = durable.intersection(&written) == durable;
        let partial = Partial { written, durable };
        let doubled = state.partial.insert(piece, partial).is_some();
        if doubled || !is_subset || state.verified.has(piece) {
            return None;
        }
    }
    let verified = state.verified.as_wire().iter();
    let mut bits = verified
        .zip(state.durable.as_wire())
        .zip(state.doubtful.as_wire());
    let is_wrong = bits
        .any(|((verified, durable), doubtful)| (durable & !verified) | (doubtful & verified) != 0);
    (!is_wrong && reader.0.is_empty()).then_some(state)
}

/// The bytes with checksums that fit, as far as they have the shape of a journal: so that a fuzzer
/// gets behind them.
pub(crate) fn with_right_checks(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let (mut begin, mut head, mut check) = (0, HEAD_LENGTH, Check::default());
    loop {
        let length = bytes.get(begin..begin + head).and_then(<[u8]>::last_chunk);
        let Some(length) = length.map(|&length| u32::from_le_bytes(length) as usize) else {
            return bytes;
        };
        let Some(end) = (begin + head)
            .checked_add(length)
            .filter(|end| *end < bytes.len())
        else {
            return bytes;
        };
        check = check.then(&bytes[begin..end]);
        let place = bytes[end..].iter_mut().take(CHECK_LENGTH);
        place.zip(check.0).for_each(|(place, byte)| *place = byte);
        (begin, head) = (end + CHECK_LENGTH, 4);
    }
}

/// Kinds of files and entries, as they stand in the bytes.
mod kind {
    pub(super) const ABSENT: u8 = 0;
    pub(super) const SETTLED: u8 = 1;
    pub(super) const OPEN: u8 = 2;

    pub(super) const FILE: u8 = 0;
    pub(super) const LEASE: u8 = 1;
    pub(super) const VERIFIED: u8 = 2;
    pub(super) const DURABLE: u8 = 3;
    pub(super) const BLOCKS: u8 = 4;
    pub(super) const BLOCKS_DURABLE: u8 = 5;
    pub(super) const INCOMPLETE: u8 = 6;
    pub(super) const RESTARTED: u8 = 7;

    /// Begins and ends of ranges.
    pub(super) const RANGES: u8 = 0;
    /// One bit a piece, where that is shorter.
    pub(super) const BITS: u8 = 1;
}

fn put_entry(out: &mut Vec<u8>, entry: &Entry, pieces: u32) {
    match entry {
        Entry::File(file, state) => {
            out.push(kind::FILE);
            out.extend(file.to_le_bytes());
            put_file(out, *state);
        }
        Entry::Lease(until) => {
            out.push(kind::LEASE);
            out.extend(until.nanos().to_le_bytes());
        }
        Entry::Verified(ranges) => {
            out.push(kind::VERIFIED);
            put_ranges(out, ranges, pieces);
        }
        Entry::Durable(ranges) => {
            out.push(kind::DURABLE);
            put_ranges(out, ranges, pieces);
        }
        Entry::Incomplete(ranges) => {
            out.push(kind::INCOMPLETE);
            put_ranges(out, ranges, pieces);
        }
        Entry::Blocks(piece, blocks) => {
            out.push(kind::BLOCKS);
            out.extend(piece.get().to_le_bytes());
            out.extend_from_slice(blocks.as_bytes());
        }
        Entry::BlocksDurable(piece, blocks) => {
            out.push(kind::BLOCKS_DURABLE);
            out.extend(piece.get().to_le_bytes());
            out.extend_from_slice(blocks.as_bytes());
        }
        Entry::Restarted(piece) => {
            out.push(kind::RESTARTED);
            out.extend(piece.get().to_le_bytes());
        }
    }
}

fn put_file(out: &mut Vec<u8>, file: FileState) {
    let (kind, stamp) = match file {
        FileState::Settled(None) => (kind::ABSENT, None),
        FileState::Settled(Some(stamp)) => (kind::SETTLED, Some(stamp)),
        FileState::Open(stamp) => (kind::OPEN, Some(stamp)),
    };
    out.push(kind);
    let [size, modified, inode] = stamp.map_or([[0; 8]; 3], |stamp| {
        let modified = stamp.modified.nanos().to_le_bytes();
        [
            stamp.size.to_le_bytes(),
            modified,
            stamp.inode.to_le_bytes(),
        ]
    });
    out.extend(size);
    out.extend(modified);
    out.extend(inode);
}

fn put_ranges(out: &mut Vec<u8>, ranges: &[Range<u32>], pieces: u32) {
    if ranges.len() * 8 <= pieces.div_ceil(8) as usize {
        out.push(kind::RANGES);
        put_length(out, ranges.len());
        for range in ranges {
            out.extend(range.start.to_le_bytes());
            out.extend(range.end.to_le_bytes());
        }
        return;
    }
    out.push(kind::BITS);
    let begin = out.len();
    out.resize(begin + pieces.div_ceil(8) as usize, 0);
    for piece in ranges.iter().cloned().flatten() {
        out[begin + (piece / 8) as usize] |= 0x80 >> (piece % 8);
    }
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    out.extend(length_of(length));
}

fn length_of(length: usize) -> [u8; 4] {
    let length = u32::try_from(length).expect("files, pieces and blocks have bounds far below");
    length.to_le_bytes()
}

fn entry(reader: &mut Reader<'_>, identity: &Identity) -> Option<Entry> {
    Some(match reader.u8()? {
        kind::FILE => {
            let file = reader.u32().filter(|&file| file < identity.files)?;
            Entry::File(file, reader.file()?)
        }
        kind::LEASE => Entry::Lease(reader.moment()?),
        kind::VERIFIED => Entry::Verified(reader.ranges(identity.geometry.pieces())?),
        kind::DURABLE => Entry::Durable(reader.ranges(identity.geometry.pieces())?),
        kind::INCOMPLETE => Entry::Incomplete(reader.ranges(identity.geometry.pieces())?),
        kind::BLOCKS => {
            let (piece, blocks) = reader.blocks(identity)?;
            Entry::Blocks(piece, blocks)
        }
        kind::BLOCKS_DURABLE => {
            let (piece, blocks) = reader.blocks(identity)?;
            Entry::BlocksDurable(piece, blocks)
        }
        kind::RESTARTED => Entry::Restarted(reader.piece(identity)?),
        _ => return None,
    })
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn moment(&mut self) -> Option<Moment> {
        let nanos = self.array().map(i64::from_le_bytes);
        nanos.map(Moment::from_nanos)
    }

    fn file(&mut self) -> Option<FileState> {
        let kind = self.u8()?;
        let stamp = Stamp {
            size: self.u64()?,
            modified: self.moment()?,
            inode: self.u64()?,
        };
        match kind {
            kind::ABSENT => Some(FileState::Settled(None)),
            kind::SETTLED => Some(FileState::Settled(Some(stamp))),
            kind::OPEN => Some(FileState::Open(stamp)),
            _ => None,
        }
    }

    fn piece(&mut self, identity: &Identity) -> Option<PieceIndex> {
        identity.geometry.piece(self.u32()?)
    }

    fn blocks(&mut self, identity: &Identity) -> Option<(PieceIndex, Blocks)> {
        let piece = self.piece(identity)?;
        Some((piece, self.blocks_of(identity, piece)?))
    }

    fn blocks_of(&mut self, identity: &Identity, piece: PieceIndex) -> Option<Blocks> {
        let count = identity.geometry.block_count(piece);
        Blocks::from_bytes(self.take(count.div_ceil(8))?, count)
    }

    fn ranges(&mut self, pieces: u32) -> Option<Vec<Range<u32>>> {
        let kind = self.u8()?;
        if kind == kind::BITS {
            let bytes = self.take(pieces.div_ceil(8) as usize)?;
            let bits = Bitfield::from_wire(bytes, pieces).ok()?;
            let mut ranges: Vec<Range<u32>> = Vec::new();
            for piece in bits.ones() {
                match ranges.last_mut() {
                    Some(last) if last.end == piece => last.end += 1,
                    _ => ranges.push(piece..piece + 1),
                }
            }
            return Some(ranges);
        }
        if kind != kind::RANGES {
            return None;
        }
        let count = self.u32()? as usize;
        let bytes = self.take(count.checked_mul(8)?)?;
        let mut free = 0;
        let ranges = bytes.chunks_exact(8).map(|bytes| {
            let mut reader = Reader(bytes);
            let (start, end) = (reader.u32()?, reader.u32()?);
            let fits = free <= start && start < end && end <= pieces;
            free = end;
            fits.then_some(start..end)
        });
        ranges.collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::journal::state::ranges;

    fn identity(pieces: u32, piece_length: u32, files: u32) -> Identity {
        Identity {
            info_hash: InfoHash([7; 20]),
            geometry: Geometry::new(
                u64::from(pieces) * u64::from(piece_length),
                piece_length.into(),
            )
            .unwrap(),
            files,
        }
    }

    fn file_state() -> impl Strategy<Value = FileState> {
        let stamp = (any::<u64>(), any::<i64>(), any::<u64>());
        let stamp = stamp.prop_map(|(size, modified, inode)| Stamp {
            size,
            modified: Moment::from_nanos(modified),
            inode,
        });
        prop_oneof![
            Just(FileState::Settled(None)),
            stamp
                .clone()
                .prop_map(|stamp| FileState::Settled(Some(stamp))),
            stamp.prop_map(FileState::Open),
        ]
    }

    fn entry(identity: Identity) -> impl Strategy<Value = Entry> {
        let geometry = identity.geometry;
        let pieces = geometry.pieces();
        let set = prop::collection::vec(0..pieces, 0..40).prop_map(move |numbers| {
            ranges(
                numbers
                    .into_iter()
                    .filter_map(|number| geometry.piece(number)),
            )
        });
        let piece = (0..pieces).prop_map(move |number| geometry.piece(number).unwrap());
        let blocks = (piece.clone(), prop::collection::vec(0..8usize, 0..8));
        let blocks = blocks.prop_map(move |(piece, numbers)| {
            let mut blocks = Blocks::none(geometry.block_count(piece));
            for number in numbers {
                blocks.insert(number);
            }
            (piece, blocks)
        });
        prop_oneof![
            (0..identity.files, file_state()).prop_map(|(file, state)| Entry::File(file, state)),
            any::<i64>().prop_map(|nanos| Entry::Lease(Moment::from_nanos(nanos))),
            set.clone().prop_map(Entry::Verified),
            set.clone().prop_map(Entry::Durable),
            set.prop_map(Entry::Incomplete),
            blocks
                .clone()
                .prop_map(|(piece, blocks)| Entry::Blocks(piece, blocks)),
            blocks.prop_map(|(piece, blocks)| Entry::BlocksDurable(piece, blocks)),
            piece.prop_map(Entry::Restarted),
        ]
    }

    fn frames() -> impl Strategy<Value = (Identity, Vec<Vec<Entry>>)> {
        let shape = (1..3_000u32, 1..100_000u32, 1..5u32);
        shape.prop_flat_map(|(pieces, piece_length, files)| {
            let identity = identity(pieces, piece_length, files);
            let frame = prop::collection::vec(entry(identity), 0..4);
            (Just(identity), prop::collection::vec(frame, 0..6))
        })
    }

    proptest! {
        #[test]
        fn frames_replay_to_the_state_that_wrote_them((identity, frames) in frames()) {
            let mut lived = State::new(identity, BootId([3; 16]));
            let (mut bytes, mut check) = snapshot(&lived);
            let snapshot_length = bytes.len();
            let mut prefixes = vec![(bytes.len(), lived.clone(), check)];
            for entries in &frames {
                let (more, next) = frame(entries, identity.geometry.pieces(), check);
                entries.iter().for_each(|entry| lived.apply(entry));
                bytes.extend(more);
                check = next;
                prefixes.push((bytes.len(), lived.clone(), check));
            }
            for cut in [bytes.len(), bytes.len() - 1, bytes.len() / 2] {
                let whole = prefixes.iter().rev().find(|(length, ..)| *length <= cut);
                let expect = whole.map(|(length, state, check)| Decoded {
                    state: state.clone(),
                    snapshot_length,
                    length: *length,
                    check: *check,
                });
                prop_assert_eq!(decode(&bytes[..cut]).ok(), expect);
            }
            // The state itself, as a snapshot.
            let (again, _) = snapshot(&lived);
            prop_assert_eq!(decode(&again).unwrap().state, lived);
            crate::journal::fuzz::decode(&bytes);
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            crate::journal::fuzz::decode(&bytes);
            let state = State::new(identity(9, 40_000, 2), BootId::UNKNOWN);
            let (good, _) = snapshot(&state);
            crate::journal::fuzz::decode(&[&good[..], &bytes].concat());
        }
    }

    #[test]
    fn many_scattered_pieces_are_written_as_bits() {
        let identity = identity(2_000, 1, 1);
        let check = |numbers: Vec<u32>, most: usize| {
            let pieces = numbers
                .into_iter()
                .filter_map(|number| identity.geometry.piece(number));
            let entry = Entry::Verified(ranges(pieces));
            let (bytes, _) = frame(&[entry], 2_000, Check::default());
            assert!(bytes.len() <= most, "{} bytes", bytes.len());
        };
        check((0..2_000).collect(), 40);
        check(vec![5], 40);
        check((0..2_000).step_by(2).collect(), 300);
    }

    #[test]
    fn newer_version_is_told_from_damage() {
        let state = State::new(identity(9, 40_000, 2), BootId::UNKNOWN);
        let (mut bytes, _) = snapshot(&state);
        bytes[8] = 2;
        assert_eq!(decode(&bytes), Err(DecodeError::Newer(2)));
        bytes[8] = 0;
        assert!(matches!(decode(&bytes), Err(DecodeError::Damaged(_))));
        assert!(matches!(decode(b""), Err(DecodeError::Damaged(_))));
    }

    /// A frame that an older journal left behind the end of this one.
    #[test]
    fn frame_of_another_journal_is_not_taken() {
        let state = State::new(identity(9, 40_000, 2), BootId([1; 16]));
        let other = State::new(identity(9, 40_000, 2), BootId([2; 16]));
        let (bytes, _) = snapshot(&state);
        let (_, check) = snapshot(&other);
        let all = ranges(state.identity.geometry.all_pieces());
        let (frame, _) = frame(&[Entry::Verified(all)], 9, check);
        let decoded = decode(&[&bytes[..], &frame].concat()).unwrap();
        assert_eq!(decoded.length, bytes.len());
        assert!(decoded.state.verified.is_empty());
    }
}
