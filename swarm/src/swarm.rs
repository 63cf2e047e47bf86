//! The brain of one torrent: takes facts, gives deeds. BEP 3, 6, 9, 10, 27.
//!
//! Control flow only. What to do is decided in the parts (`picker`, `choker`, `candidates`, …) that
//! know nothing of each other; here their answers become outputs. The same seed and the same
//! inputs give the same outputs.

mod connections;
mod downloads;
mod extended;
mod gossip;
mod invariants;
mod losses;
mod messages;
mod metadata;
mod scarce;
mod seeding;
mod snapshot;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use fastrand::Rng;
use shoal_metainfo::{BLOCK_LENGTH, Bitfield, Block};
use shoal_wire::Message;

use crate::blame::Blame;
use crate::candidates::Candidates;
use crate::choker::Choker;
use crate::io::{CloseReason, Config, Event, Input, Output, PeerKey, Source};
use crate::limits::{
    CHOKED_ANSWER_WITHIN, KEEP_ALIVE_AFTER, PEERS_MAX, PEERS_WANTED, SILENT_AFTER, TICK,
    WANT_PEERS_EVERY,
};
use crate::metadata::Fetch;
use crate::peer::Peer;
use crate::picker::Picker;
use crate::rates::{Rate, TokenBucket};
use crate::spread::Spread;

use metadata::{Phase, unknown_pieces};

/// One torrent's decisions. See the crate's front page for how to drive it.
#[derive(Debug)]
pub struct Swarm {
    config: Config,
    peers: BTreeMap<PeerKey, Box<Peer>>,
    phase: Phase,
    /// The exact bytes of `info`, once they are known.
    info: Option<Bytes>,
    /// Peers that wait for pieces of it.
    metadata_owed: BTreeSet<PeerKey>,
    picker: Picker,
    /// Of a magnet, until it is live: the pieces that were chosen.
    chosen: Option<Bitfield>,
    /// What we last told a newcomer that we have: one copy for all who came since it changed.
    told_have: Bytes,
    /// While we are a seed: what to suggest.
    spread: Option<Spread>,
    /// Seeds the generators that are made later.
    rng: Rng,
    blame: Blame,
    choker: Choker,
    candidates: Candidates,
    outputs: VecDeque<Output>,

    upload_budget: TokenBucket,
    download_budget: TokenBucket,
    /// Peers with something to serve, in turn.
    to_serve: VecDeque<PeerKey>,
    /// Somebody could be asked for more if the download budget allowed it; the next in turn.
    to_ask_from: Option<PeerKey>,
    disk_failed: bool,

    downloaded: u64,
    uploaded: u64,
    wasted: u64,
    download_rate: Rate,
    upload_rate: Rate,

    tick_at: Instant,
    want_peers_at: Instant,
    /// A newcomer may take another's place from then on.
    displace_at: Instant,
    /// Counts the changes of who can be dialled by others.
    reachable_changes: u64,
    /// A slot may be free, or somebody new wants one.
    slots_changed: bool,
    /// Blocks became free that others may fetch.
    blocks_freed: bool,
    /// Room for the blocks of one pick, kept between picks.
    picked: Vec<Block>,
}

impl Swarm {
    /// A swarm without peers. `seed` decides everything that is left to chance.
    #[must_use]
    pub fn new(mut config: Config, source: Source, seed: u64, now: Instant) -> Self {
        let (phase, (geometry, have)) = match source {
            Source::Verified { geometry, have } => (Phase::Live, (geometry, have)),
            Source::Metadata => {
                let fetch = Box::new(Fetch::new(config.info_hash));
                (Phase::Metadata(fetch), unknown_pieces())
            }
        };
        config.peers_max = config.peers_max.min(PEERS_MAX);
        let mut rng = Rng::with_seed(seed);
        Self {
            peers: BTreeMap::new(),
            phase,
            info: None,
            metadata_owed: BTreeSet::new(),
            picker: Picker::new(geometry, have, rng.u64(..)),
            chosen: None,
            told_have: Bytes::new(),
            blame: Blame::default(),
            choker: Choker::new(config.unchoke_slots, rng.u64(..), now),
            candidates: Candidates::new(rng.u64(..)),
            outputs: VecDeque::new(),
            upload_budget: TokenBucket::payload(config.upload_bytes_per_s, now),
            download_budget: TokenBucket::payload(config.download_bytes_per_s, now),
            to_serve: VecDeque::new(),
            to_ask_from: None,
            disk_failed: false,
            downloaded: 0,
            uploaded: 0,
            wasted: 0,
            download_rate: Rate::new(now),
            upload_rate: Rate::new(now),
            tick_at: now,
            want_peers_at: now,
            displace_at: now,
            reachable_changes: 0,
            slots_changed: false,
            blocks_freed: false,
            picked: Vec::new(),
            spread: None,
            rng,
            config,
        }
    }

    /// Takes one fact about the world. Never blocks, never fails: a peer's fault becomes an output.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Timeout => {}
            Input::Candidates { source, addresses } => {
                let may = !self.config.private || source.is_for_private();
                for address in addresses.into_iter().filter(|_| may) {
                    self.candidates.add(now, address, source);
                }
            }
            Input::Connected {
                peer,
                address,
                direction,
                handshake,
            } => self.connected(now, peer, address, direction, handshake),
            Input::DialFailed { address } => self.candidates.failed(now, address),
            Input::Received { peer, messages } => self.received(now, peer, messages),
            Input::Unknown { peer, messages } => self.unknown(now, peer, messages),
            Input::Sent {
                peer,
                blocks,
                bytes,
            } => self.sent(now, peer, blocks, bytes),
            Input::Disconnected { peer } => self.forget(now, peer),
            Input::Verified {
                piece,
                verdict,
                blocks,
            } => self.verified(now, piece, verdict, blocks),
            Input::Resumed { piece, blocks } => self.resumed(piece, &blocks),
            Input::Only { pieces } => self.choose(pieces),
            Input::Info { bytes } => self.info = Some(bytes),
            Input::Live {
                geometry,
                have,
                resumed,
                private,
            } => {
                if private {
                    self.becomes_private(now);
                }
                self.go_live(now, geometry, have, resumed);
            }
            Input::DiskFailed => self.disk_failed(now),
            Input::DiskRecovered => {
                self.disk_failed = false;
                self.blocks_freed = true;
            }
            Input::PiecesGone { pieces } => self.pieces_gone(now, &pieces),
            Input::SetRates {
                upload_bytes_per_s,
                download_bytes_per_s,
            } => {
                self.upload_budget.set_payload_rate(now, upload_bytes_per_s);
                self.download_budget
                    .set_payload_rate(now, download_bytes_per_s);
                self.blocks_freed = true;
            }
        }
        self.settle(now);
    }

    /// Gives one deed to do. Call until `None` before the next [`Self::handle`].
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Timeout`] is due, if nothing else happens before; `None`: not needed.
    #[must_use]
    pub fn timeout(&self) -> Option<Instant> {
        let alive = !self.peers.is_empty();
        let block = u64::from(BLOCK_LENGTH);
        let times = [
            (alive || !self.is_complete()).then_some(self.tick_at),
            alive.then(|| self.choker.round_at()),
            self.may_dial().then(|| self.candidates.due_at()).flatten(),
            self.upload_budget
                .ready_at(block)
                .filter(|_| !self.to_serve.is_empty()),
            self.download_budget
                .ready_at(block)
                .filter(|_| self.to_ask_from.is_some()),
            self.metadata_ready_at(),
        ];
        times.into_iter().flatten().min()
    }

    /// The pieces that are verified.
    #[must_use]
    pub fn have(&self) -> &Bitfield {
        self.picker.have()
    }

    /// Whether every piece that is wanted is verified.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.picker.settled().is_full()
    }

    /// Whether every piece of the torrent is verified. Who is complete and not whole is a partial
    /// seed, BEP 21.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.have().is_full()
    }

    /// Does what became due or possible, whatever the input was.
    fn settle(&mut self, now: Instant) {
        if now >= self.tick_at {
            self.tick_at = now + TICK;
            self.tick(now);
        }
        if now >= self.choker.round_at() {
            self.choke_round(now);
        }
        if std::mem::take(&mut self.slots_changed) {
            self.fill_slots(now);
        }
        let ready = self.download_budget.ready_at(u64::from(BLOCK_LENGTH));
        let paid = self.to_ask_from.is_some() && ready.is_some_and(|ready| ready <= now);
        if std::mem::take(&mut self.blocks_freed) || paid {
            self.ask_all(now);
        }
        self.serve(now);
        self.serve_metadata(now);
        self.dial(now);
    }

    /// Housekeeping, once a second.
    fn tick(&mut self, now: Instant) {
        for key in self.peers.keys().copied().collect::<Vec<_>>() {
            self.look_at(now, key);
        }
        self.look_outside();
        self.gossip(now);
        self.ask_for_metadata(now);
        self.adjust_slots(now);
        self.slots_changed = true;
        self.blocks_freed = true;
        let fresh = self.candidates.fresh();
        let supply = self.peers.len() + self.candidates.dialling() + fresh;
        let wanted = self.config.peers_max.min(PEERS_WANTED);
        if supply < wanted && !self.is_complete() && now >= self.want_peers_at {
            self.want_peers_at = now + WANT_PEERS_EVERY;
            self.outputs.push_back(Output::WantPeers);
        }
    }

    /// The clocks of one peer.
    fn look_at(&mut self, now: Instant, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        let since = |then: Instant| now.saturating_duration_since(then);
        if since(peer.last_received_at) >= SILENT_AFTER {
            self.close(now, key, CloseReason::Silent);
            return;
        }
        let may_give_metadata =
            matches!(self.phase, Phase::Metadata(_)) && peer.metadata_size.is_some();
        if !peer.is_useless() || may_give_metadata {
            peer.useless_since = now;
        }
        peer.judge_hunger(now);
        let keep_alive = since(peer.last_sent_at) >= KEEP_ALIVE_AFTER;
        let stalled = peer.pipeline.is_stalled(now);
        let owes = !peer.pipeline.is_empty();
        let choked_long = owes && peer.peer_chokes && peer.allowed_by_it.is_empty();
        let mute = choked_long && since(peer.peer_chokes_since) >= CHOKED_ANSWER_WITHIN;
        if keep_alive {
            self.send(now, key, Message::KeepAlive);
        }
        if stalled || mute {
            self.give_up_requests(now, key);
            self.slots_changed = true;
        }
    }

    fn send(&mut self, now: Instant, peer: PeerKey, message: Message) {
        if let Some(state) = self.peers.get_mut(&peer) {
            state.last_sent_at = now;
            self.outputs.push_back(Output::Send { peer, message });
        }
    }

    /// Only these pieces are wanted.
    fn choose(&mut self, pieces: Bitfield) {
        match self.is_live() {
            true => self.picker.choose(pieces),
            false => self.chosen = Some(pieces),
        }
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}
