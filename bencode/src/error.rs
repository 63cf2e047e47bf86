//! Ways in which bytes are not bencode (BEP 3), and a dictionary is not what was hoped for.
//!
//! A [`ParseError`] blames the bytes, a [`FieldError`] the one who chose the keys.

use crate::tree::Kind;

/// Why bytes are not bencode, with the offset of the byte at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The input ends inside a value, or is empty.
    #[error("byte {at}: the input ends before the value does; it may be truncated")]
    UnexpectedEnd {
        /// The length of the input.
        at: usize,
    },
    /// No value begins with this byte.
    #[error("byte {at}: expected a value (`i`, `l`, `d` or a digit), found {}", show(*.found))]
    UnexpectedByte {
        /// Where.
        at: usize,
        /// What is there.
        found: u8,
    },
    /// An integer without digits: `ie`, `i-e`.
    #[error("byte {at}: the integer has no digits")]
    IntEmpty {
        /// Where the first digit should be.
        at: usize,
    },
    /// An integer that begins with `+`.
    #[error("byte {at}: an integer must not begin with `+`")]
    IntPlusSign {
        /// Where the sign is.
        at: usize,
    },
    /// Something else where an integer's first digit should be.
    #[error("byte {at}: expected a digit of an integer, found {}", show(*.found))]
    IntNotDigit {
        /// Where.
        at: usize,
        /// What is there.
        found: u8,
    },
    /// `i03e`, `i-03e`, `i00e`.
    #[error("byte {at}: an integer must not have leading zeros")]
    IntLeadingZero {
        /// Where the first zero is.
        at: usize,
    },
    /// `i-0e`.
    #[error("byte {at}: zero must not be negative")]
    IntNegativeZero {
        /// Where the zero is.
        at: usize,
    },
    /// The digits of an integer are followed by something other than `e`.
    #[error("byte {at}: expected the `e` that ends an integer, found {}", show(*.found))]
    IntUnterminated {
        /// Where.
        at: usize,
        /// What is there.
        found: u8,
    },
    /// An integer outside -2^63..2^63.
    #[error("byte {at}: the integer does not fit 64 bits")]
    IntOverflow {
        /// Where its digits begin.
        at: usize,
    },
    /// A string's length such as `03:`.
    #[error("byte {at}: the length of a string must not have leading zeros")]
    LengthLeadingZero {
        /// Where the first zero is.
        at: usize,
    },
    /// The digits of a string's length are followed by something other than `:`.
    #[error("byte {at}: expected the `:` behind the length of a string, found {}", show(*.found))]
    LengthUnterminated {
        /// Where.
        at: usize,
        /// What is there.
        found: u8,
    },
    /// A string's length of 2^64 or more.
    #[error("byte {at}: the length of the string does not fit 64 bits")]
    LengthOverflow {
        /// Where its digits begin.
        at: usize,
    },
    /// A string that is longer than what is left of the input.
    #[error("byte {at}: a string of {length} bytes, but only {left} are left; it may be truncated")]
    StringPastEnd {
        /// Where the string's first byte would be.
        at: usize,
        /// Its announced length, bytes.
        length: u64,
        /// What is left of the input, bytes.
        left: usize,
    },
    /// A dictionary key must be a string.
    #[error("byte {at}: expected a key (a string) or `e`, found {}", show(*.found))]
    KeyNotString {
        /// Where.
        at: usize,
        /// What is there.
        found: u8,
    },
    /// A dictionary that ends behind a key.
    #[error("byte {at}: the dictionary ends where the value of its last key should be")]
    KeyWithoutValue {
        /// Where the `e` is.
        at: usize,
    },
    /// A key smaller, byte by byte, than the one before it. Only in [`crate::Mode::Strict`].
    #[error("byte {at}: the keys of the dictionary are not sorted")]
    KeyUnsorted {
        /// Where the later key begins.
        at: usize,
    },
    /// A key that the dictionary has already.
    #[error("byte {at}: the dictionary has this key twice")]
    KeyDuplicate {
        /// Where the later one begins.
        at: usize,
    },
    /// Bytes behind the value. Only in [`crate::Mode::Strict`], and never of a prefix.
    #[error("byte {at}: the value ends here, but the input does not (bytes left: {count})")]
    TrailingBytes {
        /// Where the value ends.
        at: usize,
        /// How many follow.
        count: usize,
    },
    /// More lists and dictionaries inside one another than [`crate::Options::depth_max`].
    #[error("byte {at}: nested deeper than {max} levels")]
    TooDeep {
        /// Where the one too many begins.
        at: usize,
        /// The bound.
        max: usize,
    },
    /// More values than [`crate::Options::tokens_max`].
    #[error("byte {at}: more than {max} values")]
    TooManyTokens {
        /// Where the one too many begins.
        at: usize,
        /// The bound.
        max: usize,
    },
    /// More than [`crate::limits::INPUT_LENGTH_MAX`] bytes.
    #[error("the input has {length} bytes; at most 2^32 - 1 can be read")]
    InputTooLong {
        /// Its length, bytes.
        length: usize,
    },
}

impl ParseError {
    /// The offset of the byte at fault.
    #[must_use]
    pub const fn at(&self) -> usize {
        match *self {
            Self::UnexpectedEnd { at }
            | Self::UnexpectedByte { at, .. }
            | Self::IntEmpty { at }
            | Self::IntPlusSign { at }
            | Self::IntNotDigit { at, .. }
            | Self::IntLeadingZero { at }
            | Self::IntNegativeZero { at }
            | Self::IntUnterminated { at, .. }
            | Self::IntOverflow { at }
            | Self::LengthLeadingZero { at }
            | Self::LengthUnterminated { at, .. }
            | Self::LengthOverflow { at }
            | Self::StringPastEnd { at, .. }
            | Self::KeyNotString { at, .. }
            | Self::KeyWithoutValue { at }
            | Self::KeyUnsorted { at }
            | Self::KeyDuplicate { at }
            | Self::TrailingBytes { at, .. }
            | Self::TooDeep { at, .. }
            | Self::TooManyTokens { at, .. } => at,
            Self::InputTooLong { .. } => 0,
        }
    }
}

/// Why a dictionary does not have what a reader asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FieldError {
    /// The dictionary lacks the key.
    #[error("key `{key}` is missing")]
    Missing {
        /// The BEP's name for it.
        key: &'static str,
    },
    /// The key's value is of another kind.
    #[error("key `{key}` must be {expected}, but is {found}")]
    WrongType {
        /// The BEP's name for it.
        key: &'static str,
        /// What it must be.
        expected: Kind,
        /// What it is.
        found: Kind,
    },
    /// The key's value is a string, but not UTF-8.
    #[error("key `{key}` must be text in UTF-8, but has other bytes")]
    NotUtf8 {
        /// The BEP's name for it.
        key: &'static str,
    },
}

/// A byte as a person can read it.
fn show(byte: u8) -> String {
    match byte {
        b' '..=b'~' => format!("`{}`", char::from(byte)),
        _ => format!("byte 0x{byte:02x}"),
    }
}
