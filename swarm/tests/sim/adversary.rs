//! Peers that mean ill, or do not know better: each plays one trick on everybody, again and again.

use std::collections::BTreeMap;

use shoal_metainfo::{Block, RawBlock};
use shoal_simulation::{End, Rng};
use shoal_wire::{HANDSHAKE_LENGTH, Message, encode};

use crate::plan::{KIB, SECOND};
use crate::world::{Timer, Wire, World};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trick {
    /// Chokes and unchokes, wants and does not want.
    Flaps,
    /// Asks for everything, choked or not.
    Floods,
    /// Says that it has everything, and gives nothing.
    LiesInSilence,
    /// Says that it has everything, and rejects every request.
    LiesAndRejects,
    /// Asks for much; the script takes care that it never reads.
    NeverReads,
    /// Sends blocks, bad ones, that nobody asked for.
    Unrequested,
}

impl Trick {
    pub(crate) const ALL: [Self; 6] = [
        Self::Flaps,
        Self::Floods,
        Self::LiesInSilence,
        Self::LiesAndRejects,
        Self::NeverReads,
        Self::Unrequested,
    ];
}

/// How often it acts.
const EVERY: std::time::Duration = std::time::Duration::from_millis(250);
const DIAL_EVERY: u64 = 8;
const LINKS_MAX: usize = 30;
/// It sends no more while so much waits.
const BACKLOG: u64 = 256 * KIB;

#[derive(Debug)]
pub(crate) struct Adversary {
    pub(crate) trick: Trick,
    /// Who is at the other end, and whether it has greeted.
    links: BTreeMap<End, (usize, bool)>,
    turns: u64,
    rng: Rng,
    /// Messages of its trick that it sent.
    pub(crate) played: u64,
}

impl Adversary {
    pub(crate) fn new(trick: Trick, rng: Rng) -> Self {
        Self {
            trick,
            links: BTreeMap::new(),
            turns: 0,
            rng,
            played: 0,
        }
    }

    pub(crate) fn closed(&mut self, end: End) {
        self.links.remove(&end);
    }

    fn greeting(&self) -> Vec<Message> {
        let first = match self.trick {
            Trick::Floods | Trick::NeverReads => Message::HaveNone,
            _ => Message::HaveAll,
        };
        vec![first, Message::Interested, Message::Unchoke]
    }

    fn answers(&mut self, messages: &[Wire]) -> Vec<Message> {
        if self.trick != Trick::LiesAndRejects {
            return Vec::new();
        }
        let requests = messages.iter().filter_map(|message| match message {
            Wire::Message(Message::Request(block)) => Some(Message::Reject(*block)),
            _ => None,
        });
        let answers: Vec<_> = requests.collect();
        self.played += answers.len() as u64;
        answers
    }

    fn acts(&mut self, world: &crate::content::Content) -> Vec<Message> {
        let mut any = || {
            let pieces: Vec<_> = world.geometry.all_pieces().collect();
            let blocks: Vec<Block> = world
                .geometry
                .blocks(pieces[self.rng.index(pieces.len())])
                .collect();
            blocks[self.rng.index(blocks.len())]
        };
        let request = |block: Block| {
            let begin = block.begin();
            Message::Request(RawBlock {
                begin,
                ..block.raw()
            })
        };
        let acts: Vec<_> = match self.trick {
            Trick::Floods => (0..300).map(|_| request(any())).collect(),
            Trick::NeverReads => (0..20).map(|_| request(any())).collect(),
            Trick::Unrequested => {
                let block = |block: Block| Message::Piece {
                    index: block.piece().get(),
                    begin: block.begin(),
                    data: world.spoiled(block, 1),
                };
                (0..4).map(|_| block(any())).collect()
            }
            Trick::Flaps => {
                let flap = [
                    Message::Choke,
                    Message::NotInterested,
                    Message::Unchoke,
                    Message::Interested,
                ];
                flap.into_iter().cycle().take(20).collect()
            }
            Trick::LiesInSilence | Trick::LiesAndRejects => Vec::new(),
        };
        self.played += acts.len() as u64;
        acts
    }
}

impl World {
    pub(crate) fn trick_opened(&mut self, node: usize, end: End, other: usize) {
        let handshake = Wire::Handshake(self.nodes[node].handshake());
        let adversary = self.adversaries.get_mut(&node).expect("asked before");
        adversary.links.insert(end, (other, false));
        // Refused only when the line is gone, and then `Closed` comes.
        let _ = self.net.send(end, HANDSHAKE_LENGTH as u64, handshake);
    }

    pub(crate) fn trick_heard(&mut self, node: usize, end: End, messages: Vec<Wire>) {
        let adversary = self.adversaries.get_mut(&node).expect("asked before");
        let Some((_, greeted)) = adversary.links.get_mut(&end) else {
            return;
        };
        let mut answers = Vec::new();
        if !std::mem::replace(greeted, true) {
            answers = adversary.greeting();
        }
        answers.extend(adversary.answers(&messages));
        self.trick_sends(end, answers);
    }

    /// Its turn: a trick on everybody it knows, sometimes a dial.
    pub(crate) fn trick(&mut self, node: usize) {
        let adversary = self.adversaries.get_mut(&node).expect("asked before");
        adversary.turns += 1;
        let greeted = adversary.links.iter().filter(|(_, (_, greeted))| *greeted);
        let ends: Vec<_> = greeted.map(|(&end, _)| end).collect();
        let dials = adversary.turns % DIAL_EVERY == 1 && adversary.links.len() < LINKS_MAX;
        for end in ends {
            if self.net.queued(end) < BACKLOG {
                let adversary = self.adversaries.get_mut(&node).expect("asked before");
                let acts = adversary.acts(&self.content);
                self.trick_sends(end, acts);
            }
        }
        if dials {
            for other in 0..self.nodes.len() {
                let known = &self.adversaries[&node].links;
                let new = known.values().all(|(known, _)| *known != other);
                if new && self.nodes[other].is_honest() {
                    self.net
                        .connect(self.nodes[node].host, self.nodes[other].host);
                }
            }
            // The tracker names it, as it does everybody.
            self.tracker.announce(self.nodes[node].address);
        }
        debug_assert!(EVERY < SECOND);
        self.later(EVERY, Timer::Trick { node });
    }

    fn trick_sends(&mut self, end: End, messages: Vec<Message>) {
        for message in messages {
            let length = encode::length(&message) as u64;
            let _ = self.net.send(end, length, Wire::Message(message));
        }
    }
}
