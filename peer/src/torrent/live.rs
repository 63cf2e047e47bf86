//! A torrent with its swarm: facts into it, its outputs out to sockets and disk.
//!
//! One of a .torrent comes here when it has been checked; a magnet comes at once, and gets its
//! files later.

mod deeds;
mod dht;
mod disk;
mod farewell;
mod magnet;
mod web;

use std::net::SocketAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use async_std::channel::Sender;
use bytes::Bytes;
use shoal_metainfo::{Block, Torrent};
use shoal_storage::Storage;
use shoal_swarm::Swarm;
use shoal_swarm::io::{CandidateSource, Config, Input, PeerKey, Progress, Source};
use shoal_tracker::announcer::{Announcer, Input as TrackerInput};
use shoal_tracker::client::{Client, Proxy};
use shoal_wire::Handshake;

use super::check::{Check, Partial, partial};
use super::inbox::Inbox;
use super::links::Links;
use super::{Begin, Ears, Start};
use crate::connection::{FromPeer, Surroundings};
use crate::discovery::{Discovery, Identity};
use crate::disk::{Job, Lanes, TorrentDisk};
use crate::error::Failure;
use crate::event::{Board, Event};
use crate::finding::Allowed;
use crate::handle::{Command, State, TorrentSnapshot};
use crate::limits::{BATCHES_A_ROUND, DISK_TRIM, FLUSH_EVERY, MEASURE_EVERY, TICK};
use crate::listen::{Door, Doors};
use crate::mailbox::Mailbox;
use crate::note::{Announced, Found, Note};
use crate::open::Opened;
use crate::outbox::Outbox;
use crate::tasks::Tasks;
use crate::transport::Pool;
use crate::web::WebSeeds;

use dht::Seeker;
use disk::Trouble;
use magnet::{Quest, Stage};

/// A torrent with its swarm.
pub(super) struct Live {
    swarm: Swarm,
    handshake: Handshake,
    /// `None` while nobody knows.
    bitfield_length: Option<usize>,
    links: Links,
    discovery: Option<Discovery>,
    client: Arc<Client>,
    /// `None` until it is known what is missing.
    web: Option<WebSeeds>,
    /// Leads to every peer, if there is one.
    proxy: Option<Arc<Proxy>>,
    seeker: Option<Seeker>,
    allowed: Allowed,
    tasks: Tasks,
    shared: Arc<Shared>,
    to_torrent: Sender<FromPeer>,
    inbox: Inbox,
    /// Connections that wait in the inbox.
    arrivals: Arc<AtomicUsize>,
    /// Jobs for each writing thread, handed on at the end of a round.
    jobs: Vec<Vec<Job>>,
    trouble: Option<Trouble>,
    next_tick: Instant,
    next_trim: Instant,
    next_flush: Instant,
    /// When a look at the memory is no longer news.
    next_measure: Instant,
    /// Of unfinished pieces, from before.
    blocks: Partial,
    /// `None` until the files are open.
    storage: Option<Arc<Storage>>,
    /// Of a magnet that is not live yet.
    quest: Option<Box<Quest>>,
    /// What was told last of how far its metadata is.
    told_metadata: Option<Progress>,
    /// It cannot go on.
    failure: Option<Failure>,
    board: Arc<Board>,
    doors: Arc<Doors>,
    peers: Vec<SocketAddr>,
}

/// What the connections of a torrent share.
pub(super) struct Shared {
    notes: Arc<Mailbox<Note>>,
    /// Set when the files are open: no block is asked for or served before.
    disk: OnceLock<Arc<TorrentDisk>>,
    pool: Pool,
}

impl Shared {
    /// The disk of a torrent whose files are open.
    fn disk(&self) -> Option<&Arc<TorrentDisk>> {
        self.disk.get()
    }
}

impl Surroundings for Shared {
    fn blocks_sent(&self, peer: PeerKey) {
        // The torrent has ended: then nobody counts.
        let _ = self.notes.push(Note::Sent(peer));
    }

    fn read_for(&self, outbox: &Arc<Outbox>) {
        if let Some(disk) = self.disk() {
            disk.read_for(outbox.clone());
        }
    }

    fn doubt(&self, blocks: Vec<Block>) {
        if let Some(disk) = self.disk() {
            disk.doubt(blocks);
        }
    }

    fn pool(&self) -> &Pool {
        &self.pool
    }
}

/// Whether a command ends the torrent.
#[derive(PartialEq, Eq)]
enum Next {
    GoOn,
    Stop,
}

/// The exact bytes of `info`, without a copy of them.
struct InfoOf(Arc<Torrent>);

impl AsRef<[u8]> for InfoOf {
    fn as_ref(&self) -> &[u8] {
        self.0.info_bytes()
    }
}

impl Live {
    /// With files that have been checked.
    pub(super) fn of_files(start: Start, ears: Ears, found: Found) -> Self {
        let use_web_seeds = start.config.use_web_seeds;
        let (begin, mut live, lanes) = Self::new(start, ears, |begin| match begin {
            Begin::Files(torrent, _) => Source::Verified {
                geometry: torrent.info.geometry,
                have: found.have.clone(),
            },
            Begin::Magnet(_) => Source::Metadata,
        });
        let Begin::Files(torrent, opened) = begin else {
            return live;
        };
        if let Some(pieces) = opened.wanted.clone() {
            live.swarm.handle(Instant::now(), Input::Only { pieces });
        }
        live.web = use_web_seeds.then(|| live.web_seeds(Instant::now(), torrent.clone()));
        let bytes = Bytes::from_owner(InfoOf(torrent));
        live.swarm.handle(Instant::now(), Input::Info { bytes });
        let (blocks, bytes_partial) = partial(&opened, &found.have);
        live.blocks = blocks;
        let is_complete = opened.is_complete(&found.have);
        live.use_files(*opened, lanes);
        // Only now is it told: who hears of it may connect at once.
        live.is_checked(&found, bytes_partial, is_complete);
        live
    }

    /// With a name alone.
    pub(super) fn of_magnet(start: Start, ears: Ears) -> Self {
        let (config, opener) = (start.config.clone(), start.opener.clone());
        let check_threads = start.check_threads;
        let (begin, mut live, lanes) = Self::new(start, ears, |_| Source::Metadata);
        if let Begin::Magnet(magnet) = begin {
            live.quest = Some(Box::new(Quest {
                magnet,
                config,
                opener,
                lanes,
                check_threads,
                stage: Stage::Asking,
            }));
        }
        live
    }

    /// Without files.
    fn new(
        start: Start,
        ears: Ears,
        source: impl FnOnce(&Begin) -> Source,
    ) -> (Begin, Self, Lanes) {
        let Ears {
            notes,
            to_torrent,
            inbox,
        } = ears;
        let now = Instant::now();
        let arrivals = Arc::new(AtomicUsize::new(0));
        let seeker = Seeker::new(&start, now);
        let allowed = Allowed::new(&start);
        let door = Door {
            peer_id: start.peer_id,
            is_private: start.begin.is_private(),
            extensions: dht::extensions(seeker.as_ref()),
            notes: notes.clone(),
            arrivals: arrivals.clone(),
        };
        start.doors.open(start.info_hash, door);
        let live = Self {
            discovery: discovery(&start, &notes, now),
            swarm: Swarm::new(config(&start), source(&start.begin), start.seed, now),
            handshake: Handshake {
                extensions: dht::extensions(seeker.as_ref()),
                info_hash: start.info_hash,
                peer_id: start.peer_id,
            },
            bitfield_length: None,
            links: Links::default(),
            client: start.client,
            web: None,
            proxy: start.proxy,
            seeker,
            allowed,
            tasks: Tasks::new(),
            jobs: Vec::new(),
            shared: Arc::new(Shared {
                notes,
                disk: OnceLock::new(),
                pool: Pool::default(),
            }),
            to_torrent,
            inbox,
            arrivals,
            trouble: None,
            next_tick: now + TICK,
            next_trim: now + DISK_TRIM,
            next_flush: now,
            next_measure: now,
            blocks: Vec::new(),
            storage: None,
            quest: None,
            told_metadata: None,
            failure: None,
            board: start.board,
            doors: start.doors,
            peers: start.config.peers,
        };
        (start.begin, live, start.lanes)
    }

    /// From here on blocks can be written and read.
    fn use_files(&mut self, opened: Opened, lanes: Lanes) {
        let storage = opened.storage;
        let notes = self.shared.notes.clone();
        let (keeper, lock) = (opened.keeper, Some(opened.lock));
        let disk = TorrentDisk::new(storage.clone(), keeper, lock, notes, lanes);
        self.jobs = vec![Vec::new(); disk.writers()];
        let pieces = storage.info().geometry.pieces();
        self.bitfield_length = Some(pieces.div_ceil(8) as usize);
        self.storage = Some(storage);
        let is_first = self.shared.disk.set(Arc::new(disk)).is_ok();
        debug_assert!(is_first, "files are opened once");
    }

    /// Tells what is here.
    fn is_checked(&self, found: &Found, bytes_partial: u64, is_complete: bool) {
        self.board.post(Event::Checked {
            have: found.have.count(),
            pieces: found.have.pieces(),
            bytes_checked: found.bytes_checked,
            bytes_partial,
        });
        if is_complete {
            self.board.post(Event::Complete);
        }
    }

    /// Runs until it is stopped or fails, and keeps how things stood then.
    pub(super) async fn run(mut self) -> Result<(), Failure> {
        let mut ended = self.work().await;
        if ended.is_ok() {
            ended = self.farewell().await.map_err(Failure::from);
        }
        let state = if ended.is_ok() {
            State::Stopped
        } else {
            State::Failed
        };
        let last = self.snapshot(state);
        self.board.keep(last);
        let Self {
            links,
            tasks,
            inbox,
            discovery,
            ..
        } = self;
        drop((links, inbox));
        tasks.join().await;
        if let Some(discovery) = discovery {
            discovery.join().await;
        }
        ended
    }

    async fn work(&mut self) -> Result<(), Failure> {
        let mut notes = Vec::new();
        let addresses = std::mem::take(&mut self.peers);
        let source = CandidateSource::User;
        for (piece, blocks) in std::mem::take(&mut self.blocks) {
            self.tell(Instant::now(), Input::Resumed { piece, blocks });
        }
        self.tell(Instant::now(), Input::Candidates { source, addresses });
        self.take_peers_of_link(Instant::now());
        loop {
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            let now = Instant::now();
            while let Some(command) = self.inbox.next_command() {
                if self.obey(now, command) == Next::Stop {
                    return Ok(());
                }
            }
            self.inbox.take_notes(&mut notes);
            for note in notes.drain(..) {
                self.note(now, note)?;
            }
            for _ in 0..BATCHES_A_ROUND {
                match self.next_batch() {
                    Some(batch) => self.batch(now, batch),
                    None => break,
                }
            }
            self.time(now);
            self.carry_out();
            let (until, room) = (self.until(), !self.is_disk_full());
            self.inbox.wait(until, room).await;
        }
    }

    fn next_batch(&mut self) -> Option<FromPeer> {
        if self.is_disk_full() {
            return None;
        }
        self.inbox.next_batch()
    }

    fn is_disk_full(&self) -> bool {
        self.shared.disk().is_some_and(|disk| disk.is_full())
    }

    fn state(&self) -> State {
        match &self.quest {
            Some(quest) => quest.state(),
            None if self.swarm.is_complete() => State::Seeding,
            None => State::Downloading,
        }
    }

    fn until(&self) -> Instant {
        let times = [
            self.swarm.timeout(),
            self.discovery.as_ref().and_then(Discovery::timeout),
            self.trouble.as_ref().and_then(|trouble| trouble.retry_at),
            self.web_due(),
            self.seeker.as_ref().and_then(Seeker::timeout),
        ];
        times
            .into_iter()
            .flatten()
            .fold(self.next_tick, Instant::min)
    }

    fn obey(&mut self, now: Instant, command: Command) -> Next {
        match command {
            Command::Stop => return Next::Stop,
            Command::Snapshot(asker) => {
                let state = self.state();
                // The asker may have gone.
                let _ = asker.try_send(self.snapshot(state));
            }
            Command::SetRates {
                upload_bytes_per_s,
                download_bytes_per_s,
            } => {
                let input = Input::SetRates {
                    upload_bytes_per_s,
                    download_bytes_per_s,
                };
                self.tell(now, input);
            }
        }
        Next::GoOn
    }

    fn note(&mut self, now: Instant, note: Note) -> Result<(), Failure> {
        match note {
            Note::Disk(answer) => return self.disk_answer(now, answer),
            Note::Sent(peer) => {
                if let Some(outbox) = self.links.outbox(peer) {
                    let (blocks, bytes) = outbox.collect_sent();
                    let sent = Input::Sent {
                        peer,
                        blocks,
                        bytes,
                    };
                    self.tell(now, sent);
                }
            }
            Note::Greeted(greeted) => self.adopt(now, greeted),
            Note::DialFailed(address) => self.tell(now, Input::DialFailed { address }),
            Note::Announced(announced) => {
                let addresses = self.announced(now, announced);
                let source = CandidateSource::Tracker;
                self.tell(now, Input::Candidates { source, addresses });
            }
            Note::Web(note) => self.web_note(now, note),
            Note::Named { source, addresses } => {
                self.found(source, addresses.len());
                self.tell(now, Input::Candidates { source, addresses });
            }
            Note::Opened(opened) => return self.files_opened(opened),
            Note::Checked(found) => return self.files_checked(now, found?),
            Note::Looks => self.looks(),
            Note::Looked(announced) => self.looked(now, announced),
        }
        Ok(())
    }

    /// A tracker answered, or did not; whom it named.
    fn announced(&mut self, now: Instant, announced: Announced) -> Vec<SocketAddr> {
        let discovery = self.discovery.as_mut();
        discovery.map_or_else(Vec::new, |discovery| {
            discovery.answered(now, announced, &self.board)
        })
    }

    fn batch(&mut self, now: Instant, batch: FromPeer) {
        match batch {
            FromPeer::Messages(peer, messages) => {
                self.look_for_ports(peer, &messages);
                self.tell(now, Input::Received { peer, messages });
            }
            FromPeer::Unknown(peer, messages) => {
                self.tell(now, Input::Unknown { peer, messages });
            }
            FromPeer::Ended(peer) => {
                self.forget_port(peer);
                if self.links.remove(peer) || self.web_ended(peer) {
                    self.tell(now, Input::Disconnected { peer });
                }
            }
        }
    }

    fn time(&mut self, now: Instant) {
        if self.swarm.timeout().is_some_and(|at| at <= now) {
            self.tell(now, Input::Timeout);
        }
        if let Some(discovery) = &mut self.discovery
            && discovery.timeout().is_some_and(|at| at <= now)
        {
            discovery.handle(now, TrackerInput::Timeout);
        }
        self.retry_disk(now);
        if self.web_due().is_some_and(|at| at <= now) {
            self.open_web_seeds(now);
        }
        self.seek(now);
        if self.next_tick <= now {
            self.next_tick = now + TICK;
            self.links.judge(now);
            self.tell_of_quest(now);
            let is_partial_seed = self.swarm.is_complete() && !self.swarm.is_whole();
            self.tell_trackers(now, TrackerInput::Paused(is_partial_seed));
            self.hand_on_jobs(|jobs| !jobs.is_empty());
            self.remember(now);
        }
        if self.next_trim <= now {
            self.next_trim = now + DISK_TRIM;
            self.shared.disk().iter().for_each(|disk| disk.trim());
        }
    }

    /// Has the journal kept, and what was written made durable from time to time.
    fn remember(&mut self, now: Instant) {
        let Some(disk) = self.shared.disk() else {
            return;
        };
        let is_owed = disk.owes_flush();
        let is_due = is_owed && self.next_flush <= now;
        if is_due || !is_owed {
            self.next_flush = now + FLUSH_EVERY;
        }
        // What failed once is tried again by itself.
        disk.keep(is_due && self.trouble.is_none());
    }

    /// One fact to the swarm, and all that it wants done for it.
    fn tell(&mut self, now: Instant, input: Input) {
        self.swarm.handle(now, input);
        while let Some(output) = self.swarm.poll() {
            self.put(now, output);
        }
    }

    fn snapshot(&mut self, state: State) -> TorrentSnapshot {
        let now = Instant::now();
        if self.next_measure <= now {
            self.next_measure = now + MEASURE_EVERY;
            self.shared.disk().iter().for_each(|disk| disk.measure());
        }
        TorrentSnapshot {
            state,
            swarm: self.swarm.snapshot(Instant::now()),
            trackers: self
                .discovery
                .as_ref()
                .map(Discovery::status)
                .unwrap_or_default(),
            finding: Some(self.finding()),
            web_seeds: self.web.as_ref().map(WebSeeds::status).unwrap_or_default(),
            external_ip: self.discovery.as_ref().and_then(Discovery::external_ip),
            ways: self.storage.as_ref().map(|storage| storage.ways()),
            usage: self.storage.as_ref().map(|storage| storage.usage()),
            memory: self.shared.disk().and_then(|disk| disk.memory()),
        }
    }
}

fn config(start: &Start) -> Config {
    Config {
        info_hash: start.info_hash,
        peer_id: start.peer_id,
        listen_port: start.reach.port(),
        peers_max: start.config.peers_max,
        unchoke_slots: start.config.unchoke_slots,
        upload_bytes_per_s: start.config.upload_bytes_per_s,
        download_bytes_per_s: start.config.download_bytes_per_s,
        private: start.begin.is_private(),
        pex: start.config.use_pex,
    }
}

fn discovery(start: &Start, notes: &Arc<Mailbox<Note>>, now: Instant) -> Option<Discovery> {
    let tiers = &start.tiers;
    if !start.config.use_trackers || tiers.is_empty() {
        return None;
    }
    let identity = Identity {
        info_hash: start.info_hash,
        peer_id: start.peer_id,
        reach: start.reach.clone(),
        key: start.key,
    };
    let announcer = Announcer::new(tiers, start.seed, now);
    let (client, notes) = (start.client.clone(), notes.clone());
    Some(Discovery::new(announcer, client, identity, notes))
}
