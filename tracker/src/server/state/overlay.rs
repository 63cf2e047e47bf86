//! A file that is read, and whose writes go elsewhere: to look at a database without touching it.
//!
//! Knows nothing of what a database is, but for how the file of one begins.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is written at once. Ours: a page of most systems.
const BLOCK: usize = 4_096;

/// How a database begins. Source: redb's design document, "magic number".
const MAGIC: &[u8; 9] = b"redb\x1a\x0a\xa9\x0d\x0a";

#[derive(Debug)]
pub(super) struct Overlay {
    file: File,
    top: Mutex<Top>,
}

#[derive(Debug)]
struct Top {
    length: u64,
    /// Bytes from here on are zeros, if nobody wrote others.
    file_length: u64,
    blocks: BTreeMap<u64, Box<[u8; BLOCK]>>,
}

impl Overlay {
    /// Opens a file to read it.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let top = Top {
            length,
            file_length: length,
            blocks: BTreeMap::new(),
        };
        let top = Mutex::new(top);
        Ok(Self { file, top })
    }

    /// Whether it begins as a database does.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn is_database(&self) -> io::Result<bool> {
        let mut begin = [0; MAGIC.len()];
        match self.file.read_exact_at(&mut begin, 0) {
            Ok(()) => Ok(begin == *MAGIC),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn top(&self) -> MutexGuard<'_, Top> {
        self.top.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block as it is in the file.
    fn beneath(&self, top: &Top, block: u64) -> io::Result<[u8; BLOCK]> {
        let mut bytes = [0; BLOCK];
        let start = block * BLOCK as u64;
        let there = top.file_length.saturating_sub(start);
        let there = usize::try_from(there).unwrap_or(usize::MAX).min(BLOCK);
        self.file.read_exact_at(&mut bytes[..there], start)?;
        Ok(bytes)
    }
}

/// Calls with each block that a range touches: its number, what of it, and what of the range.
fn each(
    offset: u64,
    length: usize,
    mut call: impl FnMut(u64, std::ops::Range<usize>, std::ops::Range<usize>) -> io::Result<()>,
) -> io::Result<()> {
    let mut done = 0;
    while done < length {
        let at = offset + done as u64;
        let inside = usize::try_from(at % BLOCK as u64).expect("below a block's length");
        let count = (BLOCK - inside).min(length - done);
        call(
            at / BLOCK as u64,
            inside..inside + count,
            done..done + count,
        )?;
        done += count;
    }
    Ok(())
}

impl redb::StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.top().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let top = self.top();
        let end = offset.checked_add(out.len() as u64);
        if end.is_none_or(|end| end > top.length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        each(offset, out.len(), |block, inside, place| {
            match top.blocks.get(&block) {
                Some(bytes) => out[place].copy_from_slice(&bytes[inside]),
                None => out[place].copy_from_slice(&self.beneath(&top, block)?[inside]),
            }
            Ok(())
        })
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let top = &mut *self.top();
        top.file_length = top.file_length.min(length);
        let whole = length.div_ceil(BLOCK as u64);
        top.blocks.retain(|block, _| *block < whole);
        // Should it grow again, zeros are there.
        if let Some(last) = top.blocks.get_mut(&(length / BLOCK as u64)) {
            let inside = usize::try_from(length % BLOCK as u64).expect("below a block's length");
            last[inside..].fill(0);
        }
        top.length = length;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let top = &mut *self.top();
        each(offset, data.len(), |block, inside, place| {
            if !top.blocks.contains_key(&block) {
                let bytes = self.beneath(top, block)?;
                top.blocks.insert(block, Box::new(bytes));
            }
            let bytes = top.blocks.get_mut(&block).expect("inserted above");
            bytes[inside].copy_from_slice(&data[place]);
            Ok(())
        })?;
        top.length = top.length.max(offset + data.len() as u64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use redb::StorageBackend as _;

    proptest! {
        #[test]
        fn overlay_reads_as_if_written_and_the_file_stays(
            content in prop::collection::vec(any::<u8>(), 0..10_000),
            steps in prop::collection::vec((0u64..20_000, 0usize..9_000, any::<u8>()), 1..20),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("f");
            std::fs::write(&path, &content).unwrap();
            let overlay = Overlay::open(&path).unwrap();
            let mut model = content.clone();
            for (offset, length, byte) in steps {
                let at = usize::try_from(offset).unwrap();
                if byte < 50 {
                    overlay.set_len(offset).unwrap();
                    model.resize(at, 0);
                } else {
                    overlay.write(offset, &vec![byte; length]).unwrap();
                    let end = at + length;
                    if length > 0 || model.len() < at {
                        model.resize(model.len().max(end), 0);
                    }
                    model[at..end].fill(byte);
                }
                prop_assert_eq!(overlay.len().unwrap(), model.len() as u64);
                let mut all = vec![0; model.len()];
                overlay.read(0, &mut all).unwrap();
                prop_assert!(all == model);
                prop_assert!(all.is_empty() || overlay.read(1, &mut all).is_err());
            }
            prop_assert!(std::fs::read(&path).unwrap() == content);
        }
    }
}
