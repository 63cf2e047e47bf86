//! Getting pieces: asking, receiving, verifying, blaming. BEP 3, 6.

use std::time::Instant;

use bytes::Bytes;
use shoal_metainfo::{BLOCK_LENGTH, Block, PieceIndex};
use shoal_wire::Message;

use super::Swarm;
use crate::io::{CloseReason, Digest, Event, Output, PeerKey, Verdict};
use crate::limits::{ENDGAME_BLOCKS, REJECT_PAUSE, UNREQUESTED_BLOCKS_MAX};
use crate::misbehaved::PeerMisbehaved;
use crate::picker::Arrival;
use crate::requests::{Expectation, Rejected};

/// The rate that a peer is credited with that has shown none, bytes a second: a block a second.
const SLOWEST: u64 = BLOCK_LENGTH as u64;

impl Swarm {
    /// Tells the peer whether we want something it has, when that changed.
    pub(super) fn update_interest(&mut self, now: Instant, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        let interested = peer.wanted > 0;
        if interested != peer.we_are_interested {
            peer.we_are_interested = interested;
            peer.useless_since = now;
            let message = if interested {
                Message::Interested
            } else {
                Message::NotInterested
            };
            self.send(now, key, message);
        }
    }

    /// Asks everybody who could give more, snubbing peers last; starts where the download budget
    /// ran out.
    pub(super) fn ask_all(&mut self, now: Instant) {
        let first = self.to_ask_from.take().unwrap_or(PeerKey(0));
        let peers = self.peers.iter();
        let mut keys: Vec<_> = peers
            .map(|(&key, peer)| (peer.pipeline.is_snubbed(), key < first, key))
            .collect();
        keys.sort_unstable();
        for (_, _, key) in keys {
            self.ask(now, key);
            if self.to_ask_from.is_some() {
                return;
            }
        }
    }

    /// Fills the pipeline of one peer.
    pub(super) fn ask(&mut self, now: Instant, key: PeerKey) {
        let Some(peer) = self.peers.get(&key) else {
            return;
        };
        let may_ask = !peer.peer_chokes || !peer.allowed_by_it.is_empty();
        if !peer.we_are_interested || !may_ask || self.disk_failed {
            return;
        }
        let room = peer.pipeline.room(now);
        if room == 0 {
            return;
        }
        let block = u64::from(BLOCK_LENGTH);
        let paid = (0..room).take_while(|_| self.download_budget.take(now, block));
        let afforded = paid.count();
        let mut picked = std::mem::take(&mut self.picked);
        self.pick(now, key, afforded, &mut picked);
        if picked.len() == afforded && afforded < room && self.to_ask_from.is_none() {
            // The budget is out, not the blocks: whoever got some goes behind the others.
            self.to_ask_from = Some(PeerKey(key.0 + u64::from(afforded > 0)));
        }
        let unused = (afforded - picked.len()) as u64;
        self.download_budget.give_back(unused * block);
        if let Some(peer) = self.peers.get_mut(&key) {
            if !picked.is_empty() {
                let picker = &self.picker;
                peer.suggested_by_it
                    .retain(|&piece| picker.is_missing(piece));
            }
            for block in picked.drain(..) {
                peer.pipeline.asked(now, block);
                peer.last_sent_at = now;
                let message = Message::Request(block.raw());
                self.outputs.push_back(Output::Send { peer: key, message });
            }
        }
        self.picked = picked;
        self.collect_wasted();
    }

    fn pick(&mut self, now: Instant, key: PeerKey, count: usize, picked: &mut Vec<Block>) {
        let Self { peers, picker, .. } = self;
        let Some(peer) = peers.get(&key) else {
            return;
        };
        if peer.peer_chokes {
            for &piece in &peer.allowed_by_it {
                let rest = count - picked.len();
                picker.pick_of(piece, key, rest, picked);
            }
            return;
        }
        let suggested = &peer.suggested_by_it;
        // It does not know which pieces are chosen: who wants some only does not wait for its word.
        let takes_all = picker.wanted().is_none();
        if takes_all && peer.holdings.is_seed() && peer.deals(now) && picker.needs_seeds() {
            picker.pick_dealt(key, suggested, count, picked);
            return;
        }
        picker.pick(key, &peer.holdings, suggested, count, picked);
        let idle = picked.is_empty() && peer.pipeline.is_empty();
        if idle && !peer.pipeline.is_snubbed() && picker.is_endgame() {
            // A duplicate is worth it when we have the block before the holder gets to it.
            let rate = peer.download_rate.per_second(now);
            let rate = rate.max(SLOWEST);
            let ours = std::time::Duration::from_millis(u64::from(BLOCK_LENGTH) * 1_000 / rate);
            let worth = |holder: PeerKey| {
                peers.get(&holder).is_none_or(|holder| {
                    let rate = holder.download_rate.per_second(now);
                    holder.pipeline.drain_time(now, rate) > ours
                })
            };
            let count = count.min(ENDGAME_BLOCKS);
            picker.pick_duplicates(key, &peer.holdings, count, worth, picked);
        }
    }

    /// A `piece` message came.
    pub(super) fn block_came(
        &mut self,
        now: Instant,
        key: PeerKey,
        index: u32,
        begin: u32,
        data: Bytes,
    ) -> Result<(), PeerMisbehaved> {
        let Some(peer) = self.peers.get_mut(&key) else {
            return Ok(());
        };
        let bytes = data.len() as u64;
        let block = match peer.pipeline.came(now, index, begin, data.len()) {
            Expectation::Asked(block) | Expectation::Late(block) => block,
            Expectation::WrongLength(block) => {
                return Err(PeerMisbehaved::PieceLength {
                    index,
                    begin,
                    expected: block.length(),
                    found: data.len(),
                });
            }
            Expectation::Unasked => {
                self.wasted += bytes;
                // No download: else strangers would decide what trackers are told, and who is
                // given something in return.
                peer.unrequested_blocks += 1;
                let grace = match peer.pipeline.was_ever_asked() {
                    true => UNREQUESTED_BLOCKS_MAX,
                    false => 0,
                };
                let flood = peer.unrequested_blocks > grace;
                let fault = PeerMisbehaved::UnrequestedBlock { index, begin };
                return if flood { Err(fault) } else { Ok(()) };
            }
        };
        peer.downloaded += bytes;
        peer.download_rate.add(now, bytes);
        self.downloaded += bytes;
        self.download_rate.add(now, bytes);
        let sender = peer.as_suspect(key);
        if self.disk_failed {
            self.wasted += bytes;
            return Ok(());
        }
        match self.picker.received(block, key) {
            Arrival::Useless => self.wasted += bytes,
            Arrival::Accepted {
                others,
                piece_complete,
            } => {
                let piece = block.piece();
                let count = self.picker.geometry().block_count(piece);
                self.blame.received(block, count, sender);
                self.outputs.push_back(Output::Write { block, data });
                for other in others {
                    self.cancel_at(now, other, block);
                }
                if piece_complete {
                    let digests = self.blame.wants_digests(piece);
                    self.outputs.push_back(Output::Verify { piece, digests });
                }
            }
        }
        Ok(())
    }

    /// Somebody else was faster.
    fn cancel_at(&mut self, now: Instant, key: PeerKey, block: Block) {
        let asked = self
            .peers
            .get_mut(&key)
            .is_some_and(|peer| peer.pipeline.give_up(block));
        if asked {
            self.send(now, key, Message::Cancel(block.raw()));
            self.blocks_freed = true;
        }
    }

    /// A `reject` came.
    pub(super) fn rejected(&mut self, now: Instant, key: PeerKey, block: Block) -> Rejected {
        let Some(peer) = self.peers.get_mut(&key) else {
            return Rejected::Late;
        };
        let rejected = peer.pipeline.rejected(block);
        if rejected == Rejected::Asked {
            peer.allowed_by_it.retain(|&piece| piece != block.piece());
            if !peer.peer_chokes {
                peer.pipeline.pause(now + REJECT_PAUSE);
            }
            self.picker.released(block, key);
            self.download_budget.give_back(u64::from(block.length()));
            self.blocks_freed = true;
            if self.picker.forsaken(key) {
                self.give_up_requests(now, key);
            }
        }
        rejected
    }

    /// The peer's requests are taken back, and it is told; what of them still comes is late, not
    /// wrong.
    pub(super) fn give_up_requests(&mut self, now: Instant, key: PeerKey) {
        for block in self.release_requests(key) {
            self.send(now, key, Message::Cancel(block.raw()));
        }
    }

    /// The peer's requests are everybody's again; returns them.
    pub(super) fn release_requests(&mut self, key: PeerKey) -> Vec<Block> {
        let Some(peer) = self.peers.get_mut(&key) else {
            return Vec::new();
        };
        let released = peer.pipeline.give_up_all();
        for &block in &released {
            self.picker.released(block, key);
            self.download_budget.give_back(u64::from(block.length()));
        }
        self.picker.forsaken(key);
        self.blocks_freed = true;
        self.collect_wasted();
        released
    }

    /// The picker gave up pieces of which blocks were there.
    pub(super) fn collect_wasted(&mut self) {
        for (piece, bytes) in self.picker.take_wasted() {
            self.wasted += bytes;
            self.blame.forget(piece);
        }
    }

    /// Blocks are there from an earlier run. [`Blame`](crate::blame::Blame) knows no sender of
    /// them, so if the piece is bad, nobody is guilty because he alone sent the others.
    pub(super) fn resumed(&mut self, piece: PieceIndex, blocks: &[usize]) {
        let known = self.picker.geometry().piece(piece.get()).is_some();
        if known && self.picker.resume(piece, blocks) {
            let digests = self.blame.wants_digests(piece);
            self.outputs.push_back(Output::Verify { piece, digests });
        }
    }

    /// The disk's answer to `Verify`.
    pub(super) fn verified(
        &mut self,
        now: Instant,
        piece: PieceIndex,
        verdict: Verdict,
        digests: Vec<Digest>,
    ) {
        let known = self.picker.geometry().piece(piece.get()).is_some();
        if !known || !self.picker.is_verifying(piece) {
            return;
        }
        match verdict {
            Verdict::Good => self.piece_is_good(now, piece, &digests),
            Verdict::Bad => self.piece_is_bad(now, piece, digests),
            Verdict::Unknown => {
                self.blame.forget(piece);
                let suspects = self.blame.suspects(piece);
                self.picker.failed(piece, suspects);
                self.blocks_freed = true;
            }
        }
    }

    fn piece_is_good(&mut self, now: Instant, piece: PieceIndex, digests: &[Digest]) {
        self.picker.verified(piece);
        self.tell(Event::PieceVerified { piece });
        let mut sated = Vec::new();
        for (&key, peer) in &mut self.peers {
            if peer.holdings.has(piece) {
                peer.wanted -= 1;
                if peer.wanted == 0 {
                    sated.push(key);
                }
            }
            // A seed has no use for it; anybody else counts who is one.
            if !peer.holdings.is_seed() {
                peer.last_sent_at = now;
                let index = piece.get();
                let message = Message::Have { index };
                self.outputs.push_back(Output::Send { peer: key, message });
            }
        }
        for key in sated {
            self.update_interest(now, key);
        }
        for guilty in self.blame.good(piece, digests) {
            self.ban(now, guilty, Some(piece));
        }
        if self.is_complete() {
            self.tell(Event::Complete);
            let seeds = self.peers.iter().filter(|(_, peer)| peer.is_finished());
            for key in seeds.map(|(key, _)| *key).collect::<Vec<_>>() {
                self.close(now, key, CloseReason::BothSeeds);
            }
            self.tell_upload_only(now, true);
        }
    }

    fn piece_is_bad(&mut self, now: Instant, piece: PieceIndex, digests: Vec<Digest>) {
        self.wasted += u64::from(self.picker.geometry().piece_length(piece));
        self.tell(Event::PieceFailed { piece });
        let guilty = self.blame.bad(piece, digests);
        let suspects = self.blame.suspects(piece);
        self.picker.failed(piece, suspects);
        if let Some(guilty) = guilty {
            self.ban(now, guilty, Some(piece));
        }
        self.blocks_freed = true;
    }

    /// Nothing can be written: whatever is under way is taken back, and may have been spoiled by
    /// our own disk, so nobody is blamed for it.
    pub(super) fn disk_failed(&mut self, now: Instant) {
        self.disk_failed = true;
        for key in self.peers.keys().copied().collect::<Vec<_>>() {
            self.give_up_requests(now, key);
        }
        self.picker.give_up_all();
        self.collect_wasted();
        self.blame.forget_all_attempts();
    }
}
