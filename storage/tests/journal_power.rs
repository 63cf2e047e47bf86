//! Crashes and losses of power at any moment: what the journal claims is always true.
//!
//! Each seed is one torrent on one simulated disk, through several lives of a process that writes,
//! verifies, flushes, finds bad pieces and dies. `SHOAL_SIM_SEED=n` runs one seed alone,
//! `SHOAL_SIM_SEEDS=n` as many.

mod journal_world;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use journal_world::{World, any_error, boot, info};
use shoal_metainfo::{BLOCK_LENGTH, PieceIndex};
use shoal_simulation::Rng;
use shoal_simulation::disk::{Disk, DiskError, DiskFault};
use shoal_storage::journal::{Flush, Found, Journal, Resume, Scope};

/// How a life ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
enum End {
    Closed,
    Killed,
    PowerLost,
}

/// What was seen over all seeds, so that nothing was tested by chance only.
#[derive(Default, Debug)]
struct Seen {
    faults: BTreeMap<DiskFault, u64>,
    ends: BTreeMap<End, u64>,
    found: BTreeMap<String, u64>,
    /// Claims that were compared with the bytes.
    claims: u64,
    /// Pieces that had to be claimed.
    owed: u64,
    blocks: u64,
    checked: u64,
    edits: u64,
    failed_flushes: u64,
    mended: u64,
    forgotten: u64,
}

/// What the process believes, and what it may expect of the next one.
struct Life<'a> {
    world: &'a World,
    rng: &'a mut Rng,
    truth: &'a [u8],
    /// Written last, right or wrong.
    shadow: &'a mut Vec<u8>,
    journal: Journal<World>,
    /// Blocks that are written of each piece that is not verified.
    blocks: BTreeMap<u32, BTreeSet<usize>>,
    /// Files that this process has to flush.
    dirty: BTreeSet<u32>,
    /// Files that have their length.
    allocated: BTreeSet<u32>,
    flush: Option<Flush>,
    /// A flush was dropped, which shows when the next begins.
    dropped: bool,
    /// Pieces that the flush is for, and that were not forgotten since it began.
    reported: BTreeSet<u32>,
    owed: &'a mut Owed,
}

/// What the next life has to find.
#[derive(Default)]
struct Owed {
    /// After a kill.
    verified: BTreeSet<u32>,
    /// After a loss of power too.
    durable: BTreeSet<u32>,
    /// May be checked, though nothing was lost.
    doubtful: BTreeSet<u32>,
    /// Began anew at some time, so their blocks are of several writes.
    restarted: BTreeSet<u32>,
    /// A flush failed, and that could not be recorded before the end.
    unrecorded: bool,
    /// Begun when a flush failed.
    tainted: BTreeSet<u32>,
}

impl Owed {
    fn lose(&mut self, piece: u32) {
        self.verified.remove(&piece);
        self.durable.remove(&piece);
    }
}

type Crash = Result<(), DiskError>;

impl Life<'_> {
    fn piece(&self, number: u32) -> PieceIndex {
        self.world.piece(number)
    }

    /// Whether the process lives on after what the journal said.
    fn alive(&self) -> Crash {
        if self.world.disk().has_crashed() {
            return Err(DiskError::Crashed);
        }
        Ok(())
    }

    fn step(&mut self, seen: &mut Seen) -> Crash {
        let millis = self.rng.below(300);
        self.world.disk().advance(Duration::from_millis(millis));
        match self.rng.below(20) {
            0..11 => self.write_blocks(),
            11 | 12 => {
                let _ = self.journal.tick();
                self.alive()
            }
            13 | 14 => {
                if self.flush.is_none() {
                    self.begin_flush(Scope::Running);
                } else {
                    assert!(self.journal.begin_flush(Scope::Running).is_none());
                }
                self.alive()
            }
            15 | 16 => self.end_flush(seen),
            17 => {
                let secs = self.rng.below(40);
                self.world.disk().advance(Duration::from_secs(secs));
                Ok(())
            }
            18 => self.find_bad_piece(seen),
            _ => {
                if self.rng.chance(0.1) {
                    self.dropped |= self.flush.take().is_some();
                }
                Ok(())
            }
        }
    }

    /// A flush was dropped or failed: as the journal, so the model.
    fn doubt_undurable(&mut self) {
        let lost: Vec<u32> = self
            .owed
            .verified
            .difference(&self.owed.durable)
            .copied()
            .collect();
        for piece in lost {
            self.owed.verified.remove(&piece);
            self.owed.doubtful.insert(piece);
        }
        let begun = self.blocks.keys().copied();
        self.owed.doubtful.extend(begun.clone());
        self.owed.tainted.extend(begun);
    }

    fn write_blocks(&mut self) -> Crash {
        let open: Vec<u32> = self.blocks.keys().copied().collect();
        // Few pieces at a time, as a client does.
        let Some(&number) = self.rng.pick(&open[..open.len().min(3)]) else {
            return Ok(());
        };
        let piece = self.piece(number);
        let now = self.world.now();
        let permitted = self.journal.before_write(piece, now);
        self.alive()?;
        if permitted.is_err() {
            return Ok(());
        }
        let geometry = self.world.info.geometry;
        let written = &self.blocks[&number];
        let missing: Vec<_> = geometry
            .blocks(piece)
            .filter(|block| !written.contains(&block.number()))
            .collect();
        let count = 1 + self.rng.index(missing.len().min(2));
        let mut done = Vec::new();
        for &block in &missing[..count] {
            let begin = geometry.piece_begin(piece) + u64::from(block.begin());
            let at = usize::try_from(begin).unwrap();
            let mut bytes = self.truth[at..at + block.length() as usize].to_vec();
            if self.rng.chance(0.03) {
                bytes[0] ^= 1;
            }
            match self.write(begin, &bytes) {
                Ok(()) => done.push(block),
                Err(DiskError::Crashed) => return Err(DiskError::Crashed),
                Err(_) => {}
            }
        }
        let numbers = done.iter().map(|block| block.number());
        self.blocks.get_mut(&number).unwrap().extend(numbers);
        self.journal.wrote(done);
        if self.blocks[&number].len() == geometry.block_count(piece) {
            self.verify(number)?;
        }
        Ok(())
    }

    fn write(&mut self, begin: u64, bytes: &[u8]) -> Crash {
        let mut rest = bytes;
        for (file, offset, length) in self.world.places(begin, bytes.len() as u64) {
            let name = self.world.file(file);
            if self.allocated.insert(file) {
                let length = self.world.info.files[file as usize].length;
                let length = usize::try_from(length).unwrap();
                let size = self.world.disk().stat(&name)?.map_or(0, |found| found.size);
                if size < length as u64 {
                    self.world.disk().set_length(&name, length)?;
                }
            }
            let (now, after) = rest.split_at(length);
            let written = self.world.disk().write(&name, offset, now);
            self.dirty.insert(file);
            written?;
            rest = after;
        }
        let at = usize::try_from(begin).unwrap();
        self.shadow[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn is_good(&self, number: u32) -> bool {
        is_good(self.world, self.truth, number)
    }

    fn verify(&mut self, number: u32) -> Crash {
        self.blocks.remove(&number);
        let piece = self.piece(number);
        if self.is_good(number) {
            let recorded = self.journal.verified(&[piece]);
            if recorded.is_ok() && !self.owed.tainted.contains(&number) {
                self.owed.verified.insert(number);
                self.owed.doubtful.remove(&number);
            }
            return self.alive();
        }
        self.restart(number)
    }

    fn restart(&mut self, number: u32) -> Crash {
        self.owed.restarted.insert(number);
        self.owed.lose(number);
        self.reported.remove(&number);
        // An error is met again by the next write.
        let _ = self.journal.forget(&[self.piece(number)]);
        self.blocks.insert(number, BTreeSet::new());
        self.alive()?;
        self.owed.tainted.remove(&number);
        self.owed.doubtful.remove(&number);
        Ok(())
    }

    fn find_bad_piece(&mut self, seen: &mut Seen) -> Crash {
        let pieces = self.world.info.geometry.pieces();
        let number = u32::try_from(self.rng.below(pieces.into())).unwrap();
        if !self.journal.have().has(self.piece(number)) || self.rng.chance(0.8) {
            return Ok(());
        }
        seen.forgotten += 1;
        self.restart(number)
    }

    fn end_flush(&mut self, seen: &mut Seen) -> Crash {
        let Some(flush) = self.flush.take() else {
            return Ok(());
        };
        let (world, dirty) = (self.world, &mut self.dirty);
        let flushed = flush.run(|| {
            let taken = std::mem::take(dirty);
            for &file in &taken {
                let synced = world.disk().sync(&world.file(file));
                if synced.is_err() {
                    dirty.extend(&taken);
                    return Err(any_error());
                }
            }
            world.disk().sync_folder("data/t").map_err(|_| any_error())
        });
        // A moment in which more is written.
        if self.rng.chance(0.5) {
            self.write_blocks()?;
        }
        let now = self.world.now();
        match self.journal.end_flush(flushed, now) {
            Ok(()) => {
                let durable = self.reported.intersection(&self.owed.verified);
                self.owed.durable.extend(durable);
            }
            Err(_) => {
                seen.failed_flushes += 1;
                self.owed.unrecorded = true;
                self.alive()?;
                self.doubt_undurable();
                self.owed.unrecorded = self.journal.tick().is_err();
            }
        }
        self.alive()
    }

    fn close(&mut self, seen: &mut Seen) -> Crash {
        self.end_flush(seen)?;
        self.begin_flush(Scope::Closing);
        self.blocks.clear();
        self.end_flush(seen)
    }

    fn begin_flush(&mut self, scope: Scope) {
        if std::mem::take(&mut self.dropped) {
            self.doubt_undurable();
        }
        self.reported = self.owed.verified.clone();
        self.flush = Some(self.journal.begin_flush(scope).expect("none is under way"));
    }
}

fn is_good(world: &World, truth: &[u8], number: u32) -> bool {
    let (piece, geometry) = (world.piece(number), world.info.geometry);
    let (begin, length) = (geometry.piece_begin(piece), geometry.piece_length(piece));
    let at = usize::try_from(begin).unwrap();
    world.content(begin, length.into()) == truth[at..at + length as usize]
}

/// Calls that failed while the process lived on.
fn failures(world: &World) -> u64 {
    let disk = world.disk();
    disk.faults().struck(DiskFault::Full) + disk.faults().struck(DiskFault::FailedSync)
}

/// One torrent through several lives.
fn run(seed: u64, seen: &mut Seen) {
    let rng = Rng::new(seed);
    let mut dice = rng.fork("dice");
    let scale = |dice: &mut Rng, most: f64| if dice.chance(0.4) { 0.0 } else { most };
    let mut disk = Disk::new(&rng);
    for (fault, most) in [
        (DiskFault::LostWrite, 0.6),
        (DiskFault::TornWrite, 0.5),
        (DiskFault::ReorderedWrites, 0.8),
        (DiskFault::LostName, 0.6),
        (DiskFault::LostTime, 0.7),
        (DiskFault::Full, 0.01),
        (DiskFault::FailedSync, 0.02),
    ] {
        disk = disk.with(fault, scale(&mut dice, most));
    }
    let piece_length = u64::from(BLOCK_LENGTH) * (1 + dice.below(5)) - dice.below(2) * 300;
    let world = World::new(
        disk,
        info(&[70_000, 0, 190_000, 5, 120_000, 33_333], piece_length),
    );
    let mut truth = vec![0; usize::try_from(world.info.geometry.total()).unwrap()];
    dice.fill(&mut truth);
    let mut shadow = vec![0; truth.len()];
    let (mut owed, mut boots, mut end) = (Owed::default(), 0, None);
    let mut edited = BTreeSet::new();
    for _ in 0..6 {
        let failures_before = failures(&world);
        let (mut journal, resume) = world.open(boot(boots));
        if dice.chance(0.5) {
            journal.set_frames_min(200);
        }
        *seen.found.entry(format!("{:?}", resume.found)).or_default() += 1;
        check_resume(
            &world, &truth, &shadow, &resume, &mut owed, &edited, end, seen,
        );
        end = Some(live(
            &world,
            &mut dice,
            &truth,
            &mut shadow,
            journal,
            resume,
            &mut owed,
            seen,
        ));
        *seen.ends.entry(end.unwrap()).or_default() += 1;
        if std::mem::take(&mut owed.unrecorded) {
            // A device and a process that fail at once: the one thing that no one can know.
            seen.mended += 1;
            world.disk().mend();
        }
        // The process has died: the promises of the next one are those of before.
        match end {
            Some(End::PowerLost) => {
                world.disk().lose_power();
                boots += 1;
            }
            _ => world.disk().kill(),
        }
        if failures(&world) > failures_before {
            // What could not be recorded is not owed.
            owed.verified.clear();
            owed.durable.clear();
            end = None;
        }
        edited = edit(&world, &mut dice, seen);
    }
    for (fault, struck) in world.disk().faults().injected() {
        *seen.faults.entry(fault).or_default() += struck;
    }
}

#[expect(clippy::too_many_arguments, reason = "the whole model")]
fn check_resume(
    world: &World,
    truth: &[u8],
    shadow: &[u8],
    resume: &Resume,
    owed: &mut Owed,
    edited: &BTreeSet<u32>,
    end: Option<End>,
    seen: &mut Seen,
) {
    let geometry = world.info.geometry;
    let of_edited = |piece: u32| {
        let piece = world.piece(piece);
        let places = world.places(
            geometry.piece_begin(piece),
            geometry.piece_length(piece).into(),
        );
        places.iter().any(|(file, ..)| edited.contains(file))
    };
    for number in resume.have.ones() {
        assert!(
            is_good(world, truth, number),
            "false claim of piece {number} after {end:?}"
        );
        assert!(!resume.check.has(world.piece(number)));
        seen.claims += 1;
    }
    let due = match end {
        Some(End::Killed | End::Closed) => &owed.verified,
        Some(End::PowerLost) => &owed.durable,
        None => &BTreeSet::new(),
    };
    for &number in due.iter().filter(|&&number| !of_edited(number)) {
        let piece = world.piece(number);
        assert!(
            resume.have.has(piece),
            "piece {number} is not claimed after {end:?}: {resume:?}"
        );
        seen.owed += 1;
    }
    let quiet = matches!(end, Some(End::Killed | End::Closed)) && edited.is_empty();
    for number in resume
        .check
        .ones()
        .filter(|_| quiet && resume.found == Found::Whole)
    {
        assert!(
            owed.doubtful.contains(&number),
            "piece {number} is checked after {end:?}"
        );
    }
    for (piece, blocks) in &resume.blocks {
        assert!(!resume.have.has(*piece));
        for number in blocks
            .iter()
            .filter(|_| !owed.restarted.contains(&piece.get()))
        {
            let block = geometry.nth_block(*piece, number).unwrap();
            let begin = geometry.piece_begin(*piece) + u64::from(block.begin());
            let at = usize::try_from(begin).unwrap();
            let bytes = world.content(begin, block.length().into());
            let expect = &shadow[at..at + block.length() as usize];
            assert!(
                bytes == expect,
                "false claim of block {block} after {end:?}"
            );
            seen.blocks += 1;
        }
    }
    owed.verified = resume.have.ones().collect();
    owed.durable
        .retain(|number| resume.have.has(world.piece(*number)));
    owed.doubtful = resume.check.ones().collect();
    owed.tainted.clear();
}

#[expect(clippy::too_many_arguments, reason = "the whole model")]
fn live(
    world: &World,
    rng: &mut Rng,
    truth: &[u8],
    shadow: &mut Vec<u8>,
    journal: Journal<World>,
    resume: Resume,
    owed: &mut Owed,
    seen: &mut Seen,
) -> End {
    let crash_after = rng.below(400);
    if rng.chance(0.8) {
        world.disk().crash_after(crash_after);
    }
    let missing = resume.have.zeros();
    let missing = missing.filter(|&number| !resume.check.has(world.piece(number)));
    let mut blocks: BTreeMap<u32, BTreeSet<usize>> =
        missing.map(|number| (number, BTreeSet::new())).collect();
    for (piece, claimed) in &resume.blocks {
        if let Some(blocks) = blocks.get_mut(&piece.get()) {
            blocks.extend(claimed.iter());
        }
    }
    let mut life = Life {
        world,
        rng,
        truth,
        shadow,
        journal,
        blocks,
        dirty: BTreeSet::new(),
        allocated: BTreeSet::new(),
        flush: None,
        dropped: false,
        reported: BTreeSet::new(),
        owed,
    };
    let lived = live_on(&mut life, &resume, seen);
    match lived {
        Ok(()) if life.rng.chance(0.3) => match life.close(seen) {
            Ok(()) => End::Closed,
            Err(_) => End::Killed,
        },
        _ if life.rng.chance(0.5) => End::Killed,
        _ => End::PowerLost,
    }
}

fn live_on(life: &mut Life<'_>, resume: &Resume, seen: &mut Seen) -> Crash {
    for number in resume.check.ones() {
        // Some checks are not finished before the end.
        if life.rng.chance(0.05) {
            break;
        }
        seen.checked += 1;
        let piece = life.piece(number);
        if life.is_good(number) {
            if life.journal.verified(&[piece]).is_ok() {
                life.owed.verified.insert(number);
                life.owed.doubtful.remove(&number);
            }
        } else {
            let _ = life.journal.incomplete(&[piece]);
            let claimed = resume.blocks.iter().find(|(of, _)| *of == piece);
            let blocks = claimed.map(|(_, blocks)| blocks.iter().collect());
            life.blocks.insert(number, blocks.unwrap_or_default());
        }
        life.alive()?;
    }
    let complete: Vec<u32> = life
        .blocks
        .iter()
        .filter(|(number, blocks)| {
            blocks.len()
                == life
                    .world
                    .info
                    .geometry
                    .block_count(life.world.piece(**number))
        })
        .map(|(&number, _)| number)
        .collect();
    for number in complete {
        life.verify(number)?;
    }
    let steps = life.rng.below(120);
    (0..steps).try_for_each(|_| life.step(seen))
}

/// While no client runs, someone changes files. Gives those that were changed.
fn edit(world: &World, dice: &mut Rng, seen: &mut Seen) -> BTreeSet<u32> {
    let mut edited = BTreeSet::new();
    if dice.chance(0.7) {
        return edited;
    }
    let mut disk = world.disk();
    disk.advance(Duration::from_secs(100));
    let file = [0, 2, 4, 5][dice.index(4)];
    let name = world.file(file);
    let Some(found) = disk.stat(&name).unwrap() else {
        return edited;
    };
    let size = usize::try_from(found.size).unwrap();
    let done = match dice.below(4) {
        0 => disk.set_length(&name, size / 2),
        1 => disk.remove(&name),
        2 => disk.append(&name, b"more"),
        _ => disk.write(&name, dice.index(size.max(1)), b"other"),
    };
    if matches!(done, Err(DiskError::Full)) {
        edited.insert(file);
    }
    if disk.sync(&name) == Err(DiskError::Failed) {
        disk.mend();
    }
    disk.sync_folder("data/t").unwrap();
    seen.edits += 1;
    edited.insert(file);
    edited
}

fn number_from(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|error| panic!("{variable}={text}: {error}")),
    )
}

#[test]
fn claims_are_true_after_every_crash_and_nothing_owed_is_lost() {
    let seeds = match number_from("SHOAL_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number_from("SHOAL_SIM_SEEDS").unwrap_or(500),
    };
    let count = seeds.end - seeds.start;
    let mut seen = Seen::default();
    for seed in seeds {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            run(seed, &mut seen);
        }));
        if let Err(panic) = result {
            println!(
                "replay: SHOAL_SIM_SEED={seed} cargo test -p shoal-storage --test journal_power"
            );
            std::panic::resume_unwind(panic);
        }
    }
    println!("{seen:#?}");
    if count < 500 {
        return;
    }
    assert_eq!(
        seen.faults.values().filter(|&&struck| struck == 0).count(),
        0,
        "{seen:#?}"
    );
    assert_eq!(seen.faults.len(), 7);
    assert!(
        seen.ends.len() == 3 && seen.ends.values().all(|&times| times > 100),
        "{seen:#?}"
    );
    for found in ["Nothing", "Whole", "Cut", "Earlier"] {
        assert!(seen.found.contains_key(found), "{found}: {seen:#?}");
    }
    let counts = [seen.claims, seen.owed, seen.checked];
    assert!(counts.iter().all(|&count| count > 1_000), "{seen:#?}");
    let counts = [seen.blocks, seen.edits, seen.failed_flushes, seen.forgotten];
    assert!(counts.iter().all(|&count| count > 100), "{seen:#?}");
}
