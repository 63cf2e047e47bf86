//! What the benchmarks measure with: torrents, messages, announces and crowds of peers.
//!
//! Everything is made from a seed, so that two runs measure the same bytes. No generator is inside
//! a measurement, and none is fast for its own sake. `cargo bench -p shoal-bench` runs them all,
//! `cargo bench -p shoal-bench --bench picker` one; the figures are in `docs/performance.md`.
//!
//! | bench | measures |
//! |---|---|
//! | `bencode` | a .torrent of 100,000 files, parsed and encoded; small messages (BEP 3, 5, 23) |
//! | `hashing` | SHA-1 on one core (BEP 3) |
//! | `krpc` | datagrams of the DHT to and from bytes (BEP 5, 33, 44) |
//! | `picker` | choosing blocks: 100,000 pieces, 200 peers; the picker alone, then the swarm |
//! | `registry` | a tracker's answers, from the query to the bytes of the response (BEP 3, 23) |
//! | `wire` | messages to and from bytes, beside a copy of the same bytes (BEP 3) |
//!
//! ```
//! use shoal_bench::{crowd::Crowd, torrent};
//! use shoal_metainfo::Torrent;
//!
//! let bytes = torrent::value(100, 1).encode();
//! assert_eq!(Torrent::parse(&bytes)?.info.files.len(), 100);
//!
//! let mut crowd = Crowd::new(50, 10, 1);
//! crowd.connect();
//! crowd.unchoke();
//! assert_eq!(crowd.download(usize::MAX), 50 * 16);
//! # Ok::<(), shoal_metainfo::TorrentError>(())
//! ```
#![forbid(unsafe_code)]

pub mod announces;
pub mod crowd;
pub mod messages;
pub mod torrent;

use fastrand::Rng;
use shoal_metainfo::{Bitfield, Geometry};

/// Length of a piece in every torrent here, bytes: sixteen blocks.
pub const PIECE_LENGTH: u64 = 1 << 18;

/// A torrent of so many whole pieces.
#[must_use]
pub fn geometry(pieces: u32) -> Geometry {
    Geometry::new(u64::from(pieces) * PIECE_LENGTH, PIECE_LENGTH).expect("within the limits")
}

/// About half of the pieces, each with an even chance.
#[must_use]
pub fn half(pieces: u32, rng: &mut Rng) -> Bitfield {
    let mut payload = random_bytes(pieces.div_ceil(8) as usize, rng);
    if let Some(last) = payload.last_mut() {
        *last &= 0xff << (pieces.next_multiple_of(8) - pieces);
    }
    Bitfield::from_wire(&payload, pieces).expect("its length fits and spare bits are clear")
}

/// So many bytes that do not repeat.
#[must_use]
pub fn random_bytes(count: usize, rng: &mut Rng) -> Vec<u8> {
    let mut bytes = vec![0; count];
    rng.fill(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_has_about_half_and_no_spare_bits() {
        for pieces in [1_001, 1_008] {
            let bits = half(pieces, &mut Rng::with_seed(1));
            assert!((400..600).contains(&bits.count()), "{}", bits.count());
            assert_eq!(bits, half(pieces, &mut Rng::with_seed(1)), "by seed");
        }
    }
}
