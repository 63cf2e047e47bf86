//! Sieges: a hundred peers that break no rule at once and want others not to be served. BEP 3.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use shoal_metainfo::InfoHash;
use shoal_metainfo::piece::{BLOCK_LENGTH, RawBlock};
use shoal_wire::{HANDSHAKE_LENGTH, Message, encode};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{Content, PATIENCE, TestPeer, handshake};

/// What a peer may have to wait for: until those in its way were tried, on a machine that is busy.
const ROUNDS: Duration = Duration::from_secs(8);

/// What a busy machine may keep a download waiting once. The besiegers run on the same one.
const HICCUP: Duration = Duration::from_secs(3);

/// Connections of a siege.
pub const BESIEGERS: usize = 100;

/// Their receive buffers, bytes: what they do not read stays with the client.
const RECEIVE_BUFFER: usize = 4 << 10;

/// Between two turns of the besiegers.
const TURN: Duration = Duration::from_millis(2);

/// Turns between two requests of [`Ruse::NeverReads`].
const ASK_EVERY: usize = 100;

/// Turns between two sips of [`Ruse::Sips`].
const SIP_EVERY: usize = 250;

/// Requests with each sip: more than it will ever read, fewer than a client closes it for.
const REQUESTS_A_SIP: usize = 16;

/// What each besieger does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruse {
    /// Asks for a block each turn and reads nothing, ever.
    Hammers,
    /// The same, but asks so seldom that nobody closes it.
    NeverReads,
    /// Asks for more than it reads: one KiB each half second.
    Sips,
    /// Wants a slot and then nothing more.
    NeverAsks,
}

/// A siege; it is lifted when dropped.
#[derive(Debug)]
pub struct Siege {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<usize>>,
}

impl Siege {
    /// Surrounds the client there. Who is thrown out comes back under another name.
    ///
    /// # Panics
    /// When the client takes no connection.
    #[must_use]
    pub fn lay(ruse: Ruse, client: SocketAddr, content: &Content) -> Self {
        let come = || Besieger::come(client, content.info_hash());
        let mut besiegers: Vec<_> = (0..BESIEGERS)
            .map(|_| come().expect("it takes connections"))
            .collect();
        let (info_hash, pieces) = (content.info_hash(), content.pieces());
        let over = Arc::new(AtomicBool::new(false));
        let ends = over.clone();
        let thread = thread::spawn(move || {
            let mut acts = 0;
            for turn in 0.. {
                if ends.load(Ordering::SeqCst) {
                    break;
                }
                let began = Instant::now();
                for (nth, besieger) in besiegers.iter_mut().enumerate() {
                    match besieger.act(ruse, turn + nth, pieces) {
                        Ok(did) => acts += usize::from(did),
                        // The client may have no place for it just now.
                        Err(_) => {
                            drop(Besieger::come(client, info_hash).map(|new| *besieger = new))
                        }
                    }
                }
                thread::sleep(TURN.saturating_sub(began.elapsed()));
            }
            acts
        });
        Self {
            over,
            thread: Some(thread),
        }
    }

    /// Asserts that who comes when a siege has lasted for a while is served as in calm.
    ///
    /// # Panics
    /// When nobody besieged, or a download took too long.
    pub fn assert_late_is_served(
        ruse: Ruse,
        client: SocketAddr,
        content: &Content,
        lasted: Duration,
    ) {
        let alone = TestPeer::download(content, client);
        let siege = Self::lay(ruse, client, content);
        thread::sleep(lasted);
        let mut besieged = [(); 3].map(|()| TestPeer::download(content, client));
        let acts = siege.lift();
        // Before and after: what the machine does besides counts for both.
        let alone = alone.max(TestPeer::download(content, client));
        let told = format!("{ruse:?}: {besieged:?} in place of {alone:?}; {acts} acts");
        println!("{told}");
        assert!(acts >= BESIEGERS, "there was no siege");
        besieged.sort_unstable();
        let [_, median, worst] = besieged;
        assert!(median < alone * 4 + HICCUP, "{told}");
        assert!(worst < alone * 10 + ROUNDS, "{told}");
    }

    /// Ends it; how often a besieger did something.
    ///
    /// # Panics
    /// When the besiegers did.
    #[must_use]
    pub fn lift(mut self) -> usize {
        self.over.store(true, Ordering::SeqCst);
        let thread = self.thread.take().expect("only here");
        thread.join().expect("the siege cannot fail")
    }
}

impl Drop for Siege {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

struct Besieger {
    stream: TcpStream,
    /// What the socket did not take yet.
    unsent: Vec<u8>,
    asked: u32,
}

impl Besieger {
    fn come(client: SocketAddr, info_hash: InfoHash) -> io::Result<Self> {
        let domain = Domain::for_address(client);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        socket.connect_timeout(&client.into(), PATIENCE)?;
        let mut stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(&handshake(info_hash).encode())?;
        stream.read_exact(&mut [0; HANDSHAKE_LENGTH])?;
        stream.set_nonblocking(true)?;
        let mut unsent = Vec::new();
        encode(&Message::HaveNone, &mut unsent);
        encode(&Message::Interested, &mut unsent);
        Ok(Self {
            stream,
            unsent,
            asked: 0,
        })
    }

    /// One turn; whether it did something.
    fn act(&mut self, ruse: Ruse, turn: usize, pieces: u32) -> io::Result<bool> {
        let requests = match ruse {
            Ruse::Hammers => 1,
            Ruse::NeverReads if turn.is_multiple_of(ASK_EVERY) => 1,
            Ruse::Sips if turn.is_multiple_of(SIP_EVERY) => REQUESTS_A_SIP,
            Ruse::NeverReads | Ruse::Sips | Ruse::NeverAsks => 0,
        };
        // Who does not take part in the reading asks no more than fits.
        if self.unsent.len() < RECEIVE_BUFFER {
            (0..requests).for_each(|_| self.ask(pieces));
        }
        if ruse == Ruse::Sips && requests > 0 {
            let _ = would_block(self.stream.read(&mut [0; 1 << 10]))?;
        }
        let said = self.say()?;
        Ok(said || requests > 0)
    }

    fn ask(&mut self, pieces: u32) {
        let request = Message::Request(RawBlock {
            index: self.asked % pieces,
            begin: 0,
            length: BLOCK_LENGTH,
        });
        self.asked += 1;
        encode(&request, &mut self.unsent);
    }

    fn say(&mut self) -> io::Result<bool> {
        if self.unsent.is_empty() {
            return Ok(false);
        }
        let written = would_block(self.stream.write(&self.unsent))?;
        self.unsent.drain(..written);
        Ok(written > 0)
    }
}

/// A socket that is not ready did nothing.
fn would_block(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}
