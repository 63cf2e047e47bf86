//! Whom to dial, when, and whom never again. BEP 3 "peers", BEP 40; the bounds are ours.
//!
//! Every address is in one place: waiting for its time, being dialled, or connected. Failures back
//! off with jitter. Each source of addresses has a share of the room and its turn at being dialled,
//! so that whoever names thousands takes nothing from the others. Knows nothing of what the peers
//! are worth.

mod bans;
mod shares;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use fastrand::Rng;
use shoal_metainfo::PeerId;

use self::bans::Bans;
use self::shares::Shares;
use crate::io::{CandidateSource, PeerKey, Sources};
use crate::limits::{
    CANDIDATES_MAX, CANDIDATES_OF_A_TELLER_MAX, DIALS_OF_HEARSAY_MAX, FAILURES_MAX,
    FAILURES_OF_HEARSAY_MAX, RETRY_FIRST, RETRY_MAX,
};
use crate::priority::priority;

#[derive(Debug)]
struct Candidate {
    /// In whose share it is: the best of `sources` that had room.
    share: CandidateSource,
    /// Everyone who named it.
    sources: Sources,
    /// Which peer named it, if one did.
    teller: Option<PeerKey>,
    failures: u32,
    /// Somebody answered there once.
    met: bool,
    /// It had everything when we last saw it.
    is_seed: bool,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the queue of its share under this key.
    Waiting(Turn),
    Dialling,
    Connected,
}

/// When an address is due; among those due at once by rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    at: Instant,
    rank: u32,
}

/// Known addresses.
#[derive(Debug)]
pub struct Candidates {
    known: BTreeMap<SocketAddr, Candidate>,
    shares: Shares,
    /// Dials without an answer yet, whatever became of the address (it may have dialled us), and
    /// for which share.
    dials: BTreeMap<SocketAddr, CandidateSource>,
    /// Addresses that are ourselves.
    ours: Vec<SocketAddr>,
    /// Where others see us, IPv4 and IPv6, when that is known.
    outside: [Option<SocketAddr>; 2],
    bans: Bans,
    rng: Rng,
}

impl Candidates {
    /// Knowing nobody.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            known: BTreeMap::new(),
            shares: Shares::default(),
            dials: BTreeMap::new(),
            ours: Vec::new(),
            outside: [None; 2],
            bans: Bans::default(),
            rng: Rng::with_seed(seed),
        }
    }

    /// Somebody named an address. Nonsense, bans and ourselves are dropped; what is known stays,
    /// and who named it is remembered.
    pub fn add(&mut self, now: Instant, address: SocketAddr, source: CandidateSource) {
        self.take_in(now, address, source, None);
    }

    /// A peer named an address.
    pub fn add_told(&mut self, now: Instant, address: SocketAddr, teller: PeerKey, is_seed: bool) {
        let source = CandidateSource::Pex;
        if self.take_in(now, address, source, Some(teller)) {
            let new = self.known.get_mut(&address).expect("taken in");
            new.is_seed = is_seed;
        }
    }

    /// True when the address is new and taken in.
    fn take_in(
        &mut self,
        now: Instant,
        address: SocketAddr,
        source: CandidateSource,
        teller: Option<PeerKey>,
    ) -> bool {
        let banned = self.bans.holds_at(address);
        if !is_dialable(address) || self.ours.contains(&address) || banned {
            return false;
        }
        if let Some(known) = self.known.get_mut(&address) {
            let (share, is_news) = (known.share, known.sources.insert(source));
            self.shares.of(source).named += u64::from(is_news);
            if source < share && self.make_room(source, None) {
                self.change_share(address, source);
            }
            return false;
        }
        if !self.make_room(source, teller) {
            return false;
        }
        let share = self.shares.of(source);
        share.known += 1;
        share.named += 1;
        let candidate = Candidate {
            share: source,
            sources: source.into(),
            teller,
            failures: 0,
            met: false,
            is_seed: false,
            state: State::Connected,
        };
        self.known.insert(address, candidate);
        self.wait(address, now);
        true
    }

    /// The address is due now, whatever failed before.
    pub fn hurry(&mut self, now: Instant, address: SocketAddr) {
        let state = self.known.get(&address).map(|candidate| candidate.state);
        if let Some(State::Waiting(_)) = state {
            self.leave_queue(address);
            self.wait(address, now);
        }
    }

    /// Whoever was passed over as a seed is due now: there is something to get from it again.
    pub fn seeds_are_wanted(&mut self, now: Instant) {
        let seeds = self.known.iter().filter(|(_, candidate)| {
            candidate.is_seed && matches!(candidate.state, State::Waiting(_))
        });
        for address in seeds.map(|(address, _)| *address).collect::<Vec<_>>() {
            self.hurry(now, address);
        }
    }

    /// Others see us there, IPv4 and IPv6.
    pub fn we_are_at(&mut self, outside: [Option<SocketAddr>; 2]) {
        self.outside = outside;
    }

    /// How a connection to the address ranks among others. BEP 40; `None` while we do not know our
    /// own address.
    #[must_use]
    pub fn priority(&self, address: SocketAddr) -> Option<u32> {
        let v6 = usize::from(address.ip().to_canonical().is_ipv6());
        self.outside[v6].and_then(|ours| priority(ours, address))
    }

    /// The next address to dial, now marked as being dialled. Known seeds are passed over when
    /// `skip_seeds`.
    pub fn dial(&mut self, now: Instant, skip_seeds: bool) -> Option<SocketAddr> {
        for source in self.shares.in_turn() {
            if self.is_held_back(source) {
                continue;
            }
            if let Some(address) = self.dial_of(now, source, skip_seeds) {
                self.shares.had_its_turn(source);
                return Some(address);
            }
        }
        None
    }

    /// Whether strangers had enough dead addresses dialled for now.
    fn is_held_back(&self, source: CandidateSource) -> bool {
        let hearsay = self.dials.values().filter(|share| share.is_hearsay());
        source.is_hearsay() && hearsay.count() >= DIALS_OF_HEARSAY_MAX
    }

    fn dial_of(
        &mut self,
        now: Instant,
        source: CandidateSource,
        skip_seeds: bool,
    ) -> Option<SocketAddr> {
        while let Some(&(turn, address)) = self.shares.of(source).queue.first() {
            if turn.at > now {
                return None;
            }
            self.leave_queue(address);
            let candidate = self.known.get_mut(&address).expect("queued ones are known");
            if skip_seeds && candidate.is_seed {
                // It may have lost something by then.
                self.wait(address, now + RETRY_MAX);
                continue;
            }
            candidate.state = State::Dialling;
            if self.dials.contains_key(&address) {
                self.wait(address, now + RETRY_FIRST);
                continue;
            }
            self.dials.insert(address, source);
            return Some(address);
        }
        None
    }

    /// When the next address is due that may be dialled.
    #[must_use]
    pub fn due_at(&self) -> Option<Instant> {
        let sources = CandidateSource::ALL.into_iter();
        let free = sources.filter(|&source| !self.is_held_back(source));
        let firsts = free.filter_map(|source| self.shares.get(source).queue.first());
        firsts.map(|(turn, _)| turn.at).min()
    }

    /// Dials under way.
    #[must_use]
    pub fn dialling(&self) -> usize {
        self.dials.len()
    }

    /// Addresses that wait for their time.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let sources = CandidateSource::ALL.into_iter();
        sources.map(|source| self.waiting_of(source)).sum()
    }

    /// Those of them in the share of one source.
    #[must_use]
    pub fn waiting_of(&self, source: CandidateSource) -> usize {
        self.shares.get(source).queue.len()
    }

    /// Addresses that the source named and that were kept.
    #[must_use]
    pub fn named_by(&self, source: CandidateSource) -> u64 {
        self.shares.get(source).named
    }

    /// Who named the address.
    #[must_use]
    pub fn sources(&self, address: SocketAddr) -> Sources {
        let known = self.known.get(&address);
        known.map_or_else(Sources::default, |candidate| candidate.sources)
    }

    /// Addresses that wait and never failed.
    #[must_use]
    pub fn fresh(&self) -> usize {
        let fresh = self.known.values().filter(|candidate| {
            candidate.failures == 0 && matches!(candidate.state, State::Waiting(_))
        });
        fresh.count()
    }

    /// Addresses, ranges and names that are banned.
    #[must_use]
    pub fn banned(&self) -> usize {
        self.bans.len()
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
        self.leave_queue(address);
        if let Some(candidate) = self.known.get_mut(&address) {
            candidate.state = State::Connected;
            candidate.met = true;
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
        if self.ours.len() < CANDIDATES_MAX && !self.ours.contains(&address) {
            self.ours.push(address);
        }
    }

    /// Bans the peer: by its IP address, or, on loopback, by its exact address and by its name.
    pub fn ban(&mut self, address: SocketAddr, peer_id: PeerId) {
        self.bans.add(address, peer_id);
        let known = self.known.keys().copied();
        let gone: Vec<_> = known
            .filter(|&address| self.bans.holds_at(address))
            .collect();
        for address in gone {
            self.drop(address);
        }
    }

    /// Bans a web server by its name alone: peers may be found at its address.
    pub fn ban_web(&mut self, address: SocketAddr, peer_id: PeerId) {
        self.bans.add_name(address, peer_id);
    }

    /// Whether the peer is banned.
    #[must_use]
    pub fn is_banned(&self, address: SocketAddr, peer_id: PeerId) -> bool {
        self.bans.holds(address, peer_id)
    }

    fn wait(&mut self, address: SocketAddr, at: Instant) {
        let share = self
            .known
            .get(&address)
            .expect("only known ones wait")
            .share;
        let rank = match share {
            CandidateSource::User => 0,
            // Who names addresses as he likes would name those of high priority.
            hearsay if hearsay.is_hearsay() => self.rng.u32(1..),
            _ => {
                let priority = self.priority(address);
                priority.map_or_else(|| self.rng.u32(1..), |priority| u32::MAX - priority)
            }
        };
        let turn = Turn { at, rank };
        let candidate = self.known.get_mut(&address).expect("looked up above");
        candidate.state = State::Waiting(turn);
        self.shares.of(share).queue.insert((turn, address));
    }

    /// It waits no longer, if it did: the caller says what it does.
    fn leave_queue(&mut self, address: SocketAddr) {
        if let Some(candidate) = self.known.get(&address)
            && let State::Waiting(turn) = candidate.state
        {
            let queue = &mut self.shares.of(candidate.share).queue;
            queue.remove(&(turn, address));
        }
    }

    fn change_share(&mut self, address: SocketAddr, to: CandidateSource) {
        self.leave_queue(address);
        let candidate = self.known.get_mut(&address).expect("only known ones move");
        let from = std::mem::replace(&mut candidate.share, to);
        let state = candidate.state;
        self.shares.of(from).known -= 1;
        self.shares.of(to).known += 1;
        if let State::Waiting(turn) = state {
            self.wait(address, turn.at);
        }
    }

    fn back_off(&mut self, now: Instant, address: SocketAddr) {
        let candidate = self.known.get_mut(&address).expect("only known ones fail");
        let doubled = RETRY_FIRST.saturating_mul(1 << candidate.failures.min(20));
        candidate.failures += 1;
        let failures_max = match candidate.share {
            CandidateSource::User => u32::MAX,
            share if share.is_hearsay() && !candidate.met => FAILURES_OF_HEARSAY_MAX,
            _ => FAILURES_MAX,
        };
        if candidate.failures > failures_max {
            self.drop(address);
            return;
        }
        // Half to all of it, so that a swarm does not come back in one wave.
        let most = u64::try_from(doubled.min(RETRY_MAX).as_millis()).expect("below RETRY_MAX");
        let jittered = self.rng.u64(most / 2..=most);
        self.wait(address, now + Duration::from_millis(jittered));
    }

    /// Forgets whom only sources named that a private torrent must not have. BEP 27.
    pub fn keep_for_private(&mut self) {
        let known = self.known.keys().copied();
        let strangers: Vec<_> = known
            .filter(|&address| {
                let mut sources = self.sources(address).iter();
                !sources.any(CandidateSource::is_for_private)
            })
            .collect();
        for address in strangers {
            self.drop(address);
        }
    }

    fn drop(&mut self, address: SocketAddr) {
        self.leave_queue(address);
        if let Some(candidate) = self.known.remove(&address) {
            self.shares.of(candidate.share).known -= 1;
        }
    }

    /// Whether the share takes one more. If it is full, one that failed goes, the one due last; or
    /// one of the peer who told most, for a peer who told less. What a person named stays.
    fn make_room(&mut self, source: CandidateSource, teller: Option<PeerKey>) -> bool {
        let told = teller.map(|teller| self.told_by(teller));
        if told.is_some_and(|told| told >= CANDIDATES_OF_A_TELLER_MAX) {
            return false;
        }
        let share = self.shares.get(source);
        if share.known < source.share() {
            return true;
        }
        if source == CandidateSource::User {
            return false;
        }
        let last_due = share.queue.iter().rev().map(|(_, address)| *address);
        let failed = |address: &SocketAddr| self.known[address].failures > 0;
        let gone = last_due.clone().find(failed).or_else(|| {
            let (talker, most) = self.greatest_talker()?;
            let is_fair = told.is_some_and(|told| told + 1 < most);
            let theirs = |address: &SocketAddr| self.known[address].teller == Some(talker);
            last_due.clone().find(theirs).filter(|_| is_fair)
        });
        gone.map(|address| self.drop(address)).is_some()
    }

    /// Addresses that the peer told and that wait.
    fn told_by(&self, teller: PeerKey) -> usize {
        self.tellers().get(&teller).copied().unwrap_or(0)
    }

    /// The peer of whose addresses most wait, and how many.
    fn greatest_talker(&self) -> Option<(PeerKey, usize)> {
        self.tellers().into_iter().max_by_key(|&(_, told)| told)
    }

    fn tellers(&self) -> BTreeMap<PeerKey, usize> {
        let mut tellers = BTreeMap::new();
        let queue = &self.shares.get(CandidateSource::Pex).queue;
        for teller in queue
            .iter()
            .filter_map(|(_, address)| self.known[address].teller)
        {
            *tellers.entry(teller).or_insert(0) += 1;
        }
        tellers
    }
}

/// Whether a connection to the address could be a peer's.
pub(crate) fn is_dialable(address: SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{BANNED_MAX, CANDIDATES_OF_DHT_MAX, CANDIDATES_OF_PEX_MAX};
    use crate::limits::{CANDIDATES_OF_TRACKERS_MAX, CANDIDATES_OF_USER_MAX};
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
        assert_eq!(candidates.waiting(), 1 + CANDIDATES_OF_TRACKERS_MAX);
        candidates.add(now, address("127.0.0.1:5"), User);
        let dialled = [candidates.dial(now, false), candidates.dial(now, false)];
        assert!(dialled.contains(&Some(nth(0))));
        assert!(dialled.contains(&Some(address("127.0.0.1:5"))));
        (10_000..20_000).for_each(|n| candidates.add(now, nth(n), User));
        assert_eq!(candidates.waiting_of(User), CANDIDATES_OF_USER_MAX - 2);
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

    #[test]
    fn sources_are_dialled_in_turn_and_none_takes_the_room_of_another() {
        let now = Instant::now();
        let mut candidates = Candidates::new(1);
        (0..5_000).for_each(|n| candidates.add(now, nth(n), CandidateSource::Dht));
        for teller in 0..50 {
            for n in 0..100 {
                let n = 5_000 + teller * 100 + n;
                candidates.add_told(now, nth(n), PeerKey(teller as u64), false);
            }
        }
        (20_000..20_050).for_each(|n| candidates.add(now, nth(n), Tracker));
        let trackers = (0..30)
            .filter_map(|_| candidates.dial(now, false))
            .filter(|&address| candidates_of_tracker(address));
        assert_eq!(trackers.count(), 10, "a third of those dialled");
        assert_eq!(
            candidates.waiting_of(CandidateSource::Dht),
            CANDIDATES_OF_DHT_MAX - 10
        );
        assert_eq!(
            candidates.waiting_of(CandidateSource::Pex),
            CANDIDATES_OF_PEX_MAX - 10
        );
        assert_eq!(candidates.waiting_of(Tracker), 40);
    }

    fn candidates_of_tracker(address: SocketAddr) -> bool {
        (20_000..20_050).any(|n| nth(n) == address)
    }

    #[test]
    fn hearsay_leaves_dials_to_others() {
        let now = Instant::now();
        let mut candidates = Candidates::new(1);
        (0..100).for_each(|n| candidates.add_told(now, nth(n), PeerKey(1), false));
        let dialled = std::iter::from_fn(|| candidates.dial(now, false)).count();
        assert_eq!(dialled, DIALS_OF_HEARSAY_MAX);
        assert_eq!(candidates.due_at(), None, "until one of them ends");
        candidates.add(now, nth(1_000), Tracker);
        assert_eq!(candidates.due_at(), Some(now));
        assert_eq!(candidates.dial(now, false), Some(nth(1_000)));
    }

    #[test]
    fn peer_who_tells_much_gives_way_to_those_who_tell_little() {
        let now = Instant::now();
        let mut candidates = Candidates::new(1);
        for n in 0..1_000 {
            candidates.add_told(now, nth(n), PeerKey(n as u64 / 200), false);
        }
        assert_eq!(candidates.told_by(PeerKey(0)), CANDIDATES_OF_A_TELLER_MAX);
        assert_eq!(candidates.waiting(), CANDIDATES_OF_PEX_MAX);
        (2_000..2_050).for_each(|n| candidates.add_told(now, nth(n), PeerKey(9), false));
        assert_eq!(candidates.told_by(PeerKey(9)), 50);
        assert_eq!(candidates.waiting(), CANDIDATES_OF_PEX_MAX);
        for teller in 0..5 {
            assert!(candidates.told_by(PeerKey(teller)) >= 80);
        }
    }

    #[test]
    fn address_moves_to_the_best_who_named_it_and_everyone_is_remembered() {
        let now = Instant::now();
        let mut candidates = Candidates::new(1);
        candidates.add_told(now, nth(0), PeerKey(1), false);
        candidates.add(now, nth(0), Tracker);
        candidates.add(now, nth(0), CandidateSource::Dht);
        candidates.add(now, nth(0), Tracker);
        let sources = candidates.sources(nth(0)).iter().collect::<Vec<_>>();
        assert_eq!(
            sources,
            [Tracker, CandidateSource::Dht, CandidateSource::Pex]
        );
        for source in sources {
            assert_eq!(candidates.named_by(source), 1);
            assert_eq!(
                candidates.waiting_of(source),
                usize::from(source == Tracker)
            );
        }
        assert_eq!(candidates.dial(now, false), Some(nth(0)));
        candidates.add(now, nth(0), User);
        assert_eq!((candidates.waiting(), candidates.dialling()), (0, 1));
        candidates.failed(now, nth(0));
        assert_eq!(candidates.waiting_of(User), 1);
    }

    #[test]
    fn hearsay_that_never_answered_is_soon_forgotten() {
        let mut now = Instant::now();
        let mut candidates = Candidates::new(1);
        candidates.add_told(now, nth(0), PeerKey(1), false);
        let mut dials = 0;
        while let Some(due) = candidates.due_at() {
            now = now.max(due);
            assert_eq!(candidates.dial(now, false), Some(nth(0)));
            candidates.failed(now, nth(0));
            dials += 1;
        }
        assert_eq!(dials, FAILURES_OF_HEARSAY_MAX + 1);
        assert_eq!(candidates.sources(nth(0)), Sources::default());
    }

    #[test]
    fn addresses_of_high_priority_are_dialled_first_once_we_know_ours() {
        let now = Instant::now();
        let mut candidates = Candidates::new(1);
        candidates.we_are_at([Some(address("9.9.9.9:6881")), None]);
        (0..200).for_each(|n| candidates.add(now, nth(n), Tracker));
        let dialled = std::iter::from_fn(|| candidates.dial(now, false));
        let dialled: Vec<_> = dialled.collect();
        let ranks: Vec<_> = dialled
            .iter()
            .map(|&address| candidates.priority(address).unwrap())
            .collect();
        assert_eq!(ranks.len(), 200);
        assert!(ranks.is_sorted_by(|a, b| a >= b));
        assert_eq!(candidates.priority(address("[2001::1]:1")), None);
    }

    #[test]
    fn seeds_passed_over_are_due_when_they_are_wanted() {
        let now = Instant::now();
        let mut candidates = Candidates::new(1);
        candidates.add_told(now, nth(0), PeerKey(1), true);
        assert_eq!(candidates.dial(now, true), None);
        assert_eq!(candidates.dial(now, false), None, "not for long");
        candidates.seeds_are_wanted(now);
        assert_eq!(candidates.dial(now, false), Some(nth(0)));
    }
}
