//! Four lanes of NEON, for processors without SHA instructions. FIPS 180-4.

use std::arch::aarch64::*;
use std::array::from_fn;

use super::rounds::{self, Vector};
use crate::block::{Block, State};
use crate::drive::Compress;

pub(crate) const LANES: usize = 4;

/// The proof that the processor has NEON: there is no other way to one than [`Self::detect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Neon(());

impl Neon {
    pub(crate) fn detect() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Self(()))
    }
}

impl Compress<LANES> for Neon {
    fn compress(self, states: &mut [State; LANES], runs: &[&[Block]; LANES]) {
        // SAFETY: `self` proves that the processor has NEON.
        unsafe { compress(self, states, runs) }
    }
}

#[target_feature(enable = "neon")]
fn compress(v: Neon, states: &mut [State; LANES], runs: &[&[Block]; LANES]) {
    rounds::compress(v, states, runs);
}

/// An operation on vectors that touches no memory.
macro_rules! op {
    ($operation:expr) => {
        // SAFETY: `self`, in every method here, proves that the processor has NEON.
        unsafe { $operation }
    };
}

impl Vector<LANES> for Neon {
    type Words = uint32x4_t;

    #[inline(always)]
    fn splat(self, word: u32) -> uint32x4_t {
        op!(vdupq_n_u32(word))
    }

    #[inline(always)]
    fn load(self, words: &[u32; LANES]) -> uint32x4_t {
        // SAFETY: NEON by `self`; a reference to four words.
        unsafe { vld1q_u32(words.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, words: uint32x4_t) -> [u32; LANES] {
        let mut out = [0; LANES];
        // SAFETY: NEON by `self`; four words of our own.
        unsafe { vst1q_u32(out.as_mut_ptr(), words) };
        out
    }

    #[inline(always)]
    fn transpose(self, blocks: &[&Block; LANES]) -> [uint32x4_t; 16] {
        let mut words = [self.splat(0); 16];
        for (quarter, words) in words.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let [r0, r1, r2, r3]: [uint32x4_t; LANES] = from_fn(|lane| {
                let at = blocks[lane].as_chunks::<16>().0[quarter].as_ptr();
                // SAFETY: NEON by `self`; a reference to 16 bytes, of any alignment.
                let bytes = unsafe { vld1q_u8(at) };
                op!(vreinterpretq_u32_u8(vrev32q_u8(bytes)))
            });
            let [low02, high02] = op!([vzip1q_u32(r0, r2), vzip2q_u32(r0, r2)]);
            let [low13, high13] = op!([vzip1q_u32(r1, r3), vzip2q_u32(r1, r3)]);
            *words = op!([
                vzip1q_u32(low02, low13),
                vzip2q_u32(low02, low13),
                vzip1q_u32(high02, high13),
                vzip2q_u32(high02, high13),
            ]);
        }
        words
    }

    #[inline(always)]
    fn add(self, a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        op!(vaddq_u32(a, b))
    }

    #[inline(always)]
    fn xor(self, a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        op!(veorq_u32(a, b))
    }

    #[inline(always)]
    fn xor3(self, x: uint32x4_t, y: uint32x4_t, z: uint32x4_t) -> uint32x4_t {
        self.xor(self.xor(x, y), z)
    }

    #[inline(always)]
    fn choose(self, x: uint32x4_t, y: uint32x4_t, z: uint32x4_t) -> uint32x4_t {
        op!(vbslq_u32(x, y, z))
    }

    /// Where `x` and `y` differ, `z` decides.
    #[inline(always)]
    fn majority(self, x: uint32x4_t, y: uint32x4_t, z: uint32x4_t) -> uint32x4_t {
        op!(vbslq_u32(self.xor(x, y), z, x))
    }

    #[inline(always)]
    fn rotate<const LEFT: i32, const RIGHT: i32>(self, a: uint32x4_t) -> uint32x4_t {
        op!(vsriq_n_u32::<RIGHT>(vshlq_n_u32::<LEFT>(a), a))
    }

    /// There is no stable intrinsic, and four streams are few enough for the processor's own.
    #[inline(always)]
    fn prefetch(self, _: &[Block], _: usize) {}
}
