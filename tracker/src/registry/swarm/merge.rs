//! What other trackers heard of the peers of one torrent and address family. BEP 3 "trackers".
//!
//! The newest word counts, whoever has it. Others' peers take room that is free and no one's place.

use fastrand::Rng;
use shoal_metainfo::PeerId;

use super::{Key, PeerDetail, Room, Swarm};
use crate::announce::LEFT_UNKNOWN;
use crate::registry::store::State;

/// A peer that announced here is known here best: another tracker's word of it counts when it is
/// newer by this, seconds. Ours: what comes back to us of our own was written so much later.
const OWN_WORD: u32 = 30;

impl<const N: usize> Swarm<N> {
    /// Takes a peer that another tracker told of, last seen as its state says.
    pub(in crate::registry) fn merge(
        &mut self,
        key: Key,
        address: [u8; N],
        heard: State,
        is_seed: bool,
        room: Room,
        rng: &mut Rng,
    ) {
        let mut state = heard;
        if let Some(at) = self.find(key, &address) {
            let known = self.store.states()[at];
            let slack = if known.is_foreign() { 0 } else { OWN_WORD };
            if heard.seen() <= known.seen().saturating_add(slack) {
                return;
            }
            if known.peer_id == heard.peer_id {
                // It stays ours if it was, and what it completed stays counted.
                state = known.seen_at(heard.seen());
            }
            if (at < self.seeds()) == is_seed {
                *self.store.state_mut(at) = state;
                return;
            }
            self.remove(key, at);
        } else if self.len() >= room.total || self.surplus(key, &address, room.host, rng).is_some()
        {
            return;
        }
        self.insert(key, address, state, unknown(is_seed), rng);
    }

    /// Takes out a peer that another tracker heard go, unless it was heard of since.
    pub(in crate::registry) fn forget(
        &mut self,
        key: Key,
        address: &[u8; N],
        peer_id: PeerId,
        seen: u32,
    ) {
        let Some(at) = self.find(key, address) else {
            return;
        };
        let state = self.store.states()[at];
        if state.peer_id == peer_id && state.seen() <= seen {
            self.remove(key, at);
        }
    }
}

/// Other trackers tell no numbers of their peers. BEP 3 has no word for that; what clients announce
/// whose torrent has no metadata yet is `left` of all that fits.
fn unknown(is_seed: bool) -> PeerDetail {
    PeerDetail {
        left: if is_seed { 0 } else { LEFT_UNKNOWN },
        uploaded: 0,
        downloaded: 0,
    }
}
