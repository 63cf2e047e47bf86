//! The extended handshake. BEP 10 "handshake message"; `metadata_size`: BEP 9;
//! `upload_only`: BEP 21.
//!
//! Everything in it is optional and nothing in it is true: a field that makes no sense is as good
//! as absent, so that no client is lost for one odd value. Only bytes that are no dictionary fail.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use shoal_bencode::{Dict, Mode, Options, Value, parse};

use super::HANDSHAKE_ID;
use crate::error::ExtendedHandshakeError;
use crate::limits::{
    EXTENSION_NAME_LENGTH_MAX, EXTENSIONS_MAX, METADATA_SIZE_MAX, REQQ_MAX, VERSION_LENGTH_MAX,
};
use crate::message::Message;

/// What a peer tells of itself. A later one changes what it names and leaves the rest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExtendedHandshake {
    /// `m`: how the sender numbers the extensions it takes; 0 turns one off.
    /// At most [`EXTENSIONS_MAX`] names of printable ASCII.
    pub extensions: BTreeMap<String, u8>,
    /// `p`: the port where the sender listens.
    pub port: Option<u16>,
    /// `v`: name and version of the program, for people: at most [`VERSION_LENGTH_MAX`] bytes,
    /// without control characters.
    pub version: Option<String>,
    /// `yourip`: the address that the sender sees us at.
    pub your_ip: Option<IpAddr>,
    /// `ipv6`: another address of the sender.
    pub ipv6: Option<Ipv6Addr>,
    /// `ipv4`: another address of the sender.
    pub ipv4: Option<Ipv4Addr>,
    /// `reqq`: requests that the sender queues before it drops some; 1 to [`REQQ_MAX`].
    pub reqq: Option<u32>,
    /// `metadata_size`: bytes of the torrent's `info`; 1 to [`METADATA_SIZE_MAX`].
    pub metadata_size: Option<u32>,
    /// `upload_only`: the sender wants nothing any more. BEP 21.
    pub upload_only: Option<bool>,
}

impl ExtendedHandshake {
    /// Reads the payload of an extended message with id 0.
    ///
    /// Keys may be unsorted and bytes may follow: programs in the field send both.
    ///
    /// # Errors
    /// [`ExtendedHandshakeError`] when it is no bencoded dictionary.
    ///
    /// Source: BEP 10, "handshake message".
    pub fn decode(payload: &[u8]) -> Result<Self, ExtendedHandshakeError> {
        let options = Options {
            mode: Mode::Lenient,
            ..Options::wire()
        };
        let tree = parse(payload, options)?;
        let dict = tree
            .root()
            .as_dict()
            .ok_or(ExtendedHandshakeError::NotADictionary)?;
        let int = |key| dict.opt_int(key).ok().flatten();
        let bytes = |key| dict.opt_bytes(key).ok().flatten();
        Ok(Self {
            extensions: dict
                .opt_dict("m")
                .ok()
                .flatten()
                .map_or_else(BTreeMap::new, extensions),
            port: int("p")
                .and_then(|port| u16::try_from(port).ok())
                .filter(|&port| port != 0),
            version: bytes("v").map(printable).filter(|text| !text.is_empty()),
            your_ip: bytes("yourip").and_then(ip),
            ipv6: bytes("ipv6").and_then(exactly::<16>).map(Ipv6Addr::from),
            ipv4: bytes("ipv4").and_then(exactly::<4>).map(Ipv4Addr::from),
            reqq: int("reqq")
                .and_then(|reqq| u32::try_from(reqq.clamp(1, i64::from(REQQ_MAX))).ok()),
            metadata_size: int("metadata_size")
                .and_then(|size| u32::try_from(size).ok())
                .filter(|size| (1..=METADATA_SIZE_MAX).contains(size)),
            upload_only: int("upload_only").map(|said| said != 0),
        })
    }

    /// The payload of an extended message with id 0: canonical, absent fields left out, `m` always
    /// there.
    ///
    /// Source: BEP 10, "handshake message".
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let names = self.extensions.iter();
        let m = Value::dict(names.map(|(name, &id)| (name.as_str(), Value::from(i64::from(id)))));
        let int = |value: Option<u32>| value.map(|value| Value::from(i64::from(value)));
        let fields = [
            ("m", Some(m)),
            ("p", int(self.port.map(u32::from))),
            ("v", self.version.as_deref().map(Value::from)),
            ("yourip", self.your_ip.map(|ip| Value::from(octets(ip)))),
            ("ipv6", self.ipv6.map(|ip| Value::from(octets(ip.into())))),
            ("ipv4", self.ipv4.map(|ip| Value::from(octets(ip.into())))),
            ("reqq", int(self.reqq)),
            ("metadata_size", int(self.metadata_size)),
            ("upload_only", int(self.upload_only.map(u32::from))),
        ];
        let present = fields
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)));
        Value::dict(present).encode()
    }

    /// The whole message that carries it.
    #[must_use]
    pub fn message(&self) -> Message {
        Message::Extended {
            id: HANDSHAKE_ID,
            payload: Bytes::from(self.encode()),
        }
    }
}

/// Reads `m`: names that are too long or odd and numbers that are no id are left out.
fn extensions(m: Dict<'_, '_>) -> BTreeMap<String, u8> {
    let known = m.iter().filter_map(|(name, id)| {
        let fits = (1..=EXTENSION_NAME_LENGTH_MAX).contains(&name.len());
        let name = std::str::from_utf8(name)
            .ok()
            .filter(|name| fits && name.bytes().all(|byte| byte.is_ascii_graphic()))?;
        Some((name.to_owned(), u8::try_from(id.as_int()?).ok()?))
    });
    known.take(EXTENSIONS_MAX).collect()
}

/// Text that can be shown: no control characters, none that turn the direction of writing.
fn printable(bytes: &[u8]) -> String {
    let hidden = |c: char| {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}');
        c.is_control() || turns || matches!(c, '\u{2066}'..='\u{2069}')
    };
    let mut text = String::from_utf8_lossy(bytes).replace(hidden, "");
    text.truncate(text.floor_char_boundary(VERSION_LENGTH_MAX));
    text
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let short = exactly::<4>(bytes).map(IpAddr::from);
    short.or_else(|| exactly::<16>(bytes).map(IpAddr::from))
}

fn exactly<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(payload: &[u8]) -> ExtendedHandshake {
        ExtendedHandshake::decode(payload).unwrap()
    }

    #[test]
    fn handshake_of_bep_10_is_read() {
        let payload = b"d1:md11:LT_metadatai1e6:\xb5T_PEXi2ee1:pi6881e\
            13:metadata_sizei31235e1:v13:\xc2\xb5Torrent 1.2e";
        let expect = ExtendedHandshake {
            extensions: BTreeMap::from([("LT_metadata".to_owned(), 1)]),
            port: Some(6881),
            version: Some("µTorrent 1.2".to_owned()),
            metadata_size: Some(31_235),
            ..ExtendedHandshake::default()
        };
        assert_eq!(decode(payload), expect);
    }

    #[test]
    fn handshake_is_written_canonically() {
        let handshake = ExtendedHandshake {
            extensions: BTreeMap::from([("ut_pex".to_owned(), 2), ("ut_metadata".to_owned(), 1)]),
            port: Some(6881),
            your_ip: Some(Ipv4Addr::LOCALHOST.into()),
            reqq: Some(500),
            ..ExtendedHandshake::default()
        };
        let payload: &[u8] = b"d1:md11:ut_metadatai1e6:ut_pexi2ee1:pi6881e4:reqqi500e\
            6:yourip4:\x7f\0\0\x01e";
        assert_eq!(handshake.encode(), payload);
        let message = Message::Extended {
            id: 0,
            payload: Bytes::from_static(payload),
        };
        assert_eq!(handshake.message(), message);
        assert_eq!(ExtendedHandshake::default().encode(), b"d1:mdee");
    }

    #[test]
    fn field_that_makes_no_sense_is_as_good_as_absent() {
        for payload in [
            "de",
            "d1:mi1ee",
            "d1:m2:abe",
            "d1:mdee",
            "d1:md1:a1:bee",
            "d1:md1:ai256eee",
            "d1:md1:ai-1eee",
            "d1:md0:i1eee",
            "d1:md3:a bi1eee",
            "d1:md33:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaai1eee",
            "d1:pi0ee",
            "d1:pi65536ee",
            "d1:pi-1ee",
            "d1:p4:6881e",
            "d1:vi1ee",
            "d1:v0:e",
            "d1:v2:\r\ne",
            "d6:yourip3:abce",
            "d6:youripi1ee",
            "d4:ipv64:abcde",
            "d4:ipv43:abce",
            "d4:reqq3:250e",
            "d13:metadata_sizei0ee",
            "d13:metadata_sizei-1ee",
            "d13:metadata_sizei67108865ee",
            "d13:metadata_sizelee",
            "d1:ei0e12:complete_agoi-1ee",
        ] {
            let found = decode(payload.as_bytes());
            assert_eq!(found, ExtendedHandshake::default(), "{payload}");
        }
    }

    #[test]
    fn reqq_is_brought_between_its_bounds() {
        for (sent, believed) in [("-5", 1), ("0", 1), ("1", 1), ("250", 250), ("99999", 2000)] {
            let payload = format!("d4:reqqi{sent}ee");
            assert_eq!(decode(payload.as_bytes()).reqq, Some(believed), "{sent}");
        }
    }

    #[test]
    fn upload_only_is_a_number() {
        for (sent, believed) in [("1", true), ("0", false), ("2", true), ("-1", true)] {
            let payload = format!("d11:upload_onlyi{sent}ee");
            assert_eq!(decode(payload.as_bytes()).upload_only, Some(believed));
        }
        assert_eq!(decode(b"d11:upload_only1:1e").upload_only, None);
    }

    #[test]
    fn version_is_short_and_printable() {
        let check = |sent: &[u8], shown: &str| {
            let value = Value::dict([("v", Value::from(sent))]).encode();
            assert_eq!(decode(&value).version.as_deref(), Some(shown));
        };
        check(b"\x1b[31mqB\n5.0\x00", "[31mqB5.0");
        check("a\u{202e}b\u{2066}c\u{85}d".as_bytes(), "abcd");
        check(b"caf\xe9", "caf\u{fffd}");
        check("é".repeat(100).as_bytes(), &"é".repeat(32));
        check("aé".repeat(50).as_bytes(), &format!("{}a", "aé".repeat(21)));
    }

    #[test]
    fn addresses_of_both_families_are_read() {
        let found = decode(
            b"d4:ipv44:\x01\x02\x03\x044:ipv616:ABCDEFGHIJKLMNOP6:yourip16:ABCDEFGHIJKLMNOPe",
        );
        let v6 = Ipv6Addr::from(*b"ABCDEFGHIJKLMNOP");
        assert_eq!(found.ipv4, Some(Ipv4Addr::new(1, 2, 3, 4)));
        assert_eq!(found.ipv6, Some(v6));
        assert_eq!(found.your_ip, Some(v6.into()));
    }

    #[test]
    fn unsorted_keys_and_bytes_behind_are_forgiven() {
        let found = decode(b"d1:v1:x1:pi1e1:md1:bi2e1:ai1eeegarbage");
        assert_eq!((found.port, found.extensions.len()), (Some(1), 2));
    }

    #[test]
    fn extensions_kept_are_bounded() {
        let m = (0..1000)
            .map(|n| format!("6:ext{n:03}i7e"))
            .collect::<String>();
        let found = decode(format!("d1:md{m}ee").as_bytes());
        assert_eq!(found.extensions.len(), EXTENSIONS_MAX);
    }

    #[test]
    fn bytes_that_are_no_dictionary_are_refused() {
        for payload in ["i1e", "le", "4:spam"] {
            let error = ExtendedHandshake::decode(payload.as_bytes()).unwrap_err();
            assert_eq!(error, ExtendedHandshakeError::NotADictionary, "{payload}");
        }
    }

    #[test]
    fn bytes_that_are_not_bencoded_are_refused() {
        let deep = "d1:m".repeat(5000);
        for payload in ["", "d", "d1:mde", "GET / HTTP", "d1:pi1e1:pi2ee", &deep] {
            let found = ExtendedHandshake::decode(payload.as_bytes());
            assert!(
                matches!(found, Err(ExtendedHandshakeError::Bencode(_))),
                "{payload:.20}: {found:?}"
            );
        }
    }
}
