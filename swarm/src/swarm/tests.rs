//! Swarms driven by hand: whole downloads over a direct pipe, each misbehaviour, determinism.
#![expect(clippy::cast_possible_truncation, reason = "test data is small")]

mod gossip;
mod losses;
mod metadata;
mod misbehaviour;
mod operations;
mod rules;
mod scarce;
mod selected;
mod transfers;
mod web;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use shoal_metainfo::{BLOCK_LENGTH, Bitfield, Block, Geometry, InfoHash, PeerId, PieceIndex};
use shoal_wire::{Extensions, Handshake, Message};

use crate::io::{CandidateSource, Config, Digest, Direction, Event, Verdict};
use crate::io::{CloseReason, Input, Output, PeerKey, Source};
use crate::swarm::Swarm;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
const INFO_HASH: InfoHash = InfoHash([7; 20]);

pub(crate) fn config(id: u8) -> Config {
    Config {
        info_hash: INFO_HASH,
        peer_id: PeerId([id; 20]),
        listen_port: Some(1_000 + u16::from(id)),
        peers_max: 50,
        unchoke_slots: 4,
        upload_bytes_per_s: None,
        download_bytes_per_s: None,
        private: false,
        pex: true,
    }
}

pub(crate) fn handshake(id: u8, extensions: Extensions) -> Handshake {
    Handshake {
        extensions,
        info_hash: INFO_HASH,
        peer_id: PeerId([id; 20]),
    }
}

/// Where node `id` listens.
pub(crate) fn address(id: u8) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 1_000 + u16::from(id)))
}

/// Four pieces of four blocks, the last piece and block short.
pub(crate) fn geometry() -> Geometry {
    Geometry::new(4 * 65_536 - 100, 65_536).unwrap()
}

pub(crate) fn piece(index: u32) -> PieceIndex {
    geometry().piece(index).unwrap()
}

pub(crate) fn block(index: u32, number: usize) -> Block {
    geometry().nth_block(piece(index), number).unwrap()
}

/// The true bytes of a block.
pub(crate) fn data(block: Block) -> Bytes {
    let byte = (block.piece().get() * 31 + block.begin() / BLOCK_LENGTH) as u8;
    Bytes::from(vec![byte; block.length() as usize])
}

pub(crate) fn block_message(block: Block) -> Message {
    Message::Piece {
        index: block.piece().get(),
        begin: block.begin(),
        data: data(block),
    }
}

fn digest(data: &Bytes) -> Digest {
    [data.first().copied().unwrap_or(0); 20]
}

pub(crate) fn drain(swarm: &mut Swarm) -> Vec<Output> {
    std::iter::from_fn(|| swarm.poll()).collect()
}

/// One swarm and a peer that the test plays.
pub(crate) struct Stage {
    pub(crate) swarm: Swarm,
    pub(crate) now: Instant,
}

pub(crate) const KEY: PeerKey = PeerKey(1);

impl Stage {
    pub(crate) fn new(have: Bitfield) -> Self {
        Self::of(geometry(), have)
    }

    pub(crate) fn of(geometry: Geometry, have: Bitfield) -> Self {
        Self::configured(config(1), geometry, have)
    }

    pub(crate) fn with(config: Config, have: Bitfield) -> Self {
        Self::configured(config, geometry(), have)
    }

    fn configured(config: Config, geometry: Geometry, have: Bitfield) -> Self {
        let now = Instant::now();
        let source = Source::Verified { geometry, have };
        Self {
            swarm: Swarm::new(config, source, 5, now),
            now,
        }
    }

    pub(crate) fn leecher() -> Self {
        Self::new(Bitfield::none(4))
    }

    pub(crate) fn seed() -> Self {
        Self::new(Bitfield::all(4))
    }

    pub(crate) fn handle(&mut self, input: Input) -> Vec<Output> {
        self.swarm.handle(self.now, input);
        self.swarm.check_invariants();
        drain(&mut self.swarm)
    }

    pub(crate) fn connect(&mut self, key: PeerKey, id: u8, extensions: Extensions) -> Vec<Output> {
        self.handle(Input::Connected {
            peer: key,
            address: address(id),
            direction: Direction::Incoming,
            handshake: handshake(id, extensions),
        })
    }

    /// Messages from [`KEY`].
    pub(crate) fn say<const N: usize>(&mut self, messages: [Message; N]) -> Vec<Output> {
        self.says(KEY, messages.to_vec())
    }

    pub(crate) fn says(&mut self, peer: PeerKey, messages: Vec<Message>) -> Vec<Output> {
        self.handle(Input::Received { peer, messages })
    }

    /// Lets time pass, with all timeouts on the way.
    pub(crate) fn wait(&mut self, duration: Duration) -> Vec<Output> {
        let end = self.now + duration;
        let mut outputs = Vec::new();
        let mut timeouts = 0;
        while let Some(due) = self.swarm.timeout().filter(|&due| due <= end) {
            timeouts += 1;
            assert!(timeouts < 100_000, "timeouts without end");
            self.now = self.now.max(due);
            outputs.extend(self.handle(Input::Timeout));
        }
        self.now = end;
        outputs
    }
}

pub(crate) fn sent(outputs: &[Output], to: PeerKey) -> Vec<Message> {
    let messages = outputs.iter().filter_map(|output| match output {
        Output::Send { peer, message } if *peer == to => Some(message.clone()),
        _ => None,
    });
    messages.collect()
}

pub(crate) fn requests(outputs: &[Output], to: PeerKey) -> Vec<Block> {
    let messages = sent(outputs, to).into_iter();
    messages
        .filter_map(|message| match message {
            Message::Request(raw) => geometry().block(raw),
            _ => None,
        })
        .collect()
}

pub(crate) fn closed(outputs: &[Output]) -> Vec<(PeerKey, CloseReason)> {
    let closes = outputs.iter().filter_map(|output| match output {
        Output::Close { peer, reason } => Some((*peer, *reason)),
        _ => None,
    });
    closes.collect()
}

pub(crate) fn events(outputs: &[Output]) -> Vec<Event> {
    let events = outputs.iter().filter_map(|output| match output {
        Output::Event(event) => Some(event.clone()),
        _ => None,
    });
    events.collect()
}

/// Swarms wired to each other: no latency, a disk that keeps what is written.
pub(crate) struct World {
    geometry: Geometry,
    pub(crate) nodes: Vec<Node>,
    pub(crate) now: Instant,
    next_key: u64,
    inputs: VecDeque<(usize, Input)>,
    /// Everything that was put out, in order.
    pub(crate) log: Vec<(usize, Output)>,
}

pub(crate) struct Node {
    pub(crate) swarm: Swarm,
    /// Other end of each connection.
    wires: BTreeMap<PeerKey, (usize, PeerKey)>,
    disk: BTreeMap<Block, Bytes>,
    /// Blocks that it serves wrongly.
    pub(crate) spoils: Vec<Block>,
    pub(crate) extensions: Extensions,
}

impl World {
    /// Nodes that have these pieces; each knows the address of node 0.
    pub(crate) fn new(haves: Vec<Bitfield>, seed: u64) -> Self {
        Self::of(geometry(), haves, seed)
    }

    pub(crate) fn of(geometry: Geometry, haves: Vec<Bitfield>, seed: u64) -> Self {
        let now = Instant::now();
        let nodes = haves.into_iter().enumerate().map(|(at, have)| {
            let disk = geometry
                .all_pieces()
                .filter(|&piece| have.has(piece))
                .flat_map(|piece| geometry.blocks(piece))
                .map(|block| (block, data(block)))
                .collect();
            let source = Source::Verified { geometry, have };
            Node {
                swarm: Swarm::new(config(at as u8), source, seed + at as u64, now),
                wires: BTreeMap::new(),
                disk,
                spoils: Vec::new(),
                extensions: Extensions::OURS,
            }
        });
        let mut world = Self {
            geometry,
            nodes: nodes.collect(),
            now,
            next_key: 1,
            inputs: VecDeque::new(),
            log: Vec::new(),
        };
        for node in 1..world.nodes.len() {
            world.introduce(node, 0);
        }
        world
    }

    pub(crate) fn introduce(&mut self, node: usize, to: usize) {
        let input = Input::Candidates {
            source: CandidateSource::User,
            addresses: vec![address(to as u8)],
        };
        self.inputs.push_back((node, input));
    }

    /// Runs until nothing happens for an hour or all are complete.
    pub(crate) fn run(&mut self) {
        self.run_for(SECOND * 3_600);
    }

    /// Runs for so long, or until all are complete.
    pub(crate) fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.now < end && !self.nodes.iter().all(|node| node.swarm.is_complete()) {
            while let Some((node, input)) = self.inputs.pop_front() {
                self.handle(node, input);
            }
            let due = self
                .nodes
                .iter()
                .filter_map(|node| node.swarm.timeout())
                .min();
            let Some(due) = due else { return };
            self.now = self.now.max(due);
            for node in 0..self.nodes.len() {
                let due = self.nodes[node].swarm.timeout();
                if due.is_some_and(|due| due <= self.now) {
                    self.handle(node, Input::Timeout);
                }
            }
        }
    }

    fn handle(&mut self, node: usize, input: Input) {
        self.nodes[node].swarm.handle(self.now, input);
        self.nodes[node].swarm.check_invariants();
        while let Some(output) = self.nodes[node].swarm.poll() {
            self.log.push((node, output.clone()));
            self.perform(node, output);
        }
    }

    fn perform(&mut self, node: usize, output: Output) {
        match output {
            Output::Dial { address } => self.dial(node, address),
            Output::Send { peer, message } => self.deliver(node, peer, message),
            Output::Serve { peer, block } => {
                let mut bytes = self.nodes[node].disk[&block].clone();
                if self.nodes[node].spoils.contains(&block) {
                    bytes = Bytes::from(vec![0xee; bytes.len()]);
                }
                let message = Message::Piece {
                    index: block.piece().get(),
                    begin: block.begin(),
                    data: bytes,
                };
                self.deliver(node, peer, message);
                let input = Input::Sent {
                    peer,
                    blocks: 1,
                    bytes: u64::from(block.length()),
                };
                self.inputs.push_back((node, input));
            }
            Output::Close { peer, .. } => self.cut(node, peer),
            Output::Write { block, data } => {
                self.nodes[node].disk.insert(block, data);
            }
            Output::Verify { piece, digests } => self.verify(node, piece, digests),
            Output::WantPeers | Output::Event(_) => {}
            Output::Metadata { .. } => panic!("everybody here knows the torrent"),
        }
    }

    fn dial(&mut self, node: usize, to: SocketAddr) {
        let target = (0..self.nodes.len()).find(|&at| address(at as u8) == to);
        let Some(target) = target else {
            self.inputs
                .push_back((node, Input::DialFailed { address: to }));
            return;
        };
        let keys = [PeerKey(self.next_key), PeerKey(self.next_key + 1)];
        self.next_key += 2;
        let ends = [
            (node, target, keys[0], keys[1]),
            (target, node, keys[1], keys[0]),
        ];
        for (at, other, key, other_key) in ends {
            self.nodes[at].wires.insert(key, (other, other_key));
            let outgoing = key == keys[0];
            // What only one side offers is not agreed on: let neither offer it.
            let both = self.nodes[at].extensions == self.nodes[other].extensions;
            let agreed = self.nodes[other].extensions;
            let extensions = if both { agreed } else { Extensions::default() };
            let input = Input::Connected {
                peer: key,
                address: if outgoing {
                    to
                } else {
                    SocketAddr::from(([127, 0, 0, 1], 50_000 + keys[0].0 as u16))
                },
                direction: if outgoing {
                    Direction::Outgoing
                } else {
                    Direction::Incoming
                },
                handshake: handshake(other as u8, extensions),
            };
            self.inputs.push_back((at, input));
        }
    }

    fn deliver(&mut self, node: usize, peer: PeerKey, message: Message) {
        if let Some(&(other, key)) = self.nodes[node].wires.get(&peer) {
            let input = Input::Received {
                peer: key,
                messages: vec![message],
            };
            self.inputs.push_back((other, input));
        }
    }

    pub(crate) fn cut(&mut self, node: usize, peer: PeerKey) {
        if let Some((other, key)) = self.nodes[node].wires.remove(&peer) {
            self.nodes[other].wires.remove(&key);
            self.inputs
                .push_back((other, Input::Disconnected { peer: key }));
            self.inputs.push_back((node, Input::Disconnected { peer }));
        }
    }

    fn verify(&mut self, node: usize, piece: PieceIndex, wanted: bool) {
        let disk = &self.nodes[node].disk;
        let blocks: Vec<_> = self.geometry.blocks(piece).collect();
        let good = blocks
            .iter()
            .all(|block| disk.get(block) == Some(&data(*block)));
        let digests = blocks.iter().map(|block| digest(&disk[block]));
        let input = Input::Verified {
            piece,
            verdict: if good { Verdict::Good } else { Verdict::Bad },
            blocks: if wanted || !good {
                digests.collect()
            } else {
                Vec::new()
            },
        };
        self.inputs.push_back((node, input));
    }
}
