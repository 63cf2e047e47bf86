//! Whom to dial, when, and whom never again. BEP 3 "peers"; the bounds are ours.
//!
//! Every address is in one place: waiting for its time, being dialled, or connected. Failures back
//! off with jitter. Knows nothing of what the peers are worth.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use fastrand::Rng;
use shoal_metainfo::PeerId;

use crate::io::CandidateSource;
use crate::limits::{BANNED_MAX, CANDIDATES_MAX, FAILURES_MAX, RETRY_FIRST, RETRY_MAX};

#[derive(Debug)]
struct Candidate {
    source: CandidateSource,
    failures: u32,
    /// It had everything when we last saw it.
    is_seed: bool,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In `queue` under this key.
    Waiting(Turn),
    Dialling,
    Connected,
}

/// When an address is due; among those due at once a person's choice, then chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    at: Instant,
    rank: u32,
}

/// Known addresses.
#[derive(Debug)]
pub struct Candidates {
    known: BTreeMap<SocketAddr, Candidate>,
    queue: BTreeSet<(Turn, SocketAddr)>,
    /// Dials without an answer yet, whatever became of the address: it may have dialled us.
    dials: BTreeSet<SocketAddr>,
    /// Addresses that are ourselves.
    ours: BTreeSet<SocketAddr>,
    banned: BTreeSet<Ban>,
    banned_in_order: VecDeque<Ban>,
    rng: Rng,
}

/// A ban is as narrow as the address is shared: behind a loopback address live many peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Ban {
    Ip(IpAddr),
    Address(SocketAddr),
    Name(IpAddr, PeerId),
}

impl Candidates {
    /// Knowing nobody.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            known: BTreeMap::new(),
            queue: BTreeSet::new(),
            dials: BTreeSet::new(),
            ours: BTreeSet::new(),
            banned: BTreeSet::new(),
            banned_in_order: VecDeque::new(),
            rng: Rng::with_seed(seed),
        }
    }

    /// Somebody named an address. Nonsense, bans and ourselves are dropped; what is known stays.
    pub fn add(&mut self, now: Instant, address: SocketAddr, source: CandidateSource) {
        let is_user = source == CandidateSource::User;
        if !is_dialable(address) || self.ours.contains(&address) || self.is_banned_at(address) {
            return;
        }
        if let Some(known) = self.known.get_mut(&address) {
            if is_user {
                known.source = source;
            }
            return;
        }
        if self.known.len() >= CANDIDATES_MAX && !self.make_room(is_user) {
            return;
        }
        let state = State::Connected;
        let candidate = Candidate {
            source,
            failures: 0,
            is_seed: false,
            state,
        };
        self.known.insert(address, candidate);
        self.wait(address, now);
    }

    /// The next address to dial, now marked as being dialled. Known seeds are passed over when
    /// `skip_seeds`.
    pub fn dial(&mut self, now: Instant, skip_seeds: bool) -> Option<SocketAddr> {
        while let Some(&(turn, address)) = self.queue.first() {
            if turn.at > now {
                return None;
            }
            self.queue.pop_first();
            let candidate = self.known.get_mut(&address).expect("queued ones are known");
            if skip_seeds && candidate.is_seed {
                // It may have lost something by then.
                self.wait(address, now + RETRY_MAX);
                continue;
            }
            candidate.state = State::Dialling;
            if !self.dials.insert(address) {
                self.wait(address, now + RETRY_FIRST);
                continue;
            }
            return Some(address);
        }
        None
    }

    /// When the next address is due.
    #[must_use]
    pub fn due_at(&self) -> Option<Instant> {
        self.queue.first().map(|(turn, _)| turn.at)
    }

    /// Dials under way.
    #[must_use]
    pub fn dialling(&self) -> usize {
        self.dials.len()
    }

    /// Addresses that wait for their time.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Addresses that wait and never failed.
    #[must_use]
    pub fn fresh(&self) -> usize {
        let waiting = self.queue.iter().map(|(_, address)| &self.known[address]);
        waiting.filter(|candidate| candidate.failures == 0).count()
    }

    /// Addresses, ranges and names that are banned.
    #[must_use]
    pub fn banned(&self) -> usize {
        self.banned.len()
    }

    /// A dial came to nothing.
    pub fn failed(&mut self, now: Instant, address: SocketAddr) {
        self.dials.remove(&address);
        let known = self.known.get(&address);
        if known.is_some_and(|candidate| candidate.state == State::Dialling) {
            self.back_off(now, address);
        }
    }

    /// A dial came to a connection.
    pub fn answered(&mut self, address: SocketAddr) {
        self.dials.remove(&address);
        self.connected(address);
    }

    /// There is a connection to the address: by our dial, or by theirs and they told its port.
    pub fn connected(&mut self, address: SocketAddr) {
        if let Some(candidate) = self.known.get_mut(&address) {
            if let State::Waiting(turn) = candidate.state {
                self.queue.remove(&(turn, address));
            }
            candidate.state = State::Connected;
        }
    }

    /// The connection to the address is gone. `good`: it was of use, so earlier failures are
    /// forgiven.
    pub fn disconnected(&mut self, now: Instant, address: SocketAddr, good: bool, is_seed: bool) {
        let Some(candidate) = self.known.get_mut(&address) else {
            return;
        };
        if candidate.state == State::Connected {
            candidate.is_seed = is_seed;
            if good {
                candidate.failures = 0;
            }
            self.back_off(now, address);
        }
    }

    /// The address is ourselves: never again.
    pub fn is_us(&mut self, address: SocketAddr) {
        self.drop(address);
        // Bounded: each was a candidate once.
        if self.ours.len() < CANDIDATES_MAX {
            self.ours.insert(address);
        }
    }

    /// Bans the peer: by its IP address, or, on loopback, by its exact address and by its name.
    pub fn ban(&mut self, address: SocketAddr, peer_id: PeerId) {
        let ip = address.ip().to_canonical();
        if ip.is_loopback() {
            self.remember_ban(Ban::Address(address));
            self.remember_ban(Ban::Name(ip, peer_id));
        } else {
            self.remember_ban(Ban::Ip(ip));
        }
        let known = self.known.keys().copied();
        let gone: Vec<_> = known
            .filter(|&address| self.is_banned_at(address))
            .collect();
        for address in gone {
            self.drop(address);
        }
    }

    /// Bans a web server by its name alone: peers may be found at its address.
    pub fn ban_web(&mut self, address: SocketAddr, peer_id: PeerId) {
        let ip = address.ip().to_canonical();
        self.remember_ban(Ban::Name(ip, peer_id));
    }

    /// Whether the peer is banned.
    #[must_use]
    pub fn is_banned(&self, address: SocketAddr, peer_id: PeerId) -> bool {
        let name = Ban::Name(address.ip().to_canonical(), peer_id);
        self.is_banned_at(address) || self.banned.contains(&name)
    }

    fn is_banned_at(&self, address: SocketAddr) -> bool {
        let ip = Ban::Ip(address.ip().to_canonical());
        self.banned.contains(&ip) || self.banned.contains(&Ban::Address(address))
    }

    fn remember_ban(&mut self, ban: Ban) {
        if !self.banned.insert(ban) {
            return;
        }
        self.banned_in_order.push_back(ban);
        if self.banned_in_order.len() > BANNED_MAX {
            let oldest = self.banned_in_order.pop_front();
            oldest.map(|oldest| self.banned.remove(&oldest));
        }
    }

    fn wait(&mut self, address: SocketAddr, at: Instant) {
        let candidate = self.known.get_mut(&address).expect("only known ones wait");
        let rank = match candidate.source {
            CandidateSource::User => 0,
            CandidateSource::Tracker => self.rng.u32(1..),
        };
        let turn = Turn { at, rank };
        candidate.state = State::Waiting(turn);
        self.queue.insert((turn, address));
    }

    fn back_off(&mut self, now: Instant, address: SocketAddr) {
        let candidate = self.known.get_mut(&address).expect("only known ones fail");
        let doubled = RETRY_FIRST.saturating_mul(1 << candidate.failures.min(20));
        candidate.failures += 1;
        if candidate.failures > FAILURES_MAX && candidate.source != CandidateSource::User {
            self.drop(address);
            return;
        }
        // Half to all of it, so that a swarm does not come back in one wave.
        let most = u64::try_from(doubled.min(RETRY_MAX).as_millis()).expect("below RETRY_MAX");
        let jittered = self.rng.u64(most / 2..=most);
        self.wait(address, now + Duration::from_millis(jittered));
    }

    fn drop(&mut self, address: SocketAddr) {
        let Some(candidate) = self.known.remove(&address) else {
            return;
        };
        if let State::Waiting(turn) = candidate.state {
            self.queue.remove(&(turn, address));
        }
    }

    /// Drops the address that is due last and that no person named; one that failed, unless a
    /// person's choice needs the room.
    fn make_room(&mut self, is_user: bool) -> bool {
        let worst = self
            .queue
            .iter()
            .rev()
            .map(|(_, address)| *address)
            .find(|address| {
                let candidate = &self.known[address];
                let failed = candidate.failures > 0 || is_user;
                candidate.source != CandidateSource::User && failed
            });
        worst.map(|address| self.drop(address)).is_some() || is_user
    }
}

/// Whether a connection to the address could be a peer's.
fn is_dialable(address: SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}

#[cfg(test)]
mod tests {
    use super::*;
    use CandidateSource::{Tracker, User};

    const SECOND: Duration = Duration::from_secs(1);

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn nth(n: usize) -> SocketAddr {
        let [a, b, c, d] = u32::try_from(n + 1).unwrap().to_be_bytes();
        SocketAddr::from(([10 + a, b, c, d], 6881))
    }

    #[test]
    fn nonsense_is_never_dialled() {
        let now = Instant::now();
        let mut candidates = Candidates::new(1);
        for text in [
            "1.2.3.4:0",
            "0.0.0.0:1",
            "224.0.0.1:1",
            "255.255.255.255:1",
            "[::]:1",
            "[ff02::1]:1",
            "[::ffff:0.0.0.0]:1",
        ] {
            candidates.add(now, address(text), User);
        }
        assert_eq!(candidates.dial(now, false), None);
    }

    #[test]
    fn persons_choice_is_dialled_first() {
        let now = Instant::now();
        let mut candidates = Candidates::new(1);
        (0..50).for_each(|n| candidates.add(now, nth(n), Tracker));
        candidates.add(now, address("127.0.0.1:5"), User);
        assert_eq!(candidates.dial(now, false), Some(address("127.0.0.1:5")));
        assert_eq!(candidates.dialling(), 1);
    }

    #[test]
    fn dial_counts_until_its_answer_though_the_peer_dialled_us_meanwhile() {
        let mut now = Instant::now();
        let mut candidates = Candidates::new(1);
        candidates.add(now, nth(0), Tracker);
        assert_eq!(candidates.dial(now, false), Some(nth(0)));
        candidates.connected(nth(0));
        assert_eq!(candidates.dialling(), 1);
        candidates.disconnected(now, nth(0), true, false);
        now += RETRY_MAX;
        assert_eq!(candidates.dial(now, false), None, "one dial at a time");
        candidates.failed(now, nth(0));
        assert_eq!(candidates.dialling(), 0);
        now += RETRY_MAX;
        assert_eq!(candidates.dial(now, false), Some(nth(0)));
        candidates.answered(nth(0));
        assert_eq!(candidates.dialling(), 0);
    }

    #[test]
    fn failed_address_waits_longer_each_time_and_is_dropped_at_last() {
        let mut now = Instant::now();
        let mut candidates = Candidates::new(1);
        candidates.add(now, nth(0), Tracker);
        let mut waits = Vec::new();
        while let Some(due) = candidates.due_at() {
            waits.push(due.saturating_duration_since(now));
            now = now.max(due);
            assert_eq!(candidates.dial(now, false), Some(nth(0)));
            assert_eq!(candidates.dial(now, false), None);
            candidates.failed(now, nth(0));
            assert_eq!(candidates.dialling(), 0);
        }
        assert_eq!(waits.len() - 1, usize::try_from(FAILURES_MAX).unwrap());
        assert!(waits[1] <= RETRY_FIRST && waits[1] >= RETRY_FIRST / 2);
        assert!(waits[5] > waits[1] * 4);
        assert!(waits.iter().all(|wait| *wait <= RETRY_MAX));
        let user = nth(1);
        candidates.add(now, user, User);
        for _ in 0..3 * FAILURES_MAX {
            now = now.max(candidates.due_at().unwrap());
            assert_eq!(candidates.dial(now, false), Some(user));
            candidates.failed(now, user);
        }
    }

    #[test]
    fn known_addresses_are_bounded_and_persons_choices_stay() {
        let now = Instant::now();
        let mut candidates = Candidates::new(1);
        candidates.add(now, nth(0), User);
        (1..3 * CANDIDATES_MAX).for_each(|n| candidates.add(now, nth(n), Tracker));
        assert_eq!(candidates.waiting(), CANDIDATES_MAX);
        candidates.add(now, address("127.0.0.1:5"), User);
        assert_eq!(candidates.waiting(), CANDIDATES_MAX);
        let dialled = [candidates.dial(now, false), candidates.dial(now, false)];
        assert!(dialled.contains(&Some(nth(0))));
        assert!(dialled.contains(&Some(address("127.0.0.1:5"))));
    }

    #[test]
    fn connected_address_is_not_dialled_until_it_is_gone() {
        let now = Instant::now();
        let mut candidates = Candidates::new(1);
        candidates.add(now, nth(0), Tracker);
        candidates.connected(nth(0));
        candidates.add(now, nth(0), Tracker);
        assert_eq!(candidates.dial(now, false), None);
        candidates.disconnected(now, nth(0), true, false);
        assert_eq!(candidates.dial(now, false), None, "not at once");
        assert_eq!(candidates.dial(now + RETRY_FIRST, false), Some(nth(0)));
    }

    #[test]
    fn seed_is_passed_over_while_we_are_one() {
        let now = Instant::now();
        let mut candidates = Candidates::new(1);
        candidates.add(now, nth(0), Tracker);
        candidates.connected(nth(0));
        candidates.disconnected(now, nth(0), true, true);
        assert_eq!(candidates.dial(now + SECOND * 10, true), None);
        assert!(candidates.due_at().unwrap() > now + SECOND * 10);
    }

    #[test]
    fn ban_on_loopback_spares_the_neighbours() {
        let mut candidates = Candidates::new(1);
        let (bad, good) = (PeerId([1; 20]), PeerId([2; 20]));
        candidates.ban(address("127.0.0.1:1000"), bad);
        assert!(candidates.is_banned(address("127.0.0.1:1000"), good));
        assert!(candidates.is_banned(address("127.0.0.1:2000"), bad));
        assert!(!candidates.is_banned(address("127.0.0.1:2000"), good));
    }

    #[test]
    fn ban_elsewhere_is_of_the_ip_and_forgets_its_addresses() {
        let now = Instant::now();
        let mut candidates = Candidates::new(1);
        candidates.add(now, address("9.9.9.9:1"), User);
        candidates.ban(address("9.9.9.9:1000"), PeerId([1; 20]));
        candidates.add(now, address("9.9.9.9:2"), User);
        candidates.add(now, address("[::ffff:9.9.9.9]:2"), User);
        assert_eq!(candidates.dial(now, false), None);
        assert!(candidates.is_banned(address("9.9.9.9:3"), PeerId([2; 20])));
        assert_eq!(candidates.banned(), 1);
    }

    #[test]
    fn bans_are_bounded_and_the_oldest_goes() {
        let mut candidates = Candidates::new(1);
        (0..=BANNED_MAX).for_each(|n| candidates.ban(nth(n), PeerId([1; 20])));
        assert_eq!(candidates.banned(), BANNED_MAX);
        assert!(!candidates.is_banned(nth(0), PeerId([1; 20])));
        assert!(candidates.is_banned(nth(1), PeerId([1; 20])));
    }

    #[test]
    fn our_own_address_is_never_dialled_again() {
        let now = Instant::now();
        let mut candidates = Candidates::new(1);
        candidates.add(now, nth(0), User);
        assert_eq!(candidates.dial(now, false), Some(nth(0)));
        candidates.answered(nth(0));
        candidates.is_us(nth(0));
        candidates.add(now, nth(0), User);
        assert_eq!(
            (candidates.dial(now, false), candidates.dialling()),
            (None, 0)
        );
    }
}
