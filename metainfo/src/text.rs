//! Text from outside, made safe to print. No BEP.
//!
//! Promises one line without characters that move the cursor, hide text or turn its direction.
//! Knows nothing of fonts: look-alike letters pass.

use std::fmt;

use crate::limits::QUOTE_BYTES_MAX;

/// Shows text with every character that could deceive a terminal or a reader as `U+FFFD`.
///
/// ```
/// use shoal_metainfo::text::Printable;
/// assert_eq!(Printable("a\x1b[31mb\u{202e}").to_string(), "a\u{fffd}[31mb\u{fffd}");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(at) = rest.find(is_deceptive) {
            f.write_str(&rest[..at])?;
            f.write_str("\u{fffd}")?;
            let next = rest[at..].chars().next().map_or(1, char::len_utf8);
            rest = &rest[at + next..];
        }
        f.write_str(rest)
    }
}

/// Whether the character controls the terminal, breaks the line or turns the writing direction.
///
/// C0, DEL, C1, the line and paragraph separators, and the bidirectional marks, embeddings,
/// overrides and isolates. Source: Unicode UAX #9, "directional formatting characters".
#[must_use]
pub fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{061c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
        )
}

/// Foreign bytes for an error message: printable, in quotes, cut to one line.
pub(crate) fn quote(bytes: &[u8]) -> String {
    let short = &bytes[..bytes.len().min(QUOTE_BYTES_MAX)];
    let more = if short.len() < bytes.len() { "…" } else { "" };
    let text = String::from_utf8_lossy(short);
    format!("`{}{more}`", Printable(&text))
}

/// The longest start of `text` that is at most `bytes_max` long and ends between characters.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quote_cuts_and_cleans() {
        assert_eq!(quote(b"a\nb"), "`a\u{fffd}b`");
        assert_eq!(quote(b"\xff"), "`\u{fffd}`");
        let long = quote(&[b'x'; 1000]);
        assert!(long.len() < 80 && long.ends_with("…`"), "{long}");
    }

    proptest! {
        #[test]
        fn printed_text_holds_nothing_deceptive(text: String) {
            let printed = Printable(&text).to_string();
            prop_assert!(!printed.contains(is_deceptive));
            prop_assert_eq!(printed.chars().count(), text.chars().count());
        }

        #[test]
        fn cut_keeps_a_start_of_the_text(text: String, bytes_max in 0..40usize) {
            let short = cut(&text, bytes_max);
            prop_assert!(short.len() <= bytes_max && text.starts_with(short));
        }
    }
}
