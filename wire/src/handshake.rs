//! The first 68 bytes of a connection. BEP 3 "peer protocol"; reserved bits: BEP 4, 5, 6, 10.

use shoal_metainfo::{InfoHash, PeerId};

use crate::error::HandshakeError;

/// Bytes of a handshake.
pub const HANDSHAKE_LENGTH: usize = 68;

/// What every handshake begins with: the length of the name, and the name. Source: BEP 3.
const PROTOCOL: &[u8; 20] = b"\x13BitTorrent protocol";

/// What both ends say first.
///
/// Shape: `19 | "BitTorrent protocol" | reserved: 8 | info_hash: 20 | peer_id: 20`, 68 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handshake {
    /// What the sender can do beyond BEP 3.
    pub extensions: Extensions,
    /// The torrent that the connection is about.
    pub info_hash: InfoHash,
    /// The sender's name for itself.
    pub peer_id: PeerId,
}

impl Handshake {
    /// As it goes on the wire. Source: BEP 3, "peer protocol".
    #[must_use]
    pub fn encode(&self) -> [u8; HANDSHAKE_LENGTH] {
        let mut bytes = [0; HANDSHAKE_LENGTH];
        bytes[..20].copy_from_slice(PROTOCOL);
        bytes[20..28].copy_from_slice(&self.extensions.0);
        bytes[28..48].copy_from_slice(&self.info_hash.0);
        bytes[48..].copy_from_slice(&self.peer_id.0);
        bytes
    }

    /// Reads what the other end said first.
    ///
    /// # Errors
    /// [`HandshakeError::Protocol`] when it is not BitTorrent. Whether we have the torrent, and
    /// whether the peer is ourselves, is not known here.
    ///
    /// Source: BEP 3, "peer protocol".
    pub fn decode(bytes: &[u8; HANDSHAKE_LENGTH]) -> Result<Self, HandshakeError> {
        if !Self::prefix_matches(bytes) {
            return Err(HandshakeError::Protocol);
        }
        Ok(Self {
            extensions: Extensions(cut(bytes, 20)),
            info_hash: InfoHash(cut(bytes, 28)),
            peer_id: PeerId(cut(bytes, 48)),
        })
    }

    /// Whether `bytes`, however few, may be the beginning of a handshake: garbage is refused at
    /// its first byte, not after 68.
    #[must_use]
    pub fn prefix_matches(bytes: &[u8]) -> bool {
        let length = bytes.len().min(PROTOCOL.len());
        bytes[..length] == PROTOCOL[..length]
    }
}

fn cut<const N: usize>(bytes: &[u8; HANDSHAKE_LENGTH], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("lies inside the 68 bytes")
}

/// The eight reserved bytes of a handshake. Unknown bits are kept and ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extensions(pub [u8; 8]);

impl Extensions {
    /// What we speak: BEP 6 and BEP 10.
    pub const OURS: Self = Self([0, 0, 0, 0, 0, 0x10, 0, 0x04]);

    /// BEP 6 alone.
    pub const FAST: Self = Self([0, 0, 0, 0, 0, 0, 0, 0x04]);

    /// The same with the DHT: bit 0x01 of the last byte. Source: BEP 5.
    #[must_use]
    pub const fn with_dht(mut self) -> Self {
        self.0[7] |= 0x01;
        self
    }

    /// There is a node of the DHT; its port may be told. Source: BEP 5.
    #[must_use]
    pub fn dht(self) -> bool {
        self.0[7] & 0x01 != 0
    }

    /// Fast extension: bit 0x04 of the last byte. Source: BEP 6.
    #[must_use]
    pub fn fast(self) -> bool {
        self.0[7] & 0x04 != 0
    }

    /// Extension protocol: bit 0x10 of byte 5. Source: BEP 10.
    #[must_use]
    pub fn extended(self) -> bool {
        self.0[5] & 0x10 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> Handshake {
        Handshake {
            extensions: Extensions::OURS,
            info_hash: InfoHash([0xaa; 20]),
            peer_id: PeerId(*b"-SH0100-abcdefghijkl"),
        }
    }

    #[test]
    fn handshake_is_the_bytes_of_bep_3() {
        let expect = [
            b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\x04".as_slice(),
            &[0xaa; 20],
            b"-SH0100-abcdefghijkl",
        ];
        assert_eq!(ours().encode().as_slice(), expect.concat());
    }

    #[test]
    fn handshake_reads_what_it_writes_and_keeps_unknown_bits() {
        let handshake = Handshake {
            extensions: Extensions([1, 2, 4, 8, 16, 32, 64, 128]),
            ..ours()
        };
        assert_eq!(Handshake::decode(&handshake.encode()), Ok(handshake));
    }

    #[test]
    fn handshake_differing_in_any_protocol_byte_is_refused_at_that_byte() {
        for at in 0..PROTOCOL.len() {
            let mut bytes = ours().encode();
            bytes[at] ^= 0x20;
            assert_eq!(Handshake::decode(&bytes), Err(HandshakeError::Protocol));
            assert!(Handshake::prefix_matches(&bytes[..at]), "byte {at}");
            assert!(!Handshake::prefix_matches(&bytes[..=at]), "byte {at}");
        }
        assert!(Handshake::prefix_matches(&[]));
        assert!(Handshake::prefix_matches(&ours().encode()));
    }

    #[test]
    fn extension_bits_are_read_where_the_beps_put_them() {
        assert!(Extensions::OURS.fast() && Extensions::OURS.extended());
        let none = Extensions([0xff, 0xff, 0xff, 0xff, 0xff, 0xef, 0xff, 0xfb]);
        assert!(!none.fast() && !none.extended());
        assert!(!Extensions::OURS.dht() && Extensions::OURS.with_dht().dht());
        assert_eq!(Extensions::default().with_dht().0, [0, 0, 0, 0, 0, 0, 0, 1]);
    }
}
