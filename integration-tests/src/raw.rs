//! A peer that is steered by hand: it says what a test wants it to. BEP 3 "peer protocol".

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use shoal_metainfo::piece::RawBlock;
use shoal_metainfo::{InfoHash, PeerId};
use shoal_wire::{Decoder, Extensions, HANDSHAKE_LENGTH, Handshake, Message, encode};
use socket2::{Domain, Protocol, Socket, Type};

use crate::PATIENCE;

/// A blocking connection that speaks the wire protocol, or anything else.
#[derive(Debug)]
pub struct RawPeer {
    stream: TcpStream,
    decoder: Decoder,
    buffer: BytesMut,
    /// What the other end said first, when it was waited for.
    theirs: Option<Handshake>,
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A message.
    Message(Message),
    /// The other end closed the connection, or broke it.
    Closed,
    /// Nothing, in the given time.
    Silence,
}

/// A handshake as our own client has it, under a name drawn by chance.
#[must_use]
pub fn handshake(info_hash: InfoHash) -> Handshake {
    let mut random = [0; 12];
    fastrand::Rng::new().fill(&mut random);
    Handshake {
        extensions: Extensions::OURS,
        info_hash,
        peer_id: PeerId::ours(random),
    }
}

impl RawPeer {
    /// Opens a connection and says nothing.
    ///
    /// # Errors
    /// The system's.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        TcpStream::connect_timeout(&address, PATIENCE).and_then(Self::new)
    }

    /// The same from an address of this machine, such as 127.0.0.2: another peer to those who
    /// tell peers apart by address.
    ///
    /// # Errors
    /// The system's.
    pub fn open_from(source: IpAddr, address: SocketAddr) -> io::Result<Self> {
        let domain = Domain::for_address(address);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.bind(&SocketAddr::new(source, 0).into())?;
        socket.connect_timeout(&address.into(), PATIENCE)?;
        Self::new(socket.into())
    }

    /// Opens a connection and shakes hands with what speaks our extensions.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn greet(address: SocketAddr, info_hash: InfoHash) -> Self {
        Self::greet_as(address, handshake(info_hash))
    }

    /// Opens a connection and shakes hands.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn greet_as(address: SocketAddr, ours: Handshake) -> Self {
        let mut peer = Self::open(address).expect("it listens");
        peer.shake_hands(ours).expect("it answers the handshake");
        peer
    }

    /// Takes one connection in, and shakes hands as somebody who has the torrent.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn accept(listener: &TcpListener, info_hash: InfoHash) -> Self {
        let (stream, _) = listener.accept().expect("a connection");
        let mut peer = Self::new(stream).expect("a good socket");
        peer.shake_hands(handshake(info_hash))
            .expect("it greets us");
        peer
    }

    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            decoder: Decoder::new(None),
            buffer: BytesMut::new(),
            theirs: None,
        })
    }

    /// Sends a handshake and waits for theirs.
    ///
    /// # Errors
    /// The system's, or that the other end closed.
    pub fn shake_hands(&mut self, ours: Handshake) -> io::Result<()> {
        self.send_raw(&ours.encode())?;
        self.stream.set_read_timeout(Some(PATIENCE))?;
        let mut bytes = [0; HANDSHAKE_LENGTH];
        self.stream.read_exact(&mut bytes)?;
        let theirs = Handshake::decode(&bytes).map_err(io::Error::other)?;
        self.theirs = Some(theirs);
        Ok(())
    }

    /// What the other end said first.
    ///
    /// # Panics
    /// When hands were not shaken.
    #[must_use]
    pub fn theirs(&self) -> Handshake {
        self.theirs.expect("hands were shaken")
    }

    /// The socket.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends a message.
    ///
    /// # Errors
    /// The system's; a test that wants the other end to close may not care.
    pub fn send(&mut self, message: &Message) -> io::Result<()> {
        let mut bytes = Vec::new();
        encode(message, &mut bytes);
        self.send_raw(&bytes)
    }

    /// Sends any bytes.
    ///
    /// # Errors
    /// As [`RawPeer::send`].
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next message, within `patience`.
    ///
    /// # Panics
    /// When the other end sends what is no message.
    pub fn hear(&mut self, patience: Duration) -> Heard {
        let deadline = Instant::now() + patience;
        loop {
            let decoded = self.decoder.decode(&mut self.buffer);
            if let Some(message) = decoded.expect("the other end sends messages") {
                return Heard::Message(message);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Heard::Silence;
            }
            // A timeout of zero would be none.
            let left = left.max(Duration::from_millis(1));
            if self.stream.set_read_timeout(Some(left)).is_err() {
                return Heard::Closed;
            }
            let mut chunk = [0; 32 << 10];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Heard::Closed,
                Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
                Err(error) if is_late(&error) => return Heard::Silence,
                Err(_) => return Heard::Closed,
            }
        }
    }

    /// Waits for a message that `wanted` wants; others are passed over.
    ///
    /// # Panics
    /// When it does not come.
    pub fn expect(&mut self, what: &str, mut wanted: impl FnMut(&Message) -> bool) -> Message {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.hear(deadline.saturating_duration_since(Instant::now())) {
                Heard::Message(message) if wanted(&message) => return message,
                Heard::Message(_) => {}
                other => panic!("{other:?} instead of {what}"),
            }
        }
    }

    /// Whether the other end closes within `patience`; what it says before is passed over.
    pub fn is_closed_within(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            match self.hear(deadline.saturating_duration_since(Instant::now())) {
                Heard::Closed => return true,
                Heard::Silence => return false,
                Heard::Message(_) => {}
            }
        }
    }

    /// Answers requests with what `answer` makes of them until the other end closes or `patience`
    /// ends without a word; how many were answered.
    pub fn serve(
        &mut self,
        patience: Duration,
        mut answer: impl FnMut(RawBlock) -> Option<Vec<u8>>,
    ) -> usize {
        let mut answered = 0;
        while let Heard::Message(message) = self.hear(patience) {
            let Message::Request(block) = message else {
                continue;
            };
            let Some(data) = answer(block) else {
                continue;
            };
            let piece = Message::Piece {
                index: block.index,
                begin: block.begin,
                data: Bytes::from(data),
            };
            if self.send(&piece).is_err() {
                break;
            }
            answered += 1;
        }
        answered
    }
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
