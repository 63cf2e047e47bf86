//! Values that we build, to canonical bytes. BEP 3 "bencoding".
//!
//! The same value gives the same bytes: keys ascend, numbers have one form. Encoding and dropping a
//! [`Value`] recurse to its depth, and only our own code builds one, a few levels deep. What came
//! from outside goes in as [`Value::Raw`], which is flat.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::tree::Node;

/// A value to encode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'v> {
    /// An integer.
    Int(i64),
    /// A string.
    Bytes(Cow<'v, [u8]>),
    /// A list.
    List(Vec<Self>),
    /// A dictionary; the map sorts the keys as BEP 3 wants them.
    Dict(BTreeMap<Cow<'v, [u8]>, Self>),
    /// The encoding of one value, kept to the byte: a torrent's `info`, whose hash is its name.
    Raw(Cow<'v, [u8]>),
}

impl<'v> Value<'v> {
    /// A dictionary. Of a key given twice the last value counts.
    pub fn dict<K>(entries: impl IntoIterator<Item = (&'v K, Self)>) -> Self
    where
        K: AsRef<[u8]> + ?Sized + 'v,
    {
        let entries = entries.into_iter();
        Self::Dict(
            entries
                .map(|(key, value)| (Cow::Borrowed(key.as_ref()), value))
                .collect(),
        )
    }

    /// A list.
    pub fn list<T: Into<Self>>(items: impl IntoIterator<Item = T>) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }

    /// The canonical bytes. Source: BEP 3, "bencoding".
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.encoded_length());
        self.encode_into(&mut out);
        out
    }

    /// Appends the canonical bytes.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        match self {
            Self::Int(value) => put_int(out, *value),
            Self::Bytes(bytes) => put_bytes(out, bytes),
            Self::Raw(encoding) => out.extend_from_slice(encoding),
            Self::List(items) => {
                out.push(b'l');
                for item in items {
                    item.encode_into(out);
                }
                out.push(b'e');
            }
            Self::Dict(entries) => {
                out.push(b'd');
                for (key, value) in entries {
                    put_bytes(out, key);
                    value.encode_into(out);
                }
                out.push(b'e');
            }
        }
    }

    /// How many bytes [`Value::encode`] gives.
    #[must_use]
    pub fn encoded_length(&self) -> usize {
        match self {
            Self::Int(value) => 2 + usize::from(*value < 0) + decimal_length(value.unsigned_abs()),
            Self::Bytes(bytes) => bytes_length(bytes),
            Self::Raw(encoding) => encoding.len(),
            Self::List(items) => 2 + items.iter().map(Self::encoded_length).sum::<usize>(),
            Self::Dict(entries) => {
                let entries = entries.iter();
                2 + entries
                    .map(|(key, value)| bytes_length(key) + value.encoded_length())
                    .sum::<usize>()
            }
        }
    }
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_decimal(out, bytes.len() as u64);
    out.push(b':');
    out.extend_from_slice(bytes);
}

pub(crate) fn put_int(out: &mut Vec<u8>, value: i64) {
    out.push(b'i');
    if value < 0 {
        out.push(b'-');
    }
    put_decimal(out, value.unsigned_abs());
    out.push(b'e');
}

/// The digits. By hand: through `fmt` a value takes twice as long.
fn put_decimal(out: &mut Vec<u8>, mut value: u64) {
    // As many as `u64::MAX` has.
    let mut digits = [0; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + u8::try_from(value % 10).expect("a digit");
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}

fn bytes_length(bytes: &[u8]) -> usize {
    decimal_length(bytes.len() as u64) + 1 + bytes.len()
}

fn decimal_length(value: u64) -> usize {
    value.checked_ilog10().map_or(1, |log| log as usize + 1)
}

macro_rules! from_int {
    ($($int:ty),*) => {$(
        impl From<$int> for Value<'_> {
            fn from(value: $int) -> Self {
                Self::Int(value.into())
            }
        }
    )*};
}
from_int!(i64, i32, u32, u16);

impl<'v> From<&'v str> for Value<'v> {
    fn from(text: &'v str) -> Self {
        Self::Bytes(Cow::Borrowed(text.as_bytes()))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Bytes(Cow::Owned(text.into_bytes()))
    }
}

impl<'v> From<&'v [u8]> for Value<'v> {
    fn from(bytes: &'v [u8]) -> Self {
        Self::Bytes(Cow::Borrowed(bytes))
    }
}

impl<'v, const N: usize> From<&'v [u8; N]> for Value<'v> {
    fn from(bytes: &'v [u8; N]) -> Self {
        Self::Bytes(Cow::Borrowed(bytes))
    }
}

impl From<Vec<u8>> for Value<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(Cow::Owned(bytes))
    }
}

impl<'v> From<Node<'_, 'v>> for Value<'v> {
    /// The node's exact bytes, as [`Value::Raw`].
    fn from(node: Node<'_, 'v>) -> Self {
        Self::Raw(Cow::Borrowed(node.raw()))
    }
}
