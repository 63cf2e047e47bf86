//! SHA-1 on one core. BEP 3 "pieces". An item is a piece of 1 MiB.

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use fastrand::Rng;
use shoal_bench::random_bytes;
use shoal_hashing::{Hasher, hash_pieces, sha1};

const PIECE: usize = 1 << 20;
const BLOCK: usize = 1 << 14;

fn main() {
    divan::main();
}

/// So many pieces in one call, as `Verify` and `create` hand them over.
#[divan::bench(args = [1, 4, 16])]
fn pieces_together(bencher: Bencher<'_, '_>, count: usize) {
    let bytes = random_bytes(count * PIECE, &mut Rng::with_seed(1));
    let pieces: Vec<_> = bytes.chunks(PIECE).collect();
    bencher
        .counter(BytesCount::of_slice(&bytes))
        .counter(ItemsCount::new(count))
        .bench(|| hash_pieces(black_box(&pieces)));
}

/// The same sixteen, a call each.
#[divan::bench]
fn pieces_one_by_one(bencher: Bencher<'_, '_>) {
    let bytes = random_bytes(16 * PIECE, &mut Rng::with_seed(1));
    let last = |_, piece| sha1(black_box(piece));
    bencher
        .counter(BytesCount::of_slice(&bytes))
        .counter(ItemsCount::new(16usize))
        .bench(|| bytes.chunks(PIECE).fold([0; 20], last));
}

/// One piece, block by block.
#[divan::bench]
fn stream(bencher: Bencher<'_, '_>) {
    let bytes = random_bytes(PIECE, &mut Rng::with_seed(1));
    bencher
        .counter(BytesCount::of_slice(&bytes))
        .counter(ItemsCount::new(1usize))
        .bench(|| {
            let mut hasher = Hasher::new();
            bytes.chunks(BLOCK).for_each(|block| hasher.update(block));
            hasher.finish()
        });
}
