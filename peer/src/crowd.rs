//! How many connections others may have with us: in all while they shake hands, and from one place
//! for as long as they last. Of no BEP: a swarm can be besieged from a single machine.
//!
//! A place is an IPv4 address, or an IPv6 network of 64 bits, as one line of one household has.
//! Addresses of this machine and of private networks have no bound: swarms are tried out on one
//! machine, and behind one private address (a container bridge, a router that forwards) may stand
//! the whole world. Connections that we dial are not counted: we chose them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::limits::{
    CONNECTIONS_PER_ADDRESS_MAX, HANDSHAKES_PENDING_MAX, HANDSHAKES_PENDING_PER_ADDRESS_MAX,
};

/// All that came in and are still here.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    greeting: usize,
    by_origin: HashMap<IpAddr, Count>,
}

/// Of one origin.
#[derive(Debug, Default)]
struct Count {
    /// Still shaking hands.
    greeting: usize,
    /// Those too.
    all: usize,
}

/// One of the crowd; gives its place back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    crowd: Arc<Crowd>,
    origin: IpAddr,
    greeting: bool,
}

impl Crowd {
    /// A place for somebody who begins to shake hands; `None` when there are too many.
    pub(crate) fn place(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let origin = origin(address);
        let mut state = self.lock();
        if state.greeting >= HANDSHAKES_PENDING_MAX {
            return None;
        }
        if let Some(there) = state.by_origin.get(&origin)
            && !is_shared(origin)
            && (there.greeting >= HANDSHAKES_PENDING_PER_ADDRESS_MAX
                || there.all >= CONNECTIONS_PER_ADDRESS_MAX)
        {
            return None;
        }
        state.greeting += 1;
        let there = state.by_origin.entry(origin).or_default();
        there.greeting += 1;
        there.all += 1;
        Some(Place {
            crowd: self.clone(),
            origin,
            greeting: true,
        })
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn connections(&self) -> usize {
        self.lock().by_origin.values().map(|there| there.all).sum()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held; a poisoned one is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The handshake is done.
    pub(crate) fn greeted(&mut self) {
        if std::mem::replace(&mut self.greeting, false) {
            let mut state = self.crowd.lock();
            state.greeting -= 1;
            if let Some(there) = state.by_origin.get_mut(&self.origin) {
                there.greeting -= 1;
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.greeted();
        let mut state = self.crowd.lock();
        if let Some(there) = state.by_origin.get_mut(&self.origin) {
            there.all -= 1;
            if there.all == 0 {
                state.by_origin.remove(&self.origin);
            }
        }
    }
}

/// Whose address it is: of IPv6 the network alone.
fn origin(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
    }
}

/// Whether many may stand behind it that have nothing to do with each other.
///
/// Source: RFC 1918, RFC 3927, RFC 4193, RFC 4291, RFC 6598.
fn is_shared(origin: IpAddr) -> bool {
    match origin {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            let is_carriers = a == 100 && b & 0xc0 == 64;
            ip.is_loopback() || ip.is_private() || ip.is_link_local() || is_carriers
        }
        // Without its last half, `::1` is `::`.
        IpAddr::V6(ip) => ip.is_unspecified() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// As many as get in, all hands shaken.
    fn fill(crowd: &Arc<Crowd>, address: &str) -> Vec<Place> {
        let place = || {
            let mut place = crowd.place(ip(address))?;
            place.greeted();
            Some(place)
        };
        let most = 10 * CONNECTIONS_PER_ADDRESS_MAX;
        std::iter::from_fn(place).take(most).collect()
    }

    #[test]
    fn one_address_cannot_take_all_handshakes() {
        let crowd = Arc::new(Crowd::default());
        let far = ip("192.0.2.1");
        let places: Vec<_> = std::iter::from_fn(|| crowd.place(far)).collect();
        assert_eq!(places.len(), HANDSHAKES_PENDING_PER_ADDRESS_MAX);
        assert!(crowd.place(ip("192.0.2.2")).is_some());
        drop(places);
        assert!(crowd.lock().by_origin.is_empty());
        assert_eq!(crowd.lock().greeting, 0);
    }

    #[test]
    fn handshakes_are_bounded_even_on_this_machine() {
        let crowd = Arc::new(Crowd::default());
        let here = ip("127.0.0.1");
        let places: Vec<_> = std::iter::from_fn(|| crowd.place(here)).collect();
        assert_eq!(places.len(), HANDSHAKES_PENDING_MAX);
        assert!(crowd.place(here).is_none());
    }

    #[test]
    fn one_address_cannot_take_all_connections() {
        for (address, same, other) in [
            ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"),
            ("2001:db8::1", "2001:db8:0:0:ffff::2", "2001:db8:0:1::1"),
        ] {
            let crowd = Arc::new(Crowd::default());
            let mut places = fill(&crowd, address);
            assert_eq!(places.len(), CONNECTIONS_PER_ADDRESS_MAX, "{address}");
            assert!(crowd.place(ip(same)).is_none(), "{same}");
            assert!(crowd.place(ip(other)).is_some(), "{other}");
            places.pop();
            assert!(crowd.place(ip(same)).is_some(), "one has gone");
        }
    }

    #[test]
    fn this_machine_and_private_networks_have_no_bound() {
        for address in [
            "127.0.0.1",
            "::1",
            "10.1.2.3",
            "172.17.0.1",
            "192.168.1.1",
            "169.254.3.4",
            "100.64.0.1",
            "fe80::1",
            "fd00::1",
        ] {
            let places = fill(&Arc::new(Crowd::default()), address);
            assert!(places.len() > CONNECTIONS_PER_ADDRESS_MAX, "{address}");
        }
    }
}
