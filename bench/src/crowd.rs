//! A swarm among many peers that say what they have and answer what they are asked. BEP 3, 6.
//!
//! Sockets, disk and clock are played here: a verdict is always good, and time passes only between
//! rounds. Beside what is measured this costs a queue and a vector for each batch.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fastrand::Rng;
use shoal_metainfo::{BLOCK_LENGTH, Bitfield, InfoHash, PeerId, PieceIndex, RawBlock};
use shoal_swarm::io::{Direction, Verdict};
use shoal_swarm::{Config, Input, Output, PeerKey, Source, Swarm};
use shoal_wire::{Extensions, Handshake, Message};

use crate::{geometry, half};

/// Blocks that one read of a socket brings: 256 KiB.
const BATCH: usize = 16;

/// Between two rounds in which every peer answers.
const ROUND: Duration = Duration::from_millis(50);

/// A swarm that has nothing, and its peers.
pub struct Crowd {
    swarm: Swarm,
    now: Instant,
    peers: Vec<Peer>,
    /// Pieces that wait for their verdict.
    verify: Vec<PieceIndex>,
    data: Bytes,
}

struct Peer {
    bits: Bitfield,
    /// What it was asked for and has not given.
    owes: VecDeque<RawBlock>,
}

impl Crowd {
    /// A torrent of `pieces` and so many peers: each fifth a seed, the others with a random half.
    #[must_use]
    pub fn new(pieces: u32, peers: usize, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let now = Instant::now();
        let config = Config {
            info_hash: InfoHash([7; 20]),
            peer_id: PeerId([1; 20]),
            listen_port: None,
            peers_max: peers,
            unchoke_slots: 4,
            upload_bytes_per_s: None,
            download_bytes_per_s: None,
            private: false,
            pex: true,
        };
        let source = Source::Verified {
            geometry: geometry(pieces),
            have: Bitfield::none(pieces),
        };
        let peer = |number: usize| Peer {
            bits: match number % 5 {
                0 => Bitfield::all(pieces),
                _ => half(pieces, &mut rng),
            },
            owes: VecDeque::new(),
        };
        Self {
            peers: (0..peers).map(peer).collect(),
            swarm: Swarm::new(config, source, seed, now),
            now,
            verify: Vec::new(),
            data: Bytes::from(vec![0; BLOCK_LENGTH as usize]),
        }
    }

    /// Every peer connects and sends its bitfield.
    pub fn connect(&mut self) {
        for number in 0..self.peers.len() {
            let key = number as u64;
            let mut peer_id = [2; 20];
            peer_id[..8].copy_from_slice(&key.to_be_bytes());
            let host = u32::try_from(number).expect("a few hundred peers");
            let ip = Ipv4Addr::from_bits((10 << 24) + host);
            self.tell(Input::Connected {
                peer: PeerKey(key),
                address: SocketAddr::new(ip.into(), 6_881),
                direction: Direction::Incoming,
                handshake: Handshake {
                    extensions: Extensions::OURS,
                    info_hash: InfoHash([7; 20]),
                    peer_id: PeerId(peer_id),
                },
            });
            let bits = Bytes::copy_from_slice(self.peers[number].bits.as_wire());
            self.receive(number, vec![Message::Bitfield(bits)]);
        }
    }

    /// Every peer unchokes us; returns how many blocks it was asked for at once.
    pub fn unchoke(&mut self) -> usize {
        for number in 0..self.peers.len() {
            self.receive(number, vec![Message::Unchoke]);
        }
        self.in_flight()
    }

    /// `have` of pieces that the peers lack, in batches of up to 64 for [`Self::hear`]: every peer
    /// in turn, until there are `count`.
    #[must_use]
    pub fn haves(&self, count: usize) -> Vec<(usize, Vec<Message>)> {
        let mut lacks: Vec<_> = self.peers.iter().map(|peer| peer.bits.zeros()).collect();
        let mut batches = Vec::new();
        let mut left = count;
        while left > 0 {
            let before = left;
            for (number, lacks) in lacks.iter_mut().enumerate() {
                let new = lacks.take(left.min(64));
                let batch: Vec<_> = new.map(|index| Message::Have { index }).collect();
                left -= batch.len();
                batches.push((number, batch));
            }
            assert!(left < before, "the peers lack no more");
        }
        batches
    }

    /// The peers say this.
    pub fn hear(&mut self, batches: Vec<(usize, Vec<Message>)>) {
        for (number, batch) in batches {
            self.receive(number, batch);
        }
    }

    /// Peers answer, every one a batch a round, until `blocks` came or the torrent is whole.
    /// Returns how many came.
    pub fn download(&mut self, blocks: usize) -> usize {
        let mut came = 0;
        while came < blocks && !self.swarm.is_complete() {
            self.now += ROUND;
            let before = came;
            for number in 0..self.peers.len() {
                came += self.answer(number);
            }
            assert!(came > before, "nothing is asked for and nothing is whole");
        }
        came
    }

    /// Every peer that owes us nothing sends a keep-alive.
    pub fn idle_peers_speak(&mut self) {
        for number in 0..self.peers.len() {
            if self.peers[number].owes.is_empty() {
                self.receive(number, vec![Message::KeepAlive]);
            }
        }
    }

    /// Peers that owe us nothing.
    #[must_use]
    pub fn idle_peers(&self) -> usize {
        self.peers
            .iter()
            .filter(|peer| peer.owes.is_empty())
            .count()
    }

    /// Blocks asked for and not given.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.peers.iter().map(|peer| peer.owes.len()).sum()
    }

    fn answer(&mut self, number: usize) -> usize {
        let owes = &mut self.peers[number].owes;
        let count = owes.len().min(BATCH);
        if count == 0 {
            return 0;
        }
        let blocks = owes.drain(..count).map(|block| Message::Piece {
            index: block.index,
            begin: block.begin,
            data: self.data.clone(),
        });
        let blocks = blocks.collect();
        self.receive(number, blocks);
        count
    }

    fn receive(&mut self, number: usize, messages: Vec<Message>) {
        let peer = PeerKey(number as u64);
        self.tell(Input::Received { peer, messages });
    }

    /// One input, and all that follows from it.
    fn tell(&mut self, input: Input) {
        self.swarm.handle(self.now, input);
        loop {
            while let Some(output) = self.swarm.poll() {
                self.obey(output);
            }
            let Some(piece) = self.verify.pop() else {
                return;
            };
            let verified = Input::Verified {
                piece,
                verdict: Verdict::Good,
                blocks: Vec::new(),
            };
            self.swarm.handle(self.now, verified);
        }
    }

    fn obey(&mut self, output: Output) {
        match output {
            Output::Send { peer, message } => {
                let number = usize::try_from(peer.0).expect("a few hundred peers");
                let owes = &mut self.peers[number].owes;
                match message {
                    Message::Request(block) => owes.push_back(block),
                    Message::Cancel(block) => owes.retain(|&other| other != block),
                    _ => {}
                }
            }
            Output::Verify { piece, .. } => self.verify.push(piece),
            Output::Close { reason, .. } => {
                assert!(
                    self.swarm.is_complete(),
                    "closed an honest peer: {reason:?}"
                );
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crowd_asks_hears_and_downloads_everything() {
        let mut crowd = Crowd::new(300, 20, 1);
        crowd.connect();
        let haves = crowd.haves(500);
        assert_eq!(
            haves.iter().map(|(_, batch)| batch.len()).sum::<usize>(),
            500
        );
        crowd.hear(haves);
        assert!(crowd.unchoke() >= 20 * 16);
        let came = crowd.download(1_000);
        assert!((1_000..1_000 + 20 * BATCH).contains(&came));
        assert!(came + crowd.download(usize::MAX) >= 300 * 16);
        assert!(crowd.swarm.is_complete());
    }
}
