//! Groups of processes with little memory, by either version of the kernel's interface.
//!
//! Source: the kernel's documentation, `admin-guide/cgroup-v1/memory.rst` and
//! `admin-guide/cgroup-v2.rst`. Needs root.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::faults_room::Room;

/// Groups made by this process, for names that are free.
static MADE: AtomicUsize = AtomicUsize::new(0);

/// A group; goes with this value, after its processes.
pub(crate) struct Cgroup {
    dir: PathBuf,
    first_version: bool,
}

impl Cgroup {
    /// With so many bytes of memory, page cache included.
    pub(crate) fn with_memory(bytes: u64) -> Self {
        let root = Path::new("/sys/fs/cgroup");
        let first_version = root.join("memory/memory.limit_in_bytes").exists();
        let (parent, limit) = match first_version {
            true => (root.join("memory"), "memory.limit_in_bytes"),
            false => (root.to_owned(), "memory.max"),
        };
        if !first_version {
            // Where it is on already, or cannot be had, the limit below tells.
            let _ = fs::write(root.join("cgroup.subtree_control"), "+memory");
        }
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let dir = parent.join(format!("shoal-test-{}-{number}", std::process::id()));
        let group = Self { dir, first_version };
        fs::create_dir(&group.dir).expect("control groups need root");
        fs::write(group.dir.join(limit), bytes.to_string()).expect("a limit of memory");
        group
    }

    /// What a client is to be run through, in this room, to be in the group.
    pub(crate) fn entry(&self, room: &Room) -> String {
        let procs = self.dir.join("cgroup.procs");
        let script = format!("echo $$ > {} && exec \"$@\"", procs.display());
        fs::write(room.path("enter"), script).expect("a file of the room");
        format!("sh {}", room.path("enter").display())
    }

    /// How often the limit was reached.
    pub(crate) fn limit_hits(&self) -> u64 {
        let read = |name| fs::read_to_string(self.dir.join(name)).expect("a file of the group");
        let text = match self.first_version {
            true => read("memory.failcnt"),
            false => read("memory.events"),
        };
        let number = match self.first_version {
            true => Some(text.as_str()),
            false => text.lines().find_map(|line| line.strip_prefix("max ")),
        };
        number
            .and_then(|text| text.trim().parse().ok())
            .expect("a number")
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Its processes were waited for, but the kernel may take a moment to let them go.
        for _ in 0..100 {
            if fs::remove_dir(&self.dir).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}
