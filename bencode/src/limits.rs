//! Every bound of this crate, with its source.

/// Deepest nesting of lists and dictionaries in a file. Source: libtorrent's `bdecode` depth limit,
/// 100; real torrents of BEP 3 need 5, file trees of BEP 52 one a folder.
pub const DEPTH_MAX: usize = 100;

/// Most values, keys included, in a file. Source: libtorrent's `load_torrent_limits`, 3,000,000
/// decoded tokens; a torrent of 100,000 files has some 900,000.
pub const TOKENS_MAX: usize = 3_000_000;

/// Deepest nesting in a message. Ours: extension handshakes, PEX and DHT messages need 3.
pub const WIRE_DEPTH_MAX: usize = 16;

/// Most values, keys included, in a message. Ours: a DHT answer with `values` fills a datagram with
/// some 200; 10,000 cost 160 kB.
pub const WIRE_TOKENS_MAX: usize = 10_000;

/// Longest input, bytes. Ours: spans are kept as `u32`, half the memory of a `usize`.
pub const INPUT_LENGTH_MAX: usize = u32::MAX as usize;

/// Largest dictionary that is searched entry by entry; larger ones get a sorted index while they
/// are parsed. Ours: below this a scan costs no more than a binary search and needs no memory.
pub const DICT_SCAN_MAX: u32 = 32;
