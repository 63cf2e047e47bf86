//! `shoal show`: what a .torrent holds.

use std::fmt;
use std::io;

use serde::Serialize;
use shoal_metainfo::{Torrent, Version};

use crate::args;
use crate::error::Error;
use crate::render::text::Printable;
use crate::render::{self, json};
use crate::torrent_file;
use crate::units::{Bytes, Count, Date};

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
}

#[derive(Debug, Serialize)]
struct ShownFile<'a> {
    path: &'a str,
    length: u64,
    padding: bool,
    hidden: bool,
    executable: bool,
    symlink: bool,
}

/// Prints it.
///
/// # Errors
/// [`Error::TorrentFile`] and [`Error::Output`].
pub(crate) fn run(args: &args::Show) -> Result<(), Error> {
    let torrent = torrent_file::read(&args.torrent)?;
    match args.json {
        true => json::emit(&shown(&torrent)),
        false => {
            torrent_file::tell_warnings(&torrent, &args.torrent);
            tell(&torrent)
        }
    }
    .map_err(Error::Output)
}

fn shown(torrent: &Torrent) -> Shown<'_> {
    let info = &torrent.info;
    let files = info.files.iter().map(|file| ShownFile {
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
    }
}

fn tell(torrent: &Torrent) -> io::Result<()> {
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
    for (number, tier) in torrent.tiers.iter().enumerate() {
        for url in tier {
            row(
                "tracker",
                format_args!("{}  (tier {})", Printable(url), number + 1),
            )?;
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
    for file in &info.files {
        let attributes = file.attributes;
        let mark = match (attributes.padding, attributes.symlink) {
            (true, _) => "  (padding, not on disk)",
            (_, true) => "  (symbolic link, not made)",
            _ => "",
        };
        render::say(format_args!("{:>14}  {}{mark}", file.length, file.path))?;
    }
    Ok(())
}

fn row(name: &str, value: impl fmt::Display) -> io::Result<()> {
    render::say(format_args!("{name:<10} {value}"))
}
