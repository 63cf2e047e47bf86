//! A running torrent as others see it: ask, tell, and listen. Cheap to clone.

use std::net::IpAddr;
use std::sync::Arc;

use async_std::channel::{Sender, bounded};
use shoal_metainfo::InfoHash;
use shoal_storage::memory::Memory;
use shoal_storage::{Usage, Ways};
use shoal_tracker::announcer::TrackerStatus;

use crate::event::{Board, Event, Events};
use crate::finding::Finding;
use crate::web::WebSeedStatus;

/// Steers one torrent. Dropping it changes nothing: the engine keeps the torrent running.
#[derive(Clone)]
pub struct Handle {
    info_hash: InfoHash,
    commands: Sender<Command>,
    board: Arc<Board>,
    ways: Option<Ways>,
}

/// What a torrent can be told.
pub(crate) enum Command {
    Snapshot(Sender<TorrentSnapshot>),
    SetRates {
        upload_bytes_per_s: Option<u64>,
        download_bytes_per_s: Option<u64>,
    },
    /// The first ends it in good order, the second at once.
    Stop,
}

/// What a torrent is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// Of a magnet: asking peers for the metadata.
    Metadata,
    /// Looking at what is on the disk; bytes.
    Checking {
        /// Looked at so far.
        done: u64,
        /// Of the torrent.
        total: u64,
    },
    /// Something that is wanted is missing.
    Downloading,
    /// Everything that is wanted is here.
    Seeding,
    /// It was stopped.
    Stopped,
    /// It cannot go on.
    Failed,
}

/// How things stand: a copy.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TorrentSnapshot {
    /// What it is at.
    pub state: State,
    /// Pieces, bytes, rates, peers. Before the check is over: nothing had, nobody there.
    pub swarm: shoal_swarm::io::Snapshot,
    /// The trackers, in the order of asking.
    pub trackers: Vec<TrackerStatus>,
    /// What the other sources of peers are doing; `None` before the check is over.
    pub finding: Option<Finding>,
    /// The web seeds, in the torrent's order.
    pub web_seeds: Vec<WebSeedStatus>,
    /// Our address as a tracker sees us, the last that was told. BEP 24.
    pub external_ip: Option<IpAddr>,
    /// By which ways bytes get to and from the files; `None` before they are open.
    pub ways: Option<Ways>,
    /// What the torrent holds of windows and descriptors; `None` before its files are open.
    pub usage: Option<Usage>,
    /// What the whole process holds of memory, by kind, some seconds ago; `None` until it was
    /// looked at for the first time, and where the system does not say.
    pub memory: Option<Memory>,
}

impl Handle {
    pub(crate) fn new(
        info_hash: InfoHash,
        commands: Sender<Command>,
        board: Arc<Board>,
        ways: Option<Ways>,
    ) -> Self {
        Self {
            info_hash,
            commands,
            board,
            ways,
        }
    }

    /// By which ways bytes get to and from the files; `None` of a magnet, see
    /// [`TorrentSnapshot::ways`].
    #[must_use]
    pub fn ways(&self) -> Option<Ways> {
        self.ways
    }

    /// The torrent's name.
    #[must_use]
    pub fn info_hash(&self) -> InfoHash {
        self.info_hash
    }

    /// How things stand now, or how they stood at the end. `None` only when it ended before there
    /// was anything to tell.
    pub async fn snapshot(&self) -> Option<TorrentSnapshot> {
        let (answer, answered) = bounded(1);
        let asked = self.commands.send(Command::Snapshot(answer)).await;
        match asked {
            Ok(()) => answered.recv().await.ok().or_else(|| self.board.last()),
            Err(_) => self.board.last(),
        }
    }

    /// News: the first who asks is told all of it from the start, others from now on. What happens
    /// once (checked, complete, stopped, failed) is told even when it happened before, and never
    /// lost; other news is dropped, oldest first, when nobody reads.
    #[must_use]
    pub fn events(&self) -> Events {
        self.board.read()
    }

    /// New limits of payload, bytes a second; `None` is unlimited.
    pub async fn set_rates(
        &self,
        upload_bytes_per_s: Option<u64>,
        download_bytes_per_s: Option<u64>,
    ) {
        let rates = Command::SetRates {
            upload_bytes_per_s,
            download_bytes_per_s,
        };
        // When it has ended, it has no rate.
        let _ = self.commands.send(rates).await;
    }

    /// Ends the torrent: closes connections, finishes writes, tells the trackers (3 s at most), and
    /// returns when all that is done. A second call while the first waits ends it at once.
    pub async fn stop(&self) {
        // When it has ended, it need not be told.
        let _ = self.commands.send(Command::Stop).await;
        self.ended().await;
    }

    /// Waits until every piece of the wanted files is here: true; false when the torrent ended
    /// before.
    pub async fn wait_complete(&self) -> bool {
        self.wait_for(|event| *event == Event::Complete).await
    }

    /// Waits until it has ended, for whatever reason.
    pub(crate) async fn ended(&self) {
        self.wait_for(|_| false).await;
    }

    pub(crate) fn tell(&self, command: Command) {
        // Full: then it is busy with commands, a stop among them or not; the caller waits anyway.
        let _ = self.commands.try_send(command);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.board.has_ended()
    }

    async fn wait_for(&self, wanted: impl Fn(&Event) -> bool) -> bool {
        let mut events = self.events();
        while let Some(event) = events.next().await {
            if wanted(&event) {
                return true;
            }
        }
        false
    }
}
