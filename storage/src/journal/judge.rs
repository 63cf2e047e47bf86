//! Whether a file is still the one that the journal speaks of, told by size and time alone.
//!
//! Promise: a file that someone else wrote later than the end of the lease, made longer or
//! shorter, or replaced is not trusted. Cannot know: who wrote while we held it open, or a change
//! that left size and time as they were.

use super::state::{FileState, Moment, Stamp};
use crate::limits::JOURNAL_TIME_SLACK;

/// What to think of one file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Trust {
    /// As it was when no one wrote it.
    Settled,
    /// As we may have left it in the middle of our work.
    Open,
    /// Someone else's work, or lost.
    Changed,
}

/// Judges a file that has `length` bytes in the torrent, by how it is `found`.
pub(crate) fn judge(
    expected: FileState,
    found: Option<Stamp>,
    length: u64,
    lease: Moment,
    same_boot: bool,
) -> Trust {
    let is_other =
        |old: Stamp, found: Stamp| same_boot && old.inode != 0 && old.inode != found.inode;
    match (expected, found) {
        (FileState::Settled(None), None) => Trust::Settled,
        // To be made, and not made.
        (FileState::Open(old), None) if old.size == 0 && old.inode == 0 => Trust::Settled,
        (FileState::Settled(Some(old)), Some(found))
            if old.size == found.size
                && old.modified == found.modified
                && !is_other(old, found) =>
        {
            Trust::Settled
        }
        (FileState::Open(old), Some(found))
            if (old.size..=old.size.max(length)).contains(&found.size)
                && old.modified.minus(JOURNAL_TIME_SLACK) <= found.modified
                && found.modified <= lease.plus(JOURNAL_TIME_SLACK)
                && !is_other(old, found) =>
        {
            Trust::Open
        }
        _ => Trust::Changed,
    }
}

/// The state of a file from the moment on that we may write it.
pub(crate) fn opened(before: Option<Stamp>, now: Moment) -> Stamp {
    before.map_or(
        Stamp {
            size: 0,
            modified: now,
            inode: 0,
        },
        // A file from the future becomes older when it is written.
        |stamp| Stamp {
            modified: stamp.modified.min(now),
            ..stamp
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn stamp(size: u64, seconds: i64, inode: u64) -> Stamp {
        Stamp {
            size,
            modified: Moment::from_nanos(seconds * SECOND),
            inode,
        }
    }

    /// A file of 100 bytes in the torrent, under a lease to second 1,000.
    fn check(expected: FileState, found: Option<Stamp>, same_boot: bool, expect: Trust) {
        let lease = Moment::from_nanos(1_000 * SECOND);
        let trust = judge(expected, found, 100, lease, same_boot);
        assert_eq!(trust, expect, "{expected:?} found {found:?}");
    }

    #[test]
    fn settled_file_is_trusted_only_as_it_was() {
        let settled = FileState::Settled(Some(stamp(100, 50, 7)));
        check(settled, Some(stamp(100, 50, 7)), true, Trust::Settled);
        check(settled, Some(stamp(99, 50, 7)), true, Trust::Changed);
        check(settled, Some(stamp(101, 50, 7)), true, Trust::Changed);
        check(settled, Some(stamp(100, 51, 7)), true, Trust::Changed);
        check(settled, Some(stamp(100, 49, 7)), true, Trust::Changed);
        check(settled, Some(stamp(100, 50, 8)), true, Trust::Changed);
        check(settled, Some(stamp(100, 50, 8)), false, Trust::Settled);
        check(settled, None, true, Trust::Changed);
        check(
            FileState::Settled(None),
            Some(stamp(100, 50, 7)),
            true,
            Trust::Changed,
        );
        check(FileState::Settled(None), None, true, Trust::Settled);
    }

    #[test]
    fn open_file_is_trusted_between_its_opening_and_the_lease() {
        let open = FileState::Open(stamp(40, 50, 7));
        check(open, Some(stamp(40, 50, 7)), true, Trust::Open);
        check(open, Some(stamp(100, 1_000, 7)), true, Trust::Open);
        check(open, Some(stamp(39, 60, 7)), true, Trust::Changed);
        check(open, Some(stamp(101, 60, 7)), true, Trust::Changed);
        check(open, Some(stamp(100, 1_010, 7)), true, Trust::Changed);
        check(open, Some(stamp(100, 40, 7)), true, Trust::Changed);
        check(open, Some(stamp(100, 60, 8)), true, Trust::Changed);
        check(open, Some(stamp(100, 60, 8)), false, Trust::Open);
        // Made by us, so its number was not known.
        let made = FileState::Open(opened(None, Moment::from_nanos(50 * SECOND)));
        check(made, Some(stamp(100, 60, 8)), true, Trust::Open);
        check(made, None, true, Trust::Settled);
        check(open, None, true, Trust::Changed);
    }

    #[test]
    fn file_from_the_future_may_become_older() {
        let now = Moment::from_nanos(50 * SECOND);
        let open = FileState::Open(opened(Some(stamp(100, 5_000, 7)), now));
        check(open, Some(stamp(100, 51, 7)), true, Trust::Open);
        check(open, Some(stamp(100, 5_000, 7)), true, Trust::Changed);
    }
}
