//! The admin token: made, read and compared. Source: RFC 6750, RFC 7617.
//!
//! Compared in a time that does not depend on where it differs, and never written anywhere but
//! where it is told once.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use subtle::ConstantTimeEq as _;

use crate::limits;

/// Why a token cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The file cannot be read.
    #[error("cannot read the admin token in {path}: {source}; name a file this user may read")]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// What is in the file is no token.
    #[error("{path} holds no token: one line of at least {min} letters and digits belongs there")]
    Weak {
        /// Which.
        path: PathBuf,
        /// The bound.
        min: usize,
    },
    /// No randomness.
    #[error("the system gives no randomness: {0}")]
    Random(getrandom::Error),
}

pub(super) struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(…)")
    }
}

impl Token {
    /// The one in the file; without a file a random one, which is returned to be told.
    ///
    /// # Errors
    /// [`TokenError`] names the file at fault.
    pub(super) fn get(file: Option<&Path>) -> Result<(Self, Option<String>), TokenError> {
        let Some(path) = file else {
            let mut bytes = [0; 16];
            getrandom::fill(&mut bytes).map_err(TokenError::Random)?;
            let made = format!("{:032x}", u128::from_ne_bytes(bytes));
            return Ok((Self(made.clone()), Some(made)));
        };
        let read = || {
            let mut text = String::new();
            let file = File::open(path)?;
            file.take(limits::TOKEN_FILE_BYTES_MAX)
                .read_to_string(&mut text)?;
            Ok(text)
        };
        let text = read().map_err(|source| TokenError::Read {
            path: path.to_owned(),
            source,
        })?;
        let (token, min) = (text.trim(), limits::TOKEN_BYTES_MIN);
        if token.len() < min || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let path = path.to_owned();
            return Err(TokenError::Weak { path, min });
        }
        Ok((Self(token.to_owned()), None))
    }

    /// Whether the value of an `Authorization` field has the token; as the password of `Basic` too
    /// where a browser may look.
    pub(super) fn opens(&self, authorization: &[u8], as_password: bool) -> bool {
        let Some(space) = authorization.iter().position(|&byte| byte == b' ') else {
            return false;
        };
        let (scheme, rest) = authorization.split_at(space);
        let rest = rest.trim_ascii();
        if scheme.eq_ignore_ascii_case(b"bearer") {
            return self.is(rest);
        }
        if !as_password || !scheme.eq_ignore_ascii_case(b"basic") {
            return false;
        }
        let Some(pair) = base64(rest) else {
            return false;
        };
        let colon = pair.iter().position(|&byte| byte == b':');
        colon.is_some_and(|colon| self.is(&pair[colon + 1..]))
    }

    fn is(&self, given: &[u8]) -> bool {
        // Of different lengths they differ at once: the length is no secret.
        self.0.as_bytes().ct_eq(given).into()
    }
}

/// Source: RFC 4648, section 4.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let text = text
        .strip_suffix(b"==")
        .or_else(|| text.strip_suffix(b"="))
        .unwrap_or(text);
    let (mut bits, mut count, mut bytes) = (0u32, 0, Vec::new());
    for &letter in text {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            // Below 2^8 then.
            bytes.push((bits >> count).to_be_bytes()[3]);
            bits &= (1 << count) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_as_its_rfc_shows() {
        for (text, expect) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYmFy", "foobar"),
            ("QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin:open sesame"),
        ] {
            assert_eq!(
                base64(text.as_bytes()).unwrap(),
                expect.as_bytes(),
                "{text}"
            );
        }
        assert_eq!(base64(b"Zm9v!"), None);
    }

    #[test]
    fn token_opens_as_bearer_and_for_looking_as_a_password() {
        let token = Token("open sesame".to_owned());
        let opens = |field: &str, page| token.opens(field.as_bytes(), page);
        for (field, api, page) in [
            ("Bearer open sesame", true, true),
            ("bearer open sesame", true, true),
            ("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", false, true),
            ("Bearer open sesam", false, false),
            ("Bearer open sesame2", false, false),
            ("Bearer ", false, false),
            ("Bearer", false, false),
            ("Basic b3BlbiBzZXNhbWU=", false, false),
            ("open sesame", false, false),
            ("", false, false),
        ] {
            assert_eq!(
                (opens(field, false), opens(field, true)),
                (api, page),
                "{field}"
            );
        }
    }

    #[test]
    fn made_tokens_differ_and_are_not_shown() {
        let [(token, made), (_, other)] = [(); 2].map(|()| Token::get(None).unwrap());
        let made = made.unwrap();
        assert_eq!(made.len(), 32);
        assert_ne!(Some(&made), other.as_ref());
        assert!(!format!("{token:?}").contains(&made));
        let missing = Token::get(Some(Path::new("/nonexistent/token"))).unwrap_err();
        assert!(missing.to_string().contains("/nonexistent/token"));
        let weak = Token::get(Some(Path::new("/dev/null"))).unwrap_err();
        assert!(weak.to_string().contains("/dev/null holds no token"));
    }
}
