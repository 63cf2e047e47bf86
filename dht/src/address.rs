//! Addresses as the DHT judges them: family, subnet, who counts as one. BEP 32, 42.
//!
//! Whoever owns a subnet owns all its addresses, so bounds are kept by subnet; local networks are
//! exempt (BEP 42) since many nodes share an address there. Knows nothing of nodes.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Which of the two tables, BEP 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4: `nodes`, 26 bytes each.
    V4,
    /// IPv6: `nodes6`, 38 bytes each.
    V6,
}

impl Family {
    /// Both, in order.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address that went through [`canonical`].
    #[must_use]
    pub fn of(address: SocketAddr) -> Self {
        if address.is_ipv4() {
            Self::V4
        } else {
            Self::V6
        }
    }
}

/// The same address in one form: IPv4 in IPv6 becomes IPv4; flow and scope are forgotten.
#[must_use]
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Loopback, private and link-local networks: their nodes choose their ids freely, and many share
/// one address. Source: BEP 42, "any peer on a local network address is exempt".
#[must_use]
pub fn is_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// Whether a packet may be sent there at all.
#[must_use]
pub fn is_usable(address: SocketAddr) -> bool {
    let nowhere = match address.ip() {
        IpAddr::V4(ip) => ip.octets()[0] == 0 || ip.is_broadcast() || ip.is_multicast(),
        IpAddr::V6(ip) => ip.is_unspecified() || ip.is_multicast(),
    };
    address.port() != 0 && !nowhere
}

/// Whether one who speaks from `from` may send us to `to`: nobody outside names addresses inside.
#[must_use]
pub fn may_name(from: SocketAddr, to: SocketAddr) -> bool {
    is_usable(to) && (is_local(from.ip()) || !is_local(to.ip()))
}

/// Who counts as one: an internet address, whatever its ports; in a local network each port; in
/// IPv6 each /64, which one machine owns whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Host(IpAddr, u16);

impl Host {
    pub(crate) fn of(address: SocketAddr) -> Self {
        match address.ip() {
            ip if is_local(ip) => Self(ip, address.port()),
            IpAddr::V6(ip) => {
                let high = ip.to_bits() >> 64 << 64;
                Self(IpAddr::V6(Ipv6Addr::from_bits(high)), 0)
            }
            ip => Self(ip, 0),
        }
    }
}

/// A network of one owner: /24 in IPv4, /48 in IPv6. Local addresses have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Subnet(u64);

impl Subnet {
    pub(crate) fn of(address: SocketAddr) -> Option<Self> {
        match address.ip() {
            ip if is_local(ip) => None,
            IpAddr::V4(ip) => Some(Self(u64::from(ip.to_bits() >> 8))),
            IpAddr::V6(ip) => {
                let [a, b, c, ..] = ip.segments().map(u64::from);
                // A bit above the 48 keeps them apart from IPv4's 24.
                Some(Self(1 << 48 | a << 32 | b << 16 | c))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_owner_is_one_host_but_local_ports_are_apart() {
        let same = |a, b| Host::of(at(a)) == Host::of(at(b));
        assert!(same("8.8.8.8:1", "8.8.8.8:2"));
        assert!(!same("8.8.8.8:1", "8.8.8.9:1"));
        assert!(!same("127.0.0.1:1", "127.0.0.1:2"));
        assert!(same("[2001:db8::1]:1", "[2001:db8::ffff]:9"));
        assert!(!same("[2001:db8::1]:1", "[2001:db8:0:1::1]:1"));
    }

    #[test]
    fn subnets_are_24_and_48_bits_and_local_ones_are_none() {
        let same = |a, b| Subnet::of(at(a)) == Subnet::of(at(b));
        assert!(same("8.8.8.1:1", "8.8.8.200:2"));
        assert!(!same("8.8.8.1:1", "8.8.9.1:1"));
        assert!(same("[2001:db8:1::1]:1", "[2001:db8:1:ffff::1]:1"));
        assert!(!same("[2001:db8:1::1]:1", "[2001:db8:2::1]:1"));
        assert_eq!(Subnet::of(at("192.168.1.1:1")), None);
        assert_eq!(Subnet::of(at("[fe80::1]:1")), None);
    }

    #[test]
    fn nobody_outside_names_an_address_inside() {
        let check = |from, to, expect| assert_eq!(may_name(at(from), at(to)), expect, "{to}");
        check("8.8.8.8:1", "9.9.9.9:1", true);
        check("8.8.8.8:1", "127.0.0.1:1", false);
        check("8.8.8.8:1", "10.0.0.1:1", false);
        check("127.0.0.1:1", "127.0.0.1:2", true);
        check("8.8.8.8:1", "9.9.9.9:0", false);
        check("8.8.8.8:1", "0.0.0.0:1", false);
        check("8.8.8.8:1", "224.0.0.1:1", false);
        check("8.8.8.8:1", "[ff02::1]:1", false);
    }
}
