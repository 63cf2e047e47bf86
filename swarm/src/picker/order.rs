//! The missing pieces, rarest first, random among equals.
//!
//! One array sorted by availability, with the start of each bucket: a `have` moves one piece by
//! one swap, a bitfield only counts and leaves the sorting to the next look. Seeds are not
//! counted here: they add the same to every piece.

use fastrand::Rng;
use shoal_metainfo::{Bitfield, PieceIndex};

/// Not in the order.
const ABSENT: u32 = u32::MAX;

/// Pieces by availability.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// How many peers with a bitfield have the piece, by piece.
    availability: Vec<u16>,
    /// Sorted by availability unless `stale`.
    pieces: Vec<PieceIndex>,
    /// Where in `pieces` each piece is, or [`ABSENT`].
    position: Vec<u32>,
    /// `starts[a]` is where pieces of availability `a` and more begin; unless `stale`.
    starts: Vec<u32>,
    /// Availability changed for many pieces at once; `pieces` must be sorted before it is read.
    stale: bool,
}

impl Order {
    pub(crate) fn new(
        missing: impl Iterator<Item = PieceIndex>,
        count: u32,
        rng: &mut Rng,
    ) -> Self {
        let mut pieces: Vec<_> = missing.collect();
        rng.shuffle(&mut pieces);
        let mut position = vec![ABSENT; count as usize];
        for (at, piece) in (0..).zip(&pieces) {
            position[piece.index()] = at;
        }
        Self {
            availability: vec![0; count as usize],
            starts: vec![0],
            pieces,
            position,
            stale: false,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.pieces.len()
    }

    pub(crate) fn contains(&self, piece: PieceIndex) -> bool {
        self.position[piece.index()] != ABSENT
    }

    pub(crate) fn availability(&self, piece: PieceIndex) -> u16 {
        self.availability[piece.index()]
    }

    /// The availability of the rarest.
    pub(crate) fn lowest(&mut self) -> Option<u16> {
        let rarest = self.sorted().first().copied()?;
        Some(self.availability(rarest))
    }

    /// The pieces, rarest first.
    pub(crate) fn sorted(&mut self) -> &[PieceIndex] {
        if self.stale {
            self.sort();
        }
        &self.pieces
    }

    /// One more peer has the piece.
    pub(crate) fn increase(&mut self, piece: PieceIndex, rng: &mut Rng) {
        let old = self.availability[piece.index()];
        self.availability[piece.index()] = old + 1;
        if self.stale || !self.contains(piece) {
            return;
        }
        // The last of its bucket becomes the first of the next.
        let next = usize::from(old) + 1;
        if next == self.starts.len() {
            self.starts.push(self.end());
        }
        self.starts[next] -= 1;
        self.swap(self.position[piece.index()], self.starts[next]);
        self.shuffle_in(piece, rng);
    }

    /// One peer less has the piece.
    pub(crate) fn decrease(&mut self, piece: PieceIndex, rng: &mut Rng) {
        let old = self.availability[piece.index()];
        assert!(old > 0, "piece {piece} lost a peer that it never had");
        self.availability[piece.index()] = old - 1;
        if self.stale || !self.contains(piece) {
            return;
        }
        // The first of its bucket becomes the last of the one before.
        let bucket = usize::from(old);
        self.swap(self.position[piece.index()], self.starts[bucket]);
        self.starts[bucket] += 1;
        self.shuffle_in(piece, rng);
    }

    /// One more peer has all of these, or one less: counted now, sorted later.
    pub(crate) fn change_many(&mut self, bits: &Bitfield, more: bool) {
        for index in bits.ones() {
            let availability = &mut self.availability[index as usize];
            *availability = if more {
                *availability + 1
            } else {
                *availability - 1
            };
        }
        self.stale = true;
    }

    /// The piece is missing again.
    pub(crate) fn insert(&mut self, piece: PieceIndex, rng: &mut Rng) {
        debug_assert!(!self.contains(piece), "piece {piece} is there already");
        self.position[piece.index()] = self.end();
        self.pieces.push(piece);
        if self.stale {
            return;
        }
        let bucket = usize::from(self.availability(piece));
        if bucket >= self.starts.len() {
            // `end` counts the new piece already: the buckets up to its own begin with it.
            self.starts.resize(bucket + 1, self.end() - 1);
        }
        // From the end down to its bucket, one swap a bucket.
        for above in (bucket + 1..self.starts.len()).rev() {
            self.swap(self.position[piece.index()], self.starts[above]);
            self.starts[above] += 1;
        }
        self.shuffle_in(piece, rng);
    }

    /// The piece is no longer missing.
    pub(crate) fn remove(&mut self, piece: PieceIndex) {
        debug_assert!(self.contains(piece), "piece {piece} is not there");
        if self.stale {
            let last = self.end() - 1;
            self.swap(self.position[piece.index()], last);
        } else {
            // Up to the end, one swap a bucket.
            let bucket = usize::from(self.availability(piece));
            for above in bucket + 1..self.starts.len() {
                self.starts[above] -= 1;
                self.swap(self.position[piece.index()], self.starts[above]);
            }
            let last = self.end() - 1;
            self.swap(self.position[piece.index()], last);
        }
        self.pieces.pop();
        self.position[piece.index()] = ABSENT;
    }

    fn end(&self) -> u32 {
        u32::try_from(self.pieces.len()).expect("at most PIECES_MAX pieces")
    }

    fn swap(&mut self, a: u32, b: u32) {
        self.pieces.swap(a as usize, b as usize);
        self.position[self.pieces[a as usize].index()] = a;
        self.position[self.pieces[b as usize].index()] = b;
    }

    /// Moves the piece to a random place among its equals.
    fn shuffle_in(&mut self, piece: PieceIndex, rng: &mut Rng) {
        let bucket = usize::from(self.availability(piece));
        let start = self.starts[bucket];
        let end = self.starts.get(bucket + 1).copied();
        let end = end.unwrap_or_else(|| self.end());
        self.swap(self.position[piece.index()], rng.u32(start..end));
    }

    /// Counting sort; stable, so that the order among equals stays random.
    fn sort(&mut self) {
        let key = |piece: &PieceIndex| usize::from(self.availability[piece.index()]);
        let highest = self.pieces.iter().map(key).max().unwrap_or(0);
        let mut starts = vec![0u32; highest + 2];
        for piece in &self.pieces {
            starts[key(piece) + 1] += 1;
        }
        for bucket in 1..starts.len() {
            starts[bucket] += starts[bucket - 1];
        }
        let mut next = starts.clone();
        let unsorted = self.pieces.clone();
        for piece in unsorted {
            let at = &mut next[usize::from(self.availability[piece.index()])];
            self.pieces[*at as usize] = piece;
            self.position[piece.index()] = *at;
            *at += 1;
        }
        starts.pop();
        self.starts = starts;
        self.stale = false;
    }

    /// Panics when the array contradicts itself. For tests: walks everything.
    pub(crate) fn check(&self) {
        for (at, piece) in (0..).zip(&self.pieces) {
            assert_eq!(self.position[piece.index()], at, "position of {piece}");
        }
        let present = self.position.iter().filter(|&&at| at != ABSENT).count();
        assert_eq!(present, self.pieces.len());
        if self.stale {
            return;
        }
        for (at, piece) in (0u32..).zip(&self.pieces) {
            let bucket = usize::from(self.availability(*piece));
            assert!(self.starts[bucket] <= at, "{piece} lies before its bucket");
            let next = self.starts.get(bucket + 1);
            assert!(next.is_none_or(|&next| at < next), "{piece} lies behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;
    use proptest::prelude::*;
    use shoal_metainfo::Geometry;

    #[derive(Debug, Clone)]
    enum Op {
        Increase(u32),
        Decrease(u32),
        Insert(u32),
        Remove(u32),
        Many(Vec<u32>),
        Sort,
    }

    const PIECES: u32 = 12;

    fn op() -> impl Strategy<Value = Op> {
        let piece = 0..PIECES;
        prop_oneof![
            6 => piece.clone().prop_map(Op::Increase),
            4 => piece.clone().prop_map(Op::Decrease),
            2 => piece.clone().prop_map(Op::Insert),
            2 => piece.clone().prop_map(Op::Remove),
            1 => prop::collection::vec(piece, 0..12).prop_map(Op::Many),
            1 => Just(Op::Sort),
        ]
    }

    proptest! {
        #[test]
        fn order_stays_sorted_under_any_operations(ops in prop::collection::vec(op(), 0..200)) {
            let geometry = Geometry::new(u64::from(PIECES), 1).unwrap();
            let piece = |index| geometry.piece(index).unwrap();
            let mut rng = Rng::with_seed(7);
            let mut order = Order::new(geometry.all_pieces(), PIECES, &mut rng);
            for op in ops {
                match op {
                    Op::Increase(index) => order.increase(piece(index), &mut rng),
                    Op::Decrease(index) if order.availability(piece(index)) > 0 => {
                        order.decrease(piece(index), &mut rng);
                    }
                    Op::Insert(index) if !order.contains(piece(index)) => {
                        order.insert(piece(index), &mut rng);
                    }
                    Op::Remove(index) if order.contains(piece(index)) => {
                        order.remove(piece(index));
                    }
                    Op::Many(indices) => {
                        let mut bits = Bitfield::none(PIECES);
                        for index in indices {
                            bits.insert(piece(index));
                        }
                        order.change_many(&bits, true);
                    }
                    Op::Sort => {
                        let sorted = order.sorted().to_vec();
                        let keys: Vec<_> = sorted.iter().map(|&p| order.availability(p)).collect();
                        prop_assert!(keys.is_sorted());
                    }
                    Op::Decrease(_) | Op::Insert(_) | Op::Remove(_) => {}
                }
                order.check();
            }
        }
    }
}
