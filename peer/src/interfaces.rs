//! The networks that this machine is part of.
//!
//! Knows addresses and prefixes as the system tells them, and nothing of what they are used for.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use if_addrs::{IfAddr, get_if_addrs};
use shoal_nearby::Network;

/// One address of one interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interface {
    /// The system's number for it; 0 where it has none.
    pub(crate) index: u32,
    pub(crate) network: Network,
}

impl Interface {
    pub(crate) fn is_loopback(&self) -> bool {
        self.network.address.is_loopback()
    }
}

/// The addresses of all interfaces that are up.
pub(crate) fn all() -> io::Result<Vec<Interface>> {
    let found = get_if_addrs()?.into_iter().map(|found| {
        let (address, prefix) = match found.addr {
            IfAddr::V4(v4) => (IpAddr::V4(v4.ip), v4.prefixlen),
            IfAddr::V6(v6) => (IpAddr::V6(v6.ip), v6.prefixlen),
        };
        Interface {
            index: found.index.unwrap_or(0),
            network: Network { address, prefix },
        }
    });
    Ok(found.collect())
}

/// Our IPv4 address on the network of `neighbour`.
pub(crate) fn address_beside(neighbour: Ipv4Addr) -> io::Result<Option<Ipv4Addr>> {
    let beside = all()?.into_iter().map(|interface| interface.network);
    let mut beside = beside.filter(|network| network.contains(neighbour.into()));
    Ok(beside.find_map(|network| match network.address {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_loopback_interface() {
        let found = all().unwrap();
        assert!(found.iter().any(Interface::is_loopback), "{found:?}");
        let loopback = Ipv4Addr::LOCALHOST;
        assert_eq!(address_beside(loopback).unwrap(), Some(loopback));
    }
}
