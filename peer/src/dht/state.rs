//! What a node knows, in a file: written aside, made durable and renamed, so that there is always a
//! whole one. What cannot be read is no memory, and no harm.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use async_std::task::spawn_blocking;
use shoal_dht::Saved;

use crate::limits::DHT_STATE_BYTES_MAX;

/// The file in the folder for what is remembered.
pub(super) fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("dht.state")
}

/// What was saved, as far as it can be read.
pub(super) fn load(path: &Path) -> Saved {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?
            .take(DHT_STATE_BYTES_MAX)
            .read_to_end(&mut bytes)?;
        Ok::<_, io::Error>(bytes)
    };
    match read() {
        Ok(bytes) => Saved::decode(&bytes).unwrap_or_else(|| {
            tracing::info!("{} is not what a node of ours saved", path.display());
            Saved::default()
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Saved::default(),
        Err(error) => {
            tracing::info!("cannot read {}: {error}", path.display());
            Saved::default()
        }
    }
}

/// Writes it, off the executor.
pub(super) async fn save(path: PathBuf, saved: Saved) {
    spawn_blocking(move || {
        if let Err(error) = write(&path, &saved) {
            tracing::info!("cannot write {}: {error}", path.display());
        }
    })
    .await;
}

fn write(path: &Path, saved: &Saved) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let aside = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = File::create(&aside)?;
    file.write_all(&saved.encode())?;
    file.sync_all()?;
    fs::rename(&aside, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shoal_dht::{Contact, NodeId};

    #[test]
    fn what_was_saved_is_loaded_and_nonsense_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = path(&dir.path().join("deep/er"));
        assert_eq!(load(&path), Saved::default());
        let saved = Saved {
            id_v4: Some(NodeId([1; 20])),
            nodes: vec![Contact {
                id: NodeId([2; 20]),
                address: "127.0.0.1:1".parse().unwrap(),
            }],
            ..Saved::default()
        };
        async_std::task::block_on(save(path.clone(), saved.clone()));
        assert_eq!(load(&path), saved);
        let names = fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(names, 1, "nothing is left aside");
        fs::write(&path, b"nonsense").unwrap();
        assert_eq!(load(&path), Saved::default());
    }
}
