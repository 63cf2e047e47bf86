//! When and to whom one torrent announces. BEP 3 "trackers", BEP 12 "multitracker".
//!
//! Walks the tiers in order until a tracker answers, promotes that one within its tier, keeps its
//! intervals, backs off from those that fail. Sans-io: the clock is an argument, the exchange is the
//! caller's, and neither sockets nor peers are known here.
//!
//! ```text
//!            due                    Answered
//! Waiting ─────────▶ Asking(first) ──────────▶ Waiting (its interval)
//!    ▲                  │ Failed
//!    │ none left        ▼
//!    └────────────── Asking(next)        Stop, from anywhere: ──▶ Stopped
//! ```

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::announce::{AnnounceEvent, AnnounceResponse};
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
        /// Whether to leave it alone from now on: [`crate::TrackerError::is_permanent`].
        permanent: bool,
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
    /// One tracker has been asked.
    Asking {
        tracker: usize,
        event: Option<AnnounceEvent>,
        /// Without an answer until then it has failed.
        until: Instant,
    },
    /// `stopped` has been sent.
    Stopped,
}

/// The announces of one torrent.
#[derive(Debug)]
pub struct Announcer {
    trackers: Vec<Tracker>,
    /// The order of asking: by tier, and within it shuffled, then promoted. Indices of `trackers`.
    order: Vec<usize>,
    state: State,
    /// The tracker that answered last.
    current: Option<usize>,
    /// `completed` is still to be told.
    completed: bool,
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
    /// Each tier is shuffled by `seed`. A URL that comes twice counts where it is first; of more than
    /// [`limits::TRACKERS_MAX`] the first are taken.
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
            current: None,
            completed: false,
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
            Input::Completed => self.completed = true,
            Input::WantPeers => self.wanted = true,
            Input::Timeout => {}
            Input::Answered { tracker, response } => self.answered(now, tracker.0, response),
            Input::Failed { tracker, permanent } => self.failed(now, tracker.0, permanent),
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
        match self.state {
            State::Waiting(due) => due,
            State::Asking { until, .. } => Some(until),
            State::Stopped => None,
        }
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
        if let State::Asking { tracker, until, .. } = self.state
            && now >= until
        {
            self.failed(now, tracker, false);
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

    /// Asks the first tracker that this walk has not passed and that may be asked; waits if none.
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
        let next = self.trackers.iter().filter_map(|t| t.not_before).min();
        self.state = State::Waiting(next.map(|next| next.max(now)));
    }

    /// An event may pass a tracker's min interval, but not the back-off of one that failed.
    fn may_ask(&self, index: usize, event: Option<AnnounceEvent>, now: Instant) -> bool {
        let tracker = &self.trackers[index];
        let Some(not_before) = tracker.not_before else {
            return false;
        };
        now >= not_before || (tracker.working && event.is_some())
    }

    fn event(&self, index: usize) -> Option<AnnounceEvent> {
        if !self.trackers[index].started {
            Some(AnnounceEvent::Started)
        } else if self.completed {
            Some(AnnounceEvent::Completed)
        } else {
            None
        }
    }

    fn ask(&mut self, index: usize, event: Option<AnnounceEvent>, now: Instant) {
        self.state = State::Asking {
            tracker: index,
            event,
            until: now + limits::ANSWER_MAX,
        };
        self.outputs.push_back(Output::Announce {
            tracker: TrackerKey(index),
            url: self.trackers[index].url.clone(),
            event,
        });
    }

    fn answered(&mut self, now: Instant, index: usize, response: &AnnounceResponse) {
        let State::Asking { tracker, event, .. } = self.state else {
            return;
        };
        if tracker != index {
            return;
        }
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
        self.wanted = false;
        self.current = Some(index);
        self.promote(index);
        self.state = State::Waiting(Some(now + interval));
    }

    fn failed(&mut self, now: Instant, index: usize, permanent: bool) {
        if !matches!(self.state, State::Asking { tracker, .. } if tracker == index) {
            return;
        }
        let tracker = &mut self.trackers[index];
        tracker.working = false;
        tracker.failures = tracker.failures.saturating_add(1);
        let wait = back_off(tracker.failures, &mut self.rng);
        // An event that failed must not open the way past the min interval of the answer before it.
        let not_before = tracker.not_before.filter(|_| !permanent);
        tracker.not_before = not_before.map(|earliest| earliest.max(now + wait));
        self.ask_next(now);
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
mod tests;
