//! A web server that has files, or does with a request what a test wants. RFC 9112, RFC 9110.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::acceptor::{Acceptor, lock};

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebRequest {
    /// The path, its escapes undone, without the leading slash.
    pub path: String,
    /// What follows the `?`, as it came.
    pub query: String,
    /// The bytes asked for, if not all.
    pub range: Option<Range<usize>>,
}

/// What a [`WebServer`] answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebAnswer {
    /// These bytes, or the range of them that was asked for.
    Content(Vec<u8>),
    /// These bytes, all of them, whatever was asked for.
    Whole(Vec<u8>),
    /// These bytes as HTTP/1.0 sends them, whatever was asked for, then the end of the connection.
    Closing(Vec<u8>),
    /// A status line and fields, each with its end; no body.
    Status(String),
    /// Half of what was asked for, then the end of the connection.
    Half(Vec<u8>),
}

/// A server of HTTP/1.1 that keeps connections.
#[derive(Debug)]
pub struct WebServer {
    acceptor: Acceptor,
    requests: Arc<Mutex<Vec<WebRequest>>>,
}

impl WebServer {
    /// Answers each request with what `answer` gives.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn start(answer: impl Fn(&WebRequest) -> WebAnswer + Send + Sync + 'static) -> Self {
        let requests = Arc::<Mutex<Vec<WebRequest>>>::default();
        let heard = requests.clone();
        let acceptor = Acceptor::start(move |stream| serve(stream, &heard, &answer));
        Self { acceptor, requests }
    }

    /// Serves the files below a folder.
    #[must_use]
    pub fn of(dir: &Path) -> Self {
        let dir = dir.to_owned();
        Self::start(move |request| file(&dir, request))
    }

    /// The URL of its root, with a slash at its end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.acceptor.address())
    }

    /// All requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<WebRequest> {
        lock(&self.requests).clone()
    }

    /// How many connections were made to it so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.acceptor.connections()
    }
}

/// The answer of a server that has the files below a folder.
#[must_use]
pub fn file(dir: &Path, request: &WebRequest) -> WebAnswer {
    let path = PathBuf::from(&request.path);
    match fs::read(dir.join(path)) {
        Ok(bytes) => WebAnswer::Content(bytes),
        Err(_) => WebAnswer::Status("404 Not Found\r\n".to_owned()),
    }
}

/// Whoever asks may go away at any time: then there is nothing to do.
fn serve(
    mut stream: TcpStream,
    requests: &Mutex<Vec<WebRequest>>,
    answer: &dyn Fn(&WebRequest) -> WebAnswer,
) {
    let mut bytes = Vec::new();
    while let Some(request) = next_request(&mut stream, &mut bytes) {
        lock(requests).push(request.clone());
        let answer = answer(&request);
        let ends = matches!(answer, WebAnswer::Half(_) | WebAnswer::Closing(_));
        if stream.write_all(&encode(&request, answer)).is_err() || ends {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
}

fn encode(request: &WebRequest, answer: WebAnswer) -> Vec<u8> {
    let (bytes, half) = match answer {
        WebAnswer::Status(status) => {
            return format!("HTTP/1.1 {status}Content-Length: 0\r\n\r\n").into_bytes();
        }
        WebAnswer::Whole(bytes) => {
            let length = bytes.len();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            return [head.as_bytes(), &bytes].concat();
        }
        WebAnswer::Closing(bytes) => {
            let length = bytes.len();
            let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n");
            return [head.as_bytes(), &bytes].concat();
        }
        WebAnswer::Content(bytes) => (bytes, false),
        WebAnswer::Half(bytes) => (bytes, true),
    };
    let total = bytes.len();
    let range = request.range.clone().unwrap_or(0..total);
    if range.end > total {
        let head = "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n\r\n";
        return head.as_bytes().to_vec();
    }
    let status = match request.range {
        Some(_) => format!(
            "206 Partial Content\r\nContent-Range: bytes {}-{}/{total}",
            range.start,
            range.end - 1
        ),
        None => "200 OK".to_owned(),
    };
    let length = range.len();
    let sent = if half { length / 2 } else { length };
    let body = &bytes[range][..sent];
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn next_request(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<WebRequest> {
    let end = loop {
        let found = bytes.windows(4).position(|end| end == b"\r\n\r\n");
        if let Some(at) = found {
            break at + 4;
        }
        let mut chunk = [0; 4_096];
        let count = stream.read(&mut chunk).ok().filter(|&count| count > 0)?;
        bytes.extend_from_slice(&chunk[..count]);
    };
    let head: Vec<u8> = bytes.drain(..end).collect();
    let head = String::from_utf8(head).ok()?;
    let target = head.split(' ').nth(1)?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let range = head
        .lines()
        .find_map(|line| line.strip_prefix("Range: bytes="))
        .and_then(|range| range.split_once('-'));
    let range = match range {
        Some((first, last)) => Some(first.parse().ok()?..last.parse::<usize>().ok()? + 1),
        None => None,
    };
    Some(WebRequest {
        path: unescaped(path.trim_start_matches('/')),
        query: query.to_owned(),
        range,
    })
}

/// Undoes `%xx`.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let digits = behind
            .get(..2)
            .and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = digits.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (first, byte) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            _ => {
                bytes.push(first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
