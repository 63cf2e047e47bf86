//! The sender wants nothing any more. BEP 21, and libtorrent's message `upload_only`.
//!
//! BEP 21 has it in the extended handshake alone; the message is how it is told later, by the name
//! and in the form that libtorrent gave it.

use crate::error::ExtensionError;

/// Reads the payload.
///
/// # Errors
/// [`ExtensionError::Length`] unless it is one byte; any but zero is a yes.
///
/// Source: libtorrent's `upload_only` message, one byte.
pub fn decode(payload: &[u8]) -> Result<bool, ExtensionError> {
    match payload {
        [byte] => Ok(*byte != 0),
        _ => Err(ExtensionError::Length {
            found: payload.len(),
        }),
    }
}

/// The payload. Source: libtorrent's `upload_only` message.
#[must_use]
pub fn encode(upload_only: bool) -> Vec<u8> {
    vec![u8::from(upload_only)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_says_yes_or_no() {
        for said in [true, false] {
            assert_eq!(decode(&encode(said)), Ok(said));
        }
        assert_eq!(decode(&[7]), Ok(true));
        assert_eq!(decode(&[]), Err(ExtensionError::Length { found: 0 }));
        assert_eq!(decode(b"i1e"), Err(ExtensionError::Length { found: 3 }));
    }
}
