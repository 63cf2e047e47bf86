//! What is wrong with a .torrent that can be used all the same. BEP 3, 12, 19.
//!
//! Each is to be told to whoever gave the file: something that its maker meant is not there.
//! Foreign text inside a message is safe to print. Knows nothing of how it is told.

use shoal_bencode::FieldError;

use crate::torrent::Urls;

/// One thing that is left out of a [`crate::Torrent`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Flaw {
    /// An optional key of the wrong kind is as if it were not there.
    #[error("{0}; it is left out: get the .torrent from another place if that is missed")]
    Mistyped(FieldError),
    /// Announce URLs or web seeds that are empty, over-long, no UTF-8, or have line breaks inside.
    #[error(
        "key `{key}`: {first} is no URL{}; it is left out: \
         get the .torrent from another place if that is missed",
        more(*.count)
    )]
    NoUrl {
        /// Which key holds them.
        key: &'static str,
        /// The first, in quotes and cut.
        first: String,
        /// How many.
        count: usize,
    },
}

fn more(count: usize) -> String {
    match count {
        0 | 1 => String::new(),
        2 => ", nor is one more entry".to_owned(),
        _ => format!(", nor are {} more entries", count - 1),
    }
}

/// The flaws of one torrent, as they are found.
#[derive(Debug, Default)]
pub(crate) struct Flaws(pub(crate) Vec<Flaw>);

impl Flaws {
    /// The value of an optional key; a flaw where it is of the wrong kind.
    pub(crate) fn optional<T>(&mut self, value: Result<Option<T>, FieldError>) -> Option<T> {
        value.unwrap_or_else(|error| {
            self.0.push(Flaw::Mistyped(error));
            None
        })
    }

    /// What `urls` refused of the entries of `key`.
    pub(crate) fn no_urls(&mut self, key: &'static str, urls: Urls) {
        if let (Some(first), count) = urls.wrong {
            self.0.push(Flaw::NoUrl { key, first, count });
        }
    }
}
