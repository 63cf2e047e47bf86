//! Whom to serve. BEP 3 "choking and optimistic unchoking".
//!
//! A leecher serves those who give most; a seed serves everyone in turn; one slot goes round by
//! chance, so that newcomers get a first piece and better partners are found. Told everything
//! about the peers at each question; remembers only whose turn it is.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::io::PeerKey;
use crate::limits::{
    CHOKE_ROUND, NEWCOMER_FOR, NEWCOMER_WEIGHT, OPTIMISTIC_ROUNDS, SEED_TURN, SLOT_PIECE_WITHIN_MS,
    SLOT_RATE, SLOT_SETTLE, UNCHOKE_SLOTS_MAX,
};

/// One peer that is interested in us.
#[derive(Debug, Clone)]
pub struct Contender {
    /// Which.
    pub peer: PeerKey,
    /// We serve it now.
    pub unchoked: bool,
    /// When `unchoked` last changed; when it connected, if never.
    pub since: Instant,
    /// It was served before.
    pub served: bool,
    /// When it connected.
    pub connected_at: Instant,
    /// It owes us blocks and gives none.
    pub snubbed: bool,
    /// It is served and takes nothing, or did not when it was served last, not long ago.
    pub idle: bool,
    /// It is served and has all that it asks for.
    pub sated: bool,
    /// What it gives us, bytes a second.
    pub download_rate: u64,
    /// What we give it, bytes a second.
    pub upload_rate: u64,
}

/// The choker of one torrent.
#[derive(Debug)]
pub struct Choker {
    /// Slots as configured, beside the optimistic one.
    slots: usize,
    /// More slots, opened because the line has room.
    extra: usize,
    optimistic: Option<PeerKey>,
    round_at: Instant,
    rounds_to_optimistic: u32,
    rng: Rng,
}

impl Choker {
    /// With `slots` beside the optimistic one; the first round is one period away, free slots are
    /// given at once.
    #[must_use]
    pub fn new(slots: usize, seed: u64, now: Instant) -> Self {
        Self {
            slots,
            extra: 0,
            optimistic: None,
            round_at: now + CHOKE_ROUND,
            rounds_to_optimistic: OPTIMISTIC_ROUNDS,
            rng: Rng::with_seed(seed),
        }
    }

    /// When the next round is due.
    #[must_use]
    pub fn round_at(&self) -> Instant {
        self.round_at
    }

    /// A round: the peers that are served from now on, all others are not.
    pub fn round(
        &mut self,
        now: Instant,
        mut contenders: Vec<Contender>,
        seeding: bool,
    ) -> BTreeSet<PeerKey> {
        self.round_at = now + CHOKE_ROUND;
        self.rounds_to_optimistic -= 1;
        if self.rounds_to_optimistic == 0 {
            self.rounds_to_optimistic = OPTIMISTIC_ROUNDS;
            self.optimistic = None;
        }
        if seeding {
            contenders.sort_by_key(|c| seed_order(c, now));
        } else {
            contenders.sort_by_key(leech_order);
        }
        let regular = self.regular_slots();
        let mut chosen = if seeding {
            seed_choice(&contenders, regular)
        } else {
            let able = contenders.iter().filter(|c| !c.snubbed);
            able.take(regular).map(|c| c.peer).collect()
        };
        let rest = contenders.iter().filter(|c| !chosen.contains(&c.peer));
        let (wasters, eager): (Vec<_>, Vec<_>) = rest.partition(|c| c.idle);
        let rest = if eager.is_empty() { wasters } else { eager };
        let kept = self
            .optimistic
            .filter(|kept| rest.iter().any(|c| c.peer == *kept));
        self.optimistic = kept.or_else(|| self.draw(now, &rest));
        chosen.extend(self.optimistic);
        chosen
    }

    /// Between rounds: peers to serve at once because slots are free.
    ///
    /// Who takes nothing, or has all that it asks for, holds no slot against those who may take
    /// something, or a hundred such would starve everyone else. The more of them there are, the
    /// more others are tried at once: so all who wait are tried within a few seconds.
    pub fn fill(&mut self, now: Instant, contenders: &[Contender], seeding: bool) -> Vec<PeerKey> {
        let slots = self.regular_slots() + 1;
        let served = contenders.iter().filter(|c| c.unchoked);
        let (idle, busy): (Vec<_>, Vec<_>) = served.partition(|c| c.is_no_burden(seeding));
        let waiting = contenders.iter().filter(|c| !c.unchoked);
        let (mut wasters, mut eager): (Vec<_>, Vec<_>) = waiting.partition(|c| c.idle);
        let all_at_once = seeding || busy.is_empty();
        let for_nothing = if all_at_once { idle.len() / slots } else { 0 };
        let free = slots.saturating_sub(busy.len()) * (1 + for_nothing);
        let mut chosen = self.draw_some(now, &mut eager, free);
        let taken = idle.len() + busy.len() + chosen.len();
        chosen.extend(self.draw_some(now, &mut wasters, slots.saturating_sub(taken)));
        chosen
    }

    /// Once in a while: opens a slot while everyone served gets plenty and somebody waits, closes
    /// one when not. Thin lines stay with the configured slots, and so do large pieces: half of one
    /// is nothing that a peer could give on.
    pub fn adjust_slots(
        &mut self,
        now: Instant,
        contenders: &[Contender],
        piece_length: u32,
        seeding: bool,
    ) {
        let served = contenders.iter();
        let served = served.filter(|c| c.unchoked && !c.is_no_burden(seeding));
        let rates: Vec<_> = served
            .map(|c| {
                (
                    now.saturating_duration_since(c.since) >= SLOT_SETTLE,
                    c.upload_rate,
                )
            })
            .collect();
        let waiting = contenders.iter().any(|c| !c.unchoked);
        let settled = rates.iter().all(|(settled, _)| *settled);
        let a_piece_in_time = u64::from(piece_length) * 1_000 / SLOT_PIECE_WITHIN_MS;
        let enough = |slots: usize| (slots as u64 * SLOT_RATE).max(a_piece_in_time);
        let slots = self.regular_slots() + 1;
        let busy = rates
            .iter()
            .filter(|(_, rate)| *rate >= enough(slots))
            .count();
        let full = rates.len() >= slots;
        if waiting && settled && full && busy == rates.len() && slots < UNCHOKE_SLOTS_MAX {
            self.extra += 1;
        } else if settled && full && busy * 2 < rates.len() {
            self.extra = self.extra.saturating_sub(1);
        }
    }

    fn regular_slots(&self) -> usize {
        self.slots + self.extra
    }

    /// So many of them by chance, who are taken out.
    fn draw_some(
        &mut self,
        now: Instant,
        among: &mut Vec<&Contender>,
        count: usize,
    ) -> Vec<PeerKey> {
        let draw = |_| {
            let peer = self.draw(now, among)?;
            among.retain(|c| c.peer != peer);
            Some(peer)
        };
        (0..count).map_while(draw).collect()
    }

    /// One of them by chance; newcomers three times as likely, snubbing peers like all.
    fn draw(&mut self, now: Instant, among: &[&Contender]) -> Option<PeerKey> {
        let weight = |c: &Contender| {
            let age = now.saturating_duration_since(c.connected_at);
            let newcomer = !c.served && age < NEWCOMER_FOR;
            if newcomer { NEWCOMER_WEIGHT } else { 1 }
        };
        let total: u32 = among.iter().map(|c| weight(c)).sum();
        if total == 0 {
            return None;
        }
        let mut ticket = self.rng.u32(..total);
        for contender in among {
            match ticket.checked_sub(weight(contender)) {
                Some(rest) => ticket = rest,
                None => return Some(contender.peer),
            }
        }
        None
    }
}

impl Contender {
    /// It holds its slot against nobody. Among leechers slots are wages: who has all that it asks
    /// for is paid with one.
    fn is_no_burden(&self, seeding: bool) -> bool {
        self.idle || (seeding && self.sated)
    }
}

/// The first so many in order, and on the way whoever is served and needs no slot of its own.
fn seed_choice(in_order: &[Contender], slots: usize) -> BTreeSet<PeerKey> {
    let mut free = slots;
    let chosen = in_order.iter().filter(|c| {
        let for_nothing = c.sated && !c.idle;
        let takes_one = !for_nothing && free > 0;
        free -= usize::from(takes_one);
        for_nothing || takes_one
    });
    chosen.map(|c| c.peer).collect()
}

/// Best givers first; among equals those served now, then those who wait longest.
fn leech_order(c: &Contender) -> (u64, bool, Instant, PeerKey) {
    (u64::MAX - c.download_rate, !c.unchoked, c.since, c.peer)
}

/// Those in the middle of their turn first, then those who wait longest, never served before
/// served; then those whose turn is over; last who would take nothing.
fn seed_order(c: &Contender, now: Instant) -> (bool, u8, Instant, PeerKey) {
    let turn_over = now.saturating_duration_since(c.since) + Duration::from_millis(1) > SEED_TURN;
    let class = match (c.unchoked, turn_over, c.served) {
        (true, false, _) => 0,
        (false, _, false) => 1,
        (false, _, true) => 2,
        (true, true, _) => 3,
    };
    (c.idle, class, c.since, c.peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn contender(key: u64, now: Instant) -> Contender {
        Contender {
            peer: PeerKey(key),
            unchoked: false,
            since: now,
            served: false,
            connected_at: now,
            snubbed: false,
            idle: false,
            sated: false,
            download_rate: 0,
            upload_rate: 0,
        }
    }

    fn contenders(count: u64, now: Instant) -> Vec<Contender> {
        (0..count).map(|key| contender(key, now)).collect()
    }

    fn apply(all: &mut [Contender], served: &BTreeSet<PeerKey>, now: Instant) {
        for c in all {
            let unchoked = served.contains(&c.peer);
            if unchoked != c.unchoked {
                c.unchoked = unchoked;
                c.served = true;
                c.since = now;
            }
        }
    }

    #[test]
    fn leecher_serves_the_four_best_givers_and_one_by_chance() {
        let now = Instant::now();
        let mut all = contenders(10, now);
        for c in &mut all {
            c.download_rate = c.peer.0 * 1_000;
        }
        let served = Choker::new(4, 1, now).round(now, all, false);
        assert_eq!(served.len(), 5);
        assert!((6..10).all(|key| served.contains(&PeerKey(key))));
    }

    #[test]
    fn snubbed_peer_gets_no_regular_slot() {
        let now = Instant::now();
        let mut all = contenders(6, now);
        for c in &mut all {
            c.download_rate = c.peer.0;
        }
        all[5].snubbed = true;
        // Chance may still serve it: that is what the optimistic slot is for.
        let mut by_chance = 0;
        for seed in 0..100 {
            let served = Choker::new(4, seed, now).round(now, all.clone(), false);
            assert!((1..5).all(|key| served.contains(&PeerKey(key))));
            by_chance += u32::from(served.contains(&PeerKey(5)));
        }
        assert!((10..90).contains(&by_chance), "{by_chance} of 100");
    }

    #[test]
    fn optimistic_slot_rotates_every_third_round() {
        let start = Instant::now();
        let mut choker = Choker::new(0, 3, start);
        let all = contenders(50, start);
        let turns: Vec<_> = (1..=9)
            .map(|round| choker.round(start + SECOND * 10 * round, all.clone(), false))
            .collect();
        assert_eq!(turns[0], turns[1]);
        assert_eq!(turns[2], turns[4]);
        assert_ne!(turns[1], turns[2]);
        assert_ne!(turns[4], turns[5]);
    }

    #[test]
    fn newcomer_is_three_times_as_likely() {
        let now = Instant::now() + SECOND * 1_000;
        let mut all = contenders(2, now);
        all[0].connected_at = now - SECOND * 500;
        let hits = (0..1_000)
            .filter(|&seed| {
                let served = Choker::new(0, seed, now).round(now, all.clone(), false);
                served.contains(&PeerKey(1))
            })
            .count();
        assert!((650..850).contains(&hits), "{hits} of 1000");
    }

    #[test]
    fn free_slot_is_given_at_once() {
        let now = Instant::now();
        let mut all = contenders(10, now);
        let mut choker = Choker::new(4, 1, now);
        let chosen = choker.fill(now, &all, true);
        assert_eq!(chosen.len(), 5);
        apply(&mut all, &chosen.iter().copied().collect(), now);
        assert_eq!(choker.fill(now, &all, true), []);
        all.retain(|c| c.peer != chosen[0]);
        assert_eq!(choker.fill(now, &all, true).len(), 1);
    }

    /// Fills the slots; who is chosen is served from then on, and marked.
    fn serve(
        choker: &mut Choker,
        all: &mut [Contender],
        now: Instant,
        mark: impl Fn(&mut Contender),
    ) {
        let chosen = choker.fill(now, all, true);
        for c in all.iter_mut().filter(|c| chosen.contains(&c.peer)) {
            (c.unchoked, c.since, c.served) = (true, now, true);
            mark(c);
        }
    }

    #[test]
    fn peers_that_take_nothing_hold_no_slot() {
        let start = Instant::now();
        let mut all = contenders(101, start);
        let mut choker = Choker::new(4, 1, start);
        // All but one waste what they are given.
        let mut now = start;
        for _ in 0..6 {
            serve(&mut choker, &mut all, now, |c| {
                c.idle = c.peer != PeerKey(77)
            });
            now += SECOND * 2;
        }
        assert!(all[77].unchoked, "it was not served in twelve seconds");
        let served = choker.round(now, all.clone(), true);
        assert_eq!(served.len(), 5, "a round closes what was opened");
        assert!(served.contains(&PeerKey(77)));
        apply(&mut all, &served, now);
        // Its turn over, the others are still no reason to choke it.
        now += SECOND * 60;
        assert!(choker.round(now, all, true).contains(&PeerKey(77)));
    }

    #[test]
    fn slot_of_an_idle_peer_goes_to_one_who_waits() {
        let now = Instant::now();
        let mut all = contenders(10, now);
        let mut choker = Choker::new(4, 1, now);
        let chosen: BTreeSet<_> = choker.fill(now, &all, true).into_iter().collect();
        apply(&mut all, &chosen, now);
        all.iter_mut().find(|c| c.unchoked).unwrap().idle = true;
        assert_eq!(choker.fill(now, &all, true).len(), 1);
    }

    #[test]
    fn who_has_all_that_it_asks_for_keeps_its_slot_and_takes_it_from_nobody() {
        let start = Instant::now();
        let mut all = contenders(101, start);
        let mut choker = Choker::new(4, 1, start);
        let mut now = start;
        // All but one ask seldom.
        for _ in 0..6 {
            serve(&mut choker, &mut all, now, |c| {
                c.sated = c.peer != PeerKey(77)
            });
            now += SECOND;
        }
        assert!(all.iter().all(|c| c.unchoked), "all were tried");
        for _ in 0..6 {
            now += SECOND * 10;
            let served = choker.round(now, all.clone(), true);
            assert_eq!(served.len(), 101, "a slow peer is not choked for it");
        }
        // Among leechers a slot is a wage: they hold it.
        assert_eq!(choker.round(now, all.clone(), false).len(), 5);
        all[77].unchoked = false;
        assert_eq!(choker.fill(now, &all, false), []);
        assert_eq!(choker.fill(now, &all, true), [PeerKey(77)]);
    }

    #[test]
    fn seed_serves_everyone_in_turn() {
        let start = Instant::now();
        let mut all = contenders(20, start);
        let mut choker = Choker::new(4, 9, start);
        let mut rounds_of = [0; 20];
        for round in 1..=60 {
            let now = start + SECOND * 10 * round;
            let served = choker.round(now, all.clone(), true);
            assert_eq!(served.len(), 5);
            for peer in &served {
                rounds_of[usize::try_from(peer.0).unwrap()] += 1;
            }
            apply(&mut all, &served, now);
        }
        // 240 regular rounds over 20 peers are 12 each; chance adds to some.
        assert!(rounds_of.iter().all(|&rounds| rounds >= 8), "{rounds_of:?}");
    }

    #[test]
    fn seed_does_not_choke_in_the_middle_of_a_turn() {
        let start = Instant::now();
        let mut all = contenders(20, start);
        let mut choker = Choker::new(4, 9, start);
        let now = start + SECOND * 10;
        let first = choker.round(now, all.clone(), true);
        apply(&mut all, &first, now);
        let second = choker.round(now + SECOND * 10, all.clone(), true);
        assert_eq!(first, second);
    }

    /// Fills the slots of a choker of five again and again while everyone served gets that much.
    fn open_slots(
        choker: &mut Choker,
        all: &mut [Contender],
        upload_rate: u64,
        piece_length: u32,
    ) -> (Instant, usize) {
        let mut now = all[0].since;
        for _ in 0..20 {
            let chosen = choker.fill(now, all, true);
            for c in all.iter_mut().filter(|c| chosen.contains(&c.peer)) {
                (c.unchoked, c.since, c.upload_rate) = (true, now, upload_rate);
            }
            now += SECOND * 4;
            choker.adjust_slots(now, all, piece_length, false);
        }
        (now, all.iter().filter(|c| c.unchoked).count())
    }

    #[test]
    fn slots_open_while_each_gets_its_pieces_soon() {
        for (upload_rate, piece_length, expected) in [
            (600 << 10, 1 << 20, UNCHOKE_SLOTS_MAX),
            (400 << 10, 1 << 20, 5),
            (400 << 10, 1 << 18, UNCHOKE_SLOTS_MAX),
        ] {
            let start = Instant::now();
            let mut choker = Choker::new(4, 1, start);
            let mut all = contenders(30, start);
            let (_, served) = open_slots(&mut choker, &mut all, upload_rate, piece_length);
            assert_eq!(
                served, expected,
                "{upload_rate} B/s, pieces of {piece_length}"
            );
        }
    }

    #[test]
    fn slots_open_while_all_get_plenty_and_close_when_not() {
        let start = Instant::now();
        let mut choker = Choker::new(4, 1, start);
        let mut all = contenders(30, start);
        let (now, served) = open_slots(&mut choker, &mut all, 1 << 20, 16 << 10);
        assert_eq!(served, UNCHOKE_SLOTS_MAX);
        for c in &mut all {
            c.upload_rate = 1_000;
        }
        for _ in 0..20 {
            choker.adjust_slots(now, &all, 16 << 10, false);
        }
        assert_eq!(choker.round(now, all, false).len(), 5);
    }
}
