//! `shoal magnet`: the magnet link of a .torrent. BEP 9 "magnet URI format".

use shoal_metainfo::magnet::Magnet;

use crate::args;
use crate::error::Error;
use crate::{render, torrent_file};

/// Prints the link.
///
/// # Errors
/// [`Error::TorrentFile`] and [`Error::Output`].
pub(crate) fn run(args: &args::Magnet) -> Result<(), Error> {
    let torrent = torrent_file::read(&args.torrent)?;
    torrent_file::tell_warnings(&torrent, &args.torrent);
    render::say(Magnet::from_torrent(&torrent)).map_err(Error::Output)
}
