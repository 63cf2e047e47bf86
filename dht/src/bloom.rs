//! Counting peers that several nodes know. BEP 33.
//!
//! A filter holds addresses as two bits each; filters of several nodes are united by `or`, so that
//! who was announced to many is counted once. Which addresses go in is the store's business.

use std::net::IpAddr;

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

/// A Bloom filter of internet addresses: 2,048 bits, two a value.
///
/// Shape: 256 bytes, the bit `n` being bit `n % 8` of byte `n / 8`. Source: BEP 33.
#[derive(Clone, PartialEq, Eq)]
pub struct Bloom(pub [u8; Self::BYTES]);

impl Bloom {
    /// Bytes of a filter.
    pub const BYTES: usize = 256;

    /// A filter that holds nobody.
    #[must_use]
    pub fn new() -> Self {
        Self([0; Self::BYTES])
    }

    /// Puts an address in.
    pub fn insert(&mut self, ip: IpAddr) {
        let hash = match ip {
            IpAddr::V4(ip) => digest(&SHA1_FOR_LEGACY_USE_ONLY, &ip.octets()),
            IpAddr::V6(ip) => digest(&SHA1_FOR_LEGACY_USE_ONLY, &ip.octets()),
        };
        let hash = hash.as_ref();
        for pair in [[hash[0], hash[1]], [hash[2], hash[3]]] {
            let bit = usize::from(u16::from_le_bytes(pair)) % (Self::BYTES * 8);
            self.0[bit / 8] |= 1 << (bit % 8);
        }
    }

    /// Puts in whoever is in another filter.
    pub fn unite(&mut self, other: &Self) {
        self.0
            .iter_mut()
            .zip(other.0)
            .for_each(|(byte, other)| *byte |= other);
    }

    /// About how many addresses are in it; meaningless above 6,000. Source: BEP 33.
    #[must_use]
    pub fn estimate(&self) -> f64 {
        const BITS: f64 = 2048.0;
        let zeros: u32 = self.0.iter().map(|byte| byte.count_zeros()).sum();
        let zeros = f64::from(zeros.clamp(1, 2047));
        (zeros / BITS).ln() / (2.0 * (1.0 - 1.0 / BITS).ln())
    }
}

impl Default for Bloom {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Bloom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bloom(about {:.0})", self.estimate())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    /// Source: BEP 33, "test vectors".
    const VECTOR: &str = "F6C3F5EAA07FFD91BDE89F777F26FB2BFF37BDB8FB2BBAA2FD3DDDE7BACFFF75EE7CCBAE\
        FE5EEDB1FBFAFF67F6ABFF5E43DDBCA3FD9B9FFDF4FFD3E9DFF12D1BDF59DB53DBE9FA5B\
        7FF3B8FDFCDE1AFB8BEDD7BE2F3EE71EBBBFE93BCDEEFE148246C2BC5DBFF7E7EFDCF24F\
        D8DC7ADFFD8FFFDFDDFFF7A4BBEEDF5CB95CE81FC7FCFF1FF4FFFFDFE5F7FDCBB7FD79B3\
        FA1FC77BFE07FFF905B7B7FFC7FEFEFFE0B8370BB0CD3F5B7F2BD93FEB4386CFDD6F7FD5\
        BFAF2E9EBFFFFEECD67ADBF7C67F17EFD5D75EBA6FFEBA7FFF47A91EB1BFBB53E8ABFB57\
        62ABE8FF237279BFEFBFEEF5FFC5FEBFDFE5ADFFADFEE1FB737FFFFBFD9F6AEFFEEE76B6\
        FD8F72EF";

    fn filter() -> Bloom {
        let mut filter = Bloom::new();
        (0..=255).for_each(|last| filter.insert(Ipv4Addr::new(192, 0, 2, last).into()));
        let v6 = |last| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last);
        (0..=0x3e7).for_each(|last| filter.insert(v6(last).into()));
        filter
    }

    #[test]
    fn filter_of_the_bep_comes_out_to_the_byte() {
        let hex: String = filter()
            .0
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect();
        assert_eq!(hex, VECTOR);
    }

    #[test]
    fn estimate_of_the_bep_comes_out() {
        assert!((filter().estimate() - 1224.9308).abs() < 0.0001);
        assert!(Bloom::new().estimate() < 0.6);
        assert!(Bloom([0xff; 256]).estimate() > 6000.0);
    }

    #[test]
    fn united_filters_count_nobody_twice() {
        let (mut one, other) = (filter(), filter());
        one.unite(&other);
        assert_eq!(one, other);
    }
}
