//! Connection ids that need no table: proof that somebody takes packets at an address. BEP 15.
//!
//! An id is a keyed hash of the address and the coarse time, all 64 bits of it. So nothing is kept
//! for those who only ask, a forged id is a guess at 64 bits, and no two addresses share one. The
//! key is secret and new with each start; the clock is an argument.

use std::net::IpAddr;
use std::time::Instant;

use siphasher::sip::SipHasher24;

use super::packet::ConnectionId;
use crate::limits::CONNECTION_WINDOW;

/// Gives and checks connection ids.
#[derive(Debug, Clone)]
pub struct ConnectionIds {
    hasher: SipHasher24,
    begun: Instant,
}

impl ConnectionIds {
    /// Ids under a secret key: sixteen bytes of the system's randomness.
    #[must_use]
    pub fn new(key: &[u8; 16], now: Instant) -> Self {
        Self {
            hasher: SipHasher24::new_with_key(key),
            begun: now,
        }
    }

    /// The id for that address; good for one to two [`CONNECTION_WINDOW`]s.
    ///
    /// The port does not count: address translation may give each packet another.
    #[must_use]
    pub fn issue(&self, now: Instant, ip: IpAddr) -> ConnectionId {
        self.of_window(self.window(now), ip)
    }

    /// Whether the id was given to that address in this window or the one before.
    ///
    /// The time it takes says nothing of the id: both windows are looked at whatever the first
    /// gives, and words are compared whole.
    #[must_use]
    pub fn accepts(&self, now: Instant, ip: IpAddr, id: ConnectionId) -> bool {
        let window = self.window(now);
        let now = self.of_window(window, ip).0 ^ id.0;
        let before = self.of_window(window.wrapping_sub(1), ip).0 ^ id.0;
        (now == 0) | (before == 0)
    }

    fn window(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.begun).as_secs() / CONNECTION_WINDOW.as_secs()
    }

    fn of_window(&self, window: u64, ip: IpAddr) -> ConnectionId {
        let ip = match ip {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        let mut bytes = [0; 24];
        bytes[..16].copy_from_slice(&ip.octets());
        bytes[16..].copy_from_slice(&window.to_be_bytes());
        ConnectionId(self.hasher.hash(&bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;
    use std::time::Duration;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn id_is_good_for_its_address_and_for_two_windows_at_most() {
        let begun = Instant::now();
        let ids = ConnectionIds::new(&[7; 16], begun);
        for (offset, address) in [(0, "192.0.2.1"), (119, "2001:db8::1"), (240, "192.0.2.1")] {
            let given = begun + Duration::from_secs(offset);
            let id = ids.issue(given, ip(address));
            let after = |seconds| {
                let now = given + Duration::from_secs(seconds);
                ids.accepts(now, ip(address), id)
            };
            // BEP 15: a client may use it for one minute, a tracker takes it for two.
            assert!((0..=120).all(after), "{offset}");
            assert!(!(240..1_000).any(after), "{offset}");
            assert!(!ids.accepts(given, ip("192.0.2.2"), id));
        }
    }

    #[test]
    fn mapped_address_is_the_ipv4_one_and_another_key_gives_other_ids() {
        let now = Instant::now();
        let ids = ConnectionIds::new(&[7; 16], now);
        let id = ids.issue(now, ip("::ffff:192.0.2.1"));
        assert_eq!(ids.issue(now, ip("192.0.2.1")), id);
        let others = ConnectionIds::new(&[8; 16], now);
        assert!(!others.accepts(now, ip("192.0.2.1"), id));
    }

    /// Random ids, other addresses' ids, and good ids with each of their bits turned.
    #[test]
    fn none_of_a_million_forged_ids_is_accepted() {
        let count = crate::forgeries();
        let now = Instant::now();
        let ids = ConnectionIds::new(&[9; 16], now);
        let mut rng = Rng::with_seed(1);
        let mut accepted = 0u32;
        for number in 0..count {
            let victim = IpAddr::from(rng.u32(..).to_be_bytes());
            let forged = match number % 3 {
                0 => ConnectionId(rng.u64(..)),
                1 => ids.issue(now, IpAddr::from(rng.u32(..).to_be_bytes())),
                _ => ConnectionId(ids.issue(now, victim).0 ^ (1 << rng.u32(..64))),
            };
            accepted += u32::from(ids.accepts(now, victim, forged));
        }
        // One in three is another address's, which chance makes the victim's own once in 2^32.
        assert_eq!(accepted, 0, "of {count}");
        println!("forged connection ids: 0 of {count} accepted");
    }
}
