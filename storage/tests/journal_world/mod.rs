//! A journal, and the files that it speaks of, on one simulated disk.
#![allow(dead_code, reason = "each test file uses its own part of it")]

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::io::Errno;
use shoal_metainfo::{Info, PieceIndex};
use shoal_simulation::disk::{Disk, DiskError};
use shoal_storage::journal::{BootId, Disk as JournalDisk, Files, Journal, Moment, Resume, Stamp};
use shoal_storage::{FolderLock, StorageError};

/// The disk that everything lies on.
#[derive(Clone)]
pub(crate) struct World {
    disk: Arc<Mutex<Disk>>,
    pub(crate) info: Arc<Info>,
}

fn number(error: DiskError) -> io::Error {
    match error {
        DiskError::Crashed => io::ErrorKind::Interrupted.into(),
        DiskError::Full => Errno::NOSPC.into(),
        DiskError::Failed => Errno::IO.into(),
        DiskError::Missing => Errno::NOENT.into(),
    }
}

/// Any error, for a flush that fails.
pub(crate) fn any_error() -> StorageError {
    let missing = FolderLock::take(Path::new("/nowhere/at/all")).unwrap_err();
    let shoal_storage::journal::LockError::Storage(error) = missing else {
        panic!("{missing}")
    };
    error
}

/// A torrent with files of these lengths, and hashes that nobody asks for.
pub(crate) fn info(lengths: &[u64], piece_length: u64) -> Arc<Info> {
    let mut dict = b"d5:filesl".to_vec();
    for (file, length) in lengths.iter().enumerate() {
        let name = format!("f{file}");
        dict.extend(format!("d6:lengthi{length}e4:pathl{}:{name}ee", name.len()).bytes());
    }
    let pieces = lengths.iter().sum::<u64>().div_ceil(piece_length) * 20;
    let tail = format!("e4:name1:t12:piece lengthi{piece_length}e6:pieces{pieces}:");
    dict.extend(tail.bytes());
    dict.resize(dict.len() + usize::try_from(pieces).unwrap(), 7);
    dict.push(b'e');
    Arc::new(Info::parse(&dict).unwrap())
}

pub(crate) fn boot(number: u64) -> BootId {
    BootId((1u128 << 64 | u128::from(number)).to_be_bytes())
}

impl World {
    pub(crate) fn new(disk: Disk, info: Arc<Info>) -> Self {
        Self {
            disk: Arc::new(Mutex::new(disk)),
            info,
        }
    }

    pub(crate) fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap()
    }

    pub(crate) fn now(&self) -> Moment {
        moment(self.disk().now())
    }

    pub(crate) fn open(&self, boot: BootId) -> (Journal<Self>, Resume) {
        let files = Arc::new(self.clone());
        Journal::open_on(self.clone(), files, Arc::clone(&self.info), boot)
    }

    pub(crate) fn file(&self, file: u32) -> String {
        format!("data/{}", self.info.files[file as usize].path.as_str())
    }

    /// Where the journal or another generation of it lies.
    pub(crate) fn journal(&self, suffix: &str) -> String {
        let info_hash = shoal_metainfo::InfoHash(shoal_hashing::sha1(self.info.bytes()));
        format!("state/{info_hash}.journal{suffix}")
    }

    pub(crate) fn piece(&self, number: u32) -> PieceIndex {
        self.info.geometry.piece(number).unwrap()
    }

    /// The files, and the bytes of each, that a range of content lies in.
    pub(crate) fn places(&self, begin: u64, length: u64) -> Vec<(u32, usize, usize)> {
        let mut places = Vec::new();
        for (file, entry) in (0u32..).zip(&self.info.files) {
            let from = begin.max(entry.begin);
            let to = (begin + length).min(entry.begin + entry.length);
            if from < to {
                let offset = usize::try_from(from - entry.begin).unwrap();
                places.push((file, offset, usize::try_from(to - from).unwrap()));
            }
        }
        places
    }

    /// The bytes of a range of content, as far as they are on the disk.
    pub(crate) fn content(&self, begin: u64, length: u64) -> Vec<u8> {
        let mut content = Vec::new();
        for (file, offset, length) in self.places(begin, length) {
            let disk = self.disk();
            let bytes = disk.peek(&self.file(file)).unwrap_or_default();
            let end = (offset + length).min(bytes.len());
            content.extend_from_slice(bytes.get(offset..end).unwrap_or_default());
        }
        content
    }
}

fn moment(time: std::time::Duration) -> Moment {
    Moment::from_nanos(i64::try_from(time.as_nanos()).unwrap())
}

impl JournalDisk for World {
    fn read(&mut self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.disk().read(&format!("state/{name}")).map_err(number)
    }

    fn create(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let name = format!("state/{name}");
        let mut disk = self.disk();
        disk.set_length(&name, 0).map_err(number)?;
        disk.write(&name, 0, bytes).map_err(number)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.disk()
            .append(&format!("state/{name}"), bytes)
            .map_err(number)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.disk().sync(&format!("state/{name}")).map_err(number)
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (format!("state/{from}"), format!("state/{to}"));
        self.disk().rename(&from, &to).map_err(number)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.disk().remove(&format!("state/{name}")).map_err(number)
    }

    fn sync_folder(&mut self) -> io::Result<()> {
        self.disk().sync_folder("state").map_err(number)
    }

    fn shown(&self, name: &str) -> PathBuf {
        Path::new("state").join(name)
    }
}

impl Files for World {
    fn stamp(&self, file: u32) -> io::Result<Option<Stamp>> {
        let found = self.disk().stat(&self.file(file)).map_err(number)?;
        Ok(found.map(|found| Stamp {
            size: found.size,
            modified: moment(found.modified),
            inode: found.inode,
        }))
    }

    fn settle(&self, file: u32) -> io::Result<Option<Stamp>> {
        match self.disk().sync(&self.file(file)) {
            Ok(()) => {}
            Err(DiskError::Missing) => return Ok(None),
            Err(error) => return Err(number(error)),
        }
        self.stamp(file)
    }

    fn settle_names(&self, _: &[u32]) -> io::Result<()> {
        self.disk().sync_folder("data/t").map_err(number)
    }

    fn uncache(&self, file: u32) {
        self.disk().uncache(&self.file(file));
    }

    fn shown(&self, file: u32) -> PathBuf {
        self.file(file).into()
    }
}
