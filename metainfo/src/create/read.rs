//! Ranges of the content out of its files. BEP 3 "files".
//!
//! One file is open at a time, however many there are. What is read is what was planned: a file
//! that is another than at the scan is an error that names it.

use std::fs::File;
use std::io::ErrorKind;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use super::scan::{stamp, unreadable};
use super::{CreateError, Plan};

/// Reads ranges of the content, with the last file kept open.
pub(super) struct Reader<'p> {
    plan: &'p Plan,
    /// Where each file begins in the content.
    begins: &'p [u64],
    open: Option<Open>,
}

struct Open {
    number: usize,
    file: File,
    source: PathBuf,
}

impl<'p> Reader<'p> {
    pub(super) fn new(plan: &'p Plan, begins: &'p [u64]) -> Self {
        Self {
            plan,
            begins,
            open: None,
        }
    }

    /// Fills the buffer with the content from `begin` on, across files.
    pub(super) fn read(&mut self, begin: u64, mut buffer: &mut [u8]) -> Result<(), CreateError> {
        let (plan, begins) = (self.plan, self.begins);
        for (number, part) in parts(plan, begins, begin..begin + buffer.len() as u64) {
            let length = usize::try_from(part.end - part.start).expect("it fits the buffer");
            let (now, later) = buffer.split_at_mut(length);
            self.read_file(number, part.start, now)?;
            buffer = later;
        }
        Ok(())
    }

    fn read_file(&mut self, number: usize, at: u64, buffer: &mut [u8]) -> Result<(), CreateError> {
        let open = self.open(number)?;
        match open.file.read_exact_at(buffer, at) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                Err(CreateError::Changed(open.source.clone()))
            }
            read => read.map_err(|error| unreadable(&open.source, error)),
        }
    }

    /// The file, as it was at the scan.
    pub(super) fn file(&mut self, number: usize) -> Result<&File, CreateError> {
        self.open(number).map(|open| &open.file)
    }

    fn open(&mut self, number: usize) -> Result<&mut Open, CreateError> {
        let open = match self.open.take() {
            Some(open) if open.number == number => open,
            _ => {
                let source = self.plan.source(&self.plan.files[number]);
                let file = File::open(&source).map_err(|error| match error.kind() {
                    ErrorKind::NotFound => CreateError::Changed(source.clone()),
                    _ => unreadable(&source, error),
                })?;
                let open = Open {
                    number,
                    file,
                    source,
                };
                open.check(self.plan)?;
                open
            }
        };
        Ok(self.open.insert(open))
    }

    /// That the file read last is still as it was: found early, and not after hours. All are
    /// looked at in the end.
    pub(super) fn check(&self) -> Result<(), CreateError> {
        self.open
            .as_ref()
            .map_or(Ok(()), |open| open.check(self.plan))
    }
}

impl Open {
    fn check(&self, plan: &Plan) -> Result<(), CreateError> {
        let file = &plan.files[self.number];
        let metadata = self.file.metadata().and_then(|metadata| stamp(&metadata));
        match metadata {
            Ok(now) if now == (file.length, file.modified) => Ok(()),
            Ok(_) => Err(CreateError::Changed(self.source.clone())),
            Err(error) => Err(unreadable(&self.source, error)),
        }
    }
}

/// The parts of files that a range of the content lies in: the file's number, and bytes of it.
pub(super) fn parts<'p>(
    plan: &'p Plan,
    begins: &'p [u64],
    range: Range<u64>,
) -> impl Iterator<Item = (usize, Range<u64>)> + 'p {
    // Of files that begin at the same place all but the last are empty.
    let first = begins.partition_point(|&begin| begin <= range.start) - 1;
    let files = begins[first..].iter().zip(first..);
    let inside = files.take_while(move |&(&begin, _)| begin < range.end);
    inside
        .map(move |(&begin, number)| {
            let end = range.end.min(begin + plan.files[number].length);
            (number, range.start.max(begin) - begin..end - begin)
        })
        .filter(|(_, part)| !part.is_empty())
}
