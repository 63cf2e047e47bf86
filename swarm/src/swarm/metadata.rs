//! A swarm that does not know its torrent yet, and how it comes to life. BEP 9.
//!
//! ```text
//! asking for metadata ──SHA-1 is right──▶ waiting for the shell to check the disk ──Live──▶ live
//! ```
//! In the first two nobody knows which pieces there are: the picker is of one piece that nobody
//! has, so that the rest of the swarm sees a download that can ask for nothing; what peers say of
//! their pieces is kept and said again when the swarm comes to life.

use std::time::Instant;

use bytes::Bytes;
use shoal_metainfo::{Bitfield, Geometry, PieceIndex};
use shoal_wire::extended::metadata::{METADATA_PIECE_LENGTH, metadata_pieces};
use shoal_wire::extended::{ExtendedHandshake, UT_METADATA};
use shoal_wire::{Message, MetadataMessage};

use super::Swarm;
use crate::holdings::Holdings;
use crate::io::{CloseReason, Event, Output, PeerKey};
use crate::limits::{BITFIELD_PIECES_PER_CHARGE, EARLY_BITFIELD_BYTES_MAX, HAVES_WHEN_LIVE_MAX};
use crate::metadata::{Answer, Arrival, Fetch};
use crate::misbehaved::PeerMisbehaved;
use crate::picker::Picker;
use crate::requests::Rejected;

/// How much is known of the torrent.
#[derive(Debug)]
pub(super) enum Phase {
    /// Its name.
    Metadata(Box<Fetch>),
    /// Its `info`, and not what of it is on the disk.
    Checking,
    /// Everything.
    Live,
}

/// The pieces of a torrent that nobody knows: one, and nobody has it.
pub(super) fn unknown_pieces() -> (Geometry, Bitfield) {
    let geometry = Geometry::new(1, 1).expect("one byte in one piece is a torrent");
    (geometry, Bitfield::none(1))
}

impl Swarm {
    /// Whether it is known which pieces there are.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live)
    }

    /// What we tell as `metadata_size`.
    pub(super) fn metadata_size(&self) -> Option<u32> {
        let info = self.info.as_ref()?;
        u32::try_from(info.len()).ok()
    }

    /// A message that would need to know the pieces, or might.
    pub(super) fn early(
        &mut self,
        now: Instant,
        key: PeerKey,
        message: Message,
    ) -> Result<(), PeerMisbehaved> {
        let news = match message {
            Message::Choke => return self.choked(now, key),
            Message::Unchoke => return self.unchoked(now, key),
            Message::Interested => return self.interested(now, key, true),
            Message::NotInterested => return self.interested(now, key, false),
            Message::Extended { id, payload } => return self.extended(now, key, id, &payload),
            Message::Piece { index, begin, data } => {
                return self.block_came(now, key, index, begin, data);
            }
            Message::Reject(_) => return self.reject_counted(key, Rejected::Never),
            Message::Request(raw) => {
                self.peer(key).charge(now, PeerMisbehaved::RequestFlood)?;
                if self.peer(key).fast {
                    self.send(now, key, Message::Reject(raw));
                }
                return Ok(());
            }
            Message::KeepAlive | Message::Port(_) | Message::Cancel(_) => false,
            Message::Have { index } => {
                let kept = self.peer(key).early.have(index);
                kept.map_err(|_| PeerMisbehaved::ControlFlood)?
            }
            Message::Bitfield(bits) => return self.early_bitfield(now, key, &bits),
            Message::HaveAll => {
                self.peer(key).early.have_all();
                false
            }
            Message::HaveNone => {
                self.peer(key).early.have_none();
                false
            }
            Message::Suggest { index } => self.peer(key).early.suggest(index),
            Message::AllowedFast { index } => self.peer(key).early.allow(index),
        };
        match news {
            true => Ok(()),
            false => self.charge(now, key),
        }
    }

    fn early_bitfield(
        &mut self,
        now: Instant,
        key: PeerKey,
        bits: &Bytes,
    ) -> Result<(), PeerMisbehaved> {
        let others = self.peers.iter().filter(|(other, _)| **other != key);
        let held: usize = others.map(|(_, peer)| peer.early.bytes()).sum();
        if held + bits.len() > EARLY_BITFIELD_BYTES_MAX {
            self.close(now, key, CloseReason::Full);
            return Ok(());
        }
        self.peer(key).early.bitfield(bits);
        let cost = 1 + bits.len() as u64 / u64::from(BITFIELD_PIECES_PER_CHARGE / 8);
        self.peer(key)
            .charge_for(now, cost, PeerMisbehaved::ControlFlood)
    }

    /// The peer tells whether it takes requests for metadata, and whether it has it.
    pub(super) fn offers_metadata(
        &mut self,
        now: Instant,
        key: PeerKey,
        handshake: &ExtendedHandshake,
    ) {
        let peer = self
            .peers
            .get_mut(&key)
            .expect("looked up before each message");
        peer.metadata_size = handshake.metadata_size.or(peer.metadata_size);
        let who = peer.as_suspect(key);
        let (takes, size) = (
            peer.extensions.id(UT_METADATA).is_some(),
            peer.metadata_size,
        );
        if let Phase::Metadata(fetch) = &mut self.phase {
            match size.filter(|_| takes) {
                Some(size) => fetch.offers(who, size),
                None => fetch.left(key),
            }
            self.ask_for_metadata(now);
        }
    }

    /// A message of `ut_metadata` came.
    pub(super) fn ut_metadata(
        &mut self,
        now: Instant,
        key: PeerKey,
        payload: &Bytes,
    ) -> Result<(), PeerMisbehaved> {
        match MetadataMessage::decode(payload) {
            Ok(MetadataMessage::Request { piece }) => self.metadata_requested(now, key, piece),
            Ok(MetadataMessage::Data {
                piece,
                total_size,
                data,
            }) => self.metadata_came(now, key, piece, total_size, &data),
            Ok(MetadataMessage::Reject { piece }) => {
                if let Phase::Metadata(fetch) = &mut self.phase {
                    fetch.rejected(now, key, piece);
                    self.ask_for_metadata(now);
                }
                self.charge(now, key)
            }
            // BEP 9: a type that nobody knows must be ignored; so is nonsense.
            Err(_) => self.charge(now, key),
        }
    }

    fn metadata_requested(
        &mut self,
        now: Instant,
        key: PeerKey,
        piece: u32,
    ) -> Result<(), PeerMisbehaved> {
        let exists = self
            .metadata_size()
            .is_some_and(|size| piece < metadata_pieces(size));
        let peer = self.peer(key);
        let Some(id) = peer.extensions.id(UT_METADATA) else {
            // It could not even be told that it gets none.
            return self.charge(now, key);
        };
        if exists && peer.metadata_owed(now).asked(piece) == Answer::Later {
            self.metadata_owed.insert(key);
            return Ok(());
        }
        peer.charge(now, PeerMisbehaved::RequestFlood)?;
        let reject = MetadataMessage::Reject { piece };
        self.send(now, key, reject.message(id));
        Ok(())
    }

    /// Sends the pieces of metadata whose time has come.
    pub(super) fn serve_metadata(&mut self, now: Instant) {
        let (Some(info), Some(total_size)) = (self.info.clone(), self.metadata_size()) else {
            return;
        };
        for key in self.metadata_owed.clone() {
            while let Some((id, piece)) = self.next_owed(now, key) {
                let begin = piece as usize * METADATA_PIECE_LENGTH as usize;
                let end = info.len().min(begin + METADATA_PIECE_LENGTH as usize);
                let data = MetadataMessage::Data {
                    piece,
                    total_size,
                    data: info.slice(begin..end),
                };
                self.send(now, key, data.message(id));
            }
        }
    }

    /// The next piece of metadata that this peer gets now, and under which number.
    fn next_owed(&mut self, now: Instant, key: PeerKey) -> Option<(u8, u32)> {
        let peer = self.peers.get_mut(&key)?;
        let id = peer.extensions.id(UT_METADATA);
        let owed = peer.metadata_owed(now);
        let piece = owed.next(now);
        if owed.ready_at().is_none() {
            self.metadata_owed.remove(&key);
        }
        // Whoever turned it off meanwhile gets no more.
        id.zip(piece)
    }

    /// When [`Self::serve_metadata`] has something to do.
    pub(super) fn metadata_ready_at(&self) -> Option<Instant> {
        let owed = self
            .metadata_owed
            .iter()
            .filter_map(|key| self.peers.get(key));
        owed.filter_map(|peer| peer.metadata_ready_at()).min()
    }

    fn metadata_came(
        &mut self,
        now: Instant,
        key: PeerKey,
        piece: u32,
        total_size: u32,
        data: &Bytes,
    ) -> Result<(), PeerMisbehaved> {
        let Phase::Metadata(fetch) = &mut self.phase else {
            // Asked for in time, and no longer needed.
            return self.charge(now, key);
        };
        match fetch.came(key, piece, total_size, data) {
            Arrival::Taken => {}
            Arrival::Unasked => return self.charge(now, key),
            Arrival::OtherSize => {
                return Err(PeerMisbehaved::MetadataSize {
                    claimed: self.peer(key).metadata_size.unwrap_or_default(),
                    found: total_size,
                });
            }
            Arrival::Wrong { guilty } => {
                self.tell(Event::MetadataFailed);
                guilty
                    .into_iter()
                    .for_each(|guilty| self.ban(now, guilty, None));
            }
            Arrival::Found { info, guilty } => {
                self.phase = Phase::Checking;
                guilty
                    .into_iter()
                    .for_each(|guilty| self.ban(now, guilty, None));
                self.outputs
                    .push_back(Output::Metadata { info: info.clone() });
                self.info = Some(info);
                self.offer_metadata(now);
            }
        }
        self.ask_for_metadata(now);
        Ok(())
    }

    /// Tells those who are here that we have the metadata now: they may lack it too.
    fn offer_metadata(&mut self, now: Instant) {
        let metadata_size = self.metadata_size();
        let handshake = ExtendedHandshake {
            metadata_size,
            ..ExtendedHandshake::default()
        };
        let takers = self.peers.iter();
        let takers = takers.filter(|(_, peer)| {
            peer.extensions.id(UT_METADATA).is_some() && peer.metadata_size != metadata_size
        });
        for key in takers.map(|(&key, _)| key).collect::<Vec<_>>() {
            self.send(now, key, handshake.message());
        }
    }

    /// Asks whoever may be asked.
    pub(super) fn ask_for_metadata(&mut self, now: Instant) {
        let Phase::Metadata(fetch) = &mut self.phase else {
            return;
        };
        for (key, piece) in fetch.requests(now) {
            let id = self
                .peers
                .get(&key)
                .and_then(|peer| peer.extensions.id(UT_METADATA));
            if let Some(id) = id {
                let request = MetadataMessage::Request { piece };
                self.send(now, key, request.message(id));
            }
        }
    }

    pub(super) fn metadata_peer_left(&mut self, key: PeerKey) {
        self.metadata_owed.remove(&key);
        if let Phase::Metadata(fetch) = &mut self.phase {
            fetch.left(key);
        }
    }

    /// Everything is known: the swarm begins its work with the peers that it has.
    pub(super) fn go_live(
        &mut self,
        now: Instant,
        geometry: Geometry,
        have: Bitfield,
        resumed: Vec<(PieceIndex, Vec<usize>)>,
    ) {
        assert!(
            matches!(self.phase, Phase::Checking),
            "goes live without its metadata, or twice"
        );
        self.phase = Phase::Live;
        let afresh = have.count() > HAVES_WHEN_LIVE_MAX;
        let haves: Vec<u32> = if afresh {
            Vec::new()
        } else {
            have.ones().collect()
        };
        self.picker = Picker::new(geometry, have, self.rng.u64(..));
        if let Some(pieces) = self.chosen.take() {
            self.picker.choose(pieces);
        }
        for (piece, blocks) in resumed {
            self.resumed(piece, &blocks);
        }
        let keys: Vec<_> = self.peers.keys().copied().collect();
        for &key in &keys {
            let peer = self.peer(key);
            peer.holdings = Holdings::Some(Bitfield::none(geometry.pieces()));
            if afresh {
                self.close(now, key, CloseReason::Afresh);
            }
            for &index in &haves {
                self.send(now, key, Message::Have { index });
            }
        }
        for key in keys {
            let early = self
                .peers
                .get_mut(&key)
                .map(|peer| std::mem::take(&mut peer.early));
            let messages = early.map(|early| early.into_messages()).unwrap_or_default();
            self.said_before(now, key, messages);
        }
        if self.is_complete() {
            self.tell_upload_only(now, true);
        }
        self.slots_changed = true;
        self.blocks_freed = true;
    }

    fn said_before(&mut self, now: Instant, key: PeerKey, messages: Vec<Message>) {
        let heard_at = self.peers.get(&key).map(|peer| peer.last_received_at);
        self.received(now, key, messages);
        // It is no sign of life that it spoke then.
        if let (Some(peer), Some(at)) = (self.peers.get_mut(&key), heard_at) {
            peer.last_received_at = at;
        }
    }
}
