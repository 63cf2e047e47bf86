//! The first 68 bytes of a connection. BEP 3 "peer protocol"; reserved bits: BEP 4, 6, 10.

use shoal_metainfo::{InfoHash, PeerId};

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

/// The eight reserved bytes of a handshake. Unknown bits are kept and ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extensions(pub [u8; 8]);

impl Extensions {
    /// What we speak: BEP 6 and BEP 10.
    pub const OURS: Self = Self([0, 0, 0, 0, 0, 0x10, 0, 0x04]);

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
