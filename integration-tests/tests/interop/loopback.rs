//! Our tracker on loopback, without a network of its own, and what it is asked by hand.

use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::clients::shoal_binary;
use crate::net::Running;

/// How long anything may take that takes a few seconds. Ours: the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A port that nobody has, and whose cluster port is one too.
pub(crate) fn free_port() -> u16 {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    taken.local_addr().expect("it is bound").port()
}

/// Waits until it is so, and says what is not after a long while.
pub(crate) fn wait(what: &str, said: impl Fn() -> String, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        if Instant::now() >= until {
            let said = said();
            // Of the table there is enough in the question.
            let lines = said.lines().filter(|line| !line.contains("\"status\""));
            let lines: Vec<_> = lines.collect();
            panic!("not in time: {what}\n{}", lines.join("\n"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Our tracker with these options, and where it listens.
pub(crate) fn tracker(options: &[impl AsRef<OsStr>], log: &Path) -> (Running, Vec<SocketAddr>) {
    let mut command = Command::new(shoal_binary());
    command.args(["tracker", "--no-state", "--json"]);
    let running = Running::start(command.args(options), log);
    let mut listens = Vec::new();
    wait(
        "the tracker listens",
        || running.said(),
        || {
            let said = running.said();
            let mut events = said
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok());
            let started = events.find(|event: &Value| event["event"] == "started");
            let list =
                started.and_then(|event| serde_json::from_value(event["listen"].clone()).ok());
            listens = list.unwrap_or_default();
            !listens.is_empty()
        },
    );
    (running, listens)
}

/// The body of an answer; `None` when it is another than 200.
pub(crate) fn get(address: SocketAddr, target: &str) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a deadline");
    let head = format!("GET {target} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    stream
        .write_all(head.as_bytes())
        .expect("a request is taken");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let body = answer.split_off(end.expect("a head") + 4);
    answer.starts_with(b"HTTP/1.1 200").then_some(body)
}

/// Announces a leech of this port, of a torrent whose info hash is twenty times `3`.
pub(crate) fn announce_leech(address: SocketAddr, port: u16) {
    let hash = "3".repeat(20);
    let target = format!(
        "/announce?info_hash={hash}&peer_id=-XX0001-000000000000&port={port}\
         &uploaded=0&downloaded=0&left=5&compact=1"
    );
    let body = get(address, &target).expect("an answer");
    let text = String::from_utf8_lossy(&body);
    assert!(text.contains("8:interval"), "{text}");
}
