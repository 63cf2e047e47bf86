//! Messages to bytes. BEP 3 "peer messages", BEP 6, BEP 10.
//!
//! The head of a `piece` can be had apart, so that its data goes to the socket uncopied.

use bytes::BufMut;
use shoal_metainfo::RawBlock;

use crate::message::{Message, id};

/// Bytes of a `piece` before its data.
pub const PIECE_HEAD_LENGTH: usize = 13;

/// Appends the message to `out`, with its length prefix; [`length`] bytes.
///
/// ```
/// use shoal_wire::{Message, encode};
/// let mut out = Vec::new();
/// encode(&Message::Have { index: 7 }, &mut out);
/// assert_eq!(out, [0, 0, 0, 5, 4, 0, 0, 0, 7]);
/// ```
///
/// Source: BEP 3, "peer messages"; BEP 6; BEP 10.
pub fn encode<B: BufMut>(message: &Message, out: &mut B) {
    match message {
        Message::KeepAlive => out.put_slice(&[0; 4]),
        Message::Choke => bare(out, id::CHOKE),
        Message::Unchoke => bare(out, id::UNCHOKE),
        Message::Interested => bare(out, id::INTERESTED),
        Message::NotInterested => bare(out, id::NOT_INTERESTED),
        Message::Have { index } => indexed(out, id::HAVE, *index),
        Message::Bitfield(bits) => {
            out.put_slice(&bitfield_head(bits.len()));
            out.put_slice(bits);
        }
        Message::Request(block) => blocked(out, id::REQUEST, *block),
        Message::Piece { index, begin, data } => {
            out.put_slice(&piece_head(*index, *begin, length_u32(data.len())));
            out.put_slice(data);
        }
        Message::Cancel(block) => blocked(out, id::CANCEL, *block),
        Message::Port(port) => {
            let [high, low] = port.to_be_bytes();
            out.put_slice(&[0, 0, 0, 3, id::PORT, high, low]);
        }
        Message::Suggest { index } => indexed(out, id::SUGGEST, *index),
        Message::HaveAll => bare(out, id::HAVE_ALL),
        Message::HaveNone => bare(out, id::HAVE_NONE),
        Message::Reject(block) => blocked(out, id::REJECT, *block),
        Message::AllowedFast { index } => indexed(out, id::ALLOWED_FAST, *index),
        Message::Extended {
            id: extension,
            payload,
        } => {
            out.put_slice(&head(2 + payload.len(), id::EXTENDED));
            out.put_u8(*extension);
            out.put_slice(payload);
        }
    }
}

/// Bytes of the message on the wire, with its length prefix.
#[must_use]
pub fn length(message: &Message) -> usize {
    4 + match message {
        Message::KeepAlive => 0,
        Message::Choke
        | Message::Unchoke
        | Message::Interested
        | Message::NotInterested
        | Message::HaveAll
        | Message::HaveNone => 1,
        Message::Port(_) => 3,
        Message::Have { .. } | Message::Suggest { .. } | Message::AllowedFast { .. } => 5,
        Message::Request(_) | Message::Cancel(_) | Message::Reject(_) => 13,
        Message::Bitfield(bits) => 1 + bits.len(),
        Message::Piece { data, .. } => 9 + data.len(),
        Message::Extended { payload, .. } => 2 + payload.len(),
    }
}

/// What goes before the bits of a `bitfield`; `length` is theirs, bytes.
///
/// Shape: `1 + length: u32 | 5`, big-endian. Source: BEP 3, "bitfield".
#[must_use]
pub fn bitfield_head(length: usize) -> [u8; 5] {
    head(1 + length, id::BITFIELD)
}

/// What goes before the data of a `piece`; `length` is the data's, bytes.
///
/// Shape: `9 + length: u32 | 7 | index: u32 | begin: u32`, big-endian. Source: BEP 3, "piece".
#[must_use]
pub fn piece_head(index: u32, begin: u32, length: u32) -> [u8; PIECE_HEAD_LENGTH] {
    let mut bytes = [0; PIECE_HEAD_LENGTH];
    bytes[..4].copy_from_slice(&(9 + length).to_be_bytes());
    bytes[4] = id::PIECE;
    bytes[5..9].copy_from_slice(&index.to_be_bytes());
    bytes[9..].copy_from_slice(&begin.to_be_bytes());
    bytes
}

fn head(length: usize, id: u8) -> [u8; 5] {
    let [a, b, c, d] = length_u32(length).to_be_bytes();
    [a, b, c, d, id]
}

fn bare<B: BufMut>(out: &mut B, id: u8) {
    out.put_slice(&head(1, id));
}

fn indexed<B: BufMut>(out: &mut B, id: u8, index: u32) {
    let mut bytes = [0; 9];
    bytes[..5].copy_from_slice(&head(5, id));
    bytes[5..].copy_from_slice(&index.to_be_bytes());
    out.put_slice(&bytes);
}

fn blocked<B: BufMut>(out: &mut B, id: u8, block: RawBlock) {
    let mut bytes = [0; 17];
    bytes[..5].copy_from_slice(&head(13, id));
    bytes[5..9].copy_from_slice(&block.index.to_be_bytes());
    bytes[9..13].copy_from_slice(&block.begin.to_be_bytes());
    bytes[13..].copy_from_slice(&block.length.to_be_bytes());
    out.put_slice(&bytes);
}

/// Our own payloads lie far below 4 GiB.
fn length_u32(length: usize) -> u32 {
    u32::try_from(length).expect("a message of ours is shorter than 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    const BLOCK: RawBlock = RawBlock {
        index: 1,
        begin: 0x4000,
        length: 0x0203,
    };
    const BLOCK_BYTES: &[u8] = &[0, 0, 0, 1, 0, 0, 0x40, 0, 0, 0, 2, 3];

    fn check(message: &Message, head: &[u8], rest: &[u8]) {
        let mut out = Vec::new();
        encode(message, &mut out);
        assert_eq!(out, [head, rest].concat(), "{message:?}");
        assert_eq!(length(message), out.len(), "{message:?}");
    }

    #[test]
    fn messages_are_the_bytes_of_the_beps() {
        let index = 0x0102_0304;
        let data = Bytes::from_static(b"spam");
        check(&Message::KeepAlive, &[0, 0, 0, 0], &[]);
        check(&Message::Choke, &[0, 0, 0, 1, 0], &[]);
        check(&Message::Unchoke, &[0, 0, 0, 1, 1], &[]);
        check(&Message::Interested, &[0, 0, 0, 1, 2], &[]);
        check(&Message::NotInterested, &[0, 0, 0, 1, 3], &[]);
        check(&Message::Have { index }, &[0, 0, 0, 5, 4], &[1, 2, 3, 4]);
        check(&Message::Bitfield(data.clone()), &[0, 0, 0, 5, 5], b"spam");
        check(&Message::Request(BLOCK), &[0, 0, 0, 13, 6], BLOCK_BYTES);
        let piece = Message::Piece {
            index,
            begin: 5,
            data: data.clone(),
        };
        check(&piece, &[0, 0, 0, 13, 7, 1, 2, 3, 4, 0, 0, 0, 5], b"spam");
        check(&Message::Cancel(BLOCK), &[0, 0, 0, 13, 8], BLOCK_BYTES);
        check(&Message::Port(0x1ae1), &[0, 0, 0, 3, 9], &[0x1a, 0xe1]);
        check(
            &Message::Suggest { index },
            &[0, 0, 0, 5, 13],
            &[1, 2, 3, 4],
        );
        check(&Message::HaveAll, &[0, 0, 0, 1, 14], &[]);
        check(&Message::HaveNone, &[0, 0, 0, 1, 15], &[]);
        check(&Message::Reject(BLOCK), &[0, 0, 0, 13, 16], BLOCK_BYTES);
        let fast = Message::AllowedFast { index };
        check(&fast, &[0, 0, 0, 5, 17], &[1, 2, 3, 4]);
        let extended = Message::Extended {
            id: 3,
            payload: data,
        };
        check(&extended, &[0, 0, 0, 6, 20, 3], b"spam");
    }

    #[test]
    fn piece_head_and_data_are_the_whole_message() {
        let data = Bytes::from(vec![7; 16_384]);
        let mut whole = Vec::new();
        let message = Message::Piece {
            index: 70_000,
            begin: 32_768,
            data: data.clone(),
        };
        encode(&message, &mut whole);
        assert_eq!(
            whole,
            [&piece_head(70_000, 32_768, 16_384)[..], &data].concat()
        );
    }
}
