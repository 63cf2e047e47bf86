//! Text from outside, made fit for a terminal and a log.
//!
//! Control and direction characters could forge lines and hide others; length could bury them.

use crate::limits::TEXT_BYTES_MAX;

/// The text as UTF-8 in one line, without control or direction characters, cut at
/// [`TEXT_BYTES_MAX`] bytes.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let head = &bytes[..bytes.len().min(4 * TEXT_BYTES_MAX)];
    let mut text = String::new();
    for char in String::from_utf8_lossy(head).chars() {
        let char = if char.is_whitespace() { ' ' } else { char };
        if char.is_control() || turns_direction(char) {
            continue;
        }
        if text.len() + char.len_utf8() > TEXT_BYTES_MAX {
            break;
        }
        text.push(char);
    }
    text.truncate(text.trim_end().len());
    text
}

/// Source: Unicode's bidirectional controls (UAX #9) and the line separators.
fn turns_direction(char: char) -> bool {
    matches!(
        char,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn control_characters_and_length_are_stripped() {
        assert_eq!(printable(b"unregistered torrent"), "unregistered torrent");
        assert_eq!(printable(b"a\x1b[31mb\r\nc\0"), "a[31mb  c");
        assert_eq!(printable("\u{202e}evil\u{2069}é".as_bytes()), "evilé");
        assert_eq!(printable(&[b'x'; 5000]).len(), TEXT_BYTES_MAX);
        assert_eq!(printable(b"\xff"), "\u{fffd}");
    }

    proptest! {
        #[test]
        fn any_bytes_become_one_short_line(bytes: Vec<u8>) {
            let text = printable(&bytes);
            prop_assert!(text.len() <= TEXT_BYTES_MAX);
            prop_assert!(!text.chars().any(|c| c.is_control() || turns_direction(c)));
        }
    }
}
