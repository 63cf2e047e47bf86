//! Thousands who connect to our tracker and never finish what they say.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::clients::shoal_binary;
use crate::net::Running;
use crate::store::room::wait;

const SLOW: usize = 5_000;

/// How long an announce takes; what is answered must be an answer.
fn announce(address: SocketAddr, port: u16) -> Duration {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(address).expect("it listens");
    let hash = "3".repeat(20);
    let head = format!(
        "GET /announce?info_hash={hash}&peer_id=-XX0001-000000000000&port={port}\
         &uploaded=0&downloaded=0&left=5&compact=1 HTTP/1.0\r\n\r\n"
    );
    stream
        .write_all(head.as_bytes())
        .expect("a request is taken");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let text = String::from_utf8_lossy(&answer);
    assert!(text.contains("8:interval"), "{text}");
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
    let mut command = Command::new(shoal_binary());
    command.args(["tracker", "--no-state", "--listen", "127.0.0.1:0", "--json"]);
    let running = Running::start(&mut command, &dir.path().join("tracker.log"));
    let mut address = None;
    wait(
        "the tracker listens",
        || running.said(),
        || {
            let said = running.said();
            let listens = said.split_once("\"listen\":[\"");
            address = listens.and_then(|(_, rest)| rest.split('"').next()?.parse().ok());
            address.is_some()
        },
    );
    let address = address.expect("just found");
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
