//! Ways a peer breaks the protocol: its bytes were legal, its deed is not.

/// Each variant has one test that provokes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerMisbehaved {
    /// A bitfield, have-all or have-none after the first message. BEP 3, 6.
    #[error("bitfield sent late")]
    BitfieldNotFirst,
}
