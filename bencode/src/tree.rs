//! The parsed input: a flat array of tokens over borrowed bytes. BEP 3 "bencoding".
//!
//! A value's token is followed by those of what it contains, so a tree is dropped in one piece and
//! read by hopping over siblings. What comes out of a node borrows the input and outlives the tree.

use std::fmt;
use std::ops::Range;

use crate::dict::Dict;
use crate::scalar;

/// The four kinds of values. Source: BEP 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A string of bytes, which may be text.
    Bytes,
    /// An integer.
    Int,
    /// A list.
    List,
    /// A dictionary.
    Dict,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bytes => "a string",
            Self::Int => "an integer",
            Self::List => "a list",
            Self::Dict => "a dictionary",
        })
    }
}

/// One value. Shape: 16 bytes, so at most 8 for each byte of the densest input (`0:0:0:…`).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Token {
    /// Its span in the input. The byte at `start` tells its kind.
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// The token behind it and all that it contains: its next sibling, if it has one.
    pub(crate) next: u32,
    /// Bytes: where the payload begins. List: its length. Dict: a packed [`Tally`]. Int: nothing.
    pub(crate) extra: u32,
}

const _: () = assert!(size_of::<Token>() == 16);

impl Token {
    /// The content of a string.
    pub(crate) fn payload<'a>(&self, input: &'a [u8]) -> &'a [u8] {
        &input[self.extra as usize..self.end as usize]
    }
}

/// How a dictionary's entries are counted and searched.
pub(crate) enum Tally {
    /// So few entries that they are searched one by one.
    Scan(u32),
    /// The place in the index of the number of entries and, behind it, the sorted keys' tokens.
    Index(u32),
}

impl Tally {
    const INDEX: u32 = 1 << 31;

    /// Lossless: an entry takes 4 bytes of input or more, so neither number reaches 2^31.
    pub(crate) fn pack(self) -> u32 {
        match self {
            Self::Scan(entries) => entries,
            Self::Index(place) => place | Self::INDEX,
        }
    }

    pub(crate) fn unpack(extra: u32) -> Self {
        if extra & Self::INDEX == 0 {
            Self::Scan(extra)
        } else {
            Self::Index(extra & !Self::INDEX)
        }
    }
}

/// A parsed input. Cheap to drop and to read; holds 16 bytes a value, and no copy of the input.
#[derive(Clone)]
pub struct Tree<'a> {
    pub(crate) input: &'a [u8],
    pub(crate) tokens: Vec<Token>,
    pub(crate) index: Vec<u32>,
}

impl<'a> Tree<'a> {
    pub(crate) fn new(input: &'a [u8], tokens: Vec<Token>, index: Vec<u32>) -> Self {
        assert!(!tokens.is_empty(), "a parsed input has a value");
        Self {
            input,
            tokens,
            index,
        }
    }

    /// The value that contains all others.
    #[must_use]
    pub fn root(&self) -> Node<'_, 'a> {
        Node::new(self, 0)
    }
}

impl fmt::Debug for Tree<'_> {
    /// Its size only: the input may be large and may hold anything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tree")
            .field("bytes", &self.input.len())
            .field("tokens", &self.tokens.len())
            .finish()
    }
}

/// One value of a tree. `'t` is the tree's life, `'a` the input's.
#[derive(Clone, Copy)]
pub struct Node<'t, 'a> {
    tree: &'t Tree<'a>,
    token: u32,
}

impl<'t, 'a> Node<'t, 'a> {
    pub(crate) fn new(tree: &'t Tree<'a>, token: u32) -> Self {
        Self { tree, token }
    }

    fn token(self) -> &'t Token {
        &self.tree.tokens[self.token as usize]
    }

    /// The index of its own token.
    pub(crate) fn place(self) -> u32 {
        self.token
    }

    /// Another value of the same tree.
    pub(crate) fn at(self, token: u32) -> Self {
        Self { token, ..self }
    }

    /// The token of the next sibling.
    pub(crate) fn next(self) -> u32 {
        self.token().next
    }

    /// What it is.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self.tree.input[self.token().start as usize] {
            b'i' => Kind::Int,
            b'l' => Kind::List,
            b'd' => Kind::Dict,
            _ => Kind::Bytes,
        }
    }

    /// Where its encoding stands in the input.
    #[must_use]
    pub fn span(self) -> Range<usize> {
        let token = self.token();
        token.start as usize..token.end as usize
    }

    /// Its encoding, exactly as it came. The info hash is of these bytes. Source: BEP 3.
    #[must_use]
    pub fn raw(self) -> &'a [u8] {
        &self.tree.input[self.span()]
    }

    /// The integer, if it is one.
    #[must_use]
    pub fn as_int(self) -> Option<i64> {
        if self.kind() != Kind::Int {
            return None;
        }
        // Parsed once already, so this cannot fail; to keep it would cost every token 8 bytes.
        scalar::int(self.raw()).ok().map(|(_, value)| value)
    }

    /// The content of the string, if it is one.
    #[must_use]
    pub fn as_bytes(self) -> Option<&'a [u8]> {
        (self.kind() == Kind::Bytes).then(|| self.token().payload(self.tree.input))
    }

    /// The items, if it is a list.
    #[must_use]
    pub fn as_list(self) -> Option<List<'t, 'a>> {
        (self.kind() == Kind::List).then(|| List {
            tree: self.tree,
            next: self.token + 1,
            left: self.token().extra,
        })
    }

    /// The entries, if it is a dictionary.
    #[must_use]
    pub fn as_dict(self) -> Option<Dict<'t, 'a>> {
        (self.kind() == Kind::Dict).then(|| Dict::new(self.tree, self.token))
    }
}

impl fmt::Debug for Node<'_, '_> {
    /// Kind and span only: the content may be large and may be anything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({:?} at {:?})", self.kind(), self.span())
    }
}

/// The items of a list, in order; [`ExactSizeIterator::len`] is how many are left.
#[derive(Clone)]
pub struct List<'t, 'a> {
    tree: &'t Tree<'a>,
    next: u32,
    left: u32,
}

impl List<'_, '_> {
    /// Whether no item is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }
}

impl<'t, 'a> Iterator for List<'t, 'a> {
    type Item = Node<'t, 'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let node = Node::new(self.tree, self.next);
        self.next = node.next();
        Some(node)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for List<'_, '_> {}

impl fmt::Debug for List<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "List({} items)", self.left)
    }
}
