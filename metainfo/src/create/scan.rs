//! Which files a torrent will hold. No BEP: what to leave out is our own rule.
//!
//! A walk without recursion that opens every file once, so that one without permission is known
//! before hours of hashing. Follows no symbolic link but the path given.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{CreateError, Plan, PlanFile, ScanOptions, SkipReason, Skipped};
use crate::collisions::{CollisionError, resolve_collisions};
use crate::limits::FILES_MAX;
use crate::path::SafePath;

impl Plan {
    /// Finds the files of a torrent: one file, or everything in a folder.
    ///
    /// Symbolic links are not followed (the path given may be one), hidden files and folders are
    /// left out unless asked for, and so is what is neither; [`Plan::skipped`] lists them. Empty
    /// folders vanish: a torrent has only files.
    ///
    /// # Errors
    /// [`CreateError`], naming the file: unreadable, a name that others could not store as it is,
    /// or nothing to share.
    pub fn scan(path: &Path, options: ScanOptions) -> Result<Self, CreateError> {
        let unreadable = |source| unreadable(path, source);
        let metadata = fs::metadata(path).map_err(unreadable)?;
        let name = root_name(path)?;
        let mut walk = Walk {
            options,
            root: path,
            files: Vec::new(),
            skipped: Vec::new(),
            folders: Vec::new(),
        };
        if metadata.is_file() {
            let safe = safe_path([name.as_str()], path)?;
            walk.files.push(inspect(path, safe)?);
        } else if metadata.is_dir() {
            walk.folders.push(vec![name.clone()]);
            while let Some(folder) = walk.folders.pop() {
                walk.enter(&folder)?;
            }
        } else {
            return Err(CreateError::NotAFile(path.to_owned()));
        }
        let Walk {
            mut files,
            mut skipped,
            ..
        } = walk;
        // By components, not by text: `a/b` stands before `a-b`.
        files.sort_by(|a, b| a.path.components().cmp(b.path.components()));
        skipped.sort_by(|a, b| a.path.cmp(&b.path));
        let mut plan = Self {
            root: path.to_owned(),
            name,
            multi_file: metadata.is_dir(),
            files,
            total: 0,
            skipped,
        };
        plan.check_names()?;
        plan.total = plan.sum()?;
        Ok(plan)
    }

    fn check_names(&self) -> Result<(), CreateError> {
        match resolve_collisions(self.files.iter().map(|file| &file.path)) {
            Ok(renames) => match renames.first() {
                None => Ok(()),
                Some(first) => Err(self.collision(first.index)),
            },
            Err(CollisionError::TooMany(path) | CollisionError::NoRoom { path, .. }) => {
                Err(CreateError::Collisions(path))
            }
        }
    }

    /// Names the file of that number and what it collides with: a file, or a file in a folder.
    fn collision(&self, number: usize) -> CreateError {
        let lower = |file: &PlanFile| file.path.as_str().to_lowercase();
        let (file, key) = (&self.files[number], lower(&self.files[number]));
        let collides = |(other, at): &(&PlanFile, usize)| {
            let rest = lower(other)
                .strip_prefix(&key)
                .map(|rest| rest.chars().next());
            *at != number && matches!(rest, Some(None | Some('/')))
        };
        let other = self.files.iter().zip(0..).find(collides);
        CreateError::Collision {
            path: self.source(file),
            other: self.source(other.map_or(file, |(other, _)| other)),
        }
    }

    fn sum(&self) -> Result<u64, CreateError> {
        let mut lengths = self.files.iter().map(|file| file.length);
        let total = lengths
            .try_fold(0, u64::checked_add)
            .filter(|&total| i64::try_from(total).is_ok())
            .ok_or_else(|| CreateError::TooLarge(self.root.clone()))?;
        if total == 0 {
            return Err(CreateError::Empty(self.root.clone()));
        }
        Ok(total)
    }
}

/// A walk under way.
struct Walk<'p> {
    options: ScanOptions,
    root: &'p Path,
    files: Vec<PlanFile>,
    skipped: Vec<Skipped>,
    /// Still to enter: components from the torrent's name on.
    folders: Vec<Vec<String>>,
}

impl Walk<'_> {
    /// Takes the files of one folder, and notes its folders.
    fn enter(&mut self, folder: &[String]) -> Result<(), CreateError> {
        let mut place = self.root.to_owned();
        place.extend(&folder[1..]);
        let entries = fs::read_dir(&place).map_err(|error| unreadable(&place, error))?;
        for entry in entries {
            let entry = entry.map_err(|error| unreadable(&place, error))?;
            let path = entry.path();
            // Of the link itself, where it is one.
            let kind = entry
                .file_type()
                .map_err(|error| unreadable(&path, error))?;
            let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            let reason = match kind {
                _ if hidden && !self.options.include_hidden => Some(SkipReason::Hidden),
                kind if kind.is_symlink() => Some(SkipReason::Symlink),
                kind if kind.is_file() || kind.is_dir() => None,
                _ => Some(SkipReason::Special),
            };
            if let Some(reason) = reason {
                self.skipped.push(Skipped { path, reason });
                continue;
            }
            let name = entry.file_name().into_string();
            let name = name.map_err(|_| CreateError::NotUtf8(path.clone()))?;
            let names = folder.iter().map(String::as_str).chain([name.as_str()]);
            let safe = safe_path(names, &path)?;
            if kind.is_dir() {
                self.folders
                    .push(folder.iter().cloned().chain([name]).collect());
                continue;
            }
            if self.files.len() == FILES_MAX {
                return Err(CreateError::TooManyFiles(self.root.to_owned()));
            }
            self.files.push(inspect(&path, safe)?);
        }
        Ok(())
    }
}

/// The name that the torrent gets: that of the path as given, or where it has none (`.`, `..`) of
/// what it stands for.
fn root_name(path: &Path) -> Result<String, CreateError> {
    let real;
    let name = match path.file_name() {
        Some(name) => name,
        None => {
            real = path
                .canonicalize()
                .map_err(|error| unreadable(path, error))?;
            let name = real.file_name();
            name.ok_or_else(|| CreateError::NoName(path.to_owned()))?
        }
    };
    let name = name.to_str();
    let name = name.ok_or_else(|| CreateError::NotUtf8(path.to_owned()))?;
    safe_path([name], path)?;
    Ok(name.to_owned())
}

/// The names as they are, or an error when they would be stored differently.
fn safe_path<'a>(
    names: impl IntoIterator<Item = &'a str> + Clone,
    source: &Path,
) -> Result<SafePath, CreateError> {
    let components = names.clone().into_iter().map(str::as_bytes);
    let safe = SafePath::new(components).map_err(|error| CreateError::RefusedName {
        path: source.to_owned(),
        source: error,
    })?;
    if !safe.components().eq(names) {
        return Err(CreateError::UnsafeName {
            path: source.to_owned(),
            stored: safe.to_string(),
        });
    }
    Ok(safe)
}

/// Opens the file to see that it can be read, and notes what it is now.
fn inspect(source: &Path, path: SafePath) -> Result<PlanFile, CreateError> {
    let (length, modified) = File::open(source)
        .and_then(|file| stamp(&file.metadata()?))
        .map_err(|error| unreadable(source, error))?;
    Ok(PlanFile {
        path,
        length,
        modified,
    })
}

/// What shows that a file changed: its length and when it was last written.
pub(super) fn stamp(metadata: &fs::Metadata) -> std::io::Result<(u64, SystemTime)> {
    Ok((metadata.len(), metadata.modified()?))
}

pub(super) fn unreadable(path: &Path, source: std::io::Error) -> CreateError {
    let path = PathBuf::from(path);
    CreateError::Unreadable { path, source }
}
