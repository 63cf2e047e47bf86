//! A disk with a cache that a loss of power takes: writes are lost, torn and reordered until they
//! are synced, and so are names.
//!
//! What a process has done it sees, and so does the next one after it was killed; what was synced
//! is there after a loss of power, and of the rest any part, sector by sector. Less than any real
//! disk promises, so what works here works there. One flat space of names; `/` parts folders,
//! which are always there. Knows nothing of what is kept on it.
//!
//! ```
//! use shoal_simulation::disk::{Disk, DiskFault};
//! use shoal_simulation::Rng;
//! let mut disk = Disk::new(&Rng::new(1)).with(DiskFault::LostWrite, 1.0);
//! disk.write("a/file", 0, b"kept")?;
//! disk.sync("a/file")?;
//! disk.sync_folder("a")?;
//! disk.write("a/file", 0, b"lost")?;
//! disk.kill();
//! assert_eq!(disk.read("a/file")?.unwrap(), b"lost", "the cache outlives the process");
//! disk.lose_power();
//! assert_eq!(disk.read("a/file")?.unwrap(), b"kept");
//! assert_eq!(disk.faults().never_struck(), []);
//! # Ok::<(), shoal_simulation::disk::DiskError>(())
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::faults::Faults;
use crate::limits::SECTOR_BYTES;
use crate::rng::Rng;

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DiskFault {
    /// A write that was not synced is not there after a loss of power.
    LostWrite,
    /// Of a write that was not synced, some sectors are there.
    TornWrite,
    /// Writes that were not synced reach the disk in another order: the later is overwritten.
    ReorderedWrites,
    /// A name that was not synced is not there, or still there, after a loss of power.
    LostName,
    /// A file has the time of its last sync after a loss of power.
    LostTime,
    /// There is no room: a part of the bytes is written.
    Full,
    /// A sync fails, and what it was to write never gets to the disk, though the cache has it and
    /// the next sync says yes.
    FailedSync,
}

/// Why nothing, or not all, was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskError {
    /// The process has died; nothing is done until [`Disk::kill`] or [`Disk::lose_power`].
    Crashed,
    /// See [`DiskFault::Full`].
    Full,
    /// See [`DiskFault::FailedSync`].
    Failed,
    /// There is no file of that name.
    Missing,
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crashed => "the process has crashed",
            Self::Full => "the disk is full",
            Self::Failed => "the disk failed",
            Self::Missing => "there is no such file",
        })
    }
}

impl std::error::Error for DiskError {}

/// How a file looks from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Bytes.
    pub size: u64,
    /// When it was last written.
    pub modified: Duration,
    /// The number of the file, whatever its name.
    pub inode: u64,
}

/// A disk and the cache above it.
#[derive(Debug, Clone)]
pub struct Disk {
    rng: Rng,
    faults: Faults<DiskFault>,
    now: Duration,
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    renames: Vec<NameChange>,
    /// Calls until the process dies in the middle of one.
    calls_left: Option<u64>,
    crashed: bool,
}

#[derive(Debug, Clone, Default)]
struct Inode {
    cached: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
    /// A sync has failed: cache and disk differ for good.
    is_torn: bool,
    modified: Duration,
    durable_modified: Duration,
}

#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

/// A name that was given, and one that was taken away, at once.
#[derive(Debug, Clone)]
struct NameChange {
    given: Option<(String, u64)>,
    taken: Option<String>,
}

impl Disk {
    /// An empty disk on which nothing goes wrong, at some time in the middle of the year 2001.
    #[must_use]
    pub fn new(rng: &Rng) -> Self {
        let rng = rng.fork("disk");
        Self {
            faults: Faults::new(&rng),
            rng,
            now: Duration::from_secs(1_000_000_000),
            inodes: BTreeMap::new(),
            next_inode: 1,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            renames: Vec::new(),
            calls_left: None,
            crashed: false,
        }
    }

    /// Lets a fault strike with that probability each time that it can.
    #[must_use]
    pub fn with(mut self, fault: DiskFault, probability: f64) -> Self {
        self.faults = self.faults.with(fault, probability);
        self
    }

    /// What went wrong so far.
    #[must_use]
    pub fn faults(&self) -> &Faults<DiskFault> {
        &self.faults
    }

    /// The clock of the system.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Lets time pass.
    pub fn advance(&mut self, time: Duration) {
        self.now += time;
    }

    /// Lets the process die in the middle of the call after `calls` more of them: of a write,
    /// some bytes are done; anything else is not.
    pub fn crash_after(&mut self, calls: u64) {
        self.calls_left = Some(calls);
    }

    /// Whether the process has died.
    #[must_use]
    pub fn has_crashed(&self) -> bool {
        self.crashed
    }

    /// The process is dead, and another begins. Everything it has written is there.
    pub fn kill(&mut self) {
        self.crashed = false;
        self.calls_left = None;
    }

    /// The power goes and comes back.
    pub fn lose_power(&mut self) {
        self.kill();
        for change in std::mem::take(&mut self.renames) {
            if !self.faults.strikes(DiskFault::LostName) {
                change.apply(&mut self.durable_names);
            }
        }
        self.names = self.durable_names.clone();
        let named: BTreeSet<u64> = self.names.values().copied().collect();
        self.inodes.retain(|inode, _| named.contains(inode));
        for inode in self.inodes.values_mut() {
            inode.lose_power(&mut self.faults, &mut self.rng);
        }
    }

    /// All bytes of a file; `None` when it is not there.
    ///
    /// # Errors
    /// [`DiskError::Crashed`].
    pub fn read(&mut self, name: &str) -> Result<Option<Vec<u8>>, DiskError> {
        self.call()?;
        Ok(self.peek(name).map(<[u8]>::to_vec))
    }

    /// All bytes of a file as the cache has them, for a test to look at: no call of the process.
    #[must_use]
    pub fn peek(&self, name: &str) -> Option<&[u8]> {
        let inode = self.names.get(name)?;
        Some(&self.inodes[inode].cached)
    }

    /// How a file looks; `None` when it is not there.
    ///
    /// # Errors
    /// [`DiskError::Crashed`].
    pub fn stat(&mut self, name: &str) -> Result<Option<Stat>, DiskError> {
        self.call()?;
        Ok(self.names.get(name).map(|&inode| Stat {
            size: self.inodes[&inode].cached.len() as u64,
            modified: self.inodes[&inode].modified,
            inode,
        }))
    }

    /// Writes bytes at an offset of a file, which is made when it is not there.
    ///
    /// # Errors
    /// [`DiskError::Crashed`] or [`DiskError::Full`]; then a part may have been written.
    pub fn write(&mut self, name: &str, offset: usize, bytes: &[u8]) -> Result<(), DiskError> {
        let mut verdict = self.call();
        if verdict.is_ok() && self.faults.strikes(DiskFault::Full) {
            verdict = Err(DiskError::Full);
        } else if verdict.is_err() && self.calls_left.take().is_none() {
            return verdict;
        }
        let done = match verdict {
            Ok(()) => bytes.len(),
            Err(_) => self.rng.index(bytes.len() + 1),
        };
        if verdict.is_ok() || done > 0 {
            let now = self.now;
            self.inode(name)
                .change(Change::Write(offset, bytes[..done].into()), now);
        }
        verdict
    }

    /// Writes bytes at the end of a file that is there.
    ///
    /// # Errors
    /// As [`Self::write`], and [`DiskError::Missing`].
    pub fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), DiskError> {
        let inode = self.names.get(name).ok_or(DiskError::Missing)?;
        let end = self.inodes[inode].cached.len();
        self.write(name, end, bytes)
    }

    /// Cuts or lengthens a file, which is made when it is not there.
    ///
    /// # Errors
    /// [`DiskError::Crashed`].
    pub fn set_length(&mut self, name: &str, length: usize) -> Result<(), DiskError> {
        self.call()?;
        let now = self.now;
        self.inode(name).change(Change::Length(length), now);
        Ok(())
    }

    /// Makes the bytes and the time of a file durable, but not its name.
    ///
    /// # Errors
    /// [`DiskError::Crashed`], [`DiskError::Missing`] or [`DiskError::Failed`].
    pub fn sync(&mut self, name: &str) -> Result<(), DiskError> {
        self.call()?;
        let inode = self.names.get(name).ok_or(DiskError::Missing)?;
        let inode = self
            .inodes
            .get_mut(inode)
            .expect("a name leads to an inode");
        let unsynced = std::mem::take(&mut inode.unsynced);
        if !unsynced.is_empty() && self.faults.strikes(DiskFault::FailedSync) {
            inode.is_torn = true;
            return Err(DiskError::Failed);
        }
        if inode.is_torn {
            unsynced
                .iter()
                .for_each(|change| change.apply(&mut inode.durable));
        } else {
            inode.durable.clone_from(&inode.cached);
        }
        inode.durable_modified = inode.modified;
        Ok(())
    }

    /// Takes what is not waiting to be written out of the cache: the next read sees the disk.
    pub fn uncache(&mut self, name: &str) {
        let inode = self
            .names
            .get(name)
            .and_then(|inode| self.inodes.get_mut(inode));
        if let Some(inode) = inode.filter(|inode| inode.is_torn) {
            inode.cached.clone_from(&inode.durable);
            inode
                .unsynced
                .iter()
                .for_each(|change| change.apply(&mut inode.cached));
        }
    }

    /// What failed syncs have lost becomes durable after all, as when a device recovers.
    pub fn mend(&mut self) {
        for inode in self.inodes.values_mut().filter(|inode| inode.is_torn) {
            inode.durable.clone_from(&inode.cached);
            inode.unsynced.clear();
            inode.is_torn = false;
        }
    }

    /// Gives a file another name, and takes that from whatever had it.
    ///
    /// # Errors
    /// [`DiskError::Crashed`] or [`DiskError::Missing`].
    pub fn rename(&mut self, from: &str, to: &str) -> Result<(), DiskError> {
        self.call()?;
        let inode = *self.names.get(from).ok_or(DiskError::Missing)?;
        self.rename_to(NameChange {
            given: Some((to.to_owned(), inode)),
            taken: Some(from.to_owned()),
        });
        Ok(())
    }

    /// Removes a file, if it is there.
    ///
    /// # Errors
    /// [`DiskError::Crashed`].
    pub fn remove(&mut self, name: &str) -> Result<(), DiskError> {
        self.call()?;
        self.rename_to(NameChange {
            given: None,
            taken: Some(name.to_owned()),
        });
        Ok(())
    }

    /// Makes the names in a folder durable, as they are.
    ///
    /// # Errors
    /// [`DiskError::Crashed`].
    pub fn sync_folder(&mut self, folder: &str) -> Result<(), DiskError> {
        self.call()?;
        let is_in = |name: &str| name.rsplit_once('/').map_or("", |(above, _)| above) == folder;
        let (here, elsewhere) = std::mem::take(&mut self.renames)
            .into_iter()
            .partition(|change| change.name().is_some_and(is_in));
        self.renames = elsewhere;
        let here: Vec<NameChange> = here;
        here.iter()
            .for_each(|change| change.apply(&mut self.durable_names));
        Ok(())
    }

    fn rename_to(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.renames.push(change);
    }

    fn inode(&mut self, name: &str) -> &mut Inode {
        let number = match self.names.get(name) {
            Some(&number) => number,
            None => {
                let number = self.next_inode;
                self.next_inode += 1;
                self.rename_to(NameChange {
                    given: Some((name.to_owned(), number)),
                    taken: None,
                });
                number
            }
        };
        self.inodes.entry(number).or_default()
    }

    /// Counts the call; of the one that the process dies in, `calls_left` stays `Some`.
    fn call(&mut self) -> Result<(), DiskError> {
        if self.crashed {
            return Err(DiskError::Crashed);
        }
        match &mut self.calls_left {
            Some(0) => {
                self.crashed = true;
                Err(DiskError::Crashed)
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl NameChange {
    fn name(&self) -> Option<&str> {
        let given = self.given.as_ref().map(|(name, _)| name.as_str());
        given.or(self.taken.as_deref())
    }

    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        let taken = self
            .taken
            .as_ref()
            .and_then(|name| names.remove_entry(name));
        let Some((name, inode)) = &self.given else {
            return;
        };
        // The old name may be another file's by now.
        if let Some((old, other)) = taken.filter(|(_, other)| other != inode) {
            names.insert(old, other);
        }
        names.insert(name.clone(), *inode);
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(offset, written) => put(bytes, *offset, written),
            Self::Length(length) => bytes.resize(*length, 0),
        }
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, written: &[u8]) {
    let end = offset + written.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(written);
}

impl Inode {
    fn change(&mut self, change: Change, now: Duration) {
        change.apply(&mut self.cached);
        self.unsynced.push(change);
        self.modified = now;
    }

    fn lose_power(&mut self, faults: &mut Faults<DiskFault>, rng: &mut Rng) {
        let mut changes = std::mem::take(&mut self.unsynced);
        if changes.len() > 1 && faults.strikes(DiskFault::ReorderedWrites) {
            rng.shuffle(&mut changes);
        }
        for change in changes {
            if faults.strikes(DiskFault::LostWrite) {
                continue;
            }
            match change {
                Change::Write(offset, written) if faults.strikes(DiskFault::TornWrite) => {
                    for (offset, sector) in sectors(offset, &written) {
                        if rng.chance(0.5) {
                            put(&mut self.durable, offset, sector);
                        }
                    }
                }
                change => change.apply(&mut self.durable),
            }
        }
        self.cached.clone_from(&self.durable);
        self.is_torn = false;
        if self.modified != self.durable_modified && faults.strikes(DiskFault::LostTime) {
            self.modified = self.durable_modified;
        }
        self.durable_modified = self.modified;
    }
}

/// The bytes, cut where sectors of the disk end.
fn sectors(mut offset: usize, mut bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    std::iter::from_fn(move || {
        let length = (SECTOR_BYTES - offset % SECTOR_BYTES).min(bytes.len());
        let (sector, rest) = bytes.split_at(length);
        let at = offset;
        (offset, bytes) = (offset + length, rest);
        (length > 0).then_some((at, sector))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(seed: u64) -> Disk {
        Disk::new(&Rng::new(seed))
    }

    fn content(disk: &mut Disk, name: &str) -> Option<Vec<u8>> {
        disk.read(name).unwrap()
    }

    #[test]
    fn synced_bytes_and_names_outlive_the_power() {
        let all = [
            DiskFault::LostWrite,
            DiskFault::TornWrite,
            DiskFault::LostName,
        ];
        let mut disk = all
            .into_iter()
            .fold(disk(1), |disk, fault| disk.with(fault, 1.0));
        disk.write("f/a", 0, b"one").unwrap();
        disk.sync("f/a").unwrap();
        disk.sync_folder("f").unwrap();
        disk.append("f/a", b"two").unwrap();
        disk.write("f/b", 0, b"new").unwrap();
        disk.rename("f/a", "f/c").unwrap();
        assert_eq!(content(&mut disk, "f/c").unwrap(), b"onetwo");
        disk.lose_power();
        assert_eq!(content(&mut disk, "f/a").unwrap(), b"one");
        assert_eq!(content(&mut disk, "f/b"), None);
        assert_eq!(content(&mut disk, "f/c"), None);
        assert!(disk.faults().struck(DiskFault::LostName) == 2);
    }

    #[test]
    fn rename_is_whole_or_not_at_all_and_any_of_several_may_be_lost() {
        let mut seen = BTreeSet::new();
        for seed in 0..200 {
            let mut disk = disk(seed).with(DiskFault::LostName, 0.5);
            for name in ["old", "current", "new"] {
                disk.write(name, 0, name.as_bytes()).unwrap();
                disk.sync(name).unwrap();
            }
            disk.sync_folder("").unwrap();
            disk.rename("current", "old").unwrap();
            disk.rename("new", "current").unwrap();
            disk.lose_power();
            let now = ["old", "current", "new"].map(|name| content(&mut disk, name));
            let is_new = now[1].as_deref() == Some(b"new");
            assert_ne!(is_new, now[2].is_some(), "one name each: {now:?}");
            seen.insert(now);
        }
        assert_eq!(seen.len(), 4, "{seen:?}");
    }

    #[test]
    fn torn_write_keeps_whole_sectors_and_loses_others() {
        let mut kept = BTreeSet::new();
        for seed in 0..20 {
            let mut disk = disk(seed).with(DiskFault::TornWrite, 1.0);
            disk.write("a", 100, &[1; 3 * SECTOR_BYTES - 100]).unwrap();
            disk.sync_folder("").unwrap();
            disk.lose_power();
            let mut bytes = content(&mut disk, "a").unwrap();
            bytes.resize(3 * SECTOR_BYTES, 0);
            assert!(bytes[..100].iter().all(|&byte| byte == 0));
            let first = bytes[100];
            bytes[..100].fill(first);
            let is_whole = |sector: &[u8]| sector.iter().all(|&byte| byte == sector[0]);
            assert!(bytes.chunks(SECTOR_BYTES).all(is_whole), "seed {seed}");
            let whole = bytes.chunks(SECTOR_BYTES).map(|sector| sector[0]);
            kept.insert(whole.collect::<Vec<u8>>());
            assert_eq!(disk.faults().struck(DiskFault::TornWrite), 1);
        }
        assert!(kept.len() > 4, "{kept:?}");
    }

    #[test]
    fn reordered_writes_leave_the_earlier_on_top() {
        let mut tops = BTreeSet::new();
        for seed in 0..50 {
            let mut disk = disk(seed).with(DiskFault::ReorderedWrites, 1.0);
            disk.write("a", 0, b"1").unwrap();
            disk.write("a", 0, b"2").unwrap();
            disk.sync_folder("").unwrap();
            disk.lose_power();
            tops.insert(content(&mut disk, "a").unwrap());
        }
        assert_eq!(tops.len(), 2);
    }

    #[test]
    fn failed_sync_loses_bytes_that_the_cache_still_shows() {
        let mut disk = disk(5).with(DiskFault::FailedSync, 1.0);
        disk.set_length("a", 3).unwrap();
        disk.sync_folder("").unwrap();
        assert_eq!(disk.sync("a"), Err(DiskError::Failed));
        disk.faults.stop();
        disk.write("a", 0, b"b").unwrap();
        disk.sync("a").unwrap();
        assert_eq!(content(&mut disk, "a").unwrap(), b"b\0\0");
        let mut mended = disk.clone();
        mended.mend();
        mended.lose_power();
        assert_eq!(content(&mut mended, "a").unwrap(), b"b\0\0");
        disk.uncache("a");
        assert_eq!(content(&mut disk, "a").unwrap(), b"b");
        disk.lose_power();
        assert_eq!(content(&mut disk, "a").unwrap(), b"b");
    }

    #[test]
    fn process_dies_in_the_middle_of_a_call() {
        let mut lengths = BTreeSet::new();
        for seed in 0..50 {
            let mut disk = disk(seed);
            disk.write("a", 0, b"").unwrap();
            disk.crash_after(1);
            disk.append("a", b"12").unwrap();
            assert_eq!(disk.append("a", b"345"), Err(DiskError::Crashed));
            assert_eq!(disk.append("a", b"6"), Err(DiskError::Crashed));
            assert_eq!(disk.rename("a", "b"), Err(DiskError::Crashed));
            assert!(disk.has_crashed());
            disk.kill();
            let bytes = content(&mut disk, "a").unwrap();
            assert_eq!(bytes, b"12345"[..bytes.len()]);
            lengths.insert(bytes.len());
        }
        assert_eq!(lengths, BTreeSet::from([2, 3, 4, 5]));
    }

    #[test]
    fn full_disk_takes_a_part() {
        let mut disk = disk(1).with(DiskFault::Full, 1.0);
        assert_eq!(disk.write("a", 0, &[1; 100]), Err(DiskError::Full));
        assert!(content(&mut disk, "a").is_none_or(|bytes| bytes.len() <= 100));
    }

    #[test]
    fn time_of_a_file_may_be_lost_until_it_is_synced() {
        let mut disk = disk(1).with(DiskFault::LostTime, 1.0);
        disk.write("a", 0, b"1").unwrap();
        disk.sync("a").unwrap();
        disk.sync_folder("").unwrap();
        let synced = disk.stat("a").unwrap().unwrap();
        disk.advance(Duration::from_secs(5));
        disk.write("a", 0, b"2").unwrap();
        assert_eq!(disk.stat("a").unwrap().unwrap().modified, disk.now());
        disk.lose_power();
        assert_eq!(disk.stat("a").unwrap().unwrap(), synced);
    }
}
