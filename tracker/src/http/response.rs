//! The body of an answer, read and written. BEP 3 "trackers", BEP 7, 23, 24, 31, 48.
//!
//! Reading believes nothing: intervals are clamped, peers bounded, text made printable. Keys may be
//! unsorted, since trackers in the field send them so. Writing is canonical.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use shoal_bencode::{Dict, Node, Options, Tree, Value, parse};
use shoal_metainfo::{InfoHash, PeerId, compact};

use crate::announce::{AnnounceResponse, ScrapeEntry, extend_peers, obeyed};
use crate::error::{Retry, TrackerError};
use crate::limits;
use crate::text::printable;

/// Reads the body of an answer to an announce.
///
/// `peers` may be compact (BEP 23) or dictionaries (BEP 3), `peers6` is compact (BEP 7). Peers that
/// nobody can dial (port 0, no address, multicast, a DNS name) are left out; of more than
/// [`limits::PEERS_MAX`] the first are taken. Intervals are clamped to
/// [`limits::INTERVAL_MIN`]`..=`[`limits::INTERVAL_MAX`].
///
/// # Errors
/// [`TrackerError::Failure`] when the tracker refuses; else what the bytes are instead.
///
/// Source: BEP 3, 7, 23, 24, 31.
pub fn parse_announce(body: &[u8]) -> Result<AnnounceResponse, TrackerError> {
    let tree = tree(body)?;
    let dict = answer(&tree)?;
    let interval = seconds(dict.opt_int("interval")?).unwrap_or(limits::INTERVAL_DEFAULT);
    let mut peers = Vec::new();
    if let Some(node) = dict.get(b"peers") {
        take_peers(node, &mut peers)?;
    }
    if let Some(bytes) = dict.opt_bytes("peers6")? {
        let list = compact::peers_v6(bytes).map_err(malformed)?;
        extend_peers(&mut peers, list);
    }
    let tracker_id = dict.opt_bytes("tracker id")?;
    let warning = dict.opt_bytes("warning message")?;
    Ok(AnnounceResponse {
        interval,
        min_interval: seconds(dict.opt_int("min interval")?),
        peers,
        seeders: count(dict.opt_int("complete")?),
        leechers: count(dict.opt_int("incomplete")?),
        external_ip: dict.opt_bytes("external ip")?.and_then(address),
        warning: warning.map(printable),
        tracker_id: tracker_id
            .filter(|id| id.len() <= limits::TRACKER_ID_BYTES_MAX)
            .map(<[u8]>::to_vec),
    })
}

/// Reads the body of an answer to a scrape. Entries of other torrents than asked for are kept.
///
/// # Errors
/// As [`parse_announce`].
///
/// Source: BEP 48.
pub fn parse_scrape(body: &[u8]) -> Result<Vec<ScrapeEntry>, TrackerError> {
    let tree = tree(body)?;
    let files = answer(&tree)?.dict("files")?;
    let mut entries = Vec::new();
    for (key, value) in files.iter().take(limits::SCRAPE_HASHES_MAX) {
        let hash = <[u8; 20]>::try_from(key).map_err(|_| TrackerError::Malformed {
            what: format!("an info hash of {} bytes", key.len()),
        })?;
        let file = value.as_dict().ok_or_else(|| TrackerError::Malformed {
            what: "a torrent's numbers are not a dictionary".to_owned(),
        })?;
        let number = |key| Ok::<_, TrackerError>(count(file.opt_int(key)?).unwrap_or(0));
        entries.push(ScrapeEntry {
            info_hash: InfoHash(hash),
            seeders: number("complete")?,
            completed: number("downloaded")?,
            leechers: number("incomplete")?,
        });
    }
    Ok(entries)
}

fn tree(body: &[u8]) -> Result<Tree<'_>, TrackerError> {
    let options = Options {
        tokens_max: limits::RESPONSE_TOKENS_MAX,
        depth_max: Options::wire().depth_max,
        ..Options::lenient()
    };
    match body.trim_ascii_start() {
        [b'<', ..] => Err(TrackerError::Html),
        [0x1f, 0x8b, ..] => Err(TrackerError::Encoded {
            encoding: "gzip".to_owned(),
        }),
        _ => Ok(parse(body, options)?),
    }
}

/// The dictionary of an answer that is no refusal.
fn answer<'t, 'a>(tree: &'t Tree<'a>) -> Result<Dict<'t, 'a>, TrackerError> {
    let dict = tree
        .root()
        .as_dict()
        .ok_or_else(|| TrackerError::Malformed {
            what: "it is not a dictionary".to_owned(),
        })?;
    let Some(reason) = dict.opt_bytes("failure reason")? else {
        return Ok(dict);
    };
    let retry = dict.get(b"retry in").and_then(|node| {
        let minutes = node.as_int().and_then(|n| u64::try_from(n).ok());
        match (minutes, node.as_bytes()) {
            (Some(n), _) => Some(Retry::After(Duration::from_secs(n.saturating_mul(60)))),
            (None, Some(b"never")) => Some(Retry::Never),
            _ => None,
        }
    });
    Err(TrackerError::Failure {
        reason: printable(reason),
        retry,
    })
}

fn seconds(value: Option<i64>) -> Option<Duration> {
    value.map(obeyed)
}

fn count(value: Option<i64>) -> Option<u32> {
    value.and_then(|value| u32::try_from(value).ok())
}

fn take_peers(node: Node<'_, '_>, peers: &mut Vec<SocketAddr>) -> Result<(), TrackerError> {
    if let Some(bytes) = node.as_bytes() {
        extend_peers(peers, compact::peers_v4(bytes).map_err(malformed)?);
        return Ok(());
    }
    let list = node.as_list().ok_or_else(|| TrackerError::Malformed {
        what: "`peers` is neither a string nor a list".to_owned(),
    })?;
    // A junk entry costs its own peer only.
    let dictionaries = list.filter_map(|peer| {
        let peer = peer.as_dict()?;
        let ip = peer.opt_text("ip").ok()??.parse::<IpAddr>().ok()?;
        let port = u16::try_from(peer.opt_int("port").ok()??).ok()?;
        Some(SocketAddr::new(ip, port))
    });
    extend_peers(peers, dictionaries);
    Ok(())
}

/// Source: BEP 24: 4 or 16 bytes.
fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(v4).into());
    }
    let v6 = <[u8; 16]>::try_from(bytes).ok()?;
    Some(Ipv6Addr::from(v6).to_canonical())
}

fn malformed(error: compact::CompactError) -> TrackerError {
    TrackerError::Malformed {
        what: error.to_string(),
    }
}

/// An answer to an announce, as a tracker gives it.
#[derive(Debug, Clone, Copy)]
pub struct AnnounceReply<'r> {
    /// Announce again after so long; whole seconds.
    pub interval: Duration,
    /// Do not announce again sooner.
    pub min_interval: Option<Duration>,
    /// Peers that have everything.
    pub seeders: usize,
    /// Peers that do not.
    pub leechers: usize,
    /// Other peers.
    pub peers: Peers<'r>,
    /// Where the tracker saw the peer. BEP 24.
    pub external_ip: IpAddr,
}

/// Peers in a reply.
#[derive(Debug, Clone, Copy)]
pub enum Peers<'r> {
    /// BEP 23 and BEP 7.
    Compact {
        /// Whole peers of six bytes.
        v4: &'r [u8],
        /// Whole peers of eighteen bytes.
        v6: &'r [u8],
    },
    /// BEP 3's dictionaries, with ids unless the asker does without.
    Dictionaries(&'r [(SocketAddr, Option<PeerId>)]),
}

/// Writes the answer to an announce: canonical bencode.
///
/// Written straight into the bytes, since this is what a tracker does all day.
///
/// Source: BEP 3, 7, 23, 24.
#[must_use]
pub fn encode_announce(reply: &AnnounceReply<'_>) -> Vec<u8> {
    let length = match reply.peers {
        Peers::Compact { v4, v6 } => v4.len() + v6.len(),
        Peers::Dictionaries(list) => list.len() * 80,
    };
    let mut out = Vec::with_capacity(192 + length);
    push_announce(&mut out, reply);
    out
}

/// Appends what [`encode_announce`] writes.
pub fn push_announce(out: &mut Vec<u8>, reply: &AnnounceReply<'_>) {
    out.extend_from_slice(b"d8:complete");
    int(out, reply.seeders as u64);
    out.extend_from_slice(b"11:external ip");
    match reply.external_ip.to_canonical() {
        IpAddr::V4(v4) => bytes(out, &v4.octets()),
        IpAddr::V6(v6) => bytes(out, &v6.octets()),
    }
    out.extend_from_slice(b"10:incomplete");
    int(out, reply.leechers as u64);
    out.extend_from_slice(b"8:interval");
    int(out, reply.interval.as_secs());
    if let Some(min) = reply.min_interval {
        out.extend_from_slice(b"12:min interval");
        int(out, min.as_secs());
    }
    out.extend_from_slice(b"5:peers");
    match reply.peers {
        Peers::Compact { v4, v6 } => {
            bytes(out, v4);
            if !v6.is_empty() {
                out.extend_from_slice(b"6:peers6");
                bytes(out, v6);
            }
        }
        Peers::Dictionaries(list) => dictionaries(out, list),
    }
    out.push(b'e');
}

fn dictionaries(out: &mut Vec<u8>, list: &[(SocketAddr, Option<PeerId>)]) {
    out.push(b'l');
    for (peer, id) in list {
        out.extend_from_slice(b"d2:ip");
        bytes(out, peer.ip().to_string().as_bytes());
        if let Some(id) = id {
            out.extend_from_slice(b"7:peer id");
            bytes(out, &id.0);
        }
        out.extend_from_slice(b"4:port");
        int(out, peer.port().into());
        out.push(b'e');
    }
    out.push(b'e');
}

/// Writes the answer to a scrape. Source: BEP 48.
#[must_use]
pub fn encode_scrape(entries: &[ScrapeEntry]) -> Vec<u8> {
    let files = entries.iter().map(|entry| {
        let numbers = [
            ("complete", Value::from(entry.seeders)),
            ("downloaded", Value::from(entry.completed)),
            ("incomplete", Value::from(entry.leechers)),
        ];
        (&entry.info_hash.0, Value::dict(numbers))
    });
    Value::dict([("files", Value::dict(files))]).encode()
}

/// Writes a refusal; it goes out with HTTP status 200. Source: BEP 3.
#[must_use]
pub fn encode_failure(reason: &str) -> Vec<u8> {
    Value::dict([("failure reason", Value::from(reason))]).encode()
}

/// Appends a refusal as [`encode_failure`] writes it.
pub fn push_failure(out: &mut Vec<u8>, reason: &str) {
    out.append(&mut encode_failure(reason));
}

fn int(out: &mut Vec<u8>, value: u64) {
    out.push(b'i');
    digits(out, value);
    out.push(b'e');
}

fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    digits(out, value.len() as u64);
    out.push(b':');
    out.extend_from_slice(value);
}

/// A number in decimal; `write!` takes several times as long, and an answer has five.
fn digits(out: &mut Vec<u8>, mut value: u64) {
    let mut text = [0; 20];
    let mut at = text.len();
    loop {
        at -= 1;
        text[at] = b'0' + u8::try_from(value % 10).expect("a digit");
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&text[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::announce::dialable;
    use proptest::prelude::*;

    fn peers(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|peer| peer.parse().unwrap()).collect()
    }

    fn good(body: &[u8]) -> AnnounceResponse {
        parse_announce(body).unwrap()
    }

    #[test]
    fn compact_peers_of_both_families_are_read() {
        let mut body = b"d8:completei3e10:incompletei4e8:intervali900e5:peers6:".to_vec();
        body.extend([127, 0, 0, 1, 0x1a, 0xe1]);
        body.extend(b"6:peers618:");
        body.extend([0; 15]);
        body.extend([1, 0, 80]);
        body.extend(b"10:tracker id3:abce");
        let got = good(&body);
        assert_eq!(got.peers, peers(&["127.0.0.1:6881", "[::1]:80"]));
        assert_eq!(got.interval, Duration::from_secs(900));
        assert_eq!((got.seeders, got.leechers), (Some(3), Some(4)));
        assert_eq!(got.tracker_id.as_deref(), Some(&b"abc"[..]));
        assert_eq!(got.min_interval, None);
    }

    #[test]
    fn dictionary_peers_are_read_and_junk_is_left_out() {
        let body = b"d5:peersl\
            d2:ip9:127.0.0.14:porti6881ee\
            d2:ip3:::17:peer id20:aaaaaaaaaaaaaaaaaaaa4:porti80ee\
            d2:ip11:example.com4:porti80ee\
            d2:ip9:127.0.0.14:porti0ee\
            d2:ip9:127.0.0.14:porti65536ee\
            d2:ip7:0.0.0.04:porti1ee\
            d2:ip9:224.0.0.14:porti1ee\
            d2:ipi1e4:porti1ee\
            i7e\
            d2:ip16:::ffff:127.0.0.24:porti1ee\
            ee";
        let expect = peers(&["127.0.0.1:6881", "[::1]:80", "127.0.0.2:1"]);
        assert_eq!(good(body).peers, expect);
    }

    #[test]
    fn intervals_are_clamped() {
        let check = |text: &str, expect| {
            let body = format!("d8:intervali{text}ee");
            assert_eq!(good(body.as_bytes()).interval, expect, "{text}");
        };
        check("-1", limits::INTERVAL_MIN);
        check("0", limits::INTERVAL_MIN);
        check("7", Duration::from_secs(7));
        check("9223372036854775807", limits::INTERVAL_MAX);
        assert_eq!(good(b"de").interval, limits::INTERVAL_DEFAULT);
        let min = good(b"d12:min intervali1ee").min_interval;
        assert_eq!(min, Some(limits::INTERVAL_MIN));
    }

    #[test]
    fn texts_are_printable_and_external_ip_is_read() {
        let got = good(b"d11:external ip4:\x01\x02\x03\x0415:warning message6:a\x1b\x07\nb\x00e");
        assert_eq!(got.warning.as_deref(), Some("a b"));
        assert_eq!(got.external_ip, Some("1.2.3.4".parse().unwrap()));
        assert_eq!(good(b"d11:external ip3:abce").external_ip, None);
    }

    #[test]
    fn peers_are_bounded() {
        let count = limits::PEERS_MAX + 10;
        let mut body = format!("d5:peers{}:", count * 6).into_bytes();
        body.resize(body.len() + count * 6, 9);
        body.push(b'e');
        assert_eq!(good(&body).peers.len(), limits::PEERS_MAX);
    }

    #[test]
    fn refusals_are_told_apart() {
        let check = |body: &[u8], retry| {
            let reason = "not today".to_owned();
            let expect = Err(TrackerError::Failure { reason, retry });
            assert_eq!(parse_announce(body), expect);
        };
        check(b"d14:failure reason9:not todaye", None);
        let after = Retry::After(Duration::from_secs(300));
        check(b"d14:failure reason9:not today8:retry ini5ee", Some(after));
        let never = Some(Retry::Never);
        check(b"d14:failure reason9:not today8:retry in5:nevere", never);
    }

    #[test]
    fn other_bodies_are_told_apart() {
        let check = |body: &[u8], expect: &str| {
            let error = parse_announce(body).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        };
        check(b"", "not bencode");
        check(b" <!DOCTYPE html>", "web page");
        check(b"\x1f\x8b\x08", "compressed (`gzip`)");
        check(b"li1ee", "not a dictionary");
        check(b"d8:interval4:soone", "`interval` must be an integer");
        check(b"d5:peers7:1234567e", "not a multiple of 6");
        check(b"d6:peers67:1234567e", "not a multiple of 18");
        check(b"d5:peersi1ee", "neither a string nor a list");
        check(b"d5:peers119:12e", "truncated");
        let nested = [&[b'l'; 9_000][..], &[b'e'; 9_000]].concat();
        check(&nested, "nested deeper");
        check(&b"i1e".repeat(40_000), "not a dictionary");
        let tokens = [b"d1:al", &b"0:".repeat(400_000)[..], b"ee"].concat();
        check(&tokens, "values");
    }

    #[test]
    fn numbers_are_written_as_everybody_does() {
        for value in [0, 7, 10, 99, 1_800, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            digits(&mut out, value);
            assert_eq!(String::from_utf8(out).unwrap(), value.to_string());
        }
    }

    #[test]
    fn unsorted_keys_and_trailing_newline_are_forgiven() {
        let got = good(b"d5:peers0:8:intervali60ee\n");
        assert_eq!(got.interval, Duration::from_secs(60));
    }

    #[test]
    fn scrape_round_trips_and_names_its_faults() {
        let entry = |byte, seeders| ScrapeEntry {
            info_hash: InfoHash([byte; 20]),
            seeders,
            completed: 8,
            leechers: u32::MAX,
        };
        let entries = vec![entry(1, 0), entry(2, 7)];
        let body = encode_scrape(&entries);
        assert_eq!(parse_scrape(&body).unwrap(), entries);
        assert!(parse(&body, Options::strict()).is_ok());
        let check = |body: &[u8], expect: &str| {
            let error = parse_scrape(body).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        };
        check(b"de", "`files` is missing");
        check(b"d5:filesd3:abcdeee", "info hash of 3 bytes");
        check(&encode_failure("no"), "refuses: no");
        let body = [b"d5:filesd20:", &[b'h'; 20][..], b"i1eee"].concat();
        check(&body, "not a dictionary");
    }

    fn reply<'r>(peers: Peers<'r>, ip: IpAddr) -> AnnounceReply<'r> {
        AnnounceReply {
            interval: Duration::from_secs(1800),
            min_interval: Some(Duration::from_secs(60)),
            seeders: 1,
            leechers: 2,
            peers,
            external_ip: ip,
        }
    }

    proptest! {
        #[test]
        fn announce_round_trips(
            list: Vec<(IpAddr, u16, [u8; 20])>,
            external_ip: IpAddr,
            with_ids: bool,
        ) {
            let list: Vec<_> = list
                .into_iter()
                .map(|(ip, port, id)| (SocketAddr::new(ip.to_canonical(), port), PeerId(id)))
                .filter(|(peer, _)| dialable(peer))
                .collect();
            let (mut v4, mut v6) = (Vec::new(), Vec::new());
            for (peer, _) in &list {
                match *peer {
                    SocketAddr::V4(peer) => compact::push_v4(&mut v4, peer),
                    SocketAddr::V6(peer) => compact::push_v6(&mut v6, peer),
                }
            }
            let dictionaries: Vec<_> = list
                .iter()
                .map(|&(peer, id)| (peer, with_ids.then_some(id)))
                .collect();
            let mut expect: Vec<_> = list.iter().map(|(peer, _)| *peer).collect();
            expect.sort_unstable();
            for peers in [Peers::Compact { v4: &v4, v6: &v6 }, Peers::Dictionaries(&dictionaries)] {
                let body = encode_announce(&reply(peers, external_ip));
                prop_assert!(parse(&body, Options::strict()).is_ok());
                let mut got = good(&body);
                got.peers.sort_unstable();
                prop_assert_eq!(&got.peers, &expect);
                prop_assert_eq!(got.interval, Duration::from_secs(1800));
                prop_assert_eq!(got.min_interval, Some(Duration::from_secs(60)));
                prop_assert_eq!((got.seeders, got.leechers), (Some(1), Some(2)));
                prop_assert_eq!(got.external_ip, Some(external_ip.to_canonical()));
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(body: Vec<u8>) {
            crate::fuzz::response(&body);
        }
    }
}
