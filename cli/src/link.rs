//! What a command was given in place of a .torrent: perhaps a magnet link.

use std::path::Path;
use std::sync::Arc;

use shoal_metainfo::{Magnet, Torrent};

use crate::error::Error;
use crate::torrent_file;

/// How a torrent was named.
#[derive(Debug)]
pub(crate) enum Named {
    /// By a .torrent.
    File(Arc<Torrent>),
    /// By a link.
    Link(Box<Magnet>),
}

/// Reads the .torrent, or the link: whatever begins with `magnet:` is one, unless a file has that
/// name.
///
/// # Errors
/// [`Error::TorrentFile`], [`Error::Magnet`].
pub(crate) fn named(word: &Path) -> Result<Named, Error> {
    let text = word.to_string_lossy();
    let scheme = text.trim_start().get(..7).unwrap_or_default();
    if scheme.eq_ignore_ascii_case("magnet:") && !word.exists() {
        let magnet = text.parse()?;
        for part in Magnet::senseless(&text) {
            tracing::warn!("{part} in the link makes no sense and is left out");
        }
        return Ok(Named::Link(Box::new(magnet)));
    }
    Ok(Named::File(Arc::new(torrent_file::read(word)?)))
}
