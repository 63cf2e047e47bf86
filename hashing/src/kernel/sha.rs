//! Two messages interleaved on the SHA-1 instructions of aarch64. FIPS 180-4.
//!
//! One message alone leaves the unit idle part of the time: each four rounds wait for the four
//! before.

use std::arch::aarch64::*;
use std::array::from_fn;

use crate::block::{Block, ROUND_CONSTANTS, State};
use crate::drive::Compress;

pub(crate) const LANES: usize = 2;

/// The proof that the processor has them: there is no other way to one than [`Self::detect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sha(());

impl Sha {
    /// What Rust calls `sha2` is SHA-1 and SHA-256.
    pub(crate) fn detect() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("sha2").then_some(Self(()))
    }
}

impl Compress<LANES> for Sha {
    fn compress(self, states: &mut [State; LANES], runs: &[&[Block]; LANES]) {
        // SAFETY: `self` proves that the processor has these instructions.
        unsafe { compress(states, runs) }
    }
}

#[target_feature(enable = "neon,sha2")]
fn compress<const N: usize>(states: &mut [State; N], runs: &[&[Block]; N]) {
    let constants = ROUND_CONSTANTS.map(|constant| vdupq_n_u32(constant));
    let mut abcds: [uint32x4_t; N] = from_fn(|n| {
        // SAFETY: the first four of five words.
        unsafe { vld1q_u32(states[n].as_ptr()) }
    });
    let mut es: [u32; N] = from_fn(|n| states[n][4]);
    let blocks_at = |at: usize| from_fn(|n| &runs[n][at]);
    for blocks in (0..runs[0].len()).map(blocks_at) {
        let blocks: [&Block; N] = blocks;
        let mut abcd = abcds;
        let mut e = es;
        let mut w = [[vdupq_n_u32(0); 4]; N];
        macro_rules! four_rounds {
            ($f:ident, $quarter:literal: $($t:literal),*) => {$(
                for n in 0..N {
                    let w = &mut w[n];
                    if $t < 4 {
                        let bytes = &blocks[n].as_chunks::<16>().0[$t];
                        // SAFETY: a reference to 16 bytes, of any alignment.
                        let loaded = unsafe { vld1q_u8(bytes.as_ptr()) };
                        w[$t % 4] = vreinterpretq_u32_u8(vrev32q_u8(loaded));
                    } else {
                        let mixed = vsha1su0q_u32(w[$t % 4], w[($t + 1) % 4], w[($t + 2) % 4]);
                        w[$t % 4] = vsha1su1q_u32(mixed, w[($t + 3) % 4]);
                    }
                    let known = vaddq_u32(w[$t % 4], constants[$quarter]);
                    let next = vsha1h_u32(vgetq_lane_u32::<0>(abcd[n]));
                    abcd[n] = $f(abcd[n], e[n], known);
                    e[n] = next;
                }
            )*};
        }
        four_rounds!(vsha1cq_u32, 0: 0, 1, 2, 3, 4);
        four_rounds!(vsha1pq_u32, 1: 5, 6, 7, 8, 9);
        four_rounds!(vsha1mq_u32, 2: 10, 11, 12, 13, 14);
        four_rounds!(vsha1pq_u32, 3: 15, 16, 17, 18, 19);
        for n in 0..N {
            abcds[n] = vaddq_u32(abcds[n], abcd[n]);
            es[n] = es[n].wrapping_add(e[n]);
        }
    }
    for n in 0..N {
        // SAFETY: the first four of five words.
        unsafe { vst1q_u32(states[n].as_mut_ptr(), abcds[n]) };
        states[n][4] = es[n];
    }
}
