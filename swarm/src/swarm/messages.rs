//! What each message of a peer means: a table. BEP 3, 6, 10.

use std::time::Instant;

use bytes::Bytes;
use shoal_metainfo::{Bitfield, BitfieldError, PieceIndex};
use shoal_wire::Message;

use super::Swarm;
use crate::holdings::Holdings;
use crate::io::{CloseReason, PeerKey};
use crate::limits::{
    ALLOWED_FAST_KEPT, BITFIELD_PIECES_PER_CHARGE, SUGGESTED_KEPT, UNREQUESTED_REJECTS_MAX,
};
use crate::misbehaved::PeerMisbehaved;
use crate::peer::Peer;
use crate::requests::Rejected;

impl Swarm {
    /// Everything that one read of the socket held.
    pub(super) fn received(&mut self, now: Instant, key: PeerKey, messages: Vec<Message>) {
        for message in messages {
            let Some(peer) = self.peers.get_mut(&key) else {
                return;
            };
            peer.last_received_at = now;
            let done = peer.admit(&message);
            let done = done.and_then(|()| self.message(now, key, message));
            if let Err(fault) = done {
                self.close(now, key, CloseReason::Misbehaved(fault));
                return;
            }
        }
        let finished = self.peers.get(&key).map(|peer| peer.is_finished());
        if finished == Some(true) && self.is_complete() {
            self.close(now, key, CloseReason::BothSeeds);
        }
        self.ask(now, key);
    }

    /// Messages that we do not know: a few are an extension of a newer client.
    pub(super) fn unknown(&mut self, now: Instant, key: PeerKey, messages: u32) {
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        peer.last_received_at = now;
        let flood = PeerMisbehaved::ControlFlood;
        if let Err(fault) = peer.charge_for(now, messages.into(), flood) {
            self.close(now, key, CloseReason::Misbehaved(fault));
        }
    }

    fn message(
        &mut self,
        now: Instant,
        key: PeerKey,
        message: Message,
    ) -> Result<(), PeerMisbehaved> {
        if !self.is_live() {
            return self.early(now, key, message);
        }
        match message {
            Message::KeepAlive | Message::Port(_) => self.charge(now, key),
            Message::Choke => self.choked(now, key),
            Message::Unchoke => self.unchoked(now, key),
            Message::Interested => self.interested(now, key, true),
            Message::NotInterested => self.interested(now, key, false),
            Message::Have { index } => self.have_came(now, key, index),
            Message::Bitfield(bits) => self.bitfield_came(now, key, &bits),
            Message::Request(raw) => {
                let block = self.picker.geometry().block(raw);
                let block = block.ok_or(PeerMisbehaved::RequestOutOfRange(raw))?;
                self.requested(now, key, block)
            }
            Message::Piece { index, begin, data } => self.block_came(now, key, index, begin, data),
            Message::Cancel(raw) => self.cancelled(now, key, self.picker.geometry().block(raw)),
            Message::Suggest { index } => {
                let piece = self.piece(index, PeerMisbehaved::SuggestOutOfRange)?;
                self.suggested(now, key, piece)
            }
            Message::HaveAll => self.holdings_came(now, key, Holdings::All),
            Message::HaveNone => {
                let none = Bitfield::none(self.picker.geometry().pieces());
                self.holdings_came(now, key, Holdings::Some(none))
            }
            Message::Reject(raw) => {
                let block = self.picker.geometry().block(raw);
                let rejected = block.map(|block| self.rejected(now, key, block));
                self.reject_counted(key, rejected.unwrap_or(Rejected::Never))
            }
            Message::AllowedFast { index } => {
                let piece = self.piece(index, PeerMisbehaved::AllowedFastOutOfRange)?;
                self.allowed_fast(now, key, piece)
            }
            Message::Extended { id, payload } => self.extended(now, key, id, &payload),
        }
    }

    /// A piece index as sent, if there is such a piece.
    pub(super) fn piece(
        &self,
        index: u32,
        fault: impl Fn(u32) -> PeerMisbehaved,
    ) -> Result<PieceIndex, PeerMisbehaved> {
        self.picker
            .geometry()
            .piece(index)
            .ok_or_else(|| fault(index))
    }

    pub(super) fn peer(&mut self, key: PeerKey) -> &mut Peer {
        self.peers
            .get_mut(&key)
            .expect("looked up before, in the same call")
    }

    pub(super) fn charge(&mut self, now: Instant, key: PeerKey) -> Result<(), PeerMisbehaved> {
        self.peer(key).charge(now, PeerMisbehaved::ControlFlood)
    }

    pub(super) fn choked(&mut self, now: Instant, key: PeerKey) -> Result<(), PeerMisbehaved> {
        let peer = self.peer(key);
        if !peer.peer_chokes {
            peer.peer_chokes = true;
            peer.peer_chokes_since = now;
            peer.suggested_by_it.clear();
            // With BEP 6 each request gets its own answer; without, the choke is the answer.
            if !self.peer(key).fast {
                self.release_requests(key);
            } else if self.picker.forsaken(key) {
                self.give_up_requests(now, key);
            }
        }
        self.charge(now, key)
    }

    pub(super) fn unchoked(&mut self, now: Instant, key: PeerKey) -> Result<(), PeerMisbehaved> {
        let peer = self.peer(key);
        if peer.peer_chokes {
            peer.peer_chokes = false;
            peer.pipeline.restart();
        }
        self.charge(now, key)
    }

    pub(super) fn interested(
        &mut self,
        now: Instant,
        key: PeerKey,
        interested: bool,
    ) -> Result<(), PeerMisbehaved> {
        let peer = self.peer(key);
        if peer.peer_is_interested != interested {
            peer.peer_is_interested = interested;
            peer.useless_since = now;
            self.slots_changed = true;
        }
        self.charge(now, key)
    }

    fn have_came(&mut self, now: Instant, key: PeerKey, index: u32) -> Result<(), PeerMisbehaved> {
        let piece = self.piece(index, PeerMisbehaved::HaveOutOfRange)?;
        if !self.peer(key).holdings.insert(piece) {
            return self.charge(now, key);
        }
        self.picker.peer_gained(piece);
        if self.picker.lacks(piece) {
            self.peer(key).wanted += 1;
            self.update_interest(now, key);
        }
        Ok(())
    }

    fn bitfield_came(
        &mut self,
        now: Instant,
        key: PeerKey,
        payload: &Bytes,
    ) -> Result<(), PeerMisbehaved> {
        let pieces = self.picker.geometry().pieces();
        let bits = Bitfield::from_wire(payload, pieces).map_err(|error| match error {
            BitfieldError::Length { expected, found } => {
                PeerMisbehaved::BitfieldLength { expected, found }
            }
            _ => PeerMisbehaved::BitfieldSpareBits,
        })?;
        self.holdings_came(now, key, Holdings::new(bits))
    }

    /// All that the peer has, in place of all that it told before.
    ///
    /// BEP 3 and 6 allow it as the first message only, but aria2 says so in place of twenty haves:
    /// later ones are taken, and paid for unless they bring news.
    fn holdings_came(
        &mut self,
        now: Instant,
        key: PeerKey,
        holdings: Holdings,
    ) -> Result<(), PeerMisbehaved> {
        let pieces = self.picker.geometry().pieces();
        let before = self.peer(key).holdings.count(pieces);
        let gained = holdings.count(pieces).saturating_sub(before);
        let wanted = holdings.count_outside(self.picker.settled());
        self.picker.peer_came(&holdings);
        let peer = self.peer(key);
        let old = std::mem::replace(&mut peer.holdings, holdings);
        peer.wanted = wanted;
        let first = !std::mem::replace(&mut peer.told_holdings, true);
        self.picker.peer_left(&old);
        self.update_interest(now, key);
        if first {
            self.allow_fast(now, key);
            return Ok(());
        }
        let cost =
            (1 + u64::from(pieces / BITFIELD_PIECES_PER_CHARGE)).saturating_sub(gained.into());
        let flood = PeerMisbehaved::ControlFlood;
        self.peer(key).charge_for(now, cost, flood)
    }

    fn suggested(
        &mut self,
        now: Instant,
        key: PeerKey,
        piece: PieceIndex,
    ) -> Result<(), PeerMisbehaved> {
        let news = self.picker.is_missing(piece);
        let peer = self.peer(key);
        peer.suggested_at = Some(now);
        let suggested = &mut peer.suggested_by_it;
        if news && suggested.len() < SUGGESTED_KEPT && !suggested.contains(&piece) {
            suggested.push(piece);
            return Ok(());
        }
        self.charge(now, key)
    }

    fn allowed_fast(
        &mut self,
        now: Instant,
        key: PeerKey,
        piece: PieceIndex,
    ) -> Result<(), PeerMisbehaved> {
        let wanted = self.picker.lacks(piece);
        let allowed = &mut self.peer(key).allowed_by_it;
        if wanted && allowed.len() < ALLOWED_FAST_KEPT && !allowed.contains(&piece) {
            allowed.push(piece);
        }
        self.charge(now, key)
    }

    pub(super) fn reject_counted(
        &mut self,
        key: PeerKey,
        rejected: Rejected,
    ) -> Result<(), PeerMisbehaved> {
        if rejected == Rejected::Never {
            let peer = self.peer(key);
            peer.unrequested_rejects += 1;
            if peer.unrequested_rejects > UNREQUESTED_REJECTS_MAX {
                return Err(PeerMisbehaved::RejectFlood);
            }
        }
        Ok(())
    }
}
