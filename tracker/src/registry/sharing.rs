//! The table as one of several that tell each other. BEP 3 "trackers".
//!
//! What was heard here is kept in outboxes until it is taken, and all of it can be had again; what
//! others heard is merged, as foreign: it is answered, counted and forgotten like the rest, and not
//! told on. Whoever carries it, and by what way, is not known here.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use shoal_metainfo::InfoHash;

use super::outbox::{Heard, Kind, Outbox, Outgoing};
use super::{Registry, lock};
use crate::limits;

impl Registry {
    /// From now on notes what others are to be told.
    pub fn share(&self) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            let outbox = || Box::new(Outbox::new(self.key, limits::OUTBOX_MAX));
            shard.outbox.get_or_insert_with(outbox);
        }
    }

    /// How long a peer lives in silence.
    #[must_use]
    pub fn silence(&self) -> Duration {
        let interval = u64::from(self.interval.load(Ordering::Relaxed));
        Duration::from_secs(interval * 2) + limits::EXPIRY_SLACK
    }

    /// What is to be told, a part of the table after the other; each is locked for a moment.
    pub fn outgoing(&self, now: Instant) -> impl Iterator<Item = Outgoing> {
        let now = self.seconds(now);
        let take = move |shard| lock(shard).outbox.as_mut().map(|outbox| outbox.take(now));
        self.shards.iter().filter_map(take)
    }

    /// The torrents of the table, a part of it after the other.
    pub fn info_hashes(&self) -> impl Iterator<Item = Vec<InfoHash>> {
        let hashes = |shard: &super::Shard| {
            let torrents = shard.torrents().iter();
            torrents.map(|torrent| torrent.info_hash).collect()
        };
        self.shards.iter().map(move |shard| hashes(&lock(shard)))
    }

    /// How often a torrent was completed, without what is in an outbox still.
    #[must_use]
    pub fn completed_told(&self, info_hash: &InfoHash) -> u32 {
        let hash = self.key.hash(&info_hash.0);
        let shard = self.shard(hash);
        let place = shard.find(hash, info_hash);
        place.map_or(0, |place| shard.completed_told(place))
    }

    /// All peers of a torrent that announced here, and how often it was completed, without what is
    /// in an outbox still.
    #[must_use]
    pub fn own(&self, now: Instant, info_hash: &InfoHash) -> Option<(Vec<Heard>, u32)> {
        let now = self.seconds(now);
        let hash = self.key.hash(&info_hash.0);
        let shard = self.shard(hash);
        let place = shard.find(hash, info_hash)?;
        let torrent = &shard.torrents()[place];
        let own = torrent.peers().filter(|(_, state, _)| !state.is_foreign());
        let heard = own.map(|(address, state, is_seed)| Heard {
            address,
            peer_id: state.peer_id,
            kind: if is_seed { Kind::Seeder } else { Kind::Leecher },
            age: now.saturating_sub(state.seen()),
        });
        Some((heard.collect(), shard.completed_told(place)))
    }

    /// Takes what other trackers heard of a torrent that is known here: of others nothing is kept.
    /// Words older than a peer lives in silence count for nothing.
    pub fn merge(&self, now: Instant, info_hash: &InfoHash, heard: &[Heard], completed: u32) {
        let now = self.seconds(now);
        let oldest = self.oldest(now);
        let hash = self.key.hash(&info_hash.0);
        let mut shard = self.shard(hash);
        let Some(place) = shard.find(hash, info_hash) else {
            return;
        };
        if shard.torrents()[place].completed < completed {
            shard.at(place).0.completed = completed;
            shard.note_completed(hash, place);
        }
        let (torrent, rng) = shard.at(place);
        for heard in heard {
            let seen = now.saturating_sub(heard.age);
            if seen < oldest {
                continue;
            }
            let before = torrent.len();
            let room = self.room(heard.address.ip());
            torrent.merge(self.key, heard, seen, room, rng);
            self.count(before, torrent.len());
        }
    }
}
