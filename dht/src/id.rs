//! Names of nodes, distances between names, names that fit an address. BEP 5, 42.
//!
//! Nodes, torrents and items are named alike, so that each has a distance to each.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use fastrand::Rng;
use shoal_metainfo::InfoHash;

use crate::address::is_local;

/// The name of a node, and of whatever is looked for.
///
/// Shape: 20 bytes. Shown as 40 lower-case hex digits. Source: BEP 5, "node ID".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub [u8; 20]);

/// How far two names are from each other: their exclusive or, compared as a number. BEP 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Distance([u8; 20]);

/// A node: its name and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Contact {
    /// Its name.
    pub id: NodeId,
    /// Where it is.
    pub address: SocketAddr,
}

impl NodeId {
    /// Bits of a name.
    pub const BITS: usize = 160;

    /// Any name.
    #[must_use]
    pub fn random(rng: &mut Rng) -> Self {
        let mut bytes = [0; 20];
        rng.fill(&mut bytes);
        Self(bytes)
    }

    /// A name that fits an address, so that nobody chooses a place beside a torrent at will.
    ///
    /// Source: BEP 42, "node ID restriction".
    #[must_use]
    pub fn for_ip(ip: IpAddr, rng: &mut Rng) -> Self {
        let Self(mut bytes) = Self::random(rng);
        let [a, b, c, _] = prefix(ip, bytes[19]).to_be_bytes();
        (bytes[0], bytes[1]) = (a, b);
        bytes[2] = c & 0xf8 | bytes[2] & 0x07;
        Self(bytes)
    }

    /// Whether the name fits the address; in a local network every name does. Source: BEP 42.
    #[must_use]
    pub fn fits(&self, ip: IpAddr) -> bool {
        let [a, b, c, ..] = self.0;
        let found = u32::from_be_bytes([a, b, c, 0]);
        is_local(ip) || (found ^ prefix(ip, self.0[19])) >> 11 == 0
    }

    /// How far it is to another name.
    #[must_use]
    pub fn distance(&self, other: &Self) -> Distance {
        Distance(std::array::from_fn(|i| self.0[i] ^ other.0[i]))
    }

    /// How many bits at the front are the same, at most [`NodeId::BITS`].
    #[must_use]
    pub fn common_bits(&self, other: &Self) -> usize {
        let Distance(bytes) = self.distance(other);
        let Some(at) = bytes.iter().position(|&byte| byte != 0) else {
            return Self::BITS;
        };
        at * 8 + bytes[at].leading_zeros() as usize
    }

    /// A random name that has just `bits` bits at the front in common with this one.
    ///
    /// # Panics
    /// Unless `bits` is below [`NodeId::BITS`].
    #[must_use]
    pub fn sibling(&self, bits: usize, rng: &mut Rng) -> Self {
        let Self(mut bytes) = Self::random(rng);
        let (whole, bit) = (bits / 8, bits % 8);
        bytes[..whole].copy_from_slice(&self.0[..whole]);
        let ours = !(0xff_u8 >> bit);
        let flip = 0x80 >> bit;
        let other = !self.0[whole] & flip;
        bytes[whole] = self.0[whole] & ours | other | bytes[whole] & !ours & !flip;
        Self(bytes)
    }
}

impl From<InfoHash> for NodeId {
    fn from(info_hash: InfoHash) -> Self {
        Self(info_hash.0)
    }
}

impl From<NodeId> for InfoHash {
    fn from(id: NodeId) -> Self {
        Self(id.0)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        InfoHash(self.0).fmt(f)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}

impl Contact {
    /// Whether its name fits its address. BEP 42.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.id.fits(self.address.ip())
    }
}

/// CRC-32C of the masked address; the first 21 bits count. Source: BEP 42.
fn prefix(ip: IpAddr, random: u8) -> u32 {
    const V4: [u8; 4] = [0x03, 0x0f, 0x3f, 0xff];
    const V6: [u8; 8] = [0x01, 0x03, 0x07, 0x0f, 0x1f, 0x3f, 0x7f, 0xff];
    let r = (random & 7) << 5;
    match ip {
        IpAddr::V4(ip) => {
            let mut bytes: [u8; 4] = std::array::from_fn(|i| ip.octets()[i] & V4[i]);
            bytes[0] |= r;
            crc32c(&bytes)
        }
        IpAddr::V6(ip) => {
            let mut bytes: [u8; 8] = std::array::from_fn(|i| ip.octets()[i] & V6[i]);
            bytes[0] |= r;
            crc32c(&bytes)
        }
    }
}

/// Castagnoli's CRC, bit by bit: it is taken of 4 or 8 bytes, once for each node that is met.
fn crc32c(bytes: &[u8]) -> u32 {
    let shift = |crc: u32| {
        if crc & 1 == 1 {
            crc >> 1 ^ 0x82f6_3b78
        } else {
            crc >> 1
        }
    };
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| shift(crc))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source: BEP 42, "test vectors".
    const VECTORS: [(&str, &str); 5] = [
        ("124.31.75.21", "5fbfbff10c5d6a4ec8a88e4c6ab4c28b95eee401"),
        ("21.75.31.124", "5a3ce9c14e7a08645677bbd1cfe7d8f956d53256"),
        ("65.23.51.170", "a5d43220bc8f112a3d426c84764f8c2a1150e616"),
        ("84.124.73.14", "1b0321dd1bb1fe518101ceef99462b947a01ff41"),
        ("43.213.53.83", "e56f6cbf5b7c4be0237986d5243b87aa6d51305a"),
    ];

    #[test]
    fn vectors_of_the_bep_fit_their_addresses_and_no_others() {
        for (ip, id) in VECTORS {
            let ip: IpAddr = ip.parse().unwrap();
            let id: NodeId = InfoHash::from_hex(id).unwrap().into();
            assert!(id.fits(ip), "{ip} {id}");
            for bit in 0..21 {
                let mut other = id;
                other.0[bit / 8] ^= 0x80 >> (bit % 8);
                assert!(!other.fits(ip), "bit {bit} counts");
            }
            let mut other = id;
            other.0[2] ^= 0x07;
            assert!(other.fits(ip), "bits behind the 21st do not count");
            let others = VECTORS.iter().filter(|(other, _)| *other != ip.to_string());
            others.for_each(|(other, _)| assert!(!id.fits(other.parse().unwrap())));
        }
    }

    #[test]
    fn names_made_for_an_address_fit_it() {
        let mut rng = Rng::with_seed(1);
        for ip in ["8.8.8.8", "203.0.113.7", "2001:db8::1", "2600:1f18:1:2::3"] {
            let ip = ip.parse().unwrap();
            for _ in 0..100 {
                assert!(NodeId::for_ip(ip, &mut rng).fits(ip));
            }
            let by_chance = (0..1000)
                .filter(|_| NodeId::random(&mut rng).fits(ip))
                .count();
            assert!(by_chance < 3, "{by_chance} of 1,000 random names fit {ip}");
        }
        assert!(NodeId::random(&mut rng).fits("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn crc_is_castagnolis() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn sibling_shares_just_as_many_bits() {
        let mut rng = Rng::with_seed(7);
        let id = NodeId::random(&mut rng);
        for bits in 0..NodeId::BITS {
            assert_eq!(id.sibling(bits, &mut rng).common_bits(&id), bits);
        }
        assert_eq!(id.common_bits(&id), NodeId::BITS);
    }
}
