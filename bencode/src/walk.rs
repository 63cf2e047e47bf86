//! A value and all that it contains, front to back, without recursion. BEP 3.
//!
//! For printing and re-encoding; a reader who knows the keys wants `dict`.

use std::fmt;

use crate::tree::{Kind, Node};

/// One step of a [`Walk`].
#[derive(Debug, Clone, Copy)]
pub enum Step<'t, 'a> {
    /// A value. A list's or dictionary's content follows, then its [`Step::Leave`]; in a dictionary
    /// keys and values take turns.
    Enter(Node<'t, 'a>),
    /// The end of the list or dictionary entered last.
    Leave(Kind),
}

/// The steps through a value.
#[derive(Clone)]
pub struct Walk<'t, 'a> {
    start: Node<'t, 'a>,
    next: u32,
    /// What is open: its kind, and the token behind it.
    open: Vec<(Kind, u32)>,
}

impl<'t, 'a> Node<'t, 'a> {
    /// Steps through the value and all that it contains.
    #[must_use]
    pub fn walk(self) -> Walk<'t, 'a> {
        Walk {
            start: self,
            next: self.place(),
            open: Vec::new(),
        }
    }
}

impl<'t, 'a> Iterator for Walk<'t, 'a> {
    type Item = Step<'t, 'a>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some((kind, _)) = self.open.pop_if(|(_, end)| *end == self.next) {
            return Some(Step::Leave(kind));
        }
        if self.next == self.start.next() {
            return None;
        }
        let node = self.start.at(self.next);
        let kind = node.kind();
        self.next += 1;
        if matches!(kind, Kind::List | Kind::Dict) {
            self.open.push((kind, node.next()));
        }
        Some(Step::Enter(node))
    }
}

impl fmt::Debug for Walk<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Walk({:?}, {} open)", self.start, self.open.len())
    }
}
