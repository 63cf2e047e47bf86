//! The load over HTTP: many connections, one announce under way on each. BEP 3.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use fastrand::Rng;
use rustix::event::epoll;
use shoal_tracker::http::head::{self, Head};
use shoal_tracker::http::{query, response};

use crate::swarms::Peer;
use crate::{Options, Outcome, Pace};

/// One connection, and the announce that is under way on it.
struct Line {
    stream: Option<TcpStream>,
    peer: Peer,
    asked: Instant,
    answer: Vec<u8>,
}

struct Load<'o> {
    options: &'o Options,
    first: bool,
    keep: bool,
    epoll: std::os::fd::OwnedFd,
    lines: Vec<Option<Line>>,
    outcome: Outcome,
    rng: Rng,
    next: u64,
}

/// Announces until the pace is over; on kept connections, or each on one of its own.
pub(crate) fn run(options: &Options, pace: &mut Pace, first: bool, keep: bool) -> Outcome {
    let mut load = Load {
        options,
        first,
        keep,
        epoll: epoll::create(epoll::CreateFlags::empty()).expect("an epoll"),
        lines: (0..options.window.min(64)).map(|_| None).collect(),
        outcome: Outcome::default(),
        rng: Rng::with_seed(1),
        next: 0,
    };
    let mut idle: Vec<usize> = (0..load.lines.len()).collect();
    let mut events = Vec::with_capacity(64);
    while !pace.is_over() || idle.len() < load.lines.len() {
        while !idle.is_empty() && pace.due() {
            load.ask(idle.pop().expect("looked at above"));
        }
        events.clear();
        let no_time = rustix::event::Timespec::default();
        let buffer = rustix::buffer::spare_capacity(&mut events);
        epoll::wait(&load.epoll, buffer, Some(&no_time)).expect("an epoll");
        for event in &events {
            let place = usize::try_from(event.data.u64()).expect("a place");
            if load.take(place) {
                idle.push(place);
            }
        }
    }
    load.outcome
}

impl Load<'_> {
    fn ask(&mut self, place: usize) {
        let peer = if self.first {
            self.next += 1;
            self.options.swarms.nth(self.next - 1)
        } else {
            self.options.swarms.any(&mut self.rng)
        };
        let request = self.options.swarms.request(peer, self.first);
        let target = query::announce_url("/announce", &request);
        let host = self.options.address;
        let connection = if self.keep {
            ""
        } else {
            "Connection: close\r\n"
        };
        let head = format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: load/1\r\n\
             Accept-Encoding: identity\r\n{connection}\r\n"
        );
        let asked = Instant::now();
        let old = self.lines[place].take();
        let kept = old.and_then(|line| line.stream);
        let mut stream = kept.unwrap_or_else(|| self.connect(place));
        stream
            .write_all(head.as_bytes())
            .expect("the tracker reads");
        self.lines[place] = Some(Line {
            stream: Some(stream),
            peer,
            asked,
            answer: Vec::with_capacity(1_024),
        });
    }

    fn connect(&self, place: usize) -> TcpStream {
        let stream = TcpStream::connect(self.options.address).expect("the tracker listens");
        stream.set_nonblocking(true).expect("a socket");
        stream.set_nodelay(true).expect("a socket");
        let data = epoll::EventData::new_u64(place as u64);
        epoll::add(&self.epoll, &stream, data, epoll::EventFlags::IN).expect("an epoll");
        stream
    }

    /// Takes what has come; whether that was the whole answer.
    fn take(&mut self, place: usize) -> bool {
        let Some(line) = &mut self.lines[place] else {
            return false;
        };
        let Some(stream) = &mut line.stream else {
            return false;
        };
        let mut chunk = [0; 4_096];
        let ended = match stream.read(&mut chunk) {
            Ok(0) => true,
            Ok(count) => {
                line.answer.extend_from_slice(&chunk[..count]);
                false
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(_) => true,
        };
        let body = body(&line.answer);
        let whole = if self.keep { body.is_some() } else { ended };
        if !whole && !ended {
            return false;
        }
        // A tracker serves so many requests a connection, and says which is the last.
        let is_last = head::end(&line.answer).is_some_and(|end| says_close(&line.answer[..end]));
        let text = || String::from_utf8_lossy(&line.answer).into_owned();
        let checked = body.ok_or_else(text).and_then(|body| {
            let answer = response::parse_announce(body).map_err(|error| error.to_string())?;
            if self.first {
                return Ok(());
            }
            self.options.swarms.check(line.peer, &answer)
        });
        self.outcome.count(checked, line.asked);
        if ended || is_last || !self.keep {
            line.stream = None;
        }
        true
    }
}

/// Whether the connection ends with this answer.
fn says_close(head: &[u8]) -> bool {
    let field = Head::new(head).field("connection");
    field.is_some_and(|options| options.eq_ignore_ascii_case(b"close"))
}

/// The body, when it is whole.
fn body(answer: &[u8]) -> Option<&[u8]> {
    let end = head::end(answer)?;
    let length = Head::new(&answer[..end]).field("content-length")?;
    let length: usize = std::str::from_utf8(length).ok()?.parse().ok()?;
    answer.get(end..end + length)
}
