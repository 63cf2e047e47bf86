//! Thousands who connect to our tracker and never finish what they say.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::loopback::{announce_leech, tracker};

const SLOW: usize = 5_000;

/// How long an announce takes.
fn announce(address: SocketAddr, port: u16) -> Duration {
    let begun = Instant::now();
    announce_leech(address, port);
    begun.elapsed()
}

#[test]
fn five_thousand_slow_connections_delay_no_announce() {
    let limit = getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).expect("up to the hard limit is allowed");
    let dir = tempfile::tempdir().expect("a temporary folder");
    let log = dir.path().join("tracker.log");
    let (running, listens) = tracker(&["--listen", "127.0.0.1:0"], &log);
    let address = listens[0];
    let unloaded = (1..=50).map(|port| announce(address, port)).max();
    let unloaded = unloaded.expect("there were some");
    let (mut slow, mut worst) = (Vec::new(), Duration::ZERO);
    let mut port = 1_000;
    for number in 0..SLOW {
        let mut stream = TcpStream::connect(address).expect("it takes all of them");
        stream.write_all(b"GET /anno").expect("a beginning");
        slow.push(stream);
        if number % 50 == 0 {
            worst = worst.max(announce(address, port));
            port += 1;
        }
    }
    // Each says one byte more, for as long as it may.
    let mut gone = 0;
    for (number, stream) in slow.iter_mut().enumerate() {
        stream.set_nonblocking(true).expect("a flag");
        let said = stream.write_all(b"u");
        let heard = stream.read(&mut [0; 16]);
        let is_open = heard.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        gone += usize::from(said.is_err() || !is_open);
        if number % 50 == 0 {
            worst = worst.max(announce(address, port));
            port += 1;
        }
    }
    assert!(gone >= SLOW / 2, "only {gone} had to make room");
    // A second, or on a machine that is slow itself, many times what it took before.
    let bound = Duration::from_secs(1).max(unloaded * 50);
    assert!(worst <= bound, "{worst:?}, {unloaded:?} without them");
    assert_eq!(running.interrupt(), Some(0), "it stops cleanly");
}
