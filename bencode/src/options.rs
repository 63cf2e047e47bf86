//! How strictly, and how much. BEP 3; the wire and BEP 52 want strictness, old torrents lack it.

use crate::limits;

/// How much disorder is forgiven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// BEP 3 to the letter.
    Strict,
    /// Unsorted keys and bytes behind the value are accepted. Duplicate keys never are: two readers
    /// would see two different dictionaries.
    Lenient,
}

/// The mode and the bounds of one parse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How much disorder is forgiven.
    pub mode: Mode,
    /// Most lists and dictionaries open at once; a lone `le` needs 1.
    pub depth_max: usize,
    /// Most values, keys included. Each costs 16 bytes; keys of large dictionaries 4 more.
    pub tokens_max: usize,
}

impl Options {
    /// BEP 3 to the letter, with the bounds of a file.
    #[must_use]
    pub const fn strict() -> Self {
        Self {
            mode: Mode::Strict,
            depth_max: limits::DEPTH_MAX,
            tokens_max: limits::TOKENS_MAX,
        }
    }

    /// A .torrent as found in the field, with the bounds of a file.
    #[must_use]
    pub const fn lenient() -> Self {
        Self {
            mode: Mode::Lenient,
            ..Self::strict()
        }
    }

    /// A message from a peer, a tracker or a node: strict, with small bounds.
    #[must_use]
    pub const fn wire() -> Self {
        Self {
            mode: Mode::Strict,
            depth_max: limits::WIRE_DEPTH_MAX,
            tokens_max: limits::WIRE_TOKENS_MAX,
        }
    }
}
