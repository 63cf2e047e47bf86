//! What the fuzz target and the replay of its corpus run. Not part of the crate's face.
//!
//! Promises: however a stream is split, the same messages and the same verdict come out; the
//! buffer is bounded; what was decoded encodes to bytes that decode to the same.

use bytes::{BufMut, Bytes, BytesMut};

use crate::decode::Decoder;
use crate::encode::{encode, length};
use crate::error::DecodeError;
use crate::extended::{ExtendedHandshake, HANDSHAKE_ID, MetadataMessage, Pex};
use crate::limits::PEX_KEPT_MAX;
use crate::message::Message;

/// Decodes `data` whole and in pieces.
///
/// # Panics
/// When a promise of this module is broken.
pub fn decode(data: &[u8]) {
    for bitfield_length in [None, Some(2)] {
        let whole = whole(data, bitfield_length);
        let mut random = seed(data);
        let at_random = read(data, bitfield_length, |_, max| {
            1 + random_below(&mut random, max)
        });
        assert_eq!(whole, at_random, "split at random");
        let as_needed = read(data, bitfield_length, |needs, _| needs);
        assert_eq!(whole, as_needed, "split as the decoder asks");
        encodes_again(&whole.0);
    }
}

/// Reads `data` as the payload of a PEX message: it is bounded, and what was read encodes to bytes
/// that decode to the same.
///
/// # Panics
/// When a promise of this module is broken.
pub fn pex(data: &[u8]) {
    let Ok(message) = Pex::decode(data) else {
        return;
    };
    let longest = message.added.len().max(message.dropped.len());
    assert!(longest <= PEX_KEPT_MAX, "{longest} addresses kept");
    let payload = message.encode();
    assert_eq!(Pex::decode(&payload), Ok(message));
}

/// Decodes `data` as a message of `ut_metadata`, and what that gave again.
///
/// # Panics
/// When what was read does not write what reads the same, or holds other bytes than those at the
/// end of `data`.
pub fn ut_metadata(data: &[u8]) {
    let payload = Bytes::copy_from_slice(data);
    let Ok(message) = MetadataMessage::decode(&payload) else {
        return;
    };
    if let MetadataMessage::Data { data: piece, .. } = &message {
        assert!(data.ends_with(piece) && !piece.is_empty());
    }
    assert_eq!(MetadataMessage::decode(&message.encode()), Ok(message));
}

type Decoded = (Vec<Message>, Result<(), DecodeError>);

fn whole(data: &[u8], bitfield_length: Option<usize>) -> Decoded {
    let mut decoder = Decoder::new(bitfield_length);
    let mut messages = Vec::new();
    let verdict = drain(&mut decoder, &mut BytesMut::from(data), &mut messages);
    (messages, verdict)
}

/// Plays a socket: `size(needs, room)` says how much comes at a time.
fn read(
    mut data: &[u8],
    bitfield_length: Option<usize>,
    mut size: impl FnMut(usize, usize) -> usize,
) -> Decoded {
    let mut decoder = Decoder::new(bitfield_length);
    let mut buffer = BytesMut::new();
    let mut messages = Vec::new();
    while !data.is_empty() {
        let needs = decoder.needs(&buffer);
        assert!(needs > 0, "nothing came though nothing was missing");
        let held = buffer.len() + needs;
        assert!(held <= decoder.buffer_length_max(), "holds {held} bytes");
        let room = decoder.buffer_length_max() - buffer.len();
        let (now, later) = data.split_at(size(needs, room).min(data.len()));
        buffer.put_slice(now);
        data = later;
        let verdict = drain(&mut decoder, &mut buffer, &mut messages);
        if verdict.is_err() {
            return (messages, verdict);
        }
    }
    (messages, Ok(()))
}

fn drain(
    decoder: &mut Decoder,
    buffer: &mut BytesMut,
    messages: &mut Vec<Message>,
) -> Result<(), DecodeError> {
    loop {
        match decoder.decode(buffer) {
            Ok(Some(message)) => messages.push(message),
            Ok(None) => return Ok(()),
            Err(error) => {
                assert_eq!(decoder.needs(buffer), 0, "waits for bytes behind an error");
                assert_eq!(decoder.decode(buffer), Err(error), "forgets an error");
                return Err(error);
            }
        }
    }
}

fn encodes_again(messages: &[Message]) {
    let mut bytes = BytesMut::new();
    for message in messages {
        let before = bytes.len();
        encode(message, &mut bytes);
        assert_eq!(bytes.len() - before, length(message), "{message:?}");
        if let Message::Extended {
            id: HANDSHAKE_ID,
            payload,
        } = message
            && let Ok(handshake) = ExtendedHandshake::decode(payload)
        {
            let again = ExtendedHandshake::decode(&handshake.encode());
            assert_eq!(again, Ok(handshake));
        }
    }
    assert_eq!(whole(&bytes, None), (messages.to_vec(), Ok(())));
}

/// FNV-1a of the data: the same bytes are always split the same way.
fn seed(data: &[u8]) -> u64 {
    data.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Xorshift. Mostly small numbers, now and then any below `max`: small splits find more.
fn random_below(state: &mut u64, max: usize) -> usize {
    *state |= 1;
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    let bound = if state.is_multiple_of(4) {
        max
    } else {
        max.min(12)
    };
    usize::try_from(*state >> 8).map_or(0, |drawn| drawn % bound)
}
