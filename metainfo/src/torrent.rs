//! A .torrent file. BEP 3 "metainfo files", BEP 12 "announce-list", BEP 19 "url-list".
//!
//! Forgiving about what surrounds `info` (order of keys, bytes behind the end, optional keys of the
//! wrong kind), exact about `info` itself: its hash is of the bytes that came. Knows nothing of the
//! network: whether a tracker's URL is usable is seen when it is used.

use std::collections::BTreeSet;

use shoal_bencode::{Dict, Node, Options, parse};
use shoal_hashing::sha1;

use crate::error::{Place, TorrentError};
use crate::id::InfoHash;
use crate::info::{Info, text};
use crate::limits::{TORRENT_BYTES_MAX, TRACKERS_MAX, URL_BYTES_MAX, WEB_SEEDS_MAX};
use crate::text::is_deceptive;

/// A .torrent, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Torrent {
    /// Files and pieces.
    pub info: Info,
    /// SHA-1 of the exact bytes of `info`.
    pub info_hash: InfoHash,
    /// Announce URLs in tiers, none of them empty, no URL twice: `announce-list` when it names any,
    /// else `announce`. Empty when the torrent names no tracker. Source: BEP 12.
    pub tiers: Vec<Vec<String>>,
    /// URLs that have the content, for HTTP. Source: BEP 19.
    pub web_seeds: Vec<String>,
    /// Free text; may hold anything, so print it as [`crate::text::Printable`].
    pub comment: Option<String>,
    /// The program that made it; print as above.
    pub created_by: Option<String>,
    /// Seconds since 1970, as the maker's clock had it.
    pub creation_date: Option<i64>,
    /// Of the strings in `info`, as the maker says; we read UTF-8 in any case.
    pub encoding: Option<String>,
}

impl Torrent {
    /// Reads a .torrent file.
    ///
    /// # Errors
    /// [`TorrentError`], which names the key, the value and what to do. Optional keys of the wrong
    /// kind are ignored, and so are URLs that are empty, repeated, over-long, or beyond the bounds
    /// of [`crate::limits`].
    ///
    /// Source: BEP 3, "metainfo files".
    pub fn parse(data: &[u8]) -> Result<Self, TorrentError> {
        if data.is_empty() {
            return Err(TorrentError::Empty);
        }
        if data.len() > TORRENT_BYTES_MAX {
            let bytes = data.len();
            return Err(TorrentError::TooLarge { bytes });
        }
        let tree =
            parse(data, Options::lenient()).map_err(|error| TorrentError::of_bytes(error, data))?;
        let root = tree.root();
        let dict = root
            .as_dict()
            .ok_or_else(|| TorrentError::NotDictionary(root.kind()))?;
        let field = |source| {
            let place = Place::Top;
            TorrentError::Field { place, source }
        };
        let info_dict = dict.dict("info").map_err(field)?;
        let node = dict.node("info").map_err(field)?;
        let info = Info::read(info_dict, node.raw(), node.span().start)?;
        Ok(Self {
            info_hash: InfoHash(sha1(info.bytes())),
            info,
            tiers: tiers(dict),
            web_seeds: web_seeds(dict),
            comment: text(dict, "comment.utf-8").or_else(|| text(dict, "comment")),
            created_by: text(dict, "created by"),
            creation_date: dict.opt_int("creation date").ok().flatten(),
            encoding: text(dict, "encoding"),
        })
    }

    /// The exact bytes of `info`, as BEP 9 serves them.
    #[must_use]
    pub fn info_bytes(&self) -> &[u8] {
        self.info.bytes()
    }

    /// All announce URLs, tier by tier.
    pub fn trackers(&self) -> impl Iterator<Item = &str> {
        self.tiers.iter().flatten().map(String::as_str)
    }
}

/// URLs kept so far, each once.
pub(crate) struct Urls {
    seen: BTreeSet<String>,
    left: usize,
}

impl Urls {
    pub(crate) fn new(count_max: usize) -> Self {
        Self {
            seen: BTreeSet::new(),
            left: count_max,
        }
    }

    /// The URL without white space around it, if it is usable, new, and within the bounds.
    pub(crate) fn keep(&mut self, url: &[u8]) -> Option<String> {
        let url = str::from_utf8(url.trim_ascii()).ok()?;
        let usable = !url.is_empty() && url.len() <= URL_BYTES_MAX && !url.contains(is_deceptive);
        if !usable || self.left == 0 || !self.seen.insert(url.to_owned()) {
            return None;
        }
        self.left -= 1;
        Some(url.to_owned())
    }

    pub(crate) fn is_full(&self) -> bool {
        self.left == 0
    }
}

fn tiers(dict: Dict<'_, '_>) -> Vec<Vec<String>> {
    let mut urls = Urls::new(TRACKERS_MAX);
    let mut tiers = Vec::new();
    for node in dict
        .opt_list("announce-list")
        .ok()
        .flatten()
        .into_iter()
        .flatten()
    {
        if urls.is_full() {
            break;
        }
        let tier = kept(node, &mut urls);
        if !tier.is_empty() {
            tiers.push(tier);
        }
    }
    if tiers.is_empty() {
        let announce = dict.opt_bytes("announce").ok().flatten();
        tiers.extend(announce.and_then(|url| urls.keep(url)).map(|url| vec![url]));
    }
    tiers
}

/// `url-list`: one string or a list of them.
fn web_seeds(dict: Dict<'_, '_>) -> Vec<String> {
    let mut urls = Urls::new(WEB_SEEDS_MAX);
    dict.get(b"url-list")
        .map_or_else(Vec::new, |node| kept(node, &mut urls))
}

/// What is worth keeping of a list of URLs, or of one that stands alone.
fn kept(node: Node<'_, '_>, urls: &mut Urls) -> Vec<String> {
    if let Some(url) = node.as_bytes() {
        return urls.keep(url).into_iter().collect();
    }
    let items = node.as_list().into_iter().flatten();
    items
        .filter_map(|item| urls.keep(item.as_bytes()?))
        .collect()
}
