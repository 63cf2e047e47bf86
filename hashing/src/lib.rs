//! SHA-1, the hash of BEP 3: of one buffer, of a stream, of many pieces at once.
//!
//! Whoever has several pieces hands them over together: they are hashed side by side, each in a
//! lane of its own, which is several times as fast as one after the other. [`hash_pieces`] takes
//! whole pieces, [`advance`] the next bytes of several that are still coming.
//!
//! ```
//! use shoal_hashing::{Hasher, advance, hash_pieces, sha1};
//!
//! let pieces: [&[u8]; 2] = [b"first piece", b"second piece"];
//! assert_eq!(hash_pieces(&pieces), [sha1(pieces[0]), sha1(pieces[1])]);
//!
//! let (mut first, mut second) = (Hasher::new(), Hasher::new());
//! first.update(b"first ");
//! advance(&mut [(&mut first, b"piece"), (&mut second, b"second piece")]);
//! assert_eq!([first, second].map(Hasher::finish), [sha1(pieces[0]), sha1(pieces[1])]);
//! ```
//!
//! # How
//! SHA-1 of one message is a chain: each round waits for the one before, and the processor's wide
//! units idle. So a [`Kernel`] takes a word of each of 16 messages (AVX-512), 8 (AVX2) or 4 (NEON)
//! at a time, or interleaves two on the SHA instructions; the `sha1` crate does what is left and
//! what stands alone. The [`Selection`] says which, from how many pieces on. It is made at run
//! time; the environment variable `SHOAL_SHA1` forces one kernel, by its name.
//!
//! The crate does no I/O and starts no threads: spreading pieces over cores is the caller's choice,
//! and so is waiting until there are some. [`lanes`] and [`lanes_min`] tell how many pay.
#![deny(unsafe_code)]

mod block;
mod drive;
mod hasher;
mod kernel;
mod limits;
mod room;
mod select;

pub use hasher::Hasher;
pub use kernel::{Kernel, KernelError};
pub use room::Room;
pub use select::Selection;

/// A SHA-1 hash. Shape: 20 bytes, big-endian words as FIPS 180-4 writes them.
pub type Digest = [u8; 20];

/// The SHA-1 of one buffer. Source: BEP 3 "pieces"; FIPS 180-4.
#[must_use]
pub fn sha1(data: &[u8]) -> Digest {
    let mut hasher = Hasher::new();
    hasher.update(data);
    hasher.finish()
}

/// The SHA-1 of each piece, in order, computed side by side. The pieces may differ in length.
///
/// Source: BEP 3 "pieces"; FIPS 180-4.
#[must_use]
pub fn hash_pieces(pieces: &[&[u8]]) -> Vec<Digest> {
    Selection::current().hash_pieces(pieces)
}

/// Gives each hasher its next bytes, side by side. The slices may differ in length.
///
/// The result is that of [`Hasher::update`] on each.
pub fn advance(parts: &mut [(&mut Hasher, &[u8])]) {
    Selection::current().advance(parts);
}

/// Pieces of about one length that are hashed in the time of one. A caller who can choose hands
/// over that many, or a multiple.
#[must_use]
pub fn lanes() -> usize {
    Selection::current().lanes()
}

/// Fewest pieces that are faster together than one after another; 1 where none are. Below it,
/// waiting for company gains nothing unless more than so many come.
#[must_use]
pub fn lanes_min() -> usize {
    Selection::current().lanes_min()
}
