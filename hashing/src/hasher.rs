//! SHA-1 of bytes that come bit by bit. BEP 3 "pieces"; FIPS 180-4.
//!
//! The split of the bytes into updates changes nothing, nor does the kernel that takes each. Knows
//! nothing of pieces: where one ends is the caller's knowledge.

use std::fmt;

use crate::Digest;
use crate::block::{BLOCK, Block, Ending, INITIAL, State, digest};
use crate::drive::Work;

/// A hash under way.
#[derive(Clone)]
pub struct Hasher {
    state: State,
    /// Bytes taken.
    length: u64,
    /// Those behind the last whole block; `filled` of it counts.
    tail: Block,
    /// Less than a block between two calls.
    filled: usize,
}

impl Hasher {
    /// Of nothing so far.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: INITIAL,
            length: 0,
            tail: [0; BLOCK],
            filled: 0,
        }
    }

    /// Takes the next bytes. Several hashers go faster together: [`advance`](crate::advance).
    pub fn update(&mut self, data: &[u8]) {
        let data = self.fill(data);
        if self.filled == BLOCK {
            compress(&mut self.state, &[self.tail]);
        }
        if self.filled == BLOCK || self.filled == 0 {
            compress(&mut self.state, data.as_chunks().0);
        }
        self.keep(data);
    }

    /// The hash of all bytes taken.
    #[must_use]
    pub fn finish(mut self) -> Digest {
        let ending = Ending::new(&self.tail[..self.filled], self.length);
        compress(&mut self.state, ending.blocks());
        digest(&self.state)
    }

    /// First step of an update: completes the block begun, as far as the bytes go. Returns those
    /// behind.
    pub(crate) fn fill<'a>(&mut self, data: &'a [u8]) -> &'a [u8] {
        self.length = self.length.wrapping_add(data.len() as u64);
        if self.filled == 0 {
            return data;
        }
        let (now, later) = data.split_at(data.len().min(BLOCK - self.filled));
        self.tail[self.filled..][..now.len()].copy_from_slice(now);
        self.filled += now.len();
        later
    }

    /// Second step, left to a kernel: the whole blocks.
    pub(crate) fn work<'a>(&'a mut self, data: &'a [u8]) -> Work<'a> {
        let begun = std::slice::from_ref(&self.tail);
        let begun = &begun[..self.filled / BLOCK];
        Work::new(&mut self.state, begun, data.as_chunks().0)
    }

    /// Third step: what is left for the next update.
    pub(crate) fn keep(&mut self, data: &[u8]) {
        if self.filled == BLOCK || self.filled == 0 {
            let rest = data.as_chunks::<BLOCK>().1;
            self.tail[..rest.len()].copy_from_slice(rest);
            self.filled = rest.len();
        }
    }
}

/// One alone: the `sha1` crate knows the processor's best way itself.
pub(crate) fn compress(state: &mut State, blocks: &[Block]) {
    sha1::block_api::compress(state, blocks);
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher")
    }
}
