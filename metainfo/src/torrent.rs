//! A .torrent file. BEP 3 "metainfo files", BEP 12 "announce-list", BEP 17 "httpseeds", BEP 19
//! "url-list".
//!
//! Forgiving about what surrounds `info` (order of keys, bytes behind the end, optional keys of the
//! wrong kind, which are told as [`Flaw`]s), exact about `info` itself: its hash is of the bytes
//! that came. Knows nothing of the network: whether a tracker's URL is usable is seen when it is
//! used.

use std::collections::BTreeSet;

use shoal_bencode::{Dict, FieldError, Kind, Node, Options, parse};
use shoal_hashing::sha1;

use crate::error::{Place, TorrentError};
use crate::flaw::{Flaw, Flaws};
use crate::id::InfoHash;
use crate::info::{Info, cut_text};
use crate::limits::{TORRENT_BYTES_MAX, TRACKERS_MAX, URL_BYTES_MAX, WEB_SEEDS_MAX};
use crate::text::{is_deceptive, quote};

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
    /// URLs of scripts that give pieces, for HTTP: in old torrents. Source: BEP 17.
    pub http_seeds: Vec<String>,
    /// Free text; may hold anything, so print it as [`crate::text::Printable`].
    pub comment: Option<String>,
    /// The program that made it; print as above.
    pub created_by: Option<String>,
    /// Seconds since 1970, as the maker's clock had it.
    pub creation_date: Option<i64>,
    /// Of the strings in `info`, as the maker says; we read UTF-8 in any case.
    pub encoding: Option<String>,
    /// What was left out because it is wrong, to be told.
    pub flaws: Vec<Flaw>,
}

impl Torrent {
    /// Reads a .torrent file.
    ///
    /// # Errors
    /// [`TorrentError`], which names the key, the value and what to do. Optional keys of the wrong
    /// kind and what cannot be a URL are left out and told in [`Self::flaws`]; repeated URLs and
    /// those beyond the bounds of [`crate::limits`] are left out.
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
        let mut flaws = Flaws::default();
        let mut text = |key| flaws.optional(dict.opt_bytes(key)).map(cut_text);
        Ok(Self {
            info_hash: InfoHash(sha1(info.bytes())),
            info,
            comment: text("comment.utf-8").or_else(|| text("comment")),
            created_by: text("created by"),
            encoding: text("encoding"),
            creation_date: flaws.optional(dict.opt_int("creation date")),
            tiers: tiers(dict, &mut flaws),
            web_seeds: web_seeds(dict, "url-list", &mut flaws),
            http_seeds: web_seeds(dict, "httpseeds", &mut flaws),
            flaws: flaws.0,
        })
    }

    /// From the exact bytes of `info` alone, as BEP 9 peers send them: no trackers, no web seeds.
    /// [`Self::info_hash`] is of these bytes, whatever they were asked for as.
    ///
    /// # Errors
    /// [`TorrentError`]; bytes behind the dictionary are one.
    pub fn from_info(bytes: &[u8]) -> Result<Self, TorrentError> {
        let info = Info::parse(bytes)?;
        Ok(Self {
            info_hash: InfoHash(sha1(bytes)),
            info,
            tiers: Vec::new(),
            web_seeds: Vec::new(),
            http_seeds: Vec::new(),
            comment: None,
            created_by: None,
            creation_date: None,
            encoding: None,
            flaws: Vec::new(),
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
    /// The first entry that cannot be a URL, in quotes, and how many there are.
    pub(crate) wrong: (Option<String>, usize),
}

impl Urls {
    pub(crate) fn new(count_max: usize) -> Self {
        Self {
            seen: BTreeSet::new(),
            left: count_max,
            wrong: (None, 0),
        }
    }

    /// The URL without white space around it, if it is usable, new, and within the bounds.
    pub(crate) fn keep(&mut self, bytes: &[u8]) -> Option<String> {
        let url = str::from_utf8(bytes.trim_ascii()).unwrap_or_default();
        if url.is_empty() || url.len() > URL_BYTES_MAX || url.contains(is_deceptive) {
            self.refuse(bytes);
            return None;
        }
        if self.left == 0 || !self.seen.insert(url.to_owned()) {
            return None;
        }
        self.left -= 1;
        Some(url.to_owned())
    }

    fn refuse(&mut self, entry: &[u8]) {
        self.wrong.0.get_or_insert_with(|| quote(entry));
        self.wrong.1 += 1;
    }

    pub(crate) fn is_full(&self) -> bool {
        self.left == 0
    }
}

fn tiers(dict: Dict<'_, '_>, flaws: &mut Flaws) -> Vec<Vec<String>> {
    let mut urls = Urls::new(TRACKERS_MAX);
    let mut tiers = Vec::new();
    let list = flaws.optional(dict.opt_list("announce-list"));
    for node in list.into_iter().flatten() {
        if urls.is_full() {
            break;
        }
        let tier = kept(node, &mut urls);
        if !tier.is_empty() {
            tiers.push(tier);
        }
    }
    flaws.no_urls("announce-list", urls);
    let announce = flaws.optional(dict.opt_bytes("announce"));
    if let Some(announce) = announce.filter(|_| tiers.is_empty()) {
        let mut urls = Urls::new(1);
        tiers.extend(urls.keep(announce).map(|url| vec![url]));
        flaws.no_urls("announce", urls);
    }
    tiers
}

/// One string or a list of them. Many makers write an empty one for none.
fn web_seeds(dict: Dict<'_, '_>, key: &'static str, flaws: &mut Flaws) -> Vec<String> {
    let node = match dict.get(key.as_bytes()) {
        None => return Vec::new(),
        Some(node) if node.as_bytes().is_some_and(<[u8]>::is_empty) => return Vec::new(),
        Some(node) => node,
    };
    if !matches!(node.kind(), Kind::Bytes | Kind::List) {
        let (expected, found) = (Kind::List, node.kind());
        flaws.0.push(Flaw::Mistyped(FieldError::WrongType {
            key,
            expected,
            found,
        }));
        return Vec::new();
    }
    let mut urls = Urls::new(WEB_SEEDS_MAX);
    let seeds = kept(node, &mut urls);
    flaws.no_urls(key, urls);
    seeds
}

/// What is worth keeping of a list of URLs, or of one that stands alone.
fn kept(node: Node<'_, '_>, urls: &mut Urls) -> Vec<String> {
    if let Some(url) = node.as_bytes() {
        return urls.keep(url).into_iter().collect();
    }
    let Some(items) = node.as_list() else {
        urls.refuse(node.raw());
        return Vec::new();
    };
    let mut kept = Vec::new();
    for item in items {
        match item.as_bytes() {
            Some(url) => kept.extend(urls.keep(url)),
            None => urls.refuse(item.raw()),
        }
    }
    kept
}
