//! What one peer is told of others, and how much of what it tells is taken. BEP 11, 55.
//!
//! A peer is told differences: who came since its last message, who is gone. What it tells costs
//! tokens. Knows no other peer's state: who can be reached is told with each question.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use fastrand::Rng;
use shoal_wire::extended::Pex;
use shoal_wire::extended::pex::{PexFlags, PexPeer};
use shoal_wire::limits::PEX_SENT_MAX;

use crate::limits::{
    INTRODUCTION_COST, INTRODUCTIONS_BURST, PEX_EVERY, PEX_HEARD_BURST, PEX_HEARD_COST,
    PEX_TOLD_MAX,
};
use crate::rates::TokenBucket;

/// Peers that others can dial, and what is said of them.
pub type Reachable = BTreeMap<SocketAddr, PexFlags>;

/// What passes between us and one peer about others.
#[derive(Debug)]
pub struct Gossip {
    /// Whom it was told of and not that they are gone.
    told: BTreeSet<SocketAddr>,
    /// When it may be told more.
    next_at: Instant,
    /// Which state of [`Reachable`] it was told of, if of all.
    up_to: Option<u64>,
    heard: TokenBucket,
    introductions: TokenBucket,
}

impl Gossip {
    /// Nothing was said yet.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            told: BTreeSet::new(),
            next_at: now,
            up_to: None,
            heard: TokenBucket::new(Some(1), PEX_HEARD_BURST, now),
            introductions: TokenBucket::new(Some(1), INTRODUCTIONS_BURST, now),
        }
    }

    /// Whether there may be something to tell: `state` counts the changes of who can be reached.
    #[must_use]
    pub fn is_due(&self, now: Instant, state: u64) -> bool {
        now >= self.next_at && self.up_to != Some(state)
    }

    /// The next message to the peer at `to`, if there is anything to say: at most 50 of each kind,
    /// by chance which.
    pub fn message(
        &mut self,
        now: Instant,
        state: u64,
        reachable: &Reachable,
        to: &[SocketAddr],
        rng: &mut Rng,
    ) -> Option<Pex> {
        let fits = |address: &SocketAddr| {
            !to.contains(address) && to.iter().all(|to| may_name(to.ip(), address.ip()))
        };
        let gone = self
            .told
            .iter()
            .filter(|address| !reachable.contains_key(address));
        let mut dropped: Vec<_> = gone.copied().collect();
        let new = reachable
            .iter()
            .filter(|(address, _)| fits(address) && !self.told.contains(address));
        let mut added: Vec<_> = new
            .map(|(&address, &flags)| PexPeer { address, flags })
            .collect();
        let all = added.len() <= PEX_SENT_MAX && dropped.len() <= PEX_SENT_MAX;
        if !all {
            rng.shuffle(&mut added);
        }
        dropped.truncate(PEX_SENT_MAX);
        for address in &dropped {
            self.told.remove(address);
        }
        added.truncate(PEX_SENT_MAX.min(PEX_TOLD_MAX - self.told.len()));
        self.told.extend(added.iter().map(|peer| peer.address));
        self.up_to = all.then_some(state);
        let message = Pex { added, dropped };
        if !message.is_empty() || !all {
            self.next_at = now + PEX_EVERY;
        }
        Some(message).filter(|message| !message.is_empty())
    }

    /// It told of others; false when it does so much too often.
    pub fn hears(&mut self, now: Instant) -> bool {
        self.heard.take(now, PEX_HEARD_COST)
    }

    /// It asks for an introduction or is given one; false when there were too many.
    pub fn introduces(&mut self, now: Instant) -> bool {
        self.introductions.take(now, INTRODUCTION_COST)
    }
}

/// How far an address reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    Machine,
    Network,
    World,
}

fn reach(ip: IpAddr) -> Reach {
    let is_network = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    };
    match ip.to_canonical() {
        ip if ip.is_loopback() => Reach::Machine,
        ip if is_network(ip) => Reach::Network,
        _ => Reach::World,
    }
}

/// Whether between us and the peer at `peer` the address may be named: no stranger makes us knock
/// at the doors of our own network, and none is told who lives there.
#[must_use]
pub fn may_name(peer: IpAddr, address: IpAddr) -> bool {
    reach(address) >= reach(peer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    fn address(n: u32) -> SocketAddr {
        let [a, b, c, d] = n.to_be_bytes();
        SocketAddr::from(([1 + a, b, c, d], 6881))
    }

    fn reachable(numbers: impl IntoIterator<Item = u32>) -> Reachable {
        let numbers = numbers.into_iter();
        numbers.map(|n| (address(n), PexFlags::REACHABLE)).collect()
    }

    fn addresses(message: Option<Pex>) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        let message = message.unwrap_or_default();
        let mut added: Vec<_> = message.added.iter().map(|peer| peer.address).collect();
        added.sort_unstable();
        (added, message.dropped)
    }

    #[test]
    fn peer_is_told_differences_and_never_of_itself() {
        let mut now = Instant::now();
        let (mut gossip, rng) = (Gossip::new(now), &mut Rng::with_seed(1));
        let to = [address(1)];
        let mut tell = |now, state, who: &Reachable| {
            assert!(gossip.is_due(now, state));
            let told = addresses(gossip.message(now, state, who, &to, rng));
            assert!(!gossip.is_due(now + SECOND * 3_600, state), "all is said");
            assert_eq!(gossip.is_due(now, state + 1), told == (vec![], vec![]));
            assert!(gossip.is_due(now + PEX_EVERY, state + 1));
            told
        };
        assert_eq!(tell(now, 1, &reachable([1])), (vec![], vec![]));
        now += SECOND;
        let told = tell(now, 2, &reachable([1, 2, 3]));
        assert_eq!(told, (vec![address(2), address(3)], vec![]));
        now += PEX_EVERY;
        let told = tell(now, 3, &reachable([1, 3, 4]));
        assert_eq!(told, (vec![address(4)], vec![address(2)]));
    }

    #[test]
    fn fifty_are_told_at_a_time_and_the_others_later() {
        let mut now = Instant::now();
        let (mut gossip, rng) = (Gossip::new(now), &mut Rng::with_seed(1));
        let all = reachable(0..120);
        let mut told = BTreeSet::new();
        for expect in [50, 50, 20] {
            assert!(gossip.is_due(now, 1));
            let (added, _) = addresses(gossip.message(now, 1, &all, &[], rng));
            assert_eq!(added.len(), expect);
            told.extend(added);
            now += PEX_EVERY;
        }
        assert_eq!(told.len(), 120);
        let mut taken_back = 0;
        for expect in [50, 50, 20] {
            let (_, dropped) = addresses(gossip.message(now, 2, &reachable([]), &[], rng));
            assert_eq!(dropped.len(), expect);
            taken_back += dropped.len();
        }
        assert_eq!(taken_back, 120);
    }

    #[test]
    fn what_a_peer_was_told_is_bounded() {
        let mut now = Instant::now();
        let (mut gossip, rng) = (Gossip::new(now), &mut Rng::with_seed(1));
        let all = reachable(0..2_000);
        for state in 0..40 {
            gossip.message(now, state, &all, &[], rng);
            now += PEX_EVERY;
        }
        assert_eq!(gossip.told.len(), PEX_TOLD_MAX);
    }

    #[test]
    fn message_a_minute_is_taken_and_a_flood_is_not() {
        let start = Instant::now();
        let mut gossip = Gossip::new(start);
        for minute in 0..600 {
            assert!(gossip.hears(start + SECOND * 60 * minute));
        }
        let mut gossip = Gossip::new(start);
        let taken = (0..100).take_while(|_| gossip.hears(start)).count() as u64;
        assert_eq!(taken, PEX_HEARD_BURST / PEX_HEARD_COST);
    }

    #[test]
    fn strangers_name_no_address_of_our_network() {
        let check = |peer: &str, address: &str, expect: bool| {
            let (peer, address) = (peer.parse().unwrap(), address.parse().unwrap());
            assert_eq!(may_name(peer, address), expect, "{peer} {address}");
        };
        for (peer, machine, network, world) in [
            ("127.0.0.1", true, true, true),
            ("192.168.0.1", false, true, true),
            ("fe80::1", false, true, true),
            ("fd00::1", false, true, true),
            ("8.8.8.8", false, false, true),
            ("2001::1", false, false, true),
        ] {
            for address in ["127.0.0.9", "::1", "::ffff:127.0.0.1"] {
                check(peer, address, machine);
            }
            for address in ["10.1.2.3", "169.254.0.1", "fe80::2", "::ffff:10.0.0.1"] {
                check(peer, address, network);
            }
            check(peer, "9.9.9.9", world);
        }
    }
}
