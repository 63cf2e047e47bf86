//! Bodies of the admin API, read strictly. Of no BEP: RFC 8259.
//!
//! An unknown key is a mistake, since one that is passed over would look as if it had been obeyed.

use serde_json::Value;
use shoal_metainfo::InfoHash;

/// Why a body is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the body is no JSON object")]
    NotJson,
    #[error("`{0}` is not known here")]
    Unknown(String),
    #[error("`{0}` is missing")]
    Missing(&'static str),
    #[error("`{0}` must be {1}")]
    Value(&'static str, &'static str),
}

/// What a new key shall be. Absent is without bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct KeyWish {
    /// Torrents at the same time.
    pub(crate) torrents_max: Option<u32>,
    /// Peers of one torrent at the same time.
    pub(crate) peers_max: Option<u32>,
    /// Seconds since 1970.
    pub(crate) expires: Option<u64>,
}

/// Reads `{"info_hashes": ["…", …]}`.
pub(crate) fn info_hashes(body: &[u8]) -> Result<Vec<InfoHash>, BodyError> {
    const NAME: &str = "info_hashes";
    let wrong = || BodyError::Value(NAME, "a list of info hashes, 40 hex digits each");
    let mut hashes = None;
    for (name, value) in object(body)? {
        if name != NAME {
            return Err(BodyError::Unknown(shortened(name)));
        }
        let Value::Array(values) = value else {
            return Err(wrong());
        };
        let read = |value: &Value| InfoHash::from_hex(value.as_str()?);
        hashes = Some(
            values
                .iter()
                .map(read)
                .collect::<Option<Vec<_>>>()
                .ok_or_else(wrong)?,
        );
    }
    hashes.ok_or(BodyError::Missing(NAME))
}

/// Reads `{"torrents_max": 5, "peers_max": 3, "expires": 1800000000}`, all of which may be absent.
pub(crate) fn key(body: &[u8]) -> Result<KeyWish, BodyError> {
    let mut wish = KeyWish::default();
    for (name, value) in object(body)? {
        let number = |name, what| value.as_u64().ok_or(BodyError::Value(name, what));
        let count = |name| {
            let what = "a number from 1 to 4294967295";
            let count = u32::try_from(number(name, what)?)
                .ok()
                .filter(|count| *count > 0);
            count.map(Some).ok_or(BodyError::Value(name, what))
        };
        match name.as_str() {
            "torrents_max" => wish.torrents_max = count("torrents_max")?,
            "peers_max" => wish.peers_max = count("peers_max")?,
            "expires" => wish.expires = Some(number("expires", "seconds since 1970")?),
            _ => return Err(BodyError::Unknown(shortened(name))),
        }
    }
    Ok(wish)
}

fn object(body: &[u8]) -> Result<serde_json::Map<String, Value>, BodyError> {
    // It refuses what is nested deeper than 128, and the body is bounded.
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) | Err(_) => Err(BodyError::NotJson),
    }
}

fn shortened(name: String) -> String {
    let name = crate::text::printable(name.as_bytes());
    name.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn info_hashes_are_read_or_the_mistake_is_named() {
        let hash = "0f".repeat(20);
        let check = |body: &str, expect: Result<usize, &str>| {
            let got = info_hashes(body.as_bytes()).map(|hashes| hashes.len());
            let got = got.map_err(|error| error.to_string());
            match expect {
                Ok(count) => assert_eq!(got, Ok(count), "{body}"),
                Err(part) => assert!(got.clone().unwrap_err().contains(part), "{body}: {got:?}"),
            }
        };
        check(
            &format!("{{\"info_hashes\":[\"{hash}\",\"{hash}\"]}}"),
            Ok(2),
        );
        check("{\"info_hashes\":[]}", Ok(0));
        check("{}", Err("`info_hashes` is missing"));
        check("", Err("no JSON"));
        check("[]", Err("no JSON"));
        check(&"[".repeat(100_000), Err("no JSON"));
        check("{\"info_hashes\":\"x\"}", Err("must be a list"));
        check("{\"info_hashes\":[1]}", Err("must be a list"));
        check(
            &format!("{{\"info_hashes\":[\"{hash}0\"]}}"),
            Err("must be a list"),
        );
        check("{\"info_hash\":[]}", Err("`info_hash` is not known"));
    }

    #[test]
    fn wishes_for_a_key_are_read_or_the_mistake_is_named() {
        assert_eq!(key(b"{}"), Ok(KeyWish::default()));
        let wish = key(b"{\"torrents_max\":5,\"peers_max\":3,\"expires\":1800000000}").unwrap();
        assert_eq!((wish.torrents_max, wish.peers_max), (Some(5), Some(3)));
        assert_eq!(wish.expires, Some(1_800_000_000));
        for bad in [
            "{\"peers_max\":0}",
            "{\"peers_max\":-1}",
            "{\"expires\":\"1\"}",
            "{\"a\":1}",
        ] {
            assert!(key(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_body_is_read_or_refused_in_printable_words(body: Vec<u8>) {
            crate::fuzz::admin_body(&body);
        }
    }
}
