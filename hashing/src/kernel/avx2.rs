//! Eight lanes of AVX2. FIPS 180-4.

use std::arch::x86_64::*;

use super::rounds::{self, Vector};
use crate::block::{Block, State};
use crate::drive::Compress;

pub(crate) const LANES: usize = 8;

/// The proof that the processor has AVX2: there is no other way to one than [`Self::detect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avx2(());

impl Avx2 {
    pub(crate) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }
}

#[target_feature(enable = "avx2")]
fn compress(v: Avx2, states: &mut [State; LANES], runs: &[&[Block]; LANES]) {
    rounds::compress(v, states, runs);
}

impl Compress<LANES> for Avx2 {
    fn compress(self, states: &mut [State; LANES], runs: &[&[Block]; LANES]) {
        // SAFETY: `self` proves that the processor has AVX2.
        unsafe { compress(self, states, runs) }
    }
}

/// One operation on vectors that needs AVX2 and touches no memory.
macro_rules! op {
    ($operation:expr) => {
        // SAFETY: the `self` of every method here proves that the processor has AVX2.
        unsafe { $operation }
    };
}

impl Vector<LANES> for Avx2 {
    type Words = __m256i;

    #[inline(always)]
    fn splat(self, word: u32) -> __m256i {
        op!(_mm256_set1_epi32(word.cast_signed()))
    }

    #[inline(always)]
    fn load(self, words: &[u32; LANES]) -> __m256i {
        // SAFETY: AVX2 by `self`; a reference to 32 bytes, of any alignment.
        unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store(self, words: __m256i) -> [u32; LANES] {
        let mut out = [0; LANES];
        // SAFETY: AVX2 by `self`; 32 bytes of our own, of any alignment.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), words) };
        out
    }

    #[inline(always)]
    fn transpose(self, blocks: &[&Block; LANES]) -> [__m256i; 16] {
        let mut words = [self.splat(0); 16];
        let swap = op!(_mm256_broadcastsi128_si256(_mm_set_epi8(
            12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3
        )));
        for (quarter, words) in words.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let half = |lane: usize| {
                let at = blocks[lane].as_chunks::<16>().0[quarter].as_ptr();
                // SAFETY: AVX2 by `self`; a reference to 16 bytes, of any alignment.
                unsafe { _mm_loadu_si128(at.cast()) }
            };
            let row = |lane: usize| {
                let both = _mm256_inserti128_si256::<1>;
                op!(_mm256_shuffle_epi8(
                    both(_mm256_castsi128_si256(half(lane)), half(lane + 4)),
                    swap
                ))
            };
            let [r0, r1, r2, r3] = [row(0), row(1), row(2), row(3)];
            let low01 = op!(_mm256_unpacklo_epi32(r0, r1));
            let high01 = op!(_mm256_unpackhi_epi32(r0, r1));
            let low23 = op!(_mm256_unpacklo_epi32(r2, r3));
            let high23 = op!(_mm256_unpackhi_epi32(r2, r3));
            *words = op!([
                _mm256_unpacklo_epi64(low01, low23),
                _mm256_unpackhi_epi64(low01, low23),
                _mm256_unpacklo_epi64(high01, high23),
                _mm256_unpackhi_epi64(high01, high23),
            ]);
        }
        words
    }

    #[inline(always)]
    fn add(self, a: __m256i, b: __m256i) -> __m256i {
        op!(_mm256_add_epi32(a, b))
    }

    #[inline(always)]
    fn xor(self, a: __m256i, b: __m256i) -> __m256i {
        op!(_mm256_xor_si256(a, b))
    }

    #[inline(always)]
    fn xor3(self, a: __m256i, b: __m256i, c: __m256i) -> __m256i {
        self.xor(self.xor(a, b), c)
    }

    #[inline(always)]
    fn choose(self, x: __m256i, y: __m256i, z: __m256i) -> __m256i {
        self.xor(z, op!(_mm256_and_si256(x, self.xor(y, z))))
    }

    #[inline(always)]
    fn majority(self, x: __m256i, y: __m256i, z: __m256i) -> __m256i {
        op!(_mm256_or_si256(
            _mm256_and_si256(x, y),
            _mm256_and_si256(z, _mm256_or_si256(x, y))
        ))
    }

    #[inline(always)]
    fn rotate<const LEFT: i32, const RIGHT: i32>(self, a: __m256i) -> __m256i {
        op!(_mm256_or_si256(
            _mm256_slli_epi32::<LEFT>(a),
            _mm256_srli_epi32::<RIGHT>(a)
        ))
    }

    #[inline(always)]
    fn prefetch(self, run: &[Block], block: usize) {
        let at = run.as_ptr().wrapping_add(block);
        // SAFETY: a prefetch never faults, wherever it points.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
}
