//! What a torrent names by its hash: files, pieces, and whether it is private. BEP 3 "info
//! dictionary", BEP 27, BEP 47, BEP 52 (hybrids are read as v1).
//!
//! Every number is checked against every other, and every path is safe, before an [`Info`] exists.
//! Knows nothing of trackers: that is `torrent`'s.

use std::fmt;
use std::ops::Range;

use shoal_bencode::{Dict, FieldError, List, Options, ParseError, parse_prefix};

use crate::collisions::resolve_collisions;
use crate::error::{Place, TorrentError};
use crate::limits::{FILES_MAX, TEXT_BYTES_MAX, TORRENT_BYTES_MAX};
use crate::path::{Builder, NameRules, PathError, SafePath};
use crate::piece::{Geometry, GeometryError, PieceIndex};
use crate::text::cut;

/// Bytes of one piece hash in `pieces`. Source: BEP 3.
const HASH_BYTES: usize = 20;

/// The `info` dictionary, checked, with its exact bytes.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// Of the file, or of the folder that holds the files; one safe component of a path.
    pub name: String,
    /// In the order of the content, at least one. No two that lie on disk have the same path.
    pub files: Vec<FileEntry>,
    /// Total length and piece length.
    pub geometry: Geometry,
    /// Peers may come from the trackers only. Source: BEP 27.
    pub private: bool,
    /// Sets torrents of the same content on different trackers apart; in no BEP, in wide use.
    pub source: Option<String>,
    /// Whether the files lie in a folder called [`Self::name`].
    pub multi_file: bool,
    /// Which versions of the protocol it describes.
    pub version: Version,
    bytes: Vec<u8>,
    pieces: Range<usize>,
}

/// Which versions of the protocol an `info` describes. Source: BEP 52 "upgrade path".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    /// BEP 3 only.
    V1,
    /// BEP 3 and BEP 52; we use the former.
    Hybrid,
}

/// One file of a torrent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileEntry {
    /// Relative to the chosen folder; begins with the torrent's name if there are several files.
    pub path: SafePath,
    /// Bytes.
    pub length: u64,
    /// Where it begins in the content, bytes.
    pub begin: u64,
    /// What else is said about it.
    pub attributes: Attributes,
}

impl FileEntry {
    /// Its bytes in the content.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.begin..self.begin + self.length
    }

    /// Whether there is a file to create: not for padding, whose bytes are all zero, and not for
    /// symbolic links, which we report and do not make.
    #[must_use]
    pub fn is_on_disk(&self) -> bool {
        !self.attributes.padding && !self.attributes.symlink
    }
}

/// What `attr` says about a file. Source: BEP 47.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Attributes {
    /// `p`: zeros that align the next file to a piece.
    pub padding: bool,
    /// `h`: hidden.
    pub hidden: bool,
    /// `x`: executable.
    pub executable: bool,
    /// `l`: a symbolic link; it has no bytes in the content.
    pub symlink: bool,
}

impl Attributes {
    fn new(letters: &[u8]) -> Self {
        Self {
            padding: letters.contains(&b'p'),
            hidden: letters.contains(&b'h'),
            executable: letters.contains(&b'x'),
            symlink: letters.contains(&b'l'),
        }
    }
}

impl Info {
    /// From the exact bytes of an `info` value, as BEP 9 peers send them.
    ///
    /// # Errors
    /// [`TorrentError`]; bytes behind the value are one.
    pub fn parse(bytes: &[u8]) -> Result<Self, TorrentError> {
        if bytes.len() > TORRENT_BYTES_MAX {
            let bytes = bytes.len();
            return Err(TorrentError::TooLarge { bytes });
        }
        let (tree, at) = parse_prefix(bytes, Options::lenient())
            .map_err(|error| TorrentError::of_bytes(error, bytes))?;
        if at < bytes.len() {
            let count = bytes.len() - at;
            return Err(TorrentError::NotBencode(ParseError::TrailingBytes {
                at,
                count,
            }));
        }
        let root = tree.root();
        let dict = root
            .as_dict()
            .ok_or_else(|| TorrentError::NotDictionary(root.kind()))?;
        Self::read(dict, bytes, 0)
    }

    /// From a parsed dictionary, its exact bytes, and where those begin in the parser's input.
    pub(crate) fn read(
        dict: Dict<'_, '_>,
        bytes: &[u8],
        begin: usize,
    ) -> Result<Self, TorrentError> {
        let v2 = dict.get(b"meta version").is_some() || dict.get(b"file tree").is_some();
        if v2 && dict.get(b"pieces").is_none() {
            return Err(TorrentError::V2Only);
        }
        let name = SafePath::new([name(dict)?]).map_err(|source| TorrentError::Path {
            place: Place::Info,
            key: "name",
            source,
        })?;
        let piece_length = dict.int("piece length").map_err(in_info)?;
        let (files, multi_file) = files(dict, &name)?;
        let total = files.last().map_or(0, |file| file.range().end);
        let geometry = geometry(total, piece_length)?;
        check_pieces(dict.bytes("pieces").map_err(in_info)?, &geometry)?;
        let span = dict.node("pieces").map_err(in_info)?.span();
        let hashes = geometry.pieces() as usize * HASH_BYTES;
        Ok(Self {
            name: name.as_str().to_owned(),
            files,
            geometry,
            private: dict
                .opt_int("private")
                .map_err(in_info)?
                .is_some_and(|v| v != 0),
            // Of no use to us: dropped when it is no string.
            source: dict.opt_bytes("source").ok().flatten().map(cut_text),
            multi_file,
            version: if v2 { Version::Hybrid } else { Version::V1 },
            bytes: bytes.to_vec(),
            pieces: span.end - hashes - begin..span.end - begin,
        })
    }

    /// The exact bytes of the `info` value; their SHA-1 is the info hash.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The SHA-1 that the piece must have.
    #[must_use]
    pub fn piece_hash(&self, piece: PieceIndex) -> [u8; 20] {
        self.piece_hashes()[piece.index()]
    }

    /// The SHA-1 of every piece in order.
    #[must_use]
    pub fn piece_hashes(&self) -> &[[u8; 20]] {
        self.bytes[self.pieces.clone()].as_chunks().0
    }

    /// The symbolic links, which are not created.
    pub fn symlinks(&self) -> impl Iterator<Item = &FileEntry> {
        self.files.iter().filter(|file| file.attributes.symlink)
    }
}

impl fmt::Debug for Info {
    /// Without the bytes: they are up to 64 MiB.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Info")
            .field("name", &self.name)
            .field("files", &self.files.len())
            .field("geometry", &self.geometry)
            .field("private", &self.private)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

fn in_info(source: FieldError) -> TorrentError {
    TorrentError::Field {
        place: Place::Info,
        source,
    }
}

/// `name.utf-8`, which some makers add to a name in another encoding, or else `name`.
fn name<'a>(dict: Dict<'_, 'a>) -> Result<&'a [u8], TorrentError> {
    match dict.opt_text("name.utf-8") {
        Ok(Some(name)) if !name.is_empty() => Ok(name.as_bytes()),
        _ => dict.bytes("name").map_err(in_info),
    }
}

/// Text for people: cut when it is long.
pub(crate) fn cut_text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(TEXT_BYTES_MAX)]);
    cut(&text, TEXT_BYTES_MAX).to_owned()
}

fn geometry(total: u64, piece_length: i64) -> Result<Geometry, TorrentError> {
    let wrong_length = TorrentError::PieceLength(piece_length);
    let Ok(length) = u64::try_from(piece_length) else {
        return Err(wrong_length);
    };
    Geometry::new(total, length).map_err(|error| match error {
        GeometryError::PieceLength(_) => wrong_length,
        GeometryError::Empty => TorrentError::NoContent,
        GeometryError::TooManyPieces(count) => TorrentError::TooManyPieces(count),
    })
}

fn check_pieces(pieces: &[u8], geometry: &Geometry) -> Result<(), TorrentError> {
    if !pieces.len().is_multiple_of(HASH_BYTES) {
        let bytes = pieces.len();
        return Err(TorrentError::PiecesLength { bytes });
    }
    let (expected, found) = (geometry.pieces(), pieces.len() / HASH_BYTES);
    if found != expected as usize {
        return Err(TorrentError::PieceCount {
            expected,
            found,
            total: geometry.total(),
            piece_length: geometry.full_piece_length(),
        });
    }
    Ok(())
}

/// The files in order, and whether they lie in a folder.
fn files(dict: Dict<'_, '_>, name: &SafePath) -> Result<(Vec<FileEntry>, bool), TorrentError> {
    let length = dict.get(b"length");
    let Some(list) = dict.opt_list("files").map_err(in_info)? else {
        if length.is_none() {
            return Err(TorrentError::NeitherLengthNorFiles);
        }
        let file = entry(dict, Place::Info, name.clone(), 0)?;
        return Ok((vec![file], false));
    };
    if length.is_some() {
        return Err(TorrentError::LengthAndFiles);
    }
    if list.is_empty() {
        return Err(TorrentError::NoFiles);
    }
    if list.len() > FILES_MAX {
        return Err(TorrentError::TooManyFiles(list.len()));
    }
    let mut files = Vec::with_capacity(list.len());
    let mut builder = Builder::new(NameRules::HERE);
    let mut begin = 0;
    for (number, node) in list.enumerate() {
        let place = Place::File(number);
        let dict = node.as_dict().ok_or_else(|| {
            in_info(FieldError::WrongType {
                key: "files",
                expected: shoal_bencode::Kind::Dict,
                found: node.kind(),
            })
        })?;
        let path = path(dict, place, name, &mut builder)?;
        let file = entry(dict, place, path, begin)?;
        begin = file.range().end;
        files.push(file);
    }
    rename_colliding(&mut files)?;
    Ok((files, true))
}

/// Length and attributes of the file that begins at `begin`.
fn entry(
    dict: Dict<'_, '_>,
    place: Place,
    path: SafePath,
    begin: u64,
) -> Result<FileEntry, TorrentError> {
    let attributes = attributes(dict);
    let length = if attributes.symlink {
        0
    } else {
        let field = |source| TorrentError::Field { place, source };
        let value = dict.int("length").map_err(field)?;
        u64::try_from(value).map_err(|_| TorrentError::Length { place, value })?
    };
    if begin.checked_add(length).is_none() {
        let value = length;
        return Err(TorrentError::TotalOverflow { place, value });
    }
    Ok(FileEntry {
        path,
        length,
        begin,
        attributes,
    })
}

/// `attr`, where it is a string.
fn attributes(dict: Dict<'_, '_>) -> Attributes {
    let letters = dict.opt_bytes("attr").ok().flatten();
    Attributes::new(letters.unwrap_or_default())
}

/// `path.utf-8`, which some makers add to a path in another encoding, or else `path`. Padding needs
/// none: it has no file on disk, and goes by the torrent's name.
fn path(
    dict: Dict<'_, '_>,
    place: Place,
    name: &SafePath,
    builder: &mut Builder,
) -> Result<SafePath, TorrentError> {
    let list = match dict.opt_list("path.utf-8") {
        Ok(Some(list)) if !list.is_empty() && is_utf8(list.clone()) => list,
        _ => match dict.list("path") {
            Ok(list) => list,
            Err(FieldError::Missing { .. }) if attributes(dict).padding => return Ok(name.clone()),
            Err(source) => return Err(TorrentError::Field { place, source }),
        },
    };
    let key = "path";
    let refused = |source| TorrentError::Path { place, key, source };
    if list.is_empty() {
        return Err(refused(PathError::Empty));
    }
    builder.restart(name);
    for node in list {
        let found = node.kind();
        let component = node
            .as_bytes()
            .ok_or(TorrentError::PathItem { place, found })?;
        builder.push(component).map_err(refused)?;
    }
    builder.build().map_err(refused)
}

fn is_utf8(mut list: List<'_, '_>) -> bool {
    list.all(|node| {
        node.as_bytes()
            .is_some_and(|item| str::from_utf8(item).is_ok())
    })
}

/// Gives other names to files that collide; those without a file on disk cannot.
fn rename_colliding(files: &mut [FileEntry]) -> Result<(), TorrentError> {
    let on_disk = |file: &&FileEntry| file.is_on_disk();
    let renames = resolve_collisions(files.iter().filter(on_disk).map(|file| &file.path))?;
    if renames.is_empty() {
        return Ok(());
    }
    let mut stored: Vec<&mut FileEntry> = files.iter_mut().filter(|f| f.is_on_disk()).collect();
    for rename in renames {
        stored[rename.index].path = rename.path;
    }
    Ok(())
}
