//! Connections come and go: who may stay, what is said first, who is dialled. BEP 3, 6, 10, 40.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use bytes::Bytes;
use shoal_metainfo::PieceIndex;
use shoal_wire::{Extensions, Handshake, Message, allowed_fast_set};

use super::Swarm;
use crate::blame::Suspect;
use crate::io::{CandidateSource, CloseReason, Direction, Event, Output, PeerKey};
use crate::limits::{
    ALLOWED_FAST_BELOW, ALLOWED_FAST_BLOCKS, ALLOWED_FAST_GIVEN, DIALS_MAX, FORGIVEN_AFTER,
    INCOMING_RESERVE, USELESS_AFTER,
};
use crate::peer::Peer;

impl Swarm {
    pub(super) fn connected(
        &mut self,
        now: Instant,
        key: PeerKey,
        address: SocketAddr,
        direction: Direction,
        handshake: Handshake,
    ) {
        debug_assert!(!self.peers.contains_key(&key), "keys are never used again");
        if direction == Direction::Outgoing {
            self.candidates.answered(address);
        }
        if let Err(reason) = self.admit(now, address, direction, &handshake) {
            if direction == Direction::Outgoing && reason != CloseReason::Duplicate {
                self.candidates.disconnected(now, address, false, false);
            }
            self.outputs.push_back(Output::Close { peer: key, reason });
            return;
        }
        let peer_id = handshake.peer_id;
        let fast = Extensions::OURS.fast() && handshake.extensions.fast();
        let pieces = self.picker.geometry().pieces();
        let peer = Peer::new(now, address, direction, peer_id, fast, pieces);
        self.peers.insert(key, Box::new(peer));
        let source = match direction {
            Direction::Incoming => Some(CandidateSource::Incoming),
            Direction::Outgoing => self.candidates.sources(address).best(),
            Direction::Web => None,
        };
        self.reachable_changes += u64::from(direction == Direction::Outgoing);
        self.tell(Event::PeerConnected {
            peer: key,
            address,
            peer_id,
            source,
        });
        if direction == Direction::Web {
            return;
        }
        self.greet(now, key, fast);
        if Extensions::OURS.extended() && handshake.extensions.extended() {
            self.send_extended_handshake(now, key, address.ip());
        }
    }

    /// Whether the connection may stay; makes room for it if it may.
    fn admit(
        &mut self,
        now: Instant,
        address: SocketAddr,
        direction: Direction,
        handshake: &Handshake,
    ) -> Result<(), CloseReason> {
        if handshake.peer_id == self.config.peer_id {
            if direction == Direction::Outgoing {
                self.candidates.is_us(address);
            }
            return Err(CloseReason::OurOwnPeerId);
        }
        if self.candidates.is_banned(address, handshake.peer_id) {
            return Err(CloseReason::Banned);
        }
        let mut others = self.peers.iter();
        let twin = others.find(|(_, other)| other.peer_id == handshake.peer_id);
        if let Some((&twin, _)) = twin {
            return self.settle_duplicate(now, twin, address, direction);
        }
        if self.peers.len() < self.config.peers_max {
            return Ok(());
        }
        let useless = self.peers.iter().filter(|(_, peer)| {
            let since = now.saturating_duration_since(peer.useless_since);
            peer.is_useless() && since >= USELESS_AFTER
        });
        let oldest = useless.min_by_key(|(key, peer)| (peer.useless_since, **key));
        if let Some((&key, _)) = oldest {
            self.close(now, key, CloseReason::Useless);
            return Ok(());
        }
        let lowest = match direction {
            Direction::Incoming => self.displaced_by(now, address),
            Direction::Outgoing | Direction::Web => None,
        };
        let key = lowest.ok_or(CloseReason::Full)?;
        self.close(now, key, CloseReason::Displaced);
        Ok(())
    }

    /// Two connections to one peer: both sides must keep the same. The one that the greater peer
    /// id opened stays; of two in the same direction the older.
    fn settle_duplicate(
        &mut self,
        now: Instant,
        twin: PeerKey,
        address: SocketAddr,
        direction: Direction,
    ) -> Result<(), CloseReason> {
        let Some(old) = self.peers.get_mut(&twin) else {
            return Ok(());
        };
        let kept = if self.config.peer_id > old.peer_id {
            Direction::Outgoing
        } else {
            Direction::Incoming
        };
        if old.direction == direction || old.direction == kept {
            if direction == Direction::Outgoing && old.listens_at.is_none() {
                // Now we know where it listens: not to be dialled while the old one lives.
                old.listens_at = Some(address);
                self.reachable_changes += 1;
            } else if direction == Direction::Outgoing && old.listens_at != Some(address) {
                // The same peer behind two addresses: the second rests.
                self.candidates.disconnected(now, address, false, false);
            }
            return Err(CloseReason::Duplicate);
        }
        self.close(now, twin, CloseReason::Duplicate);
        Ok(())
    }

    /// Says what we have; the first message, BEP 3 and 6.
    fn greet(&mut self, now: Instant, key: PeerKey, fast: bool) {
        let have = self.picker.have();
        let message = match fast {
            true if have.is_full() => Message::HaveAll,
            true if have.is_empty() => Message::HaveNone,
            false if have.is_empty() => return,
            _ => {
                if self.told_have != have.as_wire() {
                    self.told_have = Bytes::copy_from_slice(have.as_wire());
                }
                Message::Bitfield(self.told_have.clone())
            }
        };
        self.send(now, key, message);
    }

    /// Gives a newcomer pieces that it may ask for while choked. BEP 6, "allowed fast".
    pub(super) fn allow_fast(&mut self, now: Instant, key: PeerKey) {
        let geometry = *self.picker.geometry();
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        let is_new = peer.holdings.count(geometry.pieces()) < ALLOWED_FAST_BELOW;
        if peer.direction == Direction::Web {
            return;
        }
        let (true, IpAddr::V4(ip)) = (peer.fast && is_new, peer.address.ip().to_canonical()) else {
            return;
        };
        let pieces = geometry.pieces();
        let set = allowed_fast_set(ip, self.config.info_hash, pieces, ALLOWED_FAST_GIVEN);
        let ours = set.into_iter().filter_map(|index| geometry.piece(index));
        let have = self.picker.have();
        // What we have alone is dealt out, each piece to one; the choker says to whom.
        peer.allowed_by_us = ours
            .filter(|&piece| have.has(piece) && !peer.holdings.has(piece))
            .filter(|&piece| self.picker.rarity(piece) > 0)
            .collect();
        let blocks = peer
            .allowed_by_us
            .iter()
            .map(|&piece| geometry.block_count(piece));
        peer.allowed_blocks_left = blocks.sum::<usize>().min(ALLOWED_FAST_BLOCKS);
        for piece in peer.allowed_by_us.clone() {
            let index = piece.get();
            self.send(now, key, Message::AllowedFast { index });
        }
    }

    /// The peer told the port where it listens. BEP 10, `p`.
    pub(super) fn listens_at(&mut self, now: Instant, key: PeerKey, port: u16) {
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        if peer.listens_at.is_none() {
            let address = SocketAddr::new(peer.address.ip(), port);
            peer.listens_at = Some(address);
            self.reachable_changes += 1;
            self.candidates.add(now, address, CandidateSource::Incoming);
            self.candidates.connected(address);
        }
    }

    /// Closes the connection from our side.
    pub(super) fn close(&mut self, now: Instant, key: PeerKey, reason: CloseReason) {
        if self.peers.contains_key(&key) {
            self.outputs.push_back(Output::Close { peer: key, reason });
            self.forget(now, key);
        }
    }

    /// The connection is gone; what it held is everybody's again.
    pub(super) fn forget(&mut self, now: Instant, key: PeerKey) {
        self.release_requests(key);
        let Some(peer) = self.peers.remove(&key) else {
            return;
        };
        self.metadata_peer_left(key);
        if let Some(spread) = &mut self.spread {
            spread.take_back(key);
        }
        self.picker.peer_left(&peer.holdings);
        self.slots_changed = true;
        if let Some(address) = peer.listens_at {
            self.reachable_changes += 1;
            let lasted = now.saturating_duration_since(peer.connected_at);
            let good = lasted >= FORGIVEN_AFTER || peer.downloaded > 0;
            let is_seed = peer.is_finished();
            self.candidates.disconnected(now, address, good, is_seed);
        }
    }

    pub(super) fn may_dial(&self) -> bool {
        let most = self.config.peers_max - self.config.peers_max / INCOMING_RESERVE;
        let dialling = self.candidates.dialling();
        dialling < DIALS_MAX && self.peers.len() + dialling < most
    }

    pub(super) fn dial(&mut self, now: Instant) {
        while self.may_dial() {
            let Some(address) = self.candidates.dial(now, self.is_complete()) else {
                return;
            };
            self.outputs.push_back(Output::Dial { address });
        }
    }

    /// Never speaks to the guilty again.
    pub(super) fn ban(&mut self, now: Instant, guilty: Suspect, piece: Option<PieceIndex>) {
        let known = self.candidates.is_banned(guilty.address, guilty.peer_id);
        match guilty.is_web {
            true => self.candidates.ban_web(guilty.address, guilty.peer_id),
            false => self.candidates.ban(guilty.address, guilty.peer_id),
        }
        // What it spoiled before comes to light piece by piece; once is enough.
        if !known {
            self.tell(Event::PeerBanned {
                address: guilty.address,
                piece,
            });
        }
        let theirs = self
            .peers
            .iter()
            .filter(|(_, peer)| self.candidates.is_banned(peer.address, peer.peer_id));
        for key in theirs.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.close(now, key, CloseReason::Banned);
        }
    }
}
