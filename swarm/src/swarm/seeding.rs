//! Giving pieces: whom to unchoke, what to serve next. BEP 3, 6, 21.

use std::time::Instant;

use shoal_metainfo::{BLOCK_LENGTH, Block, PieceIndex};
use shoal_wire::Message;

use super::Swarm;
use crate::choker::Contender;
use crate::io::{Output, PeerKey};
use crate::limits::{REQUEST_LENGTH_FREE, SUGGEST_AHEAD_BYTES, SUGGEST_AHEAD_MAX};
use crate::misbehaved::PeerMisbehaved;
use crate::spread::Spread;
use crate::uploads::Queued;

impl Swarm {
    /// A `request` came.
    pub(super) fn requested(
        &mut self,
        now: Instant,
        key: PeerKey,
        block: Block,
    ) -> Result<(), PeerMisbehaved> {
        let piece = block.piece();
        let have = self.picker.have().has(piece);
        let is_crumb = self.is_crumb(block);
        let Some(peer) = self.peers.get_mut(&key) else {
            return Ok(());
        };
        if is_crumb {
            peer.charge(now, PeerMisbehaved::RequestFlood)?;
        }
        let exempt = peer.we_choke && peer.is_allowed_fast(piece);
        let queued = if have && (!peer.we_choke || exempt) {
            peer.uploads.push(block)
        } else {
            Queued::Full
        };
        match queued {
            Queued::Yes => {
                peer.allowed_blocks_left -= usize::from(exempt);
                peer.note_hunger(now);
                self.wants_turn(key);
                self.piece_asked(now, key, piece);
                Ok(())
            }
            Queued::Duplicate => peer.charge(now, PeerMisbehaved::RequestFlood),
            Queued::Full => {
                let charged = peer.charge(now, PeerMisbehaved::RequestFlood);
                if peer.fast && charged.is_ok() {
                    self.send(now, key, Message::Reject(block.raw()));
                }
                charged
            }
        }
    }

    /// Whether it is much less than a block: work for nothing, when there are many of it.
    fn is_crumb(&self, block: Block) -> bool {
        let rest = self.picker.geometry().piece_length(block.piece()) - block.begin();
        let is_whole = block.begin().is_multiple_of(BLOCK_LENGTH) && block.length() == rest;
        block.length() < REQUEST_LENGTH_FREE && !is_whole
    }

    /// Keeps the peer supplied with suggestions when it begins a piece.
    fn piece_asked(&mut self, now: Instant, key: PeerKey, piece: PieceIndex) {
        let unforeseen = self
            .spread
            .as_mut()
            .is_some_and(|spread| spread.asked(now, key, piece));
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        let before = peer.suggested_by_us.len();
        peer.suggested_by_us.retain(|&other| other != piece);
        if unforeseen || peer.suggested_by_us.len() < before {
            self.suggest(now, key);
        }
    }

    /// As a seed, tells an unchoked peer which pieces to ask for: some that nobody has.
    fn suggest(&mut self, now: Instant, key: PeerKey) {
        let geometry = *self.picker.geometry();
        if !self.is_whole() {
            return;
        }
        let Some(peer) = self.peers.get(&key) else {
            return;
        };
        // As many pieces as it asks for in a second or before it hears from us again.
        let second = peer.upload_rate.per_second(now).max(SUGGEST_AHEAD_BYTES);
        let ahead = second / u64::from(geometry.full_piece_length());
        let ahead = usize::try_from(ahead + 1).unwrap_or(SUGGEST_AHEAD_MAX);
        let ahead = ahead.min(SUGGEST_AHEAD_MAX);
        while let Some(peer) = self.peers.get_mut(&key) {
            if !peer.fast || peer.we_choke || peer.suggested_by_us.len() >= ahead {
                return;
            }
            let rng = &mut self.rng;
            let new = || Spread::new(geometry.all_pieces(), rng.u64(..));
            let spread = self.spread.get_or_insert_with(new);
            let Some(piece) = spread.deal(now, key, |piece| self.picker.rarity(piece) > 0) else {
                return;
            };
            peer.suggested_by_us.push(piece);
            let index = piece.get();
            self.send(now, key, Message::Suggest { index });
        }
    }

    /// A `cancel` came.
    pub(super) fn cancelled(
        &mut self,
        now: Instant,
        key: PeerKey,
        block: Option<Block>,
    ) -> Result<(), PeerMisbehaved> {
        let Some(peer) = self.peers.get_mut(&key) else {
            return Ok(());
        };
        let Some(block) = block.filter(|&block| peer.uploads.cancel(block)) else {
            return peer.charge(now, PeerMisbehaved::ControlFlood);
        };
        peer.note_hunger(now);
        if peer.fast {
            self.send(now, key, Message::Reject(block.raw()));
        }
        Ok(())
    }

    /// Blocks left for the socket.
    pub(super) fn sent(&mut self, now: Instant, key: PeerKey, blocks: u32, bytes: u64) {
        self.uploaded += bytes;
        self.upload_rate.add(now, bytes);
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        peer.last_sent_at = now;
        peer.uploaded += bytes;
        peer.upload_rate.add(now, bytes);
        if bytes > 0 {
            peer.took(now);
        }
        let promised = peer.uploads.settled(blocks);
        peer.note_hunger(now);
        self.upload_budget.give_back(promised.saturating_sub(bytes));
        self.wants_turn(key);
    }

    fn wants_turn(&mut self, key: PeerKey) {
        if let Some(peer) = self.peers.get_mut(&key)
            && !peer.in_turn
            && peer.uploads.next().is_some()
        {
            peer.in_turn = true;
            self.to_serve.push_back(key);
        }
    }

    /// Hands out blocks, one of each peer in turn, while the lines and the budget take them.
    pub(super) fn serve(&mut self, now: Instant) {
        while let Some(&key) = self.to_serve.front() {
            let peer = self.peers.get_mut(&key);
            let next = peer.and_then(|peer| peer.uploads.next().map(|block| (peer, block)));
            let Some((peer, block)) = next else {
                self.to_serve.pop_front();
                if let Some(peer) = self.peers.get_mut(&key) {
                    peer.in_turn = false;
                }
                continue;
            };
            if !self.upload_budget.take(now, u64::from(block.length())) {
                return;
            }
            peer.uploads.hand_out();
            peer.last_sent_at = now;
            self.outputs.push_back(Output::Serve { peer: key, block });
            self.to_serve.rotate_left(1);
        }
    }

    /// Ten seconds are over.
    pub(super) fn choke_round(&mut self, now: Instant) {
        let contenders = self.contenders(now);
        let served = self.choker.round(now, contenders, self.is_complete());
        for key in self.peers.keys().copied().collect::<Vec<_>>() {
            self.set_choke(now, key, !served.contains(&key));
        }
    }

    /// Gives free slots at once.
    pub(super) fn fill_slots(&mut self, now: Instant) {
        let contenders = self.contenders(now);
        let seeding = self.is_complete();
        for key in self.choker.fill(now, &contenders, seeding) {
            self.set_choke(now, key, false);
        }
    }

    pub(super) fn adjust_slots(&mut self, now: Instant) {
        let contenders = self.contenders(now);
        let seeding = self.is_complete();
        let piece_length = self.picker.geometry().full_piece_length();
        self.choker
            .adjust_slots(now, &contenders, piece_length, seeding);
    }

    fn contenders(&self, now: Instant) -> Vec<Contender> {
        let interested = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.peer_is_interested && !peer.upload_only);
        interested
            .map(|(&key, peer)| Contender {
                peer: key,
                unchoked: !peer.we_choke,
                since: peer.we_choke_since,
                served: peer.served,
                connected_at: peer.connected_at,
                snubbed: peer.pipeline.is_snubbed(),
                idle: peer.is_idle(now),
                sated: peer.is_sated(now),
                download_rate: peer.download_rate.per_second(now),
                upload_rate: peer.upload_rate.per_second(now),
            })
            .collect()
    }

    /// Chokes or unchokes, if that is a change.
    pub(super) fn set_choke(&mut self, now: Instant, key: PeerKey, choke: bool) {
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        if peer.we_choke == choke {
            return;
        }
        if choke {
            peer.turn_ends(now);
        } else {
            peer.turn_begins(now);
        }
        peer.we_choke = choke;
        peer.we_choke_since = now;
        if !choke {
            // First what to ask for: it asks as soon as it may.
            self.suggest(now, key);
            self.send(now, key, Message::Unchoke);
            return;
        }
        let allowed = std::mem::take(&mut peer.allowed_by_us);
        let dropped = peer.uploads.clear(|block| allowed.contains(&block.piece()));
        peer.allowed_by_us = allowed;
        peer.suggested_by_us.clear();
        if let Some(spread) = &mut self.spread {
            spread.take_back(key);
        }
        peer.note_hunger(now);
        let fast = peer.fast;
        self.send(now, key, Message::Choke);
        for block in dropped.into_iter().filter(|_| fast) {
            self.send(now, key, Message::Reject(block.raw()));
        }
    }
}
