//! What of an address tells one host of the internet from another. BEP 7, RFC 4291.
//!
//! For bounds of what one of them may have. Knows nothing of what is bounded.

use std::net::IpAddr;

/// Whether the address is of no meaning to the internet: of this machine, or a private network.
/// Many may stand behind it that have nothing to do with each other: test swarms, or all the world
/// behind a proxy.
///
/// Source: RFC 1918, RFC 3927, RFC 4193, RFC 4291, RFC 6598.
pub(crate) fn is_local(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            // Source: RFC 6598: shared behind a carrier's NAT, and so never seen from outside.
            let is_shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            ip.is_loopback() || ip.is_private() || ip.is_link_local() || is_shared
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// The host behind an address: of IPv6 the /64, which is what a host gets.
#[cfg(feature = "server")]
pub(crate) fn host(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(std::net::Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
    }
}
