//! The announcer by hand, and against trackers that come and go.

use proptest::prelude::{Just, Strategy, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;
use AnnounceEvent::{Completed, Started, Stopped};

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
    fn fail(&mut self, permanent: bool) -> String {
        let (tracker, url, _) = self.announce().expect("an announce");
        self.input(Input::Failed { tracker, permanent });
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
    let first = world.fail(false);
    let second = world.fail(false);
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
    assert_eq!(world.fail(false), "a");
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
    world.fail(false);
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
fn completed_outlives_an_outage() {
    let mut world = World::new(&[&["a"]]);
    world.input(Input::Completed);
    world.answer("a", Some(Started), &response(900, None));
    assert_eq!(world.fail(false), "a", "the event that followed");
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
    world.fail(false);
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
        world.fail(false);
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
    assert_eq!(world.fail(true), "udp");
    assert_eq!(world.fail(true), "b");
    assert_eq!(world.announcer.timeout(), None);
    assert!(world.announcer.status().iter().all(|s| s.next.is_none()));
    world.input(Input::WantPeers);
    assert_eq!(world.announce(), None);
}

#[test]
fn lost_answer_counts_as_a_failure() {
    let mut world = World::new(&[&["a"], &["b"]]);
    let (late, _, _) = world.announce().unwrap();
    assert_eq!(world.sleep(), limits::ANSWER_MAX.as_secs());
    world.answer("b", Some(Started), &response(900, None));
    let response = response(50, None);
    world.input(Input::Answered {
        tracker: late,
        response: &response,
    });
    assert_eq!(
        world.sleep(),
        900,
        "an answer that is too late changes nothing"
    );
}

#[test]
fn status_tells_what_the_tracker_said() {
    let mut world = World::new(&[&["a"], &["b"]]);
    let (tracker, _, _) = world.announce().unwrap();
    world.announcer.note(tracker, "cannot\x1b connect");
    world.input(Input::Failed {
        tracker,
        permanent: false,
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
    /// Whatever happens, no tracker is asked before it allows (but for events), exactly one `started`
    /// is answered by each, and when the trackers are back the torrent is announced.
    #[test]
    fn tracker_is_never_asked_too_early_and_always_in_the_end(steps in steps(), seed: u64) {
        let list = tiers(&[&["a", "b"], &["c"]]);
        let mut now = Instant::now();
        let start = now;
        let mut announcer = Announcer::new(&list, seed, now);
        let mut earliest = [start; 3];
        let mut known = [false; 3];
        let mut open = None;
        for step in steps {
            while let Some(Output::Announce { tracker, event, .. }) = announcer.poll() {
                prop_assert_eq!(open, None, "one at a time");
                prop_assert!(event.is_some() || now >= earliest[tracker.0], "too early");
                prop_assert_eq!(event == Some(Started), !known[tracker.0]);
                open = Some(tracker);
            }
            match (step, open) {
                (Step::Sleep, _) => {
                    now = announcer.timeout().expect("trackers are never given up").max(now);
                    if open.is_some() {
                        open = None;
                    }
                    announcer.handle(now, Input::Timeout);
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
                    earliest[tracker.0] = now + min.min(response.interval).max(limits::INTERVAL_MIN);
                    open = None;
                    announcer.handle(now, Input::Answered { tracker, response: &response });
                }
                (Step::Fail, Some(tracker)) => {
                    open = None;
                    announcer.handle(now, Input::Failed { tracker, permanent: false });
                }
                _ => {}
            }
        }
        // All trackers are back: within the longest back-off somebody is asked and answers.
        let deadline = now + limits::RETRY_MAX * 2 + limits::ANSWER_MAX;
        let mut answered = false;
        while !answered && now <= deadline {
            if let Some(Output::Announce { tracker, .. }) = announcer.poll() {
                open = Some(tracker);
            }
            if let Some(tracker) = open.take() {
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
