//! Every bound of this crate, with its source.

use std::time::Duration;

/// Longest window, bytes. Ours: 4 MiB: a map and an unmap cost some µs, so per MiB they vanish; a
/// window kept for one 16 KiB block still wastes little.
pub const WINDOW_LENGTH_MAX: u64 = 4 << 20;

/// Shortest window, bytes, whatever the budget. Ours: a multiple of every page size in use
/// (4, 16 and 64 KiB), so that windows on the grid are never two halves of a page.
pub const WINDOW_LENGTH_MIN: u64 = 64 << 10;

/// Windows one torrent maps at once unless told otherwise. Ours: Linux allows a process 65,530
/// mappings (`vm.max_map_count`); a thousand busy torrents stay below.
pub const WINDOWS_MAX: usize = 64;

/// Bytes one torrent maps at once unless told otherwise. Ours: [`WINDOWS_MAX`] full windows.
pub const WINDOW_BYTES_MAX: u64 = WINDOWS_MAX as u64 * WINDOW_LENGTH_MAX;

/// Windows that torrents with one budget map at once. Ours: with [`WINDOW_LENGTH_MAX`], a GiB.
/// Busy pages stay in the page cache without a window; what a window saves is a map and an unmap.
pub const WINDOWS_TOGETHER_MAX: usize = 256;

/// Descriptors one torrent keeps open. Ours: a process often gets 1,024; opening again costs some
/// µs and is needed once a window at most.
pub const FILES_OPEN_MAX: usize = 64;

/// Bytes of cold pages that one read brings in. Ours: twice the kernel's usual read-ahead of
/// 128 KiB; peers ask for the blocks of a piece one after another.
pub const READ_AHEAD: usize = 256 << 10;

/// Most bytes that one thread of a check maps at once. Ours: 16 pieces of 1 MiB, one for each
/// lane of the widest hash kernel.
pub const CHECK_SPAN_MAX: u64 = 16 << 20;

/// Pieces that are verified at once where the hash itself gains nothing from so many. Ours: fewer
/// wake-ups and mappings; those of a MiB end together within the wait of a fast download.
pub(crate) const PIECES_TOGETHER: usize = 8;

/// Bytes of pieces that a thread of a check takes at a time. Ours: long enough to read in
/// sequence, short enough that all threads end together; what they have asked the disk for is
/// twice this for each.
pub const CHECK_CLAIM: u64 = 32 << 20;

/// Threads of one check. Ours: more cores than this wait for memory.
pub const CHECK_THREADS_MAX: usize = 64;

/// Blocks whose digests are computed together. Ours: the lanes of the widest hash kernel.
pub const DIGEST_BLOCKS: usize = 16;

/// Slices that one call writes. Source: `IOV_MAX`, 1,024 on Linux, macOS and the BSDs.
pub const WRITE_SLICES_MAX: usize = 1024;

/// Bytes that are copied out of a window at once. Ours: small enough to stay in a processor's
/// second cache until they are hashed, so that the copy costs no trip to memory.
pub const COPY_CHUNK: usize = 64 << 10;

/// Bytes that are read at once where files are not mapped. Ours: what a processor's second cache
/// holds, so that hashing finds them there.
pub const READ_CHUNK: usize = 256 << 10;

/// What is read at once of each of several pieces that share [`READ_CHUNK`], bytes, or a multiple
/// of it. Ours: below it the calls cost more than the copies.
pub const STRIPE_MIN: usize = 16 << 10;

/// Shortest part of a file that a check asks for ahead and drops behind, bytes. Ours: of smaller
/// ones, opening them twice would cost more than waiting once.
pub const SCOUT_MIN: u64 = 128 << 10;

/// Files that are made durable one by one; with more, their file system is first, as a whole.
/// Ours: each alone commits the file system's own journal, some milliseconds on a disk.
pub const SYNCED_ALONE_MAX: usize = 32;

/// Longest journal that is read, bytes. Ours: 2,097,152 pieces, 400,000 files and every block of
/// 1 TiB unfinished take a third of it.
pub const JOURNAL_BYTES_MAX: u64 = 64 << 20;

/// Bytes of frames behind a snapshot, or as many as the snapshot has, before the next flush or tick
/// writes a new snapshot. Ours: replayed in well under a millisecond.
pub const JOURNAL_FRAMES_MIN: u64 = 64 << 10;

/// How far ahead of now the journal says that files may be written. Ours: a disk thread may hang
/// that long between asking and writing; also how long after a crash a change by others may pass
/// for ours.
pub const JOURNAL_LEASE: Duration = Duration::from_secs(30);

/// What must be left of the lease when a write begins. Ours: half of it.
pub const JOURNAL_LEASE_LEFT: Duration = Duration::from_secs(15);

/// How far the times that a file system keeps may be from the clock. Ours: FAT keeps 2 seconds,
/// and the kernel's coarse clock is some milliseconds late.
pub const JOURNAL_TIME_SLACK: Duration = Duration::from_secs(2);
