//! The gateway: whom the system sends to what is in no network of ours. Linux.
//!
//! Other systems tell it by other means; there, only UPnP finds gateways, which needs no address.

use std::fs;
use std::net::Ipv4Addr;

/// Where Linux lists its routes.
const ROUTES: &str = "/proc/net/route";

/// Source: `linux/route.h`, RTF_UP and RTF_GATEWAY.
const USABLE: u16 = 1 | 2;

/// The gateway of the best default route.
pub(super) fn gateway() -> Option<Ipv4Addr> {
    // A few hundred bytes that the kernel makes up on the spot.
    read(&fs::read_to_string(ROUTES).ok()?)
}

fn read(routes: &str) -> Option<Ipv4Addr> {
    let defaults = routes.lines().skip(1).filter_map(|line| {
        let columns: Vec<_> = line.split_ascii_whitespace().collect();
        let [_, destination, gateway, flags, _, _, metric, mask, ..] = columns[..] else {
            return None;
        };
        let flags = u16::from_str_radix(flags, 16).ok()?;
        let is_default = [destination, mask].iter().all(|text| **text == *"00000000");
        // The bytes lie as they are in memory.
        let gateway = u32::from_str_radix(gateway, 16).ok()?.to_ne_bytes();
        let metric: u32 = metric.parse().ok()?;
        (is_default && flags & USABLE == USABLE).then_some((metric, Ipv4Addr::from(gateway)))
    });
    defaults.min().map(|(_, gateway)| gateway)
}

#[cfg(test)]
#[cfg(target_endian = "little")]
mod tests {
    use super::*;

    const HEAD: &str = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n";

    fn check(lines: &str, expect: Option<[u8; 4]>) {
        assert_eq!(
            read(&format!("{HEAD}{lines}")),
            expect.map(Into::into),
            "{lines}"
        );
    }

    #[test]
    fn best_default_route_names_the_gateway() {
        let lan = "eth0 0001A8C0 00000000 0001 0 0 0 00FFFFFF 0 0 0\n";
        let wire = "eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n";
        let air = "wlan0 00000000 FE01A8C0 0003 0 0 600 00000000 0 0 0\n";
        check(&format!("{lan}{air}{wire}"), Some([192, 168, 1, 1]));
        check(&format!("{air}{lan}"), Some([192, 168, 1, 254]));
    }

    #[test]
    fn route_without_a_gateway_names_none() {
        check("", None);
        check("eth0 00000000 00000000 0001 0 0 0 00000000 0 0 0\n", None);
        check("eth0 00000000 0101A8C0 0002 0 0 0 00000000 0 0 0\n", None);
        check("eth0 00000000 zz 0003 0 0 0 00000000 0 0 0\nx\n", None);
        check("eth0 0000000A 0101A8C0 0003 0 0 0 000000FF 0 0 0\n", None);
    }
}
