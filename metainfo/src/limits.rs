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

/// What one thread reads before it hashes, bytes, at most. Ours: sixteen pieces of 1 MiB; memory
/// stays at this times the threads, whatever the size of the content.
pub const CREATE_BUFFER_BYTES: usize = 16 << 20;

/// Pieces that one thread hashes in one call, at most. Ours: the widest hashing kernel has sixteen
/// lanes.
pub const CREATE_BATCH_PIECES_MAX: u32 = 16;

/// What one thread reads at once of a piece that it hashes alone, bytes. Ours: stays in the cache
/// between reading and hashing.
pub const CREATE_CHUNK_BYTES: usize = 1 << 20;
