//! Which files of a torrent are wanted. BEP 53 "select only".
//!
//! A [`Choice`] is what somebody asked for, by numbers and by patterns of paths; a [`Chosen`] is
//! what it means for one torrent. Knows nothing of the disk.

use std::ops::RangeInclusive;

use crate::bitfield::Bitfield;
use crate::info::Info;
use crate::magnet::read_ranges;
use crate::text::quote;

/// Files as somebody asked for them.
///
/// ```
/// use shoal_metainfo::Choice;
/// let choice: Choice = "0,2,6-8".parse()?;
/// assert_eq!(choice, Choice::of_numbers(vec![0..=0, 2..=2, 6..=8]));
/// let _by_path: Choice = "*.flac".parse()?;
/// # Ok::<(), shoal_metainfo::ChoiceError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Choice {
    items: Vec<Item>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Item {
    /// From zero, as the torrent lists them.
    Numbers(RangeInclusive<u32>),
    /// Of the path; `*` is any number of characters, `/` among them, and `?` one.
    Pattern(String),
}

/// Why text is no choice of files.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChoiceError {
    /// Nothing at all.
    #[error("no files are named: say numbers like 0,2,6-8 or a path like '*.flac'")]
    Empty,
    /// Digits, commas and hyphens, but no numbers of files.
    #[error("{0} are no numbers of files: say them like 0,2,6-8, counted from 0")]
    Numbers(String),
}

/// Why there is nothing to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "none of the files that were chosen is in the torrent, which has {files} ({numbers}): \
     `shoal show` lists them",
    numbers = if *.files == 1 { "number 0".to_owned() } else { format!("0 to {}", .files - 1) }
)]
pub struct NoneChosen {
    /// How many files it has.
    pub files: usize,
}

impl std::str::FromStr for Choice {
    type Err = ChoiceError;

    /// Numbers like `0,2,6-8`, or else one pattern.
    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(ChoiceError::Empty);
        }
        if !text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b',' | b'-' | b' '))
        {
            let items = vec![Item::Pattern(text.to_owned())];
            return Ok(Self { items });
        }
        let ranges = read_ranges(text);
        let ranges = ranges.ok_or_else(|| ChoiceError::Numbers(quote(text.as_bytes())))?;
        Ok(Self::of_numbers(ranges))
    }
}

impl Choice {
    /// By numbers alone, as [`Magnet::select`](crate::Magnet::select) has them.
    #[must_use]
    pub fn of_numbers(ranges: Vec<RangeInclusive<u32>>) -> Self {
        let items = ranges.into_iter().map(Item::Numbers).collect();
        Self { items }
    }

    /// Whether nothing was asked for, which means everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// These and those.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.items.extend(other.items);
        self
    }

    /// What it means for a torrent, and what of it names no file of that.
    ///
    /// # Errors
    /// [`NoneChosen`] when none of it does.
    pub fn resolve(&self, info: &Info) -> Result<(Chosen, Vec<String>), NoneChosen> {
        if self.is_empty() {
            return Ok((Chosen::all(info), Vec::new()));
        }
        let mut files = vec![false; info.files.len()];
        let mut vain = Vec::new();
        for item in &self.items {
            match item {
                Item::Numbers(range) => {
                    let last = u32::try_from(files.len().saturating_sub(1)).unwrap_or(u32::MAX);
                    for number in *range.start()..=last.min(*range.end()) {
                        files[number as usize] = true;
                    }
                    if *range.end() > last {
                        let begin = (last + 1).max(*range.start());
                        vain.push(shown(&(begin..=*range.end())));
                    }
                }
                Item::Pattern(pattern) => {
                    let mut names_some = false;
                    for (chosen, entry) in files.iter_mut().zip(&info.files) {
                        if entry.is_on_disk() && is_meant(pattern, entry.path.as_str()) {
                            *chosen = true;
                            names_some = true;
                        }
                    }
                    if !names_some {
                        vain.push(quote(pattern.as_bytes()));
                    }
                }
            }
        }
        let mut found = files.iter().zip(&info.files);
        if !found.any(|(&chosen, entry)| chosen && entry.is_on_disk()) {
            return Err(NoneChosen {
                files: info.files.len(),
            });
        }
        Ok((
            Chosen {
                files: files.into(),
            },
            vain,
        ))
    }
}

/// The files of one torrent that are wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chosen {
    files: Box<[bool]>,
}

impl Chosen {
    /// All of them.
    #[must_use]
    pub fn all(info: &Info) -> Self {
        Self {
            files: vec![true; info.files.len()].into(),
        }
    }

    /// Whether it is all files that have a place on the disk.
    #[must_use]
    pub fn is_all(&self, info: &Info) -> bool {
        let mut files = self.files.iter().zip(&info.files);
        files.all(|(&chosen, entry)| chosen || !entry.is_on_disk())
    }

    /// Whether the file of that number is wanted.
    #[must_use]
    pub fn has(&self, file: usize) -> bool {
        self.files.get(file).is_some_and(|&chosen| chosen)
    }

    /// The numbers of the files that are wanted and have a place on the disk.
    pub fn numbers<'a>(&'a self, info: &'a Info) -> impl Iterator<Item = usize> + 'a {
        let files = self.files.iter().zip(&info.files).enumerate();
        files.filter_map(|(number, (&chosen, entry))| {
            (chosen && entry.is_on_disk()).then_some(number)
        })
    }

    /// Bytes of the files that are wanted.
    #[must_use]
    pub fn bytes(&self, info: &Info) -> u64 {
        let files = self.numbers(info);
        files.map(|number| info.files[number].length).sum()
    }

    /// The pieces that they lie in, some perhaps in others as well.
    #[must_use]
    pub fn pieces(&self, info: &Info) -> Bitfield {
        let geometry = &info.geometry;
        if self.is_all(info) {
            return Bitfield::all(geometry.pieces());
        }
        let mut pieces = Bitfield::none(geometry.pieces());
        let length = u64::from(geometry.full_piece_length());
        for entry in self.numbers(info).map(|number| &info.files[number]) {
            if entry.length == 0 {
                continue;
            }
            let bytes = entry.range();
            for number in bytes.start / length..=(bytes.end - 1) / length {
                let number = u32::try_from(number).ok();
                if let Some(piece) = number.and_then(|number| geometry.piece(number)) {
                    pieces.insert(piece);
                }
            }
        }
        pieces
    }
}

/// As one writes it.
fn shown(range: &RangeInclusive<u32>) -> String {
    match range.start() == range.end() {
        true => range.start().to_string(),
        false => format!("{}-{}", range.start(), range.end()),
    }
}

/// Whether the path of a file is meant, as it is listed or without the torrent's folder.
fn is_meant(pattern: &str, path: &str) -> bool {
    let within = path.split_once('/').map_or(path, |(_, within)| within);
    matches(pattern.as_bytes(), path.as_bytes()) || matches(pattern.as_bytes(), within.as_bytes())
}

/// Whether all of `text` is as the pattern says. In time of their product at most: of several stars
/// only the last that was met is ever tried again.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut in_text) = (0, 0);
    let mut star = None;
    while in_text < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, in_text));
                at += 1;
            }
            Some(&byte) if byte == b'?' || byte == text[in_text] => {
                at += 1;
                // One character, not one byte of it.
                in_text += match byte {
                    b'?' => character(&text[in_text..]),
                    _ => 1,
                };
            }
            _ => {
                let Some((behind, taken)) = star else {
                    return false;
                };
                star = Some((behind, taken + 1));
                (at, in_text) = (behind + 1, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(|&byte| byte == b'*')
}

/// Bytes of the character that UTF-8 text begins with.
fn character(text: &[u8]) -> usize {
    let rest = text.iter().skip(1);
    1 + rest.take_while(|&&byte| byte & 0xc0 == 0x80).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Files of 3, 4, 0, 9 and 5 bytes in pieces of four; the fourth is padding.
    fn info() -> Info {
        let files = [
            ("a", "d6:lengthi3e4:pathl5:a.txtee"),
            ("b", "d6:lengthi4e4:pathl3:sub5:b.oggee"),
            ("e", "d6:lengthi0e4:pathl5:emptyee"),
            ("p", "d4:attr1:p6:lengthi9e4:pathl4:.pad1:9ee"),
            ("c", "d6:lengthi5e4:pathl3:sub5:c.oggee"),
        ];
        let mut bytes = b"d5:filesl".to_vec();
        files
            .iter()
            .for_each(|(_, file)| bytes.extend(file.as_bytes()));
        bytes.extend(b"e4:name1:T12:piece lengthi4e6:pieces120:");
        bytes.extend([7; 120]);
        bytes.push(b'e');
        Info::parse(&bytes).unwrap()
    }

    fn check(choice: &str, files: &[usize], pieces: &[u32], vain: &[&str]) {
        let info = info();
        let choice: Choice = choice.parse().unwrap();
        let (chosen, unmet) = choice.resolve(&info).unwrap();
        assert_eq!(chosen.numbers(&info).collect::<Vec<_>>(), files);
        assert_eq!(chosen.pieces(&info).ones().collect::<Vec<_>>(), pieces);
        assert_eq!(unmet, vain);
    }

    #[test]
    fn files_are_chosen_by_number_and_by_path() {
        check("0", &[0], &[0], &[]);
        check("1", &[1], &[0, 1], &[]);
        check("2", &[2], &[], &[]);
        check("4", &[4], &[4, 5], &[]);
        check("0-1,4", &[0, 1, 4], &[0, 1, 4, 5], &[]);
        check("*.ogg", &[1, 4], &[0, 1, 4, 5], &[]);
        check("T/sub/?.ogg", &[1, 4], &[0, 1, 4, 5], &[]);
        check("a.txt", &[0], &[0], &[]);
        check("*", &[0, 1, 2, 4], &[0, 1, 2, 3, 4, 5], &[]);
    }

    #[test]
    fn what_names_no_file_is_told() {
        check("4-9,12", &[4], &[4, 5], &["5-9", "12"]);
        let both = "0".parse::<Choice>().unwrap().and("*.mp3".parse().unwrap());
        assert_eq!(both.resolve(&info()).unwrap().1, ["`*.mp3`"]);
        for vain in ["7", "*.mp3", "3"] {
            let choice: Choice = vain.parse().unwrap();
            assert_eq!(choice.resolve(&info()), Err(NoneChosen { files: 5 }));
        }
    }

    #[test]
    fn nothing_asked_for_is_everything() {
        let (chosen, _) = Choice::default().resolve(&info()).unwrap();
        assert!(chosen.is_all(&info()));
        assert_eq!(chosen.bytes(&info()), 12);
        let but_padding: Choice = "0-2,4".parse().unwrap();
        assert!(but_padding.resolve(&info()).unwrap().0.is_all(&info()));
    }

    #[test]
    fn text_that_is_no_choice_is_refused() {
        for text in ["1,,2", "3-1", "-", "1-2-3", "99999999999"] {
            let refused = text.parse::<Choice>();
            assert!(matches!(refused, Err(ChoiceError::Numbers(_))), "{text}");
        }
        assert_eq!(" ".parse::<Choice>(), Err(ChoiceError::Empty));
    }

    /// The meaning, without a thought for time.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), _) => {
                naive(rest, text) || text.split_first().is_some_and(|(_, t)| naive(pattern, t))
            }
            (Some((&p, rest)), Some((&t, text))) => (p == '?' || p == t) && naive(rest, text),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn patterns_match_as_a_naive_model_does(
            pattern in "[ab*?é]{0,8}",
            text in "[abé/]{0,10}",
        ) {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            let expect = naive(&chars(&pattern), &chars(&text));
            prop_assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expect);
        }
    }
}
