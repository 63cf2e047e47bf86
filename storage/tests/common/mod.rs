//! Torrents with their content, made for tests.
#![allow(dead_code, reason = "each test file uses its own part of it")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use shoal_metainfo::{Bitfield, Block, Info, PieceIndex};
use shoal_storage::{Options, Storage};

/// What a file of a test torrent is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Random,
    Zeros,
    Padding,
    Executable,
}

/// A torrent and all of its bytes.
pub(crate) struct Torrent {
    pub(crate) info: Arc<Info>,
    pub(crate) content: Vec<u8>,
}

/// From the path, length and kind of each file; one at least has bytes.
pub(crate) fn torrent(files: &[(&str, usize, Kind)], piece_length: usize, seed: u64) -> Torrent {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut content = Vec::new();
    let mut dict = b"d5:filesl".to_vec();
    for &(path, length, kind) in files {
        match kind {
            Kind::Random | Kind::Executable => content.extend((0..length).map(|_| rng.u8(..))),
            Kind::Zeros | Kind::Padding => content.extend((0..length).map(|_| 0)),
        }
        let attr = match kind {
            Kind::Padding => "4:attr1:p",
            Kind::Executable => "4:attr1:x",
            Kind::Random | Kind::Zeros => "",
        };
        dict.extend(format!("d{attr}6:lengthi{length}e4:pathl").bytes());
        for part in path.split('/') {
            dict.extend(format!("{}:{part}", part.len()).bytes());
        }
        dict.extend(b"ee");
    }
    dict.extend(format!("e4:name1:t12:piece lengthi{piece_length}e6:pieces").bytes());
    let pieces: Vec<&[u8]> = content.chunks(piece_length).collect();
    dict.extend(format!("{}:", pieces.len() * 20).bytes());
    dict.extend(pieces.into_iter().flat_map(shoal_hashing::sha1));
    dict.push(b'e');
    let info = Arc::new(Info::parse(&dict).unwrap());
    Torrent { info, content }
}

impl Torrent {
    pub(crate) fn open(&self, dir: &Path, options: Options) -> Storage {
        Storage::open(dir, Arc::clone(&self.info), options).unwrap()
    }

    pub(crate) fn piece(&self, number: u32) -> PieceIndex {
        self.info.geometry.piece(number).unwrap()
    }

    pub(crate) fn blocks(&self) -> Vec<Block> {
        let geometry = self.info.geometry;
        let pieces = geometry.all_pieces();
        pieces.flat_map(|piece| geometry.blocks(piece)).collect()
    }

    pub(crate) fn bytes(&self, block: Block) -> &[u8] {
        let piece = self.info.geometry.piece_begin(block.piece());
        let begin = usize::try_from(piece).unwrap() + block.begin() as usize;
        &self.content[begin..][..block.length() as usize]
    }

    pub(crate) fn write_piece(&self, storage: &Storage, piece: PieceIndex) {
        for block in self.info.geometry.blocks(piece) {
            storage.write(block, self.bytes(block)).unwrap();
        }
    }

    pub(crate) fn write_all(&self, storage: &Storage) {
        storage.prepare().unwrap();
        for piece in self.info.geometry.all_pieces() {
            self.write_piece(storage, piece);
            assert!(storage.verify(piece).unwrap(), "piece {piece}");
        }
    }

    /// What each piece of the content is on the disk, by the simplest means.
    pub(crate) fn expected(&self, dir: &Path) -> Bitfield {
        let mut found: Vec<Option<u8>> = Vec::with_capacity(self.content.len());
        for entry in &self.info.files {
            let length = usize::try_from(entry.length).unwrap();
            let bytes = match entry.is_on_disk() {
                true => fs::read(dir.join(&entry.path)).unwrap_or_default(),
                false => vec![0; length],
            };
            let known = bytes.into_iter().map(Some).chain(std::iter::repeat(None));
            found.extend(known.take(length));
        }
        let mut have = Bitfield::none(self.info.geometry.pieces());
        let length = self.info.geometry.full_piece_length() as usize;
        let pairs = found.chunks(length).zip(self.content.chunks(length));
        for (piece, (found, wanted)) in self.info.geometry.all_pieces().zip(pairs) {
            if found
                .iter()
                .zip(wanted)
                .all(|(found, wanted)| *found == Some(*wanted))
            {
                have.insert(piece);
            }
        }
        have
    }

    pub(crate) fn assert_on_disk(&self, dir: &Path) {
        for entry in self.info.files.iter().filter(|entry| entry.is_on_disk()) {
            let range = entry.range();
            let begin = usize::try_from(range.start).unwrap();
            let end = usize::try_from(range.end).unwrap();
            let found = fs::read(dir.join(&entry.path)).unwrap();
            assert!(found == self.content[begin..end], "{} differs", entry.path);
        }
    }
}

pub(crate) fn check(storage: &Storage, threads: usize) -> Bitfield {
    storage
        .check(threads, &|_| {}, &AtomicBool::new(false))
        .unwrap()
}

/// Windows as small and as few as they get.
pub(crate) fn tight(windows_max: usize) -> Options {
    Options {
        windows_max,
        window_bytes_max: 1,
        ..Options::default()
    }
}
