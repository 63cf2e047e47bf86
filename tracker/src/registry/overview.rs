//! What a page shows of the table: sums, the largest torrents, one torrent's peers. BEP 3, 48.
//!
//! Each call holds one shard's lock at a time, and no longer than a walk over its torrents or a
//! copy of a bounded number of peers takes. Knows nothing of pages.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use shoal_metainfo::{InfoHash, PeerId};

use super::{Registry, lock};
use crate::announce::ScrapeEntry;

/// Sums over the table, and its largest torrents.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overview {
    /// Torrents in the table.
    pub torrents: usize,
    /// Peers that have everything.
    pub seeders: u64,
    /// Peers that do not.
    pub leechers: u64,
    /// Downloads that became whole, of all torrents in the table.
    pub completed: u64,
    /// The largest torrents by their peers, largest first.
    pub largest: Vec<ScrapeEntry>,
}

/// One torrent and its peers, or a fair part of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Census {
    /// Its numbers.
    pub entry: ScrapeEntry,
    /// Peers: all, or of each kind and address family as many as their share.
    pub peers: Vec<CensusPeer>,
}

/// One peer, as far as the table knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CensusPeer {
    /// Where it takes connections.
    pub address: SocketAddr,
    /// Its name for this run.
    pub peer_id: PeerId,
    /// Whether it has everything.
    pub is_seed: bool,
    /// What it misses, bytes; known of watched torrents, if the peer knows it.
    pub left: Option<u64>,
    /// Its last announce was so long ago, in whole seconds.
    pub last_seen: Duration,
}

impl Registry {
    /// Sums, and at most `largest_max` torrents. A walk over all torrents: to be kept for a while.
    #[must_use]
    pub fn overview(&self, largest_max: usize) -> Overview {
        let mut overview = Overview::default();
        // The smallest of the largest lies on top; of equal ones the last by info hash.
        let mut heap = BinaryHeap::with_capacity(largest_max + 1);
        for shard in &self.shards {
            for torrent in lock(shard).torrents() {
                let entry = torrent.scrape();
                overview.torrents += 1;
                overview.seeders += u64::from(entry.seeders);
                overview.leechers += u64::from(entry.leechers);
                overview.completed += u64::from(entry.completed);
                heap.push(Reverse((size(&entry), Reverse(entry.info_hash))));
                if heap.len() > largest_max {
                    heap.pop();
                }
            }
        }
        let largest = heap.into_sorted_vec().into_iter();
        // Looked up again: what came and went meanwhile is as it is now.
        let largest = largest.filter_map(|Reverse((_, Reverse(hash)))| self.scrape_one(&hash));
        overview.largest = largest.collect();
        overview
    }

    /// Numbers of at most `max` torrents in the order of their info hashes, from behind `after`,
    /// and whether there are more. A walk over all torrents.
    #[must_use]
    pub fn page(&self, after: Option<&InfoHash>, max: usize) -> (Vec<ScrapeEntry>, bool) {
        // The last of the first lies on top; one more than is wanted says whether there are more.
        let mut heap = BinaryHeap::with_capacity(max + 2);
        for shard in &self.shards {
            for torrent in lock(shard).torrents() {
                let hash = torrent.info_hash;
                let is_within = heap.len() <= max || heap.peek().is_some_and(|last| hash < *last);
                if is_within && after.is_none_or(|after| hash > *after) {
                    heap.push(hash);
                    if heap.len() > max + 1 {
                        heap.pop();
                    }
                }
            }
        }
        let more = heap.len() > max;
        let mut hashes = heap.into_sorted_vec();
        hashes.truncate(max);
        // Looked up again, one with no numbers if it has gone meanwhile: a page ends where it does.
        let entry = |hash: InfoHash| {
            let found = self.scrape_one(&hash);
            found.unwrap_or(ScrapeEntry {
                info_hash: hash,
                seeders: 0,
                leechers: 0,
                completed: 0,
            })
        };
        (hashes.into_iter().map(entry).collect(), more)
    }

    /// One torrent with at most `peers_max` of its peers, if it is known.
    #[must_use]
    pub fn census(&self, info_hash: &InfoHash, now: Instant, peers_max: usize) -> Option<Census> {
        let now = self.seconds(now);
        let hash = self.key.hash(&info_hash.0);
        let shard = self.shard(hash);
        let torrent = &shard.torrents()[shard.find(hash, info_hash)?];
        Some(Census {
            entry: torrent.scrape(),
            peers: torrent.census(now, peers_max),
        })
    }

    /// Forgets a torrent and its peers; `false` when it was not there. One that is announced again
    /// begins anew.
    pub fn remove(&self, info_hash: &InfoHash) -> bool {
        let hash = self.key.hash(&info_hash.0);
        let mut shard = self.shard(hash);
        let Some(place) = shard.find(hash, info_hash) else {
            return false;
        };
        let peers = shard.torrents()[place].len();
        shard.take_out(place);
        self.peers.fetch_sub(peers, Ordering::Relaxed);
        self.torrents.fetch_sub(1, Ordering::Relaxed);
        true
    }

    /// Hands the numbers of torrents to `take`, at most `max` of them, in no order of meaning.
    pub fn scrape_all(&self, max: usize, mut take: impl FnMut(ScrapeEntry)) {
        let mut left = max;
        for shard in &self.shards {
            let shard = lock(shard);
            let torrents = shard.torrents();
            let count = left.min(torrents.len());
            torrents[..count]
                .iter()
                .for_each(|torrent| take(torrent.scrape()));
            left -= count;
        }
    }
}

fn size(entry: &ScrapeEntry) -> u64 {
    u64::from(entry.seeders) + u64::from(entry.leechers)
}

#[cfg(test)]
mod tests {
    use super::super::{RegistryConfig, tests};
    use super::*;
    use crate::announce::{AnnounceEvent, AnnounceRequest};

    fn request(port: u16, left: u64) -> AnnounceRequest {
        tests::request(port, left, Some(AnnounceEvent::Started))
    }

    fn table(torrents: u8) -> (Registry, Instant) {
        let now = Instant::now();
        let registry = Registry::new(RegistryConfig::default(), 1, now);
        // Torrent n has n peers, the last of which is a seed.
        for torrent in 1..=torrents {
            for peer in 1..=torrent {
                let mut asked = request(u16::from(peer), u64::from(torrent - peer));
                asked.info_hash = InfoHash([torrent; 20]);
                registry
                    .announce(now, &asked, [10, 0, 0, 1].into())
                    .unwrap();
            }
        }
        (registry, now)
    }

    #[test]
    fn overview_has_sums_of_all_and_the_largest_first() {
        let (registry, _) = table(9);
        let overview = registry.overview(3);
        assert_eq!((overview.torrents, overview.seeders), (9, 9));
        assert_eq!(overview.leechers, (0..9).sum::<u64>());
        let hashes: Vec<_> = overview.largest.iter().map(|e| e.info_hash.0[0]).collect();
        assert_eq!(hashes, [9, 8, 7]);
        assert_eq!(registry.overview(0).largest, []);
        assert_eq!(registry.overview(100).largest.len(), 9);
    }

    #[test]
    fn pages_have_each_torrent_once_in_their_order() {
        let (registry, _) = table(9);
        let (mut had, mut after) = (Vec::new(), None);
        loop {
            let (page, more) = registry.page(after.as_ref(), 4);
            had.extend(page.iter().map(|entry| entry.info_hash.0[0]));
            after = had.last().map(|&last| InfoHash([last; 20]));
            if !more {
                break;
            }
            assert_eq!(page.len(), 4);
        }
        assert_eq!(had, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        // A page that ends with the last has none behind it.
        assert!(!registry.page(None, 9).1 && registry.page(None, 8).1);
        assert_eq!(registry.page(Some(&InfoHash([9; 20])), 4), (vec![], false));
    }

    #[test]
    fn peer_that_does_not_know_what_is_left_is_shown_so() {
        let (registry, now) = table(0);
        for (port, left) in [
            (1, i64::MAX.unsigned_abs()),
            (2, u64::MAX),
            (3, 0),
            (4, 1 << 50),
        ] {
            registry
                .announce(now, &request(port, left), [10, 0, 0, 1].into())
                .unwrap();
        }
        let census = registry.census(&request(1, 1).info_hash, now, 9).unwrap();
        let mut lefts: Vec<_> = census
            .peers
            .iter()
            .map(|p| (p.address.port(), p.left))
            .collect();
        lefts.sort_unstable();
        let expect = [(1, None), (2, None), (3, Some(0)), (4, Some(1 << 50))];
        assert_eq!(lefts, expect);
        let snapshot = registry.snapshot(now);
        let peers = snapshot.torrents[0].peers.iter();
        let shown: Vec<_> = peers.map(|peer| (peer.address.port(), peer.left)).collect();
        assert_eq!(shown, expect);
        assert_eq!((census.entry.seeders, census.entry.leechers), (1, 3));
    }

    #[test]
    fn census_of_a_large_torrent_is_a_fair_part_of_it() {
        let (registry, now) = table(0);
        for port in 1..=1_000 {
            let left = u64::from(port % 4);
            registry
                .announce(now, &request(port, left), [10, 0, 0, 1].into())
                .unwrap();
        }
        let hash = request(1, 1).info_hash;
        let census = registry.census(&hash, now, 100).unwrap();
        assert_eq!((census.entry.seeders, census.entry.leechers), (250, 750));
        assert_eq!(census.peers.len(), 100);
        assert_eq!(census.peers.iter().filter(|peer| peer.is_seed).count(), 25);
        assert!(
            census
                .peers
                .iter()
                .all(|peer| peer.is_seed == (peer.left == Some(0)))
        );
        let all = registry.census(&hash, now, 5_000).unwrap();
        assert_eq!(all.peers.len(), 1_000);
        assert_eq!(registry.census(&InfoHash([8; 20]), now, 100), None);
    }

    #[test]
    fn removed_torrent_is_gone_and_counted_off() {
        let (registry, now) = table(5);
        assert!(registry.remove(&InfoHash([3; 20])));
        assert!(!registry.remove(&InfoHash([3; 20])));
        assert_eq!(registry.size(), (4, 1 + 2 + 4 + 5));
        assert_eq!(registry.scrape_one(&InfoHash([3; 20])), None);
        assert_eq!(registry.scrape_one(&InfoHash([5; 20])).unwrap().leechers, 4);
        let mut again = request(1, 1);
        again.info_hash = InfoHash([3; 20]);
        registry
            .announce(now, &again, [10, 0, 0, 1].into())
            .unwrap();
        assert_eq!(registry.size().0, 5);
    }

    #[test]
    fn scrape_of_all_is_bounded() {
        let (registry, _) = table(9);
        let count = |max| {
            let mut count = 0;
            registry.scrape_all(max, |_| count += 1);
            count
        };
        assert_eq!([count(0), count(4), count(9), count(100)], [0, 4, 9, 9]);
    }
}
