//! What the swarm wants of one web server: blocks, in the order asked.
//!
//! Bounded by the swarm, which asks a peer for no more than its pipeline holds.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use shoal_metainfo::{Block, Geometry};

/// Between the torrent, which wishes, and the task that fetches.
#[derive(Default)]
pub(crate) struct Wishes {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    waiting: VecDeque<Block>,
    /// Being fetched, in order; and whether they are still wanted.
    begun: VecDeque<(Block, bool)>,
    closed: bool,
    fetcher: Option<Waker>,
}

impl Wishes {
    /// One block more.
    pub(crate) fn ask(&self, block: Block) {
        let mut inner = self.lock();
        inner.waiting.push_back(block);
        inner.wake();
    }

    /// The block is no longer wanted.
    pub(crate) fn cancel(&self, block: Block) {
        let mut inner = self.lock();
        inner.waiting.retain(|&other| other != block);
        for (other, wanted) in &mut inner.begun {
            *wanted &= *other != block;
        }
    }

    /// Nothing is wanted any more, for good.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.wake();
    }

    /// Waits for the end. One task waits, for this and for [`wait`](Self::wait).
    pub(super) async fn closed(&self) {
        poll_fn(|cx| {
            let mut inner = self.lock();
            if inner.closed {
                return Poll::Ready(());
            }
            inner.fetcher = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Waits for a wish.
    pub(super) async fn wait(&self) {
        poll_fn(|cx| {
            let mut inner = self.lock();
            if !inner.waiting.is_empty() {
                return Poll::Ready(());
            }
            inner.fetcher = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Begins with the longest run of blocks that lie behind each other, up to so many bytes; in
    /// one piece, if `in_one_piece`. Empty when nothing waits.
    pub(super) fn begin(&self, geometry: &Geometry, max: u64, in_one_piece: bool) -> Vec<Block> {
        let mut inner = self.lock();
        let mut run: Vec<Block> = Vec::new();
        let mut bytes = 0;
        while let Some(&block) = inner.waiting.front() {
            let follows = run.last().is_none_or(|&last| {
                let end = begin(geometry, last) + u64::from(last.length());
                let same = last.piece() == block.piece();
                end == begin(geometry, block) && (same || !in_one_piece)
            });
            bytes += u64::from(block.length());
            if !follows || (bytes > max && !run.is_empty()) {
                break;
            }
            run.push(block);
            inner.waiting.pop_front();
        }
        inner.begun.extend(run.iter().map(|&block| (block, true)));
        run
    }

    /// The first block that was begun has come: whether it is still wanted.
    pub(super) fn came(&self) -> bool {
        let first = self.lock().begun.pop_front();
        first.is_some_and(|(_, wanted)| wanted)
    }

    /// Whether everything that was begun is no longer wanted; then it is forgotten.
    pub(super) fn is_in_vain(&self) -> bool {
        let mut inner = self.lock();
        let in_vain = !inner.begun.is_empty() && inner.begun.iter().all(|&(_, wanted)| !wanted);
        if in_vain {
            inner.begun.clear();
        }
        in_vain
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while the lock is held; a poisoned one is whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn wake(&mut self) {
        if let Some(fetcher) = self.fetcher.take() {
            fetcher.wake();
        }
    }
}

/// Where a block begins in the content.
pub(super) fn begin(geometry: &Geometry, block: Block) -> u64 {
    geometry.piece_begin(block.piece()) + u64::from(block.begin())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: u64 = 16 << 10;

    fn geometry() -> Geometry {
        Geometry::new(8 * BLOCK, 2 * BLOCK).unwrap()
    }

    fn blocks(numbers: &[usize]) -> Vec<Block> {
        let block = |&number: &usize| {
            let piece = u32::try_from(number / 2).unwrap();
            let piece = geometry().piece(piece).unwrap();
            geometry().nth_block(piece, number % 2).unwrap()
        };
        numbers.iter().map(block).collect()
    }

    fn wishes(numbers: &[usize]) -> Wishes {
        let wishes = Wishes::default();
        blocks(numbers)
            .into_iter()
            .for_each(|block| wishes.ask(block));
        wishes
    }

    #[test]
    fn blocks_that_follow_each_other_are_begun_together() {
        let wishes = wishes(&[0, 1, 2, 5, 6, 3]);
        let next = || wishes.begin(&geometry(), 100 * BLOCK, false);
        assert_eq!(next(), blocks(&[0, 1, 2]));
        assert_eq!(next(), blocks(&[5, 6]));
        assert_eq!(next(), blocks(&[3]));
        assert_eq!(next(), []);
    }

    #[test]
    fn run_ends_at_the_bound_and_where_asked_at_its_piece() {
        let runs = wishes(&[0, 1, 2, 3]);
        assert_eq!(
            runs.begin(&geometry(), 3 * BLOCK, false),
            blocks(&[0, 1, 2])
        );
        let pieces = wishes(&[0, 1, 2, 3]);
        assert_eq!(pieces.begin(&geometry(), 9 * BLOCK, true), blocks(&[0, 1]));
        let tiny = wishes(&[7]);
        assert_eq!(tiny.begin(&geometry(), 1, false), blocks(&[7]));
    }

    #[test]
    fn cancelled_block_is_not_begun_or_not_wanted_when_it_comes() {
        let wishes = wishes(&[0, 1, 2]);
        wishes.cancel(blocks(&[2])[0]);
        assert_eq!(wishes.begin(&geometry(), 9 * BLOCK, false), blocks(&[0, 1]));
        wishes.cancel(blocks(&[0])[0]);
        assert!(!wishes.is_in_vain());
        assert!(!wishes.came());
        assert!(wishes.came());
        assert!(!wishes.is_in_vain(), "nothing is begun");
    }

    #[test]
    fn everything_cancelled_is_in_vain() {
        let wishes = wishes(&[0, 1]);
        wishes.begin(&geometry(), 9 * BLOCK, false);
        blocks(&[0, 1])
            .into_iter()
            .for_each(|block| wishes.cancel(block));
        assert!(wishes.is_in_vain());
        assert!(!wishes.is_in_vain(), "it is forgotten");
    }
}
