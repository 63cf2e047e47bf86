//! Peers tell each other of peers. BEP 11; BEP 55 for those that cannot be dialled.
//!
//! Never in a private torrent (BEP 27). What is heard costs the one who says it, fills no more than
//! its share of the room, and is dialled in its turn.

use std::net::SocketAddr;
use std::time::Instant;

use shoal_wire::extended::holepunch::HolepunchError;
use shoal_wire::extended::pex::PexFlags;
use shoal_wire::extended::{Holepunch, Pex, UT_HOLEPUNCH, UT_PEX};

use super::Swarm;
use crate::candidates::is_dialable;
use crate::gossip::{Reachable, may_name};
use crate::io::{CandidateSource, CloseReason, Direction, PeerKey};
use crate::misbehaved::PeerMisbehaved;
use crate::peer::Peer;

impl Swarm {
    /// Whether peers tell each other of peers here.
    pub(super) fn gossips(&self) -> bool {
        self.config.pex && !self.config.private
    }

    /// It is known from now on that the torrent is private: whom no tracker and no person named is
    /// forgotten. Who dialled us may have been told by a tracker.
    pub(super) fn becomes_private(&mut self, now: Instant) {
        self.config.private = true;
        self.candidates.keep_for_private();
        let dialled = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.direction == Direction::Outgoing);
        let strangers = dialled.filter(|(_, peer)| {
            let mut sources = self.candidates.sources(peer.address).iter();
            !sources.any(CandidateSource::is_for_private)
        });
        for key in strangers.map(|(&key, _)| key).collect::<Vec<_>>() {
            self.close(now, key, CloseReason::Private);
        }
    }

    /// Tells everyone who may be told again what changed.
    pub(super) fn gossip(&mut self, now: Instant) {
        if !self.gossips() {
            return;
        }
        let state = self.reachable_changes;
        let due = self.peers.iter().filter(|(_, peer)| {
            peer.extensions.id(UT_PEX).is_some() && peer.gossip.is_due(now, state)
        });
        let due: Vec<_> = due.map(|(key, _)| *key).collect();
        if due.is_empty() {
            return;
        }
        let peers = self.peers.values();
        let reachable: Reachable = peers.filter_map(|peer| introduction(peer)).collect();
        for key in due {
            let Self { peers, rng, .. } = self;
            let message = peers.get_mut(&key).and_then(|peer| {
                let names = [Some(peer.address), peer.listens_at];
                let names: Vec<_> = names.into_iter().flatten().collect();
                peer.gossip.message(now, state, &reachable, &names, rng)
            });
            if let Some(message) = message {
                self.send_extension(now, key, UT_PEX, message.encode());
            }
        }
    }

    /// A `ut_pex` message came.
    pub(super) fn pex_came(
        &mut self,
        now: Instant,
        key: PeerKey,
        payload: &[u8],
    ) -> Result<(), PeerMisbehaved> {
        let peer = self.peer(key);
        if !peer.gossip.hears(now) {
            return Err(PeerMisbehaved::PexFlood);
        }
        let teller = peer.address.ip();
        let message = Pex::decode(payload).unwrap_or_default();
        for told in message.added {
            let ip = told.address.ip();
            if may_name(teller, ip) && !self.is_connected_to(told.address) {
                let is_seed = told.flags.has(PexFlags::UPLOAD_ONLY);
                self.candidates.add_told(now, told.address, key, is_seed);
            }
        }
        Ok(())
    }

    fn is_connected_to(&self, address: SocketAddr) -> bool {
        let mut peers = self.peers.values();
        peers.any(|peer| peer.listens_at == Some(address))
    }

    /// A `ut_holepunch` message came.
    pub(super) fn holepunch_came(&mut self, now: Instant, key: PeerKey, payload: &[u8]) {
        let takes_it = self.peer(key).extensions.id(UT_HOLEPUNCH).is_some();
        let Ok(message) = Holepunch::decode(payload) else {
            return;
        };
        if !takes_it || !self.peer(key).gossip.introduces(now) {
            return;
        }
        match message {
            Holepunch::Rendezvous(target) => {
                if let Err(error) = self.introduce(now, key, target) {
                    let answer = Holepunch::Error(target, error);
                    self.send_extension(now, key, UT_HOLEPUNCH, answer.encode());
                }
            }
            Holepunch::Connect(address) => {
                let teller = self.peer(key).address.ip();
                if may_name(teller, address.ip()) && !self.is_connected_to(address) {
                    self.candidates.add_told(now, address, key, false);
                    self.candidates.hurry(now, address);
                }
            }
            // We asked for none.
            Holepunch::Error(..) => {}
        }
    }

    /// Lets the peer and the one at `target` dial each other, if both are here and take it.
    fn introduce(
        &mut self,
        now: Instant,
        key: PeerKey,
        target: SocketAddr,
    ) -> Result<(), HolepunchError> {
        if !is_dialable(target) {
            return Err(HolepunchError::NoSuchPeer);
        }
        let is_at = |peer: &Peer| peer.address == target || peer.listens_at == Some(target);
        if is_at(self.peer(key)) {
            return Err(HolepunchError::NoSelf);
        }
        let mut others = self.peers.iter();
        let other = others.find(|(_, peer)| is_at(peer)).map(|(key, _)| *key);
        let other = other.ok_or(HolepunchError::NotConnected)?;
        let [here, there] = [key, other].map(|key| self.peer(key).dialled_at());
        if !may_name(here.ip(), there.ip()) || !may_name(there.ip(), here.ip()) {
            return Err(HolepunchError::NotConnected);
        }
        let peer = self.peer(other);
        if peer.extensions.id(UT_HOLEPUNCH).is_none() || !peer.gossip.introduces(now) {
            return Err(HolepunchError::NoSupport);
        }
        for (to, whom) in [(key, there), (other, here)] {
            let message = Holepunch::Connect(whom);
            self.send_extension(now, to, UT_HOLEPUNCH, message.encode());
        }
        Ok(())
    }
}

/// What others are told of the peer, if they can dial it.
fn introduction(peer: &Peer) -> Option<(SocketAddr, PexFlags)> {
    let flags = PexFlags::default()
        .with(PexFlags::UPLOAD_ONLY, peer.is_finished())
        .with(
            PexFlags::HOLEPUNCH,
            peer.extensions.id(UT_HOLEPUNCH).is_some(),
        )
        .with(PexFlags::REACHABLE, peer.direction == Direction::Outgoing);
    Some((peer.listens_at?, flags))
}
