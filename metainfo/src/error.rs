//! Ways in which a .torrent is wrong. BEP 3 "metainfo files", BEP 52.
//!
//! All of them are the file's fault. Each message says what is wrong, where, and what to do; each
//! variant has a test that provokes it. Foreign text inside a message is safe to print.

use std::fmt;

use shoal_bencode::{FieldError, Kind, ParseError};

use crate::collisions::CollisionError;
use crate::limits::{DUPLICATES_MAX, FILES_MAX, PIECE_LENGTH_MAX, PIECES_MAX, TORRENT_BYTES_MAX};
use crate::path::PathError;

/// Which dictionary of a .torrent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The outermost one.
    Top,
    /// `info`.
    Info,
    /// One entry of `files`, counted from zero.
    File(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Top => f.write_str("at the top level"),
            Self::Info => f.write_str("in `info`"),
            Self::File(number) => write!(f, "in `info`, `files`, entry {number}"),
        }
    }
}

/// Why bytes are no torrent that we can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TorrentError {
    /// No bytes.
    #[error("the .torrent is empty (0 bytes): download it again")]
    Empty,
    /// More than [`TORRENT_BYTES_MAX`] bytes.
    #[error(
        "the .torrent has {bytes} bytes, at most {TORRENT_BYTES_MAX} are read: \
         check that you chose the .torrent and not the content"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// HTML or XML.
    #[error(
        "this looks like a web page, not a .torrent: \
         open the address in a browser, log in if it asks to, and save the .torrent itself"
    )]
    WebPage,
    /// The text of a magnet link.
    #[error("this is a magnet link, not a .torrent: get the .torrent itself")]
    MagnetLink,
    /// Compressed with gzip.
    #[error("the .torrent is compressed with gzip: unpack it first (gunzip)")]
    Gzip,
    /// Begins like a torrent and ends inside a value.
    #[error("the .torrent is cut off: {0}; download it again")]
    Truncated(ParseError),
    /// Some other bytes.
    #[error("this is not a .torrent or it is damaged: {0}; check the file or download it again")]
    NotBencode(ParseError),
    /// Nested too deeply, or too many values.
    #[error("the .torrent is larger inside than any honest one: {0}; do not use it")]
    TooComplex(ParseError),
    /// Bencode, but its outermost value is something else.
    #[error("a .torrent is a dictionary, but this file holds {0}: check that it is a .torrent")]
    NotDictionary(Kind),
    /// A key is missing or of the wrong kind.
    #[error("{place}: {source}; the .torrent is broken, get it from another place")]
    Field {
        /// Where.
        place: Place,
        /// Which key, and what about it.
        source: FieldError,
    },
    /// An item of a path is no string.
    #[error(
        "{place}: `path` must hold strings, but holds {found}; \
         the .torrent is broken, get it from another place"
    )]
    PathItem {
        /// Where.
        place: Place,
        /// What it holds.
        found: Kind,
    },
    /// A name that no file may have.
    #[error("{place}, key `{key}`: {source}; the .torrent is not safe to use")]
    Path {
        /// Where.
        place: Place,
        /// `name` or `path`.
        key: &'static str,
        /// What is wrong with it.
        source: PathError,
    },
    /// Names that collide too often, see [`crate::collisions`].
    #[error(
        "in `info`, `files`: {0}; up to {DUPLICATES_MAX} are renamed: \
         ask for a .torrent made without duplicates"
    )]
    Collision(#[from] CollisionError),
    /// Only BEP 52 data: no `pieces`.
    #[error(
        "this is a v2-only torrent (BEP 52), which is not supported yet: \
         get a v1 or hybrid .torrent of the same content"
    )]
    V2Only,
    /// `piece length` outside 1 to [`PIECE_LENGTH_MAX`].
    #[error(
        "in `info`: `piece length` is {0}, not between 1 and {PIECE_LENGTH_MAX}; \
         the .torrent is broken, get it from another place"
    )]
    PieceLength(i64),
    /// `pieces` is no whole number of hashes.
    #[error(
        "in `info`: `pieces` has {bytes} bytes, not a multiple of 20; \
         the .torrent is broken, get it from another place"
    )]
    PiecesLength {
        /// Its length.
        bytes: usize,
    },
    /// `pieces` does not fit the sizes.
    #[error(
        "in `info`: `pieces` has {found} hashes, but {total} bytes in pieces of {piece_length} \
         need {expected}; the .torrent is broken, get it from another place"
    )]
    PieceCount {
        /// What the sizes need.
        expected: u32,
        /// Hashes there are.
        found: usize,
        /// All bytes of content.
        total: u64,
        /// `piece length`, bytes.
        piece_length: u32,
    },
    /// More than [`PIECES_MAX`] pieces.
    #[error(
        "in `info`: {0} pieces, at most {PIECES_MAX} are supported: \
         ask for a .torrent with a larger piece length"
    )]
    TooManyPieces(u64),
    /// A negative `length`.
    #[error(
        "{place}: `length` is {value}, below zero; \
         the .torrent is broken, get it from another place"
    )]
    Length {
        /// Where.
        place: Place,
        /// What it says.
        value: i64,
    },
    /// The lengths of all files overflow.
    #[error(
        "{place}: `length` is {value}, and with it all files have 2^64 bytes or more; \
         the .torrent is broken, get it from another place"
    )]
    TotalOverflow {
        /// Where the sum overflows.
        place: Place,
        /// The length there.
        value: u64,
    },
    /// All files together have no bytes.
    #[error("in `info`: all files together have 0 bytes; there is nothing to share")]
    NoContent,
    /// Both `length` and `files`.
    #[error(
        "in `info`: both `length` and `files` are there, only one may be; \
         the .torrent is broken, get it from another place"
    )]
    LengthAndFiles,
    /// Neither `length` nor `files`.
    #[error(
        "in `info`: keys `length` and `files` are missing, one must be there; \
         the .torrent is broken, get it from another place"
    )]
    NeitherLengthNorFiles,
    /// `files` is an empty list.
    #[error("in `info`: `files` is empty; there is nothing to share")]
    NoFiles,
    /// More than [`FILES_MAX`] files.
    #[error(
        "in `info`: `files` has {0} entries, at most {FILES_MAX} are supported: \
         ask for the content packed into archives"
    )]
    TooManyFiles(usize),
}

impl TorrentError {
    /// A parser's complaint about `data`, as a person needs it.
    pub(crate) fn of_bytes(error: ParseError, data: &[u8]) -> Self {
        let text = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
        let text = text.trim_ascii_start();
        if text.starts_with(b"<") {
            return Self::WebPage;
        }
        if text
            .get(..7)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"magnet:"))
        {
            return Self::MagnetLink;
        }
        if data.starts_with(&[0x1f, 0x8b]) {
            return Self::Gzip;
        }
        match error {
            ParseError::UnexpectedEnd { .. } | ParseError::StringPastEnd { .. }
                if data.starts_with(b"d") =>
            {
                Self::Truncated(error)
            }
            ParseError::TooDeep { .. } | ParseError::TooManyTokens { .. } => {
                Self::TooComplex(error)
            }
            _ => Self::NotBencode(error),
        }
    }
}
