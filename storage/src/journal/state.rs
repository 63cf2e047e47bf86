//! What a journal says: pieces, blocks of unfinished pieces, and how the files looked.
//!
//! Pure data. Everything that changes it is an [`Entry`], so that what was replayed from the disk
//! and what was lived through are the same. Knows no bytes and no disk.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use shoal_metainfo::{Bitfield, Geometry, InfoHash, PieceIndex};

/// A time of the wall clock as file systems keep it: nanoseconds since 1970, until 2262.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Moment(i64);

impl Moment {
    /// Nanoseconds since 1970.
    #[must_use]
    pub fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Seconds since 1970 and nanoseconds, as `stat` gives them; what lies outside the range
    /// becomes its end.
    #[must_use]
    pub fn from_parts(seconds: i64, nanos: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
    }

    /// Nanoseconds since 1970.
    #[must_use]
    pub fn nanos(self) -> i64 {
        self.0
    }

    pub(crate) fn plus(self, time: Duration) -> Self {
        Self(self.0.saturating_add(nanos_of(time)))
    }

    pub(crate) fn minus(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(nanos_of(time)))
    }
}

fn nanos_of(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

impl From<SystemTime> for Moment {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self(nanos_of(after)),
            Err(before) => Self(-nanos_of(before.duration())),
        }
    }
}

/// One life of the system, from its start to its end or loss of power.
///
/// Shape: 16 bytes; all zeros is "not known", which is the same as no other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BootId(pub [u8; 16]);

impl BootId {
    /// Where the system does not say: then each start counts as one after a loss of power.
    pub const UNKNOWN: Self = Self([0; 16]);

    /// Of the running system. Source: Linux, `/proc/sys/kernel/random/boot_id`; nowhere else known.
    #[must_use]
    pub fn of_this_system() -> Self {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
        text.ok()
            .and_then(|text| Self::parse(&text))
            .unwrap_or(Self::UNKNOWN)
    }

    fn parse(text: &str) -> Option<Self> {
        let digits: String = text.trim().chars().filter(|&digit| digit != '-').collect();
        if digits.len() != 32 {
            return None;
        }
        let number = u128::from_str_radix(&digits, 16).ok()?;
        Some(Self(number.to_be_bytes()))
    }

    pub(crate) fn is_same(self, other: Self) -> bool {
        self == other && self != Self::UNKNOWN
    }
}

/// How a file looks from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// Bytes.
    pub size: u64,
    /// When it was last written.
    pub modified: Moment,
    /// Its number in its file system; compared only within one boot, for some file systems
    /// number anew at each mount. Zero compares with nothing.
    pub inode: u64,
}

/// What the journal expects of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FileState {
    /// Nobody writes it: exactly this stamp, or no file.
    Settled(Option<Stamp>),
    /// We may be writing it: not shorter than `size`, and last written between `modified` and the
    /// end of the lease.
    Open(Stamp),
}

/// Blocks of one piece, by number.
///
/// Shape: one bit a block, the high bit of the first byte is block 0; spare bits are zero.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Blocks {
    bits: Box<[u8]>,
    count: usize,
}

impl Blocks {
    /// None of `count` blocks.
    pub(crate) fn none(count: usize) -> Self {
        Self {
            bits: vec![0; count.div_ceil(8)].into(),
            count,
        }
    }

    /// From its bytes; `None` when they are too few or too many, or a spare bit is set.
    pub(crate) fn from_bytes(bits: &[u8], count: usize) -> Option<Self> {
        let spare = bits.len().checked_mul(8)?.checked_sub(count)?;
        let last = bits.last().copied().unwrap_or(0);
        (spare < 8 && (last.trailing_zeros() as usize) >= spare).then(|| Self {
            bits: bits.into(),
            count,
        })
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bits
    }

    /// Whether the block is one of them.
    #[must_use]
    pub fn has(&self, number: usize) -> bool {
        number < self.count && self.bits[number / 8] & (0x80 >> (number % 8)) != 0
    }

    /// Their numbers, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.count).filter(|&number| self.has(number))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bits.iter().all(|&byte| byte == 0)
    }

    /// True when the block is new.
    pub(crate) fn insert(&mut self, number: usize) -> bool {
        let old = self.has(number);
        if number < self.count {
            self.bits[number / 8] |= 0x80 >> (number % 8);
        }
        !old && number < self.count
    }

    /// Those of `self` that are in `other`, which has as many places.
    pub(crate) fn intersection(&self, other: &Self) -> Self {
        let bits = self.bits.iter().zip(&other.bits).map(|(a, b)| a & b);
        Self {
            bits: bits.collect(),
            count: self.count,
        }
    }

    /// Adds those of `other`, which has as many places.
    pub(crate) fn extend(&mut self, other: &Self) {
        for (byte, other) in self.bits.iter_mut().zip(&other.bits) {
            *byte |= other;
        }
    }
}

/// A piece that is not verified, with the blocks of it that are on the disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Partial {
    pub(crate) written: Blocks,
    /// A subset of `written`.
    pub(crate) durable: Blocks,
}

/// Which torrent the journal is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Identity {
    pub(crate) info_hash: InfoHash,
    pub(crate) geometry: Geometry,
    pub(crate) files: u32,
}

impl Identity {
    /// Whether it is that one, or was when the file that stands in for others was unknown.
    pub(crate) fn is_or_was(&self, other: &Self) -> bool {
        let files = [other.files, other.files - 1];
        files.contains(&self.files)
            && Self {
                files: other.files,
                ..*self
            } == *other
    }
}

/// Everything that a journal says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct State {
    pub(crate) identity: Identity,
    /// When what is not durable was true.
    pub(crate) boot: BootId,
    /// We write no file after this.
    pub(crate) lease: Moment,
    pub(crate) files: Box<[FileState]>,
    pub(crate) verified: Bitfield,
    /// A subset of `verified`.
    pub(crate) durable: Bitfield,
    /// None of them is in `verified`: what is on the disk has to be looked at.
    pub(crate) doubtful: Bitfield,
    /// None of them is in `verified`.
    pub(crate) partial: BTreeMap<PieceIndex, Partial>,
}

/// One thing that became true.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Entry {
    File(u32, FileState),
    Lease(Moment),
    /// Ranges of pieces, ascending, none empty or touching another.
    Verified(Vec<Range<u32>>),
    /// As `Verified`; those that are not verified stay so.
    Durable(Vec<Range<u32>>),
    /// All blocks of the piece that were written.
    Blocks(PieceIndex, Blocks),
    /// Blocks that became durable.
    BlocksDurable(PieceIndex, Blocks),
    /// As `Verified`: a look at the disk found them not whole.
    Incomplete(Vec<Range<u32>>),
    /// The piece had the wrong hash, and begins anew.
    Restarted(PieceIndex),
}

impl State {
    /// Of a torrent that nothing is known of.
    pub(crate) fn new(identity: Identity, boot: BootId) -> Self {
        let pieces = identity.geometry.pieces();
        Self {
            identity,
            boot,
            lease: Moment(i64::MIN),
            files: vec![FileState::Settled(None); identity.files as usize].into(),
            verified: Bitfield::none(pieces),
            durable: Bitfield::none(pieces),
            doubtful: Bitfield::none(pieces),
            partial: BTreeMap::new(),
        }
    }

    /// Makes the entry true. Its numbers are of this torrent: who made it, or decoded it, checked.
    pub(crate) fn apply(&mut self, entry: &Entry) {
        let geometry = self.identity.geometry;
        let each = |ranges: &[Range<u32>]| {
            let numbers = ranges.iter().cloned().flatten();
            numbers
                .filter_map(move |number| geometry.piece(number))
                .collect::<Vec<_>>()
        };
        match entry {
            Entry::File(file, state) => self.files[*file as usize] = *state,
            Entry::Lease(until) => self.lease = *until,
            Entry::Verified(ranges) => {
                for piece in each(ranges) {
                    self.verified.insert(piece);
                    self.doubtful.remove(piece);
                    self.partial.remove(&piece);
                }
            }
            Entry::Durable(ranges) => {
                for piece in each(ranges) {
                    if self.verified.has(piece) {
                        self.durable.insert(piece);
                    }
                }
            }
            Entry::Incomplete(ranges) => {
                for piece in each(ranges) {
                    self.doubtful.remove(piece);
                }
            }
            Entry::Blocks(piece, written) => self.set_written(*piece, written),
            Entry::BlocksDurable(piece, blocks) => {
                if let Some(partial) = self.partial.get_mut(piece) {
                    let durable = partial.written.intersection(blocks);
                    partial.durable.extend(&durable);
                }
            }
            Entry::Restarted(piece) => {
                self.doubtful.remove(*piece);
                self.partial.remove(piece);
            }
        }
    }

    fn set_written(&mut self, piece: PieceIndex, written: &Blocks) {
        if self.verified.has(piece) {
            return;
        }
        let partial = self.partial.entry(piece).or_insert_with(|| Partial {
            written: written.clone(),
            durable: Blocks::none(written.count),
        });
        partial.durable = partial.durable.intersection(written);
        partial.written = written.clone();
    }

    /// Makes room for the file with that number, the last, in a state from before there was one.
    pub(crate) fn know_edges(&mut self, number: u32) {
        if self.identity.files == number {
            self.identity.files += 1;
            let mut files = std::mem::take(&mut self.files).into_vec();
            files.push(FileState::Settled(None));
            self.files = files.into();
        }
    }

    /// Takes back all that is said of the piece; true when that was something.
    pub(crate) fn withdraw(&mut self, piece: PieceIndex) -> bool {
        let verified = self.verified.remove(piece);
        self.durable.remove(piece);
        self.partial.remove(&piece).is_some() || verified
    }

    /// Takes back all that is said of the piece, but not that it may be there.
    pub(crate) fn doubt(&mut self, piece: PieceIndex) -> bool {
        self.doubtful.insert(piece);
        self.withdraw(piece)
    }

    /// Takes back what the end of a boot took.
    pub(crate) fn keep_durable(&mut self) {
        for piece in self.undurable() {
            self.verified.remove(piece);
            self.doubtful.insert(piece);
        }
        self.partial.retain(|_, partial| {
            partial.written = partial.durable.clone();
            !partial.written.is_empty()
        });
    }

    /// Verified and not durable.
    pub(crate) fn undurable(&self) -> Vec<PieceIndex> {
        let geometry = &self.identity.geometry;
        let bytes = self.verified.as_wire().iter().zip(self.durable.as_wire());
        let places = bytes.zip((0u32..).step_by(8));
        let differ = places.filter(|((verified, durable), _)| verified != durable);
        let numbers = differ.flat_map(|((verified, durable), begin)| {
            let bits = verified & !durable;
            (0..8)
                .filter(move |bit| bits & (0x80 >> bit) != 0)
                .map(move |bit| begin + bit)
        });
        numbers
            .filter_map(|number| geometry.piece(number))
            .collect()
    }
}

/// The pieces as ascending ranges.
pub(crate) fn ranges(pieces: impl IntoIterator<Item = PieceIndex>) -> Vec<Range<u32>> {
    let mut numbers: Vec<u32> = pieces.into_iter().map(PieceIndex::get).collect();
    numbers.sort_unstable();
    let mut ranges: Vec<Range<u32>> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some(last) if number < last.end => {}
            Some(last) if number == last.end => last.end += 1,
            _ => ranges.push(number..number + 1),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_id_is_read_as_linux_writes_it() {
        let id = BootId::parse("0102030405060708-090a-0b0c0d0e0f10\n").unwrap();
        assert_eq!(
            id.0,
            [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]
        );
        assert!(id.is_same(id));
        assert!(!BootId::UNKNOWN.is_same(BootId::UNKNOWN));
        assert_eq!(BootId::parse(""), None);
        assert_eq!(BootId::parse(&"x".repeat(32)), None);
    }

    #[test]
    fn moment_keeps_nanoseconds_on_both_sides_of_1970() {
        let check = |time: SystemTime, nanos| assert_eq!(Moment::from(time).nanos(), nanos);
        check(UNIX_EPOCH + Duration::new(1, 5), 1_000_000_005);
        check(UNIX_EPOCH - Duration::new(1, 5), -1_000_000_005);
        assert_eq!(Moment::from_parts(-2, 999_999_995).nanos(), -1_000_000_005);
        assert_eq!(Moment::from_parts(i64::MAX, 5).nanos(), i64::MAX);
    }

    #[test]
    fn blocks_refuse_spare_bits_and_wrong_lengths() {
        assert!(Blocks::from_bytes(&[0xff, 0b1100_0000], 10).is_some());
        assert_eq!(Blocks::from_bytes(&[0xff, 0b0010_0000], 10), None);
        assert_eq!(Blocks::from_bytes(&[0xff], 10), None);
        assert_eq!(Blocks::from_bytes(&[0xff; 3], 10), None);
        let mut blocks = Blocks::none(10);
        assert!(blocks.insert(9) && !blocks.insert(9) && !blocks.insert(10));
        assert_eq!(blocks.as_bytes(), [0, 0b0100_0000]);
        assert_eq!(blocks.iter().collect::<Vec<_>>(), [9]);
    }

    #[test]
    fn ranges_join_what_touches() {
        let geometry = Geometry::new(10, 1).unwrap();
        let pieces = [5, 1, 2, 2, 9, 3].map(|number| geometry.piece(number).unwrap());
        assert_eq!(ranges(pieces), [1..4, 5..6, 9..10]);
        assert_eq!(ranges([]), []);
    }
}
