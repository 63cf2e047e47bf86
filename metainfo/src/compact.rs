//! Peer addresses in their shortest form. BEP 23 "compact", BEP 7 "peers6".
//!
//! Turns bytes into addresses and back, nothing else: whether an address may be dialled (port 0,
//! private networks) is decided by whoever dials.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Bytes of one IPv4 peer: address and port, big-endian. Source: BEP 23.
pub const V4_BYTES: usize = 6;

/// Bytes of one IPv6 peer: address and port, big-endian. Source: BEP 7.
pub const V6_BYTES: usize = 18;

/// The bytes are not a whole number of peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{found} bytes of compact peers are not a multiple of {unit}")]
pub struct CompactError {
    /// [`V4_BYTES`] or [`V6_BYTES`].
    pub unit: usize,
    /// Bytes that came.
    pub found: usize,
}

/// Reads `peers`: IPv4 addresses.
///
/// Shape: any number of `address: 4 bytes | port: u16`, big-endian.
///
/// # Errors
/// [`CompactError`] unless the length is a multiple of [`V4_BYTES`].
///
/// Source: BEP 23.
///
/// ```
/// let peers = shoal_metainfo::compact::peers_v4(&[127, 0, 0, 1, 0x1a, 0xe1]).unwrap();
/// assert_eq!(peers.collect::<Vec<_>>(), ["127.0.0.1:6881".parse().unwrap()]);
/// ```
pub fn peers_v4(bytes: &[u8]) -> Result<impl ExactSizeIterator<Item = SocketAddr>, CompactError> {
    let peers = exact::<V4_BYTES>(bytes)?;
    Ok(peers.iter().map(|&[a, b, c, d, high, low]| {
        let port = u16::from_be_bytes([high, low]);
        SocketAddr::from((Ipv4Addr::new(a, b, c, d), port))
    }))
}

/// Reads `peers6`: IPv6 addresses.
///
/// Shape: any number of `address: 16 bytes | port: u16`, big-endian.
///
/// # Errors
/// [`CompactError`] unless the length is a multiple of [`V6_BYTES`].
///
/// Source: BEP 7.
pub fn peers_v6(bytes: &[u8]) -> Result<impl ExactSizeIterator<Item = SocketAddr>, CompactError> {
    let peers = exact::<V6_BYTES>(bytes)?;
    Ok(peers.iter().map(|peer| {
        let address = Ipv6Addr::from(std::array::from_fn::<u8, 16, _>(|i| peer[i]));
        let port = u16::from_be_bytes([peer[16], peer[17]]);
        SocketAddr::from((address, port))
    }))
}

/// Appends one IPv4 peer, [`V4_BYTES`] bytes. Source: BEP 23.
pub fn push_v4(bytes: &mut Vec<u8>, peer: SocketAddrV4) {
    bytes.extend_from_slice(&peer.ip().octets());
    bytes.extend_from_slice(&peer.port().to_be_bytes());
}

/// Appends one IPv6 peer, [`V6_BYTES`] bytes; flow and scope are not sent. Source: BEP 7.
pub fn push_v6(bytes: &mut Vec<u8>, peer: SocketAddrV6) {
    bytes.extend_from_slice(&peer.ip().octets());
    bytes.extend_from_slice(&peer.port().to_be_bytes());
}

fn exact<const UNIT: usize>(bytes: &[u8]) -> Result<&[[u8; UNIT]], CompactError> {
    let (peers, rest) = bytes.as_chunks::<UNIT>();
    if rest.is_empty() {
        return Ok(peers);
    }
    Err(CompactError {
        unit: UNIT,
        found: bytes.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn broken_lengths_are_refused() {
        let error = |unit, found| Some(CompactError { unit, found });
        assert_eq!(peers_v4(&[0; 7]).err(), error(6, 7));
        assert_eq!(peers_v6(&[0; 6]).err(), error(18, 6));
        assert_eq!(peers_v4(&[]).unwrap().count(), 0);
        assert_eq!(peers_v6(&[]).unwrap().count(), 0);
    }

    #[test]
    fn order_and_byte_order_are_kept() {
        let bytes = [1, 2, 3, 4, 0, 80, 255, 254, 253, 252, 1, 187];
        let peers: Vec<String> = peers_v4(&bytes).unwrap().map(|p| p.to_string()).collect();
        assert_eq!(peers, ["1.2.3.4:80", "255.254.253.252:443"]);
        let mut bytes = [0; 18];
        (bytes[15], bytes[16], bytes[17]) = (1, 0x1a, 0xe1);
        let peers: Vec<String> = peers_v6(&bytes).unwrap().map(|p| p.to_string()).collect();
        assert_eq!(peers, ["[::1]:6881"]);
    }

    proptest! {
        #[test]
        fn v4_round_trips(peers: Vec<SocketAddrV4>) {
            let mut bytes = Vec::new();
            peers.iter().for_each(|&peer| push_v4(&mut bytes, peer));
            let back: Vec<_> = peers_v4(&bytes).unwrap().collect();
            prop_assert_eq!(back, peers.into_iter().map(SocketAddr::V4).collect::<Vec<_>>());
        }

        #[test]
        fn v6_round_trips(peers: Vec<(Ipv6Addr, u16)>) {
            let mut bytes = Vec::new();
            for &(ip, port) in &peers {
                push_v6(&mut bytes, SocketAddrV6::new(ip, port, 0, 0));
            }
            let back: Vec<_> = peers_v6(&bytes).unwrap().collect();
            prop_assert_eq!(back, peers.into_iter().map(SocketAddr::from).collect::<Vec<_>>());
        }
    }
}
