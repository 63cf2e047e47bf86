//! Pieces that were there and are gone, theirs and ours. BEP 54 `lt_donthave`; BEP 21.

use std::time::Instant;

use shoal_metainfo::{Bitfield, PieceIndex};
use shoal_wire::Message;
use shoal_wire::extended::{LT_DONTHAVE, UPLOAD_ONLY, donthave, upload_only};

use super::Swarm;
use crate::holdings::Holdings;
use crate::io::PeerKey;
use crate::limits::BITFIELD_PIECES_PER_CHARGE;
use crate::misbehaved::PeerMisbehaved;

impl Swarm {
    /// A `lt_donthave` came: the peer's have is taken back.
    pub(super) fn donthave_came(
        &mut self,
        now: Instant,
        key: PeerKey,
        payload: &[u8],
    ) -> Result<(), PeerMisbehaved> {
        let Ok(index) = donthave::decode(payload) else {
            return Ok(());
        };
        if !self.is_live() {
            let kept = self.peer(key).early.donthave(index);
            return kept.map_err(|_| PeerMisbehaved::ControlFlood);
        }
        let piece = self.piece(index, PeerMisbehaved::DonthaveOutOfRange)?;
        let Self { peers, picker, .. } = self;
        let pieces = picker.geometry().pieces();
        let peer = peers.get_mut(&key).expect("looked up before each message");
        if !peer.holdings.has(piece) {
            return Ok(());
        }
        if peer.holdings == Holdings::All {
            // From now on its pieces are counted one by one: that is work.
            let cost = u64::from(pieces / BITFIELD_PIECES_PER_CHARGE);
            peer.charge_for(now, cost, PeerMisbehaved::ControlFlood)?;
            picker.peer_left(&peer.holdings);
            peer.holdings = Holdings::Some(Bitfield::all(pieces));
            picker.peer_came(&peer.holdings);
        }
        peer.holdings.remove(piece);
        picker.peer_lost(piece);
        peer.wanted -= u32::from(picker.lacks(piece));
        peer.allowed_by_it.retain(|&other| other != piece);
        peer.suggested_by_it.retain(|&other| other != piece);
        self.take_back_requests(now, key, piece);
        self.update_interest(now, key);
        Ok(())
    }

    /// What we asked of the peer for that piece, others may give.
    fn take_back_requests(&mut self, now: Instant, key: PeerKey, piece: PieceIndex) {
        let asked = self.peer(key).pipeline.outstanding();
        let asked: Vec<_> = asked.filter(|block| block.piece() == piece).collect();
        for block in asked {
            self.peer(key).pipeline.give_up(block);
            self.picker.released(block, key);
            self.download_budget.give_back(u64::from(block.length()));
            self.blocks_freed = true;
        }
        if self.picker.forsaken(key) {
            self.give_up_requests(now, key);
        }
        self.collect_wasted();
    }

    /// Pieces of ours are no longer on the disk.
    pub(super) fn pieces_gone(&mut self, now: Instant, pieces: &[PieceIndex]) {
        let was_complete = self.is_complete();
        let mut gone = Bitfield::none(self.picker.geometry().pieces());
        for &piece in pieces {
            let is_ours =
                self.picker.geometry().piece(piece.get()).is_some() && self.have().has(piece);
            if is_ours && gone.insert(piece) {
                self.picker.lost(piece);
                self.blame.forget(piece);
            }
        }
        for key in self.peers.keys().copied().collect::<Vec<_>>() {
            self.tell_gone(now, key, &gone);
        }
        if !gone.is_empty() {
            self.spread = None;
        }
        if was_complete && !self.is_complete() {
            self.wants_again(now);
        }
        self.slots_changed = true;
        self.blocks_freed = true;
    }

    /// One peer learns that these are gone. One that does not take `lt_donthave` is told with each
    /// request that it makes in vain.
    fn tell_gone(&mut self, now: Instant, key: PeerKey, gone: &Bitfield) {
        let Self { peers, picker, .. } = self;
        let peer = peers.get_mut(&key).expect("a key of this very list");
        let dropped = peer.uploads.clear(|block| !gone.has(block.piece()));
        peer.note_hunger(now);
        peer.allowed_by_us.retain(|&piece| !gone.has(piece));
        peer.suggested_by_us.retain(|&piece| !gone.has(piece));
        let fast = peer.fast;
        let wanted_again = gone
            .ones()
            .filter_map(|index| picker.geometry().piece(index));
        let wanted_again = wanted_again.filter(|&piece| picker.lacks(piece));
        let theirs = wanted_again.filter(|&piece| peer.holdings.has(piece));
        peer.wanted += u32::try_from(theirs.count()).expect("no more than pieces");
        for index in gone.ones() {
            self.send_extension(now, key, LT_DONTHAVE, donthave::encode(index));
        }
        for block in dropped.into_iter().filter(|_| fast) {
            self.send(now, key, Message::Reject(block.raw()));
        }
        self.update_interest(now, key);
    }

    /// We had all that is wanted and no longer have.
    fn wants_again(&mut self, now: Instant) {
        self.candidates.seeds_are_wanted(now);
        self.want_peers_at = now;
        self.tell_upload_only(now, false);
    }

    /// Tells everyone whether we want nothing any more. BEP 21.
    pub(super) fn tell_upload_only(&mut self, now: Instant, is_so: bool) {
        for key in self.peers.keys().copied().collect::<Vec<_>>() {
            self.send_extension(now, key, UPLOAD_ONLY, upload_only::encode(is_so));
        }
    }

    /// An `upload_only` message came.
    pub(super) fn upload_only_came(&mut self, now: Instant, key: PeerKey, payload: &[u8]) {
        if let Ok(is_so) = upload_only::decode(payload) {
            self.is_upload_only(now, key, is_so);
        }
    }

    /// The peer says whether it wants nothing any more: then no slot is for it. That two such part
    /// is looked at behind each batch of messages.
    pub(super) fn is_upload_only(&mut self, now: Instant, key: PeerKey, is_so: bool) {
        let peer = self.peer(key);
        if peer.upload_only != is_so {
            peer.upload_only = is_so;
            self.slots_changed = true;
            if is_so {
                self.set_choke(now, key, true);
            }
        }
    }
}
