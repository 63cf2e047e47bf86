//! Ways a peer breaks the protocol: its bytes were legal, its deed is not. BEP 3, 6, 9, 11, 54.
//!
//! One of these closes the connection. What honest clients do by accident (a block that crosses
//! our cancel, a duplicate request) is not here: it is counted, and only a flood of it is a fault.

use shoal_metainfo::RawBlock;

/// Each variant has one test that provokes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerMisbehaved {
    /// `allowed fast` for a piece that does not exist. BEP 6.
    #[error("allowed fast for piece {0}, which does not exist")]
    AllowedFastOutOfRange(u32),
    /// A bitfield of the wrong number of bytes. BEP 3.
    #[error("bitfield of {found} bytes where {expected} belong")]
    BitfieldLength {
        /// ⌈pieces / 8⌉.
        expected: usize,
        /// Bytes that came.
        found: usize,
    },
    /// A bitfield with a bit set behind the last piece. BEP 3.
    #[error("spare bits of the bitfield are set")]
    BitfieldSpareBits,
    /// Too many messages that change nothing: choke and interest flapping, cancels of nothing,
    /// repeated haves and bitfields, keep-alives by the hundred, messages unknown to us. BEP 3 has
    /// no such use.
    #[error("flood of control messages")]
    ControlFlood,
    /// `lt_donthave` for a piece that does not exist. BEP 54.
    #[error("donthave for piece {0}, which does not exist")]
    DonthaveOutOfRange(u32),
    /// A message of BEP 6 though one of the handshakes did not offer it. BEP 6.
    #[error("fast extension message without the fast extension")]
    FastWithoutHandshake,
    /// `have` for a piece that does not exist. BEP 3.
    #[error("have for piece {0}, which does not exist")]
    HaveOutOfRange(u32),
    /// A piece of metadata of another size than the peer claimed. BEP 9.
    #[error("metadata of {found} bytes where {claimed} were claimed")]
    MetadataSize {
        /// As its extended handshake said.
        claimed: u32,
        /// As its message said.
        found: u32,
    },
    /// A block that we asked for with another length. BEP 3.
    #[error("block {index}:{begin} of {found} bytes where {expected} were asked for")]
    PieceLength {
        /// Piece index as sent.
        index: u32,
        /// Offset as sent.
        begin: u32,
        /// Bytes asked for.
        expected: u32,
        /// Bytes that came.
        found: usize,
    },
    /// Messages of `ut_pex` much more often than once a minute. BEP 11.
    #[error("flood of peer exchange")]
    PexFlood,
    /// `reject` again and again for blocks that we never asked for. BEP 6.
    #[error("flood of rejects of requests never made")]
    RejectFlood,
    /// Requests went on above the queue's bound, while choked, doubled, or for crumbs of blocks.
    /// BEP 3, 10 (`reqq`).
    #[error("flood of requests")]
    RequestFlood,
    /// A request that no block of the torrent fits, or longer than 2^14. BEP 3.
    #[error("request for {}:{}+{}, which is no block here", .0.index, .0.begin, .0.length)]
    RequestOutOfRange(RawBlock),
    /// `suggest` for a piece that does not exist. BEP 6.
    #[error("suggest for piece {0}, which does not exist")]
    SuggestOutOfRange(u32),
    /// Blocks that we never requested, above the grace for late ones. BEP 3, 6.
    #[error("unrequested block {index}:{begin}")]
    UnrequestedBlock {
        /// Piece index as sent.
        index: u32,
        /// Offset as sent.
        begin: u32,
    },
}
