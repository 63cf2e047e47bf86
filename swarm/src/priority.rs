//! Which of two peers goes first when places are scarce. BEP 40, "canonical peer priority".
//!
//! Both ends of a connection compute the same number, and nobody can choose it without choosing
//! addresses: so a swarm whose places are all taken still becomes one well-mixed graph.

use std::net::{IpAddr, SocketAddr};

use crc32c::crc32c;

/// The priority of a connection between the two: the greater, the better; the same in both
/// directions. `None` for addresses of different families.
///
/// Source: BEP 40; for IPv6, which it leaves open, libtorrent's: the first 64 bits with the masks
/// twice as wide, the others whole.
///
/// ```
/// use shoal_swarm::priority::priority;
///
/// let [us, far, near] = ["123.213.32.10:1", "98.76.54.32:1", "123.213.32.234:1"];
/// let between = |a: &str, b: &str| priority(a.parse().unwrap(), b.parse().unwrap());
/// assert_eq!(between(us, far), Some(0xec2d_7224));
/// assert_eq!(between(us, near), Some(0x9956_8189));
/// ```
#[must_use]
pub fn priority(a: SocketAddr, b: SocketAddr) -> Option<u32> {
    match (a.ip().to_canonical(), b.ip().to_canonical()) {
        (a_ip, b_ip) if a_ip == b_ip => {
            let [low, high] = sorted(a.port().to_be_bytes(), b.port().to_be_bytes());
            Some(crc32c(&[low, high].concat()))
        }
        (IpAddr::V4(a), IpAddr::V4(b)) => Some(of_different(a.octets(), b.octets(), 1)),
        (IpAddr::V6(a), IpAddr::V6(b)) => Some(of_different(a.octets(), b.octets(), 2)),
        _ => None,
    }
}

/// The first two units of an address count whole; the third only between neighbours in those two,
/// the fourth only between neighbours in three. Else every second bit of it counts.
fn of_different<const N: usize>(a: [u8; N], b: [u8; N], unit: usize) -> u32 {
    let whole = match () {
        () if a[..2 * unit] != b[..2 * unit] => 2 * unit,
        () if a[..3 * unit] != b[..3 * unit] => 3 * unit,
        () => 4 * unit,
    };
    let masked = |mut address: [u8; N]| {
        for byte in &mut address[whole..4 * unit] {
            *byte &= 0x55;
        }
        address
    };
    // What decides the order is not masked.
    crc32c(&sorted(a, b).map(masked).concat())
}

fn sorted<T: Ord>(a: T, b: T) -> [T; 2] {
    if a <= b { [a, b] } else { [b, a] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn between(a: &str, b: &str) -> Option<u32> {
        priority(a.parse().unwrap(), b.parse().unwrap())
    }

    #[test]
    fn vectors_of_bep_40_hold() {
        assert_eq!(
            between("123.213.32.10:1", "98.76.54.32:2"),
            Some(0xec2d_7224)
        );
        assert_eq!(
            between("123.213.32.10:1", "123.213.32.234:2"),
            Some(0x9956_8189)
        );
    }

    #[test]
    fn vector_of_another_program_holds() {
        // anacrolix/torrent, bep40_test.go.
        assert_eq!(
            between("206.248.98.111:1", "142.147.89.224:2"),
            Some(0x2b41_d456)
        );
    }

    #[test]
    fn peers_at_one_address_are_told_apart_by_their_ports() {
        let expect = Some(crc32c(&[0, 80, 0x1a, 0xe1]));
        assert_eq!(between("1.2.3.4:6881", "1.2.3.4:80"), expect);
        assert_eq!(between("[::1]:6881", "[::1]:80"), expect);
        assert_eq!(between("[::ffff:1.2.3.4]:6881", "1.2.3.4:80"), expect);
    }

    #[test]
    fn bits_that_are_masked_change_nothing() {
        let check = |a: &str, b: &str, like_b: &str, same: bool| {
            assert_eq!(
                between(a, b) == between(a, like_b),
                same,
                "{a} {b} {like_b}"
            );
        };
        // 0xaa are the masked bits.
        check("1.2.3.4:1", "5.6.0.0:1", "5.6.170.170:1", true);
        check("1.2.3.4:1", "5.6.0.0:1", "5.6.85.0:1", false);
        check("1.2.3.4:1", "1.2.4.0:1", "1.2.4.170:1", true);
        check("1.2.3.4:1", "1.2.4.0:1", "1.2.174.0:1", false);
        check("1.2.3.4:1", "1.2.3.0:1", "1.2.3.170:1", false);
        check("[1::1]:1", "[2::1]:1", "[2:0:aaaa:aaaa::1]:1", true);
        check("[1::1]:1", "[2::1]:1", "[2::2]:1", false);
        check("[1::1]:1", "[1:0:1::1]:1", "[1:0:1:aaaa::1]:1", true);
        check("[1::1]:1", "[1:0:0:1::1]:1", "[1:0:0:aaab::1]:1", false);
    }

    #[test]
    fn families_are_not_compared() {
        assert_eq!(between("1.2.3.4:1", "[::1]:1"), None);
    }

    proptest! {
        #[test]
        fn both_ends_compute_the_same(a: (IpAddr, u16), b: (IpAddr, u16)) {
            let (a, b) = (SocketAddr::from(a), SocketAddr::from(b));
            prop_assert_eq!(priority(a, b), priority(b, a));
        }
    }
}
