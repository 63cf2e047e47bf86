//! Text of strangers on one line of our terminal: names out of torrents, trackers and peers.
//!
//! Whoever prints such a name prints it through [`Printable`] or [`shortened`]. Knows nothing of
//! where the text is from.

use std::fmt;

pub(crate) use shoal_metainfo::text::Printable;

/// [`Printable`] line by line: the message's own line breaks stay.
pub(crate) struct Lines<'a>(pub(crate) &'a str);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = self.0.lines();
        write!(f, "{}", Printable(lines.next().unwrap_or_default()))?;
        lines.try_for_each(|line| write!(f, "\n{}", Printable(line)))
    }
}

/// [`Printable`], at most `width` characters long.
pub(crate) fn shortened(text: &str, width: usize) -> String {
    let text = Printable(text).to_string();
    if text.chars().count() <= width {
        return text;
    }
    let short: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{short}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_between_characters() {
        assert_eq!(shortened("żółwżółw", 5), "żółw…");
        assert_eq!(shortened("short", 5), "short");
    }

    #[test]
    fn names_cannot_steer_the_terminal() {
        assert_eq!(shortened("\x1b[2Jgone", 9), "\u{fffd}[2Jgone");
        assert_eq!(shortened("exe\u{202e}gpj", 9), "exe\u{fffd}gpj");
    }
}
