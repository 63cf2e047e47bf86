//! Sixteen lanes of AVX-512. FIPS 180-4.
//!
//! Rotations and functions of three words are one instruction each here.

use std::arch::x86_64::*;
use std::array::from_fn;

use super::rounds::{self, Vector};
use crate::block::{Block, State};
use crate::drive::Compress;

pub(crate) const LANES: usize = 16;

/// The proof that the processor has AVX-512 F and BW: there is no other way to one than
/// [`Self::detect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avx512(());

impl Avx512 {
    pub(crate) fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
        has.then_some(Self(()))
    }
}

impl Compress<LANES> for Avx512 {
    fn compress(self, states: &mut [State; LANES], runs: &[&[Block]; LANES]) {
        // SAFETY: `self` proves that the processor has AVX-512 F and BW.
        unsafe { compress(self, states, runs) }
    }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn compress(v: Avx512, states: &mut [State; LANES], runs: &[&[Block]; LANES]) {
    rounds::compress(v, states, runs);
}

/// An operation on vectors that touches no memory.
macro_rules! op {
    ($operation:expr) => {
        // SAFETY: `self`, in every method here, proves that the processor has AVX-512 F and BW.
        unsafe { $operation }
    };
}

impl Vector<LANES> for Avx512 {
    type Words = __m512i;

    #[inline(always)]
    fn splat(self, word: u32) -> __m512i {
        op!(_mm512_set1_epi32(word.cast_signed()))
    }

    #[inline(always)]
    fn load(self, words: &[u32; LANES]) -> __m512i {
        // SAFETY: AVX-512 F by `self`; a reference to 64 bytes, of any alignment.
        unsafe { _mm512_loadu_epi32(words.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store(self, words: __m512i) -> [u32; LANES] {
        let mut out = [0; LANES];
        // SAFETY: AVX-512 F by `self`; 64 bytes of our own, of any alignment.
        unsafe { _mm512_storeu_epi32(out.as_mut_ptr().cast(), words) };
        out
    }

    /// One load for each block: sixteen lanes may lie at the same place of a page each, where a
    /// cache of eight ways forgets a line before its second load.
    #[inline(always)]
    fn transpose(self, blocks: &[&Block; LANES]) -> [__m512i; 16] {
        let row = |lane: usize| {
            // SAFETY: AVX-512 F by `self`; a reference to 64 bytes, of any alignment.
            let bytes = unsafe { _mm512_loadu_epi8(blocks[lane].as_ptr().cast()) };
            self.swap(bytes)
        };
        // Four words of four lanes each become four lanes of one word, in each quarter.
        let fours: [[__m512i; 4]; 4] = from_fn(|four| {
            let [r0, r1, r2, r3] = from_fn(|lane| row(4 * four + lane));
            let low01 = op!(_mm512_unpacklo_epi32(r0, r1));
            let high01 = op!(_mm512_unpackhi_epi32(r0, r1));
            let low23 = op!(_mm512_unpacklo_epi32(r2, r3));
            let high23 = op!(_mm512_unpackhi_epi32(r2, r3));
            [
                op!(_mm512_unpacklo_epi64(low01, low23)),
                op!(_mm512_unpackhi_epi64(low01, low23)),
                op!(_mm512_unpacklo_epi64(high01, high23)),
                op!(_mm512_unpackhi_epi64(high01, high23)),
            ]
        });
        // Then quarter q of all fours is word 4q + n of all lanes.
        let mut words = [self.splat(0); 16];
        for n in 0..4 {
            let [f0, f1, f2, f3] = fours.map(|four| four[n]);
            let low01 = op!(_mm512_shuffle_i32x4::<0x44>(f0, f1));
            let low23 = op!(_mm512_shuffle_i32x4::<0x44>(f2, f3));
            let high01 = op!(_mm512_shuffle_i32x4::<0xee>(f0, f1));
            let high23 = op!(_mm512_shuffle_i32x4::<0xee>(f2, f3));
            words[n] = op!(_mm512_shuffle_i32x4::<0x88>(low01, low23));
            words[4 + n] = op!(_mm512_shuffle_i32x4::<0xdd>(low01, low23));
            words[8 + n] = op!(_mm512_shuffle_i32x4::<0x88>(high01, high23));
            words[12 + n] = op!(_mm512_shuffle_i32x4::<0xdd>(high01, high23));
        }
        words
    }

    #[inline(always)]
    fn add(self, a: __m512i, b: __m512i) -> __m512i {
        op!(_mm512_add_epi32(a, b))
    }

    #[inline(always)]
    fn xor(self, a: __m512i, b: __m512i) -> __m512i {
        op!(_mm512_xor_si512(a, b))
    }

    // Three bits are the number of a bit of the constant: x is 4, y is 2, z is 1.

    #[inline(always)]
    fn xor3(self, x: __m512i, y: __m512i, z: __m512i) -> __m512i {
        op!(_mm512_ternarylogic_epi32::<0b1001_0110>(x, y, z))
    }

    #[inline(always)]
    fn choose(self, x: __m512i, y: __m512i, z: __m512i) -> __m512i {
        op!(_mm512_ternarylogic_epi32::<0b1100_1010>(x, y, z))
    }

    #[inline(always)]
    fn majority(self, x: __m512i, y: __m512i, z: __m512i) -> __m512i {
        op!(_mm512_ternarylogic_epi32::<0b1110_1000>(x, y, z))
    }

    #[inline(always)]
    fn rotate<const LEFT: i32, const RIGHT: i32>(self, a: __m512i) -> __m512i {
        op!(_mm512_rol_epi32::<LEFT>(a))
    }

    #[inline(always)]
    fn prefetch(self, run: &[Block], block: usize) {
        let at = run.as_ptr().wrapping_add(block);
        // SAFETY: a prefetch never faults, wherever it points.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
}

impl Avx512 {
    /// Each word the other way round in memory.
    #[inline(always)]
    fn swap(self, bytes: __m512i) -> __m512i {
        let order = op!(_mm512_broadcast_i32x4(_mm_set_epi8(
            12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3
        )));
        op!(_mm512_shuffle_epi8(bytes, order))
    }
}
