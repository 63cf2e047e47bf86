//! One socket: bytes in to batches of messages, messages and blocks out in vectored writes.
//!
//! Blocks are lent from mapped files to the kernel. When a page of one cannot be had, because its
//! file was cut or its device failed, that is nobody's fault on the line: the connection ends, and
//! the disk is asked which block it was.
//!
//! One task owns both directions. It decides nothing: what a message means is the swarm's
//! business, and when to give up on a slow peer is judged by the torrent from the
//! [`Pulse`](crate::outbox::Pulse) that is kept here.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, ready};
use std::time::Instant;

use async_std::channel::{Sender, TrySendError};
use async_std::io::{Read, Write};
use async_std::net::TcpStream;
use bytes::{Buf, BytesMut};
use futures_lite::future::{FutureExt, or, yield_now};
use shoal_metainfo::Block;
use shoal_swarm::io::PeerKey;
use shoal_wire::{DecodeError, Decoder, Message};

use crate::crowd::Place;
use crate::limits::{BATCH_MESSAGES_MAX, READS_IN_A_ROW_MAX, RECEIVE_AREA_MIN, WRITE_SLICES_MAX};
use crate::outbox::{Closed, Item, Outbox};
use crate::tasks::panic_text;
use crate::transport::{Pool, ReceiveBuffer};

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum End {
    /// The torrent closed it.
    #[error("closed by us")]
    Closed,
    /// The peer closed it.
    #[error("closed by the peer")]
    PeerClosed,
    /// The peer sent nonsense.
    #[error("{0}")]
    Nonsense(#[from] DecodeError),
    /// The line broke.
    #[error("{0}")]
    Socket(#[from] io::Error),
    /// A block that was to leave is not on the disk any more.
    #[error("a block could not be read while it was sent: {0}")]
    Storage(io::Error),
}

/// What a connection tells its torrent, in order.
#[derive(Debug)]
pub(crate) enum FromPeer {
    /// All messages of one read.
    Messages(PeerKey, Vec<Message>),
    /// One read held so many that are unknown.
    Unknown(PeerKey, u32),
    /// The last word.
    Ended(PeerKey),
}

/// What a connection needs of its torrent.
pub(crate) trait Surroundings: Send + Sync + 'static {
    /// Blocks left on the way to this peer; [`Outbox::collect_sent`] has the numbers.
    fn blocks_sent(&self, peer: PeerKey);
    /// Puts the box on the list of a disk thread.
    fn read_for(&self, outbox: &Arc<Outbox>);
    /// One of these blocks could not be read while it was sent.
    fn doubt(&self, blocks: Vec<Block>);
    /// Used receive areas.
    fn pool(&self) -> &Pool;
}

/// A handshaken socket and where its messages go.
pub(crate) struct Connection<S> {
    pub(crate) stream: TcpStream,
    /// Of the bounds of the engine; given back when the connection has ended.
    pub(crate) place: Option<Place>,
    pub(crate) decoder: Decoder,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) torrent: Sender<FromPeer>,
    pub(crate) surroundings: Arc<S>,
}

impl<S: Surroundings> Connection<S> {
    /// Runs until one side has had enough, then says so to the torrent.
    pub(crate) async fn run(self) {
        let Self {
            stream,
            place,
            decoder,
            outbox,
            torrent,
            surroundings,
        } = self;
        let receiver = Receiver {
            stream: &stream,
            outbox: &outbox,
            torrent: &torrent,
            pool: surroundings.pool(),
            decoder,
            buffer: ReceiveBuffer::new(),
            batch: 0,
        };
        let both = or(receiver.run(), send(&stream, &outbox, &*surroundings));
        // A bug here ends this connection, and the torrent must hear of it all the same.
        match AssertUnwindSafe(both).catch_unwind().await {
            Ok(Err(end)) => tracing::debug!(peer = outbox.peer.0, "connection ended: {end}"),
            Err(panic) => tracing::error!("a connection panicked: {}", panic_text(&*panic)),
        }
        outbox.close();
        drop((stream, place));
        // The torrent may be gone: then nobody needs to know.
        let _ = torrent.send(FromPeer::Ended(outbox.peer)).await;
    }
}

/// Never returns but with an [`End`].
type Unending = Result<std::convert::Infallible, End>;

struct Receiver<'a> {
    stream: &'a TcpStream,
    outbox: &'a Outbox,
    torrent: &'a Sender<FromPeer>,
    pool: &'a Pool,
    decoder: Decoder,
    buffer: ReceiveBuffer,
    /// Messages in the last batch: about so many are in the next.
    batch: usize,
}

impl Receiver<'_> {
    async fn run(mut self) -> Unending {
        let mut reads_in_a_row = 0;
        loop {
            if self.read().await? == 0 {
                return Err(End::PeerClosed);
            }
            let mut whole = false;
            loop {
                let messages = self.decode()?;
                let more = messages.len() == BATCH_MESSAGES_MAX;
                whole |= !messages.is_empty();
                self.hand_over(messages).await?;
                if !more {
                    break;
                }
            }
            let unknown = self.decoder.take_dropped();
            if unknown > 0 {
                let unknown = FromPeer::Unknown(self.outbox.peer, unknown);
                self.tell(unknown).await?;
            }
            let partial = self.buffer.filled().len();
            self.outbox.pulse.read(Instant::now(), whole, partial);
            reads_in_a_row += 1;
            if reads_in_a_row == READS_IN_A_ROW_MAX {
                reads_in_a_row = 0;
                yield_now().await;
            }
        }
    }

    /// Reads once; gives memory back meanwhile, when the torrent asks for it.
    async fn read(&mut self) -> Result<usize, End> {
        let needs = self.decoder.needs(self.buffer.filled());
        let pulse = &self.outbox.pulse;
        let (buffer, pool, mut stream) = (&mut self.buffer, self.pool, self.stream);
        let bytes = poll_fn(|cx| {
            if pulse.shrink.swap(false, Ordering::Relaxed) {
                buffer.shrink();
                pulse.large.store(buffer.is_large(), Ordering::Relaxed);
            }
            Pin::new(&mut stream).poll_read(cx, buffer.space(pool, needs))
        })
        .await?;
        self.buffer.advance(bytes);
        pulse.large.store(self.buffer.is_large(), Ordering::Relaxed);
        Ok(bytes)
    }

    fn decode(&mut self) -> Result<Vec<Message>, DecodeError> {
        let decoder = &mut self.decoder;
        let mut messages = Vec::with_capacity(self.batch);
        self.buffer.decode(|filled: &mut BytesMut| {
            while messages.len() < BATCH_MESSAGES_MAX {
                match decoder.decode(filled)? {
                    Some(message) => messages.push(message),
                    None => break,
                }
            }
            Ok(())
        })?;
        // One that long comes once, and is no sign that much else will.
        if let Some(Message::Bitfield(bits)) = messages.last()
            && bits.len() > RECEIVE_AREA_MIN
        {
            self.buffer.shrink();
        }
        self.batch = messages.len();
        Ok(messages)
    }

    /// Waits while the torrent has enough to do: then this socket is not read.
    async fn hand_over(&self, messages: Vec<Message>) -> Result<(), End> {
        if messages.is_empty() {
            return Ok(());
        }
        self.tell(FromPeer::Messages(self.outbox.peer, messages))
            .await
    }

    async fn tell(&self, batch: FromPeer) -> Result<(), End> {
        match self.torrent.try_send(batch) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(_)) => Err(End::Closed),
            Err(TrySendError::Full(batch)) => {
                self.torrent.send(batch).await.map_err(|_| End::Closed)
            }
        }
    }
}

async fn send(
    stream: &TcpStream,
    outbox: &Arc<Outbox>,
    surroundings: &impl Surroundings,
) -> Unending {
    let mut queue = VecDeque::new();
    loop {
        let taken = poll_fn(|cx| outbox.poll_take(cx, &mut queue)).await;
        taken.map_err(|Closed| End::Closed)?;
        if outbox.wants_read() {
            surroundings.read_for(outbox);
        }
        while !queue.is_empty() {
            let written = write(stream, outbox, &queue).await;
            let written = written.inspect_err(|end| {
                if matches!(end, End::Storage(_)) {
                    surroundings.doubt(front_blocks(&queue));
                }
            })?;
            let (blocks, bytes) = settle(&mut queue, written);
            if outbox.note_sent(blocks, bytes) {
                surroundings.blocks_sent(outbox.peer);
            }
        }
    }
}

/// `EFAULT` and `EIO`: what a write says of memory that it cannot read, and sockets never say of
/// the line. Source: errno(3); the numbers are the same on Linux, macOS and the BSDs.
const STORAGE_FAULTS: [i32; 2] = [14, 5];

/// The blocks that one call may have taken from.
fn front_blocks(queue: &VecDeque<Item>) -> Vec<Block> {
    let blocks = queue
        .iter()
        .take(WRITE_SLICES_MAX)
        .filter_map(|item| match item {
            Item::Block { block, .. } => Some(*block),
            Item::Control(_) | Item::Shared(_) => None,
        });
    blocks.collect()
}

/// One vectored write of as much of the queue as one call takes.
async fn write(
    mut stream: &TcpStream,
    outbox: &Outbox,
    queue: &VecDeque<Item>,
) -> Result<usize, End> {
    let written = poll_fn(|cx| {
        if outbox.is_closed() {
            return Poll::Ready(Err(End::Closed));
        }
        let mut slices = [IoSlice::new(&[]); WRITE_SLICES_MAX];
        let used = gather(queue, &mut slices);
        let result = Pin::new(&mut stream).poll_write_vectored(cx, &slices[..used]);
        if result.is_pending() {
            if let Err(Closed) = outbox.listen(cx) {
                return Poll::Ready(Err(End::Closed));
            }
            outbox.pulse.stalled(Some(Instant::now()));
        }
        Poll::Ready(ready!(result).map_err(|error| {
            if error
                .raw_os_error()
                .is_some_and(|number| STORAGE_FAULTS.contains(&number))
            {
                return End::Storage(error);
            }
            End::Socket(error)
        }))
    })
    .await?;
    outbox.pulse.stalled(None);
    if written == 0 {
        return Err(End::PeerClosed);
    }
    Ok(written)
}

/// The front of the queue as slices; how many were used.
fn gather<'a>(queue: &'a VecDeque<Item>, slices: &mut [IoSlice<'a>]) -> usize {
    let mut used = 0;
    for item in queue {
        if used + 2 > slices.len() {
            break;
        }
        match item {
            Item::Control(bytes) => {
                slices[used] = IoSlice::new(bytes);
                used += 1;
            }
            Item::Shared(bytes) => {
                slices[used] = IoSlice::new(bytes);
                used += 1;
            }
            Item::Block {
                head, sent, data, ..
            } => {
                if *sent < head.len() {
                    slices[used] = IoSlice::new(&head[*sent..]);
                    used += 1;
                }
                slices[used] = IoSlice::new(data);
                used += 1;
            }
        }
    }
    used
}

/// Takes `written` bytes off the front; the blocks that left whole, and their bytes.
fn settle(queue: &mut VecDeque<Item>, mut written: usize) -> (u32, u64) {
    let (mut blocks, mut bytes) = (0, 0);
    while written > 0 {
        // The system never writes more than it was given.
        let Some(item) = queue.front_mut() else {
            break;
        };
        let done = match item {
            Item::Control(rest) => {
                let taken = rest.len().min(written);
                rest.advance(taken);
                written -= taken;
                rest.is_empty()
            }
            Item::Shared(rest) => {
                let taken = rest.len().min(written);
                rest.advance(taken);
                written -= taken;
                rest.is_empty()
            }
            Item::Block {
                head, sent, data, ..
            } => {
                let of_head = (head.len() - *sent).min(written);
                *sent += of_head;
                written -= of_head;
                let of_data = data.len().min(written);
                data.advance(of_data);
                bytes += of_data as u64;
                written -= of_data;
                let done = *sent == head.len() && data.is_empty();
                blocks += u32::from(done);
                done
            }
        };
        if done {
            queue.pop_front();
        }
    }
    (blocks, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{BATCHES_QUEUED_MAX, OUTBOX_CONTROL_BYTES_MAX, RECEIVE_AREA_MAX};
    use async_std::channel::{Receiver, bounded};
    use async_std::io::{ReadExt, WriteExt};
    use async_std::net::TcpListener;
    use async_std::task;
    use bytes::Bytes;
    use shoal_metainfo::{BLOCK_LENGTH, Geometry};
    use shoal_wire::encode;

    #[derive(Default)]
    struct Fake {
        pool: Pool,
        sent: std::sync::atomic::AtomicUsize,
        doubted: std::sync::atomic::AtomicUsize,
    }

    impl Surroundings for Fake {
        fn blocks_sent(&self, _: PeerKey) {
            self.sent.fetch_add(1, Ordering::SeqCst);
        }

        /// A disk that answers at once: every byte of a block is the low byte of its number.
        fn read_for(&self, outbox: &Arc<Outbox>) {
            let blocks = outbox.take_unread();
            outbox.fill(blocks.into_iter().map(|block| {
                let byte = u8::try_from(block.number() % 256).unwrap();
                (block, Bytes::from(vec![byte; block.length() as usize]))
            }));
        }

        fn doubt(&self, blocks: Vec<Block>) {
            self.doubted.fetch_add(blocks.len(), Ordering::SeqCst);
        }

        fn pool(&self) -> &Pool {
            &self.pool
        }
    }

    struct Line {
        /// The peer's end.
        peer: TcpStream,
        outbox: Arc<Outbox>,
        torrent: Receiver<FromPeer>,
        fake: Arc<Fake>,
        task: task::JoinHandle<()>,
    }

    async fn line() -> Line {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let peer = TcpStream::connect(address).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let outbox = Arc::new(Outbox::new(PeerKey(1), Instant::now()));
        let (to_torrent, torrent) = bounded(BATCHES_QUEUED_MAX);
        let fake = Arc::new(Fake::default());
        let connection = Connection {
            stream,
            place: None,
            decoder: Decoder::new(Some(2)),
            outbox: outbox.clone(),
            torrent: to_torrent,
            surroundings: fake.clone(),
        };
        Line {
            peer,
            outbox,
            torrent,
            fake,
            task: task::spawn(connection.run()),
        }
    }

    fn blocks(count: usize) -> impl Iterator<Item = Block> {
        let geometry = Geometry::new(u64::from(BLOCK_LENGTH) * 4096, 1 << 26).unwrap();
        geometry.blocks(geometry.piece(0).unwrap()).take(count)
    }

    async fn until(condition: impl Fn() -> bool) {
        while !condition() {
            task::sleep(std::time::Duration::from_millis(2)).await;
        }
    }

    #[test]
    fn messages_arrive_in_order_and_in_batches() {
        task::block_on(async {
            let mut line = line().await;
            let mut bytes = Vec::new();
            for index in 0..5000 {
                encode(&Message::Have { index }, &mut bytes);
            }
            line.peer.write_all(&bytes).await.unwrap();
            let (mut next, mut batches) = (0, 0);
            while next < 5000 {
                let FromPeer::Messages(_, messages) = line.torrent.recv().await.unwrap() else {
                    panic!("ended early")
                };
                assert!(messages.len() <= BATCH_MESSAGES_MAX);
                batches += 1;
                for message in messages {
                    assert_eq!(message, Message::Have { index: next });
                    next += 1;
                }
            }
            assert!(batches < 500, "{batches} batches");
            drop(line.peer);
            assert!(matches!(line.torrent.recv().await, Ok(FromPeer::Ended(_))));
            line.task.await;
        });
    }

    #[test]
    fn blocks_and_messages_leave_whole() {
        task::block_on(async {
            let mut line = line().await;
            line.outbox.send(&Message::Unchoke).unwrap();
            blocks(300).for_each(|block| line.outbox.serve(block).unwrap());
            assert!(line.outbox.wants_read());
            line.fake.read_for(&line.outbox);
            let mut bytes = BytesMut::zeroed(5 + 300 * (13 + BLOCK_LENGTH as usize));
            line.peer.read_exact(&mut bytes).await.unwrap();
            let mut decoder = Decoder::new(None);
            assert_eq!(decoder.decode(&mut bytes), Ok(Some(Message::Unchoke)));
            for block in blocks(300) {
                let Ok(Some(Message::Piece { begin, data, .. })) = decoder.decode(&mut bytes)
                else {
                    panic!("not a piece")
                };
                assert_eq!(begin, block.begin());
                assert_eq!(data.len(), block.length() as usize);
                assert!(data.iter().all(|&b| usize::from(b) == block.number() % 256));
            }
            until(|| line.fake.sent.load(Ordering::SeqCst) > 0).await;
            let mut told = (0, 0);
            while told.0 < 300 {
                let (blocks, bytes) = line.outbox.collect_sent();
                told = (told.0 + blocks, told.1 + bytes);
                task::yield_now().await;
            }
            assert_eq!(told, (300, 300 * u64::from(BLOCK_LENGTH)));
        });
    }

    #[test]
    fn nonsense_ends_the_connection() {
        task::block_on(async {
            let mut line = line().await;
            line.peer.write_all(&[0xff; 5]).await.unwrap();
            assert!(matches!(line.torrent.recv().await, Ok(FromPeer::Ended(_))));
            assert!(matches!(line.peer.read(&mut [0; 1]).await, Ok(0) | Err(_)));
        });
    }

    #[test]
    fn closing_ends_a_connection_that_waits() {
        task::block_on(async {
            let line = line().await;
            line.outbox.close();
            line.task.await;
            assert!(matches!(line.torrent.recv().await, Ok(FromPeer::Ended(_))));
        });
    }

    #[test]
    fn peer_that_never_reads_is_bounded_and_can_be_closed() {
        task::block_on(async {
            let line = line().await;
            let message = Message::Have { index: 7 };
            // The buffers of the system take some, and one outbox is in the connection's hands.
            let mut full_in_a_row = 0;
            for _ in 0..20_000 {
                while line.outbox.send(&message).is_ok() {}
                line.outbox.ring();
                task::sleep(std::time::Duration::from_millis(1)).await;
                full_in_a_row += 1;
                if line.outbox.send(&message).is_ok() {
                    full_in_a_row = 0;
                }
                if full_in_a_row == 50 {
                    break;
                }
            }
            assert_eq!(
                full_in_a_row, 50,
                "{OUTBOX_CONTROL_BYTES_MAX} bytes are no bound"
            );
            line.outbox.close();
            line.task.await;
        });
    }

    #[test]
    fn socket_is_not_read_while_the_torrent_is_busy() {
        task::block_on(async {
            let mut line = line().await;
            let mut bytes = Vec::new();
            let data = Bytes::from(vec![1; BLOCK_LENGTH as usize]);
            let piece = Message::Piece {
                index: 0,
                begin: 0,
                data,
            };
            (0..64).for_each(|_| encode(&piece, &mut bytes));
            let stuck = async {
                loop {
                    line.peer.write_all(&bytes).await.unwrap();
                }
            };
            let limit = std::time::Duration::from_millis(300);
            assert!(async_std::future::timeout(limit, stuck).await.is_err());
            assert!(line.torrent.is_full());
            let mut held = 0;
            while let Ok(FromPeer::Messages(_, messages)) = line.torrent.try_recv() {
                held += messages.len() * BLOCK_LENGTH as usize;
            }
            assert!(held <= (BATCHES_QUEUED_MAX + 1) * RECEIVE_AREA_MAX);
        });
    }

    #[test]
    fn dribbling_peer_holds_the_smallest_area_and_is_seen() {
        task::block_on(async {
            let mut line = line().await;
            let mut bytes = Vec::new();
            let data = Bytes::from(vec![1; BLOCK_LENGTH as usize]);
            encode(
                &Message::Piece {
                    index: 0,
                    begin: 0,
                    data,
                },
                &mut bytes,
            );
            for byte in &bytes[..40] {
                line.peer.write_all(&[*byte]).await.unwrap();
                task::yield_now().await;
            }
            let late = Instant::now() + std::time::Duration::from_secs(60);
            until(|| line.outbox.pulse.judge(late) == crate::outbox::Judgement::Dribbles).await;
            assert!(!line.outbox.pulse.large.load(Ordering::Relaxed));
        });
    }

    #[test]
    fn block_of_a_file_that_was_cut_is_doubted_and_nobody_is_blamed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("film");
        std::fs::write(&path, vec![7; 1 << 20]).unwrap();
        let info = Arc::new(crate::testing::torrent(&path, 1 << 16).info);
        let options = shoal_storage::Options::default();
        let storage = shoal_storage::Storage::open(dir.path(), info.clone(), options).unwrap();
        let piece = info.geometry.piece(3).unwrap();
        assert!(storage.verify(piece).unwrap());
        let lent: Vec<_> = info
            .geometry
            .blocks(piece)
            .map(|block| (block, storage.read(block).unwrap()))
            .collect();
        std::fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(0)
            .unwrap();
        task::block_on(async {
            let line = line().await;
            for (block, _) in &lent {
                line.outbox.serve(*block).unwrap();
            }
            assert!(line.outbox.wants_read());
            assert_eq!(line.outbox.take_unread().len(), lent.len());
            line.outbox.fill(lent.into_iter());
            assert!(matches!(line.torrent.recv().await, Ok(FromPeer::Ended(_))));
            line.task.await;
            assert!(line.fake.doubted.load(Ordering::SeqCst) > 0);
            let mut rest = Vec::new();
            // What was on its way may end in a reset.
            let _ = (&line.peer).read_to_end(&mut rest).await;
            assert!(rest.len() < 13, "a block left: {} bytes", rest.len());
        });
    }
}
