//! Bytes to messages. BEP 3 "peer messages", BEP 6, BEP 10.
//!
//! Incremental and without copies: payloads are slices of the receive buffer. A length is judged
//! before anything is kept for it, so no peer can make us hold more than
//! [`Decoder::buffer_length_max`]. Knows nothing of what a peer may say when.

use bytes::{Buf, Bytes, BytesMut};
use shoal_metainfo::RawBlock;

use crate::error::DecodeError;
use crate::limits::{
    BITFIELD_LENGTH_MAX, EXTENDED_LENGTH_MAX, MESSAGE_LENGTH_MAX, PIECE_MESSAGE_LENGTH_MAX,
};
use crate::message::{Message, id};

/// Bytes of the length prefix.
const PREFIX: usize = 4;

/// Takes messages off the front of one connection's receive buffer, behind the handshake.
///
/// ```
/// use bytes::BytesMut;
/// use shoal_wire::{Decoder, Message};
/// let mut decoder = Decoder::new(None);
/// let mut buffer = BytesMut::from(&[0, 0, 0, 5, 4, 0, 0][..]);
/// assert_eq!(decoder.decode(&mut buffer), Ok(None));
/// assert_eq!(decoder.needs(&buffer), 2);
/// buffer.extend_from_slice(&[0, 7]);
/// assert_eq!(decoder.decode(&mut buffer), Ok(Some(Message::Have { index: 7 })));
/// ```
#[derive(Debug, Clone)]
pub struct Decoder {
    bitfield_length: Option<usize>,
    /// Bytes of an unknown message that are still to be dropped.
    skip: usize,
    /// Unknown messages dropped since they were last counted.
    dropped: u32,
}

/// What stands at the front of the buffer.
enum Front {
    /// Not enough to judge; so many bytes more will do.
    Unclear(usize),
    KeepAlive,
    /// Its length is right for its id; `length` is the prefix, at least 1.
    Known {
        id: u8,
        length: usize,
    },
    Unknown {
        length: usize,
    },
}

impl Decoder {
    /// `bitfield_length` is the payload of this torrent's bitfield in bytes, `None` while the
    /// number of pieces is not known.
    #[must_use]
    pub fn new(bitfield_length: Option<usize>) -> Self {
        Self {
            bitfield_length,
            skip: 0,
            dropped: 0,
        }
    }

    /// Tells the length of the bitfield as soon as the number of pieces becomes known, bytes.
    pub fn set_bitfield_length(&mut self, bitfield_length: usize) {
        self.bitfield_length = Some(bitfield_length);
    }

    /// Takes one message off the front; `None` when more bytes are needed.
    ///
    /// Unknown messages are dropped as they come, whole or not. A payload keeps the whole
    /// allocation behind `buffer` alive: copy it to keep it for long.
    ///
    /// # Errors
    /// [`DecodeError`], as soon as the bytes that prove it are there. Nothing is taken off then,
    /// and it comes again at every call.
    ///
    /// Source: BEP 3, "peer messages"; BEP 6; BEP 10.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Message>, DecodeError> {
        loop {
            let dropped = self.skip.min(buffer.len());
            if dropped > 0 {
                buffer.advance(dropped);
                self.skip -= dropped;
            }
            match self.front(buffer)? {
                Front::Unclear(_) => return Ok(None),
                Front::KeepAlive => {
                    buffer.advance(PREFIX);
                    return Ok(Some(Message::KeepAlive));
                }
                Front::Unknown { length } => {
                    self.skip = PREFIX + length;
                    let further = length / PIECE_MESSAGE_LENGTH_MAX;
                    // At most 64: no message is longer than a mebibyte.
                    let count = 1 + u32::try_from(further).unwrap_or(u32::MAX - 1);
                    self.dropped = self.dropped.saturating_add(count);
                }
                Front::Known { length, .. } if buffer.len() < PREFIX + length => return Ok(None),
                Front::Known { id, length } => return Ok(Some(take(id, length, buffer))),
            }
        }
    }

    /// How many unknown messages were dropped since this was last asked, a long one counted as one
    /// more for each block that would fit in. A few are a newer client, a flood is work for no one.
    pub fn take_dropped(&mut self) -> u32 {
        std::mem::take(&mut self.dropped)
    }

    /// How many bytes must be added to `buffer` before [`decode`](Self::decode) can get on.
    ///
    /// 0 when a message (or an error) is there already. Together with what `buffer` holds never
    /// more than [`buffer_length_max`](Self::buffer_length_max).
    #[must_use]
    pub fn needs(&self, buffer: &[u8]) -> usize {
        let Some(rest) = buffer.get(self.skip..) else {
            return (self.skip - buffer.len()).min(EXTENDED_LENGTH_MAX);
        };
        match self.front(rest) {
            Ok(Front::Unclear(more)) => more,
            Ok(Front::Known { length, .. }) => (PREFIX + length).saturating_sub(rest.len()),
            Ok(Front::KeepAlive | Front::Unknown { .. }) | Err(_) => 0,
        }
    }

    /// The longest message that is ever waited for, with its prefix, bytes.
    #[must_use]
    pub fn buffer_length_max(&self) -> usize {
        let bitfield = 1 + self.bitfield_length.unwrap_or(BITFIELD_LENGTH_MAX);
        PREFIX
            + bitfield
                .max(PIECE_MESSAGE_LENGTH_MAX)
                .max(EXTENDED_LENGTH_MAX)
    }

    fn front(&self, buffer: &[u8]) -> Result<Front, DecodeError> {
        let Some(prefix) = buffer.first_chunk::<PREFIX>() else {
            return Ok(Front::Unclear(PREFIX - buffer.len()));
        };
        let found = u32::from_be_bytes(*prefix);
        let length = found as usize;
        if length == 0 {
            return Ok(Front::KeepAlive);
        }
        if length > MESSAGE_LENGTH_MAX {
            return Err(DecodeError::MessageTooLong { found });
        }
        let Some(&id) = buffer.get(PREFIX) else {
            return Ok(Front::Unclear(1));
        };
        if self.is_known(id, length)? {
            Ok(Front::Known { id, length })
        } else {
            Ok(Front::Unknown { length })
        }
    }

    /// Whether we speak `id`; an error when the length prefix is none that `id` may have.
    fn is_known(&self, id: u8, found: usize) -> Result<bool, DecodeError> {
        if let Some(expected) = id::fixed_length(id) {
            return if found == expected {
                Ok(true)
            } else {
                Err(DecodeError::FixedLength {
                    id,
                    expected,
                    found,
                })
            };
        }
        match id {
            id::PIECE if (9..=PIECE_MESSAGE_LENGTH_MAX).contains(&found) => Ok(true),
            id::PIECE => Err(DecodeError::PieceLength { found }),
            id::EXTENDED if (2..=EXTENDED_LENGTH_MAX).contains(&found) => Ok(true),
            id::EXTENDED => Err(DecodeError::ExtendedLength { found }),
            id::BITFIELD => match (self.bitfield_length, found - 1) {
                (Some(expected), found) if found != expected => {
                    Err(DecodeError::BitfieldLength { expected, found })
                }
                (None, found) if found > BITFIELD_LENGTH_MAX => {
                    Err(DecodeError::BitfieldTooLong { found })
                }
                _ => Ok(true),
            },
            _ => Ok(false),
        }
    }
}

/// Takes the message off: `length` is right for `id`, and prefix and body are in `buffer`.
fn take(id: u8, length: usize, buffer: &mut BytesMut) -> Message {
    match id {
        id::PIECE => {
            let (index, begin) = (u32_at(buffer, 5), u32_at(buffer, 9));
            let data = payload(buffer, 13, length - 9);
            return Message::Piece { index, begin, data };
        }
        id::BITFIELD => return Message::Bitfield(payload(buffer, 5, length - 1)),
        id::EXTENDED => {
            let id = buffer[5];
            let payload = payload(buffer, 6, length - 2);
            return Message::Extended { id, payload };
        }
        _ => {}
    }
    let message = fixed(id, buffer);
    buffer.advance(PREFIX + length);
    message
}

/// Reads a message of fixed length at the front of `bytes`.
fn fixed(id: u8, bytes: &[u8]) -> Message {
    match id {
        id::CHOKE => Message::Choke,
        id::UNCHOKE => Message::Unchoke,
        id::INTERESTED => Message::Interested,
        id::NOT_INTERESTED => Message::NotInterested,
        id::HAVE => Message::Have {
            index: u32_at(bytes, 5),
        },
        id::REQUEST => Message::Request(block(bytes)),
        id::CANCEL => Message::Cancel(block(bytes)),
        id::PORT => Message::Port(u16::from_be_bytes([bytes[5], bytes[6]])),
        id::SUGGEST => Message::Suggest {
            index: u32_at(bytes, 5),
        },
        id::HAVE_ALL => Message::HaveAll,
        id::HAVE_NONE => Message::HaveNone,
        id::REJECT => Message::Reject(block(bytes)),
        id::ALLOWED_FAST => Message::AllowedFast {
            index: u32_at(bytes, 5),
        },
        // `id::fixed_length` names exactly the ids above.
        _ => unreachable!("message {id} has no fixed length"),
    }
}

/// Drops `head` bytes and cuts off the next `length`.
fn payload(buffer: &mut BytesMut, head: usize, length: usize) -> Bytes {
    buffer.advance(head);
    buffer.split_to(length).freeze()
}

/// Shape: `index: u32 | begin: u32 | length: u32`, big-endian, behind prefix and id.
fn block(bytes: &[u8]) -> RawBlock {
    RawBlock {
        index: u32_at(bytes, 5),
        begin: u32_at(bytes, 9),
        length: u32_at(bytes, 13),
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes[at..].first_chunk().expect("the message is whole");
    u32::from_be_bytes(*bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::encode;

    fn message(id: u8, length: usize) -> Vec<u8> {
        let prefix = u32::try_from(length).unwrap().to_be_bytes();
        let mut bytes = prefix.to_vec();
        bytes.push(id);
        bytes.resize(4 + length, 0xa5);
        bytes
    }

    fn first(bitfield: Option<usize>, bytes: &[u8]) -> Result<Option<Message>, DecodeError> {
        Decoder::new(bitfield).decode(&mut BytesMut::from(bytes))
    }

    fn conversation() -> (Vec<Message>, Vec<u8>) {
        let block = |index| RawBlock {
            index,
            begin: 0x0102_0304,
            length: 16_384,
        };
        let messages = vec![
            Message::KeepAlive,
            Message::Bitfield(Bytes::from_static(&[0xf0, 0x80])),
            Message::Extended {
                id: 0,
                payload: Bytes::from_static(b"de"),
            },
            Message::AllowedFast { index: u32::MAX },
            Message::Unchoke,
            Message::Request(block(7)),
            Message::Piece {
                index: 9,
                begin: 16_384,
                data: Bytes::from_static(b"block of bytes"),
            },
            Message::Port(6881),
            Message::Reject(block(8)),
            Message::HaveNone,
        ];
        let mut bytes = Vec::new();
        for message in &messages {
            encode(message, &mut bytes);
        }
        (messages, bytes)
    }

    #[test]
    fn split_at_every_byte_decodes_the_same() {
        let (messages, bytes) = conversation();
        for at in 0..=bytes.len() {
            let mut decoder = Decoder::new(Some(2));
            let mut buffer = BytesMut::new();
            let mut found = Vec::new();
            for part in [&bytes[..at], &bytes[at..]] {
                buffer.extend_from_slice(part);
                while let Some(message) = decoder.decode(&mut buffer).unwrap() {
                    found.push(message);
                }
            }
            assert_eq!(found, messages, "split at {at}");
            assert!(buffer.is_empty());
        }
    }

    #[test]
    fn payload_is_a_slice_of_the_buffer_never_a_copy() {
        let mut buffer = BytesMut::new();
        for id in [id::PIECE, id::BITFIELD, id::EXTENDED] {
            buffer.extend_from_slice(&message(id, 100));
        }
        let base = buffer.as_ptr() as usize;
        let mut decoder = Decoder::new(None);
        for offset in [13, 104 + 5, 208 + 6] {
            let payload = match decoder.decode(&mut buffer).unwrap().unwrap() {
                Message::Piece { data, .. } => data,
                Message::Bitfield(bits) => bits,
                Message::Extended { payload, .. } => payload,
                other => panic!("{other:?}"),
            };
            assert_eq!(payload.as_ptr() as usize, base + offset);
        }
    }

    #[test]
    fn length_above_every_bound_is_refused_at_its_fourth_byte() {
        for found in [u32::MAX, 1 << 31, (1 << 20) + 1] {
            let bytes = found.to_be_bytes();
            assert_eq!(first(None, &bytes[..3]), Ok(None));
            let error = DecodeError::MessageTooLong { found };
            assert_eq!(first(None, &bytes), Err(error));
            assert_eq!(Decoder::new(None).needs(&bytes), 0);
        }
        assert_eq!(first(None, &(1_u32 << 20).to_be_bytes()), Ok(None));
    }

    #[test]
    fn wrong_fixed_length_is_refused_before_the_body() {
        let lengths = [
            (0, 1),
            (1, 1),
            (2, 1),
            (3, 1),
            (4, 5),
            (6, 13),
            (8, 13),
            (9, 3),
            (13, 5),
            (14, 1),
            (15, 1),
            (16, 13),
            (17, 5),
        ];
        for (id, expected) in lengths {
            for found in [expected - 1, expected + 1, 1 << 20] {
                if found == 0 {
                    continue;
                }
                let error = DecodeError::FixedLength {
                    id,
                    expected,
                    found,
                };
                assert_eq!(first(None, &message(id, found)[..5]), Err(error));
            }
            let whole = message(id, expected);
            assert_eq!(first(None, &whole[..whole.len() - 1]), Ok(None));
            assert!(matches!(first(None, &whole), Ok(Some(_))), "id {id}");
        }
    }

    #[test]
    fn piece_without_head_or_above_a_block_is_refused_before_the_body() {
        for found in [1, 8, 9 + 16_384 + 1] {
            let error = DecodeError::PieceLength { found };
            assert_eq!(first(None, &message(id::PIECE, found)[..5]), Err(error));
        }
        for good in [9, 9 + 16_384] {
            assert!(matches!(
                first(None, &message(id::PIECE, good)),
                Ok(Some(_))
            ));
        }
    }

    #[test]
    fn bitfield_of_another_length_than_the_torrents_is_refused_before_the_body() {
        for found in [0, 1, 3, 1000] {
            let error = DecodeError::BitfieldLength { expected: 2, found };
            let bytes = message(id::BITFIELD, 1 + found);
            assert_eq!(first(Some(2), &bytes[..5]), Err(error));
        }
        assert!(matches!(
            first(Some(2), &message(id::BITFIELD, 3)),
            Ok(Some(_))
        ));
    }

    #[test]
    fn bitfield_longer_than_any_torrents_is_refused_before_the_body() {
        let found = BITFIELD_LENGTH_MAX + 1;
        let bytes = message(id::BITFIELD, 1 + found);
        let error = DecodeError::BitfieldTooLong { found };
        assert_eq!(first(None, &bytes[..5]), Err(error));
        let longest = message(id::BITFIELD, found);
        assert!(matches!(first(None, &longest), Ok(Some(_))));
    }

    #[test]
    fn bitfield_is_judged_by_the_length_that_became_known() {
        let mut decoder = Decoder::new(None);
        decoder.set_bitfield_length(1);
        let error = DecodeError::BitfieldLength {
            expected: 1,
            found: 2,
        };
        let bytes = message(id::BITFIELD, 3);
        assert_eq!(decoder.decode(&mut BytesMut::from(&bytes[..])), Err(error));
    }

    #[test]
    fn extended_without_its_second_id_or_too_long_is_refused_before_the_body() {
        for found in [1, EXTENDED_LENGTH_MAX + 1] {
            let error = DecodeError::ExtendedLength { found };
            assert_eq!(first(None, &message(id::EXTENDED, found)[..5]), Err(error));
        }
        for good in [2, EXTENDED_LENGTH_MAX] {
            assert!(matches!(
                first(None, &message(id::EXTENDED, good)),
                Ok(Some(_))
            ));
        }
    }

    #[test]
    fn unknown_message_is_dropped_as_it_comes() {
        let mut bytes = message(21, MESSAGE_LENGTH_MAX);
        encode(&Message::HaveAll, &mut bytes);
        let mut decoder = Decoder::new(None);
        let mut buffer = BytesMut::new();
        let mut found = Vec::new();
        for part in bytes.chunks(1000) {
            buffer.extend_from_slice(part);
            found.extend(decoder.decode(&mut buffer).unwrap());
            assert!(buffer.len() < 5, "{} bytes are held", buffer.len());
        }
        assert_eq!(found, [Message::HaveAll]);
        assert_eq!((decoder.take_dropped(), decoder.take_dropped()), (64, 0));
    }

    #[test]
    fn needs_names_what_is_missing_of_the_front_message() {
        let (mut decoder, bytes) = (Decoder::new(None), message(id::PIECE, 9 + 16_384));
        assert_eq!(decoder.buffer_length_max(), 4 + 1 + BITFIELD_LENGTH_MAX);
        for (held, needs) in [
            (0, 4),
            (3, 1),
            (4, 1),
            (5, 16_392),
            (16_396, 1),
            (16_397, 0),
        ] {
            assert_eq!(decoder.needs(&bytes[..held]), needs, "{held} held");
        }
        let mut unknown = BytesMut::from(&message(99, 1 << 20)[..5]);
        assert_eq!(decoder.decode(&mut unknown), Ok(None));
        assert_eq!(decoder.needs(&unknown), EXTENDED_LENGTH_MAX);
        decoder.set_bitfield_length(2);
        assert_eq!(decoder.buffer_length_max(), 4 + EXTENDED_LENGTH_MAX);
    }

    #[test]
    fn error_stays_and_takes_nothing_off() {
        let mut buffer = BytesMut::from(&message(id::HAVE, 4)[..]);
        let mut decoder = Decoder::new(None);
        let error = decoder.decode(&mut buffer).unwrap_err();
        assert_eq!(buffer.len(), 8);
        assert_eq!(decoder.decode(&mut buffer), Err(error));
        assert_eq!(error.to_string(), "message 4 is 4 bytes long instead of 5");
    }
}
