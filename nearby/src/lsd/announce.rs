//! The datagram of an announce: a head like HTTP's, with torrents in it. BEP 14.
//!
//! Written as the BEP has it. Read leniently, for clients differ in case, spaces and line ends:
//! what is not understood is passed over, and what is kept has bounds.

use std::fmt::Write as _;
use std::net::SocketAddr;

use shoal_metainfo::InfoHash;

use crate::limits::{ANNOUNCE_LENGTH_MAX, COOKIE_LENGTH_MAX, TORRENTS_PER_ANNOUNCE_MAX};

/// The first word of the first line; the rest of that line is not looked at.
const METHOD: &str = "BT-SEARCH";

/// Somebody takes part in some torrents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announce {
    /// Where peers reach it. Never 0.
    pub port: u16,
    /// The torrents, one at least and [`TORRENTS_PER_ANNOUNCE_MAX`] at most.
    pub info_hashes: Vec<InfoHash>,
    /// By which the sender knows its own announces again; printable, or none.
    pub cookie: Option<String>,
}

/// Why a datagram is no announce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnnounceError {
    /// Longer than any announce may be.
    #[error("a datagram of {0} bytes, more than {ANNOUNCE_LENGTH_MAX}")]
    TooLong(usize),
    /// The first line says something else.
    #[error("not a BT-SEARCH")]
    Method,
    /// No port, or one that nobody can be reached at.
    #[error("no port")]
    Port,
    /// No torrent that can be read.
    #[error("no info hash")]
    InfoHash,
}

impl Announce {
    /// The datagram for a group.
    ///
    /// Never longer than [`ANNOUNCE_LENGTH_MAX`] while the fields keep to their bounds.
    #[must_use]
    pub fn encode(&self, group: SocketAddr) -> Vec<u8> {
        let mut text = format!(
            "{METHOD} * HTTP/1.1\r\nHost: {group}\r\nPort: {}\r\n",
            self.port
        );
        for info_hash in &self.info_hashes {
            write!(text, "Infohash: {info_hash}\r\n").expect("a string takes what is written");
        }
        if let Some(cookie) = &self.cookie {
            write!(text, "cookie: {cookie}\r\n").expect("a string takes what is written");
        }
        text.push_str("\r\n\r\n");
        text.into_bytes()
    }

    /// Reads a datagram.
    ///
    /// Torrents that cannot be read, and those above the bound, are passed over.
    ///
    /// # Errors
    /// [`AnnounceError`] when there is nothing of use in it.
    pub fn decode(datagram: &[u8]) -> Result<Self, AnnounceError> {
        if datagram.len() > ANNOUNCE_LENGTH_MAX {
            return Err(AnnounceError::TooLong(datagram.len()));
        }
        let mut lines = datagram
            .split(|&byte| byte == b'\n')
            .map(<[u8]>::trim_ascii);
        let first = lines.next().unwrap_or_default();
        let method = first.split(|&byte| byte == b' ').next();
        if !method.is_some_and(|method| method.eq_ignore_ascii_case(METHOD.as_bytes())) {
            return Err(AnnounceError::Method);
        }
        let (mut port, mut cookie, mut info_hashes) = (None, None, Vec::new());
        // What stands behind an empty line is a body, which an announce does not have.
        for (name, value) in lines.take_while(|line| !line.is_empty()).filter_map(header) {
            if name.eq_ignore_ascii_case("port") {
                port = value.parse().ok().filter(|&port: &u16| port != 0);
            } else if name.eq_ignore_ascii_case("cookie") {
                cookie = Some(value).filter(|cookie| is_cookie(cookie));
            } else if name.eq_ignore_ascii_case("infohash")
                && info_hashes.len() < TORRENTS_PER_ANNOUNCE_MAX
            {
                info_hashes.extend(InfoHash::from_hex(value));
            }
        }
        if info_hashes.is_empty() {
            return Err(AnnounceError::InfoHash);
        }
        Ok(Self {
            port: port.ok_or(AnnounceError::Port)?,
            info_hashes,
            cookie: cookie.map(str::to_owned),
        })
    }
}

fn header(line: &[u8]) -> Option<(&str, &str)> {
    let (name, value) = str::from_utf8(line).ok()?.split_once(':')?;
    Some((name.trim(), value.trim()))
}

fn is_cookie(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= COOKIE_LENGTH_MAX
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lsd::group;
    use proptest::collection::vec;
    use proptest::prelude::*;

    const HASH: &str = "0123456789abcdef0123456789ABCDEF01234567";

    fn check(datagram: &str, expect: Result<(u16, usize, Option<&str>), AnnounceError>) {
        let found = Announce::decode(datagram.as_bytes());
        let found = found.as_ref().map(|announce| {
            let Announce { port, cookie, .. } = announce;
            (*port, announce.info_hashes.len(), cookie.as_deref())
        });
        assert_eq!(found, expect.as_ref().copied(), "{datagram:?}");
    }

    #[test]
    fn announce_is_written_as_the_bep_has_it() {
        let announce = Announce {
            port: 6881,
            info_hashes: vec![InfoHash([0xab; 20]), InfoHash([1; 20])],
            cookie: Some("c00k1e".to_owned()),
        };
        let expect = format!(
            "BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 6881\r\nInfohash: \
             {}\r\nInfohash: {}\r\ncookie: c00k1e\r\n\r\n\r\n",
            "ab".repeat(20),
            "01".repeat(20)
        );
        assert_eq!(announce.encode(group(false)), expect.as_bytes());
        let v6 = String::from_utf8(announce.encode(group(true))).unwrap();
        assert!(v6.contains("Host: [ff15::efc0:988f]:6771\r\n"), "{v6}");
    }

    #[test]
    fn announces_of_the_field_are_read_whatever_their_spelling() {
        let good = |text: &str| text.replace("HASH", HASH);
        check(
            &good("BT-SEARCH * HTTP/1.1\r\nHost: x\r\nPort: 1\r\nInfohash: HASH\r\n\r\n\r\n"),
            Ok((1, 1, None)),
        );
        check(
            &good("bt-search * HTTP/1.0\nPORT:65535\nInFoHaSh:  HASH \nx\ncookie: a1\n"),
            Ok((65535, 1, Some("a1"))),
        );
        check(
            &good("BT-SEARCH\r\nInfohash: HASH\r\nPort: 7\r\nInfohash: HASH\r\nInfohash: zz"),
            Ok((7, 2, None)),
        );
        check(
            &good("BT-SEARCH *\r\nPort: 7\r\nInfohash: HASH\r\n\r\nInfohash: HASH\r\n"),
            Ok((7, 1, None)),
        );
        check(
            &good("BT-SEARCH *\r\nPort: 7\r\ncookie: two words\r\nInfohash: HASH\r\n"),
            Ok((7, 1, None)),
        );
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let head = format!("BT-SEARCH * HTTP/1.1\r\nInfohash: {HASH}\r\n");
        check("", Err(AnnounceError::Method));
        check("M-SEARCH * HTTP/1.1\r\n", Err(AnnounceError::Method));
        check(
            "BT-SEARCH * HTTP/1.1\r\nPort: 1\r\n",
            Err(AnnounceError::InfoHash),
        );
        for port in [
            "",
            "Port: 0\r\n",
            "Port: 65536\r\n",
            "Port: -1\r\n",
            "Port:\r\n",
        ] {
            check(&format!("{head}{port}"), Err(AnnounceError::Port));
        }
        let long = " ".repeat(ANNOUNCE_LENGTH_MAX + 1);
        check(&long, Err(AnnounceError::TooLong(ANNOUNCE_LENGTH_MAX + 1)));
    }

    #[test]
    fn torrents_above_the_bound_are_passed_over() {
        let mut text = "BT-SEARCH *\nPort: 1\n".to_owned();
        (0..TORRENTS_PER_ANNOUNCE_MAX + 1).for_each(|_| text += &format!("Infohash:{HASH}\n"));
        check(&text, Ok((1, TORRENTS_PER_ANNOUNCE_MAX, None)));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_and_fits(
            port in 1u16..,
            hashes in vec(any::<[u8; 20]>(), 1..=TORRENTS_PER_ANNOUNCE_MAX),
            cookie in proptest::option::of("[!-~]{1,32}"),
            is_ipv6: bool,
        ) {
            let info_hashes = hashes.into_iter().map(InfoHash).collect();
            let announce = Announce { port, info_hashes, cookie };
            let datagram = announce.encode(group(is_ipv6));
            prop_assert!(datagram.len() <= ANNOUNCE_LENGTH_MAX);
            prop_assert_eq!(Announce::decode(&datagram), Ok(announce));
        }

        #[test]
        fn no_bytes_are_too_strange(bytes in vec(any::<u8>(), 0..2000)) {
            crate::fuzz::lsd(&bytes);
        }
    }
}
