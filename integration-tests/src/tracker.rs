//! Our own tracker on a free port. BEP 3 "trackers".

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use shoal_tracker::registry::TorrentSnapshot;
use shoal_tracker::{Server, ServerConfig, ServerHandle};

use crate::{Content, PATIENCE, eventually, wait};

/// A running tracker; it stops when it is dropped.
#[derive(Debug)]
pub struct TestTracker {
    address: SocketAddr,
    handle: ServerHandle,
}

impl TestTracker {
    /// Serves any torrent on a free port of 127.0.0.1, with the shortest interval that our client
    /// obeys.
    #[must_use]
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    /// The same at this address: for a tracker that comes back, or listens on `[::1]`.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        Self::with(|config| config.listen = vec![address])
    }

    /// The same, with a configuration of one's own.
    ///
    /// # Panics
    /// When it cannot listen.
    #[must_use]
    pub fn with(change: impl FnOnce(&mut ServerConfig)) -> Self {
        let mut config = ServerConfig {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
            interval: Duration::from_secs(5),
            min_interval: Some(Duration::from_secs(1)),
            ..ServerConfig::default()
        };
        change(&mut config);
        let server = wait("a tracker listens", Server::bind(config)).expect("a free port");
        let address = server.local_addrs()[0];
        Self {
            address,
            handle: server.spawn(),
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its announce URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/announce", self.address)
    }

    /// What it knows of a torrent.
    #[must_use]
    pub fn torrent(&self, content: &Content) -> Option<TorrentSnapshot> {
        let torrents = self.handle.snapshot().torrents.into_iter();
        let mut same = torrents.filter(|torrent| torrent.info_hash == content.info_hash());
        same.next()
    }

    /// Waits until so many peers of a torrent are known.
    ///
    /// # Panics
    /// When it does not come to that.
    pub fn wait_for_peers(&self, content: &Content, count: usize) {
        eventually(&format!("the tracker knows {count} peers"), || {
            let torrent = self.torrent(content);
            torrent.map_or(0, |torrent| torrent.peers.len()) == count
        });
    }

    /// What it answers to a GET of this target, such as `/announce?port=1`: the status line and
    /// the body.
    ///
    /// # Panics
    /// When there is no answer.
    #[must_use]
    pub fn get(&self, target: &[u8]) -> (String, Vec<u8>) {
        let head: [&[u8]; 3] = [
            b"GET ",
            target,
            b" HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n",
        ];
        self.ask(&head.concat())
    }

    /// What it answers to any bytes: the status line and the body.
    ///
    /// # Panics
    /// When there is no answer.
    #[must_use]
    pub fn ask(&self, request: &[u8]) -> (String, Vec<u8>) {
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.write_all(request).expect("it reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it answers");
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        let end = end.expect("a head and its end");
        let body = answer.split_off(end + 4);
        let head = String::from_utf8_lossy(&answer);
        let status = head.lines().next().unwrap_or_default();
        (status.to_owned(), body)
    }

    /// Ends it; its port is free afterwards.
    pub fn stop(self) {
        wait("the tracker stops", self.handle.stop());
    }
}

impl Drop for TestTracker {
    fn drop(&mut self) {
        wait("the tracker stops", self.handle.stop());
    }
}
