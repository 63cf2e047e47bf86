//! Our client in this process: an engine of its own that runs one torrent.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_std::task;
use shoal_metainfo::{Magnet, Torrent};
use shoal_peer::{AddError, Engine, EngineConfig, Event, Handle, TorrentConfig, TorrentSnapshot};
use shoal_swarm::io::Snapshot;
use tempfile::TempDir;

use crate::{Content, PATIENCE, eventually, wait};

/// A client to be started.
#[derive(Debug, Clone)]
pub struct PeerSetup {
    torrent: Arc<Torrent>,
    /// Knows the torrent by this alone.
    link: Option<Magnet>,
    listen: SocketAddr,
    config: TorrentConfig,
    /// Kept until the last client in it is gone.
    own: Option<Arc<TempDir>>,
}

impl PeerSetup {
    fn new(content: &Content, dir: PathBuf, own: Option<TempDir>) -> Self {
        let mut torrent = Torrent::clone(content.torrent());
        torrent.tiers.clear();
        Self {
            torrent: Arc::new(torrent),
            link: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            config: TorrentConfig {
                dir,
                ..TorrentConfig::default()
            },
            own: own.map(Arc::new),
        }
    }

    fn in_own_dir(content: &Content) -> Self {
        let own = tempfile::tempdir().expect("a temporary folder");
        Self::new(content, own.path().to_owned(), Some(own))
    }

    /// Dials these clients, as if named by the user.
    #[must_use]
    pub fn knowing<'p>(self, peers: impl IntoIterator<Item = &'p TestPeer>) -> Self {
        self.dialling(peers.into_iter().map(TestPeer::address))
    }

    /// Dials these addresses, as if named by the user.
    #[must_use]
    pub fn dialling(mut self, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.config.peers.extend(addresses);
        self
    }

    /// Announces to these trackers too, one more tier. Source: BEP 12.
    #[must_use]
    pub fn tier<U: Into<String>>(mut self, urls: impl IntoIterator<Item = U>) -> Self {
        let urls = urls.into_iter().map(Into::into).collect();
        Arc::make_mut(&mut self.torrent).tiers.push(urls);
        self
    }

    /// Asks this web seed too. Source: BEP 19.
    #[must_use]
    pub fn web_seed(mut self, url: String) -> Self {
        Arc::make_mut(&mut self.torrent).web_seeds.push(url);
        self
    }

    /// Asks this script too. Source: BEP 17.
    #[must_use]
    pub fn http_seed(mut self, url: String) -> Self {
        Arc::make_mut(&mut self.torrent).http_seeds.push(url);
        self
    }

    /// Knows the torrent's name and its trackers alone, and these peers. Source: BEP 9.
    #[must_use]
    pub fn by_magnet(mut self, peers: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.link = Some(Magnet {
            trackers: self.torrent.trackers().map(str::to_owned).collect(),
            peers: peers.into_iter().map(|peer| peer.to_string()).collect(),
            ..Magnet::new(self.torrent.info_hash)
        });
        self
    }

    /// Keeps the content in this folder, which outlives the client.
    #[must_use]
    pub fn in_dir(mut self, dir: &Path) -> Self {
        self.config.dir = dir.to_owned();
        self.own = None;
        self
    }

    /// Listens here.
    #[must_use]
    pub fn listening_on(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Changes anything else.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut TorrentConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(self) -> TestPeer {
        self.try_start().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts it, or says why the torrent is refused.
    ///
    /// # Errors
    /// The engine's.
    ///
    /// # Panics
    /// When the port is taken.
    pub fn try_start(self) -> Result<TestPeer, AddError> {
        // Few threads: a test has many of these.
        let engine = EngineConfig {
            listen: vec![self.listen],
            disk_threads: 1,
            check_threads: 1,
            ..EngineConfig::default()
        };
        let engine = Engine::start(engine).unwrap_or_else(|error| panic!("{error}"));
        let dir = self.config.dir.clone();
        let handle = match self.link {
            Some(link) => engine.add_magnet(link, self.config)?,
            None => engine.add(self.torrent, self.config)?,
        };
        let news = Arc::new(Mutex::new(Vec::new()));
        let (mut events, noted) = (handle.events(), news.clone());
        task::spawn(async move {
            while let Some(event) = events.next().await {
                let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
                noted.push(event);
            }
        });
        Ok(TestPeer {
            engine,
            handle,
            news,
            dir,
            _own: self.own,
        })
    }
}

/// A running client; it ends at once when it is dropped.
pub struct TestPeer {
    engine: Engine,
    handle: Handle,
    news: Arc<Mutex<Vec<Event>>>,
    dir: PathBuf,
    _own: Option<Arc<TempDir>>,
}

impl TestPeer {
    /// Has everything: it runs in the content's own folder.
    #[must_use]
    pub fn seeder(content: &Content) -> PeerSetup {
        PeerSetup::new(content, content.dir().to_owned(), None)
    }

    /// Has nothing: it runs in a folder of its own.
    #[must_use]
    pub fn leecher(content: &Content) -> PeerSetup {
        PeerSetup::in_own_dir(content)
    }

    /// Has some pieces, in a folder of its own.
    #[must_use]
    pub fn holding(content: &Content, keep: impl Fn(u32) -> bool) -> PeerSetup {
        let setup = PeerSetup::in_own_dir(content);
        content.copy_pieces(&setup.config.dir, keep);
        setup
    }

    /// Has nothing, dials this client, gets everything from it and is gone; how long that took.
    ///
    /// # Panics
    /// When it does not get it, or something else.
    #[must_use]
    pub fn download(content: &Content, client: SocketAddr) -> Duration {
        let began = Instant::now();
        let leecher = Self::leecher(content).dialling([client]).start();
        leecher.wait_complete();
        let took = began.elapsed();
        content.assert_identical(leecher.dir());
        took
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.engine.local_addrs()[0]
    }

    /// The folder that holds the content, by the torrent's name.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The face of the client.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// All news so far.
    #[must_use]
    pub fn news(&self) -> Vec<Event> {
        let news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        news.clone()
    }

    /// How things stand.
    ///
    /// # Panics
    /// When it ended before there was anything to tell.
    #[must_use]
    pub fn snapshot(&self) -> TorrentSnapshot {
        let snapshot = wait("a snapshot", self.handle.snapshot());
        snapshot.expect("it is running")
    }

    /// How things stand in its swarm.
    #[must_use]
    pub fn swarm(&self) -> Snapshot {
        self.snapshot().swarm
    }

    /// Waits for some news and gives what `pick` makes of it.
    ///
    /// # Panics
    /// When it does not come; then all news are shown.
    pub fn wait_for<T>(&self, what: &str, mut pick: impl FnMut(&Event) -> Option<T>) -> T {
        let mut found = None;
        let deadline = Instant::now() + PATIENCE;
        eventually(what, || {
            let news = self.news();
            found = news.iter().find_map(&mut pick);
            let late = found.is_none() && Instant::now() >= deadline;
            assert!(!late, "no {what} among {news:#?}");
            found.is_some()
        });
        found.expect("found above")
    }

    /// Waits until the files have been checked; how many pieces were there.
    #[must_use]
    pub fn wait_checked(&self) -> u32 {
        self.wait_for("the check is over", |event| match event {
            Event::Checked { have, .. } => Some(*have),
            _ => None,
        })
    }

    /// Waits until every piece is here.
    ///
    /// # Panics
    /// When that does not happen; then how things stand is shown.
    pub fn wait_complete(&self) {
        let complete = async_std::future::timeout(PATIENCE, self.handle.wait_complete());
        if task::block_on(complete) != Ok(true) {
            panic!("not complete: {:#?}\n{:#?}", self.snapshot(), self.news());
        }
    }

    /// Ends it in good order; how things stood at the end.
    ///
    /// # Panics
    /// When it does not end.
    pub fn stop(self) -> TorrentSnapshot {
        wait("the client stops", self.engine.stop(PATIENCE));
        let last = wait("the last snapshot", self.handle.snapshot());
        last.expect("kept at the end")
    }

    /// Waits until all of them have every piece.
    pub fn wait_all<'p>(peers: impl IntoIterator<Item = &'p Self>) {
        peers.into_iter().for_each(Self::wait_complete);
    }
}
