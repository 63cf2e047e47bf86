//! Integers and strings: the leaves of the grammar. BEP 3 "bencoding".
//!
//! Looks only at the bytes of one leaf; where that leaf stands in the input is its caller's
//! business, so a [`Fault`] counts from the end.

use nom::bytes::complete::tag;
use nom::character::complete::digit0;
use nom::combinator::opt;
use nom::error::ErrorKind;
use nom::sequence::preceded;
use nom::{IResult, Parser};

use crate::error::ParseError;

/// What is wrong, and how many bytes of the input were left there.
#[derive(Debug)]
pub(crate) struct Fault {
    left: usize,
    what: What,
}

#[derive(Debug, Clone, Copy)]
enum What {
    End,
    Byte(u8),
    IntEmpty,
    IntPlusSign,
    IntNotDigit(u8),
    IntLeadingZero,
    IntNegativeZero,
    IntUnterminated(u8),
    IntOverflow,
    LengthLeadingZero,
    LengthUnterminated(u8),
    LengthOverflow,
    PastEnd(u64),
}

impl Fault {
    /// The same fault, counted from the front of an input of `length` bytes.
    pub(crate) fn place(self, length: usize) -> ParseError {
        let Self { left, what } = self;
        let at = length - left;
        match what {
            What::End => ParseError::UnexpectedEnd { at },
            What::Byte(found) => ParseError::UnexpectedByte { at, found },
            What::IntEmpty => ParseError::IntEmpty { at },
            What::IntPlusSign => ParseError::IntPlusSign { at },
            What::IntNotDigit(found) => ParseError::IntNotDigit { at, found },
            What::IntLeadingZero => ParseError::IntLeadingZero { at },
            What::IntNegativeZero => ParseError::IntNegativeZero { at },
            What::IntUnterminated(found) => ParseError::IntUnterminated { at, found },
            What::IntOverflow => ParseError::IntOverflow { at },
            What::LengthLeadingZero => ParseError::LengthLeadingZero { at },
            What::LengthUnterminated(found) => ParseError::LengthUnterminated { at, found },
            What::LengthOverflow => ParseError::LengthOverflow { at },
            What::PastEnd(length) => ParseError::StringPastEnd { at, length, left },
        }
    }
}

impl<'a> nom::error::ParseError<&'a [u8]> for Fault {
    fn from_error_kind(rest: &'a [u8], _: ErrorKind) -> Self {
        let what = rest.first().map_or(What::End, |&found| What::Byte(found));
        Self {
            left: rest.len(),
            what,
        }
    }

    fn append(_: &'a [u8], _: ErrorKind, first: Self) -> Self {
        first
    }
}

type Parsed<'a, T> = IResult<&'a [u8], T, Fault>;

fn fail<T>(rest: &[u8], what: What) -> Parsed<'_, T> {
    let left = rest.len();
    Err(nom::Err::Failure(Fault { left, what }))
}

/// Reads `i`, an optional `-`, digits without leading zeros, `e`: an `i64`.
pub(crate) fn int(input: &[u8]) -> Parsed<'_, i64> {
    let (digits_on, sign) = preceded(tag("i"), opt(tag("-"))).parse(input)?;
    let (rest, digits) = digit0(digits_on)?;
    match (digits, rest.first()) {
        ([], None) => fail(rest, What::End),
        ([], Some(b'e')) => fail(rest, What::IntEmpty),
        ([], Some(b'+')) => fail(rest, What::IntPlusSign),
        ([], Some(&found)) => fail(rest, What::IntNotDigit(found)),
        ([b'0', _, ..], _) => fail(digits_on, What::IntLeadingZero),
        ([b'0'], _) if sign.is_some() => fail(digits_on, What::IntNegativeZero),
        (_, None) => fail(rest, What::End),
        (_, Some(b'e')) => match signed(sign.is_some(), digits) {
            Some(value) => Ok((&rest[1..], value)),
            None => fail(digits_on, What::IntOverflow),
        },
        (_, Some(&found)) => fail(rest, What::IntUnterminated(found)),
    }
}

/// Reads a decimal length without leading zeros, `:`, and that many bytes.
pub(crate) fn string(input: &[u8]) -> Parsed<'_, &[u8]> {
    let (rest, digits) = digit0(input)?;
    if let [b'0', _, ..] = digits {
        return fail(input, What::LengthLeadingZero);
    }
    let rest = match rest.split_first() {
        None => return fail(rest, What::End),
        Some((b':', rest)) => rest,
        Some((&found, _)) => return fail(rest, What::LengthUnterminated(found)),
    };
    let Some(length) = unsigned(digits) else {
        return fail(input, What::LengthOverflow);
    };
    match usize::try_from(length) {
        Ok(length) if length <= rest.len() => {
            let (string, rest) = rest.split_at(length);
            Ok((rest, string))
        }
        _ => fail(rest, What::PastEnd(length)),
    }
}

fn unsigned(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |value, digit| {
        value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })
}

/// Negative numbers count downwards, for -2^63 has no positive twin.
fn signed(negative: bool, digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0_i64, |value, digit| {
        let digit = i64::from(digit - b'0');
        let value = value.checked_mul(10)?;
        if negative {
            value.checked_sub(digit)
        } else {
            value.checked_add(digit)
        }
    })
}
