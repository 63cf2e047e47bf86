//! How things stand, as a copy for people and announces.

use std::time::{Duration, Instant};

use shoal_metainfo::Bitfield;

use super::Swarm;
use super::metadata::Phase;
use crate::io::{
    CandidateSource, Direction, PeerKey, PeerSnapshot, Snapshot, SourceSnapshot, Sources,
};
use crate::peer::Peer;

impl Swarm {
    /// A copy of how things stand; rates are as of `now`.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let geometry = self.picker.geometry();
        let have = self.have();
        let download_bytes_per_s = self.download_rate.per_second(now);
        let bytes_have = self.bytes_in(have);
        let settled = self.picker.settled();
        let left = geometry.total() - self.bytes_in(settled);
        let wanted = self.picker.wanted();
        let eta = (left > 0 && download_bytes_per_s > 0)
            .then(|| Duration::from_secs(left.div_ceil(download_bytes_per_s)));
        let (pieces, bytes_total) = match self.is_live() {
            true => (geometry.pieces(), geometry.total()),
            false => (0, 0),
        };
        Snapshot {
            pieces,
            pieces_have: have.count(),
            bytes_total,
            bytes_have,
            pieces_wanted: wanted.map_or(pieces, Bitfield::count),
            bytes_wanted: wanted.map_or(bytes_total, |wanted| self.bytes_in(wanted)),
            bytes_left: if self.is_live() { left } else { 0 },
            downloaded: self.downloaded,
            uploaded: self.uploaded,
            wasted: self.wasted,
            download_bytes_per_s,
            upload_bytes_per_s: self.upload_rate.per_second(now),
            eta,
            candidates: self.candidates.waiting(),
            banned: self.candidates.banned(),
            disk_failed: self.disk_failed,
            metadata: match &self.phase {
                Phase::Metadata(fetch) => Some(fetch.progress()),
                Phase::Checking | Phase::Live => None,
            },
            peers: self
                .peers
                .iter()
                .map(|(&key, peer)| self.peer_snapshot(key, peer, now))
                .collect(),
            sources: self.source_snapshots(),
        }
    }

    fn source_snapshots(&self) -> Vec<SourceSnapshot> {
        let peers: Vec<_> = self.peers.values().map(|peer| self.sources(peer)).collect();
        let sources = CandidateSource::ALL.into_iter();
        let snapshot = |source| SourceSnapshot {
            source,
            named: self.candidates.named_by(source),
            waiting: self.candidates.waiting_of(source),
            connected: peers.iter().filter(|named| named.has(source)).count(),
        };
        sources.map(snapshot).collect()
    }

    /// Who named the peer: itself, too, when it dialled us.
    fn sources(&self, peer: &Peer) -> Sources {
        let named = peer
            .listens_at
            .map(|address| self.candidates.sources(address));
        let named = named.unwrap_or_default();
        match peer.direction {
            Direction::Incoming => named.and(CandidateSource::Incoming.into()),
            Direction::Outgoing | Direction::Web => named,
        }
    }

    /// Every piece is of full length but perhaps the last.
    fn bytes_in(&self, pieces: &Bitfield) -> u64 {
        let geometry = self.picker.geometry();
        let full = u64::from(geometry.full_piece_length());
        let last = geometry.all_pieces().next_back();
        let short = last.filter(|&last| pieces.has(last));
        let missing = short.map_or(0, |last| full - u64::from(geometry.piece_length(last)));
        u64::from(pieces.count()) * full - missing
    }

    fn peer_snapshot(&self, key: PeerKey, peer: &Peer, now: Instant) -> PeerSnapshot {
        PeerSnapshot {
            peer: key,
            address: peer.address,
            peer_id: peer.peer_id,
            direction: peer.direction,
            sources: self.sources(peer),
            pieces_have: peer.holdings.count(self.picker.geometry().pieces()),
            is_seed: peer.holdings.is_seed(),
            upload_only: peer.upload_only,
            we_choke: peer.we_choke,
            we_are_interested: peer.we_are_interested,
            peer_chokes: peer.peer_chokes,
            peer_is_interested: peer.peer_is_interested,
            downloaded: peer.downloaded,
            uploaded: peer.uploaded,
            download_bytes_per_s: peer.download_rate.per_second(now),
            upload_bytes_per_s: peer.upload_rate.per_second(now),
            blocks_in_flight: peer.pipeline.len(),
        }
    }
}
