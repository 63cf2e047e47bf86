//! `shoal create`: a .torrent of a file or a folder. BEP 3, 12, 19, 27.
//!
//! The .torrent is written aside and moved into its place, so it is there whole or not at all.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use shoal_metainfo::Torrent;
use shoal_metainfo::create::{Draft, Hashes, Plan, ScanOptions, SkipReason, piece_length_for};
use shoal_tracker::client::Client;

use crate::error::Error;
use crate::render::text::Printable;
use crate::render::{self, Mode, json, watch::watch};
use crate::signals::Interrupt;
use crate::torrent_file::TorrentFileError;
use crate::units::{Bytes, Count, Date};
use crate::{args, config, output};

/// Things left out that are named one by one. Ours: a screen.
const SKIPPED_SHOWN: usize = 20;

/// Events. Schema: docs/json-events.md.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event<'a> {
    Started {
        name: &'a str,
        size: u64,
        files: usize,
        piece_length: u32,
    },
    Complete {
        path: String,
        info_hash: String,
        name: &'a str,
        size: u64,
        files: usize,
        piece_length: u32,
        pieces: u32,
        skipped: Vec<SkippedEntry>,
    },
}

#[derive(Debug, Serialize)]
struct SkippedEntry {
    path: String,
    reason: &'static str,
}

/// Makes the .torrent.
///
/// # Errors
/// [`Error`]; nothing is left behind then.
pub(crate) fn run(args: args::Create) -> Result<(), Error> {
    let trackers: Result<Vec<_>, _> = args
        .trackers
        .iter()
        .map(|u| config::tracker_url(u))
        .collect();
    let web_seeds: Result<Vec<_>, _> = args.web_seeds.iter().map(|u| config::web_seed(u)).collect();
    let (trackers, mut notes) = each_once(trackers?);
    let (web_seeds, twice) = each_once(web_seeds?);
    notes.extend(twice);
    let piece_length = args.piece_length.map(config::piece_length).transpose()?;
    notes.extend(trackers.iter().filter_map(|url| unreachable(url)));
    let draft = Draft {
        private: args.private,
        comment: args.comment,
        source: args.source,
        web_seeds,
        created_by: Some(concat!("Shoal ", env!("CARGO_PKG_VERSION")).to_owned()),
        creation_date: (!args.no_date).then(|| Date::now().0),
        ..Draft::with_trackers(trackers)
    };
    let interrupt = Interrupt::listen(|| ()).map_err(Error::signals)?;
    let options = ScanOptions {
        include_hidden: args.include_hidden,
    };
    let plan = Plan::scan(&args.path, options)?;
    let output = args
        .output
        .unwrap_or_else(|| PathBuf::from(format!("{}.torrent", plan.name())));
    output::check(&output, args.force)?;
    if is_content(&output, &args.path, &plan) {
        return Err(Error::OutputIsContent(output));
    }

    notes.iter().for_each(render::warn);
    let mode = Mode::pick(args.json);
    let piece_length = piece_length.unwrap_or_else(|| piece_length_for(plan.total()));
    if mode == Mode::Json {
        started(&plan, piece_length)?;
    }
    let hashes = hash(&plan, piece_length, mode, &interrupt)?;
    let bytes = draft.encode(&plan, &hashes);
    // What others would refuse is refused here too: it is larger than anyone reads.
    let torrent = Torrent::parse(&bytes).map_err(|source| TorrentFileError::Content {
        path: output.clone(),
        source,
    })?;
    if interrupt.is_raised() {
        return Err(Error::Interrupted);
    }
    output::write(&output, &bytes, args.force)?;
    match mode {
        Mode::Json => complete(&plan, &torrent, &output),
        Mode::Live | Mode::Plain => tell(&plan, &torrent, &output),
    }
    .map_err(Error::Output)
}

fn hash(
    plan: &Plan,
    piece_length: u32,
    mode: Mode,
    interrupt: &Interrupt,
) -> Result<Hashes, Error> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let hash = |done: &AtomicU64| {
        // Told from any thread and not in order: the greatest number counts.
        let progress = |bytes| {
            done.fetch_max(bytes, Ordering::Relaxed);
        };
        plan.hash(piece_length, threads, &progress, interrupt.flag())
    };
    let hashes = watch(mode, plan.name(), plan.total(), interrupt, hash)?;
    Ok(hashes?)
}

/// The URLs without those that are there already, and a warning for each of them.
fn each_once(urls: Vec<String>) -> (Vec<String>, Vec<String>) {
    let (mut once, mut notes) = (Vec::new(), Vec::new());
    for url in urls {
        match once.contains(&url) {
            true => notes.push(format!("{url} is given twice; it is written once")),
            false => once.push(url),
        }
    }
    (once, notes)
}

/// A warning for who names a tracker that clients like ours will not speak to.
fn unreachable(url: &str) -> Option<String> {
    let why = Client::refusal(url)?;
    Some(format!(
        "{url}: `shoal client` will not announce there: {why}"
    ))
}

/// Whether the output is a file that the torrent is about, by whatever name.
fn is_content(output: &Path, path: &Path, plan: &Plan) -> bool {
    let (Ok(output), Ok(root)) = (output.canonicalize(), path.canonicalize()) else {
        return false;
    };
    let Ok(below) = output.strip_prefix(&root) else {
        return false;
    };
    let named = Path::new(plan.name()).join(below);
    // Compared by components: joining nothing leaves a slash at the end.
    plan.files()
        .iter()
        .any(|file| named.components().eq(file.path.as_path().components()))
}

fn started(plan: &Plan, piece_length: u32) -> Result<(), Error> {
    json::emit(&Event::Started {
        name: plan.name(),
        size: plan.total(),
        files: plan.files().len(),
        piece_length,
    })
    .map_err(Error::unheard)
}

fn complete(plan: &Plan, torrent: &Torrent, output: &Path) -> io::Result<()> {
    let geometry = &torrent.info.geometry;
    let skipped = plan.skipped().iter().map(|skipped| SkippedEntry {
        path: skipped.path.display().to_string(),
        reason: reason(skipped.reason).0,
    });
    json::emit(&Event::Complete {
        path: output.display().to_string(),
        info_hash: torrent.info_hash.to_string(),
        name: plan.name(),
        size: plan.total(),
        files: plan.files().len(),
        piece_length: geometry.full_piece_length(),
        pieces: geometry.pieces(),
        skipped: skipped.collect(),
    })
}

fn tell(plan: &Plan, torrent: &Torrent, output: &Path) -> io::Result<()> {
    for skipped in plan.skipped().iter().take(SKIPPED_SHOWN) {
        let path = skipped.path.display().to_string();
        let reason = reason(skipped.reason).1;
        render::note(format_args!("left out, {reason}: {}", Printable(&path)));
    }
    if let Some(more) = plan.skipped().len().checked_sub(SKIPPED_SHOWN + 1) {
        render::note(format_args!("left out: {} more", more + 1));
    }
    let geometry = &torrent.info.geometry;
    let files = plan.files().len();
    render::say(format_args!("info hash  {}", torrent.info_hash))?;
    render::say(format_args!(
        "size       {} ({}) in {}",
        Bytes(plan.total()),
        Count(plan.total(), "byte"),
        Count(files, "file")
    ))?;
    render::say(format_args!(
        "pieces     {} of {}",
        geometry.pieces(),
        Bytes(u64::from(geometry.full_piece_length()))
    ))?;
    let output = output.display().to_string();
    render::say(format_args!("path       {}", Printable(&output)))
}

/// Why something is left out, for programs and for people.
fn reason(reason: SkipReason) -> (&'static str, &'static str) {
    match reason {
        SkipReason::Hidden => ("hidden", "hidden (--include-hidden takes it)"),
        SkipReason::Symlink => ("symlink", "a symbolic link"),
        SkipReason::Special => ("special", "neither file nor folder"),
    }
}
