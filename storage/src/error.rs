//! What goes wrong with the files of a torrent, sorted by what has to be done about it.
//!
//! Every error names the path, the bytes and the deed. Nothing here is a peer's fault.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// What was being done when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Reserving room for a file.
    Allocate,
    /// Making a folder or a file.
    Create,
    /// Finding or opening a folder or a file.
    Open,
    /// Mapping a window.
    Map,
    /// Reading bytes.
    Read,
    /// Writing bytes.
    Write,
    /// Making written bytes durable.
    Flush,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allocate => "reserve room for",
            Self::Create => "create",
            Self::Open => "open",
            Self::Map => "map",
            Self::Read => "read",
            Self::Write => "write",
            Self::Flush => "flush",
        })
    }
}

/// Where it happened: the path, the bytes of the file, the deed, and what the system said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    path: PathBuf,
    operation: Operation,
    span: Option<Range<u64>>,
    os_error: Option<i32>,
}

impl Fault {
    /// The file or folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was being done.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// Which bytes of the file, where only some were meant.
    #[must_use]
    pub fn span(&self) -> Option<Range<u64>> {
        self.span.clone()
    }

    /// The system's number for the error (`errno`), where a call failed.
    #[must_use]
    pub fn os_error(&self) -> Option<i32> {
        self.os_error
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}", self.operation, self.path.display())?;
        if let Some(span) = &self.span {
            write!(f, ", bytes {} to {}", span.start, span.end)?;
        }
        Ok(())
    }
}

/// Why the disk did not do what was asked; each variant asks for another remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// No room on the disk, or the quota is used up.
    #[error("{0}: the disk or the quota is full; free some space")]
    Full(Box<Fault>),
    /// The file system or a limit of the process does not allow a file that long.
    #[error("{0}: the file system or a limit refuses a file that long; use another folder")]
    TooLarge(Box<Fault>),
    /// This user may not.
    #[error("{0}: permission denied; change its owner or mode, or use another folder")]
    Permission(Box<Fault>),
    /// The file system is read-only, or this storage was opened for reading.
    #[error("{0}: it is read-only; use a folder that can be written")]
    ReadOnly(Box<Fault>),
    /// A folder, link or device stands where a file belongs, or a file where a folder belongs.
    #[error("{0}: something else than expected is in its place; move that away")]
    NotAFile(Box<Fault>),
    /// The file or folder is not there (any more).
    #[error("{0}: it is not there; put it back or check the torrent again")]
    Gone(Box<Fault>),
    /// The file is shorter than it should be.
    #[error("{0}: the file ends before that; check the torrent again")]
    Truncated(Box<Fault>),
    /// The file holds other bytes than those that were verified.
    #[error("{0}: others have changed it; put back what was there or check the torrent again")]
    Changed(Box<Fault>),
    /// Out of descriptors, mappings or memory.
    #[error("{0}: out of descriptors, mappings or memory; raise `ulimit -n` or stop some torrents")]
    TooManyOpen(Box<Fault>),
    /// The file system cannot map files into memory.
    #[error("{0}: its file system cannot map files into memory; use another folder")]
    NoMmap(Box<Fault>),
    /// The device failed, or anything else.
    #[error("{0}: {reason}; check the disk and the system log", reason = reason(.0))]
    Io(Box<Fault>),
}

fn reason(fault: &Fault) -> String {
    fault.os_error.map_or_else(
        || "the device failed".to_owned(),
        |number| io::Error::from_raw_os_error(number).to_string(),
    )
}

impl StorageError {
    /// Where it happened.
    #[must_use]
    pub fn fault(&self) -> &Fault {
        match self {
            Self::Full(fault)
            | Self::TooLarge(fault)
            | Self::Permission(fault)
            | Self::ReadOnly(fault)
            | Self::NotAFile(fault)
            | Self::Gone(fault)
            | Self::Truncated(fault)
            | Self::Changed(fault)
            | Self::TooManyOpen(fault)
            | Self::NoMmap(fault)
            | Self::Io(fault) => fault,
        }
    }

    /// Whether the bytes are simply not on the disk, as before a download.
    #[must_use]
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::Gone(_) | Self::Truncated(_))
    }

    /// Whether bytes that were there may come back as others.
    pub(crate) fn casts_doubt(&self) -> bool {
        use StorageError::{Changed, Io, NotAFile};
        self.is_absence() || matches!(self, Changed(_) | Io(_) | NotAFile(_))
    }
}

/// A fault in the making: everything but the cause.
#[derive(Debug, Clone)]
pub(crate) struct At {
    pub(crate) path: PathBuf,
    pub(crate) operation: Operation,
    pub(crate) span: Option<Range<u64>>,
}

impl At {
    pub(crate) fn new(path: impl Into<PathBuf>, operation: Operation) -> Self {
        Self {
            path: path.into(),
            operation,
            span: None,
        }
    }

    pub(crate) fn span(self, span: Range<u64>) -> Self {
        Self {
            span: Some(span),
            ..self
        }
    }

    fn fault(self, os_error: Option<i32>) -> Box<Fault> {
        Box::new(Fault {
            path: self.path,
            operation: self.operation,
            span: self.span,
            os_error,
        })
    }

    /// The error for what a system call answered.
    pub(crate) fn failed(self, errno: Errno) -> StorageError {
        let cause = match errno {
            Errno::NOSPC | Errno::DQUOT => StorageError::Full,
            Errno::FBIG => StorageError::TooLarge,
            Errno::ACCESS | Errno::PERM => StorageError::Permission,
            Errno::ROFS => StorageError::ReadOnly,
            Errno::ISDIR | Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::NXIO => {
                StorageError::NotAFile
            }
            Errno::NOENT | Errno::STALE => StorageError::Gone,
            Errno::MFILE | Errno::NFILE | Errno::NOMEM => StorageError::TooManyOpen,
            Errno::NODEV => StorageError::NoMmap,
            _ => StorageError::Io,
        };
        cause(self.fault(Some(errno.raw_os_error())))
    }

    pub(crate) fn gone(self) -> StorageError {
        StorageError::Gone(self.fault(None))
    }

    pub(crate) fn truncated(self) -> StorageError {
        StorageError::Truncated(self.fault(None))
    }

    pub(crate) fn changed(self) -> StorageError {
        StorageError::Changed(self.fault(None))
    }

    pub(crate) fn full(self) -> StorageError {
        StorageError::Full(self.fault(None))
    }

    pub(crate) fn not_a_file(self) -> StorageError {
        StorageError::NotAFile(self.fault(None))
    }

    pub(crate) fn read_only(self) -> StorageError {
        StorageError::ReadOnly(self.fault(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(errno: Errno, expect: fn(Box<Fault>) -> StorageError) {
        let at = At::new("/dl/a.iso", Operation::Write).span(0..10);
        let error = at.clone().failed(errno);
        assert_eq!(error, expect(at.fault(Some(errno.raw_os_error()))));
        let text = error.to_string();
        assert!(text.starts_with("cannot write /dl/a.iso, bytes 0 to 10: "));
        assert!(text.contains(';'), "says no remedy: {text}");
    }

    #[test]
    fn each_cause_is_told_from_the_number_of_the_error() {
        check(Errno::NOSPC, StorageError::Full);
        check(Errno::DQUOT, StorageError::Full);
        check(Errno::FBIG, StorageError::TooLarge);
        check(Errno::ACCESS, StorageError::Permission);
        check(Errno::PERM, StorageError::Permission);
        check(Errno::ROFS, StorageError::ReadOnly);
        check(Errno::ISDIR, StorageError::NotAFile);
        check(Errno::NOTDIR, StorageError::NotAFile);
        check(Errno::LOOP, StorageError::NotAFile);
        check(Errno::NOENT, StorageError::Gone);
        check(Errno::MFILE, StorageError::TooManyOpen);
        check(Errno::NOMEM, StorageError::TooManyOpen);
        check(Errno::NODEV, StorageError::NoMmap);
        check(Errno::IO, StorageError::Io);
    }
}
