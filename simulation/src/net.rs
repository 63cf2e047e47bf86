//! Hosts and the connections between them, in virtual time.
//!
//! Like TCP seen from above: what is sent comes in order and whole, until the connection is closed
//! or cut. Like the world below it: lines have rates, ways have lengths, hosts crash and the net
//! falls apart. Knows nothing of what the messages mean.
//!
//! ```text
//! send ─▶ queue ─▶ uplink: turns of ≤ 16 KiB ─▶ way: latency, jitter, order kept
//!                  among the host's connections      │
//!             Delivered ◀─ downlink: as they come ◀──┘
//! ```

mod connection;
mod event;
mod host;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub use connection::LinkConfig;
pub use event::{ConnId, End, Event, SendError, Side};
pub use host::{HostConfig, HostId};

use self::connection::{Connection, State};
use self::host::{Host, Sending, busy};
use crate::limits::{CONNECT_TIMEOUT, QUEUED_BYTES_MAX};
use crate::queue::EventQueue;
use crate::rng::Rng;
use crate::trace::Trace;

/// A world of hosts that send each other messages `M`, and of timers `T`.
///
/// Call [`next_event`](Self::next_event), let the host in it act, again. One seed, one history.
#[derive(Debug)]
pub struct Net<M, T = ()> {
    queue: EventQueue<Item<M, T>>,
    hosts: Vec<Host>,
    connections: BTreeMap<ConnId, Connection<M>>,
    dialled: u64,
    link: LinkConfig,
    partitions: Vec<Partition>,
    totals: Totals,
    trace: Trace,
    rng: Rng,
}

/// Bytes since the beginning. At rest, `accepted` = `delivered` + `lost`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Taken by [`Net::send`].
    pub accepted: u64,
    /// Come to the other end.
    pub delivered: u64,
    /// Never to come: closed, cut or crashed.
    pub lost: u64,
}

#[derive(Debug)]
enum Item<M, T> {
    /// For `host`, if it still lives that life.
    Tell {
        host: HostId,
        life: u64,
        event: Event<M, T>,
    },
    Tick(Tick),
    Timer(T),
}

/// What happens inside the net. An `End` is the one it happens to.
#[derive(Debug)]
enum Tick {
    Answered(ConnId),
    Arrive(End),
    Deliver(End),
    Dialled(ConnId),
    OtherClosed(End),
    UplinkFree(HostId, u64),
}

/// `inside`, by host, does not reach the rest.
#[derive(Debug)]
struct Partition {
    inside: Vec<bool>,
    both_ways: bool,
}

impl<M, T> Net<M, T> {
    /// No hosts yet. Every connection draws its way from `link`.
    #[must_use]
    pub fn new(rng: &Rng, link: LinkConfig) -> Self {
        Self {
            queue: EventQueue::new(),
            hosts: Vec::new(),
            connections: BTreeMap::new(),
            dialled: 0,
            link,
            partitions: Vec::new(),
            totals: Totals::default(),
            trace: Trace::default(),
            rng: rng.fork("net"),
        }
    }

    /// The virtual time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.queue.now()
    }

    /// Virtual time since the beginning.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.queue.elapsed()
    }

    /// Bytes since the beginning.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Every event so far is in it; the test may add what its hosts do.
    pub fn trace(&mut self) -> &mut Trace {
        &mut self.trace
    }

    /// Lets a timer ring at that time; a time that has passed is now.
    pub fn schedule_at(&mut self, at: Instant, timer: T) {
        self.queue.schedule_at(at, Item::Timer(timer));
    }

    /// Lets a timer ring after that delay.
    pub fn schedule_after(&mut self, delay: Duration, timer: T) {
        self.queue.schedule_after(delay, Item::Timer(timer));
    }

    /// Moves to the next event; `None` when nothing will ever happen again.
    pub fn next_event(&mut self) -> Option<Event<M, T>> {
        loop {
            let event = match self.queue.pop()? {
                Item::Tell { host, life, event } => {
                    (self.hosts[host.0].life == life).then_some(event)
                }
                Item::Tick(tick) => self.tick(&tick),
                Item::Timer(timer) => Some(Event::Timer(timer)),
            };
            if let Some(event) = event {
                self.note(&event);
                return Some(event);
            }
        }
    }

    /// Adds a host, alive.
    pub fn add_host(&mut self, config: HostConfig) -> HostId {
        self.hosts.push(Host::new(config));
        HostId(self.hosts.len() - 1)
    }

    /// Whether the host has not crashed, or has come back.
    #[must_use]
    pub fn is_alive(&self, host: HostId) -> bool {
        self.hosts[host.0].alive
    }

    /// Dials. Answered by [`Event::Opened`] or [`Event::Refused`], after one way there and back.
    pub fn connect(&mut self, from: HostId, to: HostId) -> End {
        assert!(self.is_alive(from), "a dead host dials");
        let conn = ConnId(self.dialled);
        self.dialled += 1;
        let connection = Connection::new(from, to, self.link, self.rng.fork(conn.0));
        self.tick_after(connection.latency, Tick::Dialled(conn));
        self.connections.insert(conn, connection);
        End {
            conn,
            side: Side::Dialer,
        }
    }

    /// Puts a message of so many bytes (at least 1) behind all that the end has sent.
    ///
    /// # Errors
    /// [`SendError`]; the message is dropped then.
    pub fn send(&mut self, end: End, bytes: u64, message: M) -> Result<(), SendError> {
        assert!(bytes > 0, "a message has bytes");
        let connection = self.connections.get_mut(&end.conn);
        let connection = connection
            .filter(|connection| connection.state(end.side) == State::Open)
            .ok_or(SendError::NotOpen)?;
        let lane = connection.lane(end.side);
        if lane.queued + bytes > QUEUED_BYTES_MAX {
            return Err(SendError::Full);
        }
        lane.push(bytes, message);
        self.totals.accepted += bytes;
        self.wake(end);
        Ok(())
    }

    /// How many bytes wait at this end.
    #[must_use]
    pub fn queued(&self, end: End) -> u64 {
        let connection = self.connections.get(&end.conn);
        connection.map_or(0, |connection| connection.lanes[end.side as usize].queued)
    }

    /// Closes one end: it hears `Closed` (or `Refused`, if it was still dialling) and no more. What
    /// has left still arrives at the other, then `Closed`; what waits is lost.
    pub fn close(&mut self, end: End) {
        let Some(connection) = self.connections.get_mut(&end.conn) else {
            return;
        };
        match connection.state(end.side) {
            State::Gone => return,
            // The acceptor cannot name its end before it is open.
            State::Opening => return self.end(end.conn, Duration::ZERO),
            State::Open => {}
        }
        let host = connection.host(end.side);
        connection.states[end.side as usize] = State::Gone;
        let other_gone = connection.state(end.other().side) == State::Gone;
        self.totals.lost += connection.lane(end.side).forget_queue();
        let heard = connection.arrival(end.side, self.queue.elapsed());
        self.tell(host, Duration::ZERO, Event::Closed { host, end });
        if other_gone {
            self.forget(end.conn);
        } else {
            let tick = Tick::OtherClosed(end.other());
            self.queue.schedule_elapsed(heard, Item::Tick(tick));
        }
    }

    /// The connection breaks: everything in it is lost and both ends hear of it now.
    pub fn cut(&mut self, conn: ConnId) {
        self.end(conn, Duration::ZERO);
    }

    /// Nothing arrives on the connection, either way, for so long; nothing is lost.
    pub fn clog(&mut self, conn: ConnId, how_long: Duration) {
        if let Some(connection) = self.connections.get_mut(&conn) {
            let until = self.queue.elapsed() + how_long;
            connection.clogged_until = connection.clogged_until.max(until);
        }
    }

    /// Connections that are open at both ends, ascending.
    pub fn connections(&self) -> impl Iterator<Item = ConnId> + '_ {
        let open = |connection: &Connection<M>| connection.states == [State::Open; 2];
        self.connections
            .iter()
            .filter(move |(_, connection)| open(connection))
            .map(|(&conn, _)| conn)
    }

    /// The host dies and hears nothing more. The others hear `Closed` one way later.
    pub fn crash(&mut self, host: HostId) {
        let mine = self.connections.iter();
        let mine = mine.filter(|(_, connection)| connection.hosts.contains(&host));
        let mine: Vec<_> = mine
            .map(|(&conn, connection)| (conn, connection.latency))
            .collect();
        for (conn, latency) in mine {
            self.end(conn, latency);
        }
        self.hosts[host.0].crash();
    }

    /// The host lives again, without connections.
    pub fn restart(&mut self, host: HostId) {
        self.hosts[host.0].alive = true;
    }

    /// Nothing passes between these hosts and the rest until [`heal`](Self::heal).
    /// Connections stay open, as TCP's do; dials fail after a while.
    pub fn partition(&mut self, hosts: &[HostId]) {
        self.divide(hosts, true);
    }

    /// Nothing passes from these hosts to the rest until [`heal`](Self::heal); they still hear.
    pub fn partition_one_way(&mut self, hosts: &[HostId]) {
        self.divide(hosts, false);
    }

    /// Ends all partitions: what was held up comes one way later.
    pub fn heal(&mut self) {
        self.partitions.clear();
        let held: Vec<_> = self.connections.keys().copied().collect();
        for conn in held {
            self.release(conn);
        }
    }

    fn divide(&mut self, hosts: &[HostId], both_ways: bool) {
        let mut inside = vec![false; self.hosts.len()];
        for host in hosts {
            inside[host.0] = true;
        }
        self.partitions.push(Partition { inside, both_ways });
    }

    fn is_blocked(&self, from: HostId, to: HostId) -> bool {
        self.partitions.iter().any(|partition| {
            let inside = |host: HostId| partition.inside.get(host.0).is_some_and(|&inside| inside);
            inside(from) != inside(to) && (partition.both_ways || inside(from))
        })
    }

    /// Whether nothing can come to this end now.
    fn is_held(&self, to: End, connection: &Connection<M>) -> bool {
        let (from, host) = (connection.host(to.other().side), connection.host(to.side));
        connection.state(to.side) == State::Opening || self.is_blocked(from, host)
    }

    fn tick(&mut self, tick: &Tick) -> Option<Event<M, T>> {
        match *tick {
            Tick::Answered(conn) => self.answer_arrived(conn),
            Tick::Arrive(to) => self.arrive(to),
            Tick::Deliver(to) => self.deliver(to),
            Tick::Dialled(conn) => self.dial_arrived(conn),
            Tick::OtherClosed(to) => self.other_closed(to),
            Tick::UplinkFree(host, life) => self.uplink_free(host, life),
        }
    }

    /// A dial has come to its target.
    fn dial_arrived(&mut self, conn: ConnId) -> Option<Event<M, T>> {
        let connection = self.connections.get(&conn)?;
        let (latency, [from, to]) = (connection.latency, connection.hosts);
        let way = self.is_blocked(from, to) || self.is_blocked(to, from);
        if way || !self.is_alive(to) {
            self.end(conn, if way { CONNECT_TIMEOUT } else { latency });
            return None;
        }
        let side = Side::Acceptor;
        let connection = self.connections.get_mut(&conn)?;
        connection.states[side as usize] = State::Open;
        let answer = connection.arrival(side, self.queue.elapsed());
        let tick = Item::Tick(Tick::Answered(conn));
        self.queue.schedule_elapsed(answer, tick);
        Some(Event::Opened {
            host: to,
            end: End { conn, side },
            other: from,
        })
    }

    /// The acceptor's answer has come to the dialer.
    fn answer_arrived(&mut self, conn: ConnId) -> Option<Event<M, T>> {
        let [host, other] = self.connections.get(&conn)?.hosts;
        let blocked = self.is_blocked(other, host);
        let connection = self.connections.get_mut(&conn)?;
        connection.answer_stalled = blocked;
        if blocked {
            return None;
        }
        let side = Side::Dialer;
        connection.states[side as usize] = State::Open;
        self.release(conn);
        let end = End { conn, side };
        Some(Event::Opened { host, end, other })
    }

    /// Lets go of what was held up and no longer is.
    fn release(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        let latency = connection.latency;
        if std::mem::take(&mut connection.answer_stalled) {
            self.tick_after(latency, Tick::Answered(conn));
        }
        for side in [Side::Dialer, Side::Acceptor] {
            let Some(connection) = self.connections.get_mut(&conn) else {
                return;
            };
            let (to, lane) = (End { conn, side }.other(), connection.lane(side));
            let (stalled, closing) = (std::mem::take(&mut lane.stalled), lane.closing);
            for _ in 0..stalled {
                self.tick_after(latency, Tick::Arrive(to));
            }
            if closing {
                self.tick_after(latency, Tick::OtherClosed(to));
            }
        }
    }

    /// Gives an end that has something to send its place among the turns.
    fn wake(&mut self, end: End) {
        let Some(connection) = self.connections.get_mut(&end.conn) else {
            return;
        };
        let (host, open) = (
            connection.host(end.side),
            connection.state(end.side) == State::Open,
        );
        let lane = connection.lane(end.side);
        if open && lane.is_ready() && !lane.has_turn {
            lane.has_turn = true;
            self.hosts[host.0].turns.push_back(end);
        }
        self.start_uplink(host);
    }

    fn start_uplink(&mut self, id: HostId) {
        let host = &mut self.hosts[id.0];
        while host.sending.is_none()
            && let Some(end) = host.turns.pop_front()
        {
            let Some(connection) = self.connections.get_mut(&end.conn) else {
                continue;
            };
            let lane = connection.lane(end.side);
            lane.has_turn = false;
            // Its end may have closed, which empties the queue.
            if !lane.is_ready() {
                continue;
            }
            let (bytes, messages) = lane.cut_chunk();
            host.sending = Some(Sending {
                end,
                bytes,
                messages,
            });
            let tick = Item::Tick(Tick::UplinkFree(id, host.life));
            let busy = busy(bytes, host.config.upload_bytes_per_s);
            self.queue.schedule_after(busy, tick);
        }
    }

    /// A chunk has left its host.
    fn uplink_free(&mut self, id: HostId, life: u64) -> Option<Event<M, T>> {
        let host = &mut self.hosts[id.0];
        if host.life != life {
            return None;
        }
        let Sending {
            end,
            bytes,
            messages,
        } = host.sending.take()?;
        let Some(connection) = self.connections.get_mut(&end.conn) else {
            self.start_uplink(id);
            return None;
        };
        let at = connection.arrival(end.side, self.queue.elapsed());
        let (open, queued) = (
            connection.state(end.side) == State::Open,
            connection.lane(end.side).queued,
        );
        let tick = Item::Tick(Tick::Arrive(end.other()));
        self.queue.schedule_elapsed(at, tick);
        self.wake(end);
        open.then_some(Event::Sent {
            host: id,
            end,
            bytes,
            messages,
            queued,
        })
    }

    /// A chunk has come to the host of `to`, and goes through its downlink.
    fn arrive(&mut self, to: End) -> Option<Event<M, T>> {
        let held = self.is_held(to, self.connections.get(&to.conn)?);
        let connection = self.connections.get_mut(&to.conn)?;
        let (host, clogged_until) = (connection.host(to.side), connection.clogged_until);
        let lane = connection.lane(to.other().side);
        if held {
            lane.stalled += 1;
            return None;
        }
        if clogged_until > self.queue.elapsed() {
            let tick = Item::Tick(Tick::Arrive(to));
            self.queue.schedule_elapsed(clogged_until, tick);
            return None;
        }
        let host = &mut self.hosts[host.0];
        let bytes = lane.arrive();
        let begin = host.downlink_free.max(self.queue.elapsed());
        host.downlink_free = begin + busy(bytes, host.config.download_bytes_per_s);
        let tick = Item::Tick(Tick::Deliver(to));
        self.queue.schedule_elapsed(host.downlink_free, tick);
        None
    }

    /// A chunk is through the downlink.
    fn deliver(&mut self, to: End) -> Option<Event<M, T>> {
        let connection = self.connections.get_mut(&to.conn)?;
        let (host, open) = (
            connection.host(to.side),
            connection.state(to.side) == State::Open,
        );
        let lane = connection.lane(to.other().side);
        let chunk = lane.deliver();
        if lane.closing {
            self.tick_after(Duration::ZERO, Tick::OtherClosed(to));
        }
        self.wake(to.other());
        if !open {
            self.totals.lost += chunk.bytes;
            return None;
        }
        self.totals.delivered += chunk.bytes;
        (!chunk.messages.is_empty()).then_some(Event::Delivered {
            host,
            end: to,
            messages: chunk.messages,
        })
    }

    /// Word has come that the other end closed. It counts behind everything sent before it.
    fn other_closed(&mut self, to: End) -> Option<Event<M, T>> {
        let held = self.is_held(to, self.connections.get(&to.conn)?);
        let connection = self.connections.get_mut(&to.conn)?;
        let host = connection.host(to.side);
        let lane = connection.lane(to.other().side);
        lane.closing = true;
        if held || !lane.is_drained() {
            return None;
        }
        self.forget(to.conn);
        Some(Event::Closed { host, end: to })
    }

    /// Ends a connection at once; those who held an end, or hoped to, hear of it after `delay`.
    fn end(&mut self, conn: ConnId, delay: Duration) {
        let Some(connection) = self.forget(conn) else {
            return;
        };
        for side in [Side::Dialer, Side::Acceptor] {
            let (host, end) = (connection.host(side), End { conn, side });
            match connection.state(side) {
                State::Open => self.tell(host, delay, Event::Closed { host, end }),
                State::Opening if side == Side::Dialer => {
                    self.tell(host, delay, Event::Refused { host, end });
                }
                State::Opening | State::Gone => {}
            }
        }
    }

    fn forget(&mut self, conn: ConnId) -> Option<Connection<M>> {
        let connection = self.connections.remove(&conn)?;
        self.totals.lost += connection.unfinished();
        Some(connection)
    }

    fn tell(&mut self, host: HostId, delay: Duration, event: Event<M, T>) {
        let life = self.hosts[host.0].life;
        let item = Item::Tell { host, life, event };
        self.queue.schedule_after(delay, item);
    }

    fn tick_after(&mut self, delay: Duration, tick: Tick) {
        self.queue.schedule_after(delay, Item::Tick(tick));
    }

    fn note(&mut self, event: &Event<M, T>) {
        let (kind, host, end, size) = match event {
            Event::Timer(_) => return self.trace.note(&self.queue.elapsed()),
            Event::Opened { host, end, .. } => (0, host, end, 0),
            Event::Refused { host, end } => (1, host, end, 0),
            Event::Delivered {
                host,
                end,
                messages,
            } => (2, host, end, messages.len() as u64),
            Event::Sent {
                host, end, bytes, ..
            } => (3, host, end, *bytes),
            Event::Closed { host, end } => (4, host, end, 0),
        };
        self.trace
            .note(&(self.queue.elapsed(), kind, host, end, size));
    }
}
