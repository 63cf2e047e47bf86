//! The connections of one torrent, by name.
//!
//! Whoever drops the set closes them all. What is said on them is not known here.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use shoal_swarm::io::PeerKey;

use crate::disk::TorrentDisk;
use crate::outbox::{Judgement, Outbox, Overflow};

/// All connections that the swarm has not been told the end of.
#[derive(Default)]
pub(super) struct Links {
    by_key: HashMap<PeerKey, Link>,
    last_key: u64,
    /// Something was put into these outboxes since the last round.
    touched: Vec<PeerKey>,
}

struct Link {
    outbox: Arc<Outbox>,
    touched: bool,
}

impl Links {
    /// A new name.
    pub(super) fn name(&mut self) -> PeerKey {
        self.last_key += 1;
        PeerKey(self.last_key)
    }

    /// A new name with its outbox.
    pub(super) fn add(&mut self, now: Instant) -> Arc<Outbox> {
        let peer = self.name();
        let outbox = Arc::new(Outbox::new(peer, now));
        let link = Link {
            outbox: outbox.clone(),
            touched: false,
        };
        self.by_key.insert(peer, link);
        outbox
    }

    pub(super) fn outbox(&self, peer: PeerKey) -> Option<&Outbox> {
        self.by_key.get(&peer).map(|link| &*link.outbox)
    }

    /// The connection has ended: true when it was there.
    pub(super) fn remove(&mut self, peer: PeerKey) -> bool {
        self.by_key.remove(&peer).is_some()
    }

    /// Puts something into an outbox; a connection that takes too little is closed.
    pub(super) fn put(&mut self, peer: PeerKey, put: impl FnOnce(&Outbox) -> Result<(), Overflow>) {
        let Some(link) = self.by_key.get_mut(&peer) else {
            return;
        };
        if put(&link.outbox).is_err() {
            tracing::debug!(peer = peer.0, "closed: it takes less than it asks for");
            return link.outbox.close();
        }
        if !link.touched {
            link.touched = true;
            self.touched.push(peer);
        }
    }

    /// Wakes the connections and the readers for all that was put in since the last time.
    pub(super) fn carry_out(&mut self, disk: Option<&Arc<TorrentDisk>>) {
        for peer in self.touched.drain(..) {
            let Some(link) = self.by_key.get_mut(&peer) else {
                continue;
            };
            link.touched = false;
            if let Some(disk) = disk
                && link.outbox.wants_read()
            {
                disk.read_for(link.outbox.clone());
            }
            link.outbox.ring();
        }
    }

    /// Closes connections that only hold memory.
    pub(super) fn judge(&self, now: Instant) {
        for (peer, link) in &self.by_key {
            match link.outbox.pulse.judge(now) {
                Judgement::Fine => {}
                Judgement::Idle => link.outbox.shrink(),
                slow @ (Judgement::Dribbles | Judgement::NeverReads) => {
                    tracing::debug!(peer = peer.0, "closed: {slow:?}");
                    link.outbox.close();
                }
            }
        }
    }

    pub(super) fn close_all(&self) {
        self.by_key.values().for_each(|link| link.outbox.close());
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.close_all();
    }
}
