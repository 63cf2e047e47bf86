//! SHA-1 of bytes that come bit by bit. BEP 3 "pieces"; FIPS 180-4.
//!
//! The split of the bytes into updates changes nothing. Knows nothing of pieces: where one ends is
//! the caller's knowledge.

use std::fmt;

use sha1::Digest as _;

use crate::Digest;

/// A hash under way.
#[derive(Clone, Default)]
pub struct Hasher(sha1::Sha1);

impl Hasher {
    /// Of nothing so far.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes.
    pub fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    /// The hash of all bytes taken.
    #[must_use]
    pub fn finish(self) -> Digest {
        self.0.finalize().into()
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher")
    }
}
