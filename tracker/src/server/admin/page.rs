//! Which part of a long list is asked for: `?after=KEY&limit=N`. Of no BEP.
//!
//! By the last entry that was had, and not by a number: what comes and goes meanwhile neither
//! repeats an entry nor hides one. Knows nothing of what is listed.

use shoal_metainfo::InfoHash;

use crate::limits;

/// Entries behind one, and no more than so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Page<T> {
    pub(super) after: Option<T>,
    pub(super) limit: usize,
}

/// Why a query is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum PageError {
    #[error("only `after` and `limit` are known here")]
    Unknown,
    #[error("{0}")]
    After(&'static str),
    #[error("`limit` must be a number from 1 to {}", limits::LARGEST_MAX)]
    Limit,
}

impl Page<InfoHash> {
    /// Reads a query for torrents in the order of their info hashes.
    pub(super) fn of_torrents(query: &[u8]) -> Result<Self, PageError> {
        let hash = |text: &[u8]| InfoHash::from_hex(std::str::from_utf8(text).ok()?);
        Self::read(query, hash, "`after` must be an info hash, 40 hex digits")
    }
}

impl<T> Page<T> {
    /// Reads a query; `what` says what `after` must be, which `read` reads.
    pub(super) fn read(
        query: &[u8],
        read: impl Fn(&[u8]) -> Option<T>,
        what: &'static str,
    ) -> Result<Self, PageError> {
        let mut page = Self {
            after: None,
            limit: limits::LARGEST_MAX,
        };
        let pairs = query.split(|&byte| byte == b'&');
        for pair in pairs.filter(|pair| !pair.is_empty()) {
            if let Some(after) = pair.strip_prefix(b"after=") {
                page.after = Some(read(after).ok_or(PageError::After(what))?);
            } else if let Some(limit) = pair.strip_prefix(b"limit=") {
                page.limit = number(limit).ok_or(PageError::Limit)?;
            } else {
                return Err(PageError::Unknown);
            }
        }
        Ok(page)
    }
}

fn number(text: &[u8]) -> Option<usize> {
    let number = std::str::from_utf8(text).ok()?.parse().ok()?;
    (1..=limits::LARGEST_MAX)
        .contains(&number)
        .then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_is_read_or_the_mistake_is_named() {
        let read =
            |query: &str| Page::read(query.as_bytes(), |text| text.first().copied(), "a key");
        let page = |after, limit| Ok(Page { after, limit });
        assert_eq!(read(""), page(None, limits::LARGEST_MAX));
        assert_eq!(read("after=x&limit=1"), page(Some(b'x'), 1));
        assert_eq!(read("limit=1000&"), page(None, 1_000));
        assert_eq!(read("after="), Err(PageError::After("a key")));
        for wrong in [
            "limit=",
            "limit=0",
            "limit=1001",
            "limit=-1",
            "limit=99999999999999999999",
        ] {
            assert_eq!(read(wrong), Err(PageError::Limit), "{wrong}");
        }
        for wrong in ["page=2", "after", "x"] {
            assert_eq!(read(wrong), Err(PageError::Unknown), "{wrong}");
        }
    }
}
