//! Every bound of this crate, with its source.

/// Messages from which on the 16 lanes of AVX-512 beat two on the SHA instructions. Ours: by
/// figures of other processors, 0.35 GiB/s a lane against 2.5 for the two.
pub(crate) const AVX512_BUSY_MIN: usize = 8;

/// Messages from which on the SHA instructions are busier with two. Ours: there are no more.
pub(crate) const SHA_BUSY_MIN: usize = 2;

/// Messages from which on lanes of AVX2 or AVX-512 beat one at a time in plain Rust. Ours: measured
/// on Zen 3, 0.41 GiB/s a lane against 0.68.
pub(crate) const PLAIN_BUSY_MIN: usize = 2;

/// The same for the 4 lanes of NEON. Ours: an estimate; no such processor was measured.
pub(crate) const NEON_BUSY_MIN: usize = 3;

/// Pieces whose states lie in memory at a time. Ours: some 200 KiB, however many pieces there are;
/// lanes run empty once in so many.
pub(crate) const GROUP: usize = 1024;
