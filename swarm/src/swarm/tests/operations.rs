//! Any inputs in any order: nothing panics, nothing contradicts itself, and what is finished by
//! an honest seed is finished.

use super::*;
use crate::swarm::tests::transfers::some;
use proptest::prelude::*;
use shoal_metainfo::RawBlock;

#[derive(Debug, Clone)]
enum Op {
    Connect {
        key: u64,
        id: u8,
        fast: bool,
        out: bool,
    },
    Disconnect {
        key: u64,
    },
    Say {
        key: u64,
        message: Message,
    },
    /// The peer answers its oldest requests as asked.
    Answer {
        key: u64,
        blocks: usize,
        good: bool,
    },
    /// The disk answers its oldest question.
    Verdict {
        verdict: u8,
    },
    Sent {
        key: u64,
        blocks: u32,
    },
    Disk {
        works: bool,
    },
    Rates {
        up: Option<u64>,
        down: Option<u64>,
    },
    Candidates {
        ids: Vec<u8>,
    },
    DialFailed {
        id: u8,
    },
    Wait {
        millis: u64,
    },
}

fn message() -> impl Strategy<Value = Message> {
    let index = 0..5u32;
    let raw = (0..5u32, 0..5u32, any::<bool>()).prop_map(|(index, number, whole)| RawBlock {
        index,
        begin: number * BLOCK_LENGTH,
        length: if whole { BLOCK_LENGTH } else { 100 },
    });
    prop_oneof![
        1 => Just(Message::KeepAlive),
        2 => Just(Message::Choke),
        6 => Just(Message::Unchoke),
        3 => Just(Message::Interested),
        1 => Just(Message::NotInterested),
        6 => (0..4u32).prop_map(|index| Message::Have { index }),
        1 => index.clone().prop_map(|index| Message::Have { index }),
        2 => any::<u8>().prop_map(|byte| Message::Bitfield(Bytes::from(vec![byte & 0xf0]))),
        4 => raw.clone().prop_map(Message::Request),
        1 => raw.clone().prop_map(Message::Cancel),
        2 => raw.clone().prop_map(Message::Reject),
        1 => raw.prop_map(|raw| Message::Piece {
            index: raw.index,
            begin: raw.begin,
            data: Bytes::from(vec![0; raw.length as usize]),
        }),
        1 => index.clone().prop_map(|index| Message::Suggest { index }),
        1 => index.prop_map(|index| Message::AllowedFast { index }),
        4 => Just(Message::HaveAll),
        1 => Just(Message::HaveNone),
        1 => prop::collection::vec(any::<u8>(), 0..20).prop_map(|payload| Message::Extended {
            id: 0,
            payload: Bytes::from(payload),
        }),
        1 => (1..600u32).prop_map(|reqq| Message::Extended {
            id: 0,
            payload: Bytes::from(format!("d4:reqqi{reqq}ee")),
        }),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let key = 1..6u64;
    prop_oneof![
        3 => (key.clone(), 0..8u8, any::<bool>(), any::<bool>())
            .prop_map(|(key, id, fast, out)| Op::Connect { key, id, fast, out }),
        1 => key.clone().prop_map(|key| Op::Disconnect { key }),
        14 => (key.clone(), message()).prop_map(|(key, message)| Op::Say { key, message }),
        10 => (key.clone(), 1..9usize, prop::bool::weighted(0.9))
            .prop_map(|(key, blocks, good)| Op::Answer { key, blocks, good }),
        4 => (0..8u8).prop_map(|verdict| Op::Verdict { verdict }),
        2 => (key, 0..5u32).prop_map(|(key, blocks)| Op::Sent { key, blocks }),
        1 => any::<bool>().prop_map(|works| Op::Disk { works }),
        1 => (prop::option::of(0..100_000u64), prop::option::of(0..100_000u64))
            .prop_map(|(up, down)| Op::Rates { up, down }),
        1 => prop::collection::vec(0..9u8, 0..4).prop_map(|ids| Op::Candidates { ids }),
        1 => (0..9u8).prop_map(|id| Op::DialFailed { id }),
        4 => (0..40_000u64).prop_map(|millis| Op::Wait { millis }),
    ]
}

/// Plays the operations, with keys mapped to ever new ones as a shell does.
struct Player {
    stage: Stage,
    keys: BTreeMap<u64, PeerKey>,
    next_key: u64,
    asked: BTreeMap<PeerKey, VecDeque<Block>>,
    to_verify: VecDeque<PieceIndex>,
}

impl Player {
    fn hear(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Send {
                    peer,
                    message: Message::Request(raw),
                } => {
                    let block = geometry().block(raw).expect("we ask for blocks that exist");
                    assert!(
                        !self.stage.swarm.have().has(block.piece()),
                        "asked for what we have"
                    );
                    self.asked.entry(peer).or_default().push_back(block);
                }
                Output::Verify { piece, .. } => self.to_verify.push_back(piece),
                Output::Serve { block, .. } => {
                    assert!(
                        self.stage.swarm.have().has(block.piece()),
                        "served what we lack"
                    );
                }
                _ => {}
            }
        }
    }

    fn connect(&mut self, key: u64, id: u8, fast: bool, out: bool) -> Vec<Output> {
        let peer = PeerKey(self.next_key);
        self.next_key += 1;
        self.keys.insert(key, peer);
        let extensions = if fast {
            Extensions::OURS
        } else {
            Extensions::default()
        };
        let direction = if out {
            Direction::Outgoing
        } else {
            Direction::Incoming
        };
        self.stage.handle(Input::Connected {
            peer,
            address: address(id),
            direction,
            handshake: handshake(id, extensions),
        })
    }

    fn answer(&mut self, peer: PeerKey, blocks: usize, good: bool) -> Vec<Output> {
        let asked = self.asked.entry(peer).or_default();
        let blocks: Vec<_> = asked.drain(..blocks.min(asked.len())).collect();
        let messages = blocks.into_iter().map(|block| match block_message(block) {
            Message::Piece { index, begin, data } if !good => {
                let data = Bytes::from(vec![0xee; data.len()]);
                Message::Piece { index, begin, data }
            }
            message => message,
        });
        let messages = messages.collect();
        self.stage.says(peer, messages)
    }

    fn play(&mut self, op: Op) {
        let key = |player: &Self, key| *player.keys.get(&key).unwrap_or(&PeerKey(0));
        let outputs = match op {
            Op::Connect { key, id, fast, out } => self.connect(key, id, fast, out),
            Op::Disconnect { key: name } => {
                let peer = key(self, name);
                self.stage.handle(Input::Disconnected { peer })
            }
            Op::Say { key: name, message } => self.stage.says(key(self, name), vec![message]),
            Op::Answer {
                key: name,
                blocks,
                good,
            } => self.answer(key(self, name), blocks, good),
            Op::Verdict { verdict } => {
                let Some(piece) = self.to_verify.pop_front() else {
                    return;
                };
                let verdict = match verdict {
                    0 => Verdict::Bad,
                    1 => Verdict::Unknown,
                    _ => Verdict::Good,
                };
                let blocks = vec![[0; 20]; 4];
                self.stage.handle(Input::Verified {
                    piece,
                    verdict,
                    blocks,
                })
            }
            Op::Sent { key: name, blocks } => {
                let peer = key(self, name);
                let bytes = u64::from(blocks) * 16_384;
                self.stage.handle(Input::Sent {
                    peer,
                    blocks,
                    bytes,
                })
            }
            Op::Disk { works: true } => self.stage.handle(Input::DiskRecovered),
            Op::Disk { works: false } => self.stage.handle(Input::DiskFailed),
            Op::Rates { up, down } => self.stage.handle(Input::SetRates {
                upload_bytes_per_s: up,
                download_bytes_per_s: down,
            }),
            Op::Candidates { ids } => self.stage.handle(Input::Candidates {
                source: CandidateSource::Tracker,
                addresses: ids.into_iter().map(address).collect(),
            }),
            Op::DialFailed { id } => self.stage.handle(Input::DialFailed {
                address: address(id),
            }),
            Op::Wait { millis } => self.stage.wait(Duration::from_millis(millis)),
        };
        self.hear(outputs);
    }

    /// The world turns honest: one seed that answers everything. True when that is enough.
    fn finish(&mut self) -> bool {
        self.play(Op::Disk { works: true });
        self.play(Op::Rates {
            up: None,
            down: None,
        });
        for peer in std::mem::take(&mut self.keys).into_values() {
            let outputs = self.stage.handle(Input::Disconnected { peer });
            self.hear(outputs);
        }
        self.play(Op::Connect {
            key: 1,
            id: 77,
            fast: true,
            out: false,
        });
        let messages = [Message::HaveAll, Message::Unchoke];
        for message in messages {
            self.play(Op::Say { key: 1, message });
        }
        for _ in 0..200 {
            self.play(Op::Answer {
                key: 1,
                blocks: 99,
                good: true,
            });
            self.play(Op::Verdict { verdict: 9 });
            self.play(Op::Wait { millis: 500 });
        }
        self.stage.swarm.is_complete()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_inputs_break_the_swarm_or_keep_it_from_finishing(
        ops in prop::collection::vec(op(), 0..150),
        have in prop::collection::vec(0..4u32, 0..3),
    ) {
        let mut player = Player {
            stage: Stage::new(some(&have)),
            keys: BTreeMap::new(),
            next_key: 1,
            asked: BTreeMap::new(),
            to_verify: VecDeque::new(),
        };
        for op in ops {
            player.play(op);
        }
        prop_assert!(player.finish());
    }
}
