//! Windows of torrents: mapped ranges of files, in a cache with two budgets.
//!
//! Promise: torrents that share a cache ([`WindowBudget`]) map never more windows, nor more bytes
//! of them, than the budgets say; who needs one more takes the place of the one unused longest, of
//! whichever torrent, or waits for one to become free. No one waits for ever, because at least one
//! window can never be lent out and a thread holds at most one at a time. The lock is held for
//! bookkeeping only: mapping, unmapping and page faults happen outside. Knows nothing of paths or
//! pieces.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use crate::fault;
use crate::limits::{
    READ_AHEAD, WINDOW_BYTES_MAX, WINDOW_LENGTH_MAX, WINDOW_LENGTH_MIN, WINDOWS_TOGETHER_MAX,
};
use crate::map::{Mapping, Purpose};
use crate::memory;

/// Which window: the file, its number on the grid of window lengths, and the state that the file
/// was in when it was mapped, so that a window of an earlier state is never found.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Key {
    pub(crate) file: u32,
    pub(crate) number: u64,
    pub(crate) state: u32,
}

/// What is mapped now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Mapped {
    pub(crate) windows: usize,
    pub(crate) bytes: u64,
}

impl Mapped {
    fn add(&mut self, bytes: u64) {
        self.windows += 1;
        self.bytes += bytes;
    }

    fn sub(&mut self, bytes: u64) {
        self.windows -= 1;
        self.bytes -= bytes;
    }
}

/// How much torrents map together. Clones are the same budget.
#[derive(Clone, Debug)]
pub struct WindowBudget(Arc<Pool>);

/// One torrent's part of a cache.
#[derive(Debug)]
pub(crate) struct Windows {
    pool: Arc<Pool>,
    owner: u64,
}

/// The cache.
#[derive(Debug)]
struct Pool {
    cache: Mutex<Cache>,
    freed: Condvar,
    budget: Mapped,
    length: u64,
    /// The number of the next torrent.
    next_owner: AtomicU64,
}

/// Whose window, and which.
type OwnKey = (u64, Key);

#[derive(Debug, Default)]
struct Cache {
    slots: HashMap<OwnKey, Slot>,
    /// Places taken, by windows in `slots` and by mappings being made or used outside of it.
    taken: Mapped,
    /// The same, of those who have any.
    taken_by: HashMap<u64, Mapped>,
    lent: Mapped,
    clock: u64,
    waiting: usize,
}

#[derive(Debug)]
struct Slot {
    window: Arc<Window>,
    taken: u64,
    users: usize,
    loans: usize,
    used: u64,
}

/// One mapped range and which parts of it were brought in.
#[derive(Debug)]
pub(crate) struct Window {
    mapping: Mapping,
    /// One bit for each 64th of a full window.
    readable: AtomicU64,
    writable: AtomicU64,
    unit: usize,
}

impl WindowBudget {
    /// So many windows and bytes at most; one window, or two of the shortest, at least.
    #[must_use]
    pub fn new(windows_max: usize, bytes_max: u64) -> Self {
        let bytes = bytes_max.max(2 * WINDOW_LENGTH_MIN);
        // Half of the budget may be lent out; the other half holds a window at least.
        let fits = 1 << (bytes / 2).ilog2();
        Self(Arc::new(Pool {
            cache: Mutex::default(),
            freed: Condvar::new(),
            budget: Mapped {
                windows: windows_max.max(1),
                bytes,
            },
            length: WINDOW_LENGTH_MAX.min(fits),
            next_owner: AtomicU64::new(0),
        }))
    }

    /// What fits this machine and the limits of this process: a quarter of the memory that is
    /// available now, in [`WINDOWS_TOGETHER_MAX`] windows at most.
    #[must_use]
    pub fn of_this_machine() -> Self {
        let all = WINDOWS_TOGETHER_MAX as u64 * WINDOW_LENGTH_MAX;
        let available = memory::available().map_or(WINDOW_BYTES_MAX, |bytes| bytes / 4);
        Self::new(WINDOWS_TOGETHER_MAX, available.min(all))
    }

    /// Windows mapped now.
    #[must_use]
    pub fn windows(&self) -> usize {
        self.0.lock().taken.windows
    }

    /// Bytes of windows mapped now.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.lock().taken.bytes
    }

    /// Most bytes of windows that are mapped at once.
    #[must_use]
    pub fn bytes_max(&self) -> u64 {
        self.0.budget.bytes
    }
}

impl Windows {
    /// For one more torrent.
    pub(crate) fn new(budget: &WindowBudget) -> Self {
        Self {
            pool: Arc::clone(&budget.0),
            owner: budget.0.next_owner.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Bytes of a full window, a power of two.
    pub(crate) fn length(&self) -> u64 {
        self.pool.length
    }

    /// Most bytes that one [`Self::reserve`] may ask for.
    pub(crate) fn reservation_max(&self) -> u64 {
        self.pool.budget.bytes / 2
    }

    /// What this torrent maps now, or is about to.
    pub(crate) fn mapped(&self) -> Mapped {
        let cache = self.pool.lock();
        cache.taken_by.get(&self.owner).copied().unwrap_or_default()
    }

    /// The window of that key, from the cache or made by `map`, `bytes` long at most.
    ///
    /// # Errors
    /// Those of `map`.
    pub(crate) fn lease<E>(
        self: &Arc<Self>,
        key: Key,
        bytes: u64,
        map: impl FnOnce() -> Result<Mapping, E>,
    ) -> Result<Lease, E> {
        let key = (self.owner, key);
        let place = {
            let mut cache = self.pool.lock();
            loop {
                if let Some(window) = cache.take(&key) {
                    return Ok(Lease::new(self, key, window));
                }
                if cache.claim(self.owner, bytes, self.pool.budget) {
                    break self.place(bytes);
                }
                cache = self.pool.make_room(cache);
            }
        };
        let mapping = map()?;
        let window = Arc::new(Window::new(mapping, self.pool.length));
        let mut cache = self.pool.lock();
        if let Some(theirs) = cache.take(&key) {
            // Another thread was faster. Ours goes: first the mapping, then its place.
            drop(cache);
            drop(window);
            drop(place);
            return Ok(Lease::new(self, key, theirs));
        }
        std::mem::forget(place);
        cache.put(key, Arc::clone(&window), bytes);
        drop(cache);
        Ok(Lease::new(self, key, window))
    }

    /// A place in the budget for a mapping outside of the cache.
    pub(crate) fn reserve(&self, bytes: u64) -> Place<'_> {
        assert!(
            bytes <= self.reservation_max(),
            "more than can ever be free"
        );
        let mut cache = self.pool.lock();
        while !cache.claim(self.owner, bytes, self.pool.budget) {
            cache = self.pool.make_room(cache);
        }
        self.place(bytes)
    }

    fn place(&self, bytes: u64) -> Place<'_> {
        let (pool, owner) = (&*self.pool, self.owner);
        Place { pool, owner, bytes }
    }

    /// Unmaps all windows of this torrent that no one uses.
    pub(crate) fn trim(&self) {
        loop {
            let evicted = self.pool.lock().evict(|owner| owner == self.owner);
            let Some(((owner, _), slot)) = evicted else {
                return;
            };
            drop(slot.window);
            self.pool.release(owner, slot.taken);
        }
    }
}

impl Drop for Windows {
    /// Each lease keeps its `Windows`, so none is in use.
    fn drop(&mut self) {
        self.trim();
    }
}

impl Pool {
    /// Unmaps the window unused longest; else waits for any to become free.
    fn make_room<'a>(&'a self, mut cache: MutexGuard<'a, Cache>) -> MutexGuard<'a, Cache> {
        if let Some(((owner, _), slot)) = cache.evict(|_| true) {
            drop(cache);
            drop(slot.window);
            self.release(owner, slot.taken);
            return self.lock();
        }
        cache.waiting += 1;
        let woken = self.freed.wait(cache);
        let mut cache = woken.unwrap_or_else(PoisonError::into_inner);
        cache.waiting -= 1;
        cache
    }

    fn release(&self, owner: u64, bytes: u64) {
        let mut cache = self.lock();
        cache.taken.sub(bytes);
        if let Entry::Occupied(mut entry) = cache.taken_by.entry(owner) {
            entry.get_mut().sub(bytes);
            if entry.get().windows == 0 {
                entry.remove();
            }
        }
        self.wake(&cache);
    }

    fn wake(&self, cache: &Cache) {
        if cache.waiting > 0 {
            self.freed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Cache> {
        // Nothing below panics between two changes that belong together.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cache {
    fn take(&mut self, key: &OwnKey) -> Option<Arc<Window>> {
        self.clock += 1;
        let slot = self.slots.get_mut(key)?;
        slot.users += 1;
        slot.used = self.clock;
        Some(Arc::clone(&slot.window))
    }

    fn put(&mut self, key: OwnKey, window: Arc<Window>, taken: u64) {
        let slot = Slot {
            window,
            taken,
            users: 1,
            loans: 0,
            used: self.clock,
        };
        let old = self.slots.insert(key, slot);
        assert!(old.is_none(), "the window was there already");
    }

    fn claim(&mut self, owner: u64, bytes: u64, budget: Mapped) -> bool {
        let fits = self.taken.windows < budget.windows && self.taken.bytes + bytes <= budget.bytes;
        if fits {
            self.taken.add(bytes);
            self.taken_by.entry(owner).or_default().add(bytes);
        }
        fits
    }

    /// Takes out the window unused longest, of those owners. Its place stays taken until it is
    /// unmapped.
    fn evict(&mut self, of: impl Fn(u64) -> bool) -> Option<(OwnKey, Slot)> {
        let slots = self.slots.iter();
        let unused = slots.filter(|((owner, _), slot)| slot.users == 0 && of(*owner));
        let (&key, _) = unused.min_by_key(|(_, slot)| slot.used)?;
        self.slots.remove_entry(&key)
    }
}

impl Window {
    fn new(mapping: Mapping, full_length: u64) -> Self {
        let unit = usize::try_from(full_length / 64).expect("a window fits in memory");
        Self {
            mapping,
            readable: AtomicU64::new(0),
            writable: AtomicU64::new(0),
            unit,
        }
    }

    fn mask(&self, range: &Range<usize>) -> u64 {
        let (first, last) = (range.start / self.unit, (range.end - 1) / self.unit);
        (u64::MAX >> (63 - (last - first))) << first
    }

    /// Brings in the pages of `around` for writing, once; `wanted` is a part of it, not empty.
    pub(crate) fn make_writable(
        &self,
        wanted: &Range<usize>,
        around: Range<usize>,
    ) -> Result<(), Errno> {
        let missing = self.mask(wanted) & !self.writable.load(Ordering::Relaxed);
        if missing == 0 {
            return Ok(());
        }
        let mask = self.mask(&around);
        self.mapping.populate(around, Purpose::Write)?;
        self.writable.fetch_or(mask, Ordering::Relaxed);
        self.readable.fetch_or(mask, Ordering::Relaxed);
        Ok(())
    }

    /// Brings in the pages of `wanted`, not empty, for reading, once, and some that lie behind it
    /// before `ahead_end`.
    pub(crate) fn make_readable(
        &self,
        wanted: &Range<usize>,
        ahead_end: usize,
    ) -> Result<(), Errno> {
        let missing = self.mask(wanted) & !self.readable.load(Ordering::Relaxed);
        if missing == 0 {
            return Ok(());
        }
        let ahead = ahead_end.min(wanted.start + READ_AHEAD);
        let end = wanted.end.max(ahead.min(self.mapping.length()));
        let around = wanted.start / self.unit * self.unit..end;
        let mask = self.mask(&around);
        self.mapping.touch(around)?;
        self.readable.fetch_or(mask, Ordering::Relaxed);
        Ok(())
    }
}

/// A window in use: it stays mapped while this lives.
#[derive(Debug)]
pub(crate) struct Lease {
    windows: Arc<Windows>,
    key: OwnKey,
    /// Present until dropped.
    window: Option<Arc<Window>>,
    lent: bool,
}

impl Lease {
    fn new(windows: &Arc<Windows>, key: OwnKey, window: Arc<Window>) -> Self {
        Self {
            windows: Arc::clone(windows),
            key,
            window: Some(window),
            lent: false,
        }
    }

    pub(crate) fn window(&self) -> &Window {
        self.window.as_ref().expect("taken out by drop only")
    }

    pub(crate) fn mapping(&self) -> &Mapping {
        &self.window().mapping
    }

    /// Marks the window as held for as long as a peer needs. False when half of the budget is
    /// lent out already: then the bytes have to be copied.
    pub(crate) fn lend(&mut self) -> bool {
        if !fault::LENDS {
            return false;
        }
        let pool = &self.windows.pool;
        let budget = pool.budget;
        let mut cache = pool.lock();
        let Cache { slots, lent, .. } = &mut *cache;
        let slot = slots.get_mut(&self.key).expect("in use, so it is there");
        if slot.loans == 0 {
            let windows = lent.windows + 1;
            let bytes = lent.bytes + slot.taken;
            if windows > budget.windows / 2 || bytes > budget.bytes / 2 {
                return false;
            }
            *lent = Mapped { windows, bytes };
        }
        slot.loans += 1;
        self.lent = true;
        true
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Before the slot may be evicted, so that the eviction is what unmaps.
        drop(self.window.take());
        let mut cache = self.windows.pool.lock();
        let Cache { slots, lent, .. } = &mut *cache;
        let slot = slots.get_mut(&self.key).expect("in use, so it is there");
        slot.users -= 1;
        let unused = slot.users == 0;
        if self.lent {
            slot.loans -= 1;
            if slot.loans == 0 {
                lent.windows -= 1;
                lent.bytes -= slot.taken;
            }
        }
        if unused {
            self.windows.pool.wake(&cache);
        }
    }
}

/// A place in the budget, given back when dropped: after the mapping that it was for.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pool: &'a Pool,
    owner: u64,
    bytes: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.pool.release(self.owner, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use std::fs::File;
    use std::os::fd::AsFd;

    const LENGTH: u64 = WINDOW_LENGTH_MIN;

    /// A cache of so many shortest windows, and a file of 16 of them.
    fn cache(windows_max: usize) -> (Arc<Windows>, File) {
        let file = tempfile::tempfile().unwrap();
        file.set_len(16 * LENGTH).unwrap();
        let bytes = LENGTH * windows_max as u64;
        (
            Arc::new(Windows::new(&WindowBudget::new(windows_max, bytes))),
            file,
        )
    }

    fn key(number: u64) -> Key {
        Key {
            number,
            ..Key::default()
        }
    }

    fn lease(windows: &Arc<Windows>, file: &File, number: u64) -> Lease {
        let map = || {
            let length = usize::try_from(LENGTH).unwrap();
            let mapping = Mapping::new(file.as_fd(), number * LENGTH, length, Purpose::Write);
            Ok::<_, Infallible>(mapping.unwrap())
        };
        windows.lease(key(number), LENGTH, map).unwrap()
    }

    fn is_cached(windows: &Arc<Windows>, number: u64) -> bool {
        windows.lease(key(number), LENGTH, || Err(())).is_ok()
    }

    #[test]
    fn window_unused_longest_gives_way() {
        let (windows, file) = cache(3);
        for number in [0, 1, 2, 0, 3] {
            drop(lease(&windows, &file, number));
            assert!(windows.mapped().windows <= 3);
        }
        assert_eq!(
            [0, 2, 3].map(|number| is_cached(&windows, number)),
            [true; 3]
        );
        assert!(!is_cached(&windows, 1));
    }

    #[test]
    fn window_in_use_stays_and_the_next_one_waits_for_it() {
        let (windows, file) = cache(1);
        let held = lease(&windows, &file, 0);
        windows.trim();
        assert_eq!(windows.mapped().windows, 1);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| drop(lease(&windows, &file, 1)));
            while windows.pool.lock().waiting == 0 {
                std::thread::yield_now();
            }
            assert!(!waiter.is_finished());
            drop(held);
            waiter.join().unwrap();
        });
        assert_eq!(windows.mapped().windows, 1);
    }

    #[test]
    fn place_of_a_failed_mapping_is_given_back() {
        let (windows, _) = cache(1);
        for _ in 0..3 {
            assert!(windows.lease(key(0), LENGTH, || Err(())).is_err());
            assert_eq!(windows.mapped(), Mapped::default());
        }
    }

    #[test]
    fn slower_of_two_that_map_the_same_uses_the_faster_ones() {
        let (windows, file) = cache(4);
        let map = || {
            // Meanwhile another thread has mapped it.
            let first = lease(&windows, &file, 0);
            drop(first);
            Mapping::new(file.as_fd(), 0, 1, Purpose::Read)
        };
        let slower = windows.lease(key(0), LENGTH, map).unwrap();
        assert_eq!(slower.mapping().length() as u64, LENGTH);
        assert_eq!(windows.mapped().windows, 1);
    }

    #[test]
    fn half_of_the_budget_is_lent_at_most_and_comes_back() {
        let (windows, file) = cache(4);
        let mut leases = [0, 1, 2, 0].map(|number| lease(&windows, &file, number));
        let lent = leases.each_mut().map(Lease::lend);
        assert_eq!(
            lent,
            [true, true, false, true],
            "a lent window may be lent twice"
        );
        drop(leases);
        assert_eq!(windows.pool.lock().lent, Mapped::default());
        assert!(lease(&windows, &file, 2).lend());
    }

    #[test]
    fn reservation_takes_the_place_of_windows() {
        let (windows, file) = cache(4);
        for number in 0..4 {
            drop(lease(&windows, &file, number));
        }
        let place = windows.reserve(2 * LENGTH);
        assert_eq!(windows.mapped().bytes, 4 * LENGTH);
        drop(place);
        assert_eq!(windows.mapped().bytes, 2 * LENGTH);
        assert_eq!(
            [0, 1, 2, 3].map(|n| is_cached(&windows, n)),
            [false, false, true, true]
        );
    }

    #[test]
    fn torrents_share_a_budget_and_give_way_to_each_other() {
        let (first, file) = cache(4);
        let budget = WindowBudget(Arc::clone(&first.pool));
        let second = Arc::new(Windows::new(&budget));
        let mapped = |second: &Arc<Windows>| [&first, second].map(|one| one.mapped().windows);
        for number in 0..3 {
            drop(lease(&first, &file, number));
        }
        for number in 0..2 {
            drop(lease(&second, &file, number));
        }
        assert_eq!(
            mapped(&second),
            [2, 2],
            "the first window of the first has gone"
        );
        first.trim();
        assert_eq!(mapped(&second), [0, 2]);
        let place = first.reserve(2 * LENGTH);
        assert_eq!(mapped(&second), [1, 2]);
        drop(second);
        assert_eq!((budget.windows(), budget.bytes()), (1, 2 * LENGTH));
        drop(place);
        assert_eq!((budget.windows(), budget.bytes()), (0, 0));
    }

    #[test]
    fn budget_of_the_machine_is_neither_none_nor_all() {
        let budget = WindowBudget::of_this_machine();
        assert!(budget.bytes_max() >= 2 * WINDOW_LENGTH_MIN);
        assert!(budget.bytes_max() <= WINDOWS_TOGETHER_MAX as u64 * WINDOW_LENGTH_MAX);
        if let Some(available) = memory::available() {
            // It changes meanwhile, but not by half.
            assert!(budget.bytes_max() / 2 <= (available / 4).max(2 * WINDOW_LENGTH_MIN));
        }
    }

    #[test]
    fn bits_cover_the_range() {
        let (windows, file) = cache(1);
        let lease = lease(&windows, &file, 0);
        let unit = usize::try_from(LENGTH / 64).unwrap();
        let check = |range: Range<usize>, expect: u64| {
            assert_eq!(lease.window().mask(&range), expect, "{range:?}");
        };
        check(0..1, 1);
        check(0..unit, 1);
        check(0..unit + 1, 0b11);
        check(unit..2 * unit, 0b10);
        check(63 * unit..64 * unit, 1 << 63);
        check(0..64 * unit, u64::MAX);
    }
}
