//! Which addresses a torrent may make us talk to. BEP 3 has no word on it; CWE-918 has.
//!
//! A torrent is a stranger's: what it names must not become a request to a router, a metadata
//! service or a database on this machine. The rules are libtorrent's (issues 5303, 5319, 5846):
//!
//! | where | tracker, http | tracker, udp | web seed | redirected there from the internet |
//! |---|---|---|---|---|
//! | the internet | yes | yes | yes | yes |
//! | a private network | yes | yes | without a query | no |
//! | this machine | under `/announce…`, `/scrape…` | yes | without a query | no |
//! | link-local, multicast, reserved, clouds' metadata | no | no | no | no |
//!
//! A tracker in the local network is legitimate. Over UDP nothing but BEP 15's sixteen bytes is
//! sent until what is there has shown that it is a tracker, so the path says nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use http_types::url::Host;

use crate::error::TrackerError;
use crate::limits;

/// How far away an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// On the internet.
    Global,
    /// In a private network.
    Private,
    /// On this machine.
    Loopback,
    /// Nowhere a tracker can be.
    Never(&'static str),
}

/// What a torrent would have us do there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose<'u> {
    /// Announce or scrape over HTTP.
    Announce {
        /// The path of the URL.
        path: &'u str,
    },
    /// Announce or scrape over UDP.
    UdpAnnounce,
    /// Read a part of a file.
    WebSeed {
        /// Whether the URL has a query: with one, the torrent chooses what a service is told.
        query: bool,
    },
}

/// The addresses of `host` that may be connected to, IPv6 and IPv4 in turn. They are to be used as
/// they are: a second look-up may give others.
///
/// # Errors
/// [`TrackerError::Forbidden`] when none of them may; [`TrackerError::Resolve`] when there is none.
pub fn permitted(
    host: &str,
    addresses: &[SocketAddr],
    purpose: Purpose<'_>,
    redirected_from: Option<Reach>,
) -> Result<Vec<SocketAddr>, TrackerError> {
    let mut refused = None;
    let mut good = Vec::new();
    for &address in addresses {
        match forbids(reach(address.ip()), purpose, redirected_from) {
            Some(why) => refused = Some((address.ip(), why)),
            None => good.push(address),
        }
    }
    if let (true, Some((address, why))) = (good.is_empty(), refused) {
        let host = host.to_owned();
        return Err(TrackerError::Forbidden { host, address, why });
    }
    if good.is_empty() {
        return Err(TrackerError::Resolve {
            host: host.to_owned(),
            reason: "it has no address".to_owned(),
        });
    }
    Ok(in_turn(&good))
}

fn forbids(
    reach: Reach,
    purpose: Purpose<'_>,
    redirected_from: Option<Reach>,
) -> Option<&'static str> {
    match (reach, purpose) {
        (Reach::Never(why), _) => Some(why),
        (Reach::Private | Reach::Loopback, _) if redirected_from == Some(Reach::Global) => {
            Some("a redirect from the internet must not lead into a private network")
        }
        (Reach::Loopback, Purpose::Announce { path })
            if !(path.starts_with("/announce") || path.starts_with("/scrape")) =>
        {
            Some(
                "on this machine only paths that begin /announce or /scrape are contacted, so \
                 that a torrent cannot reach other services here",
            )
        }
        (Reach::Private | Reach::Loopback, Purpose::WebSeed { query: true }) => Some(
            "in a private network a web seed is not asked with a query, so that a torrent cannot \
             command other services there",
        ),
        (Reach::Global | Reach::Private | Reach::Loopback, _) => None,
    }
}

/// Whether a connection that is open already may be used for this too.
pub(super) fn permits(reach: Reach, purpose: Purpose<'_>, redirected_from: Option<Reach>) -> bool {
    forbids(reach, purpose, redirected_from).is_none()
}

/// Why a host is not contacted, where that is clear without looking its name up: for a warning, and
/// for what goes through a proxy, which looks names up by itself.
///
/// # Errors
/// [`TrackerError::Forbidden`].
pub fn permitted_unseen<S: AsRef<str>>(
    host: &Host<S>,
    purpose: Purpose<'_>,
    redirected_from: Option<Reach>,
) -> Result<Reach, TrackerError> {
    let ip = match host {
        Host::Ipv4(ip) => IpAddr::V4(*ip),
        Host::Ipv6(ip) => IpAddr::V6(*ip),
        Host::Domain(name) if is_localhost(name.as_ref()) => Ipv4Addr::LOCALHOST.into(),
        // Then a redirect from there stays on the internet.
        Host::Domain(_) => return Ok(Reach::Global),
    };
    let reach = reach(ip);
    match forbids(reach, purpose, redirected_from) {
        None => Ok(reach),
        Some(why) => Err(TrackerError::Forbidden {
            host: host.to_string(),
            address: ip,
            why,
        }),
    }
}

/// Source: RFC 6761, section 6.3.
fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let end = name.len().checked_sub("localhost".len());
    let end = end.and_then(|at| name.split_at_checked(at));
    end.is_some_and(|(front, end)| {
        end.eq_ignore_ascii_case("localhost") && (front.is_empty() || front.ends_with('.'))
    })
}

/// How far away an address is, seen through the IPv6 forms that embed an IPv4 one.
///
/// Source: the IANA special-purpose registries; RFC 4291 (mapped), 6052 (NAT64), 3056 (6to4).
#[must_use]
pub fn reach(ip: IpAddr) -> Reach {
    match ip.to_canonical() {
        IpAddr::V4(ip) => reach_v4(ip),
        IpAddr::V6(ip) => match ip.segments() {
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] => reach_v4(embedded(high, low)),
            // Source: RFC 8215: a translator of one's own, which may lead anywhere inside.
            [0x64, 0xff9b, 1, ..] => Reach::Never("that address is translated to a local one"),
            // Source: RFC 4380: Teredo leads to one host behind a NAT, where no tracker is.
            [0x2001, 0, ..] => Reach::Never("that is the address of a tunnel"),
            [0x2002, high, low, ..] => reach_v4(embedded(high, low)),
            _ => reach_v6(ip),
        },
    }
}

fn embedded(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))
}

fn reach_v4(ip: Ipv4Addr) -> Reach {
    match ip.octets() {
        [0, ..] => Reach::Never("that is no address"),
        [127, ..] => Reach::Loopback,
        [169, 254, ..] => Reach::Never("link-local addresses serve machines' metadata"),
        // Inside the shared space, but a metadata service. Source: Alibaba Cloud's documentation.
        [100, 100, 100, 200] => Reach::Never("it serves machines' metadata"),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Reach::Private,
        [192, 0, 0, _] => Reach::Never("that address is reserved"),
        [224..=239, ..] => Reach::Never("that is a multicast address"),
        [240..=255, ..] => Reach::Never("that address is reserved"),
        _ => Reach::Global,
    }
}

fn reach_v6(ip: Ipv6Addr) -> Reach {
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Reach::Loopback,
        [0, 0, 0, 0, 0, 0, ..] => Reach::Never("that is no address"),
        [0xfe80..=0xfebf, ..] => Reach::Never("link-local addresses serve machines' metadata"),
        // Source: the documentation of Amazon's and Google's clouds.
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254] => {
            Reach::Never("it serves machines' metadata")
        }
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Reach::Private,
        [0xff00..=0xffff, ..] => Reach::Never("that is a multicast address"),
        _ => Reach::Global,
    }
}

/// The system's order, the two families in turn, so that a dead family costs one attempt.
fn in_turn(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let v6_first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let of = |v6: bool| {
        addresses
            .iter()
            .filter(move |address| address.is_ipv6() == v6)
    };
    let (mut first, mut second) = (of(v6_first), of(!v6_first));
    let mut turns = Vec::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] || turns.len() >= limits::ADDRESSES_MAX {
            return turns;
        }
        turns.extend(pair.into_iter().flatten().copied());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_an_address_is_seen_through() {
        let never = |ip: &str| matches!(reach(ip.parse().unwrap()), Reach::Never(_));
        for ip in [
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "100.100.100.200",
            "192.0.0.192",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::7f00:1",
            "64:ff9b:1::7f00:1",
            "2001::7f00:1",
            "fe80::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "ff02::1",
        ] {
            assert!(never(ip), "{ip}");
        }
        let check = |ip: &str, expect| assert_eq!(reach(ip.parse().unwrap()), expect, "{ip}");
        for ip in [
            "127.0.0.1",
            "127.255.255.254",
            "::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
        ] {
            check(ip, Reach::Loopback);
        }
        for ip in [
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "fc00::1",
            "fdff::1",
            "fec0::1",
            "::ffff:10.0.0.1",
            "2002:c0a8:101::",
        ] {
            check(ip, Reach::Private);
        }
        for ip in [
            "1.1.1.1",
            "172.32.0.1",
            "100.128.0.1",
            "2606:4700::1111",
            "::ffff:8.8.8.8",
        ] {
            check(ip, Reach::Global);
        }
    }

    fn permit(list: &[&str], path: &str, from: Option<Reach>) -> Result<Vec<String>, String> {
        let list: Vec<SocketAddr> = list.iter().map(|a| a.parse().unwrap()).collect();
        permitted("t.test", &list, Purpose::Announce { path }, from)
            .map(|good| good.iter().map(ToString::to_string).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn loopback_is_for_trackers_alone() {
        let local = ["127.0.0.1:80"];
        assert!(permit(&local, "/announce", None).is_ok());
        assert!(permit(&local, "/announce.php", None).is_ok());
        assert!(permit(&local, "/scrape", None).is_ok());
        for path in ["/", "/api/v1/shutdown", "/x/announce"] {
            let error = permit(&local, path, None).unwrap_err();
            assert!(
                error.contains("127.0.0.1") && error.contains("/announce"),
                "{error}"
            );
        }
        assert!(permit(&["192.168.0.2:80"], "/x/announce", None).is_ok());
    }

    #[test]
    fn redirect_from_the_internet_stays_there() {
        let from = Some(Reach::Global);
        for address in ["10.0.0.1:80", "127.0.0.1:80", "[fd00::1]:80", "[::1]:80"] {
            let error = permit(&[address], "/announce", from).unwrap_err();
            assert!(error.contains("redirect"), "{error}");
            assert!(permit(&[address], "/announce", Some(Reach::Private)).is_ok());
        }
        assert!(permit(&["1.1.1.1:80"], "/announce", from).is_ok());
    }

    #[test]
    fn forbidden_addresses_of_a_name_are_left_out() {
        let list = ["169.254.169.254:80", "1.1.1.1:80", "[::]:80"];
        assert_eq!(permit(&list, "/announce", None).unwrap(), ["1.1.1.1:80"]);
        let error = permit(&list[..1], "/announce", None).unwrap_err();
        assert!(error.contains("metadata"), "{error}");
        assert!(
            permit(&[], "/announce", None)
                .unwrap_err()
                .contains("no address")
        );
    }

    #[test]
    fn purpose_decides_what_may_be_said_in_a_private_network() {
        let check = |address: &str, purpose, good: bool| {
            let address = address.parse().unwrap();
            let got = permitted("t.test", &[address], purpose, None);
            assert_eq!(got.is_ok(), good, "{address} {purpose:?}");
        };
        let seed = |query| Purpose::WebSeed { query };
        for private in ["127.0.0.1:80", "[::1]:80", "192.168.0.1:80", "[fd00::1]:80"] {
            check(private, Purpose::UdpAnnounce, true);
            check(private, seed(false), true);
            check(private, seed(true), false);
        }
        for never in ["169.254.169.254:80", "0.0.0.0:80", "[ff02::1]:80"] {
            check(never, Purpose::UdpAnnounce, false);
            check(never, seed(false), false);
        }
        check("1.1.1.1:80", seed(true), true);
    }

    #[test]
    fn localhost_is_known_by_its_name() {
        for name in [
            "localhost",
            "LocalHost",
            "localhost.",
            "a.localhost",
            "a.b.LOCALHOST.",
        ] {
            assert!(is_localhost(name), "{name}");
        }
        for name in [
            "localhost.test",
            "notlocalhost",
            "localhos",
            "",
            ".",
            "localhost..",
            "é",
        ] {
            assert!(!is_localhost(name), "{name}");
        }
    }

    #[test]
    fn families_are_tried_in_turn() {
        let list = [
            "[2001:db8::1]:1",
            "[2001:db8::2]:1",
            "1.1.1.1:1",
            "1.1.1.2:1",
            "1.1.1.3:1",
        ];
        let expect = [
            "[2001:db8::1]:1",
            "1.1.1.1:1",
            "[2001:db8::2]:1",
            "1.1.1.2:1",
            "1.1.1.3:1",
        ];
        assert_eq!(permit(&list, "/announce", None).unwrap(), expect);
        let many: Vec<String> = (1..99).map(|i| format!("1.1.1.{i}:1")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let tried = permit(&many, "/announce", None).unwrap().len();
        assert_eq!(tried, limits::ADDRESSES_MAX);
    }
}
