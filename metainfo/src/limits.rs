//! Every bound of this crate, with its source.

/// Longest piece we accept, bytes. Ours: 256 MiB, the largest power of two that libtorrent reads,
/// whose bound is 32,767 blocks.
pub const PIECE_LENGTH_MAX: u32 = 1 << 28;

/// Most pieces of one torrent. Source: libtorrent's `max_pieces`, 0x200000.
pub const PIECES_MAX: u32 = 1 << 21;

/// Largest .torrent we read, bytes. Ours: 40 MiB of hashes for [`PIECES_MAX`] pieces, and room for
/// the list of files.
pub const TORRENT_BYTES_MAX: usize = 64 << 20;

/// Most files of one torrent. Ours: what the parser's 3,000,000 values can hold, and several times
/// the largest in use.
pub const FILES_MAX: usize = 400_000;

/// Longest component of a path, bytes of UTF-8. Source: `NAME_MAX` of Linux file systems, 255.
pub const COMPONENT_BYTES_MAX: usize = 255;

/// Most components of a path. Source: libtorrent refuses above 100 directories.
pub const COMPONENTS_MAX: usize = 100;

/// Longest path inside a torrent, bytes with its separators. Ours: leaves 1 KiB of Linux's
/// `PATH_MAX`, 4,096, to the folder that it goes into.
pub const PATH_BYTES_MAX: usize = 3072;

/// Longest file extension that survives when a name is cut, bytes. Ours: longer is no extension.
pub const EXTENSION_BYTES_MAX: usize = 16;

/// Most files of one torrent that are renamed because their names collide. Source: libtorrent's
/// cap of 500 duplicate names.
pub const DUPLICATES_MAX: usize = 500;

/// Most trackers kept of one torrent or magnet; further ones are dropped. Ours: several times the
/// longest lists in use.
pub const TRACKERS_MAX: usize = 256;

/// Most web seeds kept of one torrent or magnet; further ones are dropped. Ours.
pub const WEB_SEEDS_MAX: usize = 256;

/// Longest URL kept, bytes; longer ones are dropped. Ours: what browsers and servers agree on.
pub const URL_BYTES_MAX: usize = 2048;

/// Longest `comment`, `created by`, `encoding` or `source` kept, bytes; longer ones are cut. Ours.
pub const TEXT_BYTES_MAX: usize = 16 << 10;

/// Longest piece of foreign text repeated inside an error message, bytes. Ours: one line.
pub const QUOTE_BYTES_MAX: usize = 60;

/// Longest magnet link we read, bytes. Ours: [`TRACKERS_MAX`] ordinary URLs and more.
pub const MAGNET_BYTES_MAX: usize = 64 << 10;

/// Most peer addresses kept of one magnet link; further ones are dropped. Ours.
pub const MAGNET_PEERS_MAX: usize = 256;

/// Pieces that [`crate::create::piece_length_for`] aims at, at most. Ours: 1,000 to 2,000 pieces
/// keep both the .torrent and the unit of verification small.
pub const CREATE_PIECES_AIM: u64 = 2000;

/// Shortest piece length chosen for a new torrent, bytes. Ours: one block, BEP 3.
pub const CREATE_PIECE_LENGTH_MIN: u32 = 1 << 14;

/// Longest piece length chosen for a new torrent, bytes. Ours: all clients in use accept it.
pub const CREATE_PIECE_LENGTH_MAX: u32 = 1 << 24;

/// Threads that hash for one new torrent. Ours: more cores than this wait for memory.
pub const CREATE_THREADS_MAX: usize = 64;

/// What one thread reads before it hashes, bytes, at most: with the threads, the memory that
/// making a torrent needs, whatever the size of the content. Ours: half of a small second cache,
/// so that hashing finds there what reading has left.
pub const CREATE_BUFFER_BYTES: usize = 256 << 10;

/// What one thread reads at once of a piece that is longer than its share of the buffer, bytes,
/// and of what it reads a multiple. Ours: below it the calls cost more than the copies.
pub const CREATE_CHUNK_MIN: usize = 16 << 10;

/// Content that one thread takes at once, bytes, at most: fewer pieces go side by side where they
/// are longer, but never fewer than pay. Ours: eight pieces of 4 MiB; what the threads have asked
/// the disk for is twice this for each.
pub const CREATE_RUN_BYTES_MAX: usize = 32 << 20;

/// Content that one thread takes at once where pieces are short, bytes. Ours: long enough that
/// taking costs nothing and a disk reads it in one go.
pub const CREATE_RUN_BYTES_MIN: usize = 4 << 20;

/// How much content the page cache may keep that it did not hold before, bytes. Ours: little
/// beside the memory of a machine that shares so much, and it will be seeded soon.
pub const AHEAD_KEEP_BYTES: u64 = 1 << 30;

/// Bytes of a file of which one tells for all whether they are in memory. Ours: a call for each
/// is nothing beside hashing them.
pub const AHEAD_PROBE_BYTES: u64 = 1 << 20;

/// Bytes that one call asks the disk for. Source: Linux's usual read-ahead, 128 KiB; it may cut
/// what is longer than a device's largest request.
pub const AHEAD_ADVICE_BYTES: u64 = 128 << 10;
