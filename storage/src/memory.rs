//! Memory: what this process holds, by kind, and how much it may use. Linux only; elsewhere
//! nothing is known.
//!
//! The resident size alone makes mapped files look like a leak: pages of files are the page cache
//! made visible, and those that are clean go whenever the system wants them. So they are told
//! apart. Knows nothing of torrents.
//!
//! ```
//! if let Some(memory) = shoal_storage::memory::now() {
//!     assert!(memory.anonymous > 0);
//! }
//! ```

use std::fs;
use std::path::Path;

/// What a process holds of the machine's memory, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Memory {
    /// Its own: heap, stacks, and what it changed of its private mappings.
    pub anonymous: u64,
    /// Pages of files that are on the disk as well: the system takes them back at will.
    pub clean_file: u64,
    /// Pages of files that have yet to be written to the disk; those of a memory file system
    /// always count as such.
    pub dirty_file: u64,
}

/// What this process holds now. Looks at every mapped page: some milliseconds for a GiB, so not
/// to be asked more often than people look.
///
/// Source: proc(5), `/proc/pid/smaps_rollup`: Linux 4.14.
#[must_use]
pub fn now() -> Option<Memory> {
    parse_rollup(&fs::read_to_string("/proc/self/smaps_rollup").ok()?)
}

/// Bytes that this process could use more: what the machine has available, or the least limit of
/// the control groups that it is in, whichever is less.
///
/// Source: proc(5), `/proc/meminfo`, `MemAvailable`; the kernel's cgroup-v2.rst, `memory.max`.
#[must_use]
pub fn available() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok();
    let machine = machine.and_then(|text| kilobytes(&text, "MemAvailable:"));
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limit = group_limit(Path::new("/sys/fs/cgroup"), &groups);
    machine.into_iter().chain(limit).min()
}

fn parse_rollup(text: &str) -> Option<Memory> {
    let field = |name: &str| kilobytes(text, name);
    let resident = field("Rss:")?;
    let anonymous = field("Anonymous:")?;
    let dirty = field("Private_Dirty:")? + field("Shared_Dirty:")?;
    let file = resident.saturating_sub(anonymous);
    // Anonymous pages count as dirty; what is left of the dirty ones are pages of files.
    let dirty_file = dirty.saturating_sub(anonymous).min(file);
    Some(Memory {
        anonymous,
        clean_file: file - dirty_file,
        dirty_file,
    })
}

/// Bytes of a line such as `Rss:  12 kB`.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number = line.trim().strip_suffix("kB")?.trim();
    number.parse::<u64>().ok()?.checked_mul(1024)
}

/// The least limit of the groups that lines of `/proc/self/cgroup` name, and of those above them,
/// of version 2 and of version 1.
fn group_limit(mount: &Path, groups: &str) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        let (_, line) = line.split_once(':')?;
        let (controllers, group) = line.split_once(':')?;
        let (mount, file) = if controllers.is_empty() {
            (mount.to_owned(), "memory.max")
        } else if controllers.split(',').any(|name| name == "memory") {
            (mount.join("memory"), "memory.limit_in_bytes")
        } else {
            return None;
        };
        // In a container, the group may not be visible: then those above it are.
        let groups = Path::new(group.trim_start_matches('/')).ancestors();
        groups
            .filter_map(|group| limit(&mount.join(group).join(file)))
            .min()
    });
    limits.min()
}

/// Version 2 says `max` for none, version 1 a number beyond all memory.
fn limit(file: &Path) -> Option<u64> {
    const NONE: u64 = 1 << 60;
    let bytes: u64 = fs::read_to_string(file).ok()?.trim().parse().ok()?;
    (bytes < NONE).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_sorted_by_kind() {
        let text = "55d0-7ffc ---p 00000000 00:00 0   [rollup]\nRss:   1000 kB\nPss:  900 kB\n\
            Shared_Clean:  200 kB\nShared_Dirty:  50 kB\nPrivate_Clean:  300 kB\n\
            Private_Dirty:  450 kB\nAnonymous:   400 kB\n";
        let expect = Memory {
            anonymous: 400 << 10,
            clean_file: 500 << 10,
            dirty_file: 100 << 10,
        };
        assert_eq!(parse_rollup(text), Some(expect));
        assert_eq!(parse_rollup("Rss: 1000 kB\n"), None);
        assert_eq!(parse_rollup("Rss: many kB\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn pages_of_a_written_file_are_no_anonymous_memory() {
        use crate::map::{Mapping, Purpose};
        use std::os::fd::AsFd;
        const LENGTH: usize = 64 << 20;
        let file = tempfile::tempfile().unwrap();
        file.set_len(LENGTH as u64).unwrap();
        let before = now().unwrap();
        let mapping = Mapping::new(file.as_fd(), 0, LENGTH, Purpose::Write).unwrap();
        mapping.populate(0..LENGTH, Purpose::Write).unwrap();
        mapping.touch(0..LENGTH).unwrap();
        let after = now().unwrap();
        let file = |memory: Memory| memory.clean_file + memory.dirty_file;
        // Other tests use memory meanwhile, but not that much.
        assert!(
            file(after) - file(before) > LENGTH as u64 / 2,
            "{before:?} {after:?}"
        );
        assert!(after.anonymous < before.anonymous + LENGTH as u64 / 2);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn something_is_available() {
        assert!(available().unwrap() > 0);
    }

    #[test]
    fn least_limit_of_all_groups_above_counts() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let check = |groups: &str, expect: Option<u64>| {
            assert_eq!(group_limit(dir.path(), groups), expect, "{groups}");
        };
        check("0::/a/b\n", None);
        put("a/b/memory.max", "max\n");
        check("0::/a/b\n", None);
        put("a/memory.max", "3000000\n");
        check("0::/a/b\n", Some(3_000_000));
        check("0::/a/b/unseen\n", Some(3_000_000));
        put("a/b/memory.max", "1000000\n");
        check("0::/a/b\n", Some(1_000_000));
        check("0::/a\n", Some(3_000_000));
        check("0::/\n", None);
        put("memory/c/memory.limit_in_bytes", "9223372036854771712\n");
        check("4:cpu:/a\n3:memory:/c\n", None);
        put("memory/c/memory.limit_in_bytes", "500000\n");
        check("4:cpu:/a\n3:hugetlb,memory:/c/d\n", Some(500_000));
        check("3:memory:/c\n0::/a/b\n", Some(500_000));
        check("nonsense\n1:memory\n", None);
    }
}
