//! The folder of one demo, and the random file in it.
//!
//! Its own, unguessable, closed to others; gone when dropped unless it is to be kept.

use std::fs::{DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::DemoError;

/// Written at once, bytes.
const CHUNK: usize = 1 << 18;

/// A folder that will not go is left after so many tries. Ours: a second.
const REMOVE_TRIES: usize = 100;
/// Between two of them.
const REMOVE_PAUSE: Duration = Duration::from_millis(10);

/// The folder.
pub(super) struct Folder {
    path: PathBuf,
    keep: bool,
}

impl Folder {
    /// Makes one where temporary files go.
    ///
    /// # Errors
    /// [`DemoError::Io`].
    pub(super) fn new(keep: bool) -> Result<Self, DemoError> {
        let name = format!("shoal-demo-{:016x}", random_seed()?);
        let path = std::env::temp_dir().join(name);
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.map_err(DemoError::io("make the folder", &path))?;
        Ok(Self { path, keep })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// Writes `size` random bytes to `path`, and the folder around it.
    ///
    /// # Errors
    /// [`DemoError::Io`].
    pub(super) fn random_file(&self, path: &Path, size: u64) -> Result<(), DemoError> {
        let mut random = fastrand::Rng::with_seed(random_seed()?);
        let mut write = || -> io::Result<()> {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let mut file = File::create(path)?;
            let mut chunk = vec![0; CHUNK];
            let mut left = size;
            while left > 0 {
                random.fill(&mut chunk);
                let length = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
                file.write_all(&chunk[..length])?;
                left -= length as u64;
            }
            Ok(())
        };
        write().map_err(DemoError::io("write", path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep {
            remove(&self.path);
        }
    }
}

/// Removes a folder, even while another thread does so too or a killed child's last file appears.
pub(super) fn remove(path: &Path) {
    for _ in 0..REMOVE_TRIES {
        match std::fs::remove_dir_all(path) {
            Ok(()) => return,
            Err(_) if !path.exists() => return,
            Err(_) => std::thread::sleep(REMOVE_PAUSE),
        }
    }
    // It is in the folder that the system cleans; nothing more can be done here.
}

fn random_seed() -> Result<u64, DemoError> {
    getrandom::u64().map_err(|error| DemoError::Io {
        what: "read random bytes from",
        path: PathBuf::from("the system"),
        source: io::Error::other(error),
    })
}
