//! `shoal verify`: the files on the disk against a .torrent. Changes nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::Serialize;
use shoal_metainfo::{Bitfield, Info, Torrent};
use shoal_storage::{Access, FileReport, FileStatus, Options, Storage, StorageError};

use crate::error::Error;
use crate::render::text::Printable;
use crate::render::{self, Mode, json, watch::watch};
use crate::signals::Interrupt;
use crate::units::Bytes;
use crate::{args, config, torrent_file};

/// Ranges of bad pieces that are printed. Ours: a few lines.
const RANGES_SHOWN: usize = 100;

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
    },
}

/// A file that is not as it should be.
#[derive(Debug, Serialize)]
struct BadFile<'a> {
    path: &'a str,
    length: u64,
    status: &'static str,
    /// Bytes that are there, when it is too short or too long.
    found: Option<u64>,
    bad_pieces: u32,
}

/// Checks and tells.
///
/// # Errors
/// [`Error::NotWhole`] when anything is missing or bad.
pub(crate) fn run(args: args::Verify) -> Result<(), Error> {
    let torrent = torrent_file::read(&args.torrent)?;
    let interrupt = Interrupt::listen(|| ()).map_err(Error::signals)?;
    let dir = config::folder(args.dir.as_deref());
    let mode = Mode::pick(args.json);
    if mode == Mode::Json {
        started(&torrent, &dir).map_err(Error::Output)?;
    }
    let info = Arc::new(torrent.info);
    let (storage, have) = check(&dir, &info, mode, &interrupt)?;
    if interrupt.is_raised() {
        return Err(Error::Interrupted);
    }
    let bad_files = bad_files(&storage, &have);
    match mode {
        Mode::Json => checked(&info, &have, &bad_files),
        Mode::Live | Mode::Plain => tell(&info, &have, &bad_files),
    }
    .map_err(Error::Output)?;
    if have.is_full() && bad_files.is_empty() {
        return Ok(());
    }
    Err(Error::NotWhole {
        bad: have.pieces() - have.count(),
        pieces: have.pieces(),
        bad_files: bad_files.len(),
        files: info.files.len(),
    })
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
) -> Result<(Storage, Bitfield), StorageError> {
    let options = Options {
        access: Access::ReadOnly,
        ..Options::default()
    };
    let storage = Storage::open(dir, Arc::clone(info), options)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let have = watch(mode, &info.name, info.geometry.total(), |done| {
        // Told from any thread and not in order: the greatest number counts.
        let progress = |bytes| {
            done.fetch_max(bytes, Ordering::Relaxed);
        };
        storage.check(threads, &progress, interrupt.flag())
    })?;
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
        let (status, found) = match status {
            FileStatus::Right if bad_pieces == 0 => return None,
            FileStatus::Right => ("bad", None),
            FileStatus::Missing => ("missing", None),
            FileStatus::Short { found } => ("short", Some(found)),
            FileStatus::Long { found } => ("long", Some(found)),
            _ => ("unusable", None),
        };
        let length = entry.length;
        Some(BadFile {
            path,
            length,
            status,
            found,
            bad_pieces,
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
    })
}

fn tell(info: &Info, have: &Bitfield, bad_files: &[BadFile<'_>]) -> io::Result<()> {
    if have.is_full() && bad_files.is_empty() {
        let (pieces, size) = (have.pieces(), Bytes(info.geometry.total()));
        let name = Printable(&info.name);
        return render::say(format_args!(
            "{name}: all {pieces} pieces ({size}) are good"
        ));
    }
    if !have.is_full() {
        render::say(format_args!("bad pieces: {}", list(&runs(have.zeros()))))?;
    }
    for file in bad_files {
        let BadFile { path, length, .. } = file;
        let found = file.found.unwrap_or_default();
        match file.status {
            "missing" => render::say(format_args!("missing    {path}"))?,
            "short" => render::say(format_args!("too short  {path}: {found} of {length} bytes"))?,
            "long" => render::say(format_args!(
                "too long   {path}: {found}, not {length} bytes"
            ))?,
            "unusable" => render::say(format_args!("unusable   {path}: no file, or not ours"))?,
            _ => render::say(format_args!(
                "damaged    {path}: {} bad pieces",
                file.bad_pieces
            ))?,
        }
    }
    Ok(())
}

/// Ascending numbers as runs: first and last.
fn runs(numbers: impl Iterator<Item = u32>) -> Vec<[u32; 2]> {
    let mut runs: Vec<[u32; 2]> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some([_, last]) if *last + 1 == number => *last = number,
            _ => runs.push([number, number]),
        }
    }
    runs
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
