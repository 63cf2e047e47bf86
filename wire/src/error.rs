//! Ways in which bytes from a peer are nonsense.
//!
//! What is legal to decode and illegal to do is not said here: that is the swarm's vocabulary.

use crate::limits::{
    BITFIELD_LENGTH_MAX, EXTENDED_LENGTH_MAX, MESSAGE_LENGTH_MAX, METADATA_SIZE_MAX,
    PIECE_MESSAGE_LENGTH_MAX,
};

/// Why bytes make no message. The connection cannot go on: the decoder would say it again.
///
/// Lengths are length prefixes (id and body, without the four bytes of the prefix itself), but
/// for bitfields, where they are the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The length prefix is above [`MESSAGE_LENGTH_MAX`], whatever the id may be.
    #[error("a message of {found} bytes is announced, more than {MESSAGE_LENGTH_MAX}")]
    MessageTooLong {
        /// Bytes announced.
        found: u32,
    },
    /// A message that always has the same length has another.
    #[error("message {id} is {found} bytes long instead of {expected}")]
    FixedLength {
        /// Which message.
        id: u8,
        /// Bytes it always has.
        expected: usize,
        /// Bytes announced.
        found: usize,
    },
    /// A `piece` without its whole head, or with more than one block.
    #[error("a piece message is {found} bytes long, not 9 to {PIECE_MESSAGE_LENGTH_MAX}")]
    PieceLength {
        /// Bytes announced.
        found: usize,
    },
    /// A `bitfield` of another length than the torrent's number of pieces asks for.
    #[error("a bitfield is {found} bytes long, this torrent needs {expected}")]
    BitfieldLength {
        /// Bytes of payload that the torrent needs.
        expected: usize,
        /// Bytes of payload announced.
        found: usize,
    },
    /// A `bitfield` longer than any torrent's, while the number of pieces is not known.
    #[error("a bitfield is {found} bytes long, more than {BITFIELD_LENGTH_MAX}")]
    BitfieldTooLong {
        /// Bytes of payload announced.
        found: usize,
    },
    /// An `extended` message without its second id, or too long.
    #[error("an extended message is {found} bytes long, not 2 to {EXTENDED_LENGTH_MAX}")]
    ExtendedLength {
        /// Bytes announced.
        found: usize,
    },
}

/// Why the first bytes of a connection are no handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The first 20 bytes are not `19 | "BitTorrent protocol"`.
    #[error("the other end does not speak BitTorrent (it may want encryption)")]
    Protocol,
}

/// Why a payload is no extended handshake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExtendedHandshakeError {
    /// It is not bencoded.
    #[error("the extended handshake is not bencoded: {0}")]
    Bencode(#[from] shoal_bencode::ParseError),
    /// It is bencoded, and not a dictionary.
    #[error("the extended handshake is not a dictionary")]
    NotADictionary,
}

/// Why the payload of an extension's message is nonsense. BEP 10 knows no answer to it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExtensionError {
    /// It should be bencoded, and is not.
    #[error("the message is not bencoded: {0}")]
    Bencode(#[from] shoal_bencode::ParseError),
    /// It is bencoded, and not a dictionary.
    #[error("the message is not a dictionary")]
    NotADictionary,
    /// It is too short, or not as long as it always is.
    #[error("{found} bytes are no message of this extension")]
    Length {
        /// Bytes of payload.
        found: usize,
    },
    /// A number that names a kind names none.
    #[error("kind {found} is not known")]
    Kind {
        /// As sent.
        found: u8,
    },
}

/// Why a payload is no message of `ut_metadata`. BEP 9.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataMessageError {
    /// It does not begin with a bencoded value.
    #[error("the metadata message is not bencoded: {0}")]
    Bencode(#[from] shoal_bencode::ParseError),
    /// It is bencoded, and not a dictionary.
    #[error("the metadata message is not a dictionary")]
    NotADictionary,
    /// A key is missing, or of the wrong kind.
    #[error("the metadata message is incomplete: {0}")]
    Field(#[from] shoal_bencode::FieldError),
    /// None of request, data, reject. BEP 9: must be ignored.
    #[error("metadata message of unknown type {0}")]
    UnknownType(i64),
    /// There can be no such piece.
    #[error("metadata piece {0} does not exist")]
    Piece(i64),
    /// No metadata is so long.
    #[error("metadata of {0} bytes is not between 1 and {METADATA_SIZE_MAX}")]
    TotalSize(i64),
    /// The bytes behind the dictionary are not as many as the piece has.
    #[error("a metadata piece is {found} bytes long instead of {expected}")]
    Length {
        /// Bytes that the piece has.
        expected: usize,
        /// Bytes that came.
        found: usize,
    },
}
