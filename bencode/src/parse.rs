//! Bytes to a tree. BEP 3 "bencoding".
//!
//! One loop over the first byte of each value, with the open lists and dictionaries on a stack of
//! our own. Knows the grammar's branches; its leaves are `scalar`'s, reading the tree is `tree`'s.

use crate::error::ParseError;
use crate::limits;
use crate::options::{Mode, Options};
use crate::scalar::{self, Fault};
use crate::tree::{Tally, Token, Tree};

/// Parses an input that is one value.
///
/// # Errors
/// [`ParseError`], with the offset of the byte at fault. Bytes behind the value are an error in
/// [`Mode::Strict`] and ignored in [`Mode::Lenient`]. Source: BEP 3, "bencoding".
pub fn parse(input: &[u8], options: Options) -> Result<Tree<'_>, ParseError> {
    let (tree, at) = parse_prefix(input, options)?;
    let count = input.len() - at;
    if count > 0 && options.mode == Mode::Strict {
        return Err(ParseError::TrailingBytes { at, count });
    }
    Ok(tree)
}

/// Parses the value that an input begins with, and says how many bytes that took.
///
/// # Errors
/// [`ParseError`], with the offset of the byte at fault; never [`ParseError::TrailingBytes`].
/// Source: BEP 9, where a piece of metadata follows a dictionary in one message.
pub fn parse_prefix(input: &[u8], options: Options) -> Result<(Tree<'_>, usize), ParseError> {
    check_length(input.len())?;
    let mut parser = Parser {
        input,
        options,
        // A message fits at once; a file pays for what it holds, not for its length.
        tokens: Vec::with_capacity((input.len() / 4).clamp(1, 64)),
        index: Vec::new(),
        open: Vec::new(),
    };
    let mut at = parser.value(0)?;
    while let Some(top) = parser.open.last() {
        at = if top.wants_key() {
            parser.key(at)?
        } else {
            parser.value(at)?
        };
    }
    let tree = Tree::new(input, parser.tokens, parser.index);
    Ok((tree, at))
}

fn check_length(length: usize) -> Result<(), ParseError> {
    if length > limits::INPUT_LENGTH_MAX {
        return Err(ParseError::InputTooLong { length });
    }
    Ok(())
}

/// A list or dictionary whose end has not been seen.
struct Open {
    token: u32,
    is_dict: bool,
    /// Items of a list; keys and values of a dictionary.
    children: u32,
    /// The token of the latest key, once there is one.
    latest_key: u32,
    /// Every key so far is greater than the one before it.
    ascending: bool,
}

impl Open {
    fn wants_key(&self) -> bool {
        self.is_dict && self.children.is_multiple_of(2)
    }
}

struct Parser<'a> {
    input: &'a [u8],
    options: Options,
    tokens: Vec<Token>,
    index: Vec<u32>,
    open: Vec<Open>,
}

impl Parser<'_> {
    /// Takes a value or the end of what is open; gives where the next one begins.
    fn value(&mut self, at: usize) -> Result<usize, ParseError> {
        match self.input.get(at) {
            None => Err(ParseError::UnexpectedEnd { at }),
            Some(b'0'..=b'9') => self.string(at),
            Some(b'i') => self.int(at),
            Some(b'l') => self.open(at, false),
            Some(b'd') => self.open(at, true),
            Some(b'e') => self.close(at),
            Some(&found) => Err(ParseError::UnexpectedByte { at, found }),
        }
    }

    /// Takes a key or the end of the dictionary that is open; gives where the next value begins.
    fn key(&mut self, at: usize) -> Result<usize, ParseError> {
        match self.input.get(at) {
            None => Err(ParseError::UnexpectedEnd { at }),
            Some(b'0'..=b'9') => {
                let end = self.string(at)?;
                self.check_order(at)?;
                Ok(end)
            }
            Some(b'e') => self.close(at),
            Some(&found) => Err(ParseError::KeyNotString { at, found }),
        }
    }

    fn string(&mut self, at: usize) -> Result<usize, ParseError> {
        let (rest, string) = scalar::string(&self.input[at..]).map_err(|e| self.place(e))?;
        let end = self.input.len() - rest.len();
        self.push(at, end, narrow(end - string.len()))?;
        Ok(end)
    }

    fn int(&mut self, at: usize) -> Result<usize, ParseError> {
        let (rest, _) = scalar::int(&self.input[at..]).map_err(|e| self.place(e))?;
        let end = self.input.len() - rest.len();
        self.push(at, end, 0)?;
        Ok(end)
    }

    fn open(&mut self, at: usize, is_dict: bool) -> Result<usize, ParseError> {
        let max = self.options.depth_max;
        if self.open.len() >= max {
            return Err(ParseError::TooDeep { at, max });
        }
        let token = self.push(at, at, 0)?;
        self.open.push(Open {
            token,
            is_dict,
            children: 0,
            latest_key: 0,
            ascending: true,
        });
        Ok(at + 1)
    }

    fn close(&mut self, at: usize) -> Result<usize, ParseError> {
        let Some(open) = self.open.pop() else {
            return Err(ParseError::UnexpectedByte { at, found: b'e' });
        };
        if open.is_dict && !open.wants_key() {
            return Err(ParseError::KeyWithoutValue { at });
        }
        let tally = if open.is_dict {
            self.close_dict(&open)?
        } else {
            open.children
        };
        let next = narrow(self.tokens.len());
        let token = &mut self.tokens[open.token as usize];
        token.end = narrow(at + 1);
        token.next = next;
        token.extra = tally;
        Ok(at + 1)
    }

    /// Indexes a dictionary that is large or not ascending, and finds duplicates in the latter.
    fn close_dict(&mut self, open: &Open) -> Result<u32, ParseError> {
        let entries = open.children / 2;
        if open.ascending && entries <= limits::DICT_SCAN_MAX {
            return Ok(Tally::Scan(entries).pack());
        }
        let start = self.index.len();
        self.index.push(entries);
        let mut key = open.token + 1;
        for _ in 0..entries {
            self.index.push(key);
            key = self.tokens[key as usize + 1].next;
        }
        if !open.ascending {
            self.sort_keys(start + 1)?;
        }
        if entries <= limits::DICT_SCAN_MAX {
            self.index.truncate(start);
            return Ok(Tally::Scan(entries).pack());
        }
        Ok(Tally::Index(narrow(start)).pack())
    }

    /// Sorts the part of the index that holds one dictionary; equal keys are neighbours then.
    fn sort_keys(&mut self, start: usize) -> Result<(), ParseError> {
        let (input, tokens) = (self.input, &self.tokens);
        let keys = &mut self.index[start..];
        let bytes = |key: u32| tokens[key as usize].payload(input);
        keys.sort_unstable_by(|&a, &b| bytes(a).cmp(bytes(b)).then(a.cmp(&b)));
        match keys
            .windows(2)
            .find(|pair| bytes(pair[0]) == bytes(pair[1]))
        {
            None => Ok(()),
            Some(pair) => Err(ParseError::KeyDuplicate {
                at: tokens[pair[1] as usize].start as usize,
            }),
        }
    }

    /// Compares the key just taken, the last token, with the one before it.
    fn check_order(&mut self, at: usize) -> Result<(), ParseError> {
        let key = self.tokens.len() - 1;
        let open = self.open.last_mut().expect("a key is inside a dictionary");
        if open.children > 1 {
            let before = self.tokens[open.latest_key as usize].payload(self.input);
            match before.cmp(self.tokens[key].payload(self.input)) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => return Err(ParseError::KeyDuplicate { at }),
                std::cmp::Ordering::Greater if self.options.mode == Mode::Strict => {
                    return Err(ParseError::KeyUnsorted { at });
                }
                std::cmp::Ordering::Greater => open.ascending = false,
            }
        }
        open.latest_key = narrow(key);
        Ok(())
    }

    fn push(&mut self, start: usize, end: usize, extra: u32) -> Result<u32, ParseError> {
        let (token, max) = (self.tokens.len(), self.options.tokens_max);
        if token >= max {
            return Err(ParseError::TooManyTokens { at: start, max });
        }
        self.tokens.push(Token {
            start: narrow(start),
            end: narrow(end),
            next: narrow(token + 1),
            extra,
        });
        if let Some(open) = self.open.last_mut() {
            open.children += 1;
        }
        Ok(narrow(token))
    }

    fn place(&self, error: nom::Err<Fault>) -> ParseError {
        match error {
            nom::Err::Error(fault) | nom::Err::Failure(fault) => fault.place(self.input.len()),
            // The parsers are nom's complete ones, so this cannot be; its meaning is clear anyhow.
            nom::Err::Incomplete(_) => ParseError::UnexpectedEnd {
                at: self.input.len(),
            },
        }
    }
}

/// Offsets and counts are at most the input's length, and that was checked at the door.
fn narrow(n: usize) -> u32 {
    u32::try_from(n).expect("an input of at most 2^32 - 1 bytes has no more tokens than bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check alone: an input that long would need the memory.
    #[test]
    fn input_is_refused_when_spans_do_not_fit() {
        let length = 1 << 32;
        assert_eq!(check_length(length - 1), Ok(()));
        assert_eq!(
            check_length(length),
            Err(ParseError::InputTooLong { length })
        );
    }
    #[test]
    fn small_dictionaries_leave_nothing_in_the_index() {
        let tree = parse(b"ld1:bi1e1:ai2eed1:ai1e1:bi2eee", Options::lenient()).unwrap();
        assert!(tree.index.is_empty());
    }
}
