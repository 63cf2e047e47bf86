//! Who announces, and what the right answer is. BEP 3.
//!
//! Every swarm has as many peers; the first of each is its seed. A peer is its port: all have the
//! address that the load comes from.

use fastrand::Rng;
use shoal_metainfo::{InfoHash, PeerId};
use shoal_tracker::{AnnounceEvent, AnnounceRequest, AnnounceResponse};

/// The port of a swarm's first peer.
const PORT: u16 = 1_024;

/// Peers that are asked for.
const NUMWANT: u32 = 50;

/// All swarms.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Swarms {
    torrents: u32,
    of_each: u32,
}

/// One peer of one swarm.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    torrent: u32,
    number: u32,
}

impl Swarms {
    pub(crate) fn new(torrents: u32, of_each: u32) -> Self {
        assert!((2..60_000).contains(&of_each), "peers have ports");
        Self { torrents, of_each }
    }

    pub(crate) fn peers(&self) -> u64 {
        u64::from(self.torrents) * u64::from(self.of_each)
    }

    /// The `n`th of all, so that neighbours are of different swarms.
    pub(crate) fn nth(&self, n: u64) -> Peer {
        let small = |n: u64| u32::try_from(n).expect("below the number of peers");
        Peer {
            torrent: small(n % u64::from(self.torrents)),
            number: small(n / u64::from(self.torrents) % u64::from(self.of_each)),
        }
    }

    pub(crate) fn any(&self, rng: &mut Rng) -> Peer {
        Peer {
            torrent: rng.u32(..self.torrents),
            number: rng.u32(..self.of_each),
        }
    }

    pub(crate) fn request(&self, peer: Peer, first: bool) -> AnnounceRequest {
        let mut hash = [0; 20];
        // Spread over all bits, as hashes are.
        let mixed = u64::from(peer.torrent).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash[..8].copy_from_slice(&mixed.swap_bytes().to_be_bytes());
        hash[8..12].copy_from_slice(&peer.torrent.to_be_bytes());
        let mut id = *b"-LD0001-000000000000";
        id[8..12].copy_from_slice(&peer.torrent.to_be_bytes());
        id[12..16].copy_from_slice(&peer.number.to_be_bytes());
        AnnounceRequest {
            info_hash: InfoHash(hash),
            peer_id: PeerId(id),
            port: PORT + u16::try_from(peer.number).expect("peers have ports"),
            uploaded: 0,
            downloaded: 0,
            left: u64::from(peer.number > 0),
            event: first.then_some(AnnounceEvent::Started),
            numwant: Some(NUMWANT),
            key: peer.torrent,
            tracker_id: None,
            compact: true,
        }
    }

    /// Whether that is the right answer for this peer of a whole swarm.
    ///
    /// # Errors
    /// What is wrong. A tracker may tell a peer of itself (opentracker does), and may not count it
    /// (aquatic does not).
    pub(crate) fn check(&self, peer: Peer, answer: &AnnounceResponse) -> Result<(), String> {
        let counts = (answer.seeders, answer.leechers);
        let seed = u32::from(peer.number == 0);
        let all = (Some(1), Some(self.of_each - 1));
        let others = (Some(1 - seed), Some(self.of_each - 2 + seed));
        if counts != all && counts != others {
            return Err(format!("{peer:?}: seeders and leechers {counts:?}"));
        }
        let others = self.of_each as usize - 1;
        let [least, most] = [others, others + 1].map(|count| count.min(NUMWANT as usize));
        let mut ports: Vec<_> = answer.peers.iter().map(|peer| peer.port()).collect();
        ports.sort_unstable();
        ports.dedup();
        let known = |port: &u16| (PORT..=PORT + u16::try_from(others).unwrap_or(0)).contains(port);
        if !(least..=most).contains(&ports.len()) || !ports.iter().all(known) {
            return Err(format!("{peer:?}: peers {ports:?}"));
        }
        Ok(())
    }
}
