//! Passkeys, and where they stand in a URL: `/KEY/announce` or `/announce/KEY`. BEP 41.
//!
//! A key is its owner's alone, so it is never printed by accident. Who owns it is not known here.

use std::fmt;

/// A key of a private tracker: 128 bits that nobody can guess, written as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Passkey([u8; 16]);

impl Passkey {
    /// One of the system's randomness.
    #[must_use]
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Reads its 32 hex digits, of either case.
    #[must_use]
    pub fn from_hex(text: &[u8]) -> Option<Self> {
        let (pairs, []) = text.as_chunks::<2>() else {
            return None;
        };
        let pairs: &[[u8; 2]; 16] = pairs.try_into().ok()?;
        let mut bytes = [0; 16];
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self(bytes))
    }

    /// Its bytes, for who keeps it.
    #[must_use]
    pub fn bytes(&self) -> [u8; 16] {
        self.0
    }
}

fn digit(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

impl fmt::Display for Passkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Passkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Passkey({:02x}…)", self.0[0])
    }
}

/// What is done at a path that has a passkey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errand {
    /// An announce.
    Announce,
    /// A scrape.
    Scrape,
}

/// What a URL's path asks for, and what stands in the place of a passkey: of any form, that one who
/// mistyped it hears so. A query behind the path is not looked at.
#[must_use]
pub fn errand(path: &[u8]) -> Option<(Errand, &[u8])> {
    let path = path.split(|&byte| byte == b'?').next()?;
    let (first, second) = {
        let mut parts = path.strip_prefix(b"/")?.split(|&byte| byte == b'/');
        let both = (parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        both
    };
    let word = |word: &[u8]| match word {
        b"announce" => Some(Errand::Announce),
        b"scrape" => Some(Errand::Scrape),
        _ => None,
    };
    let behind = word(second).map(|errand| (errand, first));
    behind.or_else(|| word(first).map(|errand| (errand, second)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "00112233445566778899aabbccddeeff";

    #[test]
    fn passkey_stands_before_or_behind_the_word() {
        let check = |path: &str, expect: Option<(Errand, &str)>| {
            let expect = expect.map(|(errand, key)| (errand, key.as_bytes()));
            assert_eq!(errand(path.as_bytes()), expect, "{path}");
        };
        let announce = Some((Errand::Announce, KEY));
        check(&format!("/{KEY}/announce"), announce);
        check(&format!("/announce/{KEY}"), announce);
        check(&format!("/{KEY}/announce?x=/y/z"), announce);
        check(&format!("/{KEY}/scrape"), Some((Errand::Scrape, KEY)));
        check(&format!("/scrape/{KEY}"), Some((Errand::Scrape, KEY)));
        check("/x/announce", Some((Errand::Announce, "x")));
        check("//announce", Some((Errand::Announce, "")));
        check("/announce", None);
        check("/a/b/announce", None);
        check("/a/b", None);
        check("", None);
    }

    #[test]
    fn passkey_is_32_hex_digits() {
        let key = Passkey::from_hex(KEY.as_bytes()).unwrap();
        assert_eq!(key.to_string(), KEY);
        assert_eq!(Passkey::from_hex(KEY.to_uppercase().as_bytes()), Some(key));
        for bad in [
            "",
            "0",
            &KEY[1..],
            &format!("{KEY}0"),
            &KEY.replace('f', "g"),
        ] {
            assert_eq!(Passkey::from_hex(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn debug_output_does_not_tell_a_passkey() {
        let key = Passkey::from_hex(KEY.as_bytes()).unwrap();
        assert!(!format!("{key:?}").contains("1122"));
    }

    proptest! {
        #[test]
        fn passkeys_round_trip(bytes: [u8; 16], path: Vec<u8>) {
            let key = Passkey::from_random(bytes);
            prop_assert_eq!(Passkey::from_hex(key.to_string().as_bytes()), Some(key));
            prop_assert_eq!(key.bytes(), bytes);
            let _ = errand(&path);
        }
    }
}
