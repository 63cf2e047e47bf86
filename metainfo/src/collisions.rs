//! Files of one torrent whose names collide on some file system, told apart. No BEP.
//!
//! Two files collide when their paths are equal after lower-casing; a file and a folder collide
//! likewise. Folders that differ only in case are left: their files merge without loss where case
//! does not count. Not covered: names that only a Unicode normalisation (NFC, NFD) or a full
//! case-folding (`ß` and `ss`, Turkish dotless `ı`) makes equal; storage meets those as an error.

use std::collections::BTreeSet;

use crate::limits::DUPLICATES_MAX;
use crate::path::{PathError, SafePath};

/// Why colliding paths could not be told apart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CollisionError {
    /// More than [`DUPLICATES_MAX`] files would have to be renamed.
    #[error("more than {DUPLICATES_MAX} files have the name of another one, such as {0}")]
    TooMany(SafePath),
    /// The new name has no room.
    #[error("{path} has the name of another file, and with a number added {source}")]
    NoRoom {
        /// The path that collides.
        path: SafePath,
        /// What is wrong with the new one.
        source: PathError,
    },
}

/// One file that gets another name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rename {
    /// Which of the paths given.
    pub index: usize,
    /// Its new path: ` (2)` or a higher number before the extension.
    pub path: SafePath,
}

/// Finds the files to rename so that no two paths collide, in O(n log n).
///
/// Of files with one name the first given keeps it; a file with the name of a folder gives way to
/// the folder. The numbers are the lowest that no other path uses. The same paths in the same
/// order give the same names.
///
/// # Errors
/// [`CollisionError`] when the renames are too many or a name becomes too long.
///
/// ```
/// use shoal_metainfo::{SafePath, collisions::resolve_collisions};
/// let paths = ["a.txt", "A.TXT"].map(|name| SafePath::new([name.as_bytes()]).unwrap());
/// let renames = resolve_collisions(&paths).unwrap();
/// assert_eq!(renames[0].index, 1);
/// assert_eq!(renames[0].path.as_str(), "A (2).TXT");
/// ```
pub fn resolve_collisions<'a>(
    paths: impl IntoIterator<Item = &'a SafePath>,
) -> Result<Vec<Rename>, CollisionError> {
    let paths: Vec<&SafePath> = paths.into_iter().collect();
    let mut folded = String::with_capacity(paths.iter().map(|path| path.as_str().len()).sum());
    let ends: Vec<usize> = paths
        .iter()
        .map(|path| {
            fold(path, &mut folded);
            folded.len()
        })
        .collect();
    let begins = std::iter::once(0).chain(ends.iter().copied());
    let mut keys: Vec<(&str, usize)> = begins
        .zip(&ends)
        .enumerate()
        .map(|(index, (begin, &end))| (&folded[begin..end], index))
        .collect();
    keys.sort_unstable();
    rename_colliding(&paths, &keys)
}

/// Appends the path as it is compared: lower case, with NUL between the components. No component
/// holds NUL, so in sorted order what lies in a folder follows right behind the folder's name.
fn fold(path: &SafePath, folded: &mut String) {
    let text = path.as_str();
    if text.is_ascii() {
        let lower = |byte: u8| match byte {
            b'/' => '\0',
            _ => char::from(byte.to_ascii_lowercase()),
        };
        folded.extend(text.bytes().map(lower));
    } else {
        let lower = text.chars().flat_map(char::to_lowercase);
        folded.extend(lower.map(|c| if c == '/' { '\0' } else { c }));
    }
}

/// `keys` are sorted: equal ones stand together in the order given.
fn rename_colliding(
    paths: &[&SafePath],
    keys: &[(&str, usize)],
) -> Result<Vec<Rename>, CollisionError> {
    let mut renames = Vec::new();
    let mut new_keys = BTreeSet::new();
    let mut at = 0;
    while at < keys.len() {
        let key = keys[at].0;
        let same = keys[at..].iter().take_while(|(k, _)| *k == key).count();
        let folder = keys
            .get(at + same)
            .is_some_and(|(next, _)| is_inside(next, key));
        let mut number = 2;
        for &(_, index) in &keys[at + usize::from(!folder)..at + same] {
            if renames.len() == DUPLICATES_MAX {
                return Err(CollisionError::TooMany(paths[index].clone()));
            }
            let path = free_name(paths[index], &mut number, keys, &mut new_keys)?;
            renames.push(Rename { index, path });
        }
        at += same;
    }
    Ok(renames)
}

/// The path with the lowest number from `number` on that no path has.
fn free_name(
    path: &SafePath,
    number: &mut usize,
    keys: &[(&str, usize)],
    new_keys: &mut BTreeSet<String>,
) -> Result<SafePath, CollisionError> {
    loop {
        let numbered = path.numbered(*number).map_err(|source| {
            let path = path.clone();
            CollisionError::NoRoom { path, source }
        })?;
        *number += 1;
        let mut key = String::new();
        fold(&numbered, &mut key);
        let next = keys.partition_point(|(k, _)| *k < key.as_str());
        let taken = keys
            .get(next)
            .is_some_and(|(k, _)| *k == key || is_inside(k, &key));
        if !taken && new_keys.insert(key) {
            return Ok(numbered);
        }
    }
}

fn is_inside(key: &str, folder: &str) -> bool {
    key.strip_prefix(folder)
        .is_some_and(|rest| rest.starts_with('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(text: &str) -> SafePath {
        SafePath::new(text.split('/').map(str::as_bytes)).unwrap()
    }

    fn resolved(texts: &[&str]) -> Vec<String> {
        let mut paths: Vec<SafePath> = texts.iter().copied().map(path).collect();
        for rename in resolve_collisions(&paths).unwrap() {
            paths[rename.index] = rename.path;
        }
        paths.iter().map(ToString::to_string).collect()
    }

    fn check(given: &[&str], expected: &[&str]) {
        assert_eq!(resolved(given), expected, "of {given:?}");
    }

    #[test]
    fn names_apart_stay_as_they_are() {
        check(&["a", "b", "c/a", "c/b"], &["a", "b", "c/a", "c/b"]);
        check(&["a", "a b", "a.b/c"], &["a", "a b", "a.b/c"]);
        check(&["c/x", "C/y"], &["c/x", "C/y"]);
        check(&[], &[]);
    }

    #[test]
    fn equal_names_are_numbered_in_order() {
        check(&["a.b", "a.b", "a.b"], &["a.b", "a (2).b", "a (3).b"]);
        check(&["d/a", "d/a"], &["d/a", "d/a (2)"]);
        check(&[".rc", ".rc"], &[".rc", ".rc (2)"]);
        check(&["a.tar.gz", "a.tar.gz"], &["a.tar.gz", "a.tar (2).gz"]);
    }

    #[test]
    fn names_that_differ_in_case_are_numbered() {
        check(&["Read.me", "READ.ME"], &["Read.me", "READ (2).ME"]);
        check(&["D/a", "d/A"], &["D/a", "d/A (2)"]);
        check(&["ÄÖ", "äö"], &["ÄÖ", "äö (2)"]);
        check(&["\u{212a}", "k"], &["\u{212a}", "k (2)"]);
    }

    #[test]
    fn numbers_in_use_are_passed_over() {
        check(&["a", "a", "a (2)"], &["a", "a (3)", "a (2)"]);
        check(&["a", "a", "A (2)/x"], &["a", "a (3)", "A (2)/x"]);
        check(
            &["a (2)", "a", "a", "a (2)"],
            &["a (2)", "a", "a (3)", "a (2) (2)"],
        );
        let long = "x".repeat(255);
        let cut = format!("{} (2)", "x".repeat(251));
        check(
            &[&long, &long, &cut],
            &[&long, &format!("{} (3)", "x".repeat(251)), &cut],
        );
    }

    #[test]
    fn file_gives_way_to_folder() {
        check(&["a", "a/b"], &["a (2)", "a/b"]);
        check(&["a/b", "a"], &["a/b", "a (2)"]);
        check(&["A", "a/b/c", "a/B"], &["A (2)", "a/b/c", "a/B (2)"]);
        check(&["a", "a-b", "a/b", "a"], &["a (2)", "a-b", "a/b", "a (3)"]);
    }

    #[test]
    fn a_hundred_thousand_duplicates_are_refused() {
        let same = vec![path("folder/name"); 100_000];
        let error = resolve_collisions(&same).unwrap_err();
        assert_eq!(error, CollisionError::TooMany(path("folder/name")));
        let pairs: Vec<SafePath> = (0..100_000)
            .map(|i| path(&format!("d/{}", i / 2)))
            .collect();
        assert!(matches!(
            resolve_collisions(&pairs),
            Err(CollisionError::TooMany(_))
        ));
    }

    #[test]
    fn duplicates_up_to_the_bound_are_renamed() {
        let mut paths = vec![path("n"); DUPLICATES_MAX + 1];
        assert_eq!(resolve_collisions(&paths).unwrap().len(), DUPLICATES_MAX);
        // All the names that the renames would like are taken.
        paths.extend((2..10_000).map(|i| path(&format!("n ({i})"))));
        let renames = resolve_collisions(&paths).unwrap();
        assert_eq!(renames[0].path, path("n (10000)"));
    }

    #[test]
    fn new_name_without_room_is_refused() {
        let deep: String = std::iter::repeat_n("x".repeat(180), 16)
            .chain(["y".repeat(PATH_ROOM)])
            .collect::<Vec<_>>()
            .join("/");
        const PATH_ROOM: usize = crate::limits::PATH_BYTES_MAX - 16 * 181;
        let error = resolve_collisions(&[path(&deep), path(&deep)]).unwrap_err();
        let message = error.to_string();
        assert!(matches!(error, CollisionError::NoRoom { .. }), "{message}");
    }

    proptest! {
        #[test]
        fn resolved_names_never_collide(
            texts in prop::collection::vec("[aAbB]( \\([23]\\))?(/[aAé](\\.x)?){0,2}", 0..40)
        ) {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let paths = resolved(&texts);
            let lower: BTreeSet<String> = paths.iter().map(|text| text.to_lowercase()).collect();
            prop_assert_eq!(lower.len(), paths.len());
            for text in &lower {
                for (at, _) in text.match_indices('/') {
                    let folder = &text[..at];
                    prop_assert!(!lower.contains(folder), "{folder} is file and folder");
                }
            }
        }
    }
}
