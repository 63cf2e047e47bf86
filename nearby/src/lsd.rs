//! Local service discovery: whoever shares our network and our torrents. BEP 14.
//!
//! [`Announce`] is the datagram, [`Finder`] decides when one is sent and whom to believe. Knows
//! nothing of sockets: both groups, every interface, are the shell's.

mod announce;
mod finder;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub use announce::{Announce, AnnounceError};
pub use finder::{Finder, Input, Output};

/// The port of both groups. Source: BEP 14.
pub const PORT: u16 = 6771;

/// Where IPv4 announces go. Source: BEP 14, group A.
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(239, 192, 152, 143);

/// Where IPv6 announces go. Source: BEP 14, group B.
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0xefc0, 0x988f);

/// The group of one family.
#[must_use]
pub fn group(is_ipv6: bool) -> SocketAddr {
    let ip = match is_ipv6 {
        true => IpAddr::V6(GROUP_V6),
        false => IpAddr::V4(GROUP_V4),
    };
    SocketAddr::new(ip, PORT)
}
