//! One torrent: the task that owns its swarm and does what the swarm decides.
//!
//! ```text
//! a .torrent: checking ──▶ live ──▶ farewell ──▶ ended      a failure or a panic, from anywhere:
//! a magnet:   metadata ──▶ checking ──▶ live ──▶ …                                   ──▶ ended
//! ```
//! A magnet has its connections, and so its task in `live`, from the first moment on.
//!
//! Control flow only. Everything that reaches the swarm passes through here one by one, so there is
//! no lock around it; what it wants done is handed on in batches and never waited for.

mod check;
mod inbox;
mod links;
mod live;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use async_std::channel::{Receiver, Sender, bounded};
use futures_lite::future::FutureExt;
use shoal_metainfo::{InfoHash, Magnet, PeerId, Torrent};
use shoal_storage::Ways;
use shoal_swarm::io::Snapshot;
use shoal_tracker::client::{Client, Proxy};

use crate::config::TorrentConfig;
use crate::connection::FromPeer;
use crate::dht::Dht;
use crate::disk::Lanes;
use crate::error::Failure;
use crate::event::{Board, Event};
use crate::handle::{Command, State, TorrentSnapshot};
use crate::limits::{BATCHES_QUEUED_MAX, CHECKING_EVERY};
use crate::listen::Doors;
use crate::mailbox::Mailbox;
use crate::note::{Found, Note};
use crate::open::{Opened, Opener};
use crate::ports::Reach;
use crate::tasks::panic_text;

use check::{Check, judge};
use inbox::Inbox;
use live::Live;

/// Everything that a torrent needs to run.
pub(crate) struct Start {
    pub(crate) info_hash: InfoHash,
    pub(crate) tiers: Vec<Vec<String>>,
    pub(crate) begin: Begin,
    pub(crate) config: TorrentConfig,
    pub(crate) opener: Opener,
    pub(crate) peer_id: PeerId,
    /// Where peers reach us, if they do.
    pub(crate) reach: Reach,
    /// Decides all that is left to chance.
    pub(crate) seed: u64,
    /// Told to trackers alone.
    pub(crate) key: u32,
    pub(crate) check_threads: usize,
    pub(crate) lanes: Lanes,
    pub(crate) doors: Arc<Doors>,
    pub(crate) board: Arc<Board>,
    pub(crate) client: Arc<Client>,
    /// Leads to every peer, if there is one.
    pub(crate) proxy: Option<Arc<Proxy>>,
    pub(crate) dht: Option<Dht>,
    /// Whether neighbours are called.
    pub(crate) use_lsd: bool,
    pub(crate) commands: Receiver<Command>,
}

/// What is known of it.
pub(crate) enum Begin {
    /// Everything; its files are open.
    Files(Arc<Torrent>, Box<Opened>),
    /// Its name, and hints.
    Magnet(Magnet),
}

impl Begin {
    /// Whether peers may come from its trackers alone, as far as is known. BEP 27.
    pub(crate) fn is_private(&self) -> bool {
        match self {
            Self::Files(torrent, _) => torrent.info.private,
            Self::Magnet(_) => false,
        }
    }

    /// By which ways bytes get to and from the files, if those are open.
    pub(crate) fn ways(&self) -> Option<Ways> {
        match self {
            Self::Files(_, opened) => Some(opened.storage.ways()),
            Self::Magnet(_) => None,
        }
    }
}

/// How others reach the task of a torrent.
struct Ears {
    notes: Arc<Mailbox<Note>>,
    to_torrent: Sender<FromPeer>,
    inbox: Inbox,
}

/// The last word, also when the task is dropped: the door is closed first, so that the same torrent
/// can be added again as soon as it is said.
struct Ending {
    info_hash: InfoHash,
    doors: Arc<Doors>,
    board: Arc<Board>,
    word: Event,
}

impl Ending {
    fn says(&mut self, word: Event) {
        self.word = word;
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.doors.close(self.info_hash);
        self.board.post(self.word.clone());
    }
}

/// Runs a torrent to its end. A panic ends this torrent and no other.
pub(crate) fn run(start: Start) -> impl Future<Output = ()> + Send {
    let mut ending = Ending {
        info_hash: start.info_hash,
        doors: start.doors.clone(),
        board: start.board.clone(),
        word: Event::Stopped,
    };
    async move {
        let failed = match AssertUnwindSafe(to_the_end(start)).catch_unwind().await {
            Ok(Ok(())) => return,
            Ok(Err(failure)) => failure,
            Err(panic) => Failure::Panicked {
                text: panic_text(&*panic),
            },
        };
        tracing::error!("torrent {} failed: {failed}", ending.info_hash);
        ending.says(Event::Failed(failed));
    }
}

async fn to_the_end(start: Start) -> Result<(), Failure> {
    let notes = Arc::new(Mailbox::new());
    let (to_torrent, batches) = bounded(BATCHES_QUEUED_MAX);
    let inbox = Inbox::new(start.commands.clone(), notes.clone(), batches);
    let mut ears = Ears {
        notes,
        to_torrent,
        inbox,
    };
    let Begin::Files(torrent, opened) = &start.begin else {
        return Live::of_magnet(start, ears).run().await;
    };
    let (torrent, board) = (torrent.clone(), start.board.clone());
    let have = match check(&start, opened, &mut ears).await {
        Ok(Some(found)) => found,
        Ok(None) => {
            board.keep(unchecked(&torrent, opened, State::Stopped));
            return Ok(());
        }
        Err(failure) => {
            board.keep(unchecked(&torrent, opened, State::Failed));
            return Err(failure);
        }
    };
    Live::of_files(start, ears, have).run().await
}

/// Finds out what is on the disk; `None` when it was stopped meanwhile.
async fn check(start: &Start, opened: &Opened, ears: &mut Ears) -> Result<Option<Found>, Failure> {
    let Begin::Files(torrent, _) = &start.begin else {
        return Ok(None);
    };
    let mut check = Check::begin(opened, &start.lanes, start.check_threads, &ears.notes);
    loop {
        check
            .news()
            .into_iter()
            .for_each(|news| start.board.post(news));
        ears.inbox
            .wait(Instant::now() + CHECKING_EVERY, false)
            .await;
        while let Some(command) = ears.inbox.next_command() {
            match command {
                Command::Stop => return Ok(None),
                Command::Snapshot(asker) => {
                    let (done, total) = check.progress();
                    let state = State::Checking { done, total };
                    // The asker may have gone.
                    let _ = asker.try_send(unchecked(torrent, opened, state));
                }
                Command::SetRates { .. } => {}
            }
        }
        let mut found = Vec::new();
        ears.inbox.take_notes(&mut found);
        if let Some(Note::Checked(result)) = found.pop() {
            return judge(opened, result?).map(Some);
        }
    }
}

/// How things stand before anything is known.
fn unchecked(torrent: &Torrent, opened: &Opened, state: State) -> TorrentSnapshot {
    let geometry = &torrent.info.geometry;
    TorrentSnapshot {
        state,
        swarm: Snapshot {
            pieces: geometry.pieces(),
            bytes_total: geometry.total(),
            bytes_wanted: opened.bytes_wanted,
            bytes_left: opened.bytes_wanted,
            ..Snapshot::default()
        },
        trackers: Vec::new(),
        finding: None,
        web_seeds: Vec::new(),
        external_ip: None,
        ways: Some(opened.storage.ways()),
        usage: Some(opened.storage.usage()),
        memory: None,
    }
}
