//! `shoal verify`: the files on the disk against a .torrent. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use shoal_metainfo::{Bitfield, Info, Torrent};
use shoal_storage::{Access, FileReport, FileStatus, Options, Storage};

use crate::error::Error;
use crate::render::text::Printable;
use crate::render::{self, Mode, json, watch::watch};
use crate::signals::Interrupt;
use crate::units::{Bytes, Count, runs};
use crate::{args, config, torrent_file};

/// Ranges of bad pieces that are printed. Ours: a few lines.
const RANGES_SHOWN: usize = 100;

/// Whole files that are listed beside those that are not. Ours: as many as one looks through.
const WHOLE_SHOWN: usize = 20;

/// Events. Schema: docs/json-events.md.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event<'a> {
    Started {
        info_hash: String,
        name: &'a str,
        dir: String,
        size: u64,
        pieces: u32,
    },
    Checked {
        have: u32,
        pieces: u32,
        bytes_have: u64,
        bytes_total: u64,
        /// First and last of each run.
        bad_pieces: Vec<[u32; 2]>,
        bad_files: &'a [BadFile<'a>],
        whole_files: Vec<&'a str>,
    },
}

/// A file that is not as it should be.
#[derive(Debug, Serialize)]
struct BadFile<'a> {
    path: &'a str,
    length: u64,
    status: Status,
    /// Bytes that are there, when it is too short or too long.
    found: Option<u64>,
    bad_pieces: u32,
    /// Why it is unusable.
    reason: Option<String>,
}

/// What is wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Missing,
    Short,
    Long,
    /// Of the right length, with wrong bytes in it.
    Bad,
    /// No file, or none that can be read.
    Unusable,
}

/// The content on disk is not what the torrent says. The list has been printed.
#[derive(Debug, thiserror::Error)]
pub(crate) struct NotWhole {
    /// Pieces that are not good, and pieces of the torrent.
    pieces: (u32, u32),
    /// Files that are missing, of another length, or hold bad pieces; and files of the torrent.
    files: (usize, usize),
    too_long: bool,
    unusable: bool,
    /// Something is missing or bad that a client can fetch.
    fetchable: bool,
}

impl NotWhole {
    fn new(info: &Info, have: &Bitfield, bad_files: &[BadFile<'_>]) -> Self {
        let any = |status| bad_files.iter().any(|file| file.status == status);
        Self {
            pieces: (have.pieces() - have.count(), have.pieces()),
            files: (bad_files.len(), info.files.len()),
            too_long: any(Status::Long),
            unusable: any(Status::Unusable),
            fetchable: !have.is_full() || any(Status::Missing),
        }
    }
}

impl fmt::Display for NotWhole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((bad, pieces), (bad_files, files)) = (self.pieces, self.files);
        if self.too_long && !self.unusable && !self.fetchable {
            write!(
                f,
                "all pieces are good, but too long: {bad_files} of {}",
                Count(files, "file")
            )?;
        } else {
            write!(
                f,
                "not whole; missing or bad: {bad} of {} and {bad_files} of {}",
                Count(pieces, "piece"),
                Count(files, "file")
            )?;
        }
        if self.unusable {
            f.write_str("; move away what is unusable, or make it readable")?;
        }
        if self.fetchable {
            f.write_str("; `shoal client` fetches what is missing")?;
        }
        if self.too_long {
            f.write_str("; cut what is too long (`truncate -s LENGTH FILE`) or remove it")?;
        }
        Ok(())
    }
}

/// Checks and tells.
///
/// # Errors
/// [`Error::NotWhole`] when anything is missing or bad.
pub(crate) fn run(args: args::Verify) -> Result<(), Error> {
    let torrent = torrent_file::read(&args.torrent)?;
    let interrupt = Interrupt::listen(|| ()).map_err(Error::signals)?;
    let dir = config::folder(args.dir.as_deref());
    // The storage would make no difference between the folder and what belongs into it.
    if fs::metadata(&dir).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Err(Error::FolderMissing(dir));
    }
    let mode = Mode::pick(args.json);
    if mode == Mode::Json {
        started(&torrent, &dir).map_err(Error::unheard)?;
    }
    let info = Arc::new(torrent.info);
    let (storage, have) = check(&dir, &info, mode, &interrupt)?;
    if interrupt.is_raised() {
        return Err(Error::Interrupted);
    }
    let bad_files = bad_files(&storage, &have);
    let told = match mode {
        Mode::Json => checked(&info, &have, &bad_files),
        Mode::Live | Mode::Plain => tell(&info, &have, &bad_files),
    };
    match told {
        // Who reads no more still gets the exit code.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            return Err(Error::Output(error));
        }
        _ => {}
    }
    if have.is_full() && bad_files.is_empty() {
        return Ok(());
    }
    Err(NotWhole::new(&info, &have, &bad_files).into())
}

fn started(torrent: &Torrent, dir: &Path) -> io::Result<()> {
    json::emit(&Event::Started {
        info_hash: torrent.info_hash.to_string(),
        name: &torrent.info.name,
        dir: dir.display().to_string(),
        size: torrent.info.geometry.total(),
        pieces: torrent.info.geometry.pieces(),
    })
}

fn check(
    dir: &Path,
    info: &Arc<Info>,
    mode: Mode,
    interrupt: &Interrupt,
) -> Result<(Storage, Bitfield), Error> {
    let options = Options {
        access: Access::ReadOnly,
        ..Options::default()
    };
    let storage = Storage::open(dir, Arc::clone(info), options)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let check = |done: &AtomicU64| {
        // Told from any thread and not in order: the greatest number counts.
        let progress = |bytes| {
            done.fetch_max(bytes, Ordering::Relaxed);
        };
        storage.check(threads, &progress, interrupt.flag())
    };
    let have = watch(mode, &info.name, info.geometry.total(), interrupt, check)??;
    Ok((storage, have))
}

/// The files that are missing, of another length, or hold bad pieces.
fn bad_files<'a>(storage: &'a Storage, have: &Bitfield) -> Vec<BadFile<'a>> {
    let geometry = &storage.info().geometry;
    let mut bad_pieces: BTreeMap<&str, u32> = BTreeMap::new();
    for piece in have.zeros().filter_map(|number| geometry.piece(number)) {
        for file in storage.files_of(piece) {
            *bad_pieces.entry(file.path.as_str()).or_default() += 1;
        }
    }
    let judge = |FileReport { entry, status, .. }: FileReport<'a>| {
        let path = entry.path.as_str();
        let bad_pieces = bad_pieces.get(path).copied().unwrap_or_default();
        let mut reason = None;
        let (status, found) = match status {
            FileStatus::Right if bad_pieces == 0 => return None,
            FileStatus::Right => (Status::Bad, None),
            FileStatus::Missing => (Status::Missing, None),
            FileStatus::Short { found } => (Status::Short, Some(found)),
            FileStatus::Long { found } => (Status::Long, Some(found)),
            FileStatus::Unusable(error) => {
                reason = Some(error.to_string());
                (Status::Unusable, None)
            }
            _ => (Status::Unusable, None),
        };
        let length = entry.length;
        Some(BadFile {
            path,
            length,
            status,
            found,
            bad_pieces,
            reason,
        })
    };
    storage
        .files_report()
        .into_iter()
        .filter_map(judge)
        .collect()
}

fn bytes_have(info: &Info, have: &Bitfield) -> u64 {
    let geometry = &info.geometry;
    let missing = have.zeros().filter_map(|number| geometry.piece(number));
    let missing: u64 = missing
        .map(|piece| u64::from(geometry.piece_length(piece)))
        .sum();
    geometry.total() - missing
}

fn checked(info: &Info, have: &Bitfield, bad_files: &[BadFile<'_>]) -> io::Result<()> {
    json::emit(&Event::Checked {
        have: have.count(),
        pieces: have.pieces(),
        bytes_have: bytes_have(info, have),
        bytes_total: info.geometry.total(),
        bad_pieces: runs(have.zeros()),
        bad_files,
        whole_files: whole_files(info, bad_files).collect(),
    })
}

/// The files that are as they should be: of a download of some files only, those.
fn whole_files<'a>(info: &'a Info, bad_files: &[BadFile<'_>]) -> impl Iterator<Item = &'a str> {
    let bad: BTreeSet<&str> = bad_files.iter().map(|file| file.path).collect();
    let files = info.files.iter().filter(|file| file.is_on_disk());
    let paths = files.map(|file| file.path.as_str());
    paths.filter(move |&path| !bad.contains(path))
}

fn tell(info: &Info, have: &Bitfield, bad_files: &[BadFile<'_>]) -> io::Result<()> {
    if have.is_full() && bad_files.is_empty() {
        let (pieces, size) = (Count(have.pieces(), "piece"), Bytes(info.geometry.total()));
        let name = Printable(&info.name);
        return render::say(format_args!("{name}: whole, {pieces} ({size}) checked"));
    }
    if !have.is_full() {
        render::say(format_args!("bad pieces: {}", list(&runs(have.zeros()))))?;
    }
    let whole: Vec<_> = whole_files(info, bad_files).collect();
    for path in whole.iter().take(WHOLE_SHOWN) {
        render::say(format_args!("whole      {path}"))?;
    }
    if let Some(more @ 1..) = whole.len().checked_sub(WHOLE_SHOWN) {
        render::say(format_args!("whole      {}", Count(more, "more file")))?;
    }
    for file in bad_files {
        let BadFile { path, length, .. } = file;
        let found = file.found.unwrap_or_default();
        let bad = file.bad_pieces;
        match file.status {
            Status::Missing => render::say(format_args!("missing    {path}"))?,
            Status::Short => {
                render::say(format_args!(
                    "too short  {path}: {found} of {}",
                    Count(*length, "byte")
                ))?;
            }
            Status::Long => render::say(format_args!(
                "too long   {path}: {found}, not {}",
                Count(*length, "byte")
            ))?,
            Status::Unusable => {
                let reason = file.reason.as_deref().unwrap_or_default();
                render::say(format_args!("unusable   {path}: {}", Printable(reason)))?;
            }
            Status::Bad => render::say(format_args!(
                "damaged    {path}: {}",
                Count(bad, "bad piece")
            ))?,
        }
    }
    Ok(())
}

fn list(runs: &[[u32; 2]]) -> String {
    let mut list = String::new();
    for (count, [first, last]) in runs.iter().take(RANGES_SHOWN).enumerate() {
        let comma = if count == 0 { "" } else { ", " };
        // Writing to a string does not fail.
        let _ = match first == last {
            true => write!(list, "{comma}{first}"),
            false => write!(list, "{comma}{first}-{last}"),
        };
    }
    if runs.len() > RANGES_SHOWN {
        list.push_str(", …");
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_listed_as_one_run() {
        let found = runs([0, 1, 2, 5, 7, 8].into_iter());
        assert_eq!(found, [[0, 2], [5, 5], [7, 8]]);
        assert_eq!(list(&found), "0-2, 5, 7-8");
        assert!(list(&vec![[1, 1]; 101]).ends_with(", …"));
    }
}
