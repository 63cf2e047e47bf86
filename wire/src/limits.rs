//! Every bound of this crate, with its source.

use shoal_metainfo::BLOCK_LENGTH;
use shoal_metainfo::limits::PIECES_MAX;

/// Largest length prefix of a `piece`: id, index, begin and one block; bytes.
/// Source: BEP 3, "request": 2^14, others close the connection; so do we.
pub const PIECE_MESSAGE_LENGTH_MAX: usize = 9 + BLOCK_LENGTH as usize;

/// Largest payload of a `bitfield` while the number of pieces is not known, bytes.
/// Ours: a bit for each of the most pieces that a torrent may have, 256 KiB.
pub const BITFIELD_LENGTH_MAX: usize = PIECES_MAX as usize / 8;

/// Largest length prefix of an `extended` message, bytes.
/// Ours: the longest that we know is `ut_metadata` with 16 KiB and a small dictionary (BEP 9).
pub const EXTENDED_LENGTH_MAX: usize = 32 << 10;

/// Largest length prefix of all. Messages that we do not know are dropped up to here, unbuffered.
/// Ours: the longest of BEP 52 (`hashes`) is 16 KiB and some; none of the field's is near this.
pub const MESSAGE_LENGTH_MAX: usize = 1 << 20;

/// Most extensions kept from one extended handshake. Ours: clients in the field name about ten.
pub const EXTENSIONS_MAX: usize = 32;

/// Longest extension name kept, bytes. Ours: `upload_only` and `ut_holepunch` are the long ones.
pub const EXTENSION_NAME_LENGTH_MAX: usize = 32;

/// Longest client version kept, bytes of UTF-8. Ours: it is only shown to people.
pub const VERSION_LENGTH_MAX: usize = 64;

/// Largest `reqq` believed. Source: libtorrent's `max_allowed_in_request_queue`, 2000; that is
/// 32 MiB in flight, more than any line needs.
pub const REQQ_MAX: u32 = 2000;

/// Largest `metadata_size` believed, bytes.
/// Ours: 2^21 pieces × 20 bytes is 40 MiB of hashes, so nothing legal is far above 64 MiB.
pub const METADATA_SIZE_MAX: u32 = 64 << 20;

/// Largest allowed-fast set made. Source: BEP 6 speaks of ten; ours leaves room.
pub const ALLOWED_FAST_MAX: usize = 32;

/// Most addresses kept of the added, and most of the dropped, of one PEX message.
/// Source: BEP 11 lets 50 of each be sent, and more in the first message; ours takes twice that.
pub const PEX_KEPT_MAX: usize = 100;

/// Most addresses added, and most dropped, in one PEX message of ours. Source: BEP 11, 50.
pub const PEX_SENT_MAX: usize = 50;
