//! What a peer says of its pieces before anybody knows which there are. BEP 3, 6, 54; with BEP 9.
//!
//! Kept as said, within bounds, and judged when the metadata is known: until then no number can be
//! wrong. What a later message makes untrue is forgotten, as if it had been judged at once.

use std::collections::BTreeSet;

use bytes::Bytes;
use shoal_wire::Message;
use shoal_wire::extended::{LT_DONTHAVE, donthave};

use crate::limits::{ALLOWED_FAST_KEPT, EARLY_HAVES_MAX, SUGGESTED_KEPT};

/// More haves than are kept.
#[derive(Debug, PartialEq, Eq)]
pub struct TooMany;

/// What one peer said.
#[derive(Debug, Default)]
pub struct Early {
    holdings: Option<Holdings>,
    haves: BTreeSet<u32>,
    /// It had all, but for these.
    gone: BTreeSet<u32>,
    suggested: Vec<u32>,
    allowed: Vec<u32>,
}

#[derive(Debug)]
enum Holdings {
    All,
    None,
    Bits(Vec<u8>),
}

impl Early {
    /// `have`: whether it is news.
    ///
    /// # Errors
    /// [`TooMany`] above [`EARLY_HAVES_MAX`] that no bitfield has room for.
    pub fn have(&mut self, index: u32) -> Result<bool, TooMany> {
        if self.gone.remove(&index) {
            return Ok(true);
        }
        if let Some(Holdings::Bits(bits)) = &mut self.holdings
            && let Some(byte) = bits.get_mut(index as usize / 8)
        {
            let bit = 0x80 >> (index % 8);
            let news = *byte & bit == 0;
            *byte |= bit;
            return Ok(news);
        }
        if self.haves.len() >= EARLY_HAVES_MAX && !self.haves.contains(&index) {
            return Err(TooMany);
        }
        Ok(self.haves.insert(index))
    }

    /// `lt_donthave`: it has the piece no longer.
    ///
    /// # Errors
    /// [`TooMany`] above [`EARLY_HAVES_MAX`] of one that had all.
    pub fn donthave(&mut self, index: u32) -> Result<(), TooMany> {
        self.haves.remove(&index);
        match &mut self.holdings {
            Some(Holdings::Bits(bits)) => {
                if let Some(byte) = bits.get_mut(index as usize / 8) {
                    *byte &= !(0x80 >> (index % 8));
                }
            }
            Some(Holdings::All) if self.gone.len() >= EARLY_HAVES_MAX => return Err(TooMany),
            Some(Holdings::All) => {
                self.gone.insert(index);
            }
            Some(Holdings::None) | None => {}
        }
        Ok(())
    }

    /// `bitfield`: in place of all that it said of what it has.
    pub fn bitfield(&mut self, bits: &[u8]) {
        self.gone.clear();
        self.haves.clear();
        self.holdings = Some(Holdings::Bits(bits.to_vec()));
    }

    /// `have all`, likewise.
    pub fn have_all(&mut self) {
        self.gone.clear();
        self.haves.clear();
        self.holdings = Some(Holdings::All);
    }

    /// `have none`, likewise.
    pub fn have_none(&mut self) {
        self.gone.clear();
        self.haves.clear();
        self.holdings = Some(Holdings::None);
    }

    /// `suggest`: whether it is kept.
    pub fn suggest(&mut self, index: u32) -> bool {
        keep(&mut self.suggested, index, SUGGESTED_KEPT)
    }

    /// `allowed fast`: whether it is kept.
    pub fn allow(&mut self, index: u32) -> bool {
        keep(&mut self.allowed, index, ALLOWED_FAST_KEPT)
    }

    /// Bytes of its bitfield.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.holdings {
            Some(Holdings::Bits(bits)) => bits.len(),
            _ => 0,
        }
    }

    /// The messages that say the same.
    #[must_use]
    pub fn into_messages(self) -> Vec<Message> {
        let holdings = self.holdings.map(|holdings| match holdings {
            Holdings::All => Message::HaveAll,
            Holdings::None => Message::HaveNone,
            Holdings::Bits(bits) => Message::Bitfield(Bytes::from(bits)),
        });
        let haves = self.haves.into_iter().map(|index| Message::Have { index });
        let gone = self.gone.into_iter().map(|index| Message::Extended {
            id: LT_DONTHAVE,
            payload: Bytes::from(donthave::encode(index)),
        });
        let allowed = self
            .allowed
            .into_iter()
            .map(|index| Message::AllowedFast { index });
        let suggested = self
            .suggested
            .into_iter()
            .map(|index| Message::Suggest { index });
        holdings
            .into_iter()
            .chain(haves)
            .chain(gone)
            .chain(allowed)
            .chain(suggested)
            .collect()
    }
}

fn keep(kept: &mut Vec<u32>, index: u32, most: usize) -> bool {
    let keeps = kept.len() < most && !kept.contains(&index);
    if keeps {
        kept.push(index);
    }
    keeps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_is_taken_back_from_whatever_was_said() {
        let gone = |index| Message::Extended {
            id: LT_DONTHAVE,
            payload: Bytes::from(donthave::encode(index)),
        };
        let mut all = Early::default();
        all.have_all();
        assert_eq!(all.donthave(7), Ok(()));
        assert_eq!(all.donthave(9), Ok(()));
        assert_eq!(all.have(7), Ok(true));
        assert_eq!(all.into_messages(), [Message::HaveAll, gone(9)]);
        let mut bits = Early::default();
        bits.bitfield(&[0b1100_0000]);
        assert_eq!(bits.donthave(1), Ok(()));
        assert_eq!(bits.donthave(4_000_000), Ok(()));
        let left = Bytes::from_static(&[0b1000_0000]);
        assert_eq!(bits.into_messages(), [Message::Bitfield(left)]);
        let mut some = Early::default();
        assert_eq!(some.have(3), Ok(true));
        assert_eq!(some.donthave(3), Ok(()));
        assert_eq!(some.into_messages(), []);
    }

    #[test]
    fn losses_kept_are_bounded() {
        let mut early = Early::default();
        early.have_all();
        let most = u32::try_from(EARLY_HAVES_MAX).unwrap();
        assert!((0..most).all(|index| early.donthave(index).is_ok()));
        assert_eq!(early.donthave(most), Err(TooMany));
    }

    #[test]
    fn haves_behind_a_bitfield_go_into_it() {
        let mut early = Early::default();
        early.bitfield(&[0b1000_0000, 0]);
        assert_eq!(early.have(0), Ok(false));
        assert_eq!(early.have(9), Ok(true));
        assert_eq!(
            early.have(16),
            Ok(true),
            "it may be a lie; that is seen later"
        );
        assert_eq!(early.bytes(), 2);
        let bits = Bytes::from_static(&[0b1000_0000, 0b0100_0000]);
        let expected = [Message::Bitfield(bits), Message::Have { index: 16 }];
        assert_eq!(early.into_messages(), expected);
    }

    #[test]
    fn what_is_said_last_of_all_pieces_counts() {
        let mut early = Early::default();
        assert_eq!(early.have(3), Ok(true));
        early.bitfield(&[1]);
        early.have_all();
        early.have_none();
        assert_eq!(early.have(5), Ok(true));
        assert!(early.allow(1) && early.suggest(2) && !early.suggest(2));
        let expected = [
            Message::HaveNone,
            Message::Have { index: 5 },
            Message::AllowedFast { index: 1 },
            Message::Suggest { index: 2 },
        ];
        assert_eq!(early.into_messages(), expected);
    }

    #[test]
    fn everything_is_bounded() {
        let mut early = Early::default();
        let most = u32::try_from(EARLY_HAVES_MAX).unwrap();
        (0..most).for_each(|index| assert_eq!(early.have(index), Ok(true)));
        assert_eq!(early.have(0), Ok(false));
        assert_eq!(early.have(most), Err(TooMany));
        assert_eq!(
            (0..1000).filter(|&index| early.allow(index)).count(),
            ALLOWED_FAST_KEPT
        );
        assert_eq!(
            (0..1000).filter(|&index| early.suggest(index)).count(),
            SUGGESTED_KEPT
        );
    }
}
