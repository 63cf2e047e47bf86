//! SHA-1, the hash of BEP 3: of one buffer, of a stream, of many pieces at once.
//!
//! Whoever has several pieces waiting hands them over together to [`hash_pieces`]; how many of them
//! are hashed side by side is the [kernel](#how)'s business and changes no result. [`Hasher`] takes
//! what does not lie in memory as one slice.
//!
//! ```
//! use shoal_hashing::{Hasher, hash_pieces, sha1};
//!
//! let pieces: [&[u8]; 2] = [b"first piece", b"second piece"];
//! assert_eq!(hash_pieces(&pieces), [sha1(pieces[0]), sha1(pieces[1])]);
//!
//! let mut hasher = Hasher::new();
//! hasher.update(b"first ");
//! hasher.update(b"piece");
//! assert_eq!(hasher.finish(), sha1(b"first piece"));
//! ```
//!
//! # How
//! The `sha1` crate, which finds out at run time whether the processor has SHA instructions. The
//! crate does no I/O and starts no threads: spreading pieces over cores is the caller's choice.
#![forbid(unsafe_code)]

mod hasher;
mod kernel;

pub use hasher::Hasher;

/// A SHA-1 hash. Shape: 20 bytes, big-endian words as FIPS 180-4 writes them.
pub type Digest = [u8; 20];

/// The SHA-1 of one buffer. Source: BEP 3 "pieces"; FIPS 180-4.
#[must_use]
pub fn sha1(data: &[u8]) -> Digest {
    kernel::hash_one(data)
}

/// The SHA-1 of each piece, in order. The pieces may differ in length.
///
/// Source: BEP 3 "pieces"; FIPS 180-4.
#[must_use]
pub fn hash_pieces(pieces: &[&[u8]]) -> Vec<Digest> {
    kernel::hash_pieces(pieces)
}
