//! One node's disk: a queue of writes and checks behind one slow worker, and what is on it.
//!
//! Bytes are on the disk when the worker came to them. A failure loses what waits in the queue; a
//! crash of the node too. What is there is compared with the truth, not with what anybody believes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use shoal_metainfo::{Bitfield, Block, PieceIndex};
use shoal_swarm::io::{Digest, Verdict};

use crate::content::{Content, ContentId, digest, id_of};

/// How long the worker takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DiskSpeed {
    pub(crate) write: Duration,
    pub(crate) verify: Duration,
    /// Reads do not queue behind writes; zero is the page cache.
    pub(crate) read: Duration,
}

impl DiskSpeed {
    pub(crate) const FAST: Self = Self {
        write: Duration::from_micros(20),
        verify: Duration::from_micros(500),
        read: Duration::ZERO,
    };
}

#[derive(Debug)]
enum Job {
    Write(Block, ContentId),
    Verify {
        piece: PieceIndex,
        digests: bool,
        /// Writes before it were lost, or it cannot be read.
        doomed: bool,
    },
}

/// An answer to a check.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) piece: PieceIndex,
    pub(crate) verdict: Verdict,
    pub(crate) blocks: Vec<Digest>,
}

#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) speed: DiskSpeed,
    pub(crate) failed: bool,
    /// The brain knows of the failure.
    pub(crate) told: bool,
    /// By block: what is there.
    blocks: Vec<Option<ContentId>>,
    jobs: VecDeque<Job>,
    free_at: Option<Instant>,
}

impl Disk {
    /// With the pieces of `have` on it, and right.
    pub(crate) fn new(content: &Content, have: &Bitfield, speed: DiskSpeed) -> Self {
        let pieces = content.geometry.all_pieces();
        let blocks = pieces.flat_map(|piece| {
            let there = have.has(piece);
            content.true_ids(piece).map(move |id| there.then_some(id))
        });
        Self {
            speed,
            failed: false,
            told: false,
            blocks: blocks.collect(),
            jobs: VecDeque::new(),
            free_at: None,
        }
    }

    /// False: the disk failed.
    pub(crate) fn write(&mut self, now: Instant, block: Block, data: &Bytes) -> bool {
        assert_eq!(data.len(), block.length() as usize, "write of {block}");
        if !self.failed {
            self.work(now, self.speed.write);
            self.jobs.push_back(Job::Write(block, id_of(data)));
        }
        !self.failed
    }

    /// When [`Self::checked`] should be asked.
    pub(crate) fn verify(&mut self, now: Instant, piece: PieceIndex, digests: bool) -> Instant {
        let doomed = self.failed;
        self.jobs.push_back(Job::Verify {
            piece,
            digests,
            doomed,
        });
        self.work(now, self.speed.verify)
    }

    /// The first check in the queue is done, with all writes before it.
    pub(crate) fn checked(&mut self, content: &Content) -> Checked {
        loop {
            match self.jobs.pop_front().expect("one answer for each check") {
                Job::Write(block, id) => {
                    let at = usize::try_from(content.true_id(block)).expect("small");
                    self.blocks[at] = Some(id);
                }
                Job::Verify {
                    piece,
                    digests,
                    doomed,
                } => return self.check(content, piece, digests, doomed),
            }
        }
    }

    /// What waits is lost; the checks among it will say `Unknown`. True if anything was.
    pub(crate) fn fail(&mut self) -> bool {
        self.failed = true;
        let lost = !self.jobs.is_empty();
        self.jobs.retain_mut(|job| match job {
            Job::Write(..) => false,
            Job::Verify { doomed, .. } => {
                *doomed = true;
                true
            }
        });
        lost
    }

    /// The node died: nothing waits any more.
    pub(crate) fn crash(&mut self) {
        self.jobs.clear();
        self.free_at = None;
        (self.failed, self.told) = (false, false);
    }

    /// Whether the piece is there and right.
    pub(crate) fn is_true(&self, content: &Content, piece: PieceIndex) -> bool {
        self.on_disk(content, piece)
            .eq(content.true_ids(piece).map(Some))
    }

    /// The blocks of the piece that are there and wrong, by number.
    pub(crate) fn wrong(&self, content: &Content, piece: PieceIndex) -> Vec<usize> {
        let pairs = self.on_disk(content, piece).zip(content.true_ids(piece));
        let wrong = pairs
            .enumerate()
            .filter(|(_, (there, truth))| *there != Some(*truth));
        wrong.map(|(number, _)| number).collect()
    }

    fn on_disk(&self, content: &Content, piece: PieceIndex) -> impl Iterator<Item = Option<u64>> {
        let mut ids = content.true_ids(piece);
        let begin = usize::try_from(ids.next().expect("no piece is empty")).expect("small");
        self.blocks[begin..][..ids.count() + 1].iter().copied()
    }

    fn check(&self, content: &Content, piece: PieceIndex, digests: bool, doomed: bool) -> Checked {
        let verdict = match self.is_true(content, piece) {
            _ if doomed => Verdict::Unknown,
            true => Verdict::Good,
            false => Verdict::Bad,
        };
        let told = digests || verdict == Verdict::Bad;
        let blocks = self
            .on_disk(content, piece)
            .map(|id| digest(id.unwrap_or(u64::MAX)));
        let blocks = if told { blocks.collect() } else { Vec::new() };
        Checked {
            piece,
            verdict,
            blocks,
        }
    }

    fn work(&mut self, now: Instant, how_long: Duration) -> Instant {
        let done = self.free_at.unwrap_or(now).max(now) + how_long;
        self.free_at = Some(done);
        done
    }
}
