//! Sixteen lanes in plain Rust: the lane code without any processor's instructions. FIPS 180-4.
//!
//! As wide as AVX-512 and made of the same rounds, so that what a machine without AVX-512 can prove
//! of those lanes is proved on every machine. Never chosen for its speed.

use std::array::from_fn;

use super::rounds::{self, Vector};
use crate::block::{Block, State};
use crate::drive::Compress;

pub(crate) const LANES: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Portable;

impl Compress<LANES> for Portable {
    fn compress(self, states: &mut [State; LANES], runs: &[&[Block]; LANES]) {
        rounds::compress(self, states, runs);
    }
}

impl Vector<LANES> for Portable {
    type Words = [u32; LANES];

    #[inline(always)]
    fn splat(self, word: u32) -> Self::Words {
        [word; LANES]
    }

    #[inline(always)]
    fn load(self, words: &[u32; LANES]) -> Self::Words {
        *words
    }

    #[inline(always)]
    fn store(self, words: Self::Words) -> [u32; LANES] {
        words
    }

    #[inline(always)]
    fn transpose(self, blocks: &[&Block; LANES]) -> [Self::Words; 16] {
        let word = |lane: usize, word: usize| blocks[lane].as_chunks::<4>().0[word];
        from_fn(|at| from_fn(|lane| u32::from_be_bytes(word(lane, at))))
    }

    #[inline(always)]
    fn add(self, a: Self::Words, b: Self::Words) -> Self::Words {
        from_fn(|lane| a[lane].wrapping_add(b[lane]))
    }

    #[inline(always)]
    fn xor(self, a: Self::Words, b: Self::Words) -> Self::Words {
        from_fn(|lane| a[lane] ^ b[lane])
    }

    #[inline(always)]
    fn xor3(self, a: Self::Words, b: Self::Words, c: Self::Words) -> Self::Words {
        from_fn(|lane| a[lane] ^ b[lane] ^ c[lane])
    }

    #[inline(always)]
    fn choose(self, x: Self::Words, y: Self::Words, z: Self::Words) -> Self::Words {
        from_fn(|lane| (x[lane] & y[lane]) | (!x[lane] & z[lane]))
    }

    #[inline(always)]
    fn majority(self, x: Self::Words, y: Self::Words, z: Self::Words) -> Self::Words {
        from_fn(|lane| (x[lane] & y[lane]) | (x[lane] & z[lane]) | (y[lane] & z[lane]))
    }

    #[inline(always)]
    fn rotate<const LEFT: i32, const RIGHT: i32>(self, a: Self::Words) -> Self::Words {
        from_fn(|lane| a[lane].rotate_left(LEFT.unsigned_abs()))
    }

    #[inline(always)]
    fn prefetch(self, _: &[Block], _: usize) {}
}
