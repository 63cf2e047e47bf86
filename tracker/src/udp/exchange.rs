//! Questions to trackers over UDP, until they are answered or given up. BEP 15, "time outs".
//!
//! Several questions to one address share its connection id. An answer counts only from the address
//! that was asked, with the transaction id that it was sent. Sans-io: the clock is an argument,
//! packets are bytes, and names and sockets are not known here.
//!
//! ```text
//!               ┌────────────── id is good ──────────────┐
//! question ─────┴▶ Connecting ──────connect response─────┴▶ Asked ──response──▶ done
//!                   ▲  │ silence: again after 15·2ⁿ s        │ silence: again after 15·2ⁿ s
//!                   └──┘◀───────────── id is old ────────────┘
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use shoal_metainfo::InfoHash;

use super::packet::{self, ConnectionId, Response, TransactionId};
use crate::announce::{AnnounceRequest, AnnounceResponse, ScrapeEntry};
use crate::error::TrackerError;
use crate::limits;

/// One question, as its asker calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuestionKey(pub u64);

/// What a tracker is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// An announce.
    Announce {
        /// What is announced.
        request: AnnounceRequest,
        /// Path and query of the announce URL. BEP 41.
        url: Vec<u8>,
    },
    /// A scrape of at most [`limits::UDP_SCRAPE_HASHES_MAX`] torrents.
    Scrape(Vec<InfoHash>),
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To an announce.
    Announce(AnnounceResponse),
    /// To a scrape.
    Scrape(Vec<ScrapeEntry>),
}

/// One fact about the world.
#[derive(Debug)]
pub enum Input<'p> {
    /// A question to the tracker at an address.
    Ask {
        /// Comes back with [`Output::Done`]; used once.
        key: QuestionKey,
        /// Whom.
        tracker: SocketAddr,
        /// What.
        question: Question,
    },
    /// Nobody waits for the answer any more.
    Cancel(QuestionKey),
    /// A packet came.
    Packet {
        /// From whom.
        from: SocketAddr,
        /// What.
        bytes: &'p [u8],
    },
    /// An [`Output::Send`] could not be done.
    Unsendable {
        /// To whom.
        to: SocketAddr,
        /// What the system says.
        reason: String,
    },
    /// [`Exchange::timeout`] has come.
    Timeout,
}

/// One deed to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send a packet.
    Send {
        /// To whom.
        to: SocketAddr,
        /// What.
        packet: Vec<u8>,
    },
    /// A question is answered or given up.
    Done {
        /// Which.
        key: QuestionKey,
        /// How.
        result: Result<Answer, TrackerError>,
    },
}

/// A packet that waits for its answer.
#[derive(Debug, Clone, Copy)]
struct Sent {
    transaction: TransactionId,
    /// BEP 15's n: how often it was sent again.
    repeats: u32,
    /// When it is sent again.
    due: Instant,
}

/// What is between us and one address.
#[derive(Debug, Default)]
struct Line {
    /// The connection id that the tracker gave, and when.
    id: Option<(ConnectionId, Instant)>,
    /// The request for one.
    connecting: Option<Sent>,
}

#[derive(Debug)]
struct Asked {
    tracker: SocketAddr,
    question: Question,
    begun: Instant,
    /// `None` while it waits for a connection id.
    sent: Option<Sent>,
}

/// All questions of one client.
pub struct Exchange {
    questions: BTreeMap<QuestionKey, Asked>,
    lines: BTreeMap<SocketAddr, Line>,
    outputs: VecDeque<Output>,
    mark: Box<dyn FnMut() -> u32 + Send>,
}

impl Exchange {
    /// `mark` draws the transaction ids. One who has seen many of them must not guess the next:
    /// that is all that keeps a stranger from answering for a tracker.
    #[must_use]
    pub fn new(mark: impl FnMut() -> u32 + Send + 'static) -> Self {
        Self {
            questions: BTreeMap::new(),
            lines: BTreeMap::new(),
            outputs: VecDeque::new(),
            mark: Box::new(mark),
        }
    }

    /// Takes one fact about the world.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Ask {
                key,
                tracker,
                question,
            } => self.ask(now, key, tracker, question),
            Input::Cancel(key) => drop(self.questions.remove(&key)),
            Input::Packet { from, bytes } => self.packet(now, from, bytes),
            Input::Unsendable { to, reason } => self.unsendable(to, &reason),
            Input::Timeout => self.wake(now),
        }
    }

    /// Gives one deed to do. Call until `None` before the next [`Exchange::handle`].
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to come back with [`Input::Timeout`], if nothing else happens first.
    #[must_use]
    pub fn timeout(&self) -> Option<Instant> {
        let asked = self.questions.values().map(|asked| {
            let give_up = asked.give_up();
            asked.sent.map_or(give_up, |sent| sent.due.min(give_up))
        });
        let connecting = self.lines.values().filter_map(|line| line.connecting);
        asked.chain(connecting.map(|sent| sent.due)).min()
    }

    fn ask(&mut self, now: Instant, key: QuestionKey, tracker: SocketAddr, question: Question) {
        self.lines.retain(|_, line| line.is_of_use(now));
        let asked = Asked {
            tracker: plain(tracker),
            question,
            begun: now,
            sent: None,
        };
        self.questions.insert(key, asked);
        self.proceed(now, key);
    }

    /// Sends a question if its tracker has given us a good connection id; else asks for one, unless
    /// that is under way.
    fn proceed(&mut self, now: Instant, key: QuestionKey) {
        let Some(asked) = self.questions.get_mut(&key) else {
            return;
        };
        let to = asked.tracker;
        let line = self.lines.entry(to).or_default();
        if let Some(id) = line.good_id(now) {
            let repeats = asked.sent.map_or(0, |sent| sent.repeats);
            let sent = Sent::new((self.mark)(), repeats, now);
            asked.sent = Some(sent);
            let packet = asked.question.packet(id, sent.transaction);
            self.outputs.push_back(Output::Send { to, packet });
            return;
        }
        asked.sent = None;
        if line.connecting.is_none() {
            let sent = Sent::new((self.mark)(), 0, now);
            line.connecting = Some(sent);
            let packet = packet::connect_request(sent.transaction).to_vec();
            self.outputs.push_back(Output::Send { to, packet });
        }
    }

    fn packet(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        let from = plain(from);
        let Some(transaction) = packet::response_transaction(bytes) else {
            return;
        };
        let Some(line) = self.lines.get_mut(&from) else {
            return;
        };
        if matches!(line.connecting, Some(sent) if sent.transaction == transaction) {
            line.connecting = None;
            return self.connected(now, from, Response::decode(bytes));
        }
        let mut questions = self.questions.iter();
        let asked = questions.find(|(_, asked)| {
            asked.tracker == from
                && matches!(asked.sent, Some(sent) if sent.transaction == transaction)
        });
        if let Some((&key, _)) = asked {
            self.answered(now, key, Response::decode(bytes));
        }
    }

    fn connected(
        &mut self,
        now: Instant,
        tracker: SocketAddr,
        response: Result<Response<'_>, TrackerError>,
    ) {
        let waiting = self.waiting(tracker);
        let error = match response {
            Ok(Response::Connect(id)) => {
                self.lines.entry(tracker).or_default().id = Some((id, now));
                return waiting.into_iter().for_each(|key| self.proceed(now, key));
            }
            Ok(other) => other.out_of_turn("a request to connect"),
            Err(error) => error,
        };
        for key in waiting {
            self.done(key, Err(error.clone()));
        }
    }

    fn answered(
        &mut self,
        now: Instant,
        key: QuestionKey,
        response: Result<Response<'_>, TrackerError>,
    ) {
        let asked = &self.questions[&key];
        let line = self.lines.entry(asked.tracker).or_default();
        // A tracker that has forgotten the id, perhaps after its restart, refuses like any other.
        if matches!(response, Ok(Response::Error(_))) && line.is_older_than(asked) {
            line.id = None;
            return self.proceed(now, key);
        }
        let ipv6 = asked.tracker.is_ipv6();
        let result = response.and_then(|response| match &asked.question {
            Question::Announce { .. } => response.into_announce(ipv6).map(Answer::Announce),
            Question::Scrape(hashes) => response.into_scrape(hashes).map(Answer::Scrape),
        });
        self.done(key, result);
    }

    fn unsendable(&mut self, to: SocketAddr, reason: &str) {
        let to = plain(to);
        self.lines.remove(&to);
        let questions = self.questions.iter();
        let there: Vec<_> = questions
            .filter(|(_, asked)| asked.tracker == to)
            .map(|(&key, _)| key)
            .collect();
        for key in there {
            let error = TrackerError::Connect {
                address: to,
                reason: reason.to_owned(),
            };
            self.done(key, Err(error));
        }
    }

    /// Gives up what is too old, and sends again what is due.
    fn wake(&mut self, now: Instant) {
        let (mut late, mut due) = (Vec::new(), Vec::new());
        for (&key, asked) in &self.questions {
            if now >= asked.give_up() {
                late.push((key, now - asked.begun));
            } else if asked.sent.is_some_and(|sent| now >= sent.due) {
                due.push(key);
            }
        }
        for (key, after) in late {
            self.done(key, Err(TrackerError::Timeout { after }));
        }
        for key in due {
            self.repeat(now, key);
        }
        let connecting = self.lines.iter().filter_map(|(&tracker, line)| {
            let sent = line.connecting?;
            (now >= sent.due).then_some(tracker)
        });
        for tracker in connecting.collect::<Vec<_>>() {
            self.repeat_connect(now, tracker);
        }
    }

    /// Sends a question again. With an id from before the question it is not certain that the
    /// tracker still knows it, so another is asked for; that the id is over asks for one too.
    fn repeat(&mut self, now: Instant, key: QuestionKey) {
        let Some(asked) = self.questions.get_mut(&key) else {
            return;
        };
        let line = self.lines.entry(asked.tracker).or_default();
        if line.is_older_than(asked) {
            line.id = None;
        }
        let (Some(id), Some(sent)) = (line.good_id(now), asked.sent) else {
            return self.proceed(now, key);
        };
        // With the same mark: the answer to the first may still be under way.
        asked.sent = Some(Sent::new(sent.transaction.0, sent.repeats + 1, now));
        let packet = asked.question.packet(id, sent.transaction);
        let to = asked.tracker;
        self.outputs.push_back(Output::Send { to, packet });
    }

    fn repeat_connect(&mut self, now: Instant, tracker: SocketAddr) {
        let wanted = !self.waiting(tracker).is_empty();
        let Some(line) = self.lines.get_mut(&tracker) else {
            return;
        };
        line.connecting = line
            .connecting
            .filter(|_| wanted)
            .map(|sent| Sent::new(sent.transaction.0, sent.repeats + 1, now));
        if let Some(sent) = line.connecting {
            let packet = packet::connect_request(sent.transaction).to_vec();
            let to = tracker;
            self.outputs.push_back(Output::Send { to, packet });
        }
    }

    /// The questions that wait for a connection id.
    fn waiting(&self, tracker: SocketAddr) -> Vec<QuestionKey> {
        let questions = self.questions.iter();
        questions
            .filter(|(_, asked)| asked.tracker == tracker && asked.sent.is_none())
            .map(|(&key, _)| key)
            .collect()
    }

    fn done(&mut self, key: QuestionKey, result: Result<Answer, TrackerError>) {
        if self.questions.remove(&key).is_some() {
            self.outputs.push_back(Output::Done { key, result });
        }
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("questions", &self.questions)
            .field("lines", &self.lines)
            .finish_non_exhaustive()
    }
}

impl Line {
    /// An id may be used for a minute. Source: BEP 15.
    fn good_id(&self, now: Instant) -> Option<ConnectionId> {
        let (id, since) = self.id?;
        (now < since + limits::CONNECTION_ID_MAX).then_some(id)
    }

    fn is_older_than(&self, asked: &Asked) -> bool {
        self.id.is_some_and(|(_, since)| since < asked.begun)
    }

    fn is_of_use(&self, now: Instant) -> bool {
        self.connecting.is_some() || self.good_id(now).is_some()
    }
}

impl Asked {
    fn give_up(&self) -> Instant {
        self.begun + limits::UDP_EXCHANGE_MAX
    }
}

impl Sent {
    fn new(mark: u32, repeats: u32, now: Instant) -> Self {
        let doublings = repeats.min(limits::UDP_DOUBLINGS_MAX);
        Self {
            transaction: TransactionId(mark),
            repeats,
            due: now + limits::UDP_RETRY * (1 << doublings),
        }
    }
}

impl Question {
    fn packet(&self, connection: ConnectionId, transaction: TransactionId) -> Vec<u8> {
        match self {
            Self::Announce { request, url } => {
                packet::announce_request(connection, transaction, request, url)
            }
            Self::Scrape(hashes) => packet::scrape_request(connection, transaction, hashes),
        }
    }
}

/// An address without what only the sender's system knows of it: flow and scope.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port())
}

#[cfg(test)]
mod tests;
