//! The rounds of SHA-1 on all lanes of a vector. FIPS 180-4, 6.1.2.
//!
//! The same code for every vector: what differs is a handful of operations, in [`Vector`]. Each
//! lane is a message of its own; no lane ever sees another.

use crate::block::{Block, ROUND_CONSTANTS, State};

/// What the rounds need of a processor. A value of it is the proof that this processor has it.
///
/// Every method is `#[inline(always)]`: it must become part of the caller, who alone has been
/// compiled for the processor.
pub(crate) trait Vector<const N: usize>: Copy {
    /// One word of each lane.
    type Words: Copy;

    fn splat(self, word: u32) -> Self::Words;
    fn load(self, words: &[u32; N]) -> Self::Words;
    fn store(self, words: Self::Words) -> [u32; N];

    /// The sixteen big-endian words of each lane's block.
    fn transpose(self, blocks: &[&Block; N]) -> [Self::Words; 16];

    fn add(self, a: Self::Words, b: Self::Words) -> Self::Words;
    fn xor3(self, a: Self::Words, b: Self::Words, c: Self::Words) -> Self::Words;
    fn xor(self, a: Self::Words, b: Self::Words) -> Self::Words;
    /// Where `x` has a bit that of `y`, else that of `z`.
    fn choose(self, x: Self::Words, y: Self::Words, z: Self::Words) -> Self::Words;
    /// The bit that two at least have.
    fn majority(self, x: Self::Words, y: Self::Words, z: Self::Words) -> Self::Words;
    fn rotate<const LEFT: i32, const RIGHT: i32>(self, a: Self::Words) -> Self::Words;

    /// Soon this block will be read; it may lie behind the end of the run.
    fn prefetch(self, run: &[Block], block: usize);
}

/// Blocks between the one that is compressed and the one that is prefetched. Ours: with buffers
/// larger than the cache 0 to 32 differ by less than the noise; 16 was never slower.
const PREFETCH: usize = 16;

/// Compresses the runs, which are equally long, into the states.
#[inline(always)]
pub(crate) fn compress<V: Vector<N>, const N: usize>(
    v: V,
    states: &mut [State; N],
    runs: &[&[Block]; N],
) {
    let count = runs[0].len();
    let mut state: [V::Words; 5] =
        std::array::from_fn(|word| v.load(&std::array::from_fn(|lane| states[lane][word])));
    for block in 0..count {
        let blocks: [&Block; N] = std::array::from_fn(|lane| &runs[lane][block]);
        for run in runs {
            v.prefetch(run, block + PREFETCH);
        }
        state = rounds(v, state, v.transpose(&blocks));
    }
    for (word, words) in state.into_iter().enumerate() {
        for (state, value) in states.iter_mut().zip(v.store(words)) {
            state[word] = value;
        }
    }
}

/// The word of round `T`, computed from earlier ones in place when it is none of the block.
#[inline(always)]
fn schedule<V: Vector<N>, const N: usize, const T: usize>(
    v: V,
    w: &mut [V::Words; 16],
) -> V::Words {
    if T >= 16 {
        let mixed = v.xor3(w[(T + 13) % 16], w[(T + 8) % 16], w[(T + 2) % 16]);
        w[T % 16] = v.rotate::<1, 31>(v.xor(mixed, w[T % 16]));
    }
    w[T % 16]
}

/// One block on each lane.
#[inline(always)]
fn rounds<V: Vector<N>, const N: usize>(
    v: V,
    state: [V::Words; 5],
    mut w: [V::Words; 16],
) -> [V::Words; 5] {
    let [mut a, mut b, mut c, mut d, mut e] = state;
    macro_rules! round {
        ($f:ident, $t:expr, $a:ident, $b:ident, $c:ident, $d:ident, $e:ident) => {
            let k = v.splat(ROUND_CONSTANTS[$t / 20]);
            let known = v.add(v.add($e, k), schedule::<V, N, { $t }>(v, &mut w));
            let known = v.add(known, v.$f($b, $c, $d));
            $e = v.add(known, v.rotate::<5, 27>($a));
            $b = v.rotate::<30, 2>($b);
        };
    }
    macro_rules! five {
        ($f:ident: $($t:expr),*) => {$(
            round!($f, $t, a, b, c, d, e);
            round!($f, $t + 1, e, a, b, c, d);
            round!($f, $t + 2, d, e, a, b, c);
            round!($f, $t + 3, c, d, e, a, b);
            round!($f, $t + 4, b, c, d, e, a);
        )*};
    }
    five!(choose: 0, 5, 10, 15);
    five!(xor3: 20, 25, 30, 35);
    five!(majority: 40, 45, 50, 55);
    five!(xor3: 60, 65, 70, 75);
    let after = [a, b, c, d, e];
    std::array::from_fn(|word| v.add(state[word], after[word]))
}
