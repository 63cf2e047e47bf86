//! When and to whom one torrent announces. BEP 3 "trackers", BEP 12 "multitracker", BEP 21, 31.
//!
//! Walks the tiers in order until a tracker answers, promotes that one within its tier, keeps its
//! intervals, backs off from those that fail, or comes again when they say. One that is silent
//! holds nobody up: the next is asked beside it. Sans-io: the clock is an argument, the exchange is
//! the caller's, and neither sockets nor peers are known here.
//!
//! ```text
//!            due                    Answered
//! Waiting ─────────▶ Asking(first) ──────────▶ Waiting (its interval)
//!    ▲                  │ Failed, or silent for a while
//!    │ all failed       ▼
//!    └────────────── Asking(next)        Stop, from anywhere: ──▶ Stopped
//! ```

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::announce::{AnnounceEvent, AnnounceResponse};
use crate::error::Retry;
use crate::limits;
use crate::text::printable;

/// One tracker of one announcer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackerKey(pub usize);

/// One fact about the world.
#[derive(Debug, Clone, Copy)]
pub enum Input<'i> {
    /// The download became whole: told once, to the tracker that answers first.
    Completed,
    /// Whether we are a partial seed from now on: regular announces say so. BEP 21.
    Paused(bool),
    /// More peers would be welcome, as soon as the tracker's `min interval` lets us ask.
    WantPeers,
    /// [`Announcer::timeout`] has come.
    Timeout,
    /// A tracker answered the announce that it was sent.
    Answered {
        /// Which.
        tracker: TrackerKey,
        /// What it said.
        response: &'i AnnounceResponse,
    },
    /// A tracker did not.
    Failed {
        /// Which.
        tracker: TrackerKey,
        /// What it said of coming again: [`crate::TrackerError::retry`].
        retry: Option<Retry>,
    },
    /// This run ends.
    Stop,
}

/// One deed to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Announce, and come back with [`Input::Answered`] or [`Input::Failed`] (not for `stopped`).
    Announce {
        /// To which tracker.
        tracker: TrackerKey,
        /// Its announce URL.
        url: String,
        /// Why.
        event: Option<AnnounceEvent>,
    },
}

/// What there is to show of one tracker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackerStatus {
    /// Its announce URL.
    pub url: String,
    /// Its tier, from 0.
    pub tier: usize,
    /// Whether it answered its last announce.
    pub working: bool,
    /// Whether it owes an answer now.
    pub asking: bool,
    /// Why it did not, or what it warns of; as told to [`Announcer::note`].
    pub message: Option<String>,
    /// Failures since its last answer.
    pub failures: u32,
    /// When it may be asked again; `None` if never.
    pub next: Option<Instant>,
    /// Peers that have everything, by its last answer.
    pub seeders: Option<u32>,
    /// Peers that do not, by its last answer.
    pub leechers: Option<u32>,
}

#[derive(Debug)]
struct Tracker {
    url: String,
    tier: usize,
    /// It answered a `started` and knows us.
    started: bool,
    /// It answered its last announce.
    working: bool,
    failures: u32,
    message: Option<String>,
    /// Not to be asked sooner: its min interval, or the back-off. `None`: never again.
    not_before: Option<Instant>,
    tracker_id: Option<Vec<u8>>,
    seeders: Option<u32>,
    leechers: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The next walk through the tiers begins then; `None` when no tracker is left.
    Waiting(Option<Instant>),
    /// A walk is on: nobody has answered yet.
    Asking {
        /// The tracker that was asked last.
        newest: usize,
        /// Without an answer until then the next is asked too; `None` when there is no next.
        hurry: Option<Instant>,
    },
    /// `stopped` has been sent.
    Stopped,
}

/// An announce that has gone out.
#[derive(Debug, Clone, Copy)]
struct Ask {
    tracker: usize,
    event: Option<AnnounceEvent>,
    /// Without an answer until then it has failed.
    until: Instant,
}

/// The announces of one torrent.
#[derive(Debug)]
pub struct Announcer {
    trackers: Vec<Tracker>,
    /// The order of asking: by tier, and within it shuffled, then promoted. Indices of `trackers`.
    order: Vec<usize>,
    state: State,
    /// Announces without an answer yet: at most one of each tracker. Some may be of a walk that
    /// another tracker has ended.
    asks: Vec<Ask>,
    /// The tracker that answered last.
    current: Option<usize>,
    /// `completed` is still to be told.
    completed: bool,
    /// We are a partial seed.
    paused: bool,
    /// Peers are wanted before the interval is over.
    wanted: bool,
    /// Trackers that this walk has passed: a prefix of `order` as it was when the walk began.
    asked: Vec<usize>,
    outputs: VecDeque<Output>,
    rng: Rng,
}

impl Announcer {
    /// Tiers of announce URLs, as [BEP 12] lists them; the first announce is due at once.
    ///
    /// Each tier is shuffled by `seed`. A URL that comes twice counts where it is first; of more
    /// than [`limits::TRACKERS_MAX`] the first are taken.
    ///
    /// [BEP 12]: https://www.bittorrent.org/beps/bep_0012.html
    #[must_use]
    pub fn new(tiers: &[Vec<String>], seed: u64, now: Instant) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut trackers: Vec<Tracker> = Vec::new();
        let mut order = Vec::new();
        for (tier, urls) in tiers.iter().enumerate() {
            let first = trackers.len();
            for url in urls {
                let known = trackers.iter().any(|tracker| tracker.url == *url);
                if !known && trackers.len() < limits::TRACKERS_MAX {
                    trackers.push(Tracker::new(url, tier, now));
                }
            }
            let mut indices: Vec<usize> = (first..trackers.len()).collect();
            rng.shuffle(&mut indices);
            order.extend(indices);
        }
        let mut announcer = Self {
            trackers,
            order,
            state: State::Waiting(Some(now)),
            asks: Vec::new(),
            current: None,
            completed: false,
            paused: false,
            wanted: false,
            asked: Vec::new(),
            outputs: VecDeque::new(),
            rng,
        };
        announcer.wake(now);
        announcer
    }

    /// Takes one fact about the world.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        if self.state == State::Stopped {
            return;
        }
        match input {
            Input::Completed => {
                self.completed = true;
                self.paused = false;
            }
            Input::Paused(paused) => self.paused = paused,
            Input::WantPeers => self.wanted = true,
            Input::Timeout => {}
            Input::Answered { tracker, response } => self.answered(now, tracker.0, response),
            Input::Failed { tracker, retry } => self.failed(now, tracker.0, retry),
            Input::Stop => self.stop(),
        }
        self.wake(now);
    }

    /// Gives one deed to do. Call until `None` before the next [`Announcer::handle`].
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to come back with [`Input::Timeout`], if nothing else happens first.
    #[must_use]
    pub fn timeout(&self) -> Option<Instant> {
        let due = match self.state {
            State::Waiting(due) => due,
            State::Asking { hurry, .. } => hurry,
            State::Stopped => return None,
        };
        self.asks.iter().map(|ask| ask.until).chain(due).min()
    }

    /// Keeps a text about a tracker to show: why it failed, or its warning.
    pub fn note(&mut self, tracker: TrackerKey, message: &str) {
        if let Some(tracker) = self.trackers.get_mut(tracker.0) {
            tracker.message = Some(printable(message.as_bytes()));
        }
    }

    /// The `tracker id` that a tracker gave and wants back. Source: BEP 3.
    #[must_use]
    pub fn tracker_id(&self, tracker: TrackerKey) -> Option<&[u8]> {
        self.trackers.get(tracker.0)?.tracker_id.as_deref()
    }

    /// All trackers, in the order of asking.
    #[must_use]
    pub fn status(&self) -> Vec<TrackerStatus> {
        let due = match self.state {
            State::Waiting(due) => due,
            State::Asking { .. } | State::Stopped => None,
        };
        let order = self.order.iter();
        order
            .map(|&index| {
                let tracker = &self.trackers[index];
                let current = self.current == Some(index) && tracker.working;
                TrackerStatus {
                    url: tracker.url.clone(),
                    tier: tracker.tier,
                    working: tracker.working,
                    asking: self.asks.iter().any(|ask| ask.tracker == index),
                    message: tracker.message.clone(),
                    failures: tracker.failures,
                    next: due.filter(|_| current).or(tracker.not_before),
                    seeders: tracker.seeders,
                    leechers: tracker.leechers,
                }
            })
            .collect()
    }

    /// Does what is due.
    fn wake(&mut self, now: Instant) {
        while let Some(lost) = self.asks.iter().find(|ask| now >= ask.until) {
            self.failed(now, lost.tracker, None);
        }
        if matches!(self.state, State::Asking { hurry: Some(hurry), .. } if now >= hurry) {
            self.ask_next(now);
        }
        let State::Waiting(Some(mut due)) = self.state else {
            return;
        };
        if self.completed && self.current.is_some_and(|i| self.trackers[i].working) {
            due = now;
        } else if self.wanted
            && let Some(index) = self.current.filter(|&i| self.trackers[i].working)
            && let Some(not_before) = self.trackers[index].not_before
        {
            due = due.min(not_before);
        }
        self.state = State::Waiting(Some(due));
        if now >= due {
            self.asked.clear();
            self.ask_next(now);
        }
    }

    /// Asks the first tracker that this walk has not passed and that may be asked. If there is
    /// none, waits for those that were asked, and when all have failed for the first that may be
    /// again.
    fn ask_next(&mut self, now: Instant) {
        for place in 0..self.order.len() {
            let index = self.order[place];
            if self.asked.contains(&index) {
                continue;
            }
            let event = self.event(index);
            if self.may_ask(index, event, now) {
                self.asked.push(index);
                return self.ask(index, event, now);
            }
        }
        self.state = match self.asks.last() {
            Some(ask) => State::Asking {
                newest: ask.tracker,
                hurry: None,
            },
            None => {
                let next = self.trackers.iter().filter_map(|t| t.not_before).min();
                State::Waiting(next.map(|next| next.max(now)))
            }
        };
    }

    /// News may pass a tracker's min interval, but not the back-off of one that failed. That we are
    /// a partial seed is none.
    fn may_ask(&self, index: usize, event: Option<AnnounceEvent>, now: Instant) -> bool {
        let tracker = &self.trackers[index];
        if self.asks.iter().any(|ask| ask.tracker == index) {
            return false;
        }
        let Some(not_before) = tracker.not_before else {
            return false;
        };
        let is_news = event.is_some_and(|event| event != AnnounceEvent::Paused);
        now >= not_before || (tracker.working && is_news)
    }

    fn event(&self, index: usize) -> Option<AnnounceEvent> {
        if !self.trackers[index].started {
            Some(AnnounceEvent::Started)
        } else if self.completed {
            Some(AnnounceEvent::Completed)
        } else if self.paused {
            Some(AnnounceEvent::Paused)
        } else {
            None
        }
    }

    fn ask(&mut self, index: usize, event: Option<AnnounceEvent>, now: Instant) {
        self.asks.push(Ask {
            tracker: index,
            event,
            until: now + limits::ANSWER_MAX,
        });
        self.state = State::Asking {
            newest: index,
            hurry: Some(now + limits::PATIENCE),
        };
        self.outputs.push_back(Output::Announce {
            tracker: TrackerKey(index),
            url: self.trackers[index].url.clone(),
            event,
        });
    }

    fn answered(&mut self, now: Instant, index: usize, response: &AnnounceResponse) {
        let Some(event) = self.end(index) else {
            return;
        };
        let interval = response
            .interval
            .clamp(limits::INTERVAL_MIN, limits::INTERVAL_MAX);
        let min_interval = response
            .min_interval
            .unwrap_or(limits::MIN_INTERVAL_DEFAULT)
            .clamp(limits::INTERVAL_MIN, limits::INTERVAL_MAX);
        let tracker = &mut self.trackers[index];
        tracker.started = true;
        tracker.working = true;
        tracker.failures = 0;
        tracker.message.clone_from(&response.warning);
        // An interval shorter than the min interval is the tracker's own word, and is kept.
        tracker.not_before = Some(now + min_interval.min(interval));
        tracker.seeders = response.seeders;
        tracker.leechers = response.leechers;
        if response.tracker_id.is_some() {
            tracker.tracker_id.clone_from(&response.tracker_id);
        }
        if event == Some(AnnounceEvent::Completed) {
            self.completed = false;
        }
        // One that was passed over in a walk which another has ended adds its peers, no more.
        if matches!(self.state, State::Asking { .. }) {
            self.wanted = false;
            self.current = Some(index);
            self.promote(index);
            self.state = State::Waiting(Some(now + interval));
        }
    }

    /// Takes the announce to a tracker off the list, and gives what it told; `None` if it was lost
    /// already.
    fn end(&mut self, index: usize) -> Option<Option<AnnounceEvent>> {
        let place = self.asks.iter().position(|ask| ask.tracker == index)?;
        Some(self.asks.remove(place).event)
    }

    fn failed(&mut self, now: Instant, index: usize, retry: Option<Retry>) {
        if self.end(index).is_none() {
            return;
        }
        let tracker = &mut self.trackers[index];
        tracker.working = false;
        tracker.failures = tracker.failures.saturating_add(1);
        let wait = match retry {
            None => Some(back_off(tracker.failures, &mut self.rng)),
            Some(Retry::After(wait)) => {
                Some(wait.clamp(limits::RETRY_SAID_MIN, limits::INTERVAL_MAX))
            }
            Some(Retry::Never) => None,
        };
        // An event that failed must not open the way past the min interval of the answer before it.
        let not_before = tracker.not_before.zip(wait);
        tracker.not_before = not_before.map(|(earliest, wait)| earliest.max(now + wait));
        // While a later one still has time to answer, this one is not missed.
        if let State::Asking { newest, hurry } = self.state
            && (newest == index || hurry.is_none())
        {
            self.ask_next(now);
        }
    }

    /// Puts a tracker at the front of its tier. Source: BEP 12.
    fn promote(&mut self, index: usize) {
        let tier = self.trackers[index].tier;
        let trackers = &self.trackers;
        let mut order = self.order.iter();
        let first = order.position(|&i| trackers[i].tier == tier);
        let place = self.order.iter().position(|&i| i == index);
        if let (Some(first), Some(place)) = (first, place) {
            self.order[first..=place].rotate_right(1);
        }
    }

    /// Tells each tracker that knows us; what was waiting to be said is dropped.
    fn stop(&mut self) {
        self.state = State::Stopped;
        self.asks.clear();
        self.outputs.clear();
        for &index in &self.order {
            let tracker = &self.trackers[index];
            if tracker.started && tracker.not_before.is_some() {
                self.outputs.push_back(Output::Announce {
                    tracker: TrackerKey(index),
                    url: tracker.url.clone(),
                    event: Some(AnnounceEvent::Stopped),
                });
            }
        }
    }
}

impl Tracker {
    fn new(url: &str, tier: usize, now: Instant) -> Self {
        Self {
            url: url.to_owned(),
            tier,
            started: false,
            working: false,
            failures: 0,
            message: None,
            not_before: Some(now),
            tracker_id: None,
            seeders: None,
            leechers: None,
        }
    }
}

/// The wait after so many failures in a row: doubled by each, give or take a quarter, so that a
/// swarm whose tracker was away does not come back as one.
fn back_off(failures: u32, rng: &mut Rng) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let base = (limits::RETRY_MIN * (1 << doublings)).min(limits::RETRY_MAX);
    base.mul_f64(0.75 + rng.f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, Strategy, prop_assert, prop_assert_eq, prop_oneof, proptest};

    use super::*;
    use AnnounceEvent::{Completed, Paused, Started, Stopped};

    fn tiers(tiers: &[&[&str]]) -> Vec<Vec<String>> {
        tiers
            .iter()
            .map(|tier| tier.iter().map(ToString::to_string).collect())
            .collect()
    }

    fn response(interval: u64, min_interval: Option<u64>) -> AnnounceResponse {
        AnnounceResponse {
            interval: Duration::from_secs(interval),
            min_interval: min_interval.map(Duration::from_secs),
            ..AnnounceResponse::default()
        }
    }

    /// The world of one announcer: its clock and the announce it waits for.
    struct World {
        announcer: Announcer,
        now: Instant,
    }

    impl World {
        fn new(list: &[&[&str]]) -> Self {
            let now = Instant::now();
            let announcer = Announcer::new(&tiers(list), 7, now);
            Self { announcer, now }
        }

        fn input(&mut self, input: Input<'_>) {
            self.announcer.handle(self.now, input);
        }

        /// The one announce that is to be made, if any.
        fn announce(&mut self) -> Option<(TrackerKey, String, Option<AnnounceEvent>)> {
            let Output::Announce {
                tracker,
                url,
                event,
            } = self.announcer.poll()?;
            assert_eq!(self.announcer.poll(), None, "one announce at a time");
            Some((tracker, url, event))
        }

        /// Expects an announce and answers it.
        fn answer(&mut self, url: &str, event: Option<AnnounceEvent>, response: &AnnounceResponse) {
            let (tracker, got, why) = self.announce().expect("an announce");
            assert_eq!((got.as_str(), why), (url, event));
            self.input(Input::Answered { tracker, response });
        }

        /// Expects an announce and lets it fail.
        fn fail(&mut self, retry: Option<Retry>) -> String {
            let (tracker, url, _) = self.announce().expect("an announce");
            self.input(Input::Failed { tracker, retry });
            url
        }

        /// Goes to the next time-out and says how long it was, in seconds.
        fn sleep(&mut self) -> u64 {
            let next = self.announcer.timeout().expect("something is due");
            let slept = next - self.now;
            self.now = next;
            self.input(Input::Timeout);
            slept.as_secs()
        }
    }

    #[test]
    fn started_comes_first_and_then_the_interval() {
        let mut world = World::new(&[&["a"]]);
        world.answer("a", Some(Started), &response(900, None));
        assert_eq!(world.announce(), None);
        assert_eq!(world.sleep(), 900);
        world.answer("a", None, &response(1000, None));
        assert_eq!(world.sleep(), 1000);
    }

    #[test]
    fn no_tracker_never_wakes() {
        let mut world = World::new(&[&[]]);
        assert_eq!((world.announce(), world.announcer.timeout()), (None, None));
        world.input(Input::WantPeers);
        world.input(Input::Completed);
        world.input(Input::Stop);
        assert_eq!((world.announce(), world.announcer.timeout()), (None, None));
    }

    #[test]
    fn tracker_that_answers_is_promoted_within_its_tier() {
        let mut world = World::new(&[&["a", "b", "c"], &["d"]]);
        let first = world.fail(None);
        let second = world.fail(None);
        let (tracker, third, _) = world.announce().unwrap();
        let response = response(900, None);
        world.input(Input::Answered {
            tracker,
            response: &response,
        });
        let order: Vec<_> = world
            .announcer
            .status()
            .into_iter()
            .map(|s| s.url)
            .collect();
        assert_eq!(order, [third.as_str(), &first, &second, "d"]);
        world.sleep();
        world.answer(&third, None, &response);
    }

    #[test]
    fn later_tier_is_asked_only_when_the_earlier_fails() {
        let mut world = World::new(&[&["a"], &["b"]]);
        assert_eq!(world.fail(None), "a");
        world.answer("b", Some(Started), &response(900, None));
        world.sleep();
        // The first tier has the first word again. Source: BEP 12.
        world.answer("a", Some(Started), &response(900, None));
        world.input(Input::Stop);
        let stopped: Vec<_> = std::iter::from_fn(|| world.announcer.poll()).collect();
        let expect = [("a", 0), ("b", 1)].map(|(url, key)| Output::Announce {
            tracker: TrackerKey(key),
            url: url.to_owned(),
            event: Some(Stopped),
        });
        assert_eq!(stopped, expect, "each that knows us is told");
        assert_eq!(world.announcer.timeout(), None);
    }

    #[test]
    fn stopped_is_not_told_to_a_tracker_that_never_answered() {
        let mut world = World::new(&[&["a"]]);
        world.fail(None);
        world.input(Input::Stop);
        assert_eq!(world.announce(), None);
    }

    #[test]
    fn completed_is_told_once_and_at_once() {
        let mut world = World::new(&[&["a"]]);
        world.answer("a", Some(Started), &response(900, Some(600)));
        world.input(Input::Completed);
        world.answer("a", Some(Completed), &response(900, Some(600)));
        assert_eq!(world.sleep(), 900);
        world.answer("a", None, &response(900, None));
    }

    #[test]
    fn partial_seed_says_paused_in_its_regular_announces() {
        let mut world = World::new(&[&["a"]]);
        world.input(Input::Paused(true));
        world.answer("a", Some(Started), &response(900, Some(600)));
        assert_eq!(world.sleep(), 900);
        world.answer("a", Some(Paused), &response(900, Some(600)));
        // It is no news: the min interval holds.
        world.input(Input::WantPeers);
        assert_eq!(world.announce(), None);
        assert_eq!(world.sleep(), 600);
        world.answer("a", Some(Paused), &response(900, None));
        world.input(Input::Completed);
        world.answer("a", Some(Completed), &response(900, None));
        world.sleep();
        world.answer("a", None, &response(900, None));
    }

    #[test]
    fn completed_outlives_an_outage() {
        let mut world = World::new(&[&["a"]]);
        world.input(Input::Completed);
        world.answer("a", Some(Started), &response(900, None));
        assert_eq!(world.fail(None), "a", "the event that followed");
        world.sleep();
        world.answer("a", Some(Completed), &response(900, None));
        world.sleep();
        world.answer("a", None, &response(900, None));
    }

    #[test]
    fn failed_event_does_not_shorten_the_min_interval() {
        let mut world = World::new(&[&["a"]]);
        world.answer("a", Some(Started), &response(900, Some(600)));
        world.input(Input::Completed);
        world.fail(None);
        assert_eq!(world.sleep(), 600);
        world.answer("a", Some(Completed), &response(900, None));
    }

    #[test]
    fn wanted_peers_wait_for_the_min_interval() {
        let mut world = World::new(&[&["a"]]);
        world.answer("a", Some(Started), &response(900, Some(300)));
        world.now += Duration::from_secs(100);
        world.input(Input::WantPeers);
        assert_eq!(world.announce(), None);
        assert_eq!(world.sleep(), 200);
        world.answer("a", None, &response(900, None));
        world.input(Input::WantPeers);
        let default = limits::MIN_INTERVAL_DEFAULT.as_secs();
        assert_eq!(
            world.sleep(),
            default,
            "an answer without one has a default"
        );
        world.answer("a", None, &response(30, Some(300)));
        assert_eq!(
            world.sleep(),
            30,
            "a shorter interval is the tracker's word"
        );
    }

    #[test]
    fn back_off_doubles_up_to_an_hour_with_jitter() {
        let mut world = World::new(&[&["a"]]);
        let mut base = limits::RETRY_MIN.as_secs_f64();
        let mut jittered = 0;
        for _ in 0..20 {
            world.fail(None);
            let before = world.now;
            world.sleep();
            let slept = (world.now - before).as_secs_f64();
            assert!(
                (0.74 * base..=1.26 * base).contains(&slept),
                "{slept} of {base}"
            );
            jittered += usize::from((slept - base).abs() > 0.01 * base);
            base = (base * 2.0).min(limits::RETRY_MAX.as_secs_f64());
        }
        assert!(jittered > 10);
    }

    #[test]
    fn hopeless_tracker_is_never_asked_again() {
        let mut world = World::new(&[&["udp"], &["b"]]);
        assert_eq!(world.fail(Some(Retry::Never)), "udp");
        assert_eq!(world.fail(Some(Retry::Never)), "b");
        assert_eq!(world.announcer.timeout(), None);
        assert!(world.announcer.status().iter().all(|s| s.next.is_none()));
        world.input(Input::WantPeers);
        assert_eq!(world.announce(), None);
    }

    #[test]
    fn refusing_tracker_is_asked_again_when_it_said() {
        let minutes = |n: u64| Some(Retry::After(Duration::from_secs(n.saturating_mul(60))));
        let mut world = World::new(&[&["a"]]);
        for (said, slept) in [(5, 300), (90, 5_400), (0, 60), (1, 60), (u64::MAX, 86_400)] {
            assert_eq!(world.fail(minutes(said)), "a");
            assert_eq!(world.sleep(), slept, "retry in {said}");
        }
        world.input(Input::WantPeers);
        world.answer("a", Some(Started), &response(900, None));
        // Meanwhile the others are asked.
        let mut world = World::new(&[&["a"], &["b"]]);
        assert_eq!(world.fail(minutes(10)), "a");
        world.answer("b", Some(Started), &response(300, None));
        assert_eq!(world.sleep(), 300);
        world.answer("b", None, &response(300, None));
        assert_eq!(world.sleep(), 300);
        world.answer("a", Some(Started), &response(300, None));
    }

    #[test]
    fn lost_answer_counts_as_a_failure() {
        let mut world = World::new(&[&["a"], &["b"]]);
        let (late, _, _) = world.announce().unwrap();
        assert_eq!(world.sleep(), limits::PATIENCE.as_secs());
        world.answer("b", Some(Started), &response(900, None));
        assert_eq!(
            world.sleep() + limits::PATIENCE.as_secs(),
            limits::ANSWER_MAX.as_secs()
        );
        assert_eq!(world.announcer.status()[0].failures, 1);
        let response = response(50, None);
        world.input(Input::Answered {
            tracker: late,
            response: &response,
        });
        assert_eq!(
            world.sleep() + limits::ANSWER_MAX.as_secs() - limits::PATIENCE.as_secs(),
            900,
            "an answer that is too late changes nothing"
        );
    }

    #[test]
    fn silent_tracker_delays_nobody() {
        let mut world = World::new(&[&["a"], &["b"], &["c"]]);
        let (silent, _, _) = world.announce().unwrap();
        assert_eq!(world.sleep(), limits::PATIENCE.as_secs());
        let (slow, url, event) = world.announce().unwrap();
        assert_eq!((url.as_str(), event), ("b", Some(Started)));
        let failed = |tracker| Input::Failed {
            tracker,
            retry: None,
        };
        world.input(failed(silent));
        assert_eq!(world.announce(), None, "the second has its time too");
        world.sleep();
        let (last, url, _) = world.announce().unwrap();
        assert_eq!(url, "c");
        world.input(failed(last));
        assert_eq!(world.announce(), None, "nobody is left to ask");
        let response = response(900, None);
        let answered = Input::Answered {
            tracker: slow,
            response: &response,
        };
        world.input(answered);
        assert_eq!(world.sleep(), 900);
    }

    #[test]
    fn slow_answer_counts_though_another_came_first() {
        let mut world = World::new(&[&["a"], &["b"]]);
        let (slow, _, _) = world.announce().unwrap();
        world.sleep();
        world.answer("b", Some(Started), &response(900, None));
        let late = response(60, None);
        world.input(Input::Answered {
            tracker: slow,
            response: &late,
        });
        assert_eq!(world.announce(), None);
        assert!(world.announcer.status().iter().all(|status| status.working));
        assert_eq!(
            world.sleep(),
            900,
            "the interval is of the one that answered first"
        );
        world.answer("a", None, &response(900, None));
        world.input(Input::Stop);
        let stopped = std::iter::from_fn(|| world.announcer.poll()).count();
        assert_eq!(stopped, 2, "both know us");
    }

    #[test]
    fn status_tells_what_the_tracker_said() {
        let mut world = World::new(&[&["a"], &["b"]]);
        let (tracker, _, _) = world.announce().unwrap();
        world.announcer.note(tracker, "cannot\x1b connect");
        world.input(Input::Failed {
            tracker,
            retry: None,
        });
        let answer = AnnounceResponse {
            seeders: Some(3),
            warning: Some("slow".to_owned()),
            tracker_id: Some(b"id".to_vec()),
            ..response(900, None)
        };
        world.answer("b", Some(Started), &answer);
        let status = world.announcer.status();
        assert_eq!(status[0].message.as_deref(), Some("cannot connect"));
        assert_eq!((status[0].failures, status[0].working), (1, false));
        assert_eq!((status[1].tier, status[1].seeders), (1, Some(3)));
        assert_eq!(status[1].message.as_deref(), Some("slow"));
        assert_eq!(status[1].next, Some(world.now + Duration::from_secs(900)));
        assert_eq!(world.announcer.tracker_id(TrackerKey(1)), Some(&b"id"[..]));
    }

    #[test]
    fn urls_are_shuffled_by_seed_and_doubled_ones_dropped() {
        let list = tiers(&[&["a", "b", "c", "d", "e", "f"], &["a", "g"]]);
        let order = |seed| {
            let announcer = Announcer::new(&list, seed, Instant::now());
            let status = announcer.status().into_iter();
            status.map(|s| s.url).collect::<Vec<_>>()
        };
        assert_eq!(order(1), order(1));
        assert!((2..20).any(|seed| order(seed) != order(1)));
        assert_eq!(order(1).len(), 7);
        assert_eq!(order(1)[6], "g");
        let many: Vec<String> = (0..500).map(|i| i.to_string()).collect();
        let announcer = Announcer::new(&[many], 1, Instant::now());
        assert_eq!(announcer.status().len(), limits::TRACKERS_MAX);
    }

    /// One step of a foreign world.
    #[derive(Debug, Clone, Copy)]
    enum Step {
        Sleep,
        Wait(u16),
        WantPeers,
        Completed,
        Answer {
            interval: u16,
            min_interval: Option<u16>,
        },
        Fail,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let answer =
            (1..2000u16, proptest::option::of(1..2000u16)).prop_map(|(interval, min_interval)| {
                Step::Answer {
                    interval,
                    min_interval,
                }
            });
        let step = prop_oneof![
            2 => Just(Step::Sleep),
            1 => (0..500u16).prop_map(Step::Wait),
            1 => Just(Step::WantPeers),
            1 => Just(Step::Completed),
            3 => answer,
            2 => Just(Step::Fail),
        ];
        proptest::collection::vec(step, 0..200)
    }

    proptest! {
        /// Whatever happens, no tracker is asked before it allows (but for events), exactly one
        /// `started` is answered by each, and when the trackers are back the torrent is announced.
        #[test]
        fn tracker_is_never_asked_too_early_and_always_in_the_end(steps in steps(), seed: u64) {
            let list = tiers(&[&["a", "b"], &["c"]]);
            let mut now = Instant::now();
            let start = now;
            let mut announcer = Announcer::new(&list, seed, now);
            let mut earliest = [start; 3];
            let mut known = [false; 3];
            let mut open: VecDeque<TrackerKey> = VecDeque::new();
            for step in steps {
                while let Some(Output::Announce { tracker, event, .. }) = announcer.poll() {
                    prop_assert!(!open.contains(&tracker), "one at a time of each");
                    prop_assert!(event.is_some() || now >= earliest[tracker.0], "too early");
                    prop_assert_eq!(event == Some(Started), !known[tracker.0]);
                    open.push_back(tracker);
                }
                match (step, open.front().copied()) {
                    (Step::Sleep, _) => {
                        now = announcer.timeout().expect("trackers are never given up").max(now);
                        announcer.handle(now, Input::Timeout);
                        open.retain(|key| announcer.asks.iter().any(|ask| ask.tracker == key.0));
                    }
                    (Step::Wait(s), None) => {
                        now += Duration::from_secs(s.into());
                        announcer.handle(now, Input::Timeout);
                    }
                    (Step::WantPeers, _) => announcer.handle(now, Input::WantPeers),
                    (Step::Completed, _) => announcer.handle(now, Input::Completed),
                    (Step::Answer { interval, min_interval }, Some(tracker)) => {
                        let response = response(interval.into(), min_interval.map(u64::from));
                        known[tracker.0] = true;
                        let min = response.min_interval.unwrap_or(limits::MIN_INTERVAL_DEFAULT);
                        let wait = min.min(response.interval).max(limits::INTERVAL_MIN);
                        earliest[tracker.0] = now + wait;
                        open.pop_front();
                        announcer.handle(now, Input::Answered { tracker, response: &response });
                    }
                    (Step::Fail, Some(tracker)) => {
                        open.pop_front();
                        announcer.handle(now, Input::Failed { tracker, retry: None });
                    }
                    _ => {}
                }
            }
            // All trackers are back: within the longest back-off somebody is asked and answers.
            let deadline = now + limits::RETRY_MAX * 2 + limits::ANSWER_MAX;
            let mut answered = false;
            while !answered && now <= deadline {
                if let Some(Output::Announce { tracker, .. }) = announcer.poll() {
                    open.push_back(tracker);
                }
                if let Some(tracker) = open.pop_front() {
                    let response = response(900, None);
                    announcer.handle(now, Input::Answered { tracker, response: &response });
                    answered = true;
                } else {
                    now = announcer.timeout().expect("trackers are never given up").max(now);
                    announcer.handle(now, Input::Timeout);
                }
            }
            prop_assert!(answered, "the torrent was not announced");
        }
    }
}
