//! Questions to trackers that answer, refuse, stay silent or are others than they seem. BEP 15.

use std::collections::HashSet;
use std::time::Duration;

use proptest::prelude::{
    Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest,
};
use shoal_metainfo::PeerId;

use super::packet::{Counts, Head, Request};
use super::*;

const TRACKER: &str = "10.0.0.1:6969";
const OTHER: &str = "10.0.0.2:6969";
const ID: ConnectionId = ConnectionId(0xc0ffee);

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn announce() -> Question {
    let request = AnnounceRequest {
        info_hash: InfoHash([1; 20]),
        peer_id: PeerId([2; 20]),
        key: 1,
        ..AnnounceRequest::example()
    };
    Question::Announce {
        request,
        url: b"/announce".to_vec(),
    }
}

/// One client and its clock.
struct World {
    exchange: Exchange,
    start: Instant,
    now: Instant,
}

impl World {
    fn new() -> Self {
        let mut mark = 0;
        let now = Instant::now();
        let exchange = Exchange::new(move || {
            mark += 1;
            mark
        });
        let start = now;
        Self {
            exchange,
            start,
            now,
        }
    }

    fn input(&mut self, input: Input<'_>) {
        self.exchange.handle(self.now, input);
    }

    fn ask(&mut self, key: u64, tracker: &str, question: Question) {
        self.input(Input::Ask {
            key: QuestionKey(key),
            tracker: address(tracker),
            question,
        });
    }

    fn packet(&mut self, from: &str, bytes: &[u8]) {
        let from = address(from);
        self.input(Input::Packet { from, bytes });
    }

    /// Expects one packet to that tracker.
    fn sent(&mut self, to: &str) -> Vec<u8> {
        match self.exchange.poll() {
            Some(Output::Send { to: got, packet }) => {
                assert_eq!(got, address(to));
                packet
            }
            other => panic!("{other:?}"),
        }
    }

    /// Expects a request to connect and gives its mark.
    fn connect(&mut self, to: &str) -> TransactionId {
        let packet = self.sent(to);
        assert_eq!(Request::decode(&packet), Ok(Request::Connect));
        Head::decode(&packet).unwrap().transaction
    }

    /// Expects an announce or a scrape with this id, and gives its mark.
    fn question(&mut self, to: &str, id: ConnectionId) -> TransactionId {
        let packet = self.sent(to);
        assert_ne!(Request::decode(&packet), Ok(Request::Connect));
        let head = Head::decode(&packet).unwrap();
        assert_eq!(head.connection, id);
        head.transaction
    }

    /// Expects a request to connect and answers it.
    fn let_in(&mut self, tracker: &str, id: ConnectionId) {
        let mark = self.connect(tracker);
        self.packet(tracker, &packet::connect_response(mark, id));
    }

    fn done(&mut self) -> (u64, Result<Answer, TrackerError>) {
        match self.exchange.poll() {
            Some(Output::Done { key, result }) => (key.0, result),
            other => panic!("{other:?}"),
        }
    }

    fn quiet(&mut self) {
        assert_eq!(self.exchange.poll(), None);
    }

    fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.input(Input::Timeout);
    }

    /// Goes to the next time-out and says when that is, in seconds from the beginning.
    fn sleep(&mut self) -> u64 {
        self.now = self.exchange.timeout().expect("something is due");
        self.input(Input::Timeout);
        (self.now - self.start).as_secs()
    }
}

fn good(mark: TransactionId) -> Vec<u8> {
    packet::announce_head(mark, Duration::from_secs(900), 3, 4).to_vec()
}

fn refusal(mark: TransactionId) -> Vec<u8> {
    [&packet::error_head(mark)[..], b"no"].concat()
}

fn interval(result: Result<Answer, TrackerError>) -> u64 {
    match result {
        Ok(Answer::Announce(response)) => response.interval.as_secs(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn announce_connects_first() {
    let mut world = World::new();
    world.ask(7, TRACKER, announce());
    world.let_in(TRACKER, ID);
    let mark = world.question(TRACKER, ID);
    world.packet(TRACKER, &good(mark));
    let (key, result) = world.done();
    assert_eq!((key, interval(result)), (7, 900));
    assert_eq!(world.exchange.timeout(), None);
}

#[test]
fn questions_share_a_connection_id_for_a_minute() {
    let mut world = World::new();
    world.ask(1, TRACKER, announce());
    world.ask(2, TRACKER, announce());
    world.let_in(TRACKER, ID);
    let marks = [world.question(TRACKER, ID), world.question(TRACKER, ID)];
    assert_ne!(marks[0], marks[1]);
    world.packet(TRACKER, &good(marks[1]));
    assert_eq!(world.done().0, 2);
    world.packet(TRACKER, &good(marks[0]));
    assert_eq!(world.done().0, 1);
    world.wait(59);
    world.ask(3, TRACKER, announce());
    let mark = world.question(TRACKER, ID);
    world.packet(TRACKER, &good(mark));
    assert_eq!(world.done().0, 3);
    world.wait(1);
    world.ask(4, TRACKER, announce());
    world.connect(TRACKER);
    world.ask(5, OTHER, announce());
    world.connect(OTHER);
}

#[test]
fn silence_is_met_with_the_same_packet_after_15_and_30_seconds_and_given_up_after_105() {
    let mut world = World::new();
    world.ask(1, TRACKER, announce());
    let mark = world.connect(TRACKER);
    for at in [15, 45] {
        assert_eq!(world.sleep(), at);
        assert_eq!(world.connect(TRACKER), mark);
    }
    assert_eq!(world.sleep(), 105);
    let after = limits::UDP_EXCHANGE_MAX;
    assert_eq!(world.done(), (1, Err(TrackerError::Timeout { after })));
    world.quiet();
    assert_eq!(world.exchange.timeout(), None, "nobody waits to connect");
    let mut world = World::new();
    world.ask(1, TRACKER, announce());
    world.let_in(TRACKER, ID);
    let mark = world.question(TRACKER, ID);
    for at in [15, 45] {
        assert_eq!(world.sleep(), at);
        assert_eq!(world.question(TRACKER, ID), mark);
    }
    assert_eq!(world.sleep(), 105);
    assert_eq!(world.done().0, 1);
}

#[test]
fn lost_packet_costs_one_wait() {
    let mut world = World::new();
    world.ask(1, TRACKER, announce());
    world.connect(TRACKER);
    world.sleep();
    world.let_in(TRACKER, ID);
    world.question(TRACKER, ID);
    assert_eq!(world.sleep(), 30);
    let mark = world.question(TRACKER, ID);
    world.packet(TRACKER, &good(mark));
    assert_eq!(interval(world.done().1), 900);
}

#[test]
fn id_that_the_tracker_has_forgotten_is_renewed_once() {
    let mut world = World::new();
    world.ask(1, TRACKER, announce());
    world.let_in(TRACKER, ID);
    let mark = world.question(TRACKER, ID);
    world.packet(TRACKER, &refusal(mark));
    let error = world.done().1.unwrap_err();
    assert_eq!(error.to_string(), "the tracker refuses: no");
    // Another question comes with the old id, and the tracker says so.
    world.wait(20);
    world.ask(2, TRACKER, announce());
    let mark = world.question(TRACKER, ID);
    world.packet(TRACKER, &refusal(mark));
    world.let_in(TRACKER, ConnectionId(5));
    let mark = world.question(TRACKER, ConnectionId(5));
    world.packet(TRACKER, &refusal(mark));
    assert!(world.done().1.is_err());
    // A third one says nothing.
    world.wait(20);
    world.ask(3, TRACKER, announce());
    world.question(TRACKER, ConnectionId(5));
    world.wait(15);
    world.let_in(TRACKER, ConnectionId(6));
    world.question(TRACKER, ConnectionId(6));
}

#[test]
fn stranger_cannot_answer() {
    let mut world = World::new();
    world.ask(1, TRACKER, announce());
    let mark = world.connect(TRACKER);
    let wrong = TransactionId(mark.0 + 1);
    let strangers = [
        ("10.0.0.9:6969", mark),
        ("10.0.0.1:6968", mark),
        (TRACKER, wrong),
    ];
    for (from, mark) in strangers {
        world.packet(from, &packet::connect_response(mark, ID));
        world.packet(from, &refusal(mark));
        world.quiet();
    }
    world.packet(TRACKER, &packet::connect_response(mark, ID));
    let mark = world.question(TRACKER, ID);
    let wrong = TransactionId(mark.0 + 1);
    for (from, mark) in [(OTHER, mark), (TRACKER, wrong)] {
        world.packet(from, &good(mark));
        world.packet(from, &refusal(mark));
        world.packet(from, &good(mark)[..7]);
        world.quiet();
    }
    world.packet(TRACKER, &good(mark));
    assert!(world.done().1.is_ok());
    world.packet(TRACKER, &good(mark));
    world.quiet();
}

#[test]
fn answer_that_is_none_is_told() {
    let mut world = World::new();
    world.ask(1, TRACKER, announce());
    let mark = world.connect(TRACKER);
    world.packet(TRACKER, &good(mark));
    let error = world.done().1.unwrap_err().to_string();
    assert!(error.contains("none to a request to connect"), "{error}");
    world.ask(2, TRACKER, announce());
    world.let_in(TRACKER, ID);
    let mark = world.question(TRACKER, ID);
    world.packet(TRACKER, &good(mark)[..19]);
    let error = world.done().1.unwrap_err().to_string();
    assert!(error.contains("19 bytes"), "{error}");
}

#[test]
fn refusal_to_connect_is_told_to_all_who_wait() {
    let mut world = World::new();
    world.ask(1, TRACKER, announce());
    world.ask(2, TRACKER, Question::Scrape(vec![InfoHash([1; 20])]));
    let mark = world.connect(TRACKER);
    world.packet(TRACKER, &refusal(mark));
    let both = [world.done(), world.done()];
    assert!(both.iter().all(|(_, result)| result.is_err()));
    world.quiet();
}

#[test]
fn scrape_counts_what_was_asked() {
    let mut world = World::new();
    let hashes = vec![InfoHash([1; 20]), InfoHash([2; 20])];
    world.ask(1, TRACKER, Question::Scrape(hashes.clone()));
    world.let_in(TRACKER, ID);
    let mark = world.question(TRACKER, ID);
    let counts = |n| Counts {
        seeders: n,
        completed: 0,
        leechers: 0,
    };
    let bytes = [
        &packet::scrape_head(mark)[..],
        &counts(5).encode(),
        &counts(6).encode(),
    ];
    world.packet(TRACKER, &bytes.concat());
    let Ok(Answer::Scrape(entries)) = world.done().1 else {
        panic!("not a scrape")
    };
    let told: Vec<_> = entries.iter().map(|e| (e.info_hash, e.seeders)).collect();
    assert_eq!(told, [(hashes[0], 5), (hashes[1], 6)]);
}

#[test]
fn address_without_a_way_fails_at_once() {
    let mut world = World::new();
    world.ask(1, TRACKER, announce());
    world.ask(2, OTHER, announce());
    world.connect(TRACKER);
    world.connect(OTHER);
    let reason = "Network is unreachable".to_owned();
    let to = address(TRACKER);
    world.input(Input::Unsendable { to, reason });
    let (key, result) = world.done();
    assert_eq!(key, 1);
    assert!(result.unwrap_err().to_string().contains("unreachable"));
    world.quiet();
}

#[test]
fn cancelled_question_is_silent() {
    let mut world = World::new();
    world.ask(1, TRACKER, announce());
    let mark = world.connect(TRACKER);
    world.input(Input::Cancel(QuestionKey(1)));
    world.packet(TRACKER, &packet::connect_response(mark, ID));
    world.quiet();
    world.ask(2, TRACKER, announce());
    world.question(TRACKER, ID);
}

#[test]
fn ipv6_answers_have_ipv6_peers() {
    let mut world = World::new();
    let tracker = "[2001:db8::1]:6969";
    world.ask(1, tracker, announce());
    world.let_in(tracker, ID);
    let mark = world.question(tracker, ID);
    let packet = [&good(mark)[..], &[9; 18]].concat();
    // With the scope that the system adds.
    let from = std::net::SocketAddrV6::new("2001:db8::1".parse().unwrap(), 6969, 0, 2);
    let (from, bytes) = (SocketAddr::V6(from), &packet[..]);
    world.input(Input::Packet { from, bytes });
    let Ok(Answer::Announce(response)) = world.done().1 else {
        panic!("not an announce")
    };
    assert_eq!(response.peers.len(), 1);
    assert!(response.peers[0].is_ipv6());
}

/// One step of a foreign world.
#[derive(Debug, Clone)]
enum Step {
    Ask(bool),
    Cancel(usize),
    Sleep,
    Wait(u8),
    /// The packet sent so many packets ago is answered: well, by a refusal, or with other bytes.
    Answer(usize, u8),
    Noise(Vec<u8>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => any::<bool>().prop_map(Step::Ask),
        1 => (0..5_usize).prop_map(Step::Cancel),
        2 => Just(Step::Sleep),
        2 => (0..40_u8).prop_map(Step::Wait),
        4 => (0..4_usize, any::<u8>()).prop_map(|(ago, how)| Step::Answer(ago, how)),
        1 => prop::collection::vec(any::<u8>(), 0..30).prop_map(Step::Noise),
    ];
    prop::collection::vec(step, 0..120)
}

proptest! {
    /// Whatever happens, each question that is not cancelled ends exactly once, within its time,
    /// and then nothing is left to wait for.
    #[test]
    fn every_question_ends_once_and_in_time(steps in steps()) {
        let mut world = World::new();
        let mut open: BTreeMap<QuestionKey, Instant> = BTreeMap::new();
        let (mut next, mut cancelled) = (0, HashSet::new());
        let mut sent: Vec<(SocketAddr, Vec<u8>)> = Vec::new();
        let rest = std::iter::repeat_n(Step::Sleep, 2_000);
        for step in steps.into_iter().chain(rest) {
            match step {
                Step::Ask(other) => {
                    next += 1;
                    open.insert(QuestionKey(next), world.now);
                    world.ask(next, if other { OTHER } else { TRACKER }, announce());
                }
                Step::Cancel(place) => {
                    if let Some(&key) = open.keys().nth(place) {
                        open.remove(&key);
                        cancelled.insert(key);
                        world.input(Input::Cancel(key));
                    }
                }
                Step::Sleep => match world.exchange.timeout() {
                    Some(_) => drop(world.sleep()),
                    None if open.is_empty() => {}
                    None => panic!("questions are open and nothing is due"),
                },
                Step::Wait(seconds) => world.wait(seconds.into()),
                Step::Answer(ago, how) => {
                    let Some((from, packet)) = sent.iter().rev().nth(ago).cloned() else {
                        continue;
                    };
                    let mark = Head::decode(&packet).unwrap().transaction;
                    let bytes = match (how % 4, Request::decode(&packet)) {
                        (0, _) => refusal(mark),
                        (1, _) => good(mark)[..12].to_vec(),
                        (_, Ok(Request::Connect)) => packet::connect_response(mark, ID).to_vec(),
                        _ => good(mark),
                    };
                    world.input(Input::Packet { from, bytes: &bytes });
                }
                Step::Noise(bytes) => world.packet(TRACKER, &bytes),
            }
            while let Some(output) = world.exchange.poll() {
                match output {
                    Output::Send { to, packet } => sent.push((to, packet)),
                    Output::Done { key, .. } => {
                        prop_assert!(!cancelled.contains(&key));
                        let begun = open.remove(&key).expect("asked, and not ended before");
                        // A test may sleep through the end.
                        let slack = Duration::from_secs(40);
                        prop_assert!(world.now - begun <= limits::UDP_EXCHANGE_MAX + slack);
                    }
                }
            }
        }
        prop_assert_eq!(open.len(), 0);
        prop_assert_eq!(world.exchange.timeout(), None);
    }
}
