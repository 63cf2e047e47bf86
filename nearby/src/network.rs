//! The networks that a machine is part of, and what is near. Of no BEP.
//!
//! Near is what nobody far away can pretend to be from: private and link-local addresses, this
//! machine's own, and whatever lies in a network of ours, global or not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One network of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// Our address in it.
    pub address: IpAddr,
    /// How many leading bits its members share: up to 32 or 128.
    pub prefix: u8,
}

impl Network {
    /// Whether the address lies in it.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        let prefix = u32::from(self.prefix);
        match (self.address, ip) {
            (IpAddr::V4(ours), IpAddr::V4(ip)) => {
                let differs = u32::from(ours) ^ u32::from(ip);
                differs.leading_zeros() >= prefix.min(32)
            }
            (IpAddr::V6(ours), IpAddr::V6(ip)) => {
                let differs = u128::from(ours) ^ u128::from(ip);
                differs.leading_zeros() >= prefix.min(128)
            }
            _ => false,
        }
    }
}

/// Whether the address is near, seen from these networks.
#[must_use]
pub fn is_near(ip: IpAddr, networks: &[Network]) -> bool {
    let ip = ip.to_canonical();
    let is_local = match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_loopback() || ip.is_unicast_link_local(),
    };
    is_local || (is_host(ip) && networks.iter().any(|network| network.contains(ip)))
}

/// Neither everybody nor nobody.
fn is_host(ip: IpAddr) -> bool {
    let is_broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
    let is_nobody = ip == IpAddr::V4(Ipv4Addr::UNSPECIFIED) || ip == Ipv6Addr::UNSPECIFIED;
    !ip.is_multicast() && !is_broadcast && !is_nobody
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        let (address, prefix) = text.split_once('/').unwrap();
        Network {
            address: address.parse().unwrap(),
            prefix: prefix.parse().unwrap(),
        }
    }

    #[test]
    fn near_is_private_or_in_a_network_of_ours() {
        let networks = ["203.0.113.77/28", "2001:db8:0:7::1/64"].map(network);
        let check = |ip: &str, expect| {
            assert_eq!(is_near(ip.parse().unwrap(), &networks), expect, "{ip}");
        };
        for ip in [
            "10.1.2.3",
            "172.31.0.1",
            "192.168.0.1",
            "169.254.3.4",
            "127.0.0.1",
        ] {
            check(ip, true);
        }
        for ip in ["fe80::1", "fd00::1", "::1", "::ffff:10.0.0.1"] {
            check(ip, true);
        }
        for ip in ["203.0.113.64", "203.0.113.79", "2001:db8:0:7:ffff::1"] {
            check(ip, true);
        }
        for ip in [
            "203.0.113.63",
            "203.0.113.80",
            "2001:db8:0:8::1",
            "8.8.8.8",
            "172.32.0.1",
        ] {
            check(ip, false);
        }
        for ip in ["0.0.0.0", "255.255.255.255", "224.0.0.1", "::", "ff02::1"] {
            check(ip, false);
        }
    }

    #[test]
    fn network_of_everything_has_every_host_and_of_one_only_itself() {
        let everything = network("192.0.2.1/0");
        assert!(everything.contains("8.8.8.8".parse().unwrap()));
        assert!(!is_near("0.0.0.0".parse().unwrap(), &[everything]));
        let one = network("192.0.2.1/32");
        assert!(one.contains("192.0.2.1".parse().unwrap()));
        assert!(!one.contains("192.0.2.0".parse().unwrap()));
    }
}
