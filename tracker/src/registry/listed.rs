//! Which torrents the table has: any, or those of a list; never a denied one. BEP 3 "trackers".
//!
//! The table itself is the list of a closed tracker, so an announce asks no other. Where lists come
//! from, the policy knows.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use shoal_metainfo::InfoHash;

use super::torrent::Torrent;
use super::{Registry, lock};
use crate::limits;
use crate::policy::Lists;

impl Registry {
    /// The lists that are in force.
    pub(crate) fn lists(&self) -> Arc<Lists> {
        let lists = self.lists.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&lists)
    }

    /// Puts lists in force: what they do not admit leaves the table with its peers, and of a closed
    /// tracker all that is allowed comes into it. Locks one part at a time.
    pub fn set_lists(&self, lists: Arc<Lists>) {
        *self.lists.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&lists);
        for shard in &self.shards {
            let (peers, torrents) = lock(shard).retain(|hash| lists.admit(hash).is_ok());
            self.peers.fetch_sub(peers, Ordering::Relaxed);
            self.torrents.fetch_sub(torrents, Ordering::Relaxed);
        }
        let allowed = lists.allowed().unwrap_or_default();
        for info_hash in allowed.iter().filter(|hash| lists.admit(hash).is_ok()) {
            self.keep(*info_hash);
        }
    }

    /// Tells how long peers are told to wait: those that were told so live for two of it.
    pub fn set_interval(&self, interval: Duration) {
        let seconds = u32::try_from(interval.as_secs()).unwrap_or(u32::MAX);
        self.interval.store(seconds, Ordering::Relaxed);
    }

    fn keep(&self, info_hash: InfoHash) {
        let hash = self.key.hash(&info_hash.0);
        let mut shard = self.shard(hash);
        if shard.find(hash, &info_hash).is_none() {
            let before = self.torrents.fetch_add(1, Ordering::Relaxed);
            let watched = before < self.config.watched_max;
            shard.insert(
                hash,
                Torrent::new(info_hash, watched, limits::SECONDS_BEFORE),
            );
        }
    }
}
