//! Byte ranges of files on web servers, for web seeds. BEP 17, 19; RFC 9110 section 14, RFC 9112.
//!
//! A [`Line`] is one kept connection to one server: questions are written ahead of their answers,
//! and answers come in order. A web seed's URL is a stranger's like a tracker's, so every address
//! is judged before it is connected to, and a body is read only as far as it was asked for. Knows
//! neither pieces nor files: what the bytes are worth is found out by hashing them.

mod body;
mod error;

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_std::future::timeout;
use futures_lite::AsyncWriteExt as _;
use surf::http::Url;

use super::address::{Purpose, Reach};
use super::connector::{Connector, USER_AGENT, follow};
use super::target;
use crate::http::head::{self, Head};
use crate::limits;
use crate::text::printable;
use body::{Body, Source};
pub use error::WebError;

/// Opens [`Line`]s. A clone shares the threads that look names up.
#[derive(Clone, Debug)]
pub struct Web {
    connector: Arc<Connector>,
}

impl Web {
    pub(super) fn new(connector: Connector) -> Self {
        let connector = Arc::new(connector);
        Self { connector }
    }

    /// Connects to the server of a URL. `redirected` is where the answer that led there came from,
    /// if one did: the internet must not lead into a private network.
    ///
    /// # Errors
    /// [`WebError`], by cause.
    pub async fn open(&self, url: &str, redirected: Option<Whence>) -> Result<Line, WebError> {
        let url = parse(url)?;
        let from = redirected.map(|Whence(reach)| reach);
        let query = url.query().is_some();
        let purpose = Purpose::WebSeed { query };
        let line = timeout(
            limits::WEB_SILENCE_MAX,
            self.connector.connect(&url, purpose, from),
        )
        .await
        .map_err(|_| WebError::Silent)??;
        // Once on the internet, always: a second redirect does not wash that off.
        let reach = from
            .filter(|from| *from == Reach::Global)
            .unwrap_or(line.reach);
        Ok(Line {
            source: Source::new(line.stream),
            origin: Origin::of(&url),
            address: line.address,
            reach,
            asked: VecDeque::new(),
            body: Body::NONE,
            answered: false,
            last: false,
        })
    }
}

/// What two URLs have in common that one connection serves.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    fn of(url: &Url) -> Self {
        Self {
            scheme: url.scheme().to_owned(),
            host: url.host_str().unwrap_or_default().to_owned(),
            port: url.port_or_known_default().unwrap_or(0),
        }
    }
}

/// Where an answer came from: how far away its server is, with all that led to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whence(Reach);

/// One connection to a web server.
pub struct Line {
    source: Source,
    origin: Origin,
    address: SocketAddr,
    reach: Reach,
    /// Questions without an answer.
    asked: VecDeque<Url>,
    body: Body,
    answered: bool,
    /// The server closes behind this answer.
    last: bool,
}

/// The head of an answer; [`Line::read`] gives its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// 206: these bytes of a file of so many.
    Part {
        /// Offsets in the file, bytes.
        range: Range<u64>,
        /// The length of the file, if the server tells it.
        total: Option<u64>,
    },
    /// 200: the whole file, of so many bytes, if the server tells it.
    Whole {
        /// Bytes.
        length: Option<u64>,
    },
    /// The file is at another URL. There is no body to read: open a new line.
    Moved(String),
}

impl Line {
    /// The address that the server was found at.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its answers come from.
    #[must_use]
    pub fn whence(&self) -> Whence {
        Whence(self.reach)
    }

    /// Whether the server has answered on it and said that it stays.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.answered && !self.last
    }

    /// Whether a URL may be asked for on this line.
    #[must_use]
    pub fn serves(&self, url: &str) -> bool {
        !self.last && parse(url).is_ok_and(|url| Origin::of(&url) == self.origin)
    }

    /// Asks for bytes of the file at a URL, or for all there is at it; several questions may be
    /// under way.
    ///
    /// # Errors
    /// [`WebError`] when the connection is broken.
    pub async fn ask(&mut self, url: &str, range: Option<&Range<u64>>) -> Result<(), WebError> {
        let url = parse(url)?;
        let request = request(&url, range);
        self.asked.push_back(url);
        let stream = self.source.stream();
        let write = async {
            stream.write_all(request.as_bytes()).await?;
            stream.flush().await
        };
        let written = timeout(limits::WEB_SILENCE_MAX, write).await;
        written.map_err(|_| WebError::Silent)?.map_err(broken)
    }

    /// The head of the next answer. The body of the last one must have been read to its end.
    ///
    /// # Errors
    /// [`WebError`]; after any of them the line is of no more use.
    pub async fn answer(&mut self) -> Result<Answer, WebError> {
        assert!(self.body.is_read(), "a body is read before the next answer");
        let asked = self.asked.pop_front();
        let asked = asked.expect("a question comes before its answer");
        if self.last {
            return Err(WebError::Closed);
        }
        let bytes = self.source.head().await?;
        let head = Head::new(&bytes);
        let code = head::status(head.start).ok_or_else(|| http("it has no status"))?;
        self.answered = true;
        self.last = closes(&head);
        match code {
            200 | 206 => {}
            301 | 302 | 303 | 307 | 308 => {
                self.last = true;
                let to = head.field("location").ok_or(WebError::Status { code })?;
                let to = follow(&asked, to).map_err(WebError::Line)?;
                return Ok(Answer::Moved(to.into()));
            }
            416 => return Err(WebError::NotThere),
            429 | 503 => {
                let after = head.field("retry-after").and_then(seconds);
                return Err(WebError::Busy { after });
            }
            code => return Err(WebError::Status { code }),
        }
        self.body = Body::of(&head)?;
        if code == 200 {
            let length = self.body.length();
            return Ok(Answer::Whole { length });
        }
        let (range, total) = head
            .field("content-range")
            .and_then(content_range)
            .ok_or_else(|| http("it does not say which bytes it has"))?;
        if self
            .body
            .length()
            .is_some_and(|length| length != range.end - range.start)
        {
            return Err(http("its length is not that of its range"));
        }
        Ok(Answer::Part { range, total })
    }

    /// Reads some of the body of the last answer; 0 when it has come to its end.
    ///
    /// # Errors
    /// [`WebError`] when the connection broke, or nothing came for too long.
    pub async fn read(&mut self, out: &mut [u8]) -> Result<usize, WebError> {
        self.body.read(&mut self.source, out).await
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Line");
        debug.field("origin", &self.origin).finish_non_exhaustive()
    }
}

fn parse(text: &str) -> Result<Url, WebError> {
    target::web(text).map_err(WebError::Line)
}

/// The bytes of a question, to leave in one write.
fn request(url: &Url, range: Option<&Range<u64>>) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    let query = url
        .query()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    let range = range
        .map(|range| format!("Range: bytes={}-{}\r\n", range.start, range.end - 1))
        .unwrap_or_default();
    let path = url.path();
    format!(
        "GET {path}{query} HTTP/1.1\r\nHost: {host}{port}\r\n{range}User-Agent: {USER_AGENT}\r\n\
         Accept: */*\r\nAccept-Encoding: identity\r\n\r\n"
    )
}

/// Whether the connection ends behind this answer. RFC 9112, section 9.3.
fn closes(head: &Head<'_>) -> bool {
    let says = |word: &str| {
        let value = head.field("connection").unwrap_or_default();
        value
            .split(|&byte| byte == b',')
            .any(|part| part.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
    };
    says("close") || (head.start.starts_with(b"HTTP/1.0") && !says("keep-alive"))
}

/// `bytes 0-99/200` or `bytes 0-99/*`. RFC 9110, section 14.4.
fn content_range(value: &[u8]) -> Option<(Range<u64>, Option<u64>)> {
    let value = std::str::from_utf8(value).ok()?;
    let (range, total) = value.strip_prefix("bytes")?.trim_start().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    let total = match total {
        "*" => None,
        total => Some(total.parse().ok()?),
    };
    let sound = first <= last && total.is_none_or(|total| last < total);
    sound.then(|| (first..last.saturating_add(1), total))
}

fn seconds(value: &[u8]) -> Option<Duration> {
    let seconds = std::str::from_utf8(value).ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn http(reason: &str) -> WebError {
    WebError::Http {
        reason: reason.to_owned(),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of map_err")]
fn broken(error: std::io::Error) -> WebError {
    http(&printable(
        format!("the connection broke ({error})").as_bytes(),
    ))
}

#[cfg(test)]
mod tests;
