//! The messages that two peers exchange after the handshake. BEP 3 "peer messages", BEP 6, BEP 10.
//!
//! Numbers are as sent: whether a piece or block exists is not known here, that needs a
//! [`Geometry`](shoal_metainfo::Geometry). Payloads are slices of the receive buffer.

use bytes::Bytes;
use shoal_metainfo::RawBlock;

/// One message, in the order of the numbers that name them on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A length prefix of zero: nothing is said but that the line lives. BEP 3.
    KeepAlive,
    /// 0: the sender will answer no requests. BEP 3; with BEP 6 pending ones get a reject each.
    Choke,
    /// 1: the sender answers requests. BEP 3.
    Unchoke,
    /// 2: the sender would make requests if it were unchoked. BEP 3.
    Interested,
    /// 3: the sender wants nothing that we have. BEP 3.
    NotInterested,
    /// 4: the sender has verified this piece. BEP 3.
    Have {
        /// Piece index as sent.
        index: u32,
    },
    /// 5: what the sender has, as bytes; only as the first message. BEP 3.
    Bitfield(Bytes),
    /// 6: the sender asks for a block. BEP 3.
    Request(RawBlock),
    /// 7: a block. BEP 3.
    Piece {
        /// Piece index as sent.
        index: u32,
        /// Offset inside the piece as sent, bytes.
        begin: u32,
        /// The bytes of the block: a slice of the receive buffer, or of a mapped window.
        data: Bytes,
    },
    /// 8: the sender no longer needs that block. BEP 3.
    Cancel(RawBlock),
    /// 9: the UDP port of the sender's DHT node. BEP 5.
    Port(u16),
    /// 13: the sender would rather be asked for this piece. BEP 6.
    Suggest {
        /// Piece index as sent.
        index: u32,
    },
    /// 14: in place of a bitfield with every bit set. BEP 6.
    HaveAll,
    /// 15: in place of a bitfield with no bit set. BEP 6.
    HaveNone,
    /// 16: the sender will not answer that request. BEP 6.
    Reject(RawBlock),
    /// 17: the sender answers requests for this piece even while it chokes. BEP 6.
    AllowedFast {
        /// Piece index as sent.
        index: u32,
    },
    /// 20: an extension's message; `id` 0 is the extended handshake. BEP 10.
    Extended {
        /// As the receiver numbered it in its own extended handshake; 0 is the handshake itself.
        id: u8,
        /// Everything behind the id.
        payload: Bytes,
    },
}

/// The numbers that name messages on the wire. BEP 3, 5, 6, 10.
pub(crate) mod id {
    pub(crate) const CHOKE: u8 = 0;
    pub(crate) const UNCHOKE: u8 = 1;
    pub(crate) const INTERESTED: u8 = 2;
    pub(crate) const NOT_INTERESTED: u8 = 3;
    pub(crate) const HAVE: u8 = 4;
    pub(crate) const BITFIELD: u8 = 5;
    pub(crate) const REQUEST: u8 = 6;
    pub(crate) const PIECE: u8 = 7;
    pub(crate) const CANCEL: u8 = 8;
    pub(crate) const PORT: u8 = 9;
    pub(crate) const SUGGEST: u8 = 13;
    pub(crate) const HAVE_ALL: u8 = 14;
    pub(crate) const HAVE_NONE: u8 = 15;
    pub(crate) const REJECT: u8 = 16;
    pub(crate) const ALLOWED_FAST: u8 = 17;
    pub(crate) const EXTENDED: u8 = 20;

    /// The length prefix of messages that always have the same.
    pub(crate) fn fixed_length(id: u8) -> Option<usize> {
        match id {
            CHOKE | UNCHOKE | INTERESTED | NOT_INTERESTED | HAVE_ALL | HAVE_NONE => Some(1),
            PORT => Some(3),
            HAVE | SUGGEST | ALLOWED_FAST => Some(5),
            REQUEST | CANCEL | REJECT => Some(13),
            _ => None,
        }
    }
}
