//! Paths out of a torrent, made safe before anything is stored. BEP 3 "path", BEP 47.
//!
//! A [`SafePath`] cannot leave the folder it is put into, and the machine's file systems can hold
//! it. It is the only kind of path that storage accepts. Knows nothing of the disk: links planted
//! there are storage's business.
//!
//! What happens to each kind of name:
//!
//! | a component that | is |
//! |---|---|
//! | is empty, `.` or `..` | refused |
//! | holds `/` or `\` (so any absolute path), or NUL | refused |
//! | is one of more than [`COMPONENTS_MAX`], in a path of above [`PATH_BYTES_MAX`] | refused |
//! | holds bytes that are not UTF-8 | kept, each bad sequence as `U+FFFD` |
//! | holds control or bidirectional characters ([`is_deceptive`]) | kept, each as `_` |
//! | is longer than [`COMPONENT_BYTES_MAX`] bytes | cut between characters, extension kept |
//! | on Windows: holds one of `: < > " \| ? *` | kept, each as `_` |
//! | on Windows: ends in dots or spaces | kept, each of these as `_` |
//! | on Windows: is a device, `CON`, `nul.txt`, `COM1` … | kept, with `_` before it |
//!
//! The last three are [`NameRules::Windows`]. Elsewhere such names are ordinary (`aux.c`, `What?`)
//! and stay as they are, so that content which other clients stored under them is found.
//!
//! Repairs depend on the name alone, and no repair makes a name that would be refused. Names that
//! collide afterwards are told apart by [`resolve_collisions`](crate::collisions).

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use crate::limits::{COMPONENT_BYTES_MAX, COMPONENTS_MAX, EXTENSION_BYTES_MAX, PATH_BYTES_MAX};
use crate::text::{cut, is_deceptive, quote};

/// Whose file systems must be able to hold the names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NameRules {
    /// Any bytes but `/` and NUL name a file.
    Unix,
    /// Characters, endings and device names are reserved as well.
    Windows,
}

impl NameRules {
    /// Those of this machine.
    pub const HERE: Self = if cfg!(windows) {
        Self::Windows
    } else {
        Self::Unix
    };
}

/// A relative path of at least one component, each of them safe to create.
///
/// ```
/// use shoal_metainfo::{NameRules, SafePath};
/// let names = [&b"music"[..], b"NUL.mp3\x1b"];
/// assert_eq!(SafePath::with_rules(NameRules::Unix, names).unwrap().as_str(), "music/NUL.mp3_");
/// let path = SafePath::with_rules(NameRules::Windows, names).unwrap();
/// assert_eq!(path.as_str(), "music/_NUL.mp3_");
/// assert!(SafePath::new([&b".."[..], b"passwd"]).is_err());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SafePath {
    /// The components with `/` between them, which none of them holds.
    text: Box<str>,
}

/// Why a path from a torrent is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// No component at all.
    #[error("the path has no components")]
    Empty,
    /// A component of no bytes.
    #[error("a component of the path is empty")]
    EmptyComponent,
    /// A component is `.` or `..`.
    #[error("the path holds {0}, which would lead out of its folder")]
    Traversal(String),
    /// A component holds `/` or `\`.
    #[error("the component {0} holds a path separator")]
    Separator(String),
    /// A component holds a NUL byte.
    #[error("the component {0} holds a NUL byte")]
    Nul(String),
    /// More than [`COMPONENTS_MAX`] components.
    #[error("the path is more than {COMPONENTS_MAX} folders deep")]
    TooDeep,
    /// More than [`PATH_BYTES_MAX`] bytes.
    #[error("the path is longer than {PATH_BYTES_MAX} bytes")]
    TooLong,
}

impl SafePath {
    /// From the components as they stand in a torrent: any bytes.
    ///
    /// # Errors
    /// [`PathError`] for what cannot be repaired: see the table of the [module](self).
    pub fn new<'a>(components: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, PathError> {
        Self::with_rules(NameRules::HERE, components)
    }

    /// [`Self::new`] for another machine's rules.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_rules<'a>(
        rules: NameRules,
        components: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Self, PathError> {
        let mut builder = Builder::new(rules);
        for component in components {
            builder.push(component)?;
        }
        builder.build()
    }

    /// The components in order, at least one.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> + Clone {
        self.text.split('/')
    }

    /// The last component.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.text
            .rsplit_once('/')
            .map_or(&*self.text, |(_, name)| name)
    }

    /// The components with `/` between them.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// For the file system: always relative.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(&*self.text)
    }

    /// The same path with ` (number)` before the extension of its last component.
    pub(crate) fn numbered(&self, number: usize) -> Result<Self, PathError> {
        let name = self.file_name();
        let folder = &self.text[..self.text.len() - name.len()];
        let (stem, extension) = split_extension(name);
        let mark = format!(" ({number})");
        let stem = cut(stem, COMPONENT_BYTES_MAX - mark.len() - extension.len());
        let text = [folder, stem, &mark, extension].concat();
        if text.len() > PATH_BYTES_MAX {
            return Err(PathError::TooLong);
        }
        Ok(Self { text: text.into() })
    }
}

impl fmt::Display for SafePath {
    /// Safe to print: no component holds control or bidirectional characters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl fmt::Debug for SafePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SafePath({})", self.text)
    }
}

impl AsRef<Path> for SafePath {
    fn as_ref(&self) -> &Path {
        self.as_path()
    }
}

/// Collects one path; reused for all files of a torrent, so that each costs one allocation.
pub(crate) struct Builder {
    rules: NameRules,
    text: String,
    components: usize,
}

impl Builder {
    pub(crate) fn new(rules: NameRules) -> Self {
        Self {
            rules,
            text: String::new(),
            components: 0,
        }
    }

    /// Begins the next path with an earlier one as its folder.
    pub(crate) fn restart(&mut self, folder: &SafePath) {
        self.text.clear();
        self.text.push_str(&folder.text);
        self.components = folder.components().count();
    }

    pub(crate) fn push(&mut self, component: &[u8]) -> Result<(), PathError> {
        let component = repaired(component, self.rules)?;
        if self.components == COMPONENTS_MAX {
            return Err(PathError::TooDeep);
        }
        if self.components > 0 {
            self.text.push('/');
        }
        self.text.push_str(&component);
        self.components += 1;
        if self.text.len() > PATH_BYTES_MAX {
            return Err(PathError::TooLong);
        }
        Ok(())
    }

    pub(crate) fn build(&self) -> Result<SafePath, PathError> {
        if self.components == 0 {
            return Err(PathError::Empty);
        }
        Ok(SafePath {
            text: self.text.as_str().into(),
        })
    }
}

/// One component made safe, borrowed when it was safe already.
fn repaired(component: &[u8], rules: NameRules) -> Result<Cow<'_, str>, PathError> {
    match component {
        b"" => return Err(PathError::EmptyComponent),
        b"." | b".." => return Err(PathError::Traversal(quote(component))),
        _ => {}
    }
    if component.contains(&0) {
        return Err(PathError::Nul(quote(component)));
    }
    if component.iter().any(|byte| matches!(byte, b'/' | b'\\')) {
        return Err(PathError::Separator(quote(component)));
    }
    let mut text = String::from_utf8_lossy(component);
    let is_bad = |c| is_deceptive(c) || rules == NameRules::Windows && is_reserved(c);
    if text.contains(is_bad) {
        text = Cow::Owned(text.replace(is_bad, "_"));
    }
    mend_windows(&mut text, rules);
    if text.len() > COMPONENT_BYTES_MAX {
        // One byte below the bound, for `mend_device`: a cut can lay a device name bare.
        let (stem, extension) = split_extension(&text);
        let stem = cut(stem, COMPONENT_BYTES_MAX - 1 - extension.len());
        text = Cow::Owned([stem, extension].concat());
        mend_windows(&mut text, rules);
    }
    Ok(text)
}

/// Characters that Windows and its file systems refuse.
fn is_reserved(character: char) -> bool {
    matches!(character, ':' | '<' | '>' | '"' | '|' | '?' | '*')
}

fn mend_windows(text: &mut Cow<'_, str>, rules: NameRules) {
    if rules == NameRules::Windows {
        mend_end(text);
        mend_device(text);
    }
}

/// Windows drops dots and spaces at the end, so that two names become one.
fn mend_end(text: &mut Cow<'_, str>) {
    let kept = text.trim_end_matches(['.', ' ']).len();
    if kept < text.len() {
        let bad = text.len() - kept;
        let text = text.to_mut();
        text.truncate(kept);
        text.extend(std::iter::repeat_n('_', bad));
    }
}

/// Windows opens a device instead of a file of these names, whatever the extension.
///
/// Source: Microsoft, "Naming Files, Paths, and Namespaces".
fn mend_device(text: &mut Cow<'_, str>) {
    let stem = text.split('.').next().unwrap_or_default().trim_end();
    let port = |prefix: &str| {
        let number = stem
            .get(..3)
            .filter(|start| start.eq_ignore_ascii_case(prefix));
        number.is_some_and(|_| {
            let mut rest = stem[3..].chars();
            let digit = |c: char| c.is_ascii_digit() || matches!(c, '¹' | '²' | '³');
            rest.next().is_some_and(digit) && rest.next().is_none()
        })
    };
    let device = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"]
        .iter()
        .any(|name| stem.eq_ignore_ascii_case(name));
    if device || port("COM") || port("LPT") {
        text.to_mut().insert(0, '_');
    }
}

/// Name and extension with its dot; the extension is empty when there is none worth keeping.
fn split_extension(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(at) if at > 0 && name.len() - at <= EXTENSION_BYTES_MAX => name.split_at(at),
        _ => (name, ""),
    }
}
