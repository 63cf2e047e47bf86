//! `shoal show`: what a .torrent holds and its trackers know of it, or a magnet link, or the
//! torrent that one names.

mod fetch;
mod scrape;

use std::fmt;
use std::io;

use serde::Serialize;
use shoal_metainfo::{Magnet, Torrent, Version};

use crate::args;
use crate::config::{self, UsageError};
use crate::error::Error;
use crate::link::{self, Named};
use crate::render::text::Printable;
use crate::render::{self, json};
use crate::torrent_file;
use crate::units::{Bytes, Count, Date};
use scrape::Scraped;

/// The object that `--json` prints. Schema: docs/json-events.md.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    name: &'a str,
    info_hash: String,
    size: u64,
    piece_length: u32,
    pieces: u32,
    private: bool,
    hybrid: bool,
    trackers: &'a [Vec<String>],
    web_seeds: &'a [String],
    http_seeds: &'a [String],
    comment: Option<&'a str>,
    source: Option<&'a str>,
    created_by: Option<&'a str>,
    creation_date: Option<i64>,
    files: Vec<ShownFile<'a>>,
    warnings: Vec<String>,
    /// Only when they were asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    scrapes: Option<Vec<Scraped>>,
}

#[derive(Debug, Serialize)]
struct ShownFile<'a> {
    number: usize,
    path: &'a str,
    length: u64,
    padding: bool,
    hidden: bool,
    executable: bool,
    symlink: bool,
}

/// The object that `--json` prints of a link. Schema: docs/json-events.md.
#[derive(Debug, Serialize)]
struct ShownLink<'a> {
    info_hash: String,
    name: Option<&'a str>,
    size: Option<u64>,
    trackers: &'a [String],
    web_seeds: &'a [String],
    peers: &'a [String],
    selected_files: Vec<[u32; 2]>,
}

/// Prints it.
///
/// # Errors
/// [`Error::TorrentFile`], [`Error::Magnet`], [`Error::Usage`] and [`Error::Output`]; with
/// `--fetch` what may happen to a client; with `--scrape` [`Error::NotScraped`] and
/// [`Error::NothingToScrape`], when all is printed.
pub(crate) fn run(args: &args::Show) -> Result<(), Error> {
    let proxy = config::proxy(args.proxy.as_deref())?;
    if proxy.is_some() && !(args.fetch || args.scrape) {
        return Err(UsageError::ProxyForNothing.into());
    }
    let torrent = match link::named(&args.torrent)? {
        Named::File(_) if args.fetch => return Err(UsageError::FetchOfFile.into()),
        Named::File(torrent) => torrent,
        Named::Link(magnet) if args.fetch => fetch::run(*magnet, args, proxy.clone())?,
        Named::Link(_) if args.scrape => return Err(UsageError::ScrapeOfLink.into()),
        Named::Link(magnet) => return show_link(&magnet, args.json).map_err(Error::Output),
    };
    let scrapes = args.scrape.then(|| scrape::scrape(&torrent, proxy));
    let verdict = scrapes.as_deref().map_or(Ok(()), scrape::verdict);
    match args.json {
        true => json::emit(&shown(&torrent, scrapes)),
        false => {
            torrent_file::tell_warnings(&torrent, &args.torrent);
            tell(&torrent, &scrapes.unwrap_or_default())
        }
    }
    .map_err(Error::Output)?;
    verdict
}

/// What the link says, which nobody has looked after.
fn show_link(magnet: &Magnet, is_json: bool) -> io::Result<()> {
    let Magnet {
        info_hash,
        name,
        length,
        trackers,
        web_seeds,
        peers,
        select,
        ..
    } = magnet;
    if is_json {
        let selected = select.iter().map(|files| [*files.start(), *files.end()]);
        return json::emit(&ShownLink {
            info_hash: info_hash.to_string(),
            name: name.as_deref(),
            size: *length,
            trackers,
            web_seeds,
            peers,
            selected_files: selected.collect(),
        });
    }
    if let Some(name) = name {
        row("name", Printable(name))?;
    }
    row("info hash", info_hash)?;
    if let Some(size) = *length {
        let bytes = Count(size, "byte");
        row("size", format_args!("{} ({bytes})", Bytes(size)))?;
    }
    for (key, values) in [
        ("tracker", trackers),
        ("web seed", web_seeds),
        ("peer", peers),
    ] {
        values
            .iter()
            .try_for_each(|value| row(key, Printable(value)))?;
    }
    if !select.is_empty() {
        let files = select
            .iter()
            .map(|files| match files.start() == files.end() {
                true => files.start().to_string(),
                false => format!("{}-{}", files.start(), files.end()),
            });
        let files = files.collect::<Vec<_>>().join(", ");
        row("files", format_args!("only {files}, counted from 0"))?;
    }
    row("content", "not in the link; --fetch asks peers for it")
}

fn shown(torrent: &Torrent, scrapes: Option<Vec<Scraped>>) -> Shown<'_> {
    let info = &torrent.info;
    let files = info
        .files
        .iter()
        .enumerate()
        .map(|(number, file)| ShownFile {
            number,
            path: file.path.as_str(),
            length: file.length,
            padding: file.attributes.padding,
            hidden: file.attributes.hidden,
            executable: file.attributes.executable,
            symlink: file.attributes.symlink,
        });
    Shown {
        name: &info.name,
        info_hash: torrent.info_hash.to_string(),
        size: info.geometry.total(),
        piece_length: info.geometry.full_piece_length(),
        pieces: info.geometry.pieces(),
        private: info.private,
        hybrid: info.version == Version::Hybrid,
        trackers: &torrent.tiers,
        web_seeds: &torrent.web_seeds,
        http_seeds: &torrent.http_seeds,
        comment: torrent.comment.as_deref(),
        source: info.source.as_deref(),
        created_by: torrent.created_by.as_deref(),
        creation_date: torrent.creation_date,
        files: files.collect(),
        warnings: torrent.flaws.iter().map(ToString::to_string).collect(),
        scrapes,
    }
}

fn tell(torrent: &Torrent, scrapes: &[Scraped]) -> io::Result<()> {
    let info = &torrent.info;
    let geometry = &info.geometry;
    row("name", Printable(&info.name))?;
    row("info hash", torrent.info_hash)?;
    if info.version == Version::Hybrid {
        row("version", "hybrid of v1 and v2 (BEP 52), used as v1")?;
    }
    let size = geometry.total();
    row(
        "size",
        format_args!("{} ({})", Bytes(size), Count(size, "byte")),
    )?;
    let length = Bytes(u64::from(geometry.full_piece_length()));
    row("pieces", format_args!("{} of {length}", geometry.pieces()))?;
    if info.private {
        row("private", "yes: peers come from its trackers alone")?;
    }
    let mut scrapes = scrapes.iter();
    for (number, tier) in torrent.tiers.iter().enumerate() {
        for url in tier {
            row(
                "tracker",
                format_args!("{}  (tier {})", Printable(url), number + 1),
            )?;
            scrapes.next().map_or(Ok(()), Scraped::tell)?;
        }
    }
    if torrent.tiers.is_empty() {
        row("tracker", "none")?;
    }
    for url in torrent.web_seeds.iter().chain(&torrent.http_seeds) {
        row("web seed", Printable(url))?;
    }
    for (name, text) in [
        ("comment", &torrent.comment),
        ("source", &info.source),
        ("made by", &torrent.created_by),
    ] {
        text.iter()
            .try_for_each(|text| row(name, Printable(text)))?;
    }
    if let Some(seconds) = torrent.creation_date {
        row("made on", Date(seconds))?;
    }
    row("files", info.files.len())?;
    let digits = info.files.len().saturating_sub(1).to_string().len();
    for (number, file) in info.files.iter().enumerate() {
        let attributes = file.attributes;
        let mark = match (attributes.padding, attributes.symlink) {
            (true, _) => "  (padding, not on disk)",
            (_, true) => "  (symbolic link, not made)",
            _ => "",
        };
        let (length, path) = (file.length, &file.path);
        render::say(format_args!(
            "{number:>digits$}  {length:>14}  {path}{mark}"
        ))?;
    }
    Ok(())
}

fn row(name: &str, value: impl fmt::Display) -> io::Result<()> {
    render::say(format_args!("{name:<10} {value}"))
}
