//! The `sha1` crate: one message at a time. FIPS 180-4.
//!
//! It looks for SHA instructions itself; elsewhere it is plain Rust.

use crate::block::{Block, State};
use crate::drive::Compress;

pub(crate) const LANES: usize = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scalar;

impl Compress<LANES> for Scalar {
    fn compress(self, [state]: &mut [State; LANES], [run]: &[&[Block]; LANES]) {
        sha1::block_api::compress(state, run);
    }
}
