//! A key's limits and totals as bytes.
//!
//! ```text
//! which limits: u8 | torrents: u32 | peers: u32 | expires: u64
//! uploaded: u64 | downloaded: u64 | gained: u64 | announces: u64       all of it big-endian
//! ```

use crate::policy::{KeyLimits, KeyRecord, KeyTotals};

/// Bytes of a record.
pub(super) const BYTES: usize = 1 + 4 + 4 + 8 + 4 * 8;

const TORRENTS: u8 = 1;
const PEERS: u8 = 2;
const EXPIRES: u8 = 4;

pub(super) fn encode(record: &KeyRecord) -> [u8; BYTES] {
    let KeyRecord { limits, totals } = record;
    let flag = |is: bool, flag: u8| if is { flag } else { 0 };
    let mut bytes = Vec::with_capacity(BYTES);
    bytes.push(
        flag(limits.torrents_max.is_some(), TORRENTS)
            | flag(limits.peers_max.is_some(), PEERS)
            | flag(limits.expires.is_some(), EXPIRES),
    );
    for max in [limits.torrents_max, limits.peers_max] {
        bytes.extend(max.unwrap_or(0).to_be_bytes());
    }
    for number in [
        limits.expires.unwrap_or(0),
        totals.uploaded,
        totals.downloaded,
        totals.gained,
        totals.announces,
    ] {
        bytes.extend(number.to_be_bytes());
    }
    bytes.try_into().expect("each field has its length")
}

pub(super) fn decode(bytes: &[u8]) -> Option<KeyRecord> {
    let (&flags, rest) = bytes.split_first()?;
    let (maxima, rest) = rest.split_at_checked(8)?;
    let (maxima, _) = maxima.as_chunks::<4>();
    let (numbers, []) = rest.as_chunks::<8>() else {
        return None;
    };
    let &[expires, uploaded, downloaded, gained, announces] = numbers else {
        return None;
    };
    if flags & !(TORRENTS | PEERS | EXPIRES) != 0 {
        return None;
    }
    let [torrents, peers] = [0, 1].map(|at: usize| u32::from_be_bytes(maxima[at]));
    let number = u64::from_be_bytes;
    Some(KeyRecord {
        limits: KeyLimits {
            torrents_max: (flags & TORRENTS != 0).then_some(torrents),
            peers_max: (flags & PEERS != 0).then_some(peers),
            expires: (flags & EXPIRES != 0).then_some(number(expires)),
        },
        totals: KeyTotals {
            uploaded: number(uploaded),
            downloaded: number(downloaded),
            gained: number(gained),
            announces: number(announces),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn records_round_trip(
            limits: (Option<u32>, Option<u32>, Option<u64>),
            totals: (u64, u64, u64, u64),
        ) {
            let (torrents_max, peers_max, expires) = limits;
            let (uploaded, downloaded, gained, announces) = totals;
            let record = KeyRecord {
                limits: KeyLimits { torrents_max, peers_max, expires },
                totals: KeyTotals { uploaded, downloaded, gained, announces },
            };
            let bytes = encode(&record);
            prop_assert_eq!(decode(&bytes), Some(record));
            prop_assert_eq!(decode(&bytes[1..]), None);
        }
    }
}
