//! A torrent that has been checked: facts into the swarm, its outputs out to sockets and disk.

mod deeds;
mod disk;
mod farewell;
mod web;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use async_std::channel::Sender;
use shoal_metainfo::Block;
use shoal_storage::Storage;
use shoal_swarm::Swarm;
use shoal_swarm::io::{CandidateSource, Config, Input, PeerKey, Source};
use shoal_tracker::announcer::{Announcer, Input as TrackerInput};
use shoal_wire::{Extensions, Handshake};

use super::inbox::Inbox;
use super::links::Links;
use super::{Here, Partial, Start};
use crate::connection::{FromPeer, Surroundings};
use crate::discovery::{Discovery, Identity};
use crate::disk::{Job, TorrentDisk};
use crate::error::Failure;
use crate::event::Board;
use crate::handle::{Command, State, TorrentSnapshot};
use crate::limits::{BATCHES_A_ROUND, DISK_TRIM, FLUSH_EVERY, MEASURE_EVERY, TICK};
use crate::listen::Doors;
use crate::mailbox::Mailbox;
use crate::note::{Announced, Note};
use crate::outbox::Outbox;
use crate::tasks::Tasks;
use crate::transport::Pool;
use crate::web::WebSeeds;

use disk::Trouble;

/// A torrent with its swarm.
pub(super) struct Live {
    swarm: Swarm,
    handshake: Handshake,
    bitfield_length: usize,
    links: Links,
    discovery: Option<Discovery>,
    web: WebSeeds,
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
    storage: Arc<Storage>,
    board: Arc<Board>,
    doors: Arc<Doors>,
    peers: Vec<SocketAddr>,
}

/// What the connections of a torrent share.
pub(super) struct Shared {
    notes: Arc<Mailbox<Note>>,
    disk: Arc<TorrentDisk>,
    pool: Pool,
}

impl Surroundings for Shared {
    fn blocks_sent(&self, peer: PeerKey) {
        // The torrent has ended: then nobody counts.
        let _ = self.notes.push(Note::Sent(peer));
    }

    fn read_for(&self, outbox: &Arc<Outbox>) {
        self.disk.read_for(outbox.clone());
    }

    fn doubt(&self, blocks: Vec<Block>) {
        self.disk.doubt(blocks);
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

impl Live {
    pub(super) fn new(
        start: Start,
        notes: Arc<Mailbox<Note>>,
        to_torrent: Sender<FromPeer>,
        inbox: Inbox,
        arrivals: Arc<AtomicUsize>,
        disk: TorrentDisk,
        here: Here,
    ) -> Self {
        let Here { have, blocks } = here;
        let now = Instant::now();
        let geometry = start.torrent.info.geometry;
        let config = Config {
            info_hash: start.torrent.info_hash,
            peer_id: start.peer_id,
            listen_port: Some(start.port),
            peers_max: start.config.peers_max,
            unchoke_slots: start.config.unchoke_slots,
            upload_bytes_per_s: start.config.upload_bytes_per_s,
            download_bytes_per_s: start.config.download_bytes_per_s,
            private: start.torrent.info.private,
            pex: start.config.use_pex,
        };
        let discovery = discovery(&start, &notes, now);
        let web = web::seeds(&start, now);
        let source = Source::Verified { geometry, have };
        Self {
            swarm: Swarm::new(config, source, start.seed, now),
            handshake: Handshake {
                extensions: Extensions::OURS,
                info_hash: start.torrent.info_hash,
                peer_id: start.peer_id,
            },
            bitfield_length: geometry.pieces().div_ceil(8) as usize,
            links: Links::default(),
            discovery,
            web,
            tasks: Tasks::new(),
            jobs: vec![Vec::new(); disk.writers()],
            shared: Arc::new(Shared {
                notes,
                disk: Arc::new(disk),
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
            blocks,
            storage: start.opened.storage,
            board: start.board,
            doors: start.doors,
            peers: start.config.peers,
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
        loop {
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
            let (until, room) = (self.until(), !self.shared.disk.is_full());
            self.inbox.wait(until, room).await;
        }
    }

    fn next_batch(&mut self) -> Option<FromPeer> {
        if self.shared.disk.is_full() {
            return None;
        }
        self.inbox.next_batch()
    }

    fn until(&self) -> Instant {
        let times = [
            self.swarm.timeout(),
            self.discovery.as_ref().and_then(Discovery::timeout),
            self.trouble.as_ref().and_then(|trouble| trouble.retry_at),
            self.web_due(),
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
                let complete = self.swarm.have().is_full();
                let state = if complete {
                    State::Seeding
                } else {
                    State::Downloading
                };
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
            // The check is over before a torrent is live.
            Note::Checked(_) => {}
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
                self.tell(now, Input::Received { peer, messages });
            }
            FromPeer::Unknown(peer, messages) => {
                self.tell(now, Input::Unknown { peer, messages });
            }
            FromPeer::Ended(peer) => {
                if self.links.remove(peer) || self.web.remove(peer) {
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
            let tasks = self.tasks.spawner();
            self.web.open_due(now, tasks, &self.shared.notes);
        }
        if self.next_tick <= now {
            self.next_tick = now + TICK;
            self.links.judge(now);
            self.hand_on_jobs(|jobs| !jobs.is_empty());
            self.remember(now);
        }
        if self.next_trim <= now {
            self.next_trim = now + DISK_TRIM;
            self.shared.disk.trim();
        }
    }

    /// Has the journal kept, and what was written made durable from time to time.
    fn remember(&mut self, now: Instant) {
        let is_owed = self.shared.disk.owes_flush();
        let is_due = is_owed && self.next_flush <= now;
        if is_due || !is_owed {
            self.next_flush = now + FLUSH_EVERY;
        }
        // What failed once is tried again by itself.
        self.shared.disk.keep(is_due && self.trouble.is_none());
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
            self.shared.disk.measure();
        }
        TorrentSnapshot {
            state,
            swarm: self.swarm.snapshot(Instant::now()),
            trackers: self
                .discovery
                .as_ref()
                .map(Discovery::status)
                .unwrap_or_default(),
            web_seeds: self.web.status(),
            external_ip: self.discovery.as_ref().and_then(Discovery::external_ip),
            ways: self.storage.ways(),
            usage: self.storage.usage(),
            memory: self.shared.disk.memory(),
        }
    }
}

fn discovery(start: &Start, notes: &Arc<Mailbox<Note>>, now: Instant) -> Option<Discovery> {
    let tiers = &start.torrent.tiers;
    if !start.config.use_trackers || tiers.is_empty() {
        return None;
    }
    let identity = Identity {
        info_hash: start.torrent.info_hash,
        peer_id: start.peer_id,
        port: start.port,
        key: start.key,
    };
    let announcer = Announcer::new(tiers, start.seed, now);
    let (client, notes) = (start.client.clone(), notes.clone());
    Some(Discovery::new(announcer, client, identity, notes))
}
