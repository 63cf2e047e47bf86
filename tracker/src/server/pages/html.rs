//! HTML that cannot hold what it should not. Of no BEP.
//!
//! Markup is written by the program alone: [`Html::raw`] takes what stands in the source, and
//! everything else is escaped on its way in. Knows nothing of what is shown.

use std::fmt::{self, Write as _};

use crate::text::printable;

/// What allows our own style and script, and nothing that somebody might smuggle in. Source: CSP
/// level 3, section 2.3.1.
#[derive(Debug, Clone, Copy)]
pub(in crate::server) struct Nonce(u128);

impl Nonce {
    pub(super) fn new() -> Self {
        let mut bytes = [0; 16];
        // Without randomness the page comes all the same: it has no word of a stranger unescaped.
        let _ = getrandom::fill(&mut bytes);
        Self(u128::from_ne_bytes(bytes))
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A page in the making.
#[derive(Debug, Default)]
pub(in crate::server) struct Html(String);

impl Html {
    /// Markup of our own.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Text of anybody, as text or as the value of an attribute in quotes.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for char in printable(text.as_bytes()).chars() {
            match char {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                char => self.0.push(char),
            }
        }
        self
    }

    /// What writes nothing but letters, digits and the like.
    pub(super) fn plain(&mut self, value: impl fmt::Display) -> &mut Self {
        let text = value.to_string();
        self.text(&text)
    }

    /// A number, its thousands apart.
    pub(super) fn number(&mut self, number: u64) -> &mut Self {
        self.plain(grouped(number))
    }

    /// A coordinate.
    pub(super) fn point(&mut self, number: f64) -> &mut Self {
        write!(self.0, "{number:.1}").expect("a String takes every write");
        self
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

/// `1,234,567`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `0.4`, `12`, `3,400`: as exact as it is of use.
pub(super) fn rate(number: f64) -> String {
    if number < 9.95 && number > 0.0 {
        return format!("{number:.1}");
    }
    // Rates are far below 2^53.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rounded"
    )]
    grouped(number.round() as u64)
}

/// `3 d 4 h`, `12 min`: the two largest units.
pub(super) fn duration(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let first = units
        .iter()
        .position(|(unit, _)| seconds >= *unit)
        .unwrap_or(3);
    let (unit, name) = units[first];
    let text = format!("{} {name}", seconds / unit);
    match units.get(first + 1).filter(|_| first < 2) {
        Some((next, name)) if seconds % unit >= *next => {
            format!("{text} {} {name}", seconds % unit / next)
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_grouped() {
        let check = |number, expect: &str| assert_eq!(grouped(number), expect);
        check(0, "0");
        check(999, "999");
        check(1_000, "1,000");
        check(1_234_567, "1,234,567");
        check(u64::MAX, "18,446,744,073,709,551,615");
        assert_eq!(
            [0.0, 0.04, 9.94, 9.96, 12_345.6].map(rate),
            ["0", "0.0", "9.9", "10", "12,346"]
        );
    }

    #[test]
    fn durations_have_two_units() {
        let check = |seconds, expect: &str| assert_eq!(duration(seconds), expect);
        check(0, "0 s");
        check(59, "59 s");
        check(60, "1 min");
        check(3_599, "59 min");
        check(3_600, "1 h");
        check(3_660, "1 h 1 min");
        check(90_000, "1 d 1 h");
        check(86_400 + 60, "1 d");
    }

    proptest! {
        /// Read back as a browser reads it: nothing but text, and the same text.
        #[test]
        fn any_text_is_only_text(text: String, bytes: Vec<u8>) {
            for text in [text, String::from_utf8_lossy(&bytes).into_owned()] {
                let mut html = Html::default();
                html.text(&text);
                let html = html.into_string();
                let active = ['<', '>', '"', '\'', '\0', '\n', '\u{202e}'];
                prop_assert!(!html.contains(active));
                let back = html
                    .replace("&lt;", "<")
                    .replace("&gt;", ">")
                    .replace("&quot;", "\"")
                    .replace("&#39;", "'");
                prop_assert!(back.split('&').skip(1).all(|rest| rest.starts_with("amp;")));
                prop_assert_eq!(back.replace("&amp;", "&"), printable(text.as_bytes()));
            }
        }
    }
}
