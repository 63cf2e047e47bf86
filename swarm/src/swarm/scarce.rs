//! Who gives way to a newcomer when every place is taken. BEP 40, "canonical peer priority".
//!
//! Nobody can choose his priority, but somebody with many addresses can choose among them. So only
//! those give way who came by themselves, as the newcomer does: what we dialled is our own choice
//! and stays. And they do so one by one, and not while they are of use.

use std::net::SocketAddr;
use std::time::Instant;

use super::Swarm;
use crate::io::{CandidateSource, Direction, PeerKey};
use crate::limits::{DISPLACE_EVERY, DISPLACED_AFTER, SLOT_RATE};
use crate::outside;
use crate::peer::Peer;

impl Swarm {
    /// Learns from the peers where the world sees us.
    pub(super) fn look_outside(&mut self) {
        let Some(port) = self.config.listen_port else {
            return;
        };
        let peers = self.peers.values();
        let words = peers.filter_map(|peer| Some((peer.address.ip(), peer.sees_us_at?)));
        let ours = outside::agreed(words);
        self.candidates
            .we_are_at(ours.map(|ip| ip.map(|ip| SocketAddr::new(ip, port))));
    }

    /// Whom a newcomer from `address` displaces: of those that may be, the one of the lowest
    /// priority, if the newcomer's is higher.
    pub(super) fn displaced_by(&mut self, now: Instant, address: SocketAddr) -> Option<PeerKey> {
        if self.displace_at > now {
            return None;
        }
        let newcomer = self.candidates.priority(address)?;
        let may_go = self.peers.iter().filter(|(_, peer)| self.may_go(now, peer));
        let ranked = may_go.filter_map(|(key, peer)| {
            let priority = self.candidates.priority(peer.address)?;
            Some((priority, *key))
        });
        let (_, key) = ranked.min().filter(|&(lowest, _)| lowest < newcomer)?;
        self.displace_at = now + DISPLACE_EVERY;
        Some(key)
    }

    fn may_go(&self, now: Instant, peer: &Peer) -> bool {
        let gives = peer.download_rate.per_second(now) >= SLOT_RATE;
        let is_new = now.saturating_duration_since(peer.connected_at) < DISPLACED_AFTER;
        let named = peer
            .listens_at
            .map(|address| self.candidates.sources(address));
        let is_chosen = named.is_some_and(|named| named.has(CandidateSource::User));
        peer.direction == Direction::Incoming && !gives && peer.we_choke && !is_new && !is_chosen
    }
}
