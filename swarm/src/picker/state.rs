//! The state of one piece and of one block: each is in exactly one.

use crate::io::PeerKey;
use crate::limits::ENDGAME_DUPLICATES_MAX;

/// One piece is in one of these states.
#[derive(Debug)]
pub(super) enum Piece {
    /// Not chosen, and not ours.
    Unwanted,
    Missing,
    InFlight(Box<InFlight>),
    Verifying,
    Have,
}

/// A piece that is being downloaded.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) blocks: Vec<BlockState>,
    /// How many blocks are [`BlockState::Free`]; the piece is in `partial` when there are any.
    pub(super) free: usize,
    /// How many are [`BlockState::Received`].
    pub(super) received: usize,
    /// No block before this one is free.
    pub(super) first_free: usize,
    /// On parole: only this peer may be asked.
    pub(super) only: Option<PeerKey>,
}

/// One block of a piece in flight is in one of these states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BlockState {
    Free,
    Requested(PeerKey),
    /// In the end game: of several peers, the first first.
    Contested(Vec<PeerKey>),
    Received,
}

impl BlockState {
    /// Asks `peer` too, if that is allowed and worth it.
    pub(super) fn contest(&mut self, peer: PeerKey, worth: impl Fn(PeerKey) -> bool) -> bool {
        match self {
            Self::Requested(holder) if *holder != peer && worth(*holder) => {
                *self = Self::Contested(vec![*holder, peer]);
                true
            }
            Self::Contested(holders) => {
                let allowed = holders.len() <= ENDGAME_DUPLICATES_MAX
                    && !holders.contains(&peer)
                    && holders.iter().all(|&holder| worth(holder));
                if allowed {
                    holders.push(peer);
                }
                allowed
            }
            _ => false,
        }
    }
}
