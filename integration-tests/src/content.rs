//! Random files in a temporary folder, and the torrent of them. BEP 3 "metainfo files", BEP 47.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use fastrand::Rng;
use shoal_bencode::Value;
use shoal_metainfo::create::{Draft, Hashes, Plan, ScanOptions};
use shoal_metainfo::piece::RawBlock;
use shoal_metainfo::{InfoHash, Torrent};
use tempfile::{Builder, TempDir};

/// Files, whole, and their torrent. They are deleted with this value.
#[derive(Debug)]
pub struct Content {
    home: TempDir,
    encoded: Vec<u8>,
    torrent: Arc<Torrent>,
    bytes: Vec<u8>,
}

/// What a [`Content`] will hold.
#[derive(Debug, Clone)]
pub struct ContentBuilder {
    name: String,
    files: BTreeMap<String, File>,
    single: bool,
    seed: u64,
    piece_length: u32,
    draft: Draft,
}

#[derive(Debug, Clone, Copy)]
struct File {
    length: usize,
    /// BEP 47's letter, if any.
    attribute: Option<&'static str>,
}

impl Content {
    /// One file of so many random bytes in pieces of 16 KiB.
    #[must_use]
    pub fn single(length: usize) -> Self {
        let mut builder = Self::folder("single");
        builder.single = true;
        builder.file("single", length).build()
    }

    /// A folder; its files are to be named. Pieces of 16 KiB.
    #[must_use]
    pub fn folder(name: &str) -> ContentBuilder {
        ContentBuilder {
            name: name.to_owned(),
            files: BTreeMap::new(),
            single: false,
            seed: 1,
            piece_length: 16 << 10,
            draft: Draft::default(),
        }
    }

    /// The folder that holds the content, by the torrent's name.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.home.path()
    }

    /// The torrent; it names the trackers that the builder was given.
    #[must_use]
    pub fn torrent(&self) -> &Arc<Torrent> {
        &self.torrent
    }

    /// Its name on the wire.
    #[must_use]
    pub fn info_hash(&self) -> InfoHash {
        self.torrent.info_hash
    }

    /// Number of pieces.
    #[must_use]
    pub fn pieces(&self) -> u32 {
        self.torrent.info.geometry.pieces()
    }

    /// All bytes in torrent order, padding included.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes of a block.
    ///
    /// # Panics
    /// When there is no such block.
    #[must_use]
    pub fn block(&self, block: RawBlock) -> Vec<u8> {
        let geometry = &self.torrent.info.geometry;
        let piece = geometry.piece(block.index).expect("a piece of the content");
        let begin = geometry.piece_begin(piece) + u64::from(block.begin);
        let begin = usize::try_from(begin).expect("content fits memory");
        self.bytes[begin..][..block.length as usize].to_vec()
    }

    /// Every block, in order.
    #[must_use]
    pub fn blocks(&self) -> Vec<RawBlock> {
        let geometry = self.torrent.info.geometry;
        let pieces = (0..geometry.pieces()).filter_map(|index| geometry.piece(index));
        let blocks = pieces.flat_map(|piece| geometry.blocks(piece));
        blocks.map(|block| block.raw()).collect()
    }

    /// Writes the .torrent beside the content.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn torrent_file(&self) -> PathBuf {
        let path = self.dir().join("content.torrent");
        // Somebody may be reading the one that is there.
        let readable = Permissions::from_mode(0o644);
        let file = Builder::new().permissions(readable).tempfile_in(self.dir());
        let file = file.expect("a file in our own folder");
        fs::write(file.path(), &self.encoded).expect("a file in our own folder");
        file.persist(&path).expect("its name");
        path
    }

    /// Writes the files into `dir`, with zeros for every piece that `keep` does not want.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn copy_pieces(&self, dir: &Path, keep: impl Fn(u32) -> bool) {
        let length = self.torrent.info.geometry.full_piece_length() as usize;
        let mut bytes = self.bytes.clone();
        for (index, piece) in (0..).zip(bytes.chunks_mut(length)) {
            if !keep(index) {
                piece.fill(0);
            }
        }
        for (path, bytes) in self.files_of(&bytes) {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().expect("below the folder")).expect("a folder");
            fs::write(path, bytes).expect("a file in our own folder");
        }
    }

    /// Asserts that the folder holds the same files, byte for byte, by the torrent's name.
    ///
    /// # Panics
    /// When one differs; padding need not be there.
    pub fn assert_identical(&self, dir: &Path) {
        for (path, expect) in self.files_of(&self.bytes) {
            let path = dir.join(path);
            let found = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            assert_eq!(found.len(), expect.len(), "length of {}", path.display());
            let at = found.iter().zip(expect).position(|(a, b)| a != b);
            assert_eq!(at, None, "first wrong byte of {}", path.display());
        }
    }

    fn files_of<'b>(&self, bytes: &'b [u8]) -> Vec<(PathBuf, &'b [u8])> {
        let files = self.torrent.info.files.iter();
        let at = |offset| usize::try_from(offset).expect("content fits memory");
        files
            .filter(|file| !file.attributes.padding)
            .map(|file| {
                let range = at(file.begin)..at(file.begin + file.length);
                (PathBuf::from(file.path.as_str()), &bytes[range])
            })
            .collect()
    }
}

impl ContentBuilder {
    /// A file of random bytes; `/` makes folders.
    #[must_use]
    pub fn file(self, path: &str, length: usize) -> Self {
        self.insert(path, length, None)
    }

    /// Padding: zeros that nobody stores. Source: BEP 47.
    #[must_use]
    pub fn padding(self, path: &str, length: usize) -> Self {
        self.insert(path, length, Some("p"))
    }

    /// Other random bytes.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Other pieces, bytes.
    #[must_use]
    pub fn piece_length(mut self, piece_length: u32) -> Self {
        self.piece_length = piece_length;
        self
    }

    /// Peers from trackers only. Source: BEP 27.
    #[must_use]
    pub fn private(mut self) -> Self {
        self.draft.private = true;
        self
    }

    /// Writes the files and hashes them.
    ///
    /// # Panics
    /// When that fails: the names are no names, or there is no byte.
    #[must_use]
    pub fn build(self) -> Content {
        let home = tempfile::tempdir().expect("a temporary folder");
        let root = home.path().join(&self.name);
        let mut random = Rng::with_seed(self.seed);
        for (path, file) in &self.files {
            let mut bytes = vec![0; file.length];
            if file.attribute != Some("p") {
                random.fill(&mut bytes);
            }
            let path = if self.single {
                root.clone()
            } else {
                root.join(path)
            };
            fs::create_dir_all(path.parent().expect("below the folder")).expect("a folder");
            fs::write(path, bytes).expect("a file in our own folder");
        }
        let options = ScanOptions {
            include_hidden: true,
        };
        let plan = Plan::scan(&root, options).expect("good names");
        let hashes = plan.hash(self.piece_length, 2, &|_| {}, &AtomicBool::new(false));
        let encoded = self.encode(&plan, &hashes.expect("a good piece length"));
        let torrent = Arc::new(Torrent::parse(&encoded).expect("our own torrent"));
        let mut bytes = Vec::new();
        for file in plan.files() {
            let path = home.path().join(file.path.as_str());
            bytes.extend(fs::read(path).expect("written above"));
        }
        Content {
            home,
            encoded,
            torrent,
            bytes,
        }
    }

    fn insert(mut self, path: &str, length: usize, attribute: Option<&'static str>) -> Self {
        self.files
            .insert(path.to_owned(), File { length, attribute });
        self
    }

    /// The torrent as metainfo makes it; it knows no attributes, so those are put in here.
    fn encode(&self, plan: &Plan, hashes: &Hashes) -> Vec<u8> {
        if self.files.values().all(|file| file.attribute.is_none()) {
            return self.draft.encode(plan, hashes);
        }
        let files = plan.files().iter().map(|file| {
            let names: Vec<_> = file.path.components().skip(1).collect();
            let length = i64::try_from(file.length).expect("a small file");
            let mut entry = vec![("length", Value::from(length))];
            if let Some(attribute) = self.files[&names.join("/")].attribute {
                entry.push(("attr", Value::from(attribute)));
            }
            entry.push(("path", Value::list(names)));
            Value::dict(entry)
        });
        let info = Value::dict([
            ("files", Value::list(files)),
            ("name", Value::from(self.name.as_str())),
            ("piece length", Value::from(self.piece_length)),
            ("pieces", Value::from(hashes.pieces().as_flattened())),
        ]);
        Value::dict([("info", info)]).encode()
    }
}
