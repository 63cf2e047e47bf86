//! Whom we never speak to again. The bounds are ours; no BEP speaks of bans.

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};

use shoal_metainfo::PeerId;

use crate::limits::BANNED_MAX;

/// A ban is as narrow as the address is shared: behind a loopback address live many peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Ban {
    Ip(IpAddr),
    Address(SocketAddr),
    Name(IpAddr, PeerId),
}

/// The last so many bans.
#[derive(Debug, Default)]
pub(super) struct Bans {
    all: BTreeSet<Ban>,
    in_order: VecDeque<Ban>,
}

impl Bans {
    /// By the IP address, or, on loopback, by the exact address and by the name.
    pub(super) fn add(&mut self, address: SocketAddr, peer_id: PeerId) {
        let ip = address.ip().to_canonical();
        if ip.is_loopback() {
            self.remember(Ban::Address(address));
            self.remember(Ban::Name(ip, peer_id));
        } else {
            self.remember(Ban::Ip(ip));
        }
    }

    /// By its name alone.
    pub(super) fn add_name(&mut self, address: SocketAddr, peer_id: PeerId) {
        self.remember(Ban::Name(address.ip().to_canonical(), peer_id));
    }

    /// Whether the peer is banned.
    pub(super) fn holds(&self, address: SocketAddr, peer_id: PeerId) -> bool {
        let name = Ban::Name(address.ip().to_canonical(), peer_id);
        self.holds_at(address) || self.all.contains(&name)
    }

    /// Whether whoever is there is banned.
    pub(super) fn holds_at(&self, address: SocketAddr) -> bool {
        let ip = Ban::Ip(address.ip().to_canonical());
        self.all.contains(&ip) || self.all.contains(&Ban::Address(address))
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    fn remember(&mut self, ban: Ban) {
        if !self.all.insert(ban) {
            return;
        }
        self.in_order.push_back(ban);
        if self.in_order.len() > BANNED_MAX {
            let oldest = self.in_order.pop_front();
            oldest.map(|oldest| self.all.remove(&oldest));
        }
    }
}
