//! Reading dictionaries: by key, in order, and with getters that name the key at fault. BEP 3.
//!
//! Keys may be unsorted (lenient mode) but are never doubled. Which keys there should be is the
//! caller's knowledge.

use std::fmt;

use crate::error::FieldError;
use crate::tree::{Kind, List, Node, Tally, Tree};

/// A dictionary of a tree. `'t` is the tree's life, `'a` the input's.
#[derive(Clone, Copy)]
pub struct Dict<'t, 'a> {
    tree: &'t Tree<'a>,
    token: u32,
}

impl<'t, 'a> Dict<'t, 'a> {
    pub(crate) fn new(tree: &'t Tree<'a>, token: u32) -> Self {
        Self { tree, token }
    }

    /// The number of entries.
    #[must_use]
    pub fn len(self) -> usize {
        self.entries() as usize
    }

    /// Whether there are no entries.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.entries() == 0
    }

    /// The entries, in the input's order.
    #[must_use]
    pub fn iter(self) -> Entries<'t, 'a> {
        Entries {
            tree: self.tree,
            next: self.token + 1,
            left: self.entries(),
        }
    }

    /// The value of a key. A scan of at most 32 entries, else a binary search.
    #[must_use]
    pub fn get(self, key: &[u8]) -> Option<Node<'t, 'a>> {
        match self.tally() {
            Tally::Scan(_) => self
                .iter()
                .find(|(found, _)| *found == key)
                .map(|(_, value)| value),
            Tally::Index(_) => {
                let keys = self.sorted_keys();
                let place = keys.binary_search_by(|&found| self.key(found).cmp(key));
                place.ok().map(|at| Node::new(self.tree, keys[at] + 1))
            }
        }
    }

    /// The value of a key that must be there.
    ///
    /// # Errors
    /// [`FieldError::Missing`].
    pub fn node(self, key: &'static str) -> Result<Node<'t, 'a>, FieldError> {
        self.get(key.as_bytes()).ok_or(FieldError::Missing { key })
    }

    /// The integer of a key.
    ///
    /// # Errors
    /// [`FieldError::Missing`], [`FieldError::WrongType`].
    pub fn int(self, key: &'static str) -> Result<i64, FieldError> {
        required(key, self.opt_int(key))
    }

    /// The string of a key.
    ///
    /// # Errors
    /// [`FieldError::Missing`], [`FieldError::WrongType`].
    pub fn bytes(self, key: &'static str) -> Result<&'a [u8], FieldError> {
        required(key, self.opt_bytes(key))
    }

    /// The string of a key, as text.
    ///
    /// # Errors
    /// [`FieldError::Missing`], [`FieldError::WrongType`], [`FieldError::NotUtf8`].
    pub fn text(self, key: &'static str) -> Result<&'a str, FieldError> {
        required(key, self.opt_text(key))
    }

    /// The list of a key.
    ///
    /// # Errors
    /// [`FieldError::Missing`], [`FieldError::WrongType`].
    pub fn list(self, key: &'static str) -> Result<List<'t, 'a>, FieldError> {
        required(key, self.opt_list(key))
    }

    /// The dictionary of a key.
    ///
    /// # Errors
    /// [`FieldError::Missing`], [`FieldError::WrongType`].
    pub fn dict(self, key: &'static str) -> Result<Self, FieldError> {
        required(key, self.opt_dict(key))
    }

    /// The integer of a key, if the key is there.
    ///
    /// # Errors
    /// [`FieldError::WrongType`].
    pub fn opt_int(self, key: &'static str) -> Result<Option<i64>, FieldError> {
        self.opt(key, Kind::Int, Node::as_int)
    }

    /// The string of a key, if the key is there.
    ///
    /// # Errors
    /// [`FieldError::WrongType`].
    pub fn opt_bytes(self, key: &'static str) -> Result<Option<&'a [u8]>, FieldError> {
        self.opt(key, Kind::Bytes, Node::as_bytes)
    }

    /// The string of a key, as text, if the key is there.
    ///
    /// # Errors
    /// [`FieldError::WrongType`], [`FieldError::NotUtf8`].
    pub fn opt_text(self, key: &'static str) -> Result<Option<&'a str>, FieldError> {
        let text = self.opt_bytes(key)?.map(std::str::from_utf8).transpose();
        text.map_err(|_| FieldError::NotUtf8 { key })
    }

    /// The list of a key, if the key is there.
    ///
    /// # Errors
    /// [`FieldError::WrongType`].
    pub fn opt_list(self, key: &'static str) -> Result<Option<List<'t, 'a>>, FieldError> {
        self.opt(key, Kind::List, Node::as_list)
    }

    /// The dictionary of a key, if the key is there.
    ///
    /// # Errors
    /// [`FieldError::WrongType`].
    pub fn opt_dict(self, key: &'static str) -> Result<Option<Self>, FieldError> {
        self.opt(key, Kind::Dict, Node::as_dict)
    }

    fn opt<T>(
        self,
        key: &'static str,
        expected: Kind,
        read: impl FnOnce(Node<'t, 'a>) -> Option<T>,
    ) -> Result<Option<T>, FieldError> {
        let Some(node) = self.get(key.as_bytes()) else {
            return Ok(None);
        };
        let found = node.kind();
        read(node).map(Some).ok_or(FieldError::WrongType {
            key,
            expected,
            found,
        })
    }

    fn tally(self) -> Tally {
        Tally::unpack(self.tree.tokens[self.token as usize].extra)
    }

    fn entries(self) -> u32 {
        match self.tally() {
            Tally::Scan(entries) => entries,
            Tally::Index(place) => self.tree.index[place as usize],
        }
    }

    /// The keys' tokens in ascending order; only of a dictionary that has an index.
    fn sorted_keys(self) -> &'t [u32] {
        match self.tally() {
            Tally::Scan(_) => &[],
            Tally::Index(place) => {
                let place = place as usize;
                let entries = self.tree.index[place] as usize;
                &self.tree.index[place + 1..][..entries]
            }
        }
    }

    fn key(self, token: u32) -> &'a [u8] {
        self.tree.tokens[token as usize].payload(self.tree.input)
    }
}

impl<'t, 'a> IntoIterator for Dict<'t, 'a> {
    type Item = (&'a [u8], Node<'t, 'a>);
    type IntoIter = Entries<'t, 'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for Dict<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dict({} entries)", self.len())
    }
}

fn required<T>(key: &'static str, found: Result<Option<T>, FieldError>) -> Result<T, FieldError> {
    found?.ok_or(FieldError::Missing { key })
}

/// The entries of a dictionary, in the input's order.
#[derive(Clone)]
pub struct Entries<'t, 'a> {
    tree: &'t Tree<'a>,
    next: u32,
    left: u32,
}

impl<'t, 'a> Iterator for Entries<'t, 'a> {
    type Item = (&'a [u8], Node<'t, 'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let key = self.tree.tokens[self.next as usize].payload(self.tree.input);
        let value = Node::new(self.tree, self.next + 1);
        self.next = value.next();
        Some((key, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for Entries<'_, '_> {}

impl fmt::Debug for Entries<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entries({} left)", self.left)
    }
}
