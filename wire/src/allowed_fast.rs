//! The pieces that a peer may request while it is choked. BEP 6 "Allowed Fast".
//!
//! Canonical: both ends compute the same set, so reconnecting gains nothing.

use std::net::Ipv4Addr;

use shoal_hashing::sha1;
use shoal_metainfo::InfoHash;

use crate::limits::ALLOWED_FAST_MAX;

/// The first `k` pieces of the canonical set for the peer at `ip`, in the order they are drawn.
///
/// Fewer when the torrent has fewer pieces than `k`, and never more than [`ALLOWED_FAST_MAX`].
/// The last byte of the address does not count: neighbours share a set.
///
/// Source: BEP 6, "Canonical Allowed-Fast Set Generation Algorithm".
#[must_use]
pub fn allowed_fast_set(ip: Ipv4Addr, info_hash: InfoHash, pieces: u32, k: usize) -> Vec<u32> {
    let k = k.min(ALLOWED_FAST_MAX).min(pieces as usize);
    let [a, b, c, _] = ip.octets();
    let mut seed = [0; 24];
    seed[..3].copy_from_slice(&[a, b, c]);
    seed[4..].copy_from_slice(&info_hash.0);
    let mut set = Vec::with_capacity(k);
    if k == 0 {
        return set;
    }
    let mut digest = sha1(&seed);
    loop {
        let (words, _) = digest.as_chunks::<4>();
        for word in words {
            let index = u32::from_be_bytes(*word) % pieces;
            if !set.contains(&index) {
                set.push(index);
            }
            if set.len() == k {
                return set;
            }
        }
        digest = sha1(&digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IP: Ipv4Addr = Ipv4Addr::new(80, 4, 4, 200);
    const HASH: InfoHash = InfoHash([0xaa; 20]);

    #[test]
    fn set_is_the_one_that_bep_6_prints() {
        let expect = [1059, 431, 808, 1217, 287, 376, 1188, 353, 508];
        assert_eq!(allowed_fast_set(IP, HASH, 1313, 7), expect[..7]);
        assert_eq!(allowed_fast_set(IP, HASH, 1313, 9), expect);
    }

    #[test]
    fn set_is_shared_by_neighbours() {
        let neighbour = Ipv4Addr::new(80, 4, 4, 1);
        assert_eq!(
            allowed_fast_set(neighbour, HASH, 1313, 9),
            allowed_fast_set(IP, HASH, 1313, 9)
        );
    }

    #[test]
    fn set_ends_when_the_torrent_has_few_pieces() {
        for pieces in 0..=40 {
            let mut set = allowed_fast_set(IP, HASH, pieces, usize::MAX);
            set.sort_unstable();
            set.dedup();
            assert_eq!(set.len(), ALLOWED_FAST_MAX.min(pieces as usize));
            assert!(set.iter().all(|&index| index < pieces));
        }
        assert_eq!(allowed_fast_set(IP, HASH, 1313, 0), []);
    }
}
