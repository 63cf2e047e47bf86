//! Small bencoded messages, and lines full of peer messages. BEP 3, 5, 23.

use bytes::{Bytes, BytesMut};
use fastrand::Rng;
use shoal_bencode::Value;
use shoal_metainfo::{BLOCK_LENGTH, RawBlock};
use shoal_wire::{Message, encode};

use crate::random_bytes;

/// A tracker's answer with so many compact peers.
#[must_use]
pub fn tracker_answer(peers: usize, seed: u64) -> Value<'static> {
    let peers = random_bytes(peers * 6, &mut Rng::with_seed(seed));
    Value::dict([
        ("complete", Value::from(120)),
        ("incomplete", Value::from(345)),
        ("interval", Value::from(1_800)),
        ("peers", Value::from(peers)),
    ])
}

/// A query of the kind that fills the DHT: four keys, one of them a dictionary.
#[must_use]
pub fn ping() -> Value<'static> {
    Value::dict([
        (
            "a",
            Value::dict([("id", Value::from(b"abcdefghij0123456789"))]),
        ),
        ("q", Value::from("ping")),
        ("t", Value::from(b"aa")),
        ("y", Value::from("q")),
    ])
}

/// Whole blocks.
#[must_use]
pub fn pieces(count: u32, seed: u64) -> Vec<Message> {
    let data = random_bytes(BLOCK_LENGTH as usize, &mut Rng::with_seed(seed));
    let data = Bytes::from(data);
    let block = |number: u32| Message::Piece {
        index: number / 16,
        begin: number % 16 * BLOCK_LENGTH,
        data: data.clone(),
    };
    (0..count).map(block).collect()
}

/// Requests for whole blocks.
#[must_use]
pub fn requests(count: u32) -> Vec<Message> {
    let request = |number: u32| {
        Message::Request(RawBlock {
            index: number / 16,
            begin: number % 16 * BLOCK_LENGTH,
            length: BLOCK_LENGTH,
        })
    };
    (0..count).map(request).collect()
}

/// As many `have` as that.
#[must_use]
pub fn haves(count: u32) -> Vec<Message> {
    (0..count).map(|index| Message::Have { index }).collect()
}

/// The bytes of these messages, one behind the other.
#[must_use]
pub fn line(messages: &[Message]) -> BytesMut {
    let mut line = BytesMut::new();
    messages
        .iter()
        .for_each(|message| encode(message, &mut line));
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use shoal_wire::Decoder;

    #[test]
    fn line_decodes_to_what_was_written() {
        for messages in [pieces(40, 1), requests(40), haves(40)] {
            let mut line = line(&messages);
            let mut decoder = Decoder::new(None);
            for message in messages {
                assert_eq!(decoder.decode(&mut line), Ok(Some(message)));
            }
            assert!(line.is_empty());
        }
    }
}
