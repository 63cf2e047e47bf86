//! Two messages interleaved on the SHA instructions of x86. FIPS 180-4.
//!
//! One message alone leaves the unit idle half of the time: each four rounds wait for the four
//! before.

use std::arch::x86_64::*;
use std::array::from_fn;

use crate::block::{Block, State};
use crate::drive::Compress;

pub(crate) const LANES: usize = 2;

/// The proof that the processor has SHA and SSE 4.1: there is no other way to one than
/// [`Self::detect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShaNi(());

impl ShaNi {
    pub(crate) fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("sha") && is_x86_feature_detected!("sse4.1");
        has.then_some(Self(()))
    }
}

impl Compress<LANES> for ShaNi {
    fn compress(self, states: &mut [State; LANES], runs: &[&[Block]; LANES]) {
        // SAFETY: `self` proves that the processor has these instructions.
        unsafe { compress(states, runs) }
    }
}

#[target_feature(enable = "sha,sse4.1")]
fn compress<const N: usize>(states: &mut [State; N], runs: &[&[Block]; N]) {
    let swap = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let word = |value: u32| value.cast_signed();
    // The words a, b, c, d stand from the highest to the lowest; e is the highest of its own.
    let mut abcds: [__m128i; N] = from_fn(|n| {
        let [a, b, c, d, _] = states[n].map(word);
        _mm_set_epi32(a, b, c, d)
    });
    let mut es: [__m128i; N] = from_fn(|n| _mm_set_epi32(word(states[n][4]), 0, 0, 0));
    let blocks_at = |at: usize| from_fn(|n| &runs[n][at]);
    for blocks in (0..runs[0].len()).map(blocks_at) {
        let blocks: [&Block; N] = blocks;
        let mut abcd = abcds;
        // Before the first four rounds `e` is the word itself, then the `abcd` of four rounds ago.
        let mut before = es;
        let mut w = [[_mm_setzero_si128(); 4]; N];
        macro_rules! four_rounds {
            ($f:literal: $($t:literal),*) => {$(
                for n in 0..N {
                    let w = &mut w[n];
                    if $t < 4 {
                        let bytes = &blocks[n].as_chunks::<16>().0[$t];
                        // SAFETY: a reference to 16 bytes, of any alignment.
                        let loaded = unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) };
                        w[$t % 4] = _mm_shuffle_epi8(loaded, swap);
                    } else {
                        let mixed = _mm_sha1msg1_epu32(w[$t % 4], w[($t + 1) % 4]);
                        let mixed = _mm_xor_si128(mixed, w[($t + 2) % 4]);
                        w[$t % 4] = _mm_sha1msg2_epu32(mixed, w[($t + 3) % 4]);
                    }
                    let e = if $t == 0 {
                        _mm_add_epi32(before[n], w[$t % 4])
                    } else {
                        _mm_sha1nexte_epu32(before[n], w[$t % 4])
                    };
                    before[n] = abcd[n];
                    abcd[n] = _mm_sha1rnds4_epu32::<$f>(abcd[n], e);
                }
            )*};
        }
        four_rounds!(0: 0, 1, 2, 3, 4);
        four_rounds!(1: 5, 6, 7, 8, 9);
        four_rounds!(2: 10, 11, 12, 13, 14);
        four_rounds!(3: 15, 16, 17, 18, 19);
        for n in 0..N {
            es[n] = _mm_sha1nexte_epu32(before[n], es[n]);
            abcds[n] = _mm_add_epi32(abcds[n], abcd[n]);
        }
    }
    for n in 0..N {
        let word = |value: i32| value.cast_unsigned();
        states[n] = [
            word(_mm_extract_epi32::<3>(abcds[n])),
            word(_mm_extract_epi32::<2>(abcds[n])),
            word(_mm_extract_epi32::<1>(abcds[n])),
            word(_mm_extract_epi32::<0>(abcds[n])),
            word(_mm_extract_epi32::<3>(es[n])),
        ];
    }
}
