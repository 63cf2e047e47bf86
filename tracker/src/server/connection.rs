//! One connection whose requests tide answers: heads in, answers out. RFC 9112.
//!
//! Heads are read here, bounded in bytes and time, since the codec beneath tide refuses HTTP/1.0
//! and requests without `Host`, loses pipelined ones, and panics at a header beyond ASCII. Each
//! answer leaves in one write: two would meet Nagle's algorithm and delayed acknowledgement, 40 ms
//! a time.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_h1::server::Encoder;
use async_std::net::TcpStream;
use futures_lite::{AsyncReadExt as _, AsyncWriteExt as _, FutureExt as _};
use tide::StatusCode;
use tide::http::{Method, Response};

use super::Shared;
use super::app::{Asked, plain};
use super::paths::url;
use crate::http::head::{self, Head, RequestLine};
use crate::limits;

type App = tide::Server<Arc<Shared>>;

/// Answers requests until the other end closes, a limit is passed, or it asks for what it must not.
/// `buffer` is what was read before, `requests` how many may come, and `heard` is called at each.
pub(super) async fn serve(
    mut stream: TcpStream,
    peer: SocketAddr,
    app: &App,
    mut buffer: Vec<u8>,
    requests: usize,
    mut heard: impl FnMut(),
) -> io::Result<()> {
    for left in (0..requests).rev() {
        let (response, keep) = match read_head(&mut stream, &mut buffer).await? {
            Read::Closed => return Ok(()),
            Read::TooLong => (refuse(StatusCode::RequestHeaderFieldsTooLarge).await, false),
            Read::Head(end) => {
                heard();
                let answer = answer(&buffer[..end], peer, app, left > 0).await;
                buffer.drain(..end);
                answer
            }
        };
        async_std::io::timeout(limits::HEAD_MAX, stream.write_all(&response)).await?;
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
    TooLong,
}

async fn read_head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Read> {
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
        let count = async_std::io::timeout(limit, stream.read(&mut chunk)).await?;
        if count == 0 {
            return Ok(Read::Closed);
        }
        buffer.extend_from_slice(&chunk[..count]);
    }
}

/// The bytes of the answer, and whether the connection stays: if it may, and the peer wants it.
async fn answer(head: &[u8], peer: SocketAddr, app: &App, may_stay: bool) -> (Vec<u8>, bool) {
    let head = Head::new(head);
    let Some(line) = RequestLine::parse(head.start) else {
        return (refuse(StatusCode::BadRequest).await, false);
    };
    let length = head.field("content-length").unwrap_or(b"0");
    if length != b"0" || head.field("transfer-encoding").is_some() {
        return (refuse(StatusCode::PayloadTooLarge).await, false);
    }
    let method = std::str::from_utf8(line.method).ok();
    let Some(method) = method.and_then(|method| method.parse::<Method>().ok()) else {
        return (refuse(StatusCode::NotImplemented).await, false);
    };
    // To route by; the host does not matter, and the query travels beside it.
    let url = url(&String::from_utf8_lossy(line.path));
    let mut request = tide::http::Request::new(method, url);
    request.ext_mut().insert(Asked {
        query: line.query.to_vec(),
        peer,
        forwarded: head.field("x-forwarded-for").map(<[u8]>::to_vec),
    });
    // A bug in a handler costs its own answer, not the server.
    let response = AssertUnwindSafe(app.respond::<_, Response>(request))
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
    let keep = may_stay && keeps(&head, line.version);
    response.insert_header("connection", if keep { "keep-alive" } else { "close" });
    (encode(response, method).await, keep)
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
        "{}: this tracker takes a plain GET.\n",
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
async fn close(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    let drain = async {
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
