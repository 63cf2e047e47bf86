//! The twenty-byte names of a torrent and of a peer. BEP 3 "info_hash", "peer_id"; BEP 20.
//!
//! Equal bytes are equal names; nothing here knows where they came from.

use std::fmt;

/// SHA-1 of the exact bytes of a torrent's `info` value: the name of the torrent.
///
/// Shape: 20 bytes. Shown as 40 lower-case hex digits. Source: BEP 3, "metainfo files".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InfoHash(pub [u8; 20]);

impl InfoHash {
    /// Reads 40 hex digits of either case; `None` for anything else.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        let mut bytes = [0; 20];
        if text.len() != 40 {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = hex_digit(pair[0])? << 4 | hex_digit(pair[1])?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InfoHash({self})")
    }
}

/// The name a peer gives itself for one run.
///
/// Shape: 20 bytes. Ours is Azureus style, `-SH0100-` and twelve random bytes. Source: BEP 20.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub [u8; 20]);

impl PeerId {
    /// The first eight bytes of our own: client code `SH`, version 0.1.0.0.
    pub const PREFIX: [u8; 8] = *b"-SH0100-";

    /// Ours, from twelve random bytes that the caller drew.
    #[must_use]
    pub fn ours(random: [u8; 12]) -> Self {
        let mut bytes = [0; 20];
        bytes[..8].copy_from_slice(&Self::PREFIX);
        bytes[8..].copy_from_slice(&random);
        Self(bytes)
    }

    /// The client's name and version as far as BEP 20's Azureus style tells them, printable.
    ///
    /// `-TR4050-` gives `Transmission 4.0.5.0`; an unknown code is shown as it is; anything else
    /// is `unknown`. A peer writes what it likes here: it is for show, never for decisions.
    #[must_use]
    pub fn client_name(&self) -> String {
        let id = &self.0;
        let azureus = id[0] == b'-' && id[7] == b'-' && id[1..7].iter().all(u8::is_ascii_graphic);
        if !azureus {
            return "unknown".to_owned();
        }
        let code = String::from_utf8_lossy(&id[1..3]).into_owned();
        let version: Vec<String> = id[3..7]
            .iter()
            .map(|&digit| char::from(digit).to_string())
            .collect();
        // Ours for what is no client; a version would be none.
        if code == "WS" {
            return "web seed".to_owned();
        }
        let name = CLIENTS
            .iter()
            .find(|(known, _)| *known == code)
            .map_or(code.as_str(), |(_, name)| name);
        format!("{name} {}", version.join("."))
    }
}

impl fmt::Display for PeerId {
    /// Printable ASCII as it is, everything else as `%xx`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|&byte| match byte {
            b'%' => f.write_str("%25"),
            0x21..=0x7e => write!(f, "{}", char::from(byte)),
            _ => write!(f, "%{byte:02x}"),
        })
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({self})")
    }
}

/// Client codes seen in the field. Source: BEP 20, and the peer ids that these programs send.
const CLIENTS: &[(&str, &str)] = &[
    ("A2", "aria2"),
    ("AZ", "Vuze"),
    ("BI", "BiglyBT"),
    ("DE", "Deluge"),
    ("KT", "KTorrent"),
    ("LT", "libtorrent"),
    ("SH", "Shoal"),
    ("TR", "Transmission"),
    ("UT", "µTorrent"),
    ("WW", "WebTorrent"),
    ("lt", "rTorrent"),
    ("qB", "qBittorrent"),
    ("rQ", "rqbit"),
];

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_hash_reads_what_it_writes() {
        let hash = InfoHash(std::array::from_fn(|i| u8::try_from(i * 13).unwrap()));
        assert_eq!(InfoHash::from_hex(&hash.to_string()), Some(hash));
        assert_eq!(
            InfoHash::from_hex(&hash.to_string().to_uppercase()),
            Some(hash)
        );
    }

    #[test]
    fn info_hash_refuses_wrong_length_and_foreign_digits() {
        assert_eq!(InfoHash::from_hex(""), None);
        assert_eq!(InfoHash::from_hex(&"0".repeat(39)), None);
        assert_eq!(InfoHash::from_hex(&"g".repeat(40)), None);
        assert_eq!(InfoHash::from_hex(&"é".repeat(20)), None);
    }

    #[test]
    fn client_name_is_printable_for_any_bytes() {
        assert_eq!(
            PeerId(*b"-TR4050-abcdefghijkl").client_name(),
            "Transmission 4.0.5.0"
        );
        assert_eq!(PeerId::ours([0; 12]).client_name(), "Shoal 0.1.0.0");
        assert_eq!(PeerId(*b"-zz1234-abcdefghijkl").client_name(), "zz 1.2.3.4");
        assert_eq!(PeerId([0x1b; 20]).client_name(), "unknown");
        assert_eq!(PeerId(*b"-\x1b[31m--abcdefghijkl").client_name(), "unknown");
        assert!(PeerId([0x1b; 20]).to_string().is_ascii());
    }
}
