//! A tracker that answers what a test wants: any bytes, or none.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

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
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    requests: Mutex<Vec<String>>,
    /// Connections without an answer.
    held: Mutex<Vec<TcpStream>>,
    ended: AtomicBool,
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
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared::default());
        let (answer, serving) = (Arc::new(answer), shared.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.ended.load(Ordering::SeqCst) {
                    return;
                }
                let (answer, shared) = (answer.clone(), serving.clone());
                thread::spawn(move || shared.serve(stream, &*answer));
            }
        });
        Self { address, shared }
    }

    /// Answers everything with this bencoded body.
    #[must_use]
    pub fn with_body(body: Vec<u8>) -> Self {
        Self::start(move |_| http("200 OK", "", &body))
    }

    /// Its announce URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/announce", self.address)
    }

    /// The first lines of all requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        lock(&self.shared.requests).clone()
    }
}

impl Drop for StubTracker {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts; it drops the listener.
        drop(TcpStream::connect(self.address));
        for stream in lock(&self.shared.held).drain(..) {
            // The other end may have gone.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    /// Whoever asks may go away at any time: then there is nothing to do.
    fn serve(&self, mut stream: TcpStream, answer: &dyn Fn(&str) -> Answer) {
        let Some(line) = first_line(&mut stream) else {
            return;
        };
        lock(&self.requests).push(line.clone());
        match answer(&line) {
            Answer::Bytes(bytes) => {
                let _ = stream.write_all(&bytes);
                let _ = stream.shutdown(Shutdown::Write);
                // Until it has been read: closing with unread input would lose the answer.
                let _ = stream.read(&mut [0; 1024]);
            }
            Answer::Never => lock(&self.held).push(stream),
        }
    }
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
