//! Lists of torrents and of clients, and the text that they are written in.
//!
//! A line each; what follows a `#` is for people. A list with a mistake in it is no list: half of
//! one would serve, or refuse, what nobody meant. Where the text comes from is not known here.

use std::collections::BTreeSet;

use shoal_metainfo::InfoHash;

use crate::limits;
use crate::registry::Refusal;

/// Which torrents are served, sorted: looked at for a torrent that is new.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lists {
    allowed: Option<Box<[InfoHash]>>,
    denied: Box<[InfoHash]>,
}

impl Lists {
    /// With `allowed`, those alone; without, any. In no case one that is denied.
    #[must_use]
    pub fn new(allowed: Option<BTreeSet<InfoHash>>, denied: BTreeSet<InfoHash>) -> Self {
        Self {
            allowed: allowed.map(|allowed| allowed.into_iter().collect()),
            denied: denied.into_iter().collect(),
        }
    }

    /// Whether only some torrents are served.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.allowed.is_some()
    }

    /// The torrents that a closed tracker may serve; some may be denied.
    #[must_use]
    pub fn allowed(&self) -> Option<&[InfoHash]> {
        self.allowed.as_deref()
    }

    /// The torrents that are not served.
    #[must_use]
    pub fn denied(&self) -> &[InfoHash] {
        &self.denied
    }

    /// At most `max` of each list, from behind `after`, and whether there are more of either. Both
    /// end with the same info hash, where the one that has more does, so that none is passed over.
    #[must_use]
    pub fn page(&self, after: Option<&InfoHash>, max: usize) -> (&[InfoHash], &[InfoHash], bool) {
        let behind = |list| {
            let list: &[InfoHash] = list;
            let at = after.map_or(0, |after| list.partition_point(|hash| hash <= after));
            &list[at..]
        };
        let [allowed, denied] = [self.allowed().unwrap_or_default(), &self.denied].map(behind);
        let ends = [allowed, denied].map(|list| (list.len() > max).then(|| list[max - 1]));
        let Some(end) = ends.into_iter().flatten().min() else {
            return (allowed, denied, false);
        };
        let upto = |list| {
            let list: &[InfoHash] = list;
            &list[..list.partition_point(|hash| *hash <= end)]
        };
        (upto(allowed), upto(denied), true)
    }

    /// Whether a torrent is one of those that a closed tracker serves.
    #[must_use]
    pub fn names(&self, info_hash: &InfoHash) -> bool {
        let allowed = self.allowed().unwrap_or_default();
        allowed.binary_search(info_hash).is_ok() && self.denied.binary_search(info_hash).is_err()
    }

    /// Whether a torrent is served.
    ///
    /// # Errors
    /// [`Refusal`] says why not.
    pub fn admit(&self, info_hash: &InfoHash) -> Result<(), Refusal> {
        if self.denied.binary_search(info_hash).is_ok() {
            return Err(Refusal::Denied(*info_hash));
        }
        match &self.allowed {
            Some(allowed) if allowed.binary_search(info_hash).is_err() => {
                Err(Refusal::Unregistered(*info_hash))
            }
            _ => Ok(()),
        }
    }
}

/// A list that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{line}: {mistake}")]
pub struct ListError {
    /// The line at fault, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub mistake: Mistake,
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Mistake {
    /// No info hash.
    #[error("an info hash has 40 hex digits, and a remark begins with #")]
    Hash,
    /// No prefix of a peer id.
    #[error(
        "the beginning of a peer id has 1 to 20 letters, digits or signs, as -XL, and a remark \
         begins with #"
    )]
    Client,
    /// More lines than a list may have.
    #[error("a list has at most {0} entries; this is one more")]
    TooMany(usize),
}

/// Reads a list of info hashes.
///
/// # Errors
/// [`ListError`] names the first line at fault.
pub fn parse_hashes(text: &[u8]) -> Result<BTreeSet<InfoHash>, ListError> {
    let mut hashes = Vec::new();
    for (line, entry) in entries(text) {
        let max = limits::LISTED_MAX;
        if hashes.len() == max {
            let mistake = Mistake::TooMany(max);
            return Err(ListError { line, mistake });
        }
        let hash = std::str::from_utf8(entry).ok().and_then(InfoHash::from_hex);
        let mistake = Mistake::Hash;
        hashes.push(hash.ok_or(ListError { line, mistake })?);
    }
    // Of a vector, sorted once: a set that grows one by one is slower.
    Ok(hashes.into_iter().collect())
}

/// Reads a list of clients: how their peer ids begin. BEP 20.
///
/// # Errors
/// [`ListError`] names the first line at fault.
pub fn parse_clients(text: &[u8]) -> Result<Vec<Box<[u8]>>, ListError> {
    let mut clients = BTreeSet::new();
    for (line, entry) in entries(text) {
        let max = limits::CLIENTS_LISTED_MAX;
        if clients.len() == max {
            let mistake = Mistake::TooMany(max);
            return Err(ListError { line, mistake });
        }
        if entry.len() > 20 || !entry.iter().all(u8::is_ascii_graphic) {
            let mistake = Mistake::Client;
            return Err(ListError { line, mistake });
        }
        clients.insert(entry.into());
    }
    Ok(clients.into_iter().collect())
}

/// The lines that say something, with their numbers from 1.
fn entries(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    // Source: editors of some systems put a byte order mark in front.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let lines = text.split(|&byte| byte == b'\n').enumerate();
    let said = lines.map(|(at, line)| {
        let said = line.split(|&byte| byte == b'#').next().unwrap_or_default();
        (at + 1, said.trim_ascii())
    });
    said.filter(|(_, entry)| !entry.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hashes_are_read_with_remarks_and_any_line_ends() {
        let (a, b) = ("0a".repeat(20), "FF".repeat(20));
        let text = format!("\u{feff}# ours\r\n{a}\r\n\n  {b} # a film\n{a}\n\t\n");
        let hashes: Vec<_> = parse_hashes(text.as_bytes()).unwrap().into_iter().collect();
        assert_eq!(hashes, [InfoHash([10; 20]), InfoHash([255; 20])]);
        assert_eq!(parse_hashes(b"").unwrap().len(), 0);
    }

    #[test]
    fn mistake_is_told_with_its_line() {
        let good = "0a".repeat(20);
        for (text, line) in [
            (format!("{good}\n{}\n", &good[1..]), 2),
            (format!("\n#\n{good} {good}"), 3),
            (format!("{good}0"), 1),
            (good.replace('a', "g"), 1),
        ] {
            let mistake = Mistake::Hash;
            let error = parse_hashes(text.as_bytes()).unwrap_err();
            assert_eq!(error, ListError { line, mistake }, "{text}");
        }
        assert_eq!(parse_hashes(b"\n\xff").unwrap_err().line, 2);
        assert_eq!(parse_clients(b"-XL\n\xff").unwrap_err().line, 2);
        assert_eq!(parse_clients(b"-XL -SD").unwrap_err().line, 1);
        let error = parse_clients(&[b'x'; 21]).unwrap_err();
        assert!(error.to_string().starts_with("1: the beginning"), "{error}");
    }

    #[test]
    fn clients_are_prefixes_of_peer_ids() {
        let clients = parse_clients(b"-XL0012 # Thunder\n-SD\n-SD\n").unwrap();
        assert_eq!(clients, [(*b"-SD").into(), Box::<[u8]>::from(*b"-XL0012")]);
    }

    #[test]
    fn denied_is_stronger_than_allowed() {
        let [a, b, c] = [1, 2, 3].map(|n| InfoHash([n; 20]));
        let open = Lists::new(None, [b].into());
        assert_eq!(open.admit(&a), Ok(()));
        assert_eq!(open.admit(&b), Err(Refusal::Denied(b)));
        let closed = Lists::new(Some([a, b].into()), [b].into());
        assert_eq!(closed.admit(&a), Ok(()));
        assert_eq!(closed.admit(&b), Err(Refusal::Denied(b)));
        assert_eq!(closed.admit(&c), Err(Refusal::Unregistered(c)));
    }

    proptest! {
        #[test]
        fn pages_have_all_of_both_lists_once_and_in_order(
            allowed: Option<BTreeSet<u8>>,
            denied: BTreeSet<u8>,
            max in 1..9_usize,
        ) {
            let hashes = |set: BTreeSet<u8>| set.into_iter().map(|n| InfoHash([n; 20])).collect();
            let lists = Lists::new(allowed.map(hashes), hashes(denied));
            let (mut had, mut after) = ((Vec::new(), Vec::new()), None);
            loop {
                let (allowed, denied, more) = lists.page(after.as_ref(), max);
                prop_assert!(allowed.len() <= max && denied.len() <= max);
                had.0.extend_from_slice(allowed);
                had.1.extend_from_slice(denied);
                if !more {
                    break;
                }
                prop_assert!(allowed.len() == max || denied.len() == max);
                after = allowed.last().max(denied.last()).copied();
            }
            prop_assert_eq!(had.0, lists.allowed().unwrap_or_default());
            prop_assert_eq!(had.1, lists.denied());
        }

        #[test]
        fn any_text_is_a_list_or_has_a_line_at_fault(
            text in "[0-9a-fA-F# \n\r]{0,200}",
            raw: Vec<u8>,
        ) {
            for text in [text.as_bytes(), &raw] {
                crate::fuzz::lists(text);
            }
        }

        #[test]
        fn lists_round_trip(hashes: BTreeSet<[u8; 20]>) {
            let hashes: BTreeSet<_> = hashes.into_iter().map(InfoHash).collect();
            let text: String = hashes.iter().map(|hash| format!("{hash}\n")).collect();
            prop_assert_eq!(parse_hashes(text.as_bytes()), Ok(hashes));
        }
    }
}
