//! The chosen folder, and nothing outside of it.
//!
//! Promise: nothing is opened or made except beneath one directory descriptor, and no symbolic
//! link is followed on the way, even when someone swaps a folder for a link meanwhile. The chosen
//! folder itself may be a link: the user chose it. Knows nothing of torrents but [`SafePath`].
//!
//! Linux has one call for it (`openat2`); everywhere else, and where it is missing or forbidden,
//! the path is walked component by component with `O_NOFOLLOW`.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, Mode, OFlags};
use rustix::io::Errno;
use shoal_metainfo::SafePath;

use crate::error::{At, Operation, StorageError};

/// A file is `rw-rw-rw-` and a folder `rwxrwxrwx`, less the user's umask.
const FILE_MODE: Mode = Mode::from_raw_mode(0o666);
const FOLDER_MODE: Mode = Mode::from_raw_mode(0o777);

/// For finding a folder on the way to a file.
const FOLDER_FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// For every file. Without `NONBLOCK` a pipe in a file's place would hang the opener.
const FILE_FLAGS: OFlags = OFlags::NOFOLLOW
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOCTTY)
    .union(OFlags::NONBLOCK);

/// The chosen folder.
#[derive(Debug)]
pub(crate) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// Opens the folder; makes it and those above it first, when asked to.
    pub(crate) fn open(path: &Path, create: bool) -> Result<Self, StorageError> {
        let failed = |operation, error: &io::Error| {
            let errno = Errno::from_io_error(error).unwrap_or(Errno::INVAL);
            // A file in its place says "exists" here.
            let errno = if errno == Errno::EXIST {
                Errno::NOTDIR
            } else {
                errno
            };
            At::new(path, operation).failed(errno)
        };
        if create {
            std::fs::create_dir_all(path).map_err(|error| failed(Operation::Create, &error))?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|errno| failed(Operation::Open, &errno.into()))?;
        Ok(Self {
            fd,
            path: path.to_owned(),
        })
    }

    /// Where the file is for people, and for nothing else.
    pub(crate) fn shown(&self, path: &SafePath) -> PathBuf {
        self.path.join(path)
    }

    /// The folder's own path, for people.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a file; with [`OFlags::CREATE`] makes it in a folder that exists.
    pub(crate) fn open_file(&self, path: &SafePath, flags: OFlags) -> Result<OwnedFd, Errno> {
        self.open_beneath(path.as_str(), flags | FILE_FLAGS)
    }

    /// Makes the folders above a file, those that are missing, and gives the last.
    pub(crate) fn make_parent(&self, path: &SafePath) -> Result<OwnedFd, Errno> {
        let mut folder = rustix::io::fcntl_dupfd_cloexec(&self.fd, 0)?;
        let mut components = path.components();
        let _name = components.next_back();
        for component in components {
            match rustix::fs::mkdirat(&folder, component, FOLDER_MODE) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
            folder = rustix::fs::openat(&folder, component, FOLDER_FLAGS, Mode::empty())?;
        }
        Ok(folder)
    }

    /// Whether new files can be made in a folder.
    pub(crate) fn check_writable(folder: &OwnedFd) -> Result<(), Errno> {
        rustix::fs::accessat(
            folder,
            ".",
            Access::WRITE_OK | Access::EXEC_OK,
            AtFlags::empty(),
        )
    }

    /// The number of the mount's device.
    pub(crate) fn device(&self) -> Result<u64, Errno> {
        rustix::fs::fstat(&self.fd).map(|stat| stat.st_dev)
    }

    /// A new file in the folder that has no name, or has lost it again.
    pub(crate) fn scratch_file(&self) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        #[cfg(target_os = "linux")]
        if let Ok(file) = rustix::fs::openat(&self.fd, ".", flags | OFlags::TMPFILE, FILE_MODE) {
            return Ok(file);
        }
        let name = format!(".shoal-scratch-{}", std::process::id());
        let flags = flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let file = rustix::fs::openat(&self.fd, &*name, flags, FILE_MODE)?;
        rustix::fs::unlinkat(&self.fd, &*name, AtFlags::empty())?;
        Ok(file)
    }

    /// Removes a file that lies in the chosen folder itself.
    pub(crate) fn remove(&self, path: &SafePath) -> Result<(), Errno> {
        debug_assert_eq!(path.components().count(), 1);
        rustix::fs::unlinkat(&self.fd, path.as_str(), AtFlags::empty())
    }

    /// Makes the entries of a folder durable; the path is relative, empty for the chosen folder.
    pub(crate) fn sync(&self, path: &str) -> Result<(), Errno> {
        if path.is_empty() {
            return rustix::fs::fsync(&self.fd);
        }
        rustix::fs::fsync(self.open_beneath(path, FOLDER_FLAGS)?)
    }

    /// Makes everything on the folder's file system durable in one go, where the system can, so
    /// that little is left for each of many files. Whether it went well, those tell.
    pub(crate) fn begin_sync(&self) {
        #[cfg(target_os = "linux")]
        if let Err(error) = rustix::fs::syncfs(&self.fd) {
            tracing::debug!(%error, "the file system cannot be synced as a whole");
        }
    }

    fn open_beneath(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let mode = if flags.contains(OFlags::CREATE) {
            FILE_MODE
        } else {
            Mode::empty()
        };
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::ResolveFlags;
            let resolve =
                ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            match rustix::fs::openat2(&self.fd, path, flags, mode, resolve) {
                // Before Linux 5.6, or forbidden by a sandbox (which says EPERM), or raced.
                Err(Errno::NOSYS | Errno::PERM | Errno::AGAIN) => {}
                answer => return answer,
            }
        }
        self.walk(path, flags, mode)
    }

    fn walk(&self, path: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut folder: Option<OwnedFd> = None;
        for component in above.split('/').filter(|component| !component.is_empty()) {
            let here = folder.as_ref().unwrap_or(&self.fd);
            let next = rustix::fs::openat(here, component, FOLDER_FLAGS, Mode::empty())?;
            folder = Some(next);
        }
        let here = folder.as_ref().unwrap_or(&self.fd);
        rustix::fs::openat(here, name, flags, mode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    const CREATE: OFlags = OFlags::RDWR.union(OFlags::CREATE);

    fn path(text: &str) -> SafePath {
        SafePath::new(text.split('/').map(str::as_bytes)).unwrap()
    }

    fn is_refused(answer: Result<OwnedFd, Errno>) -> bool {
        matches!(answer, Err(Errno::LOOP | Errno::NOTDIR))
    }

    #[test]
    fn planted_links_are_never_followed() {
        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let secret = outside.path().join("secret");
        fs::write(&secret, b"secret").unwrap();
        symlink(&secret, inside.path().join("file")).unwrap();
        symlink(outside.path(), inside.path().join("dir")).unwrap();
        symlink("nowhere", inside.path().join("dangling")).unwrap();
        symlink(".", inside.path().join("self")).unwrap();
        let folder = Folder::open(inside.path(), false).unwrap();
        for name in ["file", "dir/secret", "dir/new", "dangling", "self/new"] {
            for flags in [OFlags::RDONLY, OFlags::RDWR, CREATE] {
                assert!(is_refused(folder.open_file(&path(name), flags)), "{name}");
                let walked = folder.walk(name, flags | FILE_FLAGS, FILE_MODE);
                assert!(is_refused(walked), "{name}");
            }
        }
        assert!(is_refused(folder.make_parent(&path("dir/a/b"))));
        assert!(is_refused(folder.make_parent(&path("self/a/b"))));
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
        assert_eq!(fs::read(&secret).unwrap(), b"secret");
        assert_eq!(fs::read_dir(inside.path()).unwrap().count(), 4);
    }

    #[test]
    fn walk_finds_what_the_single_call_finds() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(&dir.path().join("made/here"), true).unwrap();
        folder.make_parent(&path("a/b/c")).unwrap();
        folder.open_file(&path("a/b/c"), CREATE).unwrap();
        for name in ["a/b/c", "a/b/d", "x/y"] {
            let flags = OFlags::RDONLY | FILE_FLAGS;
            let one = folder.open_file(&path(name), flags).map(drop);
            let walked = folder.walk(name, flags, Mode::empty()).map(drop);
            assert_eq!(one, walked);
        }
        assert!(dir.path().join("made/here/a/b/c").is_file());
        folder.sync("").unwrap();
        folder.sync("a/b").unwrap();
    }

    /// Someone swaps a folder for a link to another folder, over and over, while files are made.
    #[cfg(target_os = "linux")]
    #[test]
    fn folder_swapped_for_a_link_leads_nowhere() {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (target, link) = (inside.path().join("dir"), inside.path().join("link"));
        fs::create_dir(&target).unwrap();
        symlink(outside.path(), &link).unwrap();
        let folder = Folder::open(inside.path(), false).unwrap();
        let (stop, swaps) = (AtomicBool::new(false), AtomicU32::new(0));
        let (mut refused, mut made) = (0, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    renameat_with(CWD, &target, CWD, &link, RenameFlags::EXCHANGE).unwrap();
                    swaps.fetch_add(1, Ordering::Relaxed);
                }
            });
            let mut tries = 0;
            while tries < 3_000 || swaps.load(Ordering::Relaxed) < 1_000 {
                tries += 1;
                let name = path(&format!("dir/sub/{tries}"));
                let walked = format!("dir/sub/{tries}w");
                let answers = [
                    folder.make_parent(&name).map(drop),
                    folder.open_file(&name, CREATE).map(drop),
                    folder
                        .walk(&walked, CREATE | FILE_FLAGS, FILE_MODE)
                        .map(drop),
                ];
                refused += answers.iter().filter(|answer| answer.is_err()).count();
                made += answers.iter().filter(|answer| answer.is_ok()).count();
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert!(refused > 0 && made > 0, "{refused} refused, {made} made");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}
