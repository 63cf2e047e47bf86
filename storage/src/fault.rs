//! A guard against SIGBUS: mapped bytes whose file ends before them, or whose disk fails.
//!
//! Promise: a page that cannot be had is an answer, never the end of the process, and never a
//! wrong byte. Every mapping is registered in a table, as long as it lives; the handler of the
//! signal looks there, and passes on to the handler that was there before what is not ours. How
//! an access ends depends on who makes it:
//!
//! - [`read`] and [`copy`] have a landing (`pads`): the handler lets them return that they failed.
//!   Nothing is put in the place of the page. All accesses to cached windows are such.
//! - Any other code, the kernels of hashing above all, cannot be told. It gets a page of zeros,
//!   and the range is marked as lost before that page appears: [`Guarded::is_lost`] tells whoever
//!   reads, *after* reading, that what was read is worth nothing.
//! - The kernel (`writev` from a window) gets no signal: the call ends with EFAULT.
//!
//! So no zeros are sent in place of a lost page: slices are lent to sockets from cached windows
//! only, and there is no page of zeros in those unless someone looked into a lent slice in user
//! space; a window that has one is lost, and nothing more is lent from it. Where there are no
//! landings (other systems than Linux, rare processors), the answer of every access is the mark,
//! and nothing is lent at all: [`LENDS`].
//!
//! Everything that the handler does is loads and stores of atomics and at most one `mmap`, so it
//! may interrupt anything. Source: signal-safety(7); Linux answers by SIGBUS for pages behind the
//! end of a file, read errors, full disks, and memory that went bad: sigaction(2), `BUS_*`.

#![expect(
    unsafe_code,
    reason = "a signal handler; each block says why it is safe"
)]

mod pads;
mod signal;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

pub(crate) use pads::LENDS;

/// Ranges are kept in these units: no page is smaller.
const UNIT: usize = 4096;
/// Low bits of a packed range: its length in units. Ours: 4 GiB; the rest holds every address.
const LENGTH_BITS: u32 = 20;
/// A packed range that covers nothing and is not free.
const CLAIMED: u64 = 1 << LENGTH_BITS;
/// Slots that are searched and grown together.
const SLOTS: usize = 64;

/// Ranges that were registered. Grows to the most that ever were at once, and is never freed,
/// for the handler may be looking.
static TABLE: Chunk = Chunk::new();
static FAULTS: AtomicU64 = AtomicU64::new(0);

/// How many accesses to mapped bytes of this process have failed since it started. Each was
/// answered by an error; the number is for those who look after the machine, and for tests.
#[must_use]
pub fn faults() -> u64 {
    FAULTS.load(Ordering::Relaxed)
}

struct Chunk {
    slots: [Slot; SLOTS],
    next: OnceLock<Box<Self>>,
}

#[derive(Debug)]
struct Slot {
    /// Zero when free.
    range: AtomicU64,
    writable: AtomicBool,
    lost: AtomicBool,
}

/// A mapped range that may fault; to be dropped before it is unmapped.
#[derive(Debug)]
pub(crate) struct Guarded(&'static Slot);

impl Guarded {
    /// The range is mapped and belongs to the caller alone.
    pub(crate) fn new(range: Range<usize>, writable: bool) -> Self {
        signal::install();
        let packed = pack(range);
        let slot = TABLE.claim();
        slot.lost.store(false, Ordering::Relaxed);
        slot.writable.store(writable, Ordering::Relaxed);
        slot.range.store(packed, Ordering::Release);
        Self(slot)
    }

    /// Whether a page of zeros stands for one that could not be had, anywhere in the range.
    pub(crate) fn is_lost(&self) -> bool {
        // What was read before this call was read before the mark is looked at, by the compiler
        // and by the processor.
        fence(Ordering::SeqCst);
        self.0.lost.load(Ordering::SeqCst)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.0.range.store(0, Ordering::Release);
    }
}

/// The byte there; `None` when its page cannot be had.
// SAFETY: `at` lies in the guarded range.
pub(crate) unsafe fn read(guarded: &Guarded, at: *const u8) -> Option<u8> {
    // SAFETY: the caller's promise.
    unsafe { pads::read(guarded, at) }
}

/// Copies `length` bytes; false, and some of them copied, when a page cannot be had.
// SAFETY: either `from` or `to` lies in the guarded range; both are as long as that, `to` may be
// written, and they do not overlap.
pub(crate) unsafe fn copy(guarded: &Guarded, from: *const u8, to: *mut u8, length: usize) -> bool {
    // SAFETY: the caller's promise.
    unsafe { pads::copy(guarded, from, to, length) }
}

fn pack(range: Range<usize>) -> u64 {
    let first = (range.start / UNIT) as u64;
    let units = range.end.div_ceil(UNIT) as u64 - first;
    assert!(units < 1 << LENGTH_BITS, "{units} pages in one mapping");
    (first << LENGTH_BITS) | units
}

impl Slot {
    const fn new() -> Self {
        Self {
            range: AtomicU64::new(0),
            writable: AtomicBool::new(false),
            lost: AtomicBool::new(false),
        }
    }

    fn covers(&self, address: usize) -> bool {
        let packed = self.range.load(Ordering::Acquire);
        let (first, units) = (packed >> LENGTH_BITS, packed & (CLAIMED - 1));
        // Before the first: a huge number.
        ((address / UNIT) as u64).wrapping_sub(first) < units
    }

    fn try_claim(&self) -> bool {
        let range = &self.range;
        range.load(Ordering::Relaxed) == 0
            && range
                .compare_exchange(0, CLAIMED, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
    }
}

impl Chunk {
    const fn new() -> Self {
        Self {
            slots: [const { Slot::new() }; SLOTS],
            next: OnceLock::new(),
        }
    }

    fn claim(&'static self) -> &'static Slot {
        let mut chunk = self;
        loop {
            if let Some(slot) = chunk.slots.iter().find(|slot| slot.try_claim()) {
                return slot;
            }
            chunk = chunk.next.get_or_init(|| Box::new(Self::new()));
        }
    }

    /// The range that an address lies in. Called by the handler: loads of atomics only.
    fn find(&'static self, address: usize) -> Option<&'static Slot> {
        let mut chunk = Some(self);
        while let Some(now) = chunk {
            if let Some(slot) = now.slots.iter().find(|slot| slot.covers(address)) {
                return Some(slot);
            }
            chunk = now.next.get().map(|next| &**next);
        }
        None
    }
}
