//! A hundred connections to a client of the largest torrent there may be, 2^21 pieces: each has a
//! bitfield of a quarter MiB to say and one to hear, and memory stays bounded all the same. BEP 3.

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use shoal_bencode::Value;
use shoal_integration_tests::{RawPeer, TestProcess, handshake};
use shoal_metainfo::limits::PIECES_MAX;
use shoal_metainfo::{InfoHash, Torrent};
use shoal_wire::{Extensions, Message, encode};
use tempfile::TempDir;

/// Connections.
const HOSTILE: usize = 100;

/// Bytes of a bitfield.
const BITS: usize = PIECES_MAX as usize / 8;

/// How far the anonymous memory of a seed may grow, bytes.
const SEED_GROWTH_MAX: u64 = 64 << 20;

/// The same of a leech, which has more to do with each bitfield, so that more of them wait.
const LEECH_GROWTH_MAX: u64 = 80 << 20;

/// For how long a client must be quiet to have heard everything.
const QUIET: Duration = Duration::from_secs(2);

/// And when it never is, how long this goes on.
const PATIENCE: Duration = Duration::from_secs(60);

/// SHA-1 of a zero byte.
const HASH_OF_ZERO: [u8; 20] = [
    0x5b, 0xa9, 0x3c, 0x9d, 0xb0, 0xcf, 0xf9, 0x3f, 0x52, 0xb5, 0x21, 0xd7, 0x42, 0x0e, 0x43, 0xf6,
    0xed, 0xa2, 0x78, 0x4f,
];

/// A client in a process of its own, of zeros in pieces of one byte.
struct Victim {
    process: TestProcess,
    info_hash: InfoHash,
    _home: TempDir,
}

impl Victim {
    /// It has the first `have` pieces.
    fn start(have: u32) -> Self {
        let home = tempfile::tempdir().unwrap();
        let pieces = HASH_OF_ZERO.repeat(PIECES_MAX as usize);
        let info = Value::dict([
            (&b"length"[..], Value::Int(PIECES_MAX.into())),
            (b"name", Value::from(&b"zeros"[..])),
            (b"piece length", Value::Int(1)),
            (b"pieces", Value::from(&pieces[..])),
        ]);
        let bytes = Value::dict([(b"info", info)]).encode();
        let info_hash = Torrent::parse(&bytes).unwrap().info_hash;
        let torrent = home.path().join("zeros.torrent");
        fs::write(&torrent, bytes).unwrap();
        let mut content = vec![1; PIECES_MAX as usize];
        content[..have as usize].fill(0);
        fs::write(home.path().join("zeros"), content).unwrap();
        let process =
            TestProcess::start(env!("CARGO_BIN_EXE_test-peer"), &torrent, home.path(), &[]);
        assert_eq!(process.wait_for("checked"), format!("{have}/{PIECES_MAX}"));
        Self {
            process,
            info_hash,
            _home: home,
        }
    }

    /// Says two bitfields, and reads nothing behind the handshake.
    fn besiege(&self, address: SocketAddr) -> RawPeer {
        let mut bits = vec![0xff; BITS];
        bits[0] = 0xfe;
        let bits = Message::Bitfield(Bytes::from(bits));
        let mut bytes = Vec::new();
        (0..2).for_each(|_| encode(&bits, &mut bytes));
        let mut ours = handshake(self.info_hash);
        // Without BEP 6 there is no short way to say `everything`.
        ours.extensions = Extensions::default();
        let mut peer = RawPeer::greet_as(address, ours);
        // Whoever is thrown out before the end cannot say the rest.
        let _ = peer.send_raw(&bytes);
        peer
    }
}

/// Looks without reading: what is not read stays with the client.
fn is_there(peer: &RawPeer) -> bool {
    let stream = peer.stream();
    stream.set_nonblocking(true).unwrap();
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    match peeked {
        Ok(bytes) => bytes > 0,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

fn holds_little_memory(have: u32, growth_max: u64) {
    let victim = Victim::start(have);
    let address = victim.process.address();
    let memory = victim.process.watch_memory();
    let peers: Vec<_> = (0..HOSTILE).map(|_| victim.besiege(address)).collect();
    let began = Instant::now();
    let mut heard = (began, memory.growth_so_far());
    while heard.0.elapsed() < QUIET && began.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(50));
        let growth = memory.growth_so_far();
        if growth > heard.1 {
            heard = (Instant::now(), growth);
        }
    }
    let there = peers.iter().filter(|peer| is_there(peer)).count();
    let growth = memory.growth();
    println!("{have} pieces: {} KiB for {there} peers", growth >> 10);
    assert!(there > HOSTILE / 2, "only {there} were let in");
    // Else they were not heard.
    assert!(growth >= (there * BITS) as u64, "{growth} bytes");
    assert!(growth <= growth_max, "it grew by {growth} bytes");
}

#[test]
fn seed_of_two_million_pieces_holds_little_memory() {
    holds_little_memory(PIECES_MAX, SEED_GROWTH_MAX);
}

#[test]
fn leech_of_two_million_pieces_holds_little_memory() {
    holds_little_memory(PIECES_MAX / 2, LEECH_GROWTH_MAX);
}
