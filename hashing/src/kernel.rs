//! Which way of computing SHA-1 this machine uses. FIPS 180-4.
//!
//! Every kernel gives the same digests; they differ in how many pieces they take side by side.
//! The choice is made here and nowhere else, and `scalar` is the measure for any other.

mod scalar;

use crate::Digest;

/// One buffer.
pub(crate) fn hash_one(data: &[u8]) -> Digest {
    scalar::hash_one(data)
}

/// Many pieces, in order.
pub(crate) fn hash_pieces(pieces: &[&[u8]]) -> Vec<Digest> {
    scalar::hash_pieces(pieces)
}
