//! What one side of a connection may and must not do, judged from outside: S4 and S5.
//!
//! Sees what goes into a brain and what comes out, and knows nothing of its insides.

use std::collections::{BTreeMap, BTreeSet};

use shoal_metainfo::{Block, RawBlock};
use shoal_swarm::limits::REQQ_DEFAULT;
use shoal_wire::Message;
use shoal_wire::extended::{ExtendedHandshake, HANDSHAKE_ID};

#[derive(Debug)]
pub(crate) struct Watch {
    /// BEP 6 was agreed on.
    fast: bool,
    we_choke: bool,
    allowed_by_us: BTreeSet<u32>,
    /// What the peer asked for, and how often it is to be answered: with BEP 6 each request gets
    /// one answer, a cancelled one too; without, a cancel or a choke ends it.
    asked_of_us: BTreeMap<RawBlock, u32>,

    peer_chokes: bool,
    allowed_by_it: BTreeSet<u32>,
    /// What we asked for.
    outstanding: BTreeSet<RawBlock>,
    /// What we cancelled and has no answer yet: answers come in the order asked.
    cancelled: BTreeMap<RawBlock, u32>,
    reqq: usize,
    /// The most that we had outstanding.
    pub(crate) outstanding_most: usize,
}

impl Watch {
    pub(crate) fn new(fast: bool) -> Self {
        Self {
            fast,
            we_choke: true,
            allowed_by_us: BTreeSet::new(),
            asked_of_us: BTreeMap::new(),
            peer_chokes: true,
            allowed_by_it: BTreeSet::new(),
            outstanding: BTreeSet::new(),
            cancelled: BTreeMap::new(),
            reqq: REQQ_DEFAULT,
            outstanding_most: 0,
        }
    }

    /// The brain is about to hear this.
    pub(crate) fn hears(&mut self, message: &Message) {
        match message {
            Message::Choke => {
                self.peer_chokes = true;
                if !self.fast {
                    self.outstanding.clear();
                }
            }
            Message::Unchoke => self.peer_chokes = false,
            Message::Request(block) => *self.asked_of_us.entry(*block).or_default() += 1,
            Message::Cancel(block) if !self.fast => {
                take_one(&mut self.asked_of_us, *block);
            }
            Message::Piece { index, begin, data } => {
                let length = u32::try_from(data.len()).expect("a block");
                let block = RawBlock {
                    index: *index,
                    begin: *begin,
                    length,
                };
                if !self.outstanding.remove(&block) {
                    take_one(&mut self.cancelled, block);
                }
            }
            Message::Reject(block) => self.is_rejected(*block),
            Message::AllowedFast { index } => {
                self.allowed_by_it.insert(*index);
            }
            Message::Extended { id, payload } if *id == HANDSHAKE_ID => {
                let reqq = ExtendedHandshake::decode(payload)
                    .ok()
                    .and_then(|told| told.reqq);
                self.reqq = reqq.map_or(self.reqq, |reqq| reqq as usize);
            }
            _ => {}
        }
    }

    /// The brain says this.
    pub(crate) fn says(&mut self, message: &Message) {
        match message {
            Message::Choke => {
                self.we_choke = true;
                if !self.fast {
                    self.asked_of_us.clear();
                }
            }
            Message::Unchoke => self.we_choke = false,
            Message::Request(block) => self.requests(*block),
            Message::Cancel(block) => self.cancels(*block),
            Message::Reject(block) => {
                assert!(self.fast, "rejects without BEP 6");
                assert!(
                    take_one(&mut self.asked_of_us, *block),
                    "rejects {block:?}, which was not asked for"
                );
            }
            Message::AllowedFast { index } => {
                assert!(self.fast, "allows without BEP 6");
                self.allowed_by_us.insert(*index);
            }
            Message::Piece { .. } => panic!("a block is never a Send"),
            _ => {}
        }
    }

    /// The brain serves this.
    pub(crate) fn serves(&mut self, block: Block) {
        let allowed = self.allowed_by_us.contains(&block.piece().get());
        assert!(
            !self.we_choke || allowed,
            "S5: serves {block} to a choked peer"
        );
        let asked = take_one(&mut self.asked_of_us, block.raw());
        assert!(
            asked,
            "S5: serves {block}, which was not asked for or was taken back"
        );
    }

    fn is_rejected(&mut self, block: RawBlock) {
        if !take_one(&mut self.cancelled, block) {
            self.outstanding.remove(&block);
        }
    }

    fn cancels(&mut self, block: RawBlock) {
        // Not outstanding: the answer came in the batch that made it cancel.
        if self.outstanding.remove(&block) && self.fast {
            *self.cancelled.entry(block).or_default() += 1;
        }
    }

    fn requests(&mut self, block: RawBlock) {
        let allowed = self.allowed_by_it.contains(&block.index);
        assert!(
            !self.peer_chokes || allowed,
            "asks for {block:?} while choked"
        );
        let new = self.outstanding.insert(block);
        assert!(new, "asks twice for {block:?}");
        let most = self.outstanding.len();
        assert!(
            most <= self.reqq,
            "S4: {most} requests, the peer takes {}",
            self.reqq
        );
        self.outstanding_most = self.outstanding_most.max(most);
    }
}

/// Counts one less; false: there was none.
fn take_one(counts: &mut BTreeMap<RawBlock, u32>, block: RawBlock) -> bool {
    let Some(count) = counts.get_mut(&block) else {
        return false;
    };
    *count -= 1;
    if *count == 0 {
        counts.remove(&block);
    }
    true
}
