//! What to ask a seed for: what seeds alone have, and of a seed that deals its pieces out what it
//! says. BEP 6 "suggest piece".

use shoal_metainfo::{Block, PieceIndex};

use super::Picker;
use crate::holdings::Holdings;
use crate::io::PeerKey;

impl Picker {
    /// As [`Self::pick`], of a seed that deals its pieces out: what it has not `suggested` it may
    /// be giving to somebody else, who has it for us soon. Chooses only of what seeds alone have.
    pub fn pick_dealt(
        &mut self,
        peer: PeerKey,
        suggested: &[PieceIndex],
        count: usize,
        picked: &mut Vec<Block>,
    ) {
        let full = picked.len() + count;
        self.take_begun(peer, &Holdings::All, 0, full, picked);
        for &piece in suggested {
            let suspects = self.parole.get(&piece);
            let clean = suspects.is_none_or(|suspects| !suspects.contains(&peer));
            let wanted = self.missing.has(piece) && self.order.availability(piece) == 0 && clean;
            if picked.len() < full && wanted {
                self.begin(piece, peer);
                self.take(piece, peer, full, picked);
            }
        }
    }

    /// Whether some of what is missing seeds alone have.
    pub fn needs_seeds(&mut self) -> bool {
        self.order.lowest() == Some(0)
    }

    /// Takes free blocks of pieces in flight that at most so many peers have beside the seeds.
    pub(super) fn take_begun(
        &mut self,
        peer: PeerKey,
        holdings: &Holdings,
        rarity: u16,
        full: usize,
        picked: &mut Vec<Block>,
    ) {
        let mut at = 0;
        while picked.len() < full && at < self.partial.len() {
            let piece = self.partial[at];
            let wanted = holdings.has(piece) && self.order.availability(piece) <= rarity;
            // A piece whose last free block goes leaves the list: the next moves up.
            let stays = !wanted || !self.take(piece, peer, full, picked);
            at += usize::from(stays);
        }
    }
}
