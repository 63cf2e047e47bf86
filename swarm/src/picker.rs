//! Which block to ask whom for. BEP 3 "rarest first", "end game"; the states of all pieces.
//!
//! Every block of the torrent is in exactly one state, here and nowhere else. Knows peers by their
//! key only: what they have, how fast they are and whether they choke is told with each question.
//!
//! ```text
//! Missing ──pick──▶ InFlight ──last block──▶ Verifying ──good──▶ Have ──gone──▶ Missing
//!    ▲                 │ nothing asked, nothing here │ bad, unknown
//!    └─────────────────┴─────────────────────────────┘
//! ```
//! A piece that nobody chose is `Unwanted` in place of `Missing`.

mod dealt;
mod invariants;
mod losses;
mod order;
mod rarity;
mod state;
mod wanted;

use std::collections::BTreeMap;

use fastrand::Rng;
use shoal_metainfo::{Bitfield, Block, Geometry, PieceIndex};

use self::order::Order;
use self::state::{BlockState, InFlight, Piece};
use crate::holdings::Holdings;
use crate::io::PeerKey;
use crate::limits::{PARTIAL_PIECES_MAX, RANDOM_PIECES, RARITY_WALK_MAX};

/// What became of a block that arrived.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It was still missing; write it.
    Accepted {
        /// Others who were asked for it too: cancel there.
        others: Vec<PeerKey>,
        /// It was the last of its piece: verify.
        piece_complete: bool,
    },
    /// We have it already, or the piece is no longer fetched from this peer.
    Useless,
}

/// The states of all pieces, and the choice among them.
#[derive(Debug)]
pub struct Picker {
    geometry: Geometry,
    pieces: Vec<Piece>,
    have: Bitfield,
    /// The pieces that were chosen; `None`: all.
    wanted: Option<Bitfield>,
    /// Exactly the pieces that are ours or [`Piece::Unwanted`].
    settled: Bitfield,
    /// Exactly the pieces that are [`Piece::Missing`], as bits.
    missing: Bitfield,
    /// The same, rarest first.
    order: Order,
    /// Peers that have everything.
    seeds: u32,
    /// Exactly the pieces in flight that have free blocks, in the order they got them.
    partial: Vec<PieceIndex>,
    /// Exactly the pieces in flight, in the order they were begun.
    in_flight: Vec<PieceIndex>,
    /// Pieces to be had from one peer each, with the peers under suspicion.
    parole: BTreeMap<PieceIndex, Vec<PeerKey>>,
    /// Given up with blocks received; taken by [`Self::take_wasted`].
    wasted: Vec<(PieceIndex, u64)>,
    rng: Rng,
}

impl Picker {
    /// For a torrent of which `have` is there.
    #[must_use]
    pub fn new(geometry: Geometry, have: Bitfield, seed: u64) -> Self {
        assert_eq!(
            have.pieces(),
            geometry.pieces(),
            "another torrent's bitfield"
        );
        let mut rng = Rng::with_seed(seed);
        let mut missing = Bitfield::none(geometry.pieces());
        let pieces = geometry.all_pieces().map(|piece| {
            if have.has(piece) {
                Piece::Have
            } else {
                missing.insert(piece);
                Piece::Missing
            }
        });
        let pieces = pieces.collect();
        let absent = geometry.all_pieces().filter(|&piece| !have.has(piece));
        Self {
            pieces,
            order: Order::new(absent, geometry.pieces(), &mut rng),
            geometry,
            settled: have.clone(),
            have,
            wanted: None,
            missing,
            seeds: 0,
            partial: Vec::new(),
            in_flight: Vec::new(),
            parole: BTreeMap::new(),
            wasted: Vec::new(),
            rng,
        }
    }

    /// The pieces that are verified.
    #[must_use]
    pub fn have(&self) -> &Bitfield {
        &self.have
    }

    /// Where pieces lie.
    #[must_use]
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Whether nothing of the piece is here or asked for.
    #[must_use]
    pub fn is_missing(&self, piece: PieceIndex) -> bool {
        self.missing.has(piece)
    }

    /// Blocks of a piece are there already, if nothing of it was asked for; true when it is all of
    /// them: then it waits for its verdict.
    pub fn resume(&mut self, piece: PieceIndex, blocks: &[usize]) -> bool {
        let mut states = vec![BlockState::Free; self.geometry.block_count(piece)];
        for &number in blocks {
            if let Some(state) = states.get_mut(number) {
                *state = BlockState::Received;
            }
        }
        let is_free = |state: &&BlockState| **state == BlockState::Free;
        let free = states.iter().filter(is_free).count();
        if free == states.len() || !matches!(self.pieces[piece.index()], Piece::Missing) {
            return false;
        }
        self.missing.remove(piece);
        self.order.remove(piece);
        if free == 0 {
            self.pieces[piece.index()] = Piece::Verifying;
            return true;
        }
        self.pieces[piece.index()] = Piece::InFlight(Box::new(InFlight {
            free,
            received: states.len() - free,
            first_free: 0,
            only: None,
            blocks: states,
        }));
        self.partial.push(piece);
        self.in_flight.push(piece);
        false
    }

    /// Chooses up to `count` blocks to ask `peer` for and marks them requested.
    ///
    /// Pieces already begun come first, then the rarest, each as one run of blocks. Among equally
    /// rare ones those `suggested` come first. A seed is asked first for what seeds alone have,
    /// begun or not: the rest of a piece that others have may come from them.
    pub fn pick(
        &mut self,
        peer: PeerKey,
        holdings: &Holdings,
        suggested: &[PieceIndex],
        count: usize,
        picked: &mut Vec<Block>,
    ) {
        let full = picked.len() + count;
        if holdings.is_seed() {
            self.take_begun(peer, holdings, 0, full, picked);
            while picked.len() < full && self.needs_seeds() {
                let Some(piece) = self.next_missing(peer, holdings, suggested) else {
                    break;
                };
                self.begin(piece, peer);
                self.take(piece, peer, full, picked);
            }
        }
        self.take_begun(peer, holdings, u16::MAX, full, picked);
        while picked.len() < full {
            let Some(piece) = self.next_missing(peer, holdings, suggested) else {
                return;
            };
            self.begin(piece, peer);
            self.take(piece, peer, full, picked);
        }
    }

    /// Chooses up to `count` blocks of one piece, as [`Self::pick`]: for allowed-fast pieces.
    pub fn pick_of(
        &mut self,
        piece: PieceIndex,
        peer: PeerKey,
        count: usize,
        picked: &mut Vec<Block>,
    ) {
        let on_parole = self.parole.contains_key(&piece);
        if matches!(self.pieces[piece.index()], Piece::Missing) && !on_parole && count > 0 {
            self.begin(piece, peer);
        }
        if self.in_flight(piece).is_some_and(|inner| inner.free > 0) {
            let full = picked.len() + count;
            self.take(piece, peer, full, picked);
        }
    }

    /// Whether nothing is left to pick but what others were asked for already.
    #[must_use]
    pub fn is_endgame(&self) -> bool {
        let reserved = |&piece| {
            self.in_flight(piece)
                .is_some_and(|inner| inner.only.is_some())
        };
        self.order.len() == 0 && self.partial.iter().all(reserved) && !self.in_flight.is_empty()
    }

    /// In the end game, chooses up to `count` blocks that slower peers were asked for.
    ///
    /// `worth` says whether taking over from a holder promises anything.
    pub fn pick_duplicates(
        &mut self,
        peer: PeerKey,
        holdings: &Holdings,
        count: usize,
        worth: impl Fn(PeerKey) -> bool,
        picked: &mut Vec<Block>,
    ) {
        debug_assert!(self.is_endgame());
        let full = picked.len() + count;
        // The youngest requests have longest to wait.
        for &piece in self.in_flight.iter().rev() {
            if !holdings.has(piece) {
                continue;
            }
            let Piece::InFlight(inner) = &mut self.pieces[piece.index()] else {
                unreachable!("in_flight lists pieces in flight only");
            };
            if inner.only.is_some() {
                continue;
            }
            for (number, block) in inner.blocks.iter_mut().enumerate().rev() {
                if picked.len() == full {
                    return;
                }
                if block.contest(peer, &worth) {
                    picked.push(nth_block(&self.geometry, piece, number));
                }
            }
        }
    }

    /// A requested block came from `peer`.
    pub fn received(&mut self, block: Block, peer: PeerKey) -> Arrival {
        let piece = block.piece();
        let Piece::InFlight(inner) = &mut self.pieces[piece.index()] else {
            return Arrival::Useless;
        };
        let foreign = inner.only.is_some_and(|only| only != peer);
        let state = &mut inner.blocks[block.number()];
        if foreign || *state == BlockState::Received {
            return Arrival::Useless;
        }
        let others = match std::mem::replace(state, BlockState::Received) {
            BlockState::Free => {
                inner.free -= 1;
                if inner.free == 0 {
                    remove(&mut self.partial, piece);
                }
                Vec::new()
            }
            BlockState::Requested(holder) if holder == peer => Vec::new(),
            BlockState::Requested(holder) => vec![holder],
            BlockState::Contested(mut holders) => {
                holders.retain(|&holder| holder != peer);
                holders
            }
            BlockState::Received => unreachable!("looked at above"),
        };
        inner.received += 1;
        let piece_complete = inner.received == inner.blocks.len();
        if piece_complete {
            remove(&mut self.in_flight, piece);
            self.pieces[piece.index()] = Piece::Verifying;
        }
        Arrival::Accepted {
            others,
            piece_complete,
        }
    }

    /// `peer` will not send the block after all.
    pub fn released(&mut self, block: Block, peer: PeerKey) {
        let piece = block.piece();
        let Piece::InFlight(inner) = &mut self.pieces[piece.index()] else {
            return;
        };
        let state = &mut inner.blocks[block.number()];
        match state {
            BlockState::Requested(holder) if *holder == peer => *state = BlockState::Free,
            BlockState::Contested(holders) => {
                holders.retain(|&holder| holder != peer);
                if let [last] = holders[..] {
                    *state = BlockState::Requested(last);
                }
                return;
            }
            _ => return,
        }
        inner.free += 1;
        inner.first_free = inner.first_free.min(block.number());
        if inner.free == 1 {
            self.partial.push(piece);
        }
        if inner.free == inner.blocks.len() {
            self.give_up(piece);
        }
    }

    /// `peer` gives us nothing for now: pieces on parole that it had alone are to be fetched again
    /// from somebody else. True if there were any: its requests must be given up with them.
    pub fn forsaken(&mut self, peer: PeerKey) -> bool {
        if self.parole.is_empty() {
            return false;
        }
        let theirs = self.in_flight.iter().copied().filter(|&piece| {
            self.in_flight(piece)
                .is_some_and(|inner| inner.only == Some(peer))
        });
        let theirs: Vec<_> = theirs.collect();
        theirs.iter().for_each(|&piece| self.give_up(piece));
        !theirs.is_empty()
    }

    /// Everything in flight is to be fetched again.
    pub fn give_up_all(&mut self) {
        for piece in self.in_flight.clone() {
            self.give_up(piece);
        }
    }

    /// Pieces given up since the last call though blocks of them were there, with the bytes that
    /// came in vain.
    pub fn take_wasted(&mut self) -> Vec<(PieceIndex, u64)> {
        std::mem::take(&mut self.wasted)
    }

    /// Whether the piece waits for its verdict.
    #[must_use]
    pub fn is_verifying(&self, piece: PieceIndex) -> bool {
        matches!(self.pieces[piece.index()], Piece::Verifying)
    }

    /// The piece is verified.
    pub fn verified(&mut self, piece: PieceIndex) {
        assert!(self.is_verifying(piece), "a verdict nobody asked for");
        self.pieces[piece.index()] = Piece::Have;
        self.have.insert(piece);
        self.settled.insert(piece);
        self.parole.remove(&piece);
    }

    /// The piece must be fetched again; from one peer alone, and rather not from the suspects,
    /// when there are any.
    pub fn failed(&mut self, piece: PieceIndex, suspects: Vec<PeerKey>) {
        assert!(self.is_verifying(piece), "a verdict nobody asked for");
        self.pieces[piece.index()] = Piece::Missing;
        self.missing.insert(piece);
        self.order.insert(piece, &mut self.rng);
        if suspects.is_empty() {
            self.parole.remove(&piece);
        } else {
            self.parole.insert(piece, suspects);
        }
    }

    /// Takes free blocks of a piece in flight until `picked` has `full`; true when none are left.
    fn take(
        &mut self,
        piece: PieceIndex,
        peer: PeerKey,
        full: usize,
        picked: &mut Vec<Block>,
    ) -> bool {
        let Piece::InFlight(inner) = &mut self.pieces[piece.index()] else {
            unreachable!("only pieces in flight are taken from");
        };
        if inner.only.is_some_and(|only| only != peer) {
            return false;
        }
        let mut number = inner.first_free;
        while picked.len() < full && inner.free > 0 {
            if inner.blocks[number] == BlockState::Free {
                inner.blocks[number] = BlockState::Requested(peer);
                inner.free -= 1;
                picked.push(nth_block(&self.geometry, piece, number));
            }
            number += 1;
        }
        inner.first_free = number;
        let exhausted = inner.free == 0;
        if exhausted {
            remove(&mut self.partial, piece);
        }
        exhausted
    }

    /// The missing piece that `peer` should begin.
    fn next_missing(
        &mut self,
        peer: PeerKey,
        holdings: &Holdings,
        suggested: &[PieceIndex],
    ) -> Option<PieceIndex> {
        if self.order.len() == 0 {
            return None;
        }
        let clean = |parole: &BTreeMap<PieceIndex, Vec<PeerKey>>, piece| {
            let suspects = parole.get(&piece);
            suspects.is_none_or(|suspects| !suspects.contains(&peer))
        };
        let rarest_first = self.have.count() >= RANDOM_PIECES;
        let start = if rarest_first {
            0
        } else {
            self.rng.usize(..self.order.len())
        };
        let sorted = self.order.sorted();
        let (before, after) = sorted.split_at(start);
        let found = after
            .iter()
            .chain(before)
            .take(RARITY_WALK_MAX)
            .copied()
            .find(|&piece| holdings.has(piece) && clean(&self.parole, piece));
        // The walk ends early when the peer has only common pieces: ask its bitfield then. A
        // suspect may still be the only one who has a piece on parole.
        let found = found.or_else(|| self.rarest_among(holdings))?;
        // A suggestion decides among equals.
        let rarity = self.order.availability(found);
        let hint = suggested.iter().copied().find(|&piece| {
            let rare = !rarest_first || self.order.availability(piece) <= rarity;
            let there = self.missing.has(piece) && holdings.has(piece);
            rare && there && clean(&self.parole, piece)
        });
        Some(hint.unwrap_or(found))
    }

    /// Searches the peer's bitfield, 64 pieces a step.
    fn rarest_among(&self, holdings: &Holdings) -> Option<PieceIndex> {
        let Holdings::Some(bits) = holdings else {
            return self
                .missing
                .ones()
                .next()
                .map(|index| known(&self.geometry, index));
        };
        let mut rarest = None;
        let words = bits
            .as_wire()
            .chunks(8)
            .zip(self.missing.as_wire().chunks(8));
        for (at, (theirs, missing)) in (0u32..).zip(words) {
            let mut both = word(theirs) & word(missing);
            while both != 0 {
                let bit = both.leading_zeros();
                both &= !(1 << (63 - bit));
                let piece = known(&self.geometry, at * 64 + bit);
                let availability = self.order.availability(piece);
                if rarest.is_none_or(|(least, _)| availability < least) {
                    rarest = Some((availability, piece));
                }
            }
        }
        rarest.map(|(_, piece)| piece)
    }

    /// Missing becomes in flight.
    fn begin(&mut self, piece: PieceIndex, peer: PeerKey) {
        if self.partial.len() >= PARTIAL_PIECES_MAX {
            self.give_up_an_idle_one();
        }
        let blocks = self.geometry.block_count(piece);
        let only = self.parole.contains_key(&piece).then_some(peer);
        self.pieces[piece.index()] = Piece::InFlight(Box::new(InFlight {
            blocks: vec![BlockState::Free; blocks],
            free: blocks,
            received: 0,
            first_free: 0,
            only,
        }));
        self.missing.remove(piece);
        self.order.remove(piece);
        self.partial.push(piece);
        self.in_flight.push(piece);
    }

    /// In flight becomes missing.
    fn give_up(&mut self, piece: PieceIndex) {
        let state = std::mem::replace(&mut self.pieces[piece.index()], Piece::Missing);
        let Piece::InFlight(inner) = state else {
            unreachable!("only pieces in flight are given up");
        };
        self.missing.insert(piece);
        self.order.insert(piece, &mut self.rng);
        remove(&mut self.in_flight, piece);
        if inner.free > 0 {
            remove(&mut self.partial, piece);
        }
        if inner.received > 0 {
            let blocks = self.geometry.blocks(piece).zip(&inner.blocks);
            let received = blocks.filter(|(_, state)| **state == BlockState::Received);
            let bytes = received.map(|(block, _)| u64::from(block.length())).sum();
            self.wasted.push((piece, bytes));
        }
    }

    /// Frees a place among the partial pieces: the oldest that nobody was asked for.
    fn give_up_an_idle_one(&mut self) {
        let idle = self.partial.iter().copied().find(|&piece| {
            self.in_flight(piece)
                .is_some_and(|inner| inner.free + inner.received == inner.blocks.len())
        });
        if let Some(piece) = idle {
            self.give_up(piece);
        }
    }

    fn in_flight(&self, piece: PieceIndex) -> Option<&InFlight> {
        match &self.pieces[piece.index()] {
            Piece::InFlight(inner) => Some(inner),
            _ => None,
        }
    }
}

fn remove(list: &mut Vec<PieceIndex>, piece: PieceIndex) {
    let at = list.iter().position(|&other| other == piece);
    list.remove(at.expect("a piece in flight is listed"));
}

/// Up to eight bytes of a bitfield, the first piece in the high bit.
fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_be_bytes(word)
}

fn known(geometry: &Geometry, index: u32) -> PieceIndex {
    geometry.piece(index).expect("bits lie inside the torrent")
}

fn nth_block(geometry: &Geometry, piece: PieceIndex, number: usize) -> Block {
    geometry
        .nth_block(piece, number)
        .expect("states are made from the geometry")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::ENDGAME_DUPLICATES_MAX;
    use std::collections::BTreeSet;

    const A: PeerKey = PeerKey(1);
    const B: PeerKey = PeerKey(2);
    const C: PeerKey = PeerKey(3);

    /// Twenty pieces of four blocks.
    fn picker(seed: u64) -> Picker {
        let geometry = Geometry::new(20 << 16, 1 << 16).unwrap();
        Picker::new(geometry, Bitfield::none(20), seed)
    }

    fn piece(index: u32) -> PieceIndex {
        picker(0).geometry.piece(index).unwrap()
    }

    fn holdings(indices: impl IntoIterator<Item = u32>) -> Holdings {
        let mut bits = Bitfield::none(20);
        for index in indices {
            bits.insert(piece(index));
        }
        Holdings::new(bits)
    }

    fn pick(picker: &mut Picker, peer: PeerKey, holdings: &Holdings, count: usize) -> Vec<Block> {
        let mut picked = Vec::new();
        picker.pick(peer, holdings, &[], count, &mut picked);
        picker.check_invariants();
        picked
    }

    fn fetch(picker: &mut Picker, piece: PieceIndex) {
        let mut picked = Vec::new();
        picker.pick_of(piece, A, 99, &mut picked);
        for block in picked {
            picker.received(block, A);
        }
        picker.verified(piece);
        picker.check_invariants();
    }

    #[test]
    fn first_piece_is_random_and_later_ones_are_the_rarest() {
        let mut firsts = BTreeSet::new();
        for seed in 0..50 {
            let mut picker = picker(seed);
            picker.peer_came(&Holdings::All);
            picker.peer_came(&holdings(0..10));
            picker.peer_came(&holdings(5..20));
            firsts.insert(pick(&mut picker, A, &Holdings::All, 1)[0].piece());
        }
        assert!(firsts.len() > 10, "{firsts:?}");
        for seed in 0..50 {
            let mut picker = picker(seed);
            fetch(&mut picker, piece(0));
            for _ in 0..3 {
                picker.peer_came(&holdings((0..20).filter(|&index| index != 17)));
            }
            picker.peer_came(&holdings([17]));
            let picked = pick(&mut picker, B, &Holdings::All, 4);
            assert!(picked.iter().all(|block| block.piece() == piece(17)));
        }
    }

    #[test]
    fn piece_begun_is_finished_first_and_in_one_run() {
        let mut picker = picker(1);
        let begun = pick(&mut picker, A, &Holdings::All, 2);
        let rest = pick(&mut picker, B, &Holdings::All, 3);
        assert!(
            rest[..2]
                .iter()
                .all(|block| block.piece() == begun[0].piece())
        );
        assert_ne!(rest[2].piece(), begun[0].piece());
        let numbers = begun.iter().chain(&rest[..2]).map(|block| block.number());
        assert_eq!(numbers.collect::<Vec<_>>(), [0, 1, 2, 3]);
    }

    #[test]
    fn seed_is_asked_for_what_seeds_alone_have_before_the_rest_of_what_others_have() {
        let mut picker = picker(1);
        picker.peer_came(&Holdings::All);
        picker.peer_came(&holdings(0..18));
        fetch(&mut picker, piece(0));
        let begun = pick(&mut picker, B, &holdings(0..18), 1)[0].piece();
        let picked = pick(&mut picker, A, &Holdings::All, 11);
        let seeds_alone: BTreeSet<_> = picked[..8].iter().map(|block| block.piece()).collect();
        assert_eq!(seeds_alone, BTreeSet::from([piece(18), piece(19)]));
        assert!(picked[8..].iter().all(|block| block.piece() == begun));
    }

    #[test]
    fn dealing_seed_is_asked_for_what_it_suggests_and_what_is_begun_of_it() {
        let mut picker = picker(1);
        picker.peer_came(&Holdings::All);
        picker.peer_came(&holdings(0..10));
        let deal = |picker: &mut Picker, suggested: &[u32], count| {
            let suggested: Vec<_> = suggested.iter().map(|&index| piece(index)).collect();
            let mut picked = Vec::new();
            picker.pick_dealt(A, &suggested, count, &mut picked);
            picker.check_invariants();
            picked.iter().map(|block| block.piece()).collect::<Vec<_>>()
        };
        assert!(picker.needs_seeds());
        assert_eq!(
            deal(&mut picker, &[], 9),
            [],
            "it may be giving them to others"
        );
        assert_eq!(
            deal(&mut picker, &[12, 13], 5),
            [12, 12, 12, 12, 13].map(piece)
        );
        assert_eq!(
            deal(&mut picker, &[3, 12], 9),
            [13; 3].map(piece),
            "others have 3"
        );
        (10..20).for_each(|index| picker.peer_gained(piece(index)));
        assert!(!picker.needs_seeds());
    }

    #[test]
    fn nothing_is_picked_that_the_peer_has_not() {
        let mut picker = picker(1);
        pick(&mut picker, A, &Holdings::All, 1);
        let theirs = holdings([3, 9]);
        let picked = pick(&mut picker, B, &theirs, 99);
        assert!(picked.iter().all(|block| theirs.has(block.piece())));
        assert!((7..=8).contains(&picked.len()));
        assert_eq!(pick(&mut picker, C, &holdings([]), 9), []);
    }

    #[test]
    fn suggested_piece_comes_first_among_equally_rare_ones() {
        let mut picker = picker(1);
        let mut picked = Vec::new();
        picker.pick(A, &Holdings::All, &[piece(13)], 4, &mut picked);
        assert!(picked.iter().all(|block| block.piece() == piece(13)));
        fetch(&mut picker, piece(0));
        picker.peer_came(&holdings([14]));
        picker.pick(B, &Holdings::All, &[piece(14), piece(9)], 4, &mut picked);
        assert!(picked[4..].iter().all(|block| block.piece() == piece(9)));
    }

    #[test]
    fn peer_with_only_common_pieces_is_found_one_among_many() {
        let geometry = Geometry::new(50_000, 1).unwrap();
        let mut picker = Picker::new(geometry, Bitfield::none(50_000), 1);
        let mut bits = Bitfield::none(50_000);
        bits.insert(geometry.piece(31_415).unwrap());
        let theirs = Holdings::new(bits);
        picker.peer_came(&theirs);
        let mut picked = Vec::new();
        picker.pick(A, &theirs, &[], 5, &mut picked);
        assert_eq!(picked.len(), 1);
        assert_eq!(picked[0].piece().get(), 31_415);
    }

    #[test]
    fn released_block_is_free_again_and_an_empty_piece_missing() {
        let mut picker = picker(1);
        let picked = pick(&mut picker, A, &Holdings::All, 4);
        picker.received(picked[0], A);
        picker.released(picked[2], A);
        picker.check_invariants();
        picker.released(picked[2], B);
        assert_eq!(pick(&mut picker, B, &Holdings::All, 1), [picked[2]]);
        let alone = pick(&mut picker, C, &Holdings::All, 1);
        picker.released(alone[0], C);
        picker.check_invariants();
        assert!(picker.missing.has(alone[0].piece()));
    }

    #[test]
    fn endgame_is_strict_and_duplicates_are_bounded() {
        let mut picker = picker(1);
        assert!(!picker.is_endgame());
        let all = pick(&mut picker, A, &Holdings::All, 79);
        assert!(!picker.is_endgame(), "one block is not asked for");
        pick(&mut picker, A, &Holdings::All, 1);
        assert!(picker.is_endgame());
        for block in &all {
            picker.received(*block, A);
        }
        let mut asked = 0;
        for peer in 2..9 {
            let mut picked = Vec::new();
            let slow = |_| true;
            picker.pick_duplicates(PeerKey(peer), &Holdings::All, 9, slow, &mut picked);
            picker.check_invariants();
            asked += picked.len();
        }
        assert_eq!(asked, ENDGAME_DUPLICATES_MAX);
        let last = picker.requested()[0].0;
        let arrival = picker.received(last, B);
        let others = vec![A, C];
        let expected = Arrival::Accepted {
            others,
            piece_complete: true,
        };
        assert_eq!(arrival, expected);
        assert_eq!(picker.received(last, C), Arrival::Useless);
    }

    #[test]
    fn duplicates_are_not_taken_from_the_faster() {
        let mut picker = picker(1);
        pick(&mut picker, A, &Holdings::All, 80);
        let mut picked = Vec::new();
        picker.pick_duplicates(B, &Holdings::All, 9, |_| false, &mut picked);
        assert_eq!(picked, []);
    }

    #[test]
    fn piece_on_parole_is_asked_of_one_peer_and_rather_not_of_a_suspect() {
        let mut picker = picker(1);
        let only = holdings([4]);
        let picked = pick(&mut picker, A, &only, 4);
        for block in picked {
            picker.received(block, A);
        }
        picker.failed(piece(4), vec![A]);
        let first = pick(&mut picker, A, &Holdings::All, 1);
        assert_ne!(first[0].piece(), piece(4), "a suspect gets something else");
        let parole = pick(&mut picker, B, &only, 2);
        assert_eq!(parole.len(), 2);
        assert_eq!(pick(&mut picker, C, &only, 9), [], "nobody else may help");
        assert!(matches!(
            picker.received(parole[0], B),
            Arrival::Accepted { .. }
        ));
        assert_eq!(picker.received(parole[1], C), Arrival::Useless);
        assert!(picker.forsaken(B));
        picker.check_invariants();
        assert_eq!(picker.take_wasted(), [(piece(4), 1 << 14)]);
        assert_eq!(pick(&mut picker, C, &only, 9).len(), 4);
    }

    #[test]
    fn partial_pieces_are_bounded() {
        let pieces = 3 * u32::try_from(PARTIAL_PIECES_MAX).unwrap();
        let geometry = Geometry::new(u64::from(pieces) << 15, 1 << 15).unwrap();
        let mut picker = Picker::new(geometry, Bitfield::none(pieces), 1);
        for piece in geometry.all_pieces() {
            let mut picked = Vec::new();
            picker.pick_of(piece, A, 1, &mut picked);
            picker.received(picked[0], A);
            assert!(picker.partial.len() <= PARTIAL_PIECES_MAX);
        }
        picker.check_invariants();
        assert_eq!(picker.take_wasted().len(), 2 * PARTIAL_PIECES_MAX);
    }
}
