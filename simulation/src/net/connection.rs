//! A connection: two lanes, each ordered and reliable until it is cut.

use std::collections::VecDeque;
use std::time::Duration;

use super::event::Side;
use super::host::HostId;
use crate::limits::{CHUNK_BYTES_MAX, WINDOW_BYTES};
use crate::rng::Rng;

/// How long the way is, both ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkConfig {
    /// One way. Each connection draws its own between the two, both included.
    pub latency: (Duration, Duration),
    /// Each chunk takes up to so much longer; order is kept.
    pub jitter: Duration,
}

/// Where one end stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Opening,
    Open,
    Gone,
}

#[derive(Debug)]
pub(super) struct Connection<M> {
    /// By side.
    pub(super) hosts: [HostId; 2],
    /// By side.
    pub(super) states: [State; 2],
    /// What each side says.
    pub(super) lanes: [Lane<M>; 2],
    pub(super) latency: Duration,
    jitter: Duration,
    /// Nothing arrives before.
    pub(super) clogged_until: Duration,
    /// The acceptor's answer waits for a partition to heal.
    pub(super) answer_stalled: bool,
    rng: Rng,
}

/// One direction: `queue` at the sender, then `flight`, then the other end.
#[derive(Debug)]
pub(super) struct Lane<M> {
    /// Bytes not yet cut into chunks, message by message.
    queue: VecDeque<(u64, M)>,
    pub(super) queued: u64,
    /// Chunks that have begun to leave; the first `arrived` are at the receiver's downlink, the
    /// next `stalled` before a partition.
    flight: VecDeque<Chunk<M>>,
    flight_bytes: u64,
    pub(super) arrived: usize,
    pub(super) stalled: usize,
    last_arrival: Duration,
    /// The sender has closed, and word of it has come.
    pub(super) closing: bool,
    pub(super) has_turn: bool,
}

/// What an uplink sends at a time, and the messages that end in it.
#[derive(Debug)]
pub(super) struct Chunk<M> {
    pub(super) bytes: u64,
    pub(super) messages: Vec<M>,
}

impl<M> Connection<M> {
    pub(super) fn new(dialer: HostId, acceptor: HostId, link: LinkConfig, mut rng: Rng) -> Self {
        let latency = rng.duration(link.latency.0..=link.latency.1);
        Self {
            hosts: [dialer, acceptor],
            states: [State::Opening; 2],
            lanes: [Lane::new(), Lane::new()],
            latency,
            jitter: link.jitter,
            clogged_until: Duration::ZERO,
            answer_stalled: false,
            rng,
        }
    }

    pub(super) fn host(&self, side: Side) -> HostId {
        self.hosts[side as usize]
    }

    pub(super) fn state(&self, side: Side) -> State {
        self.states[side as usize]
    }

    pub(super) fn lane(&mut self, side: Side) -> &mut Lane<M> {
        &mut self.lanes[side as usize]
    }

    /// When something that `side` lets go of now comes to the other end: never before what went
    /// earlier.
    pub(super) fn arrival(&mut self, side: Side, now: Duration) -> Duration {
        let late = self.rng.duration(Duration::ZERO..=self.jitter);
        let lane = &mut self.lanes[side as usize];
        let at = (now + self.latency + late).max(self.clogged_until);
        lane.last_arrival = lane.last_arrival.max(at);
        lane.last_arrival
    }

    /// Bytes that never come to the other end when the connection ends now.
    pub(super) fn unfinished(&self) -> u64 {
        self.lanes
            .iter()
            .map(|lane| lane.queued + lane.flight_bytes)
            .sum()
    }
}

impl<M> Lane<M> {
    fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            queued: 0,
            flight: VecDeque::new(),
            flight_bytes: 0,
            arrived: 0,
            stalled: 0,
            last_arrival: Duration::ZERO,
            closing: false,
            has_turn: false,
        }
    }

    pub(super) fn push(&mut self, bytes: u64, message: M) {
        self.queue.push_back((bytes, message));
        self.queued += bytes;
    }

    /// Forgets what waits; how many bytes that was.
    pub(super) fn forget_queue(&mut self) -> u64 {
        self.queue.clear();
        std::mem::take(&mut self.queued)
    }

    /// Whether a chunk may leave.
    pub(super) fn is_ready(&self) -> bool {
        self.queued > 0 && self.flight_bytes + CHUNK_BYTES_MAX <= WINDOW_BYTES
    }

    /// Whether everything that left has been delivered.
    pub(super) fn is_drained(&self) -> bool {
        self.flight.is_empty()
    }

    /// Lets a chunk leave: its bytes, and how many messages end in it.
    pub(super) fn cut_chunk(&mut self) -> (u64, usize) {
        let mut chunk = Chunk {
            bytes: 0,
            messages: Vec::new(),
        };
        while let Some((left, message)) = self.queue.pop_front() {
            let room = CHUNK_BYTES_MAX - chunk.bytes;
            chunk.bytes += left.min(room);
            if left > room {
                self.queue.push_front((left - room, message));
                break;
            }
            chunk.messages.push(message);
        }
        let (bytes, messages) = (chunk.bytes, chunk.messages.len());
        self.queued -= bytes;
        self.flight_bytes += bytes;
        self.flight.push_back(chunk);
        (bytes, messages)
    }

    /// Brings the next chunk to the receiver's downlink; its bytes.
    pub(super) fn arrive(&mut self) -> u64 {
        self.arrived += 1;
        self.flight[self.arrived - 1].bytes
    }

    /// Takes the oldest chunk that has arrived.
    pub(super) fn deliver(&mut self) -> Chunk<M> {
        self.arrived -= 1;
        let chunk = self.flight.pop_front().expect("it has arrived");
        self.flight_bytes -= chunk.bytes;
        chunk
    }
}
