//! One connection whose requests tide answers: heads in, answers out. RFC 9112.
//!
//! Heads are read here, bounded in bytes and time, since the codec beneath tide refuses HTTP/1.0
//! and requests without `Host`, loses pipelined ones, and panics at a header beyond ASCII. Each
//! answer leaves in one write: two would meet Nagle's algorithm and delayed acknowledgement, 40 ms
//! a time.

use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use async_h1::server::Encoder;
use async_std::channel::Receiver;
use futures_lite::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, FutureExt as _};
use tide::StatusCode;
use tide::http::{Method, Response};

use super::app::{Asked, plain};
use super::http::Clerk;
use super::paths::url;
use crate::http::head::{self, Head, RequestLine};
use crate::limits;

/// Who answers on a connection, and within which bounds.
#[derive(Debug)]
pub(super) struct Desk<T: Clone + Send + Sync + 'static> {
    pub(super) app: tide::Server<T>,
    /// Answers announces and scrapes before tide sees them.
    pub(super) clerk: Option<Clerk>,
    /// Bytes of a request's body; 0 refuses all bodies.
    pub(super) body_max: usize,
    /// Requests that may come.
    pub(super) requests: usize,
    /// Closed when the server is to stop: what was asked until then is answered.
    pub(super) stopped: Receiver<()>,
}

/// Answers requests until the other end closes, a limit is passed, or it asks for what it must not.
/// `heard` is called at each request.
pub(super) async fn serve<S, T>(
    mut stream: S,
    peer: SocketAddr,
    mut desk: Desk<T>,
    mut heard: impl FnMut(),
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: Clone + Send + Sync + 'static,
{
    let mut buffer = Vec::new();
    for left in (0..desk.requests).rev() {
        let (response, keep) = match read_head(&mut stream, &mut buffer, &desk.stopped).await? {
            Read::Closed => return Ok(()),
            Read::Stopped => break,
            Read::TooLong => (refuse(StatusCode::RequestHeaderFieldsTooLarge).await, false),
            Read::Head(end) => {
                heard();
                let may_stay = left > 0 && !desk.stopped.is_closed();
                desk.answer(&mut stream, peer, &mut buffer, end, may_stay)
                    .await?
            }
        };
        let write = async {
            stream.write_all(&response).await?;
            stream.flush().await
        };
        async_std::io::timeout(limits::HEAD_MAX, write).await?;
        if !keep {
            break;
        }
    }
    close(stream).await
}

enum Read {
    /// Up to this offset.
    Head(usize),
    Closed,
    /// Nothing was asked when the server was to stop.
    Stopped,
    TooLong,
}

async fn read_head(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    stopped: &Receiver<()>,
) -> io::Result<Read> {
    let mut chunk = [0; 2_048];
    let mut deadline = None;
    loop {
        if let Some(end) = head::end(buffer) {
            return Ok(Read::Head(end));
        }
        if buffer.len() >= limits::HEAD_BYTES_MAX {
            return Ok(Read::TooLong);
        }
        let limit = if buffer.is_empty() {
            limits::IDLE_MAX
        } else {
            // One limit for the whole head, not for each of its bytes.
            let now = Instant::now();
            deadline
                .get_or_insert(now + limits::HEAD_MAX)
                .saturating_duration_since(now)
        };
        let is_idle = buffer.is_empty();
        let read = async { stream.read(&mut chunk).await.map(Some) };
        let stop = async {
            // Whoever is in the middle of a head may end it.
            if !is_idle {
                std::future::pending::<()>().await;
            }
            let _ = stopped.recv().await;
            Ok(None)
        };
        let count = match async_std::io::timeout(limit, read.or(stop)).await? {
            None => return Ok(Read::Stopped),
            Some(0) => return Ok(Read::Closed),
            Some(count) => count,
        };
        buffer.extend_from_slice(&chunk[..count]);
    }
}

impl<T: Clone + Send + Sync + 'static> Desk<T> {
    /// Takes a request off the buffer. The bytes of the answer, and whether the connection stays:
    /// if it may, and the peer wants it.
    async fn answer(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        peer: SocketAddr,
        buffer: &mut Vec<u8>,
        end: usize,
        may_stay: bool,
    ) -> io::Result<(Vec<u8>, bool)> {
        if let Some(clerk) = &mut self.clerk {
            let mut out = Vec::new();
            if let Some(keep) = clerk.answer_alone(&buffer[..end], peer, may_stay, &mut out) {
                buffer.drain(..end);
                return Ok((out, keep));
            }
        }
        let mut body = buffer.split_off(end);
        let head = Head::new(buffer);
        let length = match body_length(&head, self.body_max) {
            Ok(length) => length,
            Err(status) => return Ok((refuse(status).await, false)),
        };
        let complete = read_body(stream, &mut body, length);
        async_std::io::timeout(limits::HEAD_MAX, complete).await?;
        let next = body.split_off(length);
        let answer = self.respond(&head, peer, body, may_stay).await;
        *buffer = next;
        Ok(answer)
    }

    async fn respond(
        &self,
        head: &Head<'_>,
        peer: SocketAddr,
        body: Vec<u8>,
        may_stay: bool,
    ) -> (Vec<u8>, bool) {
        let Some(line) = RequestLine::parse(head.start) else {
            return (refuse(StatusCode::BadRequest).await, false);
        };
        let method = std::str::from_utf8(line.method).ok();
        let Some(method) = method.and_then(|method| method.parse::<Method>().ok()) else {
            return (refuse(StatusCode::NotImplemented).await, false);
        };
        // To route by; the host does not matter, and the query travels beside it.
        let url = url(&String::from_utf8_lossy(line.path));
        let mut request = tide::http::Request::new(method, url);
        request.ext_mut().insert(Asked::new(head, &line, peer));
        request.set_body(body);
        // A bug in a handler costs its own answer, not the server.
        let response = AssertUnwindSafe(self.app.respond::<_, Response>(request))
            .catch_unwind()
            .await;
        let mut response = match response {
            Ok(Ok(response)) => response,
            Ok(Err(_)) | Err(_) => plain(
                StatusCode::InternalServerError,
                "The tracker has a bug.\n".to_owned(),
            )
            .into(),
        };
        let keep = may_stay && keeps(head, line.version);
        response.insert_header("connection", if keep { "keep-alive" } else { "close" });
        (encode(response, method).await, keep)
    }
}

/// How long the body is, if it may be so long.
fn body_length(head: &Head<'_>, max: usize) -> Result<usize, StatusCode> {
    if head.field("transfer-encoding").is_some() {
        return Err(StatusCode::LengthRequired);
    }
    let mut lengths = head
        .fields()
        .filter(|(name, _)| name.eq_ignore_ascii_case(b"content-length"));
    let Some((_, length)) = lengths.next() else {
        return Ok(0);
    };
    // Two lengths are two opinions of where the next request begins.
    if lengths.next().is_some() || !length.iter().all(u8::is_ascii_digit) {
        return Err(StatusCode::BadRequest);
    }
    let length = std::str::from_utf8(length).ok();
    let length = length.and_then(|length| length.parse::<usize>().ok());
    let fits = length.filter(|length| *length <= max);
    fits.ok_or(StatusCode::PayloadTooLarge)
}

/// Reads until there are so many bytes; there may be more already.
async fn read_body(
    stream: &mut (impl AsyncRead + Unpin),
    body: &mut Vec<u8>,
    length: usize,
) -> io::Result<()> {
    let mut chunk = [0; 8_192];
    while body.len() < length {
        match stream.read(&mut chunk).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => body.extend_from_slice(&chunk[..count]),
        }
    }
    Ok(())
}

/// Source: RFC 9112, section 9.3.
fn keeps(head: &Head<'_>, version: &[u8]) -> bool {
    let field = head.field("connection").unwrap_or_default();
    let says = |word: &[u8]| {
        field
            .split(|&byte| byte == b',')
            .any(|option| option.trim_ascii().eq_ignore_ascii_case(word))
    };
    if version == b"HTTP/1.1" {
        !says(b"close")
    } else {
        says(b"keep-alive")
    }
}

async fn refuse(status: StatusCode) -> Vec<u8> {
    let text = format!(
        "{}: here one asks with a plain GET, or with a short body and its Content-Length.\n",
        status.canonical_reason()
    );
    let mut response: Response = plain(status, text).into();
    response.insert_header("connection", "close");
    encode(response, Method::Get).await
}

async fn encode(response: Response, method: Method) -> Vec<u8> {
    let mut out = Vec::with_capacity(512 + response.len().unwrap_or(0));
    let encoded = Encoder::new(response, method).read_to_end(&mut out).await;
    encoded.expect("a body in memory can be read");
    out
}

/// Lets the answer arrive: closing with unread input would reset the connection and lose it.
async fn close(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let drain = async {
        stream.close().await?;
        let mut chunk = [0; 2_048];
        for _ in 0..16 {
            if stream.read(&mut chunk).await? == 0 {
                break;
            }
        }
        Ok(())
    };
    async_std::io::timeout(Duration::from_secs(1), drain).await
}
