//! One connection of the loop: bytes in, answers out, each answer in one write. RFC 9112.
//!
//! ```text
//! reading ──a head──▶ answered ──written──▶ reading
//!    │                    └─partly written─▶ writing ──written──▶ reading, or the end
//!    ├─ not ours, or TLS ──▶ a task with tide
//!    └─ too long, or the last answer with more behind it ──▶ lingering ──▶ the end
//! ```

use std::io::{self, ErrorKind, Read as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::{SendFlags, send};

use super::super::guests::Place;
use super::super::tls;
use super::clerk::{Clerk, Next, refuse};
use crate::http::head;
use crate::limits;

/// A connection, and what of it waits.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) place: Place,
    /// A head that has begun, or requests behind one whose answer waits.
    pub(super) input: Vec<u8>,
    /// Answers that the socket did not take yet.
    pub(super) output: Vec<u8>,
    /// Requests that may still come.
    pub(super) left: usize,
    /// When it has to have done what it is at.
    pub(super) deadline: Instant,
    /// Whether the last read took all that the chunk holds, so that there may be more.
    full: bool,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Reading,
    /// What is behind the last answer is not read; bytes of it may still come.
    Ending,
    /// Everything is said; what comes is thrown away, so that the last answer arrives.
    Lingering {
        bytes: usize,
    },
}

/// What the loop has to do with the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// Tell it when there is something to read.
    Read,
    /// Tell it when there is room to write.
    Write,
    /// Give it to tide.
    HandOver,
    /// Close it.
    Close,
}

impl Line {
    pub(super) fn new(stream: TcpStream, peer: SocketAddr, place: Place, now: Instant) -> Self {
        Self {
            stream,
            peer,
            place,
            input: Vec::new(),
            output: Vec::new(),
            left: limits::REQUESTS_PER_CONNECTION_MAX,
            deadline: now + limits::IDLE_MAX,
            full: false,
            phase: Phase::Reading,
        }
    }

    /// Reads until nothing more is there: an edge is told once. Of one that sends and sends only
    /// so much, `None` then.
    pub(super) fn read_all(
        &mut self,
        clerk: &mut Clerk,
        chunk: &mut [u8],
        now: Instant,
        hung_up: bool,
    ) -> Option<Wish> {
        for _ in 0..limits::READS_AT_ONCE {
            let wish = self.read(clerk, chunk, now);
            if wish != Wish::Read || !(self.full || hung_up) {
                return Some(wish);
            }
        }
        None
    }

    /// Reads once, and answers whatever is whole.
    pub(super) fn read(&mut self, clerk: &mut Clerk, chunk: &mut [u8], now: Instant) -> Wish {
        self.full = false;
        let count = match self.stream.read(chunk) {
            Ok(0) => return Wish::Close,
            Ok(count) => count,
            Err(error) if is_later(&error) => return Wish::Read,
            Err(_) => return Wish::Close,
        };
        self.full = count == chunk.len();
        if let Phase::Lingering { bytes } = &mut self.phase {
            *bytes += count;
            let enough = *bytes > limits::LINGER_BYTES_MAX;
            return if enough { Wish::Close } else { Wish::Read };
        }
        let is_first = self.input.is_empty() && self.left == limits::REQUESTS_PER_CONNECTION_MAX;
        if is_first && chunk[0] == tls::HANDSHAKE && clerk.speaks_tls() {
            self.input = chunk[..count].to_vec();
            return Wish::HandOver;
        }
        if self.input.is_empty() {
            // Answered where it lies: nothing is kept of a request that came whole.
            self.deadline = now + limits::HEAD_MAX;
            let end = self.answer(&chunk[..count], clerk);
            let rest = chunk[end..count].to_vec();
            return self.proceed(rest, clerk, now);
        }
        let mut bytes = std::mem::take(&mut self.input);
        bytes.extend_from_slice(&chunk[..count]);
        let end = self.answer(&bytes, clerk);
        if end > 0 {
            // What is left is another head, which has its own time.
            bytes.drain(..end);
            self.deadline = now + limits::HEAD_MAX;
        }
        self.proceed(bytes, clerk, now)
    }

    /// Whether nothing is asked of us or waits to be said.
    pub(super) fn is_idle(&self) -> bool {
        self.phase == Phase::Reading && self.input.is_empty() && self.output.is_empty()
    }

    /// Writes what waits, and goes on with what was asked meanwhile.
    pub(super) fn write(&mut self, clerk: &mut Clerk, now: Instant) -> Wish {
        let rest = std::mem::take(&mut self.input);
        self.full = true;
        self.proceed(rest, clerk, now)
    }

    /// Answers requests from the front of `bytes` until one is not whole or enough waits; returns
    /// where the rest begins.
    fn answer(&mut self, bytes: &[u8], clerk: &mut Clerk) -> usize {
        let mut at = 0;
        while self.phase == Phase::Reading && self.output.len() < limits::OUTPUT_BYTES_MAX {
            let rest = &bytes[at..];
            let Some(end) = head::end(rest) else {
                if rest.len() >= limits::HEAD_BYTES_MAX {
                    refuse("431 Request Header Fields Too Large", &mut self.output);
                    self.phase = Phase::Ending;
                }
                break;
            };
            if end > limits::HEAD_BYTES_MAX {
                refuse("431 Request Header Fields Too Large", &mut self.output);
                self.phase = Phase::Ending;
                break;
            }
            self.place.heard();
            let (head, may_stay) = (&rest[..end], self.left > 1);
            match clerk.answer(head, self.peer, may_stay, &mut self.output) {
                Next::Keep => self.left -= 1,
                Next::Close => self.phase = Phase::Ending,
                Next::Elsewhere => break,
            }
            at += end;
        }
        at
    }

    /// Writes, answers the rest, and says what to wait for.
    fn proceed(&mut self, mut rest: Vec<u8>, clerk: &mut Clerk, now: Instant) -> Wish {
        loop {
            let last = self.phase == Phase::Ending && rest.is_empty() && !self.full;
            match self.flush(last) {
                Ok(true) => {}
                Ok(false) => {
                    self.deadline = now + limits::HEAD_MAX;
                    self.input = rest;
                    return Wish::Write;
                }
                Err(_) => return Wish::Close,
            }
            match self.phase {
                Phase::Ending if last => return Wish::Close,
                Phase::Ending => return self.linger(now),
                Phase::Lingering { .. } => return Wish::Read,
                Phase::Reading => {}
            }
            let whole = head::end(&rest).is_some();
            if !whole {
                if rest.is_empty() {
                    self.deadline = now + limits::IDLE_MAX;
                }
                self.input = rest;
                return Wish::Read;
            }
            let end = self.answer(&rest, clerk);
            if end == 0 && self.phase == Phase::Reading {
                self.input = rest;
                return Wish::HandOver;
            }
            rest.drain(..end);
        }
    }

    /// Writes as much as the socket takes; whether that was all. What is closed right after waits
    /// for that: the answer and the end of the connection are one segment then.
    fn flush(&mut self, last: bool) -> io::Result<bool> {
        let flags = if last {
            SendFlags::NOSIGNAL | SendFlags::MORE
        } else {
            SendFlags::NOSIGNAL
        };
        let mut written = 0;
        while written < self.output.len() {
            match send(&self.stream, &self.output[written..], flags) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(Errno::AGAIN | Errno::INTR) => break,
                Err(error) => return Err(error.into()),
            }
        }
        self.output.drain(..written);
        Ok(self.output.is_empty())
    }

    /// Lets the last answer arrive: closing with unread input would reset the connection.
    fn linger(&mut self, now: Instant) -> Wish {
        if self.stream.shutdown(Shutdown::Write).is_err() {
            return Wish::Close;
        }
        self.deadline = now + limits::LINGER_MAX;
        self.phase = Phase::Lingering { bytes: 0 };
        Wish::Read
    }
}

fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
