//! Requests we have sent to one peer and not yet been answered. BEP 3 "peer messages", BEP 6
//! "reject"; BEP 10 `reqq`.
//!
//! Keeps the pipeline as full as the line needs: by Little's law the window is the rate times the
//! time a request waits, so it grows while requests wait less than [`QUEUE_TIME`] and shrinks while
//! they wait twice that. Knows nothing of other peers: who else holds a block is the picker's
//! business.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use shoal_metainfo::{BLOCK_LENGTH, Block};

use crate::limits::{
    LATE_BLOCKS_MAX, QUEUE_TIME, REQQ_DEFAULT, REQUESTS_IN_FLIGHT_MAX, REQUESTS_MIN,
    REQUESTS_ON_PROBATION, REQUESTS_START, SNUBBED_AFTER, SNUBBED_AFTER_GAPS,
    SNUBBED_UNTRIED_AFTER,
};

/// What a block that came is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// It is asked for.
    Asked(Block),
    /// It was asked for and given up: it may still be of use.
    Late(Block),
    /// It was asked for with another length.
    WrongLength(Block),
    /// It was not asked for, or long ago.
    Unasked,
}

/// The pipeline to one peer.
#[derive(Debug)]
pub struct Pipeline {
    /// In the order asked, which is the order of most answers.
    outstanding: VecDeque<(Block, Instant)>,
    /// Given up, oldest first; answers to them are no fault.
    late: VecDeque<Block>,
    window: usize,
    /// What the peer takes.
    reqq: usize,
    /// The shortest wait seen: about a round trip.
    wait_min: Option<Duration>,
    /// When the peer last gave a block, or was first asked after owing none.
    progress_at: Instant,
    /// What passes between two blocks of it, lately; `None` while it has given none since the last
    /// unchoke.
    gap: Option<Duration>,
    /// It was asked since the last unchoke.
    was_asked: bool,
    was_ever_asked: bool,
    snubbed: bool,
    paused_until: Option<Instant>,
}

impl Pipeline {
    /// Empty, for a peer that has not told its `reqq`.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            outstanding: VecDeque::new(),
            late: VecDeque::new(),
            window: REQUESTS_START,
            reqq: REQQ_DEFAULT,
            wait_min: None,
            progress_at: now,
            gap: None,
            was_asked: false,
            was_ever_asked: false,
            snubbed: false,
            paused_until: None,
        }
    }

    /// The peer told how many requests it takes.
    pub fn set_reqq(&mut self, reqq: usize) {
        self.reqq = reqq.max(1);
        self.window = self.window.min(self.window_max());
    }

    /// Blocks asked for and not answered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.outstanding.len()
    }

    /// Whether the peer owes us nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.outstanding.is_empty()
    }

    /// Whether the peer gave no block for far too long though it owed us some.
    #[must_use]
    pub fn is_snubbed(&self) -> bool {
        self.snubbed
    }

    /// The blocks asked for and not answered.
    pub fn outstanding(&self) -> impl Iterator<Item = Block> + '_ {
        self.outstanding.iter().map(|&(block, _)| block)
    }

    /// How many more to ask for now: none until a quarter of the window is free, so that requests
    /// leave many to a write.
    #[must_use]
    pub fn room(&self, now: Instant) -> usize {
        if self.paused_until.is_some_and(|until| now < until) {
            return 0;
        }
        let window = if self.snubbed { 1 } else { self.window };
        let room = window.saturating_sub(self.outstanding.len());
        if room * 4 >= window { room } else { 0 }
    }

    /// Notes that the block was asked for.
    pub fn asked(&mut self, now: Instant, block: Block) {
        if self.outstanding.is_empty() {
            self.progress_at = now;
        }
        self.was_asked = true;
        self.was_ever_asked = true;
        self.outstanding.push_back((block, now));
    }

    /// Whether the peer has any reason to send blocks.
    #[must_use]
    pub fn was_ever_asked(&self) -> bool {
        self.was_ever_asked
    }

    /// A block came at this place of the torrent, `length` bytes long.
    pub fn came(&mut self, now: Instant, index: u32, begin: u32, length: usize) -> Expectation {
        let here = |block: &Block| block.piece().get() == index && block.begin() == begin;
        let fits = |block: &Block| block.length() as usize == length;
        let asked = self.outstanding.iter().position(|(block, _)| here(block));
        if let Some(at) = asked {
            let (block, asked_at) = self.outstanding[at];
            if !fits(&block) {
                return Expectation::WrongLength(block);
            }
            self.outstanding.remove(at);
            self.adapt(now.saturating_duration_since(asked_at));
            self.progresses(now);
            return Expectation::Asked(block);
        }
        match self.late.iter().position(here) {
            Some(at) if fits(&self.late[at]) => {
                self.progresses(now);
                let late = self.late.remove(at);
                late.map_or(Expectation::Unasked, Expectation::Late)
            }
            Some(at) => Expectation::WrongLength(self.late[at]),
            None => Expectation::Unasked,
        }
    }

    /// Gives up one block, which may still come; true if it was asked for.
    pub fn give_up(&mut self, block: Block) -> bool {
        let at = self
            .outstanding
            .iter()
            .position(|(other, _)| *other == block);
        if let Some(at) = at {
            self.outstanding.remove(at);
            self.remember(block);
        }
        at.is_some()
    }

    /// Gives up all blocks, and returns them.
    pub fn give_up_all(&mut self) -> Vec<Block> {
        let given_up: Vec<_> = self.outstanding.drain(..).map(|(block, _)| block).collect();
        given_up.iter().for_each(|&block| self.remember(block));
        given_up
    }

    /// The peer said that it will not send the block.
    pub fn rejected(&mut self, block: Block) -> Rejected {
        // Answers come in the order asked: a reject of a block that was given up and asked for
        // again is about the first time.
        if let Some(at) = self.late.iter().position(|other| *other == block) {
            self.late.remove(at);
            return Rejected::Late;
        }
        let mut asked = self.outstanding.iter();
        match asked.position(|(other, _)| *other == block) {
            Some(at) => {
                self.outstanding.remove(at);
                Rejected::Asked
            }
            None => Rejected::Never,
        }
    }

    /// Asks for nothing before that.
    pub fn pause(&mut self, until: Instant) {
        self.paused_until = Some(until);
    }

    /// The peer unchoked us: the line is measured anew.
    pub fn restart(&mut self) {
        let broke_its_word = self.was_asked && self.gap.is_none();
        let window = if broke_its_word {
            REQUESTS_ON_PROBATION
        } else {
            REQUESTS_START
        };
        self.window = window.min(self.window_max());
        self.wait_min = None;
        self.gap = None;
        self.was_asked = false;
    }

    /// Looks at the clock; true when the peer owes us and gave nothing for far longer than it
    /// usually takes: it is snubbed, and what it owes should be given up.
    pub fn is_stalled(&mut self, now: Instant) -> bool {
        let waited = now.saturating_duration_since(self.progress_at);
        let patience = self.gap.map_or(SNUBBED_UNTRIED_AFTER, |gap| {
            let usual = gap.saturating_mul(SNUBBED_AFTER_GAPS);
            usual.clamp(SNUBBED_UNTRIED_AFTER, SNUBBED_AFTER)
        });
        let stalled = !self.outstanding.is_empty() && waited >= patience;
        self.snubbed |= stalled;
        stalled
    }

    /// A block came that was asked for at some time.
    fn progresses(&mut self, now: Instant) {
        let gap = now.saturating_duration_since(self.progress_at);
        // The longest, fading: blocks come in bursts.
        self.gap = self
            .gap
            .map_or(Some(gap), |old| Some(gap.max(old * 15 / 16)));
        self.progress_at = now;
        self.snubbed = false;
    }

    /// How long the peer, at its rate, needs for what it owes; at least as long as it has given
    /// nothing, which is all that is known of one without a rate.
    #[must_use]
    pub fn drain_time(&self, now: Instant, bytes_per_s: u64) -> Duration {
        let owed = self.outstanding.len() as u64 * u64::from(BLOCK_LENGTH);
        let silent = now.saturating_duration_since(self.progress_at);
        let needs = (owed * 1_000).checked_div(bytes_per_s).unwrap_or(0);
        Duration::from_millis(needs).max(silent)
    }

    fn window_max(&self) -> usize {
        self.reqq.min(REQUESTS_IN_FLIGHT_MAX)
    }

    /// One block more each block doubles the window each round trip.
    fn adapt(&mut self, waited: Duration) {
        let shortest = self
            .wait_min
            .map_or(waited, |shortest| shortest.min(waited));
        self.wait_min = Some(shortest);
        let target = QUEUE_TIME.max(shortest * 2);
        let was_full = (self.outstanding.len() + 1) * 2 >= self.window;
        if waited < target && was_full {
            self.window = (self.window + 1).min(self.window_max());
        } else if waited > target * 2 {
            let floor = REQUESTS_MIN.min(self.window_max());
            self.window = (self.window - 1).max(floor);
        }
    }

    fn remember(&mut self, block: Block) {
        if self.late.len() == LATE_BLOCKS_MAX {
            self.late.pop_front();
        }
        self.late.push_back(block);
    }
}

/// What a reject is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejected {
    /// A request that waits for its answer.
    Asked,
    /// A request that we gave up.
    Late,
    /// No request of ours.
    Never,
}

#[cfg(test)]
mod tests {
    use super::*;
    use shoal_metainfo::Geometry;

    const MS: Duration = Duration::from_millis(1);

    fn block(number: usize) -> Block {
        let geometry = Geometry::new(1 << 30, 1 << 24).unwrap();
        let piece = geometry
            .piece(u32::try_from(number / 1_024).unwrap())
            .unwrap();
        geometry.nth_block(piece, number % 1_024).unwrap()
    }

    /// Runs a line of so many blocks a second with that round trip; returns the window at the end.
    fn run(
        pipeline: &mut Pipeline,
        blocks_per_s: u32,
        round_trip: Duration,
        blocks: usize,
    ) -> usize {
        let mut now = Instant::now();
        let (mut asked, mut line_free_at) = (0, now);
        let mut arrivals = VecDeque::new();
        for came in 0..blocks {
            for _ in 0..pipeline.room(now) {
                let block = block(asked);
                pipeline.asked(now, block);
                line_free_at =
                    line_free_at.max(now + round_trip) + Duration::from_secs(1) / blocks_per_s;
                arrivals.push_back(line_free_at);
                asked += 1;
            }
            now = now.max(arrivals.pop_front().expect("the window is never zero"));
            let block = block(came);
            let length = block.length() as usize;
            let came = pipeline.came(now, block.piece().get(), block.begin(), length);
            assert_eq!(came, Expectation::Asked(block));
        }
        pipeline.window
    }

    #[test]
    fn window_grows_to_the_bound_on_a_fast_line() {
        let mut pipeline = Pipeline::new(Instant::now());
        pipeline.set_reqq(2_000);
        let window = run(&mut pipeline, 60_000, MS, 3_000);
        assert_eq!(window, REQUESTS_IN_FLIGHT_MAX);
    }

    #[test]
    fn window_doubles_each_round_trip() {
        let mut pipeline = Pipeline::new(Instant::now());
        let window = run(&mut pipeline, 60_000, MS * 50, 16 + 32 + 64);
        assert!(window >= 100, "{window}");
    }

    #[test]
    fn window_obeys_what_the_peer_takes() {
        for (reqq, expected) in [(1, 1), (40, 40)] {
            let mut pipeline = Pipeline::new(Instant::now());
            pipeline.set_reqq(reqq);
            assert_eq!(run(&mut pipeline, 60_000, MS, 3_000), expected);
        }
        let mut untold = Pipeline::new(Instant::now());
        assert_eq!(run(&mut untold, 60_000, MS, 3_000), REQQ_DEFAULT);
    }

    #[test]
    fn window_of_a_slow_line_holds_what_it_gives_in_one_to_two_queue_times() {
        for blocks_per_s in [5, 20, 100] {
            let mut pipeline = Pipeline::new(Instant::now());
            let window = run(&mut pipeline, blocks_per_s, MS * 50, 1_000);
            let queue = f64::from(blocks_per_s) * QUEUE_TIME.as_secs_f64();
            assert!(
                (queue.floor()..=queue * 2.0 + 2.0).contains(&(window as f64)),
                "{window} at {blocks_per_s}/s"
            );
        }
    }

    #[test]
    fn requests_leave_many_at_a_time() {
        let now = Instant::now();
        let mut pipeline = Pipeline::new(now);
        let room = pipeline.room(now);
        assert_eq!(room, REQUESTS_START);
        (0..room).for_each(|number| pipeline.asked(now, block(number)));
        assert_eq!(pipeline.room(now), 0);
        let mut refilled_at = Vec::new();
        for number in 0..room {
            pipeline.rejected(block(number));
            refilled_at.push(pipeline.room(now));
        }
        assert_eq!(refilled_at[..4], [0, 0, 0, 4]);
    }

    #[test]
    fn given_up_block_is_late_once_and_then_unasked() {
        let now = Instant::now();
        let mut pipeline = Pipeline::new(now);
        pipeline.asked(now, block(0));
        assert!(pipeline.give_up(block(0)));
        assert!(!pipeline.give_up(block(0)));
        assert_eq!(
            pipeline.came(now, 0, 0, 5),
            Expectation::WrongLength(block(0))
        );
        assert_eq!(
            pipeline.came(now, 0, 0, 16_384),
            Expectation::Late(block(0))
        );
        assert_eq!(pipeline.came(now, 0, 0, 16_384), Expectation::Unasked);
        assert_eq!(pipeline.rejected(block(0)), Rejected::Never);
    }

    #[test]
    fn reject_of_a_block_asked_again_is_about_the_first_time() {
        let now = Instant::now();
        let mut pipeline = Pipeline::new(now);
        pipeline.asked(now, block(0));
        pipeline.give_up(block(0));
        pipeline.asked(now, block(0));
        assert_eq!(pipeline.rejected(block(0)), Rejected::Late);
        assert_eq!(pipeline.len(), 1, "the second request still waits");
        assert_eq!(
            pipeline.came(now, 0, 0, 16_384),
            Expectation::Asked(block(0))
        );
    }

    #[test]
    fn late_blocks_are_bounded() {
        let now = Instant::now();
        let mut pipeline = Pipeline::new(now);
        for number in 0..LATE_BLOCKS_MAX + 1 {
            pipeline.asked(now, block(number));
            pipeline.give_up_all();
        }
        assert_eq!(pipeline.rejected(block(0)), Rejected::Never);
        assert_eq!(pipeline.rejected(block(1)), Rejected::Late);
    }

    #[test]
    fn peer_that_owes_and_gives_nothing_is_snubbed_until_it_gives() {
        let start = Instant::now();
        let mut pipeline = Pipeline::new(start);
        let patience = SNUBBED_UNTRIED_AFTER;
        assert!(!pipeline.is_stalled(start + patience * 2), "owes nothing");
        let asked_at = start + patience * 2;
        pipeline.asked(asked_at, block(0));
        assert!(!pipeline.is_stalled(asked_at + patience - MS));
        let now = asked_at + patience;
        assert!(pipeline.is_stalled(now) && pipeline.is_snubbed());
        pipeline.give_up_all();
        assert_eq!(pipeline.room(now), 1);
        pipeline.asked(now, block(1));
        assert!(!pipeline.is_stalled(now + patience - MS));
        assert!(pipeline.is_stalled(now + patience));
        pipeline.came(now, 0, 0, 16_384);
        assert!(!pipeline.is_snubbed());
    }

    #[test]
    fn patience_follows_what_the_peer_usually_takes() {
        for (gap, expected) in [
            (MS * 10, SNUBBED_UNTRIED_AFTER),
            (MS * 2_000, MS * 2_000 * SNUBBED_AFTER_GAPS),
            (MS * 10_000, SNUBBED_AFTER),
        ] {
            let mut now = Instant::now();
            let mut pipeline = Pipeline::new(now);
            for number in 0..4 {
                pipeline.asked(now, block(number));
            }
            for number in 0..3 {
                now += gap;
                let raw = block(number).raw();
                pipeline.came(now, raw.index, raw.begin, 16_384);
            }
            assert!(!pipeline.is_stalled(now + expected - MS), "{gap:?}");
            assert!(pipeline.is_stalled(now + expected), "{gap:?}");
        }
    }

    #[test]
    fn peer_that_gave_nothing_starts_its_next_unchoke_with_little() {
        let now = Instant::now();
        let mut pipeline = Pipeline::new(now);
        pipeline.restart();
        assert_eq!(pipeline.room(now), REQUESTS_START, "never asked");
        for number in 0..2 {
            pipeline.asked(now, block(number));
        }
        pipeline.give_up_all();
        pipeline.restart();
        assert_eq!(pipeline.room(now), REQUESTS_ON_PROBATION);
        pipeline.asked(now, block(2));
        pipeline.came(now, 0, 2 * 16_384, 16_384);
        pipeline.restart();
        assert_eq!(pipeline.room(now), REQUESTS_START);
    }
}
