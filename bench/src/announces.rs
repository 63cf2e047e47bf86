//! What peers ask a tracker, and a registry that knows them. BEP 3, 23.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use fastrand::Rng;
use shoal_metainfo::{InfoHash, PeerId};
use shoal_tracker::http::query;
use shoal_tracker::registry::{Registry, RegistryConfig};
use shoal_tracker::{AnnounceEvent, AnnounceRequest};

/// An announce and the address that it comes from.
pub type Announce = (AnnounceRequest, IpAddr);

/// The regular announce of one peer of one torrent; every tenth peer is a seed.
#[must_use]
pub fn announce(torrent: u32, peer: u32) -> Announce {
    let mut rng = Rng::with_seed(u64::from(torrent) << 32 | u64::from(peer));
    let mut info_hash = [0; 20];
    Rng::with_seed(torrent.into()).fill(&mut info_hash);
    let mut random = [0; 12];
    rng.fill(&mut random);
    let request = AnnounceRequest {
        info_hash: InfoHash(info_hash),
        peer_id: PeerId::ours(random),
        port: rng.u16(1_024..),
        uploaded: rng.u64(..1 << 40),
        downloaded: rng.u64(..1 << 40),
        left: if peer.is_multiple_of(10) {
            0
        } else {
            rng.u64(1..1 << 40)
        },
        event: None,
        numwant: Some(50),
        key: rng.u32(..),
        tracker_id: None,
        compact: true,
    };
    // Ten networks wide: addresses of one torrent differ by the peer alone.
    let ip = Ipv4Addr::from_bits((10 << 24) + peer);
    (request, ip.into())
}

/// Regular announces of known peers, picked at random.
#[must_use]
pub fn sample(torrents: u32, peers: u32, count: usize, seed: u64) -> Vec<Announce> {
    let mut rng = Rng::with_seed(seed);
    let mut one = || announce(rng.u32(..torrents), rng.u32(..peers));
    std::iter::repeat_with(&mut one).take(count).collect()
}

/// The query that an announce is sent as, without its `?`.
#[must_use]
pub fn query(request: &AnnounceRequest) -> Vec<u8> {
    let url = query::announce_url("http://t.test/announce", request);
    let (_, query) = url.split_once('?').expect("parameters follow a `?`");
    query.as_bytes().to_vec()
}

/// A registry in which each of `torrents` has `peers`.
#[must_use]
pub fn registry(torrents: u32, peers: u32, now: Instant) -> Registry {
    let registry = Registry::new(RegistryConfig::default(), 1, now);
    for torrent in 0..torrents {
        for peer in 0..peers {
            let (mut request, ip) = announce(torrent, peer);
            request.event = Some(AnnounceEvent::Started);
            registry.announce(now, &request, ip).expect("there is room");
        }
    }
    registry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registry_knows_every_peer_and_the_query_says_the_same() {
        let now = Instant::now();
        let registry = registry(3, 60, now);
        assert_eq!(registry.size(), (3, 180));
        for (request, ip) in sample(3, 60, 20, 1) {
            let asked = query::announce(&query(&request)).unwrap();
            assert_eq!(asked.request, request);
            let answer = registry.announce(now, &request, ip).unwrap();
            assert_eq!((answer.change, answer.seeders), (None, 6));
        }
    }
}
