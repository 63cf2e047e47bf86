//! What SHA-1 is made of: blocks, the state they are compressed into, the padding of the last ones.
//! FIPS 180-4, sections 5 and 6.1.
//!
//! Compresses nothing: that is the kernels' work.

use crate::Digest;

/// Bytes that one compression takes.
pub(crate) const BLOCK: usize = 64;

/// The bytes of one compression.
pub(crate) type Block = [u8; BLOCK];

/// The five words a, b, c, d, e between two blocks.
pub(crate) type State = [u32; 5];

/// The state before the first block. FIPS 180-4, 5.3.1.
pub(crate) const INITIAL: State = [
    0x6745_2301,
    0xefcd_ab89,
    0x98ba_dcfe,
    0x1032_5476,
    0xc3d2_e1f0,
];

/// The constants of the four quarters of the rounds. FIPS 180-4, 4.2.1.
pub(crate) const ROUND_CONSTANTS: [u32; 4] = [0x5a82_7999, 0x6ed9_eba1, 0x8f1b_bcdc, 0xca62_c1d6];

/// The last one or two blocks of a message. FIPS 180-4, 5.1.1.
pub(crate) struct Ending {
    blocks: [Block; 2],
    count: usize,
}

impl Ending {
    /// Of a message of so many bytes, `rest` being those behind the last whole block.
    pub(crate) fn new(rest: &[u8], length: u64) -> Self {
        let mut blocks = [[0; BLOCK]; 2];
        let bytes = blocks.as_flattened_mut();
        bytes[..rest.len()].copy_from_slice(rest);
        bytes[rest.len()] = 0x80;
        let count = if rest.len() < BLOCK - 8 { 1 } else { 2 };
        let bits = length.wrapping_mul(8).to_be_bytes();
        bytes[count * BLOCK - 8..count * BLOCK].copy_from_slice(&bits);
        Self { blocks, count }
    }

    pub(crate) fn blocks(&self) -> &[Block] {
        &self.blocks[..self.count]
    }
}

/// The words as FIPS 180-4 writes them.
pub(crate) fn digest(state: &State) -> Digest {
    let mut digest = [0; 20];
    for (bytes, word) in digest.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    digest
}
