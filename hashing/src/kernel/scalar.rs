//! One piece after another, by the `sha1` crate: SHA instructions if there are any. FIPS 180-4.

use sha1::Digest as _;

use crate::Digest;

pub(crate) fn hash_one(data: &[u8]) -> Digest {
    sha1::Sha1::digest(data).into()
}

pub(crate) fn hash_pieces(pieces: &[&[u8]]) -> Vec<Digest> {
    pieces.iter().map(|piece| hash_one(piece)).collect()
}
