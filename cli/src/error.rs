//! What can go wrong with a command, whose fault it is, and the exit code that tells it.
//!
//! Every message says what, where and what to do. Knows nothing of how it is shown.

use std::io;
use std::path::PathBuf;

use shoal_metainfo::create::CreateError;

use crate::config::{LookupError, UsageError};
use crate::torrent_file::TorrentFileError;

/// Done; also a seeding client that was stopped.
pub(crate) const EXIT_DONE: u8 = 0;
/// It failed.
pub(crate) const EXIT_FAILED: u8 = 1;
/// The command line is wrong.
pub(crate) const EXIT_USAGE: u8 = 2;
/// Interrupted before it was complete. Source: 128 + SIGINT, as shells tell it.
pub(crate) const EXIT_INTERRUPTED: u8 = 130;

/// Why a command did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The command line is wrong.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// The .torrent cannot be used.
    #[error(transparent)]
    TorrentFile(#[from] TorrentFileError),
    /// The magnet link cannot be used.
    #[error(transparent)]
    Magnet(#[from] shoal_metainfo::MagnetError),
    /// The content could not be made into a torrent.
    #[error(transparent)]
    Create(CreateError),
    /// A .torrent is there already.
    #[error("{0} is there already; --force overwrites it, -o writes somewhere else")]
    Exists(PathBuf),
    /// A folder stands where the .torrent should go.
    #[error("{0} is a folder; -o FILE names the .torrent to write")]
    OutputIsFolder(PathBuf),
    /// The .torrent would replace a file that it is about.
    #[error("{0} is part of the content and is not replaced; -o FILE names the .torrent to write")]
    OutputIsContent(PathBuf),
    /// The folder that the .torrent should go to is not there.
    #[error("{0} is not there; make that folder first, or write somewhere else with -o FILE")]
    OutputFolderMissing(PathBuf),
    /// A device or the like stands where the .torrent should go.
    #[error("{0} is no ordinary file and is not replaced; -o FILE names the .torrent to write")]
    OutputIsSpecial(PathBuf),
    /// The .torrent could not be written.
    #[error("cannot write {path}: {source}; -o FILE writes somewhere else")]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder of the content is not there.
    #[error("the folder {0} does not exist; --dir names the folder that holds the content")]
    FolderMissing(PathBuf),
    /// A peer's name has no address.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The content on disk cannot be read.
    #[error(transparent)]
    Storage(#[from] shoal_storage::StorageError),
    /// The content on disk is not what the torrent says. The list has been printed.
    #[error(transparent)]
    NotWhole(#[from] crate::command::verify::NotWhole),
    /// The tracker could not listen.
    #[error(transparent)]
    Serve(#[from] shoal_tracker::server::ServerError),
    /// The client could not begin or go on.
    #[error(transparent)]
    Client(#[from] crate::command::client::ClientError),
    /// Nothing came of a question to the DHT.
    #[error(transparent)]
    Dht(#[from] crate::command::dht::DhtError),
    /// No tracker told anything. What each said has been printed.
    #[error("no tracker told how many have it; what each said stands with its URL")]
    NotScraped,
    /// Nobody to ask.
    #[error("the torrent names no tracker, so there is nobody to ask how many have it")]
    NothingToScrape,
    /// The demo did not end with identical copies.
    #[error(transparent)]
    Demo(#[from] crate::command::demo::DemoError),
    /// The system refused something that every command needs.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// Standard output does not take what we print.
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
    /// A signal asked for the end before it was done.
    #[error("interrupted before it was complete")]
    Interrupted,
}

impl Error {
    /// For `map_err` on what [`crate::signals::Interrupt::listen`] gives.
    pub(crate) fn signals(source: io::Error) -> Self {
        let what = "listen for signals";
        Self::System { what, source }
    }

    /// Of the first line of a work that nobody listens to: that asks for the end like a signal.
    pub(crate) fn unheard(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Interrupted,
            _ => Self::Output(error),
        }
    }

    /// Whether nobody reads what we print any more: nothing to complain about.
    pub(crate) fn is_reader_gone(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// What the process ends with.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            _ if self.is_reader_gone() => EXIT_DONE,
            Self::Usage(_) => EXIT_USAGE,
            Self::Interrupted => EXIT_INTERRUPTED,
            _ => EXIT_FAILED,
        }
    }
}

impl From<CreateError> for Error {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Cancelled => Self::Interrupted,
            error => Self::Create(error),
        }
    }
}
