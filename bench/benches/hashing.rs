//! SHA-1 on one core. BEP 3 "pieces". An item is a piece of 1 MiB; rates are in GiB/s.

use std::process::Command;

use divan::counter::{BytesCount, BytesFormat, ItemsCount};
use divan::{Bencher, Divan, black_box};
use fastrand::Rng;
use sha1::{Digest as _, Sha1};
use shoal_bench::random_bytes;
use shoal_hashing::{Hasher, Kernel, Selection, advance, hash_pieces, sha1};

const PIECE: usize = 1 << 20;
const BLOCK: usize = 1 << 14;

fn main() {
    println!("in use: {}", Selection::current());
    println!("openssl speed -evp sha1: {}", openssl());
    let divan = Divan::from_args().bytes_format(BytesFormat::Binary);
    divan.main();
}

/// What OpenSSL's own program measures, where there is one.
fn openssl() -> String {
    let mut speed = Command::new("openssl");
    speed.args([
        "speed", "-evp", "sha1", "-bytes", "1048576", "-seconds", "1",
    ]);
    let output = speed.output().map_or_else(|_| Vec::new(), |it| it.stdout);
    // It ends with thousands of bytes a second: `sha1  1622082.87k`.
    let text = String::from_utf8_lossy(&output);
    let thousands = text.split_whitespace().last();
    match thousands.and_then(|last| last.trim_end_matches('k').parse::<f64>().ok()) {
        Some(thousands) => format!("{:.2} GiB/s", thousands * 1000.0 / f64::from(1 << 30)),
        None => "no such program here, or it failed".to_owned(),
    }
}

/// Sixteen pieces, 1 MiB apart as in a mapped file, on each kernel that this machine has.
#[divan::bench(args = Kernel::available(), sample_count = 20)]
fn kernel(bencher: Bencher<'_, '_>, kernel: &Kernel) {
    let selection = Selection::only(*kernel);
    let bytes = random_bytes(16 * PIECE, &mut Rng::with_seed(1));
    let pieces: Vec<_> = bytes.chunks(PIECE).collect();
    bencher
        .counter(BytesCount::of_slice(&bytes))
        .counter(ItemsCount::new(16usize))
        .bench(|| selection.hash_pieces(black_box(&pieces)));
}

/// The `sha1` crate as it comes, one after the other.
#[divan::bench]
fn sha1_crate(bencher: Bencher<'_, '_>) {
    let bytes = random_bytes(16 * PIECE, &mut Rng::with_seed(1));
    let last = |_, piece| Sha1::digest(black_box(piece)).into();
    bencher
        .counter(BytesCount::of_slice(&bytes))
        .counter(ItemsCount::new(16usize))
        .bench(|| bytes.chunks(PIECE).fold([0; 20], last));
}

/// So many pieces in one call, as `Verify` and `create` hand them over.
#[divan::bench(args = [1, 2, 4, 6, 7, 8, 12, 16])]
fn pieces_together(bencher: Bencher<'_, '_>, count: usize) {
    let bytes = random_bytes(count * PIECE, &mut Rng::with_seed(1));
    let pieces: Vec<_> = bytes.chunks(PIECE).collect();
    bencher
        .counter(BytesCount::of_slice(&bytes))
        .counter(ItemsCount::new(count))
        .bench(|| hash_pieces(black_box(&pieces)));
}

/// Sixteen, a call each.
#[divan::bench]
fn pieces_one_by_one(bencher: Bencher<'_, '_>) {
    let bytes = random_bytes(16 * PIECE, &mut Rng::with_seed(1));
    let last = |_, piece| sha1(black_box(piece));
    bencher
        .counter(BytesCount::of_slice(&bytes))
        .counter(ItemsCount::new(16usize))
        .bench(|| bytes.chunks(PIECE).fold([0; 20], last));
}

/// So many pieces that come together, block by block.
#[divan::bench(args = [1, 8, 16])]
fn streams(bencher: Bencher<'_, '_>, count: usize) {
    let bytes = random_bytes(count * PIECE, &mut Rng::with_seed(1));
    let pieces: Vec<_> = bytes.chunks(PIECE).collect();
    bencher
        .counter(BytesCount::of_slice(&bytes))
        .counter(ItemsCount::new(count))
        .bench(|| {
            let mut hashers = vec![Hasher::new(); count];
            for begin in (0..PIECE).step_by(BLOCK) {
                let blocks = pieces.iter().map(|piece| &piece[begin..begin + BLOCK]);
                advance(&mut hashers.iter_mut().zip(blocks).collect::<Vec<_>>());
            }
            hashers
                .into_iter()
                .fold([0; 20], |_, hasher| hasher.finish())
        });
}
