//! A tracker that answers what a test wants: any bytes, or none.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::acceptor::{Acceptor, lock};

/// What a [`StubTracker`] does with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// These bytes, HTTP head included, then the end.
    Bytes(Vec<u8>),
    /// Nothing, for as long as the stub lives.
    Never,
}

/// A server that reads the head of a request and then does as it was told.
#[derive(Debug)]
pub struct StubTracker {
    acceptor: Acceptor,
    requests: Arc<Mutex<Vec<String>>>,
}

/// An HTTP answer of this status with this body; `fields` are further lines, each with its end.
#[must_use]
pub fn http(status: &str, fields: &str, body: &[u8]) -> Answer {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{fields}\r\n");
    Answer::Bytes([head.as_bytes(), body].concat())
}

impl StubTracker {
    /// Answers each request, of which it is told the first line, with what `answer` gives.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn start(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let heard = requests.clone();
        let acceptor = Acceptor::start(move |stream| serve(stream, &heard, &answer));
        Self { acceptor, requests }
    }

    /// Answers everything with this bencoded body.
    #[must_use]
    pub fn with_body(body: Vec<u8>) -> Self {
        Self::start(move |_| http("200 OK", "", &body))
    }

    /// Its announce URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/announce", self.acceptor.address())
    }

    /// The first lines of all requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        lock(&self.requests).clone()
    }
}

/// Whoever asks may go away at any time: then there is nothing to do.
fn serve(mut stream: TcpStream, requests: &Mutex<Vec<String>>, answer: &dyn Fn(&str) -> Answer) {
    if let Some(line) = first_line(&mut stream) {
        lock(requests).push(line.clone());
        match answer(&line) {
            Answer::Bytes(bytes) => {
                let _ = stream.write_all(&bytes);
                let _ = stream.shutdown(Shutdown::Write);
                // Until it has been read: closing with unread input would lose the answer.
                let _ = stream.read(&mut [0; 1024]);
            }
            // Open until the acceptor ends it.
            Answer::Never => return,
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
}

fn first_line(stream: &mut TcpStream) -> Option<String> {
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .ok()?;
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut chunk = [0; 1024];
        let count = stream.read(&mut chunk).ok().filter(|&count| count > 0)?;
        head.extend_from_slice(&chunk[..count]);
    }
    let text = String::from_utf8_lossy(&head);
    text.lines().next().map(str::to_owned)
}
