//! A piece is gone. BEP 54, `lt_donthave`.
//!
//! The body of a `have` under another name. Whether there is such a piece is not known here.

use crate::error::ExtensionError;

/// Reads the payload: the index of a piece, as sent.
///
/// # Errors
/// [`ExtensionError::Length`] unless it is four bytes.
///
/// Source: BEP 54.
pub fn decode(payload: &[u8]) -> Result<u32, ExtensionError> {
    let bytes = payload.try_into().map_err(|_| ExtensionError::Length {
        found: payload.len(),
    })?;
    Ok(u32::from_be_bytes(bytes))
}

/// The payload that says that piece `index` is gone. Source: BEP 54.
#[must_use]
pub fn encode(index: u32) -> Vec<u8> {
    index.to_be_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_is_four_bytes_of_big_endian() {
        assert_eq!(encode(0x0102_0304), [1, 2, 3, 4]);
        assert_eq!(decode(&[1, 2, 3, 4]), Ok(0x0102_0304));
        for payload in [&[][..], &[1, 2, 3], &[1, 2, 3, 4, 5]] {
            let found = payload.len();
            assert_eq!(decode(payload), Err(ExtensionError::Length { found }));
        }
    }
}
