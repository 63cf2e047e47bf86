//! `ut_metadata`: pieces of a torrent's `info` from peer to peer. BEP 9 "extension message".
//!
//! A dictionary, and behind it, in `data`, the raw bytes. What says which bytes these are is exact:
//! a piece that is not the one it claims to be is no message. Keys that nobody knows are passed
//! over. Whether the bytes are true is not known here: that is seen when all of them are there.

use bytes::{BufMut, Bytes, BytesMut};
use shoal_bencode::{Mode, Options, Value, parse_prefix};

use crate::error::MetadataMessageError;
use crate::limits::METADATA_SIZE_MAX;
use crate::message::Message;

/// Bytes of every piece of metadata but the last. Source: BEP 9, "16KiB".
pub const METADATA_PIECE_LENGTH: u32 = 16 << 10;

const REQUEST: i64 = 0;
const DATA: i64 = 1;
const REJECT: i64 = 2;

/// One message of `ut_metadata`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetadataMessage {
    /// 0: the sender asks for a piece.
    Request {
        /// From zero.
        piece: u32,
    },
    /// 1: a piece.
    Data {
        /// From zero; it lies inside `total_size`.
        piece: u32,
        /// Bytes of the whole metadata; 1 to [`METADATA_SIZE_MAX`].
        total_size: u32,
        /// Exactly as many as the piece has: [`METADATA_PIECE_LENGTH`], fewer in the last.
        data: Bytes,
    },
    /// 2: the sender has no metadata, or has given enough of it.
    Reject {
        /// As it was asked for.
        piece: u32,
    },
}

impl MetadataMessage {
    /// Reads the payload of an extended message that came under our number for `ut_metadata`.
    ///
    /// # Errors
    /// [`MetadataMessageError`]; of an unknown type BEP 9 says that it must be ignored.
    ///
    /// Source: BEP 9, "extension message".
    pub fn decode(payload: &Bytes) -> Result<Self, MetadataMessageError> {
        let options = Options {
            mode: Mode::Lenient,
            ..Options::wire()
        };
        let (tree, end) = parse_prefix(payload, options)?;
        let dict = tree.root().as_dict();
        let dict = dict.ok_or(MetadataMessageError::NotADictionary)?;
        let kind = dict.int("msg_type")?;
        if !(REQUEST..=REJECT).contains(&kind) {
            return Err(MetadataMessageError::UnknownType(kind));
        }
        let piece = dict.int("piece")?;
        let piece = u32::try_from(piece).map_err(|_| MetadataMessageError::Piece(piece))?;
        match kind {
            REQUEST => Ok(Self::Request { piece }),
            REJECT => Ok(Self::Reject { piece }),
            _ => {
                let size = dict.int("total_size")?;
                let total_size = u32::try_from(size)
                    .ok()
                    .filter(|size| (1..=METADATA_SIZE_MAX).contains(size))
                    .ok_or(MetadataMessageError::TotalSize(size))?;
                let expected = metadata_piece_length(total_size, piece)
                    .ok_or_else(|| MetadataMessageError::Piece(piece.into()))?;
                let data = payload.slice(end..);
                if data.len() != expected {
                    let found = data.len();
                    return Err(MetadataMessageError::Length { expected, found });
                }
                Ok(Self::Data {
                    piece,
                    total_size,
                    data,
                })
            }
        }
    }

    /// The payload of the extended message; the dictionary is canonical.
    ///
    /// Source: BEP 9, "extension message".
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let head = |kind: i64, piece: u32, total_size: Option<u32>| {
            let fields = [
                ("msg_type", Some(Value::from(kind))),
                ("piece", Some(Value::from(i64::from(piece)))),
                (
                    "total_size",
                    total_size.map(|size| Value::from(i64::from(size))),
                ),
            ];
            let present = fields
                .into_iter()
                .filter_map(|(key, value)| Some((key, value?)));
            Value::dict(present).encode()
        };
        match self {
            Self::Request { piece } => head(REQUEST, *piece, None).into(),
            Self::Reject { piece } => head(REJECT, *piece, None).into(),
            Self::Data {
                piece,
                total_size,
                data,
            } => {
                let head = head(DATA, *piece, Some(*total_size));
                let mut payload = BytesMut::with_capacity(head.len() + data.len());
                payload.put_slice(&head);
                payload.put_slice(data);
                payload.freeze()
            }
        }
    }

    /// The whole message, under the number that its receiver gave to `ut_metadata`.
    #[must_use]
    pub fn message(&self, id: u8) -> Message {
        Message::Extended {
            id,
            payload: self.encode(),
        }
    }
}

/// How many pieces metadata of `size` bytes has.
#[must_use]
pub fn metadata_pieces(size: u32) -> u32 {
    size.div_ceil(METADATA_PIECE_LENGTH)
}

/// Bytes of one piece of metadata of `size` bytes; `None`: there is no such piece.
#[must_use]
pub fn metadata_piece_length(size: u32, piece: u32) -> Option<usize> {
    let begin = piece.checked_mul(METADATA_PIECE_LENGTH)?;
    let rest = size.checked_sub(begin).filter(|&rest| rest > 0)?;
    Some(rest.min(METADATA_PIECE_LENGTH) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(payload: &[u8]) -> Result<MetadataMessage, MetadataMessageError> {
        MetadataMessage::decode(&Bytes::copy_from_slice(payload))
    }

    #[test]
    fn messages_of_bep_9_are_read_and_written() {
        let data = Bytes::from(vec![b'x'; 16 << 10]);
        let mut piece = b"d8:msg_typei1e5:piecei0e10:total_sizei34256ee".to_vec();
        piece.extend_from_slice(&data);
        let total_size = 34_256;
        let data = MetadataMessage::Data {
            piece: 0,
            total_size,
            data,
        };
        for (payload, message) in [
            (
                &b"d8:msg_typei0e5:piecei0ee"[..],
                MetadataMessage::Request { piece: 0 },
            ),
            (&piece, data),
            (
                b"d8:msg_typei2e5:piecei7ee",
                MetadataMessage::Reject { piece: 7 },
            ),
        ] {
            assert_eq!(decode(payload), Ok(message.clone()));
            assert_eq!(message.encode(), payload);
            let whole = message.message(3);
            let payload = Bytes::copy_from_slice(payload);
            assert_eq!(whole, Message::Extended { id: 3, payload });
        }
    }

    #[test]
    fn keys_that_nobody_knows_and_any_order_are_taken() {
        let request = MetadataMessage::Request { piece: 2 };
        assert_eq!(
            decode(b"d5:piecei2e8:msg_typei0e1:xlee"),
            Ok(request.clone())
        );
        // Some add the size to a request, some a byte or two.
        let odd = b"d8:msg_typei0e5:piecei2e10:total_sizei-5eexx";
        assert_eq!(decode(odd), Ok(request));
    }

    #[test]
    fn piece_that_is_not_what_it_claims_is_refused() {
        let check = |head: &str, length: usize, expected: MetadataMessageError| {
            let payload = [head.as_bytes(), &vec![0; length]].concat();
            assert_eq!(decode(&payload), Err(expected), "{head} and {length} bytes");
        };
        let length = |expected, found| MetadataMessageError::Length { expected, found };
        let head = |piece: &str, size: &str| {
            format!("d8:msg_typei1e5:piecei{piece}e10:total_sizei{size}ee")
        };
        check(&head("0", "20000"), 16_383, length(16_384, 16_383));
        check(&head("0", "20000"), 16_385, length(16_384, 16_385));
        check(&head("1", "20000"), 16_384, length(3_616, 16_384));
        check(&head("0", "5"), 0, length(5, 0));
        check(&head("2", "20000"), 1, MetadataMessageError::Piece(2));
        check(&head("1", "16384"), 0, MetadataMessageError::Piece(1));
        check(&head("-1", "20000"), 1, MetadataMessageError::Piece(-1));
        let high = i64::from(u32::MAX) + 1;
        check(
            &head("4294967296", "5"),
            5,
            MetadataMessageError::Piece(high),
        );
        let last = MetadataMessageError::Piece(i64::from(u32::MAX));
        check(&head("4294967295", "5"), 5, last);
        for size in [0, -1, i64::from(METADATA_SIZE_MAX) + 1, i64::MAX] {
            let expected = MetadataMessageError::TotalSize(size);
            check(&head("0", &size.to_string()), 1, expected);
        }
    }

    #[test]
    fn what_lacks_its_keys_is_refused() {
        use MetadataMessageError as E;
        assert_eq!(decode(b"i1e"), Err(E::NotADictionary));
        assert_eq!(decode(b"d8:msg_typei3e5:piecei0ee"), Err(E::UnknownType(3)));
        assert_eq!(decode(b"d8:msg_typei-1ee"), Err(E::UnknownType(-1)));
        for payload in [
            "de",
            "d5:piecei0ee",
            "d8:msg_typei0ee",
            "d8:msg_type1:05:piecei0ee",
            "d8:msg_typei0e5:piece1:0e",
            "d8:msg_typei1e5:piecei0eex",
        ] {
            let found = decode(payload.as_bytes());
            assert!(matches!(found, Err(E::Field(_))), "{payload}: {found:?}");
        }
        for payload in ["", "d", "d8:msg_type", "GET /"] {
            let found = decode(payload.as_bytes());
            assert!(matches!(found, Err(E::Bencode(_))), "{payload}: {found:?}");
        }
    }

    #[test]
    fn pieces_cover_the_metadata() {
        for size in [1, 16_383, 16_384, 16_385, METADATA_SIZE_MAX] {
            let pieces = metadata_pieces(size);
            let lengths = (0..pieces).filter_map(|piece| metadata_piece_length(size, piece));
            assert_eq!(lengths.sum::<usize>(), size as usize, "{size}");
            assert_eq!(metadata_piece_length(size, pieces), None, "{size}");
        }
    }
}
