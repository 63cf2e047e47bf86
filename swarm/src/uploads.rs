//! What we owe to one peer: the blocks it asked for. BEP 3 "request", "cancel"; BEP 6 "reject".
//!
//! A bounded queue in the order asked; as much of it is handed out as keeps the line full and no
//! more, so that a cancel or a choke still finds something to take back. Knows nothing of choking
//! or of the other peers.

use std::collections::{BTreeSet, VecDeque};

use shoal_metainfo::Block;

use crate::limits::{REQUESTS_QUEUED_MAX, SERVE_AHEAD_MAX, SERVE_AHEAD_START};

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queued {
    /// It will be answered.
    Yes,
    /// It waits already.
    Duplicate,
    /// The queue is full.
    Full,
}

/// The requests of one peer.
#[derive(Debug)]
pub struct UploadQueue {
    queue: VecDeque<Block>,
    /// The same blocks, to know a duplicate at once.
    queued: BTreeSet<Block>,
    /// Handed out and not yet on the line, oldest first: bytes of each.
    handed_out: VecDeque<u32>,
    handed_out_bytes: u64,
    /// How many bytes may be handed out at a time.
    ahead_max: u64,
}

impl Default for UploadQueue {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            queued: BTreeSet::new(),
            handed_out: VecDeque::new(),
            handed_out_bytes: 0,
            ahead_max: SERVE_AHEAD_START,
        }
    }
}

impl UploadQueue {
    /// The peer asks for a block.
    pub fn push(&mut self, block: Block) -> Queued {
        // What is handed out counts too: a peer that never reads is owed no more than the bound.
        if self.queue.len() + self.handed_out.len() >= REQUESTS_QUEUED_MAX {
            return Queued::Full;
        }
        if !self.queued.insert(block) {
            return Queued::Duplicate;
        }
        self.queue.push_back(block);
        Queued::Yes
    }

    /// The peer no longer wants the block; true when it was still here.
    pub fn cancel(&mut self, block: Block) -> bool {
        let waits = self.queued.remove(&block);
        if waits {
            let at = self.queue.iter().position(|other| *other == block);
            self.queue.remove(at.expect("both hold the same blocks"));
        }
        waits
    }

    /// Takes out everything that is not handed out yet and that `keep` does not want.
    pub fn clear(&mut self, keep: impl Fn(Block) -> bool) -> Vec<Block> {
        let all = std::mem::take(&mut self.queue).into_iter();
        let (kept, dropped): (Vec<_>, Vec<_>) = all.partition(|&block| keep(block));
        self.queue = kept.into();
        for block in &dropped {
            self.queued.remove(block);
        }
        dropped
    }

    /// The block to hand out next, if there is one and the line can take it.
    #[must_use]
    pub fn next(&self) -> Option<Block> {
        let fits = self.handed_out_bytes < self.ahead_max;
        self.queue.front().copied().filter(|_| fits)
    }

    /// Hands out [`Self::next`].
    pub fn hand_out(&mut self) {
        let block = self.queue.pop_front().expect("there is a next one");
        self.queued.remove(&block);
        self.handed_out.push_back(block.length());
        self.handed_out_bytes += u64::from(block.length());
    }

    /// So many blocks that were handed out are settled; returns their bytes.
    pub fn settled(&mut self, blocks: u32) -> u64 {
        let blocks = (blocks as usize).min(self.handed_out.len());
        let bytes = self.handed_out.drain(..blocks).map(u64::from).sum();
        self.handed_out_bytes -= bytes;
        if self.handed_out.is_empty() && !self.queue.is_empty() {
            // The line ran dry while more was wanted: hand out more at a time.
            self.ahead_max = (self.ahead_max * 2).min(SERVE_AHEAD_MAX);
        }
        bytes
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes handed out and not yet on the line.
    #[must_use]
    pub fn handed_out_bytes(&self) -> u64 {
        self.handed_out_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shoal_metainfo::Geometry;

    fn blocks(count: usize) -> Vec<Block> {
        let geometry = Geometry::new(1 << 30, 1 << 18).unwrap();
        let pieces = geometry.all_pieces();
        pieces
            .flat_map(|piece| geometry.blocks(piece))
            .take(count)
            .collect()
    }

    #[test]
    fn queue_answers_in_the_order_asked_and_ignores_duplicates() {
        let blocks = blocks(3);
        let mut queue = UploadQueue::default();
        for &block in &blocks {
            assert_eq!(queue.push(block), Queued::Yes);
        }
        assert_eq!(queue.push(blocks[1]), Queued::Duplicate);
        assert!(queue.cancel(blocks[1]));
        assert!(!queue.cancel(blocks[1]));
        for expected in [blocks[0], blocks[2]] {
            assert_eq!(queue.next(), Some(expected));
            queue.hand_out();
        }
        assert_eq!(queue.next(), None);
        assert_eq!(queue.settled(9), 32_768);
    }

    #[test]
    fn queue_is_bounded_with_what_is_handed_out() {
        let blocks = blocks(REQUESTS_QUEUED_MAX + 1);
        let mut queue = UploadQueue::default();
        for &block in &blocks[..REQUESTS_QUEUED_MAX] {
            assert_eq!(queue.push(block), Queued::Yes);
        }
        queue.hand_out();
        assert_eq!(queue.push(blocks[REQUESTS_QUEUED_MAX]), Queued::Full);
        queue.settled(1);
        assert_eq!(queue.push(blocks[REQUESTS_QUEUED_MAX]), Queued::Yes);
    }

    #[test]
    fn queue_hands_out_no_more_than_the_line_takes_and_learns() {
        let mut queue = UploadQueue::default();
        for block in blocks(200) {
            queue.push(block);
        }
        let hand_out = |queue: &mut UploadQueue| {
            let mut count = 0;
            while queue.next().is_some() {
                queue.hand_out();
                count += 1;
            }
            count
        };
        assert_eq!(hand_out(&mut queue), 4);
        queue.settled(1);
        assert_eq!(hand_out(&mut queue), 1);
        queue.settled(4);
        assert_eq!(hand_out(&mut queue), 8, "the line ran dry");
    }

    #[test]
    fn clear_keeps_what_is_wanted_and_returns_the_rest() {
        let blocks = blocks(3);
        let mut queue = UploadQueue::default();
        for &block in &blocks {
            queue.push(block);
        }
        assert_eq!(
            queue.clear(|block| block == blocks[1]),
            [blocks[0], blocks[2]]
        );
        assert_eq!(queue.next(), Some(blocks[1]));
        assert_eq!(queue.push(blocks[0]), Queued::Yes);
    }
}
