//! `shoal magnet`: the magnet link of a .torrent. BEP 9 "magnet URI format".

use shoal_metainfo::magnet::Magnet;

use crate::args;
use crate::error::Error;
use crate::{config, render, torrent_file};

/// Prints the link.
///
/// # Errors
/// [`Error::TorrentFile`], [`Error::Usage`] for what is no peer, and [`Error::Output`].
pub(crate) fn run(args: &args::Magnet) -> Result<(), Error> {
    let torrent = torrent_file::read(&args.torrent)?;
    torrent_file::tell_warnings(&torrent, &args.torrent);
    let mut magnet = Magnet::from_torrent(&torrent);
    for peer in &args.peers {
        config::peer(peer)?;
        magnet.peers.push(peer.clone());
    }
    render::say(magnet).map_err(Error::Output)
}
