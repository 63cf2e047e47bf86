//! Whose word on a peer's address is believed. Of no BEP: RFC 4632's blocks of addresses, and the
//! custom of `X-Forwarded-For`.
//!
//! A proxy names the address it saw at the end of that header; what stands before, anybody may have
//! written. So the header counts only from a listed network, and only up to the first address that
//! is in none of them. Knows no sockets.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// A block of addresses: `10.0.0.0/8`, `::1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Net {
    address: IpAddr,
    prefix: u8,
}

/// Why a text is no [`Net`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no network: write an address, or a block as 10.0.0.0/8 or fd00::/8")]
pub struct NetError(String);

impl FromStr for Net {
    type Err = NetError;

    fn from_str(text: &str) -> Result<Self, NetError> {
        let error = || NetError(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| error())?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => bits,
            // `FromStr` would take a sign too.
            Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                let prefix = text.parse().ok().filter(|prefix| *prefix <= bits);
                prefix.ok_or_else(error)?
            }
            Some(_) => return Err(error()),
        };
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl Net {
    /// All addresses of both families.
    pub const ALL: [Self; 2] = [
        Self {
            address: IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
            prefix: 0,
        },
        Self {
            address: IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
            prefix: 0,
        },
    ];

    /// Whether the address lies in it; one of IPv4 written as IPv6 is one of IPv4.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        let same = |a: u128, b: u128, bits: u32| {
            // A shift by all bits is none.
            let shift = bits - u32::from(self.prefix);
            a.checked_shr(shift).unwrap_or(0) == b.checked_shr(shift).unwrap_or(0)
        };
        match (self.address, ip.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                same(net.to_bits().into(), ip.to_bits().into(), 32)
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => same(net.to_bits(), ip.to_bits(), 128),
            _ => false,
        }
    }
}

/// The networks of trusted proxies.
#[derive(Debug, Clone, Default)]
pub(super) struct Proxies(Vec<Net>);

impl Proxies {
    pub(super) fn new(nets: Vec<Net>) -> Self {
        Self(nets)
    }

    /// Whether one is trusted there.
    pub(super) fn contains(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(ip))
    }

    /// Where the peer is: the other end of the connection, or what a trusted proxy there says.
    ///
    /// # Errors
    /// A `failure reason` when a trusted proxy says something else than an address.
    pub(super) fn ip(&self, other_end: IpAddr, forwarded: Option<&[u8]>) -> Result<IpAddr, String> {
        let Some(forwarded) = forwarded.filter(|_| self.contains(other_end)) else {
            return Ok(other_end.to_canonical());
        };
        let text = String::from_utf8_lossy(forwarded);
        let mut ip = other_end;
        for (at, word) in text.rsplit(',').enumerate() {
            match address(word.trim()) {
                Some(address) => ip = address,
                None if at == 0 => {
                    return Err("the proxy's X-Forwarded-For does not end in an address".to_owned());
                }
                None => break,
            }
            // Whoever trusts all the world trusts the nearest proxy, and no word before its own.
            let is_hop = |net: &Net| net.prefix > 0 && net.contains(ip);
            if !self.0.iter().any(is_hop) {
                break;
            }
        }
        Ok(ip.to_canonical())
    }
}

/// An address, with or without a port.
fn address(word: &str) -> Option<IpAddr> {
    let with_port = || word.parse::<SocketAddr>().ok().map(|address| address.ip());
    word.parse().ok().or_else(with_port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn net(text: &str) -> Net {
        text.parse().unwrap()
    }

    #[test]
    fn network_has_the_addresses_of_its_prefix() {
        let check = |text: &str, inside: &[&str], outside: &[&str]| {
            let net = net(text);
            let has = |ip: &&str| net.contains(ip.parse().unwrap());
            assert!(inside.iter().all(has), "{text}");
            assert!(!outside.iter().any(has), "{text}");
        };
        check(
            "10.0.0.0/8",
            &["10.255.0.1", "::ffff:10.0.0.1"],
            &["11.0.0.0", "::1"],
        );
        check("192.0.2.7", &["192.0.2.7"], &["192.0.2.6", "192.0.2.8"]);
        check("0.0.0.0/0", &["0.0.0.0", "255.255.255.255"], &["::"]);
        check("fd00::/8", &["fd00::1", "fdff::"], &["fe00::", "10.0.0.1"]);
        check("::1", &["::1"], &["::2"]);
        check("::/0", &["::", "ffff::"], &["1.2.3.4"]);
        check(
            "192.0.2.99/24",
            &["192.0.2.0", "192.0.2.255"],
            &["192.0.3.0"],
        );
    }

    #[test]
    fn what_is_no_network_is_refused_by_name() {
        for bad in [
            "",
            "/",
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "1.2.3.4/+1",
            "1.2.3.4/",
            "a/8",
        ] {
            let error = bad.parse::<Net>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{bad}`")), "{error}");
        }
    }

    #[test]
    fn header_counts_from_trusted_proxies_alone_and_from_its_end() {
        let proxies = Proxies::new(vec![net("10.0.0.0/8"), net("::1")]);
        let check = |end: &str, header: Option<&str>, expect: &str| {
            let got = proxies.ip(end.parse().unwrap(), header.map(str::as_bytes));
            assert_eq!(got, Ok(expect.parse().unwrap()), "{end} {header:?}");
        };
        check("192.0.2.1", Some("198.51.100.1"), "192.0.2.1");
        check("10.0.0.1", None, "10.0.0.1");
        check("10.0.0.1", Some("198.51.100.1"), "198.51.100.1");
        check("::1", Some("6.6.6.6, 198.51.100.1"), "198.51.100.1");
        // A proxy before a proxy.
        check(
            "10.0.0.1",
            Some("6.6.6.6, 198.51.100.1, 10.9.9.9"),
            "198.51.100.1",
        );
        check("10.0.0.1", Some("10.1.1.1, 10.2.2.2"), "10.1.1.1");
        check("10.0.0.1", Some("nonsense, 10.2.2.2"), "10.2.2.2");
        check("10.0.0.1", Some("[2001:db8::1]:443"), "2001:db8::1");
        let bad = proxies.ip("10.0.0.1".parse().unwrap(), Some(b"unknown"));
        assert!(bad.unwrap_err().contains("X-Forwarded-For"));
    }

    #[test]
    fn who_trusts_all_the_world_still_takes_the_last_word_alone() {
        let proxies = Proxies::new(Net::ALL.to_vec());
        let got = proxies.ip("192.0.2.1".parse().unwrap(), Some(b"6.6.6.6, 198.51.100.1"));
        assert_eq!(got, Ok("198.51.100.1".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn any_network_is_read_as_it_is_written(bits: u32, prefix in 0..=32u8) {
            let address = IpAddr::V4(bits.into());
            let net = Net { address, prefix };
            prop_assert_eq!(net.to_string().parse::<Net>(), Ok(net));
            prop_assert!(net.contains(address));
        }

        #[test]
        fn any_header_gives_an_address_or_a_reason(header: Vec<u8>) {
            let proxies = Proxies::new(Net::ALL.to_vec());
            let _ = proxies.ip("10.0.0.1".parse().unwrap(), Some(&header));
        }
    }
}
