//! Announces and scrapes over UDP. BEP 15.
//!
//! One task owns a socket for each address family and carries out what [`Exchange`] decides, for
//! all torrents of a client, so that they share sockets and connection ids. It begins with the
//! first question and ends with the client. Which addresses may be asked is not decided here.

use std::collections::BTreeMap;
use std::future::{Future, pending, poll_fn};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::Poll;
use std::time::{Duration, Instant};

use async_std::channel::{Receiver, Sender, bounded};
use async_std::net::UdpSocket;
use async_std::task;
use futures_lite::FutureExt as _;

use crate::announce::AnnounceResponse;
use crate::error::TrackerError;
use crate::limits;
use crate::text::printable;
use crate::udp::exchange::{Answer, Exchange, Input, Output, Question, QuestionKey};

type Reply = Result<Answer, TrackerError>;

/// Asks trackers over UDP.
#[derive(Debug, Default)]
pub(super) struct Udp {
    asks: OnceLock<Sender<Ask>>,
}

struct Ask {
    tracker: SocketAddr,
    question: Question,
    reply: Sender<Reply>,
}

impl Udp {
    /// Announces over each address family that the tracker has; the answers are made one.
    pub(super) async fn announce(
        &self,
        addresses: &[SocketAddr],
        question: &Question,
    ) -> Result<AnnounceResponse, TrackerError> {
        let of = |v6: bool| {
            let family = addresses.iter().filter(move |a| a.is_ipv6() == v6);
            family.copied().collect::<Vec<_>>()
        };
        let families = [of(false), of(true)];
        let families = families.iter().filter(|family| !family.is_empty());
        let mut open: Vec<Pending<'_>> = families
            .map(|family| self.pending(family, question))
            .collect();
        let mut answers: Option<AnnounceResponse> = None;
        let mut last = None;
        while !open.is_empty() {
            let next = first(&mut open);
            let next = match answers {
                None => Some(next.await),
                Some(_) => soon(limits::FAMILY_PATIENCE, next).await,
            };
            match next {
                Some(Ok(Answer::Announce(answer))) => merge(&mut answers, answer),
                Some(Ok(Answer::Scrape(_))) => {}
                Some(Err(error)) => last = Some(error),
                None => break,
            }
        }
        answers.ok_or_else(|| last.expect("at least one address was asked"))
    }

    /// The first answer that one of the addresses gives. One that is silent for a while has the
    /// next asked beside it.
    pub(super) async fn ask(&self, addresses: &[SocketAddr], question: &Question) -> Reply {
        let mut rest = addresses.iter();
        let mut open: Vec<Pending<'_>> = Vec::new();
        let mut last = None;
        loop {
            let next = rest.next();
            if let Some(&address) = next {
                open.push(Box::pin(self.ask_one(address, question.clone())));
            }
            if open.is_empty() {
                return Err(last.expect("at least one address was asked"));
            }
            let ended = match next {
                Some(_) => soon(limits::PATIENCE, first(&mut open)).await,
                None => Some(first(&mut open).await),
            };
            match ended {
                Some(Ok(answer)) => return Ok(answer),
                Some(Err(error)) => last = Some(error),
                None => {}
            }
        }
    }

    fn pending<'a>(&'a self, addresses: &'a [SocketAddr], question: &'a Question) -> Pending<'a> {
        Box::pin(self.ask(addresses, question))
    }

    async fn ask_one(&self, tracker: SocketAddr, question: Question) -> Reply {
        let asks = self.asks.get_or_init(|| {
            let (sender, asks) = bounded(limits::UDP_QUEUE);
            task::spawn(Driver::new(asks).run());
            sender
        });
        let (reply, answer) = bounded(1);
        let ask = Ask {
            tracker,
            question,
            reply,
        };
        let ended = || TrackerError::Connect {
            address: tracker,
            reason: "the client has ended".to_owned(),
        };
        asks.send(ask).await.map_err(|_| ended())?;
        answer.recv().await.unwrap_or_else(|_| Err(ended()))
    }
}

type Pending<'a> = Pin<Box<dyn Future<Output = Reply> + Send + 'a>>;

/// The first of them that ends; it is taken off the list.
async fn first(open: &mut Vec<Pending<'_>>) -> Reply {
    poll_fn(|context| {
        for place in 0..open.len() {
            if let Poll::Ready(reply) = open[place].as_mut().poll(context) {
                drop(open.swap_remove(place));
                return Poll::Ready(reply);
            }
        }
        Poll::Pending
    })
    .await
}

async fn soon<T>(within: Duration, future: impl Future<Output = T>) -> Option<T> {
    async_std::future::timeout(within, future).await.ok()
}

/// Adds the answer of the other family: its peers, and the larger counts, since a tracker may count
/// the families apart or together.
fn merge(answers: &mut Option<AnnounceResponse>, answer: AnnounceResponse) {
    let Some(merged) = answers else {
        *answers = Some(answer);
        return;
    };
    merged.peers.extend(answer.peers);
    merged.seeders = merged.seeders.max(answer.seeders);
    merged.leechers = merged.leechers.max(answer.leechers);
}

/// The task.
struct Driver {
    asks: Receiver<Ask>,
    exchange: Exchange,
    replies: BTreeMap<QuestionKey, Sender<Reply>>,
    asked: u64,
    v4: Family,
    v6: Family,
}

/// What happens to the task.
enum Event {
    Ask(Ask),
    Packet(SocketAddr, Vec<u8>),
    Timeout,
    /// The client is gone.
    End,
}

impl Driver {
    fn new(asks: Receiver<Ask>) -> Self {
        Self {
            asks,
            exchange: Exchange::new(mark),
            replies: BTreeMap::new(),
            asked: 0,
            v4: Family::new(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))),
            v6: Family::new(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))),
        }
    }

    async fn run(mut self) {
        loop {
            let event = self.next().await;
            let now = Instant::now();
            match event {
                Event::Ask(ask) => self.ask(now, ask).await,
                Event::Packet(from, bytes) => {
                    let bytes = &bytes[..];
                    self.exchange.handle(now, Input::Packet { from, bytes });
                }
                Event::Timeout => self.wake(now),
                Event::End => return,
            }
            self.carry_out(now).await;
        }
    }

    async fn next(&mut self) -> Event {
        let asks = async { self.asks.recv().await.map_or(Event::End, Event::Ask) };
        let due = self.exchange.timeout();
        let timer = async {
            match due {
                Some(due) => task::sleep(due.saturating_duration_since(Instant::now())).await,
                None => pending().await,
            }
            Event::Timeout
        };
        let packets = self.v4.receive().race(self.v6.receive());
        let packets = async {
            let (from, bytes) = packets.await;
            Event::Packet(from, bytes)
        };
        // By chance, so that a flood of the one starves none of the others.
        packets.race(asks).race(timer).await
    }

    async fn ask(&mut self, now: Instant, ask: Ask) {
        let key = QuestionKey(self.asked);
        self.asked += 1;
        self.replies.insert(key, ask.reply);
        let (tracker, question) = (ask.tracker, ask.question);
        let ask = Input::Ask {
            key,
            tracker,
            question,
        };
        self.exchange.handle(now, ask);
    }

    /// Nothing is sent again for those who have stopped waiting.
    fn wake(&mut self, now: Instant) {
        let gone = self.replies.extract_if(.., |_, reply| reply.is_closed());
        for (key, _) in gone {
            self.exchange.handle(now, Input::Cancel(key));
        }
        self.exchange.handle(now, Input::Timeout);
    }

    async fn carry_out(&mut self, now: Instant) {
        while let Some(output) = self.exchange.poll() {
            match output {
                Output::Send { to, packet } => {
                    let family = match to {
                        SocketAddr::V4(_) => &mut self.v4,
                        SocketAddr::V6(_) => &mut self.v6,
                    };
                    if let Err(error) = family.send(to, &packet).await {
                        let reason = printable(error.to_string().as_bytes());
                        self.exchange.handle(now, Input::Unsendable { to, reason });
                    }
                }
                Output::Done { key, result } => {
                    if let Some(reply) = self.replies.remove(&key) {
                        // Who stopped waiting needs no answer.
                        let _ = reply.try_send(result);
                    }
                }
            }
        }
    }
}

/// A transaction id that nobody can guess who has not seen it.
pub(super) fn mark() -> u32 {
    // The system's randomness does not fail once it has begun; should it, the source address still
    // keeps strangers out.
    getrandom::u32().unwrap_or_else(|_| fastrand::u32(..))
}

/// The socket of one address family, bound when it is first needed.
struct Family {
    bind: SocketAddr,
    socket: Option<UdpSocket>,
    buffer: Vec<u8>,
}

impl Family {
    fn new(bind: SocketAddr) -> Self {
        Self {
            bind,
            socket: None,
            buffer: Vec::new(),
        }
    }

    async fn send(&mut self, to: SocketAddr, packet: &[u8]) -> io::Result<()> {
        let socket = match &mut self.socket {
            Some(socket) => socket,
            none => none.insert(UdpSocket::bind(self.bind).await?),
        };
        socket.send_to(packet, to).await.map(drop)
    }

    /// The next packet; never without a socket.
    async fn receive(&mut self) -> (SocketAddr, Vec<u8>) {
        let Some(socket) = &self.socket else {
            return pending().await;
        };
        self.buffer.resize(limits::UDP_PACKET_BYTES_MAX, 0);
        loop {
            // An error here is of a packet sent before, and says not which: its answer will be
            // missed soon enough.
            if let Ok((length, from)) = socket.recv_from(&mut self.buffer).await {
                return (from, self.buffer[..length].to_vec());
            }
        }
    }
}
