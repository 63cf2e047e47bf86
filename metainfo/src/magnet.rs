//! Magnet links: a torrent named by its hash, with hints where to find it. BEP 9 "magnet URI
//! format", BEP 53 "select only".
//!
//! Reads what is in use (hash in hex or base32, numbered keys, `&amp;` from web pages) and writes
//! one form. Knows nothing of the content: that is fetched from peers.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::error::TorrentError;
use crate::id::InfoHash;
use crate::limits::{
    FILES_MAX, MAGNET_BYTES_MAX, MAGNET_PEERS_MAX, TEXT_BYTES_MAX, TRACKERS_MAX, WEB_SEEDS_MAX,
};
use crate::text::{cut, is_deceptive, quote};
use crate::torrent::{Torrent, Urls};

/// A magnet link.
///
/// ```
/// use shoal_metainfo::Magnet;
/// let link = "magnet:?xt=urn:btih:c12fe1c06bba254a9dc9f519b335aa7c1367a88a&dn=a%20name";
/// let magnet: Magnet = link.parse()?;
/// assert_eq!(magnet.name.as_deref(), Some("a name"));
/// assert_eq!(magnet.to_string(), link);
/// # Ok::<(), shoal_metainfo::MagnetError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Magnet {
    /// `xt`: which torrent.
    pub info_hash: InfoHash,
    /// `dn`: a name for people; print it as [`crate::text::Printable`], never use it as a path.
    pub name: Option<String>,
    /// `xl`: bytes of content.
    pub length: Option<u64>,
    /// `tr`: announce URLs.
    pub trackers: Vec<String>,
    /// `ws`: web seeds. Source: BEP 19 in magnets, in wide use.
    pub web_seeds: Vec<String>,
    /// `x.pe`: peers as `host:port`, the host a name, an IPv4 address, or an IPv6 one in brackets.
    pub peers: Vec<String>,
    /// `so`: the numbers of the files that are wanted, from zero, ascending and apart; empty: all
    /// of them. Source: BEP 53.
    pub select: Vec<RangeInclusive<u32>>,
}

/// Why text is no magnet link that we can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MagnetError {
    /// Does not begin with `magnet:?`.
    #[error("{0} is not a magnet link: it must begin with `magnet:?`")]
    NotMagnet(String),
    /// Longer than [`MAGNET_BYTES_MAX`].
    #[error("the magnet link has {0} bytes, at most {MAGNET_BYTES_MAX} are read: copy it again")]
    TooLong(usize),
    /// No `xt=urn:btih:`.
    #[error("the magnet link has no `xt=urn:btih:` with an info hash: copy the whole link")]
    NoInfoHash,
    /// An info hash of the wrong length or with foreign digits.
    #[error(
        "the magnet link's info hash {0} is neither 40 hex digits nor 32 of base32: \
         copy the whole link"
    )]
    InfoHash(String),
    /// Two different info hashes.
    #[error("the magnet link names two torrents: {0} and {1}; use one link for each")]
    TwoInfoHashes(InfoHash, InfoHash),
    /// Only a v2 hash.
    #[error(
        "the magnet link names a v2-only torrent (`urn:btmh`), which is not supported yet: \
         get a link with `urn:btih`"
    )]
    V2Only,
}

/// Everything but RFC 3986's unreserved characters.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A host and its port stay legible.
const ESCAPED_PEER: &AsciiSet = &ESCAPED.remove(b':').remove(b'[').remove(b']');

impl Magnet {
    /// With nothing but the hash.
    #[must_use]
    pub fn new(info_hash: InfoHash) -> Self {
        Self {
            info_hash,
            name: None,
            length: None,
            trackers: Vec::new(),
            web_seeds: Vec::new(),
            peers: Vec::new(),
            select: Vec::new(),
        }
    }

    /// Its trackers, each a tier of its own: the first that answers is used.
    #[must_use]
    pub fn tiers(&self) -> Vec<Vec<String>> {
        self.trackers.iter().map(|url| vec![url.clone()]).collect()
    }

    /// The torrent that it names, once its `info` is here: with the trackers and the web seeds of
    /// the link. That the bytes are those that the link names is the caller's to know.
    ///
    /// # Errors
    /// [`TorrentError`], as of any .torrent.
    pub fn torrent(&self, info: &[u8]) -> Result<Torrent, TorrentError> {
        Ok(Torrent {
            tiers: self.tiers(),
            web_seeds: self.web_seeds.clone(),
            ..Torrent::from_info(info)?
        })
    }

    /// The link to a torrent, with its trackers and web seeds.
    #[must_use]
    pub fn from_torrent(torrent: &Torrent) -> Self {
        Self {
            name: Some(torrent.info.name.clone()),
            length: Some(torrent.info.geometry.total()),
            trackers: torrent.trackers().map(str::to_owned).collect(),
            web_seeds: torrent.web_seeds.clone(),
            ..Self::new(torrent.info_hash)
        }
    }
}

impl fmt::Display for Magnet {
    /// A link that [`Magnet::from_str`] reads back; only printable ASCII.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "magnet:?xt=urn:btih:{}", self.info_hash)?;
        if let Some(name) = &self.name {
            write!(f, "&dn={}", utf8_percent_encode(name, ESCAPED))?;
        }
        if let Some(length) = self.length {
            write!(f, "&xl={length}")?;
        }
        for url in &self.trackers {
            write!(f, "&tr={}", utf8_percent_encode(url, ESCAPED))?;
        }
        for url in &self.web_seeds {
            write!(f, "&ws={}", utf8_percent_encode(url, ESCAPED))?;
        }
        for peer in &self.peers {
            write!(f, "&x.pe={}", utf8_percent_encode(peer, ESCAPED_PEER))?;
        }
        for (nth, files) in self.select.iter().enumerate() {
            f.write_str(if nth == 0 { "&so=" } else { "," })?;
            match files.start() == files.end() {
                true => write!(f, "{}", files.start())?,
                false => write!(f, "{}-{}", files.start(), files.end())?,
            }
        }
        Ok(())
    }
}

impl Magnet {
    /// The parts of a link that say nothing, though their key is known: `so=8-6`, `x.pe=a`. As
    /// written, shortened, and at most ten.
    #[must_use]
    pub fn senseless(link: &str) -> Vec<String> {
        let query = link.split_once('?').map_or("", |(_, query)| query);
        let pairs = query
            .split('&')
            .map(|pair| pair.strip_prefix("amp;").unwrap_or(pair));
        let is_senseless = |pair: &&str| {
            let Some((key, value)) = pair.split_once('=') else {
                return false;
            };
            let bytes: Vec<u8> = percent_decode_str(value).collect();
            match plain_key(key).to_ascii_lowercase().as_str() {
                "so" => str::from_utf8(&bytes).ok().and_then(read_ranges).is_none(),
                "x.pe" => !is_peer(&bytes),
                "tr" | "ws" => Urls::new(1).keep(&bytes).is_none(),
                _ => false,
            }
        };
        let senseless = pairs.filter(is_senseless).take(10);
        senseless.map(|pair| quote(pair.as_bytes())).collect()
    }
}

impl FromStr for Magnet {
    type Err = MagnetError;

    /// Reads a link. Unknown keys, and values that are malformed, repeated or beyond the bounds of
    /// [`crate::limits`], are ignored; only the info hash must be right.
    fn from_str(link: &str) -> Result<Self, MagnetError> {
        let link = link.trim();
        if link.len() > MAGNET_BYTES_MAX {
            return Err(MagnetError::TooLong(link.len()));
        }
        let query = link
            .split_at_checked(8)
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("magnet:?"))
            .map(|(_, query)| query)
            .ok_or_else(|| MagnetError::NotMagnet(quote(link.as_bytes())))?;
        let mut reader = Reader::default();
        for pair in query.split('&') {
            let pair = pair.strip_prefix("amp;").unwrap_or(pair);
            if let Some((key, value)) = pair.split_once('=') {
                reader.take(key, value)?;
            }
        }
        reader.finish()
    }
}

/// A link of which some pairs are read.
struct Reader {
    info_hash: Option<InfoHash>,
    has_v2_hash: bool,
    trackers: Urls,
    web_seeds: Urls,
    peers: Urls,
    magnet: Magnet,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            info_hash: None,
            has_v2_hash: false,
            trackers: Urls::new(TRACKERS_MAX),
            web_seeds: Urls::new(WEB_SEEDS_MAX),
            peers: Urls::new(MAGNET_PEERS_MAX),
            magnet: Magnet::new(InfoHash([0; 20])),
        }
    }
}

impl Reader {
    fn take(&mut self, key: &str, value: &str) -> Result<(), MagnetError> {
        let bytes = || percent_decode_str(value).collect::<Vec<u8>>();
        match plain_key(key).to_ascii_lowercase().as_str() {
            "xt" => self.take_topic(&bytes())?,
            "dn" if self.magnet.name.is_none() => {
                let name = value.replace('+', " ");
                let name = percent_decode_str(&name).decode_utf8_lossy();
                let name = cut(&name, TEXT_BYTES_MAX);
                self.magnet.name = Some(name.to_owned()).filter(|name| !name.is_empty());
            }
            "xl" => self.magnet.length = value.parse().ok(),
            "tr" => self.magnet.trackers.extend(self.trackers.keep(&bytes())),
            "ws" => self.magnet.web_seeds.extend(self.web_seeds.keep(&bytes())),
            "so" if self.magnet.select.is_empty() => self.magnet.select = selection(&bytes()),
            "x.pe" if is_peer(&bytes()) => self.magnet.peers.extend(self.peers.keep(&bytes())),
            _ => {}
        }
        Ok(())
    }

    fn take_topic(&mut self, topic: &[u8]) -> Result<(), MagnetError> {
        let prefix = topic.get(..9).unwrap_or_default();
        if prefix.eq_ignore_ascii_case(b"urn:btmh:") {
            self.has_v2_hash = true;
        }
        if !prefix.eq_ignore_ascii_case(b"urn:btih:") {
            return Ok(());
        }
        let digits = &topic[9..];
        let hash = str::from_utf8(digits).ok().and_then(read_hash);
        let hash = hash.ok_or_else(|| MagnetError::InfoHash(quote(digits)))?;
        match self.info_hash.replace(hash) {
            Some(other) if other != hash => Err(MagnetError::TwoInfoHashes(other, hash)),
            _ => Ok(()),
        }
    }

    fn finish(self) -> Result<Magnet, MagnetError> {
        match self.info_hash {
            Some(info_hash) => Ok(Magnet {
                info_hash,
                ..self.magnet
            }),
            None if self.has_v2_hash => Err(MagnetError::V2Only),
            None => Err(MagnetError::NoInfoHash),
        }
    }
}

/// A key without its number: `tr.2` is `tr`.
fn plain_key(key: &str) -> &str {
    match key.rsplit_once('.') {
        Some((plain, number)) if number.bytes().all(|b| b.is_ascii_digit()) => plain,
        _ => key,
    }
}

fn read_hash(digits: &str) -> Option<InfoHash> {
    InfoHash::from_hex(digits).or_else(|| from_base32(digits))
}

/// 32 digits of RFC 4648's base32, either case.
fn from_base32(digits: &str) -> Option<InfoHash> {
    if digits.len() != 32 {
        return None;
    }
    let mut bytes = [0; 20];
    let groups = digits.as_bytes().as_chunks::<8>().0;
    for (group, out) in groups.iter().zip(bytes.as_chunks_mut::<5>().0) {
        let bits = group.iter().try_fold(0u64, |bits, &digit| {
            let value = match digit.to_ascii_uppercase() {
                letter @ b'A'..=b'Z' => letter - b'A',
                number @ b'2'..=b'7' => number - b'2' + 26,
                _ => return None,
            };
            Some(bits << 5 | u64::from(value))
        })?;
        out.copy_from_slice(&bits.to_be_bytes()[3..]);
    }
    Some(InfoHash(bytes))
}

/// `0,2,6-8` as ranges that ascend and do not touch; what makes no sense is left out.
fn selection(list: &[u8]) -> Vec<RangeInclusive<u32>> {
    let items = str::from_utf8(list).unwrap_or_default().split(',');
    apart(items.filter_map(range).collect())
}

/// The same of a person who can say it again: `None` when some of it makes no sense.
pub(crate) fn read_ranges(list: &str) -> Option<Vec<RangeInclusive<u32>>> {
    let items = list.split(',').map(|item| range(item.trim()));
    items.collect::<Option<Vec<_>>>().map(apart)
}

fn range(item: &str) -> Option<(u32, u32)> {
    let last = u32::try_from(FILES_MAX).map_or(u32::MAX, |files| files - 1);
    let number = |text: &str| text.parse().ok().filter(|&number: &u32| number <= last);
    let (first, last) = item.split_once('-').unwrap_or((item, item));
    let range = (number(first)?, number(last)?);
    (range.0 <= range.1).then_some(range)
}

fn apart(mut ranges: Vec<(u32, u32)>) -> Vec<RangeInclusive<u32>> {
    ranges.sort_unstable();
    let mut apart: Vec<RangeInclusive<u32>> = Vec::new();
    for (first, last) in ranges {
        match apart.last_mut() {
            Some(before) if first <= before.end() + 1 => {
                *before = *before.start()..=last.max(*before.end());
            }
            _ => apart.push(first..=last),
        }
    }
    apart
}

/// Whether it is `host:port` with a port above zero.
fn is_peer(peer: &[u8]) -> bool {
    let Ok(peer) = str::from_utf8(peer) else {
        return false;
    };
    let Some((host, port)) = peer.rsplit_once(':') else {
        return false;
    };
    let bracketed = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host_ok = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && !host.contains(|c: char| {
                    matches!(c, ':' | '[' | ']' | '/' | '@') || c.is_whitespace() || is_deceptive(c)
                })
        }
    };
    host_ok && port.parse().is_ok_and(|port: u16| port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEX: &str = "c12fe1c06bba254a9dc9f519b335aa7c1367a88a";
    const BASE32: &str = "YEX6DQDLXISUVHOJ6UM3GNNKPQJWPKEK";

    fn check(link: &str, expected: Result<Magnet, MagnetError>) {
        assert_eq!(link.parse::<Magnet>(), expected, "of {link}");
    }

    fn bare() -> Magnet {
        Magnet::new(InfoHash::from_hex(HEX).unwrap())
    }

    #[test]
    fn hash_is_read_in_hex_and_base32_of_either_case() {
        for hash in [HEX, BASE32] {
            for hash in [hash.to_uppercase(), hash.to_lowercase()] {
                check(&format!("magnet:?xt=urn:btih:{hash}"), Ok(bare()));
                check(&format!("  MAGNET:?XT=URN:BTIH:{hash}\n"), Ok(bare()));
                check(
                    &format!("magnet:?dn=&xt.1=urn%3Abtih%3A{hash}&"),
                    Ok(bare()),
                );
            }
        }
    }

    #[test]
    fn all_parts_are_read_whatever_their_order() {
        let link = format!(
            "magnet:?tr.1=http%3A%2F%2Fa%2Fannounce&x.pe=1.2.3.4%3A5&ws=http://w/\
             &dn=a+b%20c%2Bd&xt=urn:btih:{HEX}&amp;tr=udp://b:1&tr=udp://b:1\
             &xl=12&x.pe=[::1]:6&so=4,0,2-3,9,x,7-6,3-4"
        );
        let expected = Magnet {
            name: Some("a b c+d".to_owned()),
            length: Some(12),
            trackers: vec!["http://a/announce".to_owned(), "udp://b:1".to_owned()],
            web_seeds: vec!["http://w/".to_owned()],
            peers: vec!["1.2.3.4:5".to_owned(), "[::1]:6".to_owned()],
            select: vec![0..=0, 2..=4, 9..=9],
            ..bare()
        };
        check(&link, Ok(expected));
    }

    #[test]
    fn links_without_a_usable_hash_are_refused() {
        let v2 = format!("urn:btmh:1220{}", "ab".repeat(32));
        check("", Err(MagnetError::NotMagnet("``".to_owned())));
        check(
            "http://a/",
            Err(MagnetError::NotMagnet("`http://a/`".to_owned())),
        );
        check(
            "magnet:é",
            Err(MagnetError::NotMagnet("`magnet:é`".to_owned())),
        );
        check("magnet:?", Err(MagnetError::NoInfoHash));
        check("magnet:?dn=a", Err(MagnetError::NoInfoHash));
        check("magnet:?xt=urn:sha1:abc", Err(MagnetError::NoInfoHash));
        check(&format!("magnet:?xt={v2}"), Err(MagnetError::V2Only));
        check(&format!("magnet:?xt={v2}&xt=urn:btih:{HEX}"), Ok(bare()));
        for hash in [
            "",
            "abc",
            &HEX[1..],
            &format!("{HEX}0"),
            &BASE32.replace('Y', "1"),
        ] {
            let error = MagnetError::InfoHash(format!("`{hash}`"));
            check(&format!("magnet:?xt=urn:btih:{hash}"), Err(error));
        }
        let (one, other) = (bare().info_hash, InfoHash([0; 20]));
        check(
            &format!("magnet:?xt=urn:btih:{one}&xt.2=urn:btih:{other}"),
            Err(MagnetError::TwoInfoHashes(one, other)),
        );
        check(
            &format!("magnet:?xt=urn:btih:{one}&xt=urn:btih:{BASE32}"),
            Ok(bare()),
        );
    }

    #[test]
    fn torrent_of_a_magnet_is_the_info_with_the_trackers_of_the_link() {
        let info = b"d6:lengthi5e4:name1:a12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae";
        let magnet = Magnet {
            trackers: vec!["http://a/".to_owned(), "http://b/".to_owned()],
            web_seeds: vec!["http://w/".to_owned()],
            ..bare()
        };
        let torrent = magnet.torrent(info).unwrap();
        assert_eq!(torrent.info_bytes(), info);
        assert_eq!(torrent.tiers, [["http://a/"], ["http://b/"]]);
        let draft = crate::create::Draft {
            tiers: torrent.tiers.clone(),
            web_seeds: torrent.web_seeds.clone(),
            ..crate::create::Draft::default()
        };
        let again = Torrent::parse(&draft.encode_around(torrent.info_bytes())).unwrap();
        assert_eq!(again, torrent);
        let behind = [&info[..], b"x"].concat();
        assert!(magnet.torrent(&behind).is_err() && magnet.torrent(b"").is_err());
    }

    #[test]
    fn malformed_hints_are_ignored() {
        for hint in [
            "xl=-1",
            "xl=x",
            "tr=",
            "tr=%ff",
            "tr=a%0ab",
            "ws=%1b",
            "x.pe=",
            "x.pe=a",
            "x.pe=a:0",
            "x.pe=a:65536",
            "x.pe=:1",
            "x.pe=::1:80",
            "x.pe=[a]:1",
            "x.pe=a%20b:1",
            "so=",
            "so=a,-1,3-,4294967296,400000",
            "dn",
            "=",
            "&",
        ] {
            check(&format!("magnet:?xt=urn:btih:{HEX}&{hint}"), Ok(bare()));
        }
    }

    #[test]
    fn what_is_left_out_can_be_told() {
        let check = |pair: &str, expect: bool| {
            let link = format!("magnet:?xt=urn:btih:{HEX}&dn=x&{pair}&tr=http://a/");
            let told = Magnet::senseless(&link);
            assert_eq!(told.len(), usize::from(expect), "{pair}: {told:?}");
        };
        for pair in [
            "so=8-6", "so=a", "so=1,a", "so=1-", "so=", "x.pe=a", "tr=%ff", "ws=%1b",
        ] {
            check(pair, true);
        }
        for pair in [
            "so=0,2,6-8",
            "x.pe=[::1]:6",
            "dn",
            "=",
            "unknown=8-6",
            "ws.1=http://b/",
        ] {
            check(pair, false);
        }
        assert_eq!(
            Magnet::senseless(&format!("?{}", "so=a&".repeat(99))).len(),
            10
        );
    }

    #[test]
    fn everything_is_bounded() {
        let long = format!(
            "magnet:?xt=urn:btih:{HEX}&dn={}",
            "x".repeat(MAGNET_BYTES_MAX)
        );
        check(&long, Err(MagnetError::TooLong(long.len())));
        let mut link = format!("magnet:?xt=urn:btih:{HEX}&dn={}", "é".repeat(5000));
        (0..1000).for_each(|i| link += &format!("&tr=http://a/{i}&ws=w{i}&x.pe=p:{}", i + 1));
        let magnet: Magnet = link.parse().unwrap();
        assert_eq!(magnet.trackers.len(), TRACKERS_MAX);
        assert_eq!(magnet.web_seeds.len(), WEB_SEEDS_MAX);
        assert_eq!(magnet.peers.len(), MAGNET_PEERS_MAX);
    }

    prop_compose! {
        fn magnets()(
            hash: [u8; 20],
            name in prop::option::of("\\PC{1,20}"),
            length: Option<u64>,
            trackers in prop::collection::btree_set("[a-z]{1,5}://[ -~é]{1,20}[!-~]", 0..4),
            web_seeds in prop::collection::btree_set("[a-z]{1,5}://[!-~]{1,20}", 0..4),
            peers in prop::collection::btree_set("([a-z]{1,9}|\\[::[1-9]\\]):[1-9][0-9]{2}", 0..4),
            select in prop::collection::btree_set((0..1000_u32, 0..5_u32), 0..4),
        ) -> Magnet {
            Magnet {
                info_hash: InfoHash(hash),
                name,
                length,
                trackers: trackers.into_iter().collect(),
                web_seeds: web_seeds.into_iter().collect(),
                peers: peers.into_iter().collect(),
                select: selection(
                    select
                        .iter()
                        .map(|(first, more)| format!("{first}-{}", first + more))
                        .collect::<Vec<_>>()
                        .join(",")
                        .as_bytes(),
                ),
            }
        }
    }

    proptest! {
        #[test]
        fn link_reads_what_it_writes(magnet in magnets()) {
            let link = magnet.to_string();
            prop_assert!(link.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(link.parse(), Ok(magnet));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "(magnet:\\?)?(xt=urn:btih:)?\\PC{0,60}") {
            let _ = text.parse::<Magnet>();
        }
    }
}
