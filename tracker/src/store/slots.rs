//! Which node of a cluster has a key. Source: the specification of Redis Cluster.
//!
//! A key belongs to one of 16,384 slots, by the part of it between braces; masters share the slots.
//! Knows no sockets.

use redis::Value;
use shoal_metainfo::InfoHash;

use crate::limits;

/// Slots of every cluster. Source: the specification.
const SLOTS: usize = 16_384;

/// CRC-16/XMODEM of each byte value, high bits first. Source: the specification, appendix A.
const CRC: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte: u16 = 0;
    while byte < 256 {
        let mut crc = byte << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 {
                crc << 1
            } else {
                crc << 1 ^ 0x1021
            };
            bit += 1;
        }
        table[byte as usize] = crc;
        byte += 1;
    }
    table
};

fn crc(bytes: &[u8]) -> u16 {
    let step = |crc: u16, byte: &u8| {
        let [high, _] = crc.to_be_bytes();
        crc << 8 ^ CRC[usize::from(high ^ byte)]
    };
    bytes.iter().fold(0, step)
}

/// The slot of a torrent: of its info hash in hexadecimal, as its keys have it.
pub(super) fn slot(hexadecimal: &str) -> usize {
    usize::from(crc(hexadecimal.as_bytes())) % SLOTS
}

/// Who has which slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Slots {
    /// One server has all.
    One,
    /// The place of each slot's master; masters are few.
    Of(Vec<u16>),
}

/// A slot that nobody has.
const NOBODY: u16 = u16::MAX;

impl Slots {
    /// The place of the node that has the torrent.
    pub(super) fn node(&self, info_hash: &InfoHash) -> Option<usize> {
        match self {
            Self::One => Some(0),
            Self::Of(owners) => {
                let owner = owners[slot(&info_hash.to_string())];
                (owner != NOBODY).then_some(owner.into())
            }
        }
    }

    /// Reads the answer to `CLUSTER SLOTS`: the slots, and the masters' hosts and ports. A host
    /// without a name is the one that answered.
    pub(super) fn read(answer: &Value, asked: &str) -> Option<(Self, Vec<(String, u16)>)> {
        let Value::Array(ranges) = answer else {
            return None;
        };
        let mut owners = vec![NOBODY; SLOTS];
        let mut masters = Vec::new();
        for range in ranges.iter().take(SLOTS) {
            let Value::Array(range) = range else {
                return None;
            };
            let [
                Value::Int(first),
                Value::Int(last),
                Value::Array(master),
                ..,
            ] = &range[..]
            else {
                return None;
            };
            let [host, Value::Int(port), ..] = &master[..] else {
                return None;
            };
            let host = match host {
                Value::BulkString(host) if !host.is_empty() => std::str::from_utf8(host).ok()?,
                _ => asked,
            };
            let master = (host.to_owned(), u16::try_from(*port).ok()?);
            let place = masters.iter().position(|known| *known == master);
            let place = place.unwrap_or_else(|| {
                masters.push(master);
                masters.len() - 1
            });
            if masters.len() > limits::STORE_NODES_MAX {
                return None;
            }
            let (first, last) = (usize::try_from(*first).ok()?, usize::try_from(*last).ok()?);
            let range = owners.get_mut(first..=last.max(first))?;
            range.fill(u16::try_from(place).ok()?);
        }
        (!masters.is_empty()).then_some((Self::Of(owners), masters))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        // Source: the specification, appendix A: the check value of CRC-16/XMODEM.
        assert_eq!(crc(b"123456789"), 0x31c3);
        assert_eq!(slot("123456789"), 12_739);
    }

    fn range(first: i64, last: i64, host: &str, port: i64) -> Value {
        let host = Value::BulkString(host.as_bytes().to_vec());
        let id = Value::BulkString(b"id".to_vec());
        let node = Value::Array(vec![host, Value::Int(port), id]);
        Value::Array(vec![Value::Int(first), Value::Int(last), node])
    }

    #[test]
    fn each_torrent_is_with_the_master_of_its_slot() {
        let answer = Value::Array(vec![
            range(0, 8_000, "10.0.0.1", 7),
            range(8_001, 16_000, "", 8),
            range(16_001, 16_382, "10.0.0.1", 7),
        ]);
        let (slots, masters) = Slots::read(&answer, "asked").unwrap();
        assert_eq!(
            masters,
            [("10.0.0.1".to_owned(), 7), ("asked".to_owned(), 8)]
        );
        let Slots::Of(owners) = &slots else {
            panic!("not a cluster");
        };
        assert_eq!((owners[8_000], owners[8_001], owners[16_382]), (0, 1, 0));
        assert_eq!(owners[16_383], NOBODY);
        let hash = InfoHash([5; 20]);
        let expect = usize::from(owners[slot(&hash.to_string())]);
        assert_eq!(slots.node(&hash), Some(expect));
        assert_eq!(Slots::One.node(&hash), Some(0));
    }

    #[test]
    fn an_answer_that_is_no_map_is_refused() {
        let port = range(0, 1, "a", 70_000);
        for bad in [
            Value::Nil,
            Value::Array(Vec::new()),
            Value::Array(vec![Value::Int(3)]),
            Value::Array(vec![port]),
            Value::Array(vec![range(0, 16_384, "a", 1)]),
            Value::Array(vec![range(-1, 5, "a", 1)]),
            Value::Array(vec![Value::Array(vec![Value::Int(1), Value::Int(2)])]),
        ] {
            assert_eq!(Slots::read(&bad, "asked"), None, "{bad:?}");
        }
    }
}
