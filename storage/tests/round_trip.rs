//! What is written is read, verified and found again, in any layout and with the least windows.

mod common;

use common::{Kind, check, tight, torrent};
use proptest::prelude::*;
use shoal_storage::Options;

fn file() -> impl Strategy<Value = (usize, Kind)> {
    let length = prop_oneof![
        Just(0usize),
        1..200usize,
        Just(1 << 14),
        Just(1 << 16),
        10_000..150_000usize,
    ];
    let kind =
        prop_oneof![4 => Just(Kind::Random), 1 => Just(Kind::Zeros), 1 => Just(Kind::Padding)];
    (length, kind)
}

fn options() -> impl Strategy<Value = Options> {
    prop_oneof![(1..4usize).prop_map(tight), Just(Options::default())]
}

const PATHS: [&str; 12] = [
    "a", "b/c", "b/d", "e/f/g", "e/f/h", "e/i", "j", "k", "l/m", "l/n", "o", "p",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn blocks_written_in_any_order_come_back(
        files in prop::collection::vec(file(), 1..12),
        piece_length in prop::sample::select(vec![1 << 14, 1 << 15, 20_000, 100_000, 1 << 18]),
        options in options(),
        seed: u64,
    ) {
        let files: Vec<_> = PATHS.iter().zip(files).map(|(path, (l, k))| (*path, l, k)).collect();
        prop_assume!(files.iter().any(|(_, length, _)| *length > 0));
        let torrent = torrent(&files, piece_length, seed);
        let dir = tempfile::tempdir().unwrap();
        let storage = torrent.open(dir.path(), options);
        storage.prepare().unwrap();

        let mut blocks = torrent.blocks();
        fastrand::Rng::with_seed(seed).shuffle(&mut blocks);
        for &block in &blocks {
            storage.write(block, torrent.bytes(block)).unwrap();
            prop_assert_eq!(&storage.read(block).unwrap(), torrent.bytes(block));
            prop_assert!(storage.usage().windows <= options.windows_max);
            prop_assert!(storage.usage().window_bytes <= options.window_bytes_max.max(128 << 10));
        }
        for piece in torrent.info.geometry.all_pieces() {
            prop_assert!(storage.verify(piece).unwrap());
            let geometry = torrent.info.geometry;
            let digests: Vec<_> = geometry
                .blocks(piece)
                .map(|block| shoal_hashing::sha1(torrent.bytes(block)))
                .collect();
            prop_assert_eq!(storage.digests(piece).unwrap(), digests);
        }
        let kept: Vec<_> = blocks.iter().map(|&block| storage.read(block).unwrap()).collect();
        prop_assert!(storage.usage().windows <= options.windows_max);
        storage.flush().unwrap();
        torrent.assert_on_disk(dir.path());
        storage.trim();
        prop_assert!(check(&storage, 2).is_full());
        drop(storage);
        for (block, bytes) in blocks.iter().zip(kept) {
            prop_assert_eq!(&bytes, torrent.bytes(*block));
        }

        let again = torrent.open(dir.path(), options);
        prop_assert!(check(&again, 3).is_full());
    }
}

#[test]
fn lent_slices_outlive_trim_storage_and_file() {
    let torrent = torrent(&[("a", 1 << 20, Kind::Random)], 1 << 18, 1);
    let dir = tempfile::tempdir().unwrap();
    let storage = torrent.open(dir.path(), Options::default());
    torrent.write_all(&storage);
    let block = torrent.blocks()[5];
    let slice = storage.read(block).unwrap();
    storage.trim();
    assert_eq!(storage.usage().windows, 1, "the slice holds its window");
    assert_eq!(storage.usage().files_open, 0);
    drop(storage);
    std::fs::remove_dir_all(dir.path().join("t")).unwrap();
    assert_eq!(slice, torrent.bytes(block));
}

#[test]
fn reading_a_verified_block_copies_nothing() {
    let torrent = torrent(&[("a", 1 << 20, Kind::Random)], 1 << 18, 2);
    let dir = tempfile::tempdir().unwrap();
    let storage = torrent.open(dir.path(), Options::default());
    torrent.write_all(&storage);
    let block = torrent.blocks()[5];
    let (one, two) = (storage.read(block).unwrap(), storage.read(block).unwrap());
    assert_eq!(one.as_ptr(), two.as_ptr(), "slices of the same window");
    drop((one, two));
    storage.trim();
    assert_eq!(storage.usage().windows, 0, "given back with the last slice");
}

#[test]
fn slices_beyond_half_of_the_budget_are_copies() {
    let torrent = torrent(&[("a", 1 << 20, Kind::Random)], 1 << 18, 3);
    let dir = tempfile::tempdir().unwrap();
    let storage = torrent.open(dir.path(), tight(2));
    torrent.write_all(&storage);
    let blocks = torrent.blocks();
    let kept: Vec<_> = blocks
        .iter()
        .map(|&block| storage.read(block).unwrap())
        .collect();
    storage.trim();
    assert_eq!(storage.usage().windows, 1, "one of two windows is lent");
    for (&block, bytes) in blocks.iter().zip(&kept) {
        assert_eq!(bytes, torrent.bytes(block));
    }
}

#[test]
fn verified_piece_is_not_overwritten() {
    let torrent = torrent(&[("a", 50_000, Kind::Random)], 1 << 15, 4);
    let dir = tempfile::tempdir().unwrap();
    let storage = torrent.open(dir.path(), Options::default());
    torrent.write_all(&storage);
    let block = torrent.blocks()[0];
    storage.write(block, &[0xaa; 1 << 14]).unwrap();
    assert!(storage.verify(block.piece()).unwrap());
    torrent.assert_on_disk(dir.path());
}

#[test]
fn bad_block_is_found_by_its_digest_and_written_again() {
    let torrent = torrent(&[("a", 100_000, Kind::Random)], 1 << 16, 5);
    let dir = tempfile::tempdir().unwrap();
    let storage = torrent.open(dir.path(), Options::default());
    storage.prepare().unwrap();
    let piece = torrent.piece(0);
    torrent.write_piece(&storage, piece);
    let bad = torrent.info.geometry.nth_block(piece, 2).unwrap();
    storage.write(bad, &[7; 1 << 14]).unwrap();
    assert!(!storage.verify(piece).unwrap());
    let digests = storage.digests(piece).unwrap();
    for block in torrent.info.geometry.blocks(piece) {
        let good = digests[block.number()] == shoal_hashing::sha1(torrent.bytes(block));
        assert_eq!(good, block != bad);
    }
    storage.write(bad, torrent.bytes(bad)).unwrap();
    assert!(storage.verify(piece).unwrap());
}

#[test]
fn padding_takes_no_room_and_ignores_what_is_written() {
    let files = [("a", 100, Kind::Random), (".pad/1", 16_284, Kind::Padding)];
    let torrent = torrent(&files, 1 << 14, 6);
    let dir = tempfile::tempdir().unwrap();
    let storage = torrent.open(dir.path(), Options::default());
    storage.prepare().unwrap();
    let block = torrent.blocks()[0];
    let mut data = torrent.bytes(block).to_vec();
    data[200] = 1;
    storage.write(block, &data).unwrap();
    assert!(
        storage.verify(block.piece()).unwrap(),
        "padding is zeros, whatever a peer says"
    );
    assert_eq!(storage.read(block).unwrap(), torrent.bytes(block));
    assert!(!dir.path().join("t/.pad").exists());
    assert_eq!(storage.files_of(block.piece()).count(), 1);
}

#[test]
fn many_files_need_few_descriptors() {
    let names: Vec<String> = (0..500).map(|i| format!("{}/{i}", i % 7)).collect();
    let files: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), 300, Kind::Random))
        .collect();
    let torrent = torrent(&files, 1 << 15, 7);
    let dir = tempfile::tempdir().unwrap();
    let storage = torrent.open(dir.path(), Options::default());
    torrent.write_all(&storage);
    assert!(storage.usage().files_open <= shoal_storage::limits::FILES_OPEN_MAX);
    storage.flush().unwrap();
    assert!(storage.usage().files_open <= shoal_storage::limits::FILES_OPEN_MAX);
    torrent.assert_on_disk(dir.path());
    assert!(check(&storage, 2).is_full());
}
