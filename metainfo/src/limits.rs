//! Every bound of this crate, with its source.

/// Longest piece we accept, bytes. Source: libtorrent 2.1 accepts to 256 MiB; so do we.
pub const PIECE_LENGTH_MAX: u32 = 1 << 28;

/// Most pieces of one torrent. Source: libtorrent's `max_pieces`, 0x200000.
pub const PIECES_MAX: u32 = 1 << 21;
