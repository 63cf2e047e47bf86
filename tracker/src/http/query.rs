//! The query of an announce or a scrape, built and read. BEP 3 "trackers", BEP 7, 23, 48.
//!
//! Read from raw bytes, since an info hash is not text and must not pass through anything that
//! thinks so. What a tracker does with a request it does not know.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use shoal_metainfo::{InfoHash, PeerId};

use crate::announce::{AnnounceEvent, AnnounceRequest, LEFT_UNKNOWN};
use crate::error::TrackerError;
use crate::limits;

/// All but RFC 3986's unreserved characters are encoded, so no reader can take them amiss.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// An announce as it came, with what concerns only the form of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnounceQuery {
    /// What is announced.
    pub request: AnnounceRequest,
    /// Peers in dictionaries may come without their ids. Source: BEP 23's `no_peer_id`.
    pub no_peer_id: bool,
}

/// Why a query is refused: a `failure reason` that names the parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// A parameter that must be there.
    #[error("parameter `{parameter}` is missing")]
    Missing {
        /// Its name.
        parameter: &'static str,
    },
    /// A parameter that may be there once.
    #[error("parameter `{parameter}` is given twice")]
    Doubled {
        /// Its name.
        parameter: &'static str,
    },
    /// A byte that must be written `%xx`, or a `%` without two hex digits.
    #[error("parameter `{parameter}` is not percent-encoded at byte {at} of its value")]
    Encoding {
        /// Its name.
        parameter: &'static str,
        /// The offset in its value.
        at: usize,
    },
    /// Too few or too many bytes.
    #[error("parameter `{parameter}` has {found} bytes where {expected} belong")]
    Length {
        /// Its name.
        parameter: &'static str,
        /// Bytes it must have, decoded.
        expected: usize,
        /// Bytes it has, decoded.
        found: usize,
    },
    /// Not one of the values it may have.
    #[error("parameter `{parameter}` must be {expected}")]
    Value {
        /// Its name.
        parameter: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// A scrape of more torrents than is served at once.
    #[error("more than {max} info hashes in one scrape")]
    TooMany {
        /// The bound.
        max: usize,
    },
}

/// The address that announces: the tracker's URL with the request appended to its query.
///
/// A fragment is dropped; a query that the URL has (`?passkey=x`) stays in front.
///
/// Source: BEP 3.
#[must_use]
pub fn announce_url(url: &str, request: &AnnounceRequest) -> String {
    let mut out = Appender::new(url);
    out.bytes("info_hash", &request.info_hash.0);
    out.bytes("peer_id", &request.peer_id.0);
    out.number("port", request.port.into());
    out.number("uploaded", request.uploaded);
    out.number("downloaded", request.downloaded);
    out.number("left", request.left);
    out.number("compact", request.compact.into());
    out.text("key", &format!("{:08X}", request.key));
    if let Some(event) = request.event {
        out.text("event", event.as_str());
    }
    if let Some(numwant) = request.numwant {
        out.number("numwant", numwant.into());
    }
    if let Some(id) = &request.tracker_id {
        out.bytes("trackerid", id);
    }
    out.url
}

/// The address that scrapes.
///
/// # Errors
/// [`TrackerError::ScrapeUnsupported`] unless the text behind the URL's last slash begins with
/// `announce`, which becomes `scrape`.
///
/// Source: BEP 48, "tracker HTTP scrape convention".
pub fn scrape_url(url: &str, info_hashes: &[InfoHash]) -> Result<String, TrackerError> {
    let scrape = scrape_place(url).ok_or(TrackerError::ScrapeUnsupported)?;
    let mut out = Appender::new(&scrape);
    for hash in info_hashes.iter().take(limits::SCRAPE_HASHES_MAX) {
        out.bytes("info_hash", &hash.0);
    }
    Ok(out.url)
}

/// Where to scrape, of an announce URL or its path alone; `None` where the convention gives none.
pub(crate) fn scrape_place(announce: &str) -> Option<String> {
    let (front, last) = announce.split_at(announce.rfind('/')? + 1);
    let rest = last.strip_prefix("announce")?;
    Some(format!("{front}scrape{rest}"))
}

struct Appender {
    url: String,
}

impl Appender {
    fn new(url: &str) -> Self {
        let url = url.split_once('#').map_or(url, |(front, _)| front);
        let mut out = String::with_capacity(url.len() + 400);
        out.push_str(url);
        Self { url: out }
    }

    fn text(&mut self, name: &str, value: &str) {
        if !self.url.contains('?') {
            self.url.push('?');
        } else if !self.url.ends_with(['?', '&']) {
            self.url.push('&');
        }
        self.url.push_str(name);
        self.url.push('=');
        self.url.push_str(value);
    }

    fn bytes(&mut self, name: &str, value: &[u8]) {
        self.text(name, "");
        self.url.extend(percent_encode(value, ENCODED));
    }

    fn number(&mut self, name: &str, value: u64) {
        self.text(name, &value.to_string());
    }
}

/// Reads the query of an announce, without its `?`.
///
/// `+` stands for a space, as in an HTML form: real clients write `%20` and `%2B`, but scripts
/// whose library has form encoding write a hash's byte 0x20 as `+`, and nobody writes 0x2b so. A
/// missing `compact` is 1 (BEP 23 suggests it); `numwant` -1 is as if missing (BEP 15 has it so).
/// `key` is anything, and a number if it is at most eight hex digits. `ip`, `ipv4` and `ipv6` are
/// ignored: whoever may name another's address can aim a swarm at it. So is every unknown
/// parameter. Of `stopped`, `left` may be missing, and is unknown then: npm's `bittorrent-tracker`
/// sends none, and of who goes it is not needed.
///
/// # Errors
/// [`QueryError`] names the first parameter at fault.
///
/// Source: BEP 3, BEP 7, BEP 23.
pub fn announce(query: &[u8]) -> Result<AnnounceQuery, QueryError> {
    let raw = Raw::split(query)?;
    let info_hash = InfoHash(twenty("info_hash", raw.required("info_hash")?)?);
    let peer_id = PeerId(twenty("peer_id", raw.required("peer_id")?)?);
    let port = number::<u16>("port", raw.required("port")?, "a number from 1 to 65535")?;
    if port == 0 {
        return Err(QueryError::Value {
            parameter: "port",
            expected: "a number from 1 to 65535",
        });
    }
    let event = event(raw.value("event").unwrap_or_default())?;
    let goes = event == Some(AnnounceEvent::Stopped);
    let request = AnnounceRequest {
        info_hash,
        peer_id,
        port,
        uploaded: bytes_count("uploaded", &raw)?,
        downloaded: bytes_count("downloaded", &raw)?,
        left: match raw.value("left") {
            None if goes => LEFT_UNKNOWN,
            _ => bytes_count("left", &raw)?,
        },
        event,
        numwant: numwant(raw.value("numwant"))?,
        key: raw.value("key").and_then(hex_u32).unwrap_or(0),
        tracker_id: raw
            .value("trackerid")
            .map(|value| decode("trackerid", value, limits::TRACKER_ID_BYTES_MAX))
            .transpose()?,
        compact: flag("compact", raw.value("compact"), true)?,
    };
    let no_peer_id = flag("no_peer_id", raw.value("no_peer_id"), false)?;
    Ok(AnnounceQuery {
        request,
        no_peer_id,
    })
}

/// Reads the query of a scrape, without its `?`: one `info_hash` or more.
///
/// # Errors
/// [`QueryError::Missing`] without any: all torrents of a tracker are nobody's business.
///
/// Source: BEP 48.
pub fn scrape(query: &[u8]) -> Result<Vec<InfoHash>, QueryError> {
    let mut hashes = Vec::new();
    for (name, value) in pairs(query) {
        if name == b"info_hash" {
            if hashes.len() == limits::SCRAPE_HASHES_MAX {
                return Err(QueryError::TooMany {
                    max: limits::SCRAPE_HASHES_MAX,
                });
            }
            hashes.push(InfoHash(twenty("info_hash", value)?));
        }
    }
    if hashes.is_empty() {
        let parameter = "info_hash";
        return Err(QueryError::Missing { parameter });
    }
    Ok(hashes)
}

/// The parameters we know, and where each stands in [`Raw`].
const KNOWN: [&str; 12] = [
    "info_hash",
    "peer_id",
    "port",
    "uploaded",
    "downloaded",
    "left",
    "event",
    "numwant",
    "key",
    "trackerid",
    "compact",
    "no_peer_id",
];

/// The values of the known parameters, not decoded.
struct Raw<'q> {
    values: [Option<&'q [u8]>; KNOWN.len()],
}

impl<'q> Raw<'q> {
    fn split(query: &'q [u8]) -> Result<Self, QueryError> {
        let mut values = [None; KNOWN.len()];
        for (name, value) in pairs(query) {
            let Some(place) = KNOWN.iter().position(|known| known.as_bytes() == name) else {
                continue;
            };
            if values[place].replace(value).is_some() {
                let parameter = KNOWN[place];
                return Err(QueryError::Doubled { parameter });
            }
        }
        Ok(Self { values })
    }

    fn value(&self, name: &str) -> Option<&'q [u8]> {
        let place = KNOWN.iter().position(|&known| known == name)?;
        self.values[place]
    }

    fn required(&self, parameter: &'static str) -> Result<&'q [u8], QueryError> {
        self.value(parameter)
            .ok_or(QueryError::Missing { parameter })
    }
}

fn pairs(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    query
        .split(|&byte| byte == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let equals = pair.iter().position(|&byte| byte == b'=');
            equals.map_or((pair, &[][..]), |at| (&pair[..at], &pair[at + 1..]))
        })
}

/// Reads a percent-encoded value of at most `max` bytes.
fn decode(parameter: &'static str, value: &[u8], max: usize) -> Result<Vec<u8>, QueryError> {
    let mut out = Vec::with_capacity(max.min(value.len()));
    let count = decode_with(parameter, value, |byte| {
        if out.len() < max {
            out.push(byte);
        }
    })?;
    if count > max {
        return Err(QueryError::Length {
            parameter,
            expected: max,
            found: count,
        });
    }
    Ok(out)
}

/// Reads a percent-encoded value of exactly twenty bytes.
fn twenty(parameter: &'static str, value: &[u8]) -> Result<[u8; 20], QueryError> {
    let mut out = [0; 20];
    let mut slots = out.iter_mut();
    let found = decode_with(parameter, value, |byte| {
        if let Some(slot) = slots.next() {
            *slot = byte;
        }
    })?;
    if found != out.len() {
        return Err(QueryError::Length {
            parameter,
            expected: out.len(),
            found,
        });
    }
    Ok(out)
}

/// Hands each decoded byte to `put` and returns their number.
fn decode_with(
    parameter: &'static str,
    value: &[u8],
    mut put: impl FnMut(u8),
) -> Result<usize, QueryError> {
    let (mut at, mut count) = (0, 0);
    while let Some(&byte) = value.get(at) {
        let step = match byte {
            b'%' => {
                let pair = value.get(at + 1..at + 3);
                let byte = pair.and_then(hex_byte);
                put(byte.ok_or(QueryError::Encoding { parameter, at })?);
                3
            }
            b'+' => {
                put(b' ');
                1
            }
            b'!'..=b'~' => {
                put(byte);
                1
            }
            _ => return Err(QueryError::Encoding { parameter, at }),
        };
        at += step;
        count += 1;
    }
    Ok(count)
}

fn hex_byte(pair: &[u8]) -> Option<u8> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    Some(digit(pair[0])? << 4 | digit(pair[1])?)
}

fn hex_u32(value: &[u8]) -> Option<u32> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_hexdigit);
    let text = digits.then(|| std::str::from_utf8(value).ok())??;
    u32::from_str_radix(text, 16).ok()
}

/// Digits alone: `FromStr` would take a sign too.
fn number<T: std::str::FromStr>(
    parameter: &'static str,
    value: &[u8],
    expected: &'static str,
) -> Result<T, QueryError> {
    let digits = value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| digits);
    text.and_then(|text| text.parse().ok())
        .ok_or(QueryError::Value {
            parameter,
            expected,
        })
}

fn bytes_count(parameter: &'static str, raw: &Raw<'_>) -> Result<u64, QueryError> {
    number(
        parameter,
        raw.required(parameter)?,
        "a number of bytes, 0 or more",
    )
}

fn numwant(value: Option<&[u8]>) -> Result<Option<u32>, QueryError> {
    match value {
        None | Some(b"" | b"-1") => Ok(None),
        // However large: nobody is given more than the bound.
        Some(value) if value.iter().all(u8::is_ascii_digit) => {
            let digits = value.iter().map(|digit| u32::from(digit - b'0'));
            Ok(Some(digits.fold(0, |number: u32, digit| {
                number.saturating_mul(10).saturating_add(digit)
            })))
        }
        Some(_) => Err(QueryError::Value {
            parameter: "numwant",
            expected: "a number of peers, 0 or more",
        }),
    }
}

fn flag(parameter: &'static str, value: Option<&[u8]>, default: bool) -> Result<bool, QueryError> {
    match value {
        None => Ok(default),
        Some(b"0") => Ok(false),
        Some(b"1") => Ok(true),
        Some(_) => Err(QueryError::Value {
            parameter,
            expected: "0 or 1",
        }),
    }
}

/// `paused` is BEP 21's, of a partial seed: to us a regular announce of who is not whole. Who takes
/// it as more has to tell `downloaders` in scrapes, and we do not. `empty` is BEP 3's own word for
/// none.
fn event(value: &[u8]) -> Result<Option<AnnounceEvent>, QueryError> {
    match value {
        b"" | b"empty" | b"paused" => Ok(None),
        b"started" => Ok(Some(AnnounceEvent::Started)),
        b"completed" => Ok(Some(AnnounceEvent::Completed)),
        b"stopped" => Ok(Some(AnnounceEvent::Stopped)),
        _ => Err(QueryError::Value {
            parameter: "event",
            expected: "started, completed, stopped or empty",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HASH: &str = "%124Vx%9A%BC%DE%F1%23Eg%89%AB%CD%EF%124Vx%9A";

    fn good() -> Vec<(&'static str, String)> {
        let pairs = [
            ("info_hash", HASH),
            ("peer_id", "-SH0100-abcdefghijkl"),
            ("port", "6881"),
            ("uploaded", "1"),
            ("downloaded", "2"),
            ("left", "3"),
        ];
        pairs.map(|(name, value)| (name, value.to_owned())).to_vec()
    }

    fn query(pairs: &[(&str, String)]) -> Vec<u8> {
        let pairs: Vec<String> = pairs.iter().map(|(n, v)| format!("{n}={v}")).collect();
        pairs.join("&").into_bytes()
    }

    fn with(name: &'static str, value: &str) -> Result<AnnounceQuery, QueryError> {
        let mut pairs = good();
        pairs.retain(|(known, _)| *known != name);
        pairs.push((name, value.to_owned()));
        announce(&query(&pairs))
    }

    fn check(name: &'static str, value: &str, expect: &str) {
        let error = with(name, value).unwrap_err().to_string();
        assert!(error.contains(name), "{error} names {name}");
        assert!(error.contains(expect), "{error} says {expect}");
    }

    #[test]
    fn smallest_good_query_is_read() {
        let got = announce(&query(&good())).unwrap();
        let hash = InfoHash::from_hex("123456789abcdef123456789abcdef123456789a");
        assert_eq!(Some(got.request.info_hash), hash);
        assert_eq!(got.request.peer_id, PeerId(*b"-SH0100-abcdefghijkl"));
        assert_eq!((got.request.port, got.request.left), (6881, 3));
        assert!(got.request.compact && !got.no_peer_id);
        assert_eq!((got.request.event, got.request.numwant), (None, None));
    }

    #[test]
    fn every_missing_parameter_is_named() {
        for (name, _) in good() {
            let pairs: Vec<_> = good().into_iter().filter(|(n, _)| *n != name).collect();
            let error = announce(&query(&pairs)).unwrap_err();
            assert_eq!(error, QueryError::Missing { parameter: name });
        }
    }

    #[test]
    fn who_stops_need_not_say_what_is_left() {
        let without = |event: &str| {
            let mut pairs: Vec<_> = good().into_iter().filter(|(n, _)| *n != "left").collect();
            pairs.push(("event", event.to_owned()));
            announce(&query(&pairs)).map(|asked| asked.request.left)
        };
        assert_eq!(without("stopped"), Ok(LEFT_UNKNOWN));
        let missing = Err(QueryError::Missing { parameter: "left" });
        for event in ["", "empty", "paused", "started", "completed"] {
            assert_eq!(without(event), missing, "{event}");
        }
        // What is there must be right.
        let mut pairs: Vec<_> = good().into_iter().filter(|(n, _)| *n != "left").collect();
        pairs.extend([("left", "many".to_owned()), ("event", "stopped".to_owned())]);
        let error = announce(&query(&pairs)).unwrap_err().to_string();
        assert!(error.contains("`left` must be"), "{error}");
    }

    #[test]
    fn every_doubled_parameter_is_named() {
        for parameter in KNOWN {
            let mut pairs = good();
            pairs.retain(|(name, _)| *name != parameter);
            pairs.push((parameter, "1".to_owned()));
            pairs.push((parameter, "1".to_owned()));
            let error = announce(&query(&pairs)).unwrap_err();
            assert_eq!(error, QueryError::Doubled { parameter });
        }
    }

    #[test]
    fn wrong_values_are_named() {
        check("info_hash", "%12%34", "2 bytes where 20");
        check("info_hash", "", "0 bytes where 20");
        check("info_hash", &"a".repeat(21), "21 bytes where 20");
        check("info_hash", "%1", "not percent-encoded at byte 0");
        check("info_hash", "ab%zz", "not percent-encoded at byte 2");
        check("info_hash", "raw\u{e9}", "not percent-encoded at byte 3");
        check("peer_id", "a b", "not percent-encoded at byte 1");
        check("peer_id", "short", "5 bytes where 20");
        for value in ["", "0", "65536", "-1", "+80", "x", "6881.0", "%36881"] {
            check("port", value, "1 to 65535");
        }
        for name in ["uploaded", "downloaded", "left"] {
            for value in ["-1", "+1", "1e9", "0x10", "18446744073709551616"] {
                check(name, value, "number of bytes");
            }
        }
        check("event", "begun", "started, completed, stopped");
        check("compact", "yes", "0 or 1");
        check("no_peer_id", "2", "0 or 1");
        check("numwant", "-2", "number of peers");
        check("numwant", "many", "number of peers");
        check("trackerid", "%", "percent-encoded");
        check("trackerid", &"x".repeat(257), "257 bytes where 256");
    }

    #[test]
    fn forgiven_forms_are_read() {
        let request = |name, value| with(name, value).unwrap().request;
        assert_eq!(request("numwant", "-1").numwant, None);
        assert_eq!(request("numwant", "0").numwant, Some(0));
        assert_eq!(request("numwant", "00000000012").numwant, Some(12));
        let nines = "9".repeat(500);
        for huge in ["4294967296", "99999999999999", &nines] {
            assert_eq!(request("numwant", huge).numwant, Some(u32::MAX), "{huge}");
        }
        assert!(!request("compact", "0").compact);
        assert_eq!(request("event", "").event, None);
        assert_eq!(request("event", "paused").event, None);
        assert_eq!(request("key", "not hex").key, 0);
        assert_eq!(request("key", "0000BEEF").key, 0xbeef);
        let spaced = request("peer_id", "++++++++++++++++++++");
        assert_eq!(spaced.peer_id, PeerId([b' '; 20]));
        assert!(
            with("ip", "10.0.0.1").is_ok(),
            "a foreign address is ignored"
        );
        assert!(announce(&[b"&&", &query(&good())[..], b"&"].concat()).is_ok());
    }

    #[test]
    fn announce_url_keeps_the_query_it_has() {
        let check = |url: &str, expect: &str| {
            let got = announce_url(url, &any_request());
            assert!(got.starts_with(expect), "{got}");
            assert_eq!(got.matches('?').count(), 1);
            assert!(!got.contains('#') && !got.contains("&&"));
        };
        check(
            "http://t.test/announce",
            "http://t.test/announce?info_hash=%00",
        );
        check(
            "http://t.test/a?passkey=x",
            "http://t.test/a?passkey=x&info_hash=",
        );
        check("http://t.test/a?", "http://t.test/a?info_hash=");
        check("http://t.test/a?x=1&", "http://t.test/a?x=1&info_hash=");
        check("http://t.test/a#frag", "http://t.test/a?info_hash=");
    }

    #[test]
    fn scrape_url_follows_the_convention() {
        let check = |url: &str, expect: Option<&str>| {
            let got = scrape_url(url, &[]).ok();
            assert_eq!(got.as_deref(), expect, "{url}");
        };
        // The examples of BEP 48's convention.
        check("http://e.test/announce", Some("http://e.test/scrape"));
        check("http://e.test/x/announce", Some("http://e.test/x/scrape"));
        check(
            "http://e.test/announce.php",
            Some("http://e.test/scrape.php"),
        );
        check("http://e.test/a", None);
        check(
            "http://e.test/announce?x2=4",
            Some("http://e.test/scrape?x2=4"),
        );
        check("http://e.test/announce?x=2/4", None);
        check("http://e.test/x%064announce", None);
        check("announce", None);
    }

    #[test]
    fn scrape_reads_many_and_refuses_none_and_too_many() {
        let hashes: Vec<_> = (0..5).map(|i| InfoHash([i; 20])).collect();
        let url = scrape_url("http://e.test/announce", &hashes).unwrap();
        let (_, query) = url.split_once('?').unwrap();
        assert_eq!(scrape(query.as_bytes()).unwrap(), hashes);
        let parameter = "info_hash";
        assert_eq!(scrape(b"x=1"), Err(QueryError::Missing { parameter }));
        let many = format!("info_hash={HASH}&").repeat(limits::SCRAPE_HASHES_MAX + 1);
        let max = limits::SCRAPE_HASHES_MAX;
        assert_eq!(scrape(many.as_bytes()), Err(QueryError::TooMany { max }));
    }

    fn any_request() -> AnnounceRequest {
        AnnounceRequest {
            info_hash: InfoHash([0; 20]),
            port: 1,
            left: 0,
            ..AnnounceRequest::example()
        }
    }

    fn requests() -> impl Strategy<Value = AnnounceRequest> {
        let event = prop_oneof![
            Just(None),
            Just(Some(AnnounceEvent::Started)),
            Just(Some(AnnounceEvent::Completed)),
            Just(Some(AnnounceEvent::Stopped)),
        ];
        let tracker_id = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..99));
        let names = (any::<[u8; 20]>(), any::<[u8; 20]>(), 1u16.., any::<u32>());
        let counts: (_, _, _, _) = (
            any::<u64>(),
            any::<u64>(),
            any::<u64>(),
            any::<Option<u32>>(),
        );
        (names, counts, event, tracker_id, any::<bool>()).prop_map(
            |(
                (hash, id, port, key),
                (uploaded, downloaded, left, numwant),
                event,
                tid,
                compact,
            )| {
                AnnounceRequest {
                    info_hash: InfoHash(hash),
                    peer_id: PeerId(id),
                    port,
                    uploaded,
                    downloaded,
                    left,
                    event,
                    numwant,
                    key,
                    tracker_id: tid,
                    compact,
                }
            },
        )
    }

    proptest! {
        #[test]
        fn request_round_trips(request in requests()) {
            let url = announce_url("http://t.test/announce?passkey=1", &request);
            prop_assert!(url.is_ascii());
            let (_, query) = url.split_once('?').unwrap();
            prop_assert_eq!(announce(query.as_bytes()).unwrap().request, request);
        }

        #[test]
        fn any_bytes_are_read_or_refused(query: Vec<u8>) {
            crate::fuzz::query(&query);
        }
    }
}
