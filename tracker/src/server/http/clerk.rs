//! Announces and scrapes answered from their bytes. BEP 3 "trackers", BEP 48, RFC 9112.
//!
//! A head in, an answer out, without a request or response object between them. Whatever is not a
//! plain GET of a path to announce or scrape at is left to tide. Knows no sockets.

use std::io::Write as _;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::super::Shared;
use super::super::counters::Counts;
use super::super::paths::{Place, even};
use crate::http::head::{Head, RequestLine};
use crate::http::response::push_failure;
use crate::registry::Answer;

/// Answers for one thread; its memory is used again for each answer.
#[derive(Debug)]
pub(in crate::server) struct Clerk {
    shared: Arc<Shared>,
    /// Whether it is one of many beside the thread for HTTP.
    of_guest: bool,
    answer: Answer,
    body: Vec<u8>,
}

/// What becomes of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Another request may come.
    Keep,
    /// The answer was the last one.
    Close,
    /// Nothing was answered: that is for tide.
    Elsewhere,
}

/// What of a request's fields matters here.
#[derive(Debug, Default)]
struct Fields<'h> {
    close: bool,
    keep_alive: bool,
    forwarded: Option<&'h [u8]>,
    has_body: bool,
}

impl<'h> Fields<'h> {
    fn read(head: &Head<'h>) -> Self {
        let mut read = Self::default();
        for (name, value) in head.fields() {
            // By length first: most fields are none of these.
            match name.len() {
                10 if name.eq_ignore_ascii_case(b"connection") => {
                    for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                        read.close |= option.eq_ignore_ascii_case(b"close");
                        read.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                    }
                }
                14 if name.eq_ignore_ascii_case(b"content-length") => {
                    read.has_body |= value != b"0";
                }
                15 if name.eq_ignore_ascii_case(b"x-forwarded-for") => {
                    read.forwarded = Some(value);
                }
                17 if name.eq_ignore_ascii_case(b"transfer-encoding") => read.has_body = true,
                _ => {}
            }
        }
        read
    }
}

impl Clerk {
    pub(super) fn new(shared: Arc<Shared>, of_guest: bool) -> Self {
        Self {
            shared,
            of_guest,
            answer: Answer::default(),
            body: Vec::new(),
        }
    }

    /// Whether a connection may begin with a TLS handshake.
    pub(super) fn speaks_tls(&self) -> bool {
        self.shared.front.tls.is_some()
    }

    /// As [`Clerk::answer`]: whether the connection stays, if there was an answer.
    pub(in crate::server) fn answer_alone(
        &mut self,
        head: &[u8],
        peer: SocketAddr,
        may_stay: bool,
        out: &mut Vec<u8>,
    ) -> Option<bool> {
        match self.answer(head, peer, may_stay, out) {
            Next::Keep => Some(true),
            Next::Close => Some(false),
            Next::Elsewhere => None,
        }
    }

    /// Appends the answer to a request; the connection stays if it may and the peer wants it.
    pub(super) fn answer(
        &mut self,
        head: &[u8],
        peer: SocketAddr,
        may_stay: bool,
        out: &mut Vec<u8>,
    ) -> Next {
        let head = Head::new(head);
        let Some(line) = RequestLine::parse(head.start).filter(|line| line.method == b"GET") else {
            return Next::Elsewhere;
        };
        let path = std::str::from_utf8(line.path).ok().map(even);
        let place = path.as_deref().and_then(|path| self.shared.place(path));
        let Some((place, key)) = place else {
            return Next::Elsewhere;
        };
        let fields = Fields::read(&head);
        let is_full = place == Place::Scrape && self.shared.front.is_full_scrape(line.query);
        if fields.has_body || is_full {
            return Next::Elsewhere;
        }
        // Source: RFC 9112, section 9.3.
        let stays = if line.version == b"HTTP/1.1" {
            !fields.close
        } else {
            fields.keep_alive
        };
        let next = if stays && may_stay {
            Next::Keep
        } else {
            Next::Close
        };
        self.body.clear();
        let (shared, answer, body) = (&self.shared, &mut self.answer, &mut self.body);
        // A bug costs its own answer, not the server.
        let answered = catch_unwind(AssertUnwindSafe(|| {
            let ip = shared.ip(peer, fields.forwarded)?;
            match place {
                Place::Announce => shared.announce(line.query, key, ip, answer, body),
                Place::Scrape => shared.scrape(line.query, key, body),
            }
        }));
        let status = match &answered {
            Ok(Ok(())) => "200 OK",
            Ok(Err(reason)) => {
                self.body.clear();
                push_failure(&mut self.body, reason);
                "200 OK"
            }
            Err(_) => {
                self.body.clear();
                self.body.extend_from_slice(b"The tracker has a bug.\n");
                "500 Internal Server Error"
            }
        };
        push_response(out, status, next == Next::Keep, &self.body);
        let counters = &self.shared.front.counters;
        let counter = if self.of_guest {
            &counters.guests
        } else {
            &counters.http
        };
        counter.add(Counts::of(place, matches!(answered, Ok(Ok(())))));
        next
    }
}

/// A refusal of what is no request, or too long for one.
pub(super) fn refuse(status: &str, out: &mut Vec<u8>) {
    let body = format!("{status}: this tracker takes a plain GET.\n");
    push_response(out, status, false, body.as_bytes());
}

fn push_response(out: &mut Vec<u8>, status: &str, keep: bool, body: &[u8]) {
    out.reserve(128 + body.len());
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_bytes());
    out.extend_from_slice(b"\r\ncontent-type: text/plain\r\ncontent-length: ");
    write!(out, "{}", body.len()).expect("a Vec takes every write");
    let connection: &[u8] = if keep {
        b"\r\nconnection: keep-alive\r\n\r\n"
    } else {
        b"\r\nconnection: close\r\n\r\n"
    };
    out.extend_from_slice(connection);
    out.extend_from_slice(body);
}
