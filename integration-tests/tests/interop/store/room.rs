//! Real Redis servers, trackers that share them, and announces by hand. All on loopback.

use std::ffi::OsStr;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use shoal_metainfo::{InfoHash, PeerId};
use shoal_tracker::http::{query, response};
use shoal_tracker::{AnnounceEvent, AnnounceRequest, AnnounceResponse, ScrapeEntry};

use crate::loopback::{free_port, get, tracker, wait};
use crate::net::Running;

/// RFC 7468: base64 between two lines.
fn pem(what: &str, der: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for (at, three) in der.chunks(3).enumerate() {
        let byte = |at| u32::from(three.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let is_there = digit <= three.len();
            let value = (bits >> (18 - 6 * digit) & 63) as usize;
            text.push(if is_there { DIGITS[value].into() } else { '=' });
        }
        if at % 16 == 15 {
            text.push('\n');
        }
    }
    format!(
        "-----BEGIN {what}-----\n{}\n-----END {what}-----\n",
        text.trim_end()
    )
}

/// A real redis-server, killed when it is dropped.
pub(crate) struct Redis {
    pub(crate) port: u16,
    dir: tempfile::TempDir,
    bus: Option<u16>,
    /// The port of TLS, with the certificate that is in its folder.
    tls: Option<u16>,
    more: Vec<String>,
    running: Option<Running>,
    /// Its process.
    id: u32,
}

impl Redis {
    pub(crate) fn start() -> Self {
        Self::with(None, None, &[])
    }

    /// The same with more arguments.
    pub(crate) fn start_with(more: &[&str]) -> Self {
        Self::with(None, None, more)
    }

    /// One that speaks TLS too, with a certificate of its own for 127.0.0.1.
    pub(crate) fn with_tls() -> Self {
        Self::with(None, Some(free_port()), &[])
    }

    /// One that takes part in a cluster.
    pub(crate) fn of_cluster() -> Self {
        Self::with(Some(free_port()), None, &[])
    }

    fn with(bus: Option<u16>, tls: Option<u16>, more: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        if tls.is_some() {
            let names = vec!["127.0.0.1".to_owned()];
            let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
            let files = [
                ("cert.pem", pem("CERTIFICATE", made.cert.der())),
                (
                    "key.pem",
                    pem("PRIVATE KEY", &made.signing_key.serialize_der()),
                ),
            ];
            for (name, text) in files {
                fs::write(dir.path().join(name), text).expect("a file of TLS");
            }
        }
        let mut redis = Self {
            port: free_port(),
            dir,
            bus,
            tls,
            more: more.iter().map(|&word| word.to_owned()).collect(),
            running: None,
            id: 0,
        };
        redis.run();
        redis
    }

    /// Starts it, again at the same port; it has kept nothing.
    pub(crate) fn run(&mut self) {
        let port = self.port.to_string();
        let mut command = Command::new("redis-server");
        command
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", "no", "--dir"])
            .arg(self.dir.path());
        if let Some(bus) = self.bus {
            command
                .args([
                    "--cluster-enabled",
                    "yes",
                    "--cluster-port",
                    &bus.to_string(),
                ])
                .args(["--cluster-node-timeout", "3000"])
                .args(["--cluster-require-full-coverage", "no"]);
        }
        if let Some(tls) = self.tls {
            let file = |name| self.dir.path().join(name);
            command.args(["--tls-port", &tls.to_string(), "--tls-auth-clients", "no"]);
            command.arg("--tls-cert-file").arg(file("cert.pem"));
            command.arg("--tls-key-file").arg(file("key.pem"));
        }
        command.args(&self.more);
        let running = Running::start(&mut command, &self.dir.path().join("log"));
        self.id = running.id();
        self.running = Some(running);
        let said = || self.running.as_ref().map(Running::said).unwrap_or_default();
        wait("redis-server answers", said, || {
            TcpStream::connect(("127.0.0.1", self.port)).is_ok()
                && self.cli(&["PING"]).contains("PONG")
        });
    }

    /// As `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.running = None;
    }

    /// Has it stand still, or go on.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.id.to_string();
        let done = Command::new("kill").args([name, &id]).status();
        assert!(
            done.is_ok_and(|status| status.success()),
            "kill {name} {id}"
        );
    }

    /// What redis-cli says.
    pub(crate) fn cli(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        command.args(["-p", &self.port.to_string()]).args(arguments);
        let output = command.output().expect("redis-cli runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The same over TLS, and the file of the only authority that knows it.
    pub(crate) fn secure(&self, host: &str) -> (String, PathBuf) {
        let port = self.tls.expect("it speaks TLS");
        (
            format!("rediss://{host}:{port}"),
            self.dir.path().join("cert.pem"),
        )
    }
}

/// `shoal tracker` with a store.
pub(crate) struct Tracker {
    pub(crate) running: Running,
    address: SocketAddr,
}

impl Tracker {
    pub(crate) fn start(urls: &[String], log: &Path) -> Self {
        Self::start_with(urls, log, &[])
    }

    /// The same with more arguments.
    pub(crate) fn start_with(urls: &[String], log: &Path, more: &[&OsStr]) -> Self {
        let mut options = ["--listen", "127.0.0.1:0", "--interval", "120"]
            .map(OsStr::new)
            .to_vec();
        options.extend(["--store-every", "1"].map(OsStr::new));
        options.extend(urls.iter().flat_map(|url| ["--store", url]).map(OsStr::new));
        options.extend(more);
        let (running, listens) = tracker(&options, log);
        let address = listens[0];
        Self { running, address }
    }

    fn get(&self, url: &str) -> Vec<u8> {
        let path = url
            .split_once("//")
            .and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
        get(self.address, path.expect("a URL with a path")).expect("an answer")
    }

    /// Announces a peer of this port, 127.0.0.1, which is named by its port too.
    pub(crate) fn announce(
        &self,
        torrent: u8,
        port: u16,
        left: u64,
        event: Option<AnnounceEvent>,
    ) -> AnnounceResponse {
        let mut id = [b'-'; 20];
        id[..2].copy_from_slice(&port.to_be_bytes());
        let request = AnnounceRequest {
            info_hash: InfoHash([torrent; 20]),
            peer_id: PeerId(id),
            port,
            uploaded: 0,
            downloaded: 0,
            left,
            event,
            numwant: Some(200),
            key: 0,
            tracker_id: None,
            compact: true,
        };
        let body = self.get(&query::announce_url("http://t/announce", &request));
        response::parse_announce(&body).expect("an answer to an announce")
    }

    /// Asks as a peer that is nowhere else: which ports there are.
    pub(crate) fn ports(&self, torrent: u8, asker: u16) -> Vec<u16> {
        let answer = self.announce(torrent, asker, 1, None);
        let ports = answer.peers.iter().map(SocketAddr::port);
        let mut ports: Vec<_> = ports.filter(|port| *port < 60_000).collect();
        ports.sort_unstable();
        ports
    }

    pub(crate) fn scrape(&self, torrent: u8) -> Option<ScrapeEntry> {
        let hashes = [InfoHash([torrent; 20])];
        let url = query::scrape_url("http://t/announce", &hashes).expect("a URL");
        let entries = response::parse_scrape(&self.get(&url)).expect("an answer to a scrape");
        entries.first().copied()
    }

    /// Waits until it tells that of its store so many times.
    pub(crate) fn wait_told(&self, state: &str, times: usize) {
        let word = format!("\"state\":\"{state}\"");
        wait(
            &word,
            || self.running.said(),
            || self.running.said().matches(&word).count() >= times,
        );
    }

    /// Waits until these are the peers of a torrent; whoever asks is `asker`.
    pub(crate) fn wait_ports(&self, torrent: u8, asker: u16, expect: &[u16]) {
        let last = std::cell::RefCell::new(Vec::new());
        let said = || format!("expected {expect:?}, got {last:?}\n{}", self.running.said());
        wait("the peers of a torrent", said, || {
            *last.borrow_mut() = self.ports(torrent, asker);
            *last.borrow() == expect
        });
    }
}
