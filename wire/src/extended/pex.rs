//! Whom else a peer is connected to. BEP 11, `ut_pex`.
//!
//! What is odd is as good as absent: half an address at the end, flags for nobody, a key of another
//! kind. Whether an address may be dialled, and how often a peer may speak, is decided elsewhere.

use std::net::SocketAddr;

use shoal_bencode::{Dict, Mode, Options, Value, parse};
use shoal_metainfo::compact::{V4_BYTES, V6_BYTES, peers_v4, peers_v6, push_v4, push_v6};

use crate::error::ExtensionError;
use crate::limits::PEX_KEPT_MAX;

/// One message: what changed since the last one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pex {
    /// Connected since; at most [`PEX_KEPT_MAX`] are read.
    pub added: Vec<PexPeer>,
    /// No longer connected; at most [`PEX_KEPT_MAX`] are read.
    pub dropped: Vec<SocketAddr>,
}

/// One peer of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PexPeer {
    /// Where it can be dialled.
    pub address: SocketAddr,
    /// What is said of it.
    pub flags: PexFlags,
}

/// What is said of a peer. BEP 11, "added.f".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PexFlags(pub u8);

impl PexFlags {
    /// Would rather speak encrypted. Source: BEP 11.
    pub const PREFERS_ENCRYPTION: Self = Self(0x01);
    /// Has everything, or wants nothing any more. Source: BEP 11.
    pub const UPLOAD_ONLY: Self = Self(0x02);
    /// Speaks uTP. Source: BEP 11.
    pub const UTP: Self = Self(0x04);
    /// Speaks `ut_holepunch`. Source: BEP 11.
    pub const HOLEPUNCH: Self = Self(0x08);
    /// Was dialled by the sender: it can be reached. Source: BEP 11.
    pub const REACHABLE: Self = Self(0x10);

    /// Whether all of these are said.
    #[must_use]
    pub fn has(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// These too, if so.
    #[must_use]
    pub fn with(self, flags: Self, is_so: bool) -> Self {
        Self(self.0 | if is_so { flags.0 } else { 0 })
    }
}

impl Pex {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.dropped.is_empty()
    }

    /// Reads the payload.
    ///
    /// # Errors
    /// [`ExtensionError`] when it is no bencoded dictionary.
    ///
    /// Source: BEP 11.
    pub fn decode(payload: &[u8]) -> Result<Self, ExtensionError> {
        let options = Options {
            mode: Mode::Lenient,
            ..Options::wire()
        };
        let tree = parse(payload, options)?;
        let dict = tree
            .root()
            .as_dict()
            .ok_or(ExtensionError::NotADictionary)?;
        let flagged = |addresses, flags| {
            let flags = bytes(dict, flags)
                .iter()
                .copied()
                .chain(std::iter::repeat(0));
            flags.zip(addresses)
        };
        let added = flagged(addresses_v4(bytes(dict, "added")), "added.f");
        let added6 = flagged(addresses_v6(bytes(dict, "added6")), "added6.f");
        let added = added.chain(added6).map(|(flags, address)| PexPeer {
            address,
            flags: PexFlags(flags),
        });
        let dropped = addresses_v4(bytes(dict, "dropped"));
        let dropped = dropped
            .into_iter()
            .chain(addresses_v6(bytes(dict, "dropped6")));
        Ok(Self {
            added: added.take(PEX_KEPT_MAX).collect(),
            dropped: dropped.take(PEX_KEPT_MAX).collect(),
        })
    }

    /// The payload: canonical, what is empty left out. Source: BEP 11.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (mut added, mut added6) = (Family::default(), Family::default());
        for peer in &self.added {
            match peer.address {
                SocketAddr::V4(address) => push_v4(&mut added.addresses, address),
                SocketAddr::V6(address) => push_v6(&mut added6.addresses, address),
            }
            let family = if peer.address.is_ipv4() {
                &mut added
            } else {
                &mut added6
            };
            family.flags.push(peer.flags.0);
        }
        let (mut dropped, mut dropped6) = (Vec::new(), Vec::new());
        for address in &self.dropped {
            match address {
                SocketAddr::V4(address) => push_v4(&mut dropped, *address),
                SocketAddr::V6(address) => push_v6(&mut dropped6, *address),
            }
        }
        let fields = [
            ("added", added.addresses),
            ("added.f", added.flags),
            ("added6", added6.addresses),
            ("added6.f", added6.flags),
            ("dropped", dropped),
            ("dropped6", dropped6),
        ];
        let present = fields.into_iter().filter(|(_, bytes)| !bytes.is_empty());
        Value::dict(present.map(|(key, bytes)| (key, Value::from(bytes)))).encode()
    }
}

/// The added peers of one address family.
#[derive(Default)]
struct Family {
    addresses: Vec<u8>,
    flags: Vec<u8>,
}

fn bytes<'a>(dict: Dict<'_, 'a>, key: &'static str) -> &'a [u8] {
    dict.opt_bytes(key).ok().flatten().unwrap_or_default()
}

/// The whole addresses at the front.
fn addresses_v4(bytes: &[u8]) -> Vec<SocketAddr> {
    let whole = bytes.len() - bytes.len() % V4_BYTES;
    let peers = peers_v4(&bytes[..whole]);
    peers.map_or_else(|_| Vec::new(), |peers| peers.take(PEX_KEPT_MAX).collect())
}

/// The whole addresses at the front.
fn addresses_v6(bytes: &[u8]) -> Vec<SocketAddr> {
    let whole = bytes.len() - bytes.len() % V6_BYTES;
    let peers = peers_v6(&bytes[..whole]);
    peers.map_or_else(|_| Vec::new(), |peers| peers.take(PEX_KEPT_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str, flags: u8) -> PexPeer {
        PexPeer {
            address: address.parse().unwrap(),
            flags: PexFlags(flags),
        }
    }

    #[test]
    fn message_is_laid_out_as_bep_11_says() {
        let message = Pex {
            added: vec![peer("1.2.3.4:6881", 0x12), peer("[::1]:80", 0x01)],
            dropped: vec!["5.6.7.8:1".parse().unwrap()],
        };
        let payload = b"d5:added6:\x01\x02\x03\x04\x1a\xe17:added.f1:\x12\
            6:added618:\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\x508:added6.f1:\x01\
            7:dropped6:\x05\x06\x07\x08\0\x01e";
        assert_eq!(message.encode(), payload);
        assert_eq!(Pex::decode(payload), Ok(message));
        assert_eq!(Pex::default().encode(), b"de");
        assert!(Pex::decode(b"de").unwrap().is_empty());
    }

    #[test]
    fn what_is_odd_is_as_good_as_absent() {
        let one = vec![peer("1.2.3.4:6881", 0)];
        let check = |payload: &[u8], added: &[PexPeer]| {
            let found = Pex::decode(payload).unwrap();
            assert_eq!((found.added.as_slice(), found.dropped.len()), (added, 0));
        };
        // Half an address behind, no flags, too many flags, keys of other kinds, keys unknown.
        check(b"d5:added9:\x01\x02\x03\x04\x1a\xe1abce", &one);
        check(b"d5:added6:\x01\x02\x03\x04\x1a\xe17:added.f0:e", &one);
        check(
            b"d5:added6:\x01\x02\x03\x04\x1a\xe17:added.f3:\0\x10\x10e",
            &one,
        );
        check(b"d5:added6:\x01\x02\x03\x04\x1a\xe17:added.fi7ee", &one);
        check(b"d5:addedli1eee", &[]);
        check(b"d5:added5:abcde7:droppedi1e6:lengthi3ee", &[]);
    }

    #[test]
    fn addresses_read_are_bounded() {
        let many = (0..5_000_u32).flat_map(|n| [n.to_be_bytes().to_vec(), vec![1, 1]].concat());
        let many = many.collect::<Vec<_>>();
        let keys = ["added", "added6", "dropped", "dropped6"];
        let payload = Value::dict(keys.map(|key| (key, Value::from(many.clone())))).encode();
        let found = Pex::decode(&payload).unwrap();
        assert_eq!(
            (found.added.len(), found.dropped.len()),
            (PEX_KEPT_MAX, PEX_KEPT_MAX)
        );
    }

    #[test]
    fn bytes_that_are_no_dictionary_are_refused() {
        for payload in ["i1e", "le", "5:added"] {
            let found = Pex::decode(payload.as_bytes());
            assert_eq!(found, Err(ExtensionError::NotADictionary), "{payload}");
        }
        for payload in ["", "d", "d5:added", "GET / HTTP"] {
            let found = Pex::decode(payload.as_bytes());
            assert!(
                matches!(found, Err(ExtensionError::Bencode(_))),
                "{payload}"
            );
        }
    }

    #[test]
    fn flags_are_added_one_by_one() {
        let flags = PexFlags::default()
            .with(PexFlags::UPLOAD_ONLY, true)
            .with(PexFlags::HOLEPUNCH, false)
            .with(PexFlags::REACHABLE, true);
        assert_eq!(flags, PexFlags(0x12));
        assert!(flags.has(PexFlags::REACHABLE) && !flags.has(PexFlags::UTP));
    }
}
