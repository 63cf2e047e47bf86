//! What a node remembers from one run to the next: its names and the nodes it knew. BEP 5.
//!
//! The format is bencode with a version; what cannot be read is no memory at all, since a table can
//! always be filled again. Which file it is in is the shell's business.

use shoal_bencode::{Options, Value, parse};

use crate::address::Family;
use crate::id::{Contact, NodeId};
use crate::krpc::{contacts_from_bytes, contacts_to_bytes};
use crate::limits::SAVED_NODES_MAX;

const VERSION: i64 = 1;

/// The memory, decoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Saved {
    /// Our name in IPv4.
    pub id_v4: Option<NodeId>,
    /// Our name in IPv6.
    pub id_v6: Option<NodeId>,
    /// Nodes of both families.
    pub nodes: Vec<Contact>,
}

impl Saved {
    /// To bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let of = |family| {
            let nodes = self
                .nodes
                .iter()
                .filter(move |node| Family::of(node.address) == family);
            let nodes: Vec<_> = nodes.copied().take(SAVED_NODES_MAX).collect();
            Value::from(contacts_to_bytes(&nodes))
        };
        let mut fields = vec![
            ("nodes", of(Family::V4)),
            ("nodes6", of(Family::V6)),
            ("version", Value::from(VERSION)),
        ];
        fields.extend(self.id_v4.as_ref().map(|id| ("id", Value::from(&id.0))));
        fields.extend(self.id_v6.as_ref().map(|id| ("id6", Value::from(&id.0))));
        Value::dict(fields).encode()
    }

    /// From bytes; `None` when they are none of ours.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let tree = parse(bytes, Options::wire()).ok()?;
        let dict = tree.root().as_dict()?;
        if dict.int("version") != Ok(VERSION) {
            return None;
        }
        let id = |key| Some(NodeId(dict.opt_bytes(key).ok()??.try_into().ok()?));
        let nodes = |key, family| {
            let bytes = dict.opt_bytes(key).ok().flatten().unwrap_or_default();
            let nodes = contacts_from_bytes(bytes, family).unwrap_or_default();
            nodes.into_iter().take(SAVED_NODES_MAX)
        };
        Some(Self {
            id_v4: id("id"),
            id_v6: id("id6"),
            nodes: nodes("nodes", Family::V4)
                .chain(nodes("nodes6", Family::V6))
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved() -> Saved {
        let node = |n, address: &str| Contact {
            id: NodeId([n; 20]),
            address: address.parse().unwrap(),
        };
        Saved {
            id_v4: Some(NodeId([1; 20])),
            id_v6: None,
            nodes: vec![node(2, "8.8.8.8:6881"), node(3, "[2001:db8::1]:6882")],
        }
    }

    #[test]
    fn memory_comes_back() {
        assert_eq!(Saved::decode(&saved().encode()), Some(saved()));
        assert_eq!(
            Saved::decode(&Saved::default().encode()),
            Some(Saved::default())
        );
    }

    #[test]
    fn broken_memory_is_none_and_never_a_panic() {
        let bytes = saved().encode();
        for length in 0..bytes.len() {
            assert_eq!(Saved::decode(&bytes[..length]), None);
        }
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let _ = Saved::decode(&bytes);
        }
        let later = String::from_utf8_lossy(&bytes).replace("7:versioni1e", "7:versioni2e");
        assert_eq!(Saved::decode(later.as_bytes()), None);
    }

    #[test]
    fn memory_is_bounded() {
        let node = |n: u16| Contact {
            id: NodeId([0; 20]),
            address: (std::net::Ipv4Addr::from_bits(0x0808_0000 + u32::from(n)), 1).into(),
        };
        let nodes = (0..1000).map(node).collect();
        let saved = Saved { nodes, ..saved() };
        assert_eq!(
            Saved::decode(&saved.encode()).unwrap().nodes.len(),
            SAVED_NODES_MAX
        );
    }
}
