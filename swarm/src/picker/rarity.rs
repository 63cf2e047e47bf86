//! How many peers have each piece, as they come, gain and leave. BEP 3 "rarest first".

use shoal_metainfo::PieceIndex;

use super::{Picker, known};
use crate::holdings::Holdings;
use crate::limits::RARITY_SINGLE_UPDATES_MAX;

impl Picker {
    /// How many connected peers that are no seeds from the start have the piece.
    #[must_use]
    pub fn rarity(&self, piece: PieceIndex) -> u16 {
        self.order.availability(piece)
    }

    /// How many connected peers have the piece.
    #[must_use]
    pub fn availability(&self, piece: PieceIndex) -> u32 {
        self.seeds + u32::from(self.order.availability(piece))
    }

    /// A peer with these pieces came.
    pub fn peer_came(&mut self, holdings: &Holdings) {
        match holdings {
            Holdings::All => self.seeds += 1,
            Holdings::Some(bits) if bits.count() < RARITY_SINGLE_UPDATES_MAX => {
                for index in bits.ones() {
                    self.order
                        .increase(known(&self.geometry, index), &mut self.rng);
                }
            }
            Holdings::Some(bits) => self.order.change_many(bits, true),
        }
    }

    /// A peer with these pieces left.
    pub fn peer_left(&mut self, holdings: &Holdings) {
        match holdings {
            Holdings::All => self.seeds -= 1,
            Holdings::Some(bits) if bits.count() < RARITY_SINGLE_UPDATES_MAX => {
                for index in bits.ones() {
                    self.order
                        .decrease(known(&self.geometry, index), &mut self.rng);
                }
            }
            Holdings::Some(bits) => self.order.change_many(bits, false),
        }
    }

    /// A peer got this piece.
    pub fn peer_gained(&mut self, piece: PieceIndex) {
        self.order.increase(piece, &mut self.rng);
    }
}
