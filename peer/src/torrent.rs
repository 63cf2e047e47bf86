//! One torrent: the task that owns its swarm and does what the swarm decides.
//!
//! ```text
//! checking ──▶ live ──▶ farewell ──▶ ended        a failure or a panic, from anywhere: ──▶ ended
//! ```
//! Control flow only. Everything that reaches the swarm passes through here one by one, so there is
//! no lock around it; what it wants done is handed on in batches and never waited for.

mod inbox;
mod links;
mod live;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use async_std::channel::{Receiver, Sender, bounded};
use futures_lite::future::FutureExt;
use shoal_metainfo::{Bitfield, InfoHash, PeerId, PieceIndex, Torrent};
use shoal_storage::journal::Resume;
use shoal_storage::{FolderLock, Storage, StorageError};
use shoal_swarm::io::Snapshot;
use shoal_tracker::client::Client;

use crate::config::TorrentConfig;
use crate::connection::FromPeer;
use crate::disk::keeper::Keeper;
use crate::disk::{Lanes, TorrentDisk};
use crate::error::Failure;
use crate::event::{Board, Event};
use crate::handle::{Command, State, TorrentSnapshot};
use crate::limits::{BATCHES_QUEUED_MAX, CHECKING_EVERY};
use crate::listen::{Door, Doors};
use crate::mailbox::Mailbox;
use crate::note::{Found, Note};
use crate::tasks::panic_text;

use inbox::Inbox;
use live::Live;

/// Everything that a torrent needs to run.
pub(crate) struct Start {
    pub(crate) torrent: Arc<Torrent>,
    pub(crate) config: TorrentConfig,
    pub(crate) opened: Opened,
    pub(crate) peer_id: PeerId,
    pub(crate) port: u16,
    /// Decides all that is left to chance.
    pub(crate) seed: u64,
    /// Told to trackers alone.
    pub(crate) key: u32,
    pub(crate) check_threads: usize,
    pub(crate) lanes: Lanes,
    pub(crate) doors: Arc<Doors>,
    pub(crate) board: Arc<Board>,
    pub(crate) client: Arc<Client>,
    pub(crate) commands: Receiver<Command>,
}

/// The files of a torrent, and what is known of them.
pub(crate) struct Opened {
    pub(crate) storage: Arc<Storage>,
    /// Why the files cannot be written; no matter when nothing is missing.
    pub(crate) unwritable: Option<StorageError>,
    /// Remembers for the next start; `None`: nothing is.
    pub(crate) keeper: Option<Arc<Keeper>>,
    /// What was remembered.
    pub(crate) resume: Option<Resume>,
    pub(crate) lock: FolderLock,
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
        info_hash: start.torrent.info_hash,
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
    let mut inbox = Inbox::new(start.commands.clone(), notes.clone(), batches);
    let board = start.board.clone();
    let checked = check(&start, &notes, &mut inbox).await;
    let have = match checked {
        Ok(Some(have)) => have,
        Ok(None) => {
            board.keep(unchecked(&start, State::Stopped));
            return Ok(());
        }
        Err(failure) => {
            board.keep(unchecked(&start, State::Failed));
            return Err(failure);
        }
    };
    let live = open(start, notes, to_torrent, inbox, &have);
    live.run().await
}

fn open(
    start: Start,
    notes: Arc<Mailbox<Note>>,
    to_torrent: Sender<FromPeer>,
    inbox: Inbox,
    found: &Found,
) -> Live {
    let arrivals = Arc::new(AtomicUsize::new(0));
    let door = Door {
        peer_id: start.peer_id,
        notes: notes.clone(),
        arrivals: arrivals.clone(),
    };
    start.doors.open(start.torrent.info_hash, door);
    // Only now: who hears of it may connect at once.
    let have = found.have.clone();
    let blocks = partial(&start, &have);
    start.board.post(Event::Checked {
        have: have.count(),
        pieces: have.pieces(),
        bytes_checked: found.bytes_checked,
        bytes_partial: blocks_bytes(&start, &blocks),
    });
    if have.is_full() {
        start.board.post(Event::Complete);
    }
    let opened = &start.opened;
    let disk = TorrentDisk::new(
        opened.storage.clone(),
        opened.keeper.clone(),
        Some(opened.lock.clone()),
        notes.clone(),
        start.lanes.clone(),
    );
    Live::new(
        start,
        notes,
        to_torrent,
        inbox,
        arrivals,
        disk,
        Here { have, blocks },
    )
}

/// Blocks of unfinished pieces.
type Partial = Vec<(PieceIndex, Vec<usize>)>;

/// What is on the disk when it goes live.
struct Here {
    have: Bitfield,
    blocks: Partial,
}

/// The blocks of unfinished pieces that are here from before.
fn partial(start: &Start, have: &Bitfield) -> Partial {
    let resume = start.opened.resume.iter();
    let partial = resume.flat_map(|resume| &resume.blocks);
    partial
        .filter(|(piece, blocks)| !have.has(*piece) && !blocks.is_empty())
        .map(|(piece, blocks)| (*piece, blocks.iter().collect()))
        .collect()
}

fn blocks_bytes(start: &Start, partial: &Partial) -> u64 {
    let geometry = &start.torrent.info.geometry;
    let blocks = partial.iter().flat_map(|(piece, blocks)| {
        let blocks = blocks.iter();
        blocks.filter_map(|&number| geometry.nth_block(*piece, number))
    });
    blocks.map(|block| u64::from(block.length())).sum()
}

/// Finds out what is on the disk; `None` when it was stopped meanwhile.
async fn check(
    start: &Start,
    notes: &Arc<Mailbox<Note>>,
    inbox: &mut Inbox,
) -> Result<Option<Found>, Failure> {
    let total = start.torrent.info.geometry.total();
    let done = Arc::new(AtomicU64::new(0));
    let cancel = Cancel(Arc::new(AtomicBool::new(false)));
    begin_check(start, notes, &done, &cancel);
    let mut told = None;
    loop {
        let now = done.load(Ordering::Relaxed);
        if told != Some(now) {
            start.board.post(Event::Checking { done: now, total });
            told = Some(now);
        }
        inbox.wait(Instant::now() + CHECKING_EVERY, false).await;
        while let Some(command) = inbox.next_command() {
            match command {
                Command::Stop => return Ok(None),
                Command::Snapshot(asker) => {
                    let state = State::Checking { done: now, total };
                    // The asker may have gone.
                    let _ = asker.try_send(unchecked(start, state));
                }
                Command::SetRates { .. } => {}
            }
        }
        let mut found = Vec::new();
        inbox.take_notes(&mut found);
        if let Some(Note::Checked(result)) = found.pop() {
            return judge(start, result?).map(Some);
        }
    }
}

/// Ends the check when nobody waits for it any more.
struct Cancel(Arc<AtomicBool>);

impl Drop for Cancel {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn begin_check(start: &Start, notes: &Arc<Mailbox<Note>>, done: &Arc<AtomicU64>, cancel: &Cancel) {
    let (storage, threads) = (start.opened.storage.clone(), start.check_threads);
    let (keeper, resume) = (start.opened.keeper.clone(), start.opened.resume.clone());
    let (notes, done, cancel) = (notes.clone(), done.clone(), cancel.0.clone());
    start.lanes.check(move || {
        let progress = |bytes| {
            done.fetch_max(bytes, Ordering::Relaxed);
        };
        let geometry = storage.info().geometry;
        let all = || Bitfield::all(geometry.pieces());
        let wanted = resume
            .as_ref()
            .map_or_else(all, |resume| resume.check.clone());
        let known = resume.map(|resume| resume.have);
        known.iter().for_each(|known| storage.trust(known));
        let result = storage.check_some(&wanted, threads, &progress, &cancel);
        let piece = |number| geometry.piece(number);
        let result = result.map(|good| {
            let bad = wanted.ones().filter_map(piece);
            let bad = bad.filter(|&piece| !good.has(piece) && !cancel.load(Ordering::Relaxed));
            if let Some(keeper) = &keeper {
                keeper.checked(&good, &bad.collect::<Vec<_>>(), &piece);
            }
            let mut have = known.unwrap_or_else(|| Bitfield::none(geometry.pieces()));
            for piece in good.ones().filter_map(piece) {
                have.insert(piece);
            }
            let checked = wanted.ones().filter_map(piece);
            let lengths = checked.map(|piece| u64::from(geometry.piece_length(piece)));
            let bytes_checked = lengths.sum();
            Found {
                have,
                bytes_checked,
            }
        });
        // Stopped meanwhile: then nobody needs it.
        let _ = notes.push(Note::Checked(result));
    });
}

fn judge(start: &Start, found: Found) -> Result<Found, Failure> {
    let unwritable = start.opened.unwritable.clone();
    if let Some(error) = unwritable.filter(|_| !found.have.is_full()) {
        return Err(Failure::Storage(error));
    }
    Ok(found)
}

/// How things stand before anything is known.
fn unchecked(start: &Start, state: State) -> TorrentSnapshot {
    let geometry = &start.torrent.info.geometry;
    TorrentSnapshot {
        state,
        swarm: Snapshot {
            pieces: geometry.pieces(),
            bytes_total: geometry.total(),
            ..Snapshot::default()
        },
        trackers: Vec::new(),
        web_seeds: Vec::new(),
        external_ip: None,
        ways: start.opened.storage.ways(),
        usage: start.opened.storage.usage(),
        memory: None,
    }
}
