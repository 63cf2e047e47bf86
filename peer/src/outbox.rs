//! What waits to go out on one socket: messages, blocks, and blocks not yet read from the disk.
//!
//! Three sides share it under one short lock: the torrent puts in, disk threads fill in what they
//! read, the connection takes out. Messages leave in the order they came; a block leaves when it
//! is read. Only a little is read ahead of the socket, so a peer that takes nothing holds little.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use shoal_metainfo::Block;
use shoal_swarm::io::PeerKey;
use shoal_wire::encode::{PIECE_HEAD_LENGTH, bitfield_head, encode, piece_head};
use shoal_wire::message::Message;

use crate::limits::{
    BITFIELD_SHARED_MIN, OUTBOX_BLOCKS_MAX, OUTBOX_CONTROL_BYTES_MAX, OUTBOX_READ_AHEAD_MAX,
    OUTBOX_READ_AHEAD_MIN,
};

/// Bytes that go out in one go.
pub(crate) enum Item {
    /// Messages, encoded; the last may go on in a [`Self::Shared`].
    Control(BytesMut),
    /// The bits of a long `bitfield`: one copy for all whom it is for.
    Shared(Bytes),
    /// One `piece` message.
    Block {
        /// Which.
        block: Block,
        /// Prefix, id, index, begin.
        head: [u8; PIECE_HEAD_LENGTH],
        /// So many bytes of the head have left.
        sent: usize,
        /// The rest of the block: a slice of a mapped window.
        data: Bytes,
    },
}

/// The queue was full: this peer takes less than it asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

/// The torrent wants the connection to end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed;

/// One connection as the torrent and the disk see it.
pub(crate) struct Outbox {
    /// Which connection.
    pub(crate) peer: PeerKey,
    /// How its two directions get on.
    pub(crate) pulse: Pulse,
    closed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Item>,
    control_bytes: usize,
    ready_block_bytes: usize,
    ready_blocks: usize,
    unread: VecDeque<Block>,
    read_ahead: usize,
    /// A disk thread has this box on its list.
    reading: bool,
    /// The connection found nothing to send and sleeps.
    idle: bool,
    connection: Option<Waker>,
    sent_blocks: u32,
    sent_bytes: u64,
}

impl Outbox {
    pub(crate) fn new(peer: PeerKey, now: Instant) -> Self {
        Self {
            peer,
            pulse: Pulse::new(now),
            closed: AtomicBool::new(false),
            state: Mutex::new(State {
                read_ahead: OUTBOX_READ_AHEAD_MIN,
                ..State::default()
            }),
        }
    }

    /// Puts a message behind all that are ready. The connection hears of it at
    /// [`ring`](Self::ring).
    pub(crate) fn send(&self, message: &Message) -> Result<(), Overflow> {
        let mut state = self.lock();
        let before = state.control_bytes;
        if before > OUTBOX_CONTROL_BYTES_MAX {
            return Err(Overflow);
        }
        match message {
            Message::Bitfield(bits) if bits.len() >= BITFIELD_SHARED_MIN => {
                state.put(|out| out.extend_from_slice(&bitfield_head(bits.len())));
                state.control_bytes += bits.len();
                state.ready.push_back(Item::Shared(bits.clone()));
            }
            message => state.put(|out| encode(message, out)),
        }
        Ok(())
    }

    /// Promises a block; it is read when the socket is nearly ready for it.
    pub(crate) fn serve(&self, block: Block) -> Result<(), Overflow> {
        let mut state = self.lock();
        if state.unread.len() + state.ready_blocks >= OUTBOX_BLOCKS_MAX {
            return Err(Overflow);
        }
        state.unread.push_back(block);
        Ok(())
    }

    /// Wakes the connection when it sleeps and something is ready.
    pub(crate) fn ring(&self) {
        let mut state = self.lock();
        if !state.idle || state.ready.is_empty() {
            return;
        }
        state.idle = false;
        let connection = state.connection.clone();
        drop(state);
        wake(connection);
    }

    /// True when a disk thread should read for this box; whoever hears it puts it on the list.
    pub(crate) fn wants_read(&self) -> bool {
        let mut state = self.lock();
        let wants = !state.reading
            && !state.unread.is_empty()
            && state.ready_block_bytes < state.read_ahead
            && !self.is_closed();
        state.reading |= wants;
        wants
    }

    /// The blocks to read now, in order.
    pub(crate) fn take_unread(&self) -> Vec<Block> {
        let mut state = self.lock();
        let mut room = state.read_ahead.saturating_sub(state.ready_block_bytes);
        let mut blocks = Vec::new();
        while room > 0 {
            let Some(block) = state.unread.pop_front() else {
                break;
            };
            room = room.saturating_sub(block.length() as usize);
            blocks.push(block);
        }
        blocks
    }

    /// What a disk thread read of [`take_unread`](Self::take_unread); wakes the connection.
    pub(crate) fn fill(&self, blocks: impl Iterator<Item = (Block, Bytes)>) {
        let mut state = self.lock();
        state.reading = false;
        if self.is_closed() {
            return;
        }
        for (block, data) in blocks {
            let raw = block.raw();
            state.ready_block_bytes += data.len();
            state.ready_blocks += 1;
            state.ready.push_back(Item::Block {
                block,
                head: piece_head(raw.index, raw.begin, raw.length),
                sent: 0,
                data,
            });
        }
        drop(state);
        self.ring();
    }

    /// Moves all that is ready behind what is in `into`; sleeps when there is nothing.
    pub(crate) fn poll_take(
        &self,
        cx: &Context<'_>,
        into: &mut VecDeque<Item>,
    ) -> Poll<Result<(), Closed>> {
        let mut state = self.lock();
        // Under the lock: whoever closes the box from here on finds the waker.
        if self.is_closed() {
            return Poll::Ready(Err(Closed));
        }
        if state.ready.is_empty() {
            if state.reading && !state.idle {
                // The socket was faster than the disk: read further ahead.
                state.read_ahead = (state.read_ahead * 2).min(OUTBOX_READ_AHEAD_MAX);
            }
            state.idle = true;
            state.listen(cx);
            return Poll::Pending;
        }
        into.append(&mut state.ready);
        state.control_bytes = 0;
        state.ready_block_bytes = 0;
        state.ready_blocks = 0;
        Poll::Ready(Ok(()))
    }

    /// Lets [`close`](Self::close) and [`shrink`](Self::shrink) wake this task.
    pub(crate) fn listen(&self, cx: &Context<'_>) -> Result<(), Closed> {
        let mut state = self.lock();
        if self.is_closed() {
            return Err(Closed);
        }
        state.listen(cx);
        Ok(())
    }

    /// Notes blocks that left; true when nobody has collected the ones before.
    pub(crate) fn note_sent(&self, blocks: u32, bytes: u64) -> bool {
        let mut state = self.lock();
        let first = state.sent_blocks == 0;
        state.sent_blocks += blocks;
        state.sent_bytes += bytes;
        first && blocks > 0
    }

    /// Collects what [`note_sent`](Self::note_sent) noted: blocks and their bytes.
    pub(crate) fn collect_sent(&self) -> (u32, u64) {
        let mut state = self.lock();
        let sent = (state.sent_blocks, state.sent_bytes);
        (state.sent_blocks, state.sent_bytes) = (0, 0);
        sent
    }

    /// Ends the connection; what is queued is dropped.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        let mut state = self.lock();
        let connection = state.connection.take();
        let dropped = (
            std::mem::take(&mut state.ready),
            std::mem::take(&mut state.unread),
        );
        drop(state);
        drop(dropped);
        wake(connection);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Asks the connection to give back memory that it does not use.
    pub(crate) fn shrink(&self) {
        self.pulse.shrink.store(true, Ordering::Relaxed);
        let connection = self.lock().connection.clone();
        wake(connection);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held; a poisoned one is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Puts bytes behind all that are ready.
    fn put(&mut self, write: impl FnOnce(&mut BytesMut)) {
        if !matches!(self.ready.back(), Some(Item::Control(_))) {
            self.ready
                .push_back(Item::Control(BytesMut::with_capacity(64)));
        }
        if let Some(Item::Control(bytes)) = self.ready.back_mut() {
            let old = bytes.len();
            write(bytes);
            self.control_bytes += bytes.len() - old;
        }
    }

    fn listen(&mut self, cx: &Context<'_>) {
        match &self.connection {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            _ => self.connection = Some(cx.waker().clone()),
        }
    }
}

fn wake(connection: Option<Waker>) {
    if let Some(waker) = connection {
        waker.wake();
    }
}

/// How a connection gets on: written by its task, read once a [`TICK`](crate::limits::TICK).
///
/// Times are milliseconds since the connection began, 0 for "not so".
pub(crate) struct Pulse {
    began: Instant,
    /// The last read that brought something.
    read: AtomicU64,
    /// A message is half received since.
    partial_since: AtomicU64,
    /// So much of it is here, bytes.
    partial_bytes: AtomicU64,
    /// The socket has taken nothing since, though something waits.
    stalled_since: AtomicU64,
    /// The receive area is larger than the smallest.
    pub(crate) large: AtomicBool,
    /// It should be given back.
    pub(crate) shrink: AtomicBool,
}

impl Pulse {
    fn new(began: Instant) -> Self {
        Self {
            began,
            read: AtomicU64::new(0),
            partial_since: AtomicU64::new(0),
            partial_bytes: AtomicU64::new(0),
            stalled_since: AtomicU64::new(0),
            large: AtomicBool::new(false),
            shrink: AtomicBool::new(false),
        }
    }

    /// A read brought something; `whole` when a message ended in it, `partial` bytes of the next
    /// are here.
    pub(crate) fn read(&self, now: Instant, whole: bool, partial: usize) {
        let now = self.millis(now);
        self.read.store(now, Ordering::Relaxed);
        self.partial_bytes.store(partial as u64, Ordering::Relaxed);
        if partial == 0 {
            self.partial_since.store(0, Ordering::Relaxed);
        } else if whole || self.partial_since.load(Ordering::Relaxed) == 0 {
            self.partial_since.store(now, Ordering::Relaxed);
        }
    }

    /// The socket took something (`None`), or takes nothing for now.
    pub(crate) fn stalled(&self, since: Option<Instant>) {
        match since {
            None => self.stalled_since.store(0, Ordering::Relaxed),
            Some(now) if self.stalled_since.load(Ordering::Relaxed) == 0 => self
                .stalled_since
                .store(self.millis(now), Ordering::Relaxed),
            Some(_) => {}
        }
    }

    /// Looks whether the connection should go on, or at least give memory back.
    pub(crate) fn judge(&self, now: Instant) -> Judgement {
        use crate::limits::{
            PARTIAL_MESSAGE_BYTES_PER_S_MIN, PARTIAL_MESSAGE_TIME, RECEIVE_IDLE, WRITE_STALL_MAX,
        };
        let now = self.millis(now);
        let longer = |since: u64, limit: std::time::Duration| {
            since > 0 && u128::from(now.saturating_sub(since)) > limit.as_millis()
        };
        let partial_since = self.partial_since.load(Ordering::Relaxed);
        let age_s = now.saturating_sub(partial_since) / 1000;
        let floor = age_s * PARTIAL_MESSAGE_BYTES_PER_S_MIN;
        if longer(partial_since, PARTIAL_MESSAGE_TIME)
            && self.partial_bytes.load(Ordering::Relaxed) < floor
        {
            return Judgement::Dribbles;
        }
        if longer(self.stalled_since.load(Ordering::Relaxed), WRITE_STALL_MAX) {
            return Judgement::NeverReads;
        }
        let quiet = longer(self.read.load(Ordering::Relaxed).max(1), RECEIVE_IDLE);
        if quiet && self.large.load(Ordering::Relaxed) {
            return Judgement::Idle;
        }
        Judgement::Fine
    }

    fn millis(&self, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.began).as_millis();
        u64::try_from(passed).unwrap_or(u64::MAX).max(1)
    }
}

/// What [`Pulse::judge`] saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    Fine,
    /// Fine, but holds memory that it does not use.
    Idle,
    /// A message comes so slowly that it only holds memory.
    Dribbles,
    /// The peer takes nothing of what waits for it.
    NeverReads,
}

#[cfg(test)]
mod tests {
    use super::*;
    use shoal_metainfo::{BLOCK_LENGTH, Geometry};
    use std::time::Duration;

    fn outbox() -> Outbox {
        Outbox::new(PeerKey(1), Instant::now())
    }

    fn blocks(count: usize) -> impl Iterator<Item = Block> {
        let geometry = Geometry::new(u64::from(BLOCK_LENGTH) * 8192, 1 << 27).unwrap();
        geometry.blocks(geometry.piece(0).unwrap()).take(count)
    }

    fn take(outbox: &Outbox) -> VecDeque<Item> {
        let mut items = VecDeque::new();
        let _ = outbox.poll_take(&Context::from_waker(Waker::noop()), &mut items);
        items
    }

    fn read(outbox: &Outbox) -> usize {
        assert!(outbox.wants_read());
        let unread = outbox.take_unread();
        let count = unread.len();
        let data = Bytes::from_static(&[0; BLOCK_LENGTH as usize]);
        outbox.fill(unread.into_iter().map(|block| (block, data.clone())));
        count
    }

    #[test]
    fn connection_does_not_sleep_on_a_box_that_was_closed_before() {
        let outbox = outbox();
        let cx = Context::from_waker(Waker::noop());
        assert!(outbox.poll_take(&cx, &mut VecDeque::new()).is_pending());
        assert_eq!(outbox.listen(&cx), Ok(()));
        // It looked, found the box open, and was about to sleep: nobody would wake it.
        outbox.close();
        let taken = outbox.poll_take(&cx, &mut VecDeque::new());
        assert_eq!(taken, Poll::Ready(Err(Closed)));
        assert_eq!(outbox.listen(&cx), Err(Closed));
    }

    #[test]
    fn messages_leave_together_and_in_order() {
        let outbox = outbox();
        outbox.send(&Message::Unchoke).unwrap();
        outbox.send(&Message::Have { index: 3 }).unwrap();
        let items = take(&outbox);
        assert_eq!(items.len(), 1);
        let Item::Control(bytes) = &items[0] else {
            panic!("not a control item")
        };
        assert_eq!(bytes[..], [0, 0, 0, 1, 1, 0, 0, 0, 5, 4, 0, 0, 0, 3]);
        assert!(take(&outbox).is_empty());
    }

    #[test]
    fn long_bitfield_is_shared_and_stays_in_its_place() {
        let outbox = outbox();
        let bits = Bytes::from(vec![0xff; BITFIELD_SHARED_MIN]);
        outbox.send(&Message::Bitfield(bits.clone())).unwrap();
        outbox.send(&Message::Unchoke).unwrap();
        let items: Vec<_> = take(&outbox).into_iter().collect();
        let [
            Item::Control(head),
            Item::Shared(shared),
            Item::Control(rest),
        ] = &items[..]
        else {
            panic!("{} items", items.len())
        };
        assert_eq!(shared.as_ptr(), bits.as_ptr(), "no copy");
        let sent = [&head[..], shared, rest].concat();
        let mut expect = BytesMut::new();
        encode(&Message::Bitfield(bits), &mut expect);
        encode(&Message::Unchoke, &mut expect);
        assert_eq!(sent, expect[..]);
    }

    #[test]
    fn messages_for_a_socket_that_takes_nothing_are_bounded() {
        let outbox = outbox();
        let message = Message::Have { index: 1 };
        let sent = (0..1_000_000)
            .take_while(|_| outbox.send(&message).is_ok())
            .count();
        assert_eq!(sent, OUTBOX_CONTROL_BYTES_MAX / 9 + 1);
        assert_eq!(outbox.send(&message), Err(Overflow));
    }

    #[test]
    fn blocks_are_read_only_a_little_ahead_of_the_socket() {
        let outbox = outbox();
        blocks(2000).for_each(|block| outbox.serve(block).unwrap());
        let ahead = OUTBOX_READ_AHEAD_MIN / BLOCK_LENGTH as usize;
        assert_eq!(read(&outbox), ahead);
        assert!(!outbox.wants_read(), "enough is ready");
        assert_eq!(take(&outbox).len(), ahead);
        assert_eq!(read(&outbox), ahead);
    }

    #[test]
    fn faster_socket_is_read_further_ahead_up_to_the_bound() {
        let outbox = outbox();
        blocks(2000).for_each(|block| outbox.serve(block).unwrap());
        let mut most = 0;
        for _ in 0..8 {
            assert!(outbox.wants_read());
            assert!(take(&outbox).is_empty(), "the disk is at it");
            let unread = outbox.take_unread();
            most = most.max(unread.len());
            let data = Bytes::from_static(&[0; BLOCK_LENGTH as usize]);
            outbox.fill(unread.into_iter().map(|block| (block, data.clone())));
            assert!(!take(&outbox).is_empty());
        }
        assert_eq!(most, OUTBOX_READ_AHEAD_MAX / BLOCK_LENGTH as usize);
    }

    #[test]
    fn promised_blocks_are_bounded() {
        let outbox = outbox();
        let taken = blocks(8192).take_while(|&block| outbox.serve(block).is_ok());
        assert_eq!(taken.count(), OUTBOX_BLOCKS_MAX);
    }

    #[test]
    fn only_one_disk_thread_reads_for_a_box() {
        let outbox = outbox();
        blocks(1).for_each(|block| outbox.serve(block).unwrap());
        assert!(outbox.wants_read());
        assert!(!outbox.wants_read());
    }

    #[test]
    fn closed_box_holds_nothing() {
        let outbox = outbox();
        outbox.send(&Message::Unchoke).unwrap();
        blocks(10).for_each(|block| outbox.serve(block).unwrap());
        outbox.close();
        assert!(take(&outbox).is_empty());
        assert!(!outbox.wants_read());
    }

    #[test]
    fn blocks_that_left_are_told_once() {
        let outbox = outbox();
        assert!(outbox.note_sent(2, 100));
        assert!(!outbox.note_sent(1, 50), "told already, not collected");
        assert_eq!(outbox.collect_sent(), (3, 150));
        assert!(outbox.note_sent(1, 1));
    }

    #[test]
    fn dribbled_message_is_given_up_and_a_slow_one_is_not() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let pulse = Pulse::new(began);
        for second in 1..=30 {
            pulse.read(at(second), false, usize::try_from(second).unwrap());
            assert_eq!(pulse.judge(at(second)), Judgement::Fine);
        }
        assert_eq!(pulse.judge(at(32)), Judgement::Dribbles);
        for second in 1..=50 {
            pulse.read(
                at(100 + second),
                false,
                usize::try_from(second).unwrap() * 300,
            );
        }
        pulse.partial_since.store(100_000, Ordering::Relaxed);
        assert_eq!(pulse.judge(at(150)), Judgement::Fine);
        pulse.read(at(151), true, 0);
        assert_eq!(pulse.judge(at(152)), Judgement::Fine);
    }

    #[test]
    fn peer_that_never_reads_is_given_up() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let pulse = Pulse::new(began);
        pulse.stalled(Some(at(1)));
        pulse.stalled(Some(at(30)));
        assert_eq!(pulse.judge(at(60)), Judgement::Fine);
        assert_eq!(pulse.judge(at(62)), Judgement::NeverReads);
        pulse.stalled(None);
        assert_eq!(pulse.judge(at(63)), Judgement::Fine);
    }
}
