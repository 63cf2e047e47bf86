//! Journals that are damaged, cut, of another version, very large, or on a real disk.

mod common;
mod journal_world;

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use common::{Kind, torrent};
use journal_world::{World, any_error, boot, info};
use shoal_metainfo::{Block, PieceIndex};
use shoal_simulation::Rng;
use shoal_simulation::disk::Disk;
use shoal_storage::journal::{Found, Journal, LockError, Moment, Resume, Scope};
use shoal_storage::{FolderLock, Options, Storage};

const PIECE: u64 = 40_000;

/// Eleven pieces in five files.
fn world() -> World {
    World::new(
        Disk::new(&Rng::new(1)),
        info(&[70_000, 0, 190_000, 5, 150_000], PIECE),
    )
}

fn write(world: &World, journal: &mut Journal<World>, piece: u32, blocks: usize) {
    let (piece, geometry) = (world.piece(piece), world.info.geometry);
    journal.before_write(piece, world.now()).unwrap();
    let blocks: Vec<Block> = geometry.blocks(piece).take(blocks).collect();
    for block in &blocks {
        let begin = geometry.piece_begin(piece) + u64::from(block.begin());
        for (file, offset, length) in world.places(begin, block.length().into()) {
            world
                .disk()
                .write(&world.file(file), offset, &vec![1; length])
                .unwrap();
        }
    }
    journal.wrote(blocks);
}

fn flush(world: &World, journal: &mut Journal<World>, scope: Scope) {
    let flushed = journal.begin_flush(scope).unwrap().run(|| sync(world));
    journal.end_flush(flushed, world.now()).unwrap();
}

fn sync(world: &World) -> Result<(), shoal_storage::StorageError> {
    let mut disk = world.disk();
    for file in 0..5 {
        if disk.peek(&world.file(file)).is_some() {
            disk.sync(&world.file(file)).unwrap();
        }
    }
    disk.sync_folder("data/t").unwrap();
    Ok(())
}

fn pieces(world: &World, numbers: &[u32]) -> Vec<PieceIndex> {
    numbers.iter().map(|&number| world.piece(number)).collect()
}

/// Two generations: pieces 0, 1 and 9 are durable, 2 and 10 verified, 4 begun, 8 once bad.
fn full_featured() -> World {
    let world = world();
    let (mut journal, resume) = world.open(boot(1));
    assert_eq!(resume.found, Found::Nothing);
    for piece in [0, 1, 9] {
        write(&world, &mut journal, piece, 9);
    }
    journal.verified(&pieces(&world, &[0, 1, 9])).unwrap();
    write(&world, &mut journal, 4, 1);
    flush(&world, &mut journal, Scope::Running);
    journal.set_frames_min(1);
    journal.tick().unwrap();
    write(&world, &mut journal, 2, 9);
    journal.verified(&pieces(&world, &[2])).unwrap();
    while bytes(&world, ".old").is_none() {
        world.disk().advance(std::time::Duration::from_secs(20));
        journal.before_write(world.piece(4), world.now()).unwrap();
        journal.tick().unwrap();
    }
    journal.set_frames_min(1 << 20);
    write(&world, &mut journal, 8, 2);
    journal.tick().unwrap();
    journal.forget(&pieces(&world, &[8])).unwrap();
    write(&world, &mut journal, 10, 9);
    journal.verified(&pieces(&world, &[10])).unwrap();
    write(&world, &mut journal, 4, 2);
    journal.tick().unwrap();
    for suffix in ["", ".old"] {
        assert!(
            world.disk().peek(&world.journal(suffix)).unwrap().len() > 200,
            "{suffix}"
        );
    }
    world
}

fn put(world: &World, suffix: &str, bytes: &[u8]) {
    let name = world.journal(suffix);
    let mut disk = world.disk();
    disk.set_length(&name, 0).unwrap();
    disk.write(&name, 0, bytes).unwrap();
    disk.sync(&name).unwrap();
}

fn bytes(world: &World, suffix: &str) -> Option<Vec<u8>> {
    world
        .disk()
        .peek(&world.journal(suffix))
        .map(<[u8]>::to_vec)
}

/// Claims are a part of the truth, and what is there and not claimed is looked at.
fn check_subset(world: &World, what: &str) -> BTreeSet<&'static str> {
    let mut seen = BTreeSet::new();
    for (boot, truth) in [(boot(1), &[0, 1, 2, 9, 10][..]), (boot(2), &[0, 1, 9])] {
        let (_, resume) = world.open(boot);
        let claims: Vec<u32> = resume.have.ones().collect();
        assert!(
            claims.iter().all(|claim| truth.contains(claim)),
            "{what}: {claims:?}"
        );
        for number in [0, 1, 2, 9, 10] {
            let piece = world.piece(number);
            // Cut between two frames, it is a journal of an earlier moment.
            let is_earlier = resume.found == Found::Whole;
            let is_known = resume.have.has(piece) || resume.check.has(piece) || is_earlier;
            assert!(
                is_known,
                "{what}: piece {number} would be written over: {resume:?}"
            );
        }
        for (piece, blocks) in &resume.blocks {
            let first = if piece.get() == 8 { 0..2 } else { 0..3 };
            assert!([4, 8, 2, 10].contains(&piece.get()), "{what}: {resume:?}");
            assert!(
                blocks.iter().all(|block| first.contains(&block)),
                "{what}: {resume:?}"
            );
        }
        seen.insert(match resume.found {
            Found::Whole => "whole",
            Found::Cut => "cut",
            Found::Earlier => "earlier",
            Found::Newer { .. } => "newer",
            _ => "unusable",
        });
    }
    seen
}

#[test]
fn bit_that_flips_anywhere_leads_to_fewer_claims_and_a_check() {
    let world = full_featured();
    assert_eq!(
        check_subset(&world, "as written"),
        BTreeSet::from(["whole"])
    );
    let mut seen = BTreeSet::new();
    let (good, old) = (bytes(&world, "").unwrap(), bytes(&world, ".old").unwrap());
    for without_old in [false, true] {
        put(&world, ".old", if without_old { b"" } else { &old });
        for place in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[place] ^= 1 << bit;
                put(&world, "", &bad);
                let found = check_subset(&world, &format!("bit {bit} of byte {place}"));
                assert!(
                    !found.contains("whole"),
                    "bit {bit} of byte {place} is not missed"
                );
                seen.extend(found);
            }
        }
    }
    // Damage in both generations.
    put(&world, "", &good[..20]);
    for place in 0..old.len() {
        let mut bad = old.clone();
        bad[place] ^= 0x10;
        put(&world, ".old", &bad);
        seen.extend(check_subset(
            &world,
            &format!("byte {place} of the old generation"),
        ));
    }
    assert_eq!(
        seen,
        BTreeSet::from(["cut", "earlier", "newer", "unusable"])
    );
}

#[test]
fn journal_cut_at_any_length_leads_to_fewer_claims_and_a_check() {
    let world = full_featured();
    let (good, old) = (bytes(&world, "").unwrap(), bytes(&world, ".old").unwrap());
    let mut seen = BTreeSet::new();
    for old in [&old[..], b""] {
        put(&world, ".old", old);
        for length in 0..good.len() {
            put(&world, "", &good[..length]);
            seen.extend(check_subset(&world, &format!("cut to {length}")));
        }
    }
    world.disk().remove(&world.journal("")).unwrap();
    for length in 0..old.len() {
        put(&world, ".old", &old[..length]);
        seen.extend(check_subset(
            &world,
            &format!("old generation cut to {length}"),
        ));
    }
    assert_eq!(
        seen,
        BTreeSet::from(["whole", "cut", "earlier", "unusable"])
    );
}

#[test]
fn journal_that_cannot_be_used_is_set_aside_whole() {
    let check = |place: usize, suffix: &str, found: Found| {
        let world = full_featured();
        let mut bad = bytes(&world, "").unwrap();
        bad[place] ^= 2;
        put(&world, "", &bad);
        let (mut journal, resume) = world.open(boot(1));
        assert_eq!(resume.found, found);
        assert_eq!(bytes(&world, suffix), None, "opening writes nothing");
        let all: Vec<u32> = resume.check.ones().collect();
        journal.incomplete(&pieces(&world, &all)).unwrap();
        assert_eq!(bytes(&world, suffix), Some(bad));
        drop(journal);
        assert_eq!(world.open(boot(1)).1.found, Found::Whole);
    };
    check(8, ".version-3", Found::Newer { version: 3 });
    check(40, ".damaged", Found::Earlier);
}

#[test]
fn journal_of_another_torrent_is_not_believed() {
    let (world, other) = (
        full_featured(),
        info(&[70_000, 0, 190_000, 5, 150_001], PIECE),
    );
    let bytes = bytes(&world, "").unwrap();
    let other = World::new(world.disk().clone(), other);
    put(&other, "", &bytes);
    let (_, resume) = other.open(boot(1));
    assert_eq!(resume.found, Found::Unusable);
    assert!(resume.have.is_empty() && resume.check.count() > 5);
}

#[test]
fn nothing_is_checked_after_a_kill_and_what_was_not_durable_after_a_loss_of_power() {
    let world = full_featured();
    let numbers = |resume: &Resume| {
        let [have, check] = [&resume.have, &resume.check].map(|of| of.ones().collect());
        let blocks = resume.blocks.iter();
        let blocks: Vec<(u32, usize)> = blocks
            .map(|(piece, blocks)| (piece.get(), blocks.iter().count()))
            .collect();
        (have, check, blocks)
    };
    let (_, resume) = world.open(boot(1));
    assert_eq!(
        numbers(&resume),
        (vec![0, 1, 2, 9, 10], vec![], vec![(4, 2)])
    );
    let (_, resume) = world.open(boot(2));
    // Of piece 5 nothing was ever written: its file is not as long.
    let rest = vec![2, 3, 4, 6, 7, 8, 10];
    assert_eq!(numbers(&resume), (vec![0, 1, 9], rest, vec![(4, 1)]));
}

#[test]
fn piece_that_is_verified_during_a_flush_is_not_durable() {
    let world = world();
    let (mut journal, _) = world.open(boot(1));
    write(&world, &mut journal, 0, 9);
    journal.verified(&pieces(&world, &[0])).unwrap();
    let under_way = journal.begin_flush(Scope::Running).unwrap();
    assert!(journal.begin_flush(Scope::Running).is_none(), "two at once");
    write(&world, &mut journal, 1, 9);
    journal.verified(&pieces(&world, &[1])).unwrap();
    let flushed = under_way.run(|| sync(&world));
    assert!(
        journal.begin_flush(Scope::Closing).is_none(),
        "not ended yet"
    );
    journal.end_flush(flushed, world.now()).unwrap();
    assert!(journal.needs_flush());
    assert_eq!(
        world.open(boot(1)).1.have.ones().collect::<Vec<_>>(),
        [0, 1]
    );
    assert_eq!(world.open(boot(2)).1.have.ones().collect::<Vec<_>>(), [0]);
}

#[test]
fn flush_that_fails_or_is_dropped_leaves_its_pieces_in_doubt() {
    for fails in [true, false] {
        let world = world();
        let (mut journal, _) = world.open(boot(1));
        write(&world, &mut journal, 0, 9);
        journal.verified(&pieces(&world, &[0])).unwrap();
        let flush = journal.begin_flush(Scope::Running).unwrap();
        if fails {
            let failed = flush.run(|| Err(any_error()));
            let failed = journal.end_flush(failed, world.now()).unwrap_err();
            assert_eq!(failed.doubtful.ones().collect::<Vec<_>>(), [0]);
        } else {
            drop(flush);
        }
        let flushed = journal
            .begin_flush(Scope::Running)
            .unwrap()
            .run(|| sync(&world));
        journal.end_flush(flushed, world.now()).unwrap();
        let (_, resume) = world.open(boot(1));
        assert!(resume.have.is_empty());
        assert_eq!(resume.check.ones().collect::<Vec<_>>(), [0]);
    }
}

#[test]
#[should_panic(expected = "is in doubt")]
fn piece_in_doubt_cannot_be_written() {
    let world = full_featured();
    let (mut journal, resume) = world.open(boot(2));
    assert!(resume.check.has(world.piece(2)));
    let _ = journal.before_write(world.piece(2), world.now());
}

#[test]
fn look_again_takes_back_claims_on_files_that_changed() {
    let world = full_featured();
    let (mut journal, _) = world.open(boot(1));
    flush(&world, &mut journal, Scope::Closing);
    assert!(journal.look_again().unwrap().is_empty());
    world.disk().advance(std::time::Duration::from_secs(1));
    world.disk().write(&world.file(4), 0, b"other").unwrap();
    let doubtful = journal.look_again().unwrap();
    let claimed: Vec<u32> = journal.have().ones().collect();
    assert!(
        doubtful.has(world.piece(9)) && doubtful.has(world.piece(10)),
        "{doubtful:?}"
    );
    assert_eq!(claimed, [0, 1, 2]);
}

/// The very large ones: 1 TiB in 65,536 pieces, and the most pieces there can be.
#[test]
fn journal_of_millions_of_pieces_opens_at_once() {
    for (pieces, piece_length) in [(65_536u32, 16u64 << 20), (1 << 21, 1 << 14)] {
        let info = info(&[u64::from(pieces) * piece_length], piece_length);
        let world = World::new(Disk::new(&Rng::new(1)), info);
        world
            .disk()
            .write(&world.file(0), 0, b"a stand-in")
            .unwrap();
        let (mut journal, _) = world.open(boot(1));
        let all: Vec<PieceIndex> = world.info.geometry.all_pieces().collect();
        for batch in all.chunks(5_000) {
            let odd: Vec<_> = batch
                .iter()
                .copied()
                .filter(|piece| piece.get() % 2 == 1)
                .collect();
            journal.verified(&odd).unwrap();
        }
        let begin = Instant::now();
        let (_, resume) = world.open(boot(1));
        println!("{pieces} pieces: {:?}", begin.elapsed());
        // The stand-in is shorter than what is claimed, which is the slowest of all.
        assert_eq!(
            (resume.have.count(), resume.check.count()),
            (0, pieces / 2 + 1)
        );
        assert!(bytes(&world, "").unwrap().len() < 64 << 20);
    }
}

#[test]
fn real_folder_is_taken_up_where_it_was_left() {
    let files = [("a", 300_000, Kind::Random), ("b/c", 100_000, Kind::Random)];
    let torrent = torrent(&files, 65_536, 7);
    let (data, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let open = || {
        let lock = FolderLock::take(data.path()).unwrap();
        Journal::open(lock, state.path(), Arc::clone(&torrent.info)).unwrap()
    };
    let now = || Moment::from(SystemTime::now());
    let geometry = torrent.info.geometry;
    let storage = Storage::open(data.path(), Arc::clone(&torrent.info), Options::default());
    let storage = storage.unwrap();
    storage.prepare().unwrap();
    let (mut journal, resume) = open();
    assert!(resume.check.is_empty(), "{resume:?}");
    let fetch = |journal: &mut Journal, number: u32| {
        let piece = geometry.piece(number).unwrap();
        journal.before_write(piece, now()).unwrap();
        for block in geometry.blocks(piece) {
            let begin = geometry.piece_begin(piece) + u64::from(block.begin());
            let begin = usize::try_from(begin).unwrap();
            storage
                .write(block, &torrent.content[begin..][..block.length() as usize])
                .unwrap();
            journal.wrote([block]);
        }
        assert!(storage.verify(piece).unwrap());
        journal.verified(&[piece]).unwrap();
    };
    (0..3).for_each(|number| fetch(&mut journal, number));
    // As after a kill: nothing was flushed, nothing closed.
    drop(journal);
    let (mut journal, resume) = open();
    assert_eq!(resume.found, Found::Whole);
    assert!(
        resume.have.count() == 3 && resume.check.is_empty(),
        "{resume:?}"
    );
    (3..geometry.pieces()).for_each(|number| fetch(&mut journal, number));
    let flush = journal
        .begin_flush(Scope::Closing)
        .unwrap()
        .run(|| storage.flush());
    journal.end_flush(flush, now()).unwrap();
    drop(journal);
    let (journal, resume) = open();
    assert!(
        resume.have.is_full() && resume.changed.is_empty(),
        "{resume:?}"
    );
    drop(journal);
    let changed = data.path().join("t/b/c");
    let mut content = fs::read(&changed).unwrap();
    content[0] ^= 1;
    fs::write(&changed, content).unwrap();
    let (_, resume) = open();
    assert_eq!(resume.changed, [1]);
    let expect: Vec<u32> = (300_000 / 65_536..geometry.pieces()).collect();
    assert_eq!(resume.check.ones().collect::<Vec<_>>(), expect);
    assert_eq!(
        resume.have.count() + resume.check.count(),
        geometry.pieces()
    );
}

#[test]
fn journal_holds_the_lock_of_its_folder_while_it_lives() {
    let (data, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let lock = FolderLock::take(data.path()).unwrap();
    let (journal, _) = Journal::open(lock, state.path(), info(&[5], PIECE)).unwrap();
    let other = fs::File::open(data.path()).unwrap();
    let may = || {
        let operation = rustix::fs::FlockOperation::NonBlockingLockExclusive;
        rustix::fs::flock(&other, operation).is_ok()
    };
    assert!(!may());
    drop(journal);
    assert!(may());
    let error = FolderLock::take(data.path()).unwrap_err();
    assert!(matches!(error, LockError::InUse(_)), "{error}");
}
