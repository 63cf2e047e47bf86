//! Why an engine does not start, a torrent is not added, or one ends.

use std::io;
use std::net::SocketAddr;

use shoal_metainfo::{InfoHash, NoneChosen, TorrentError};
use shoal_storage::StorageError;
use shoal_storage::journal::LockError;

/// Why an engine does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// Another program listens there.
    #[error("{address} is in use by another program; choose another port, or 0 for any free one")]
    PortTaken {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// This user may not listen there.
    #[error("this user may not listen on {address}; choose a port from 1024 up")]
    PortForbidden {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// Listening fails for another reason.
    #[error("cannot listen on {address}: {source}; give an address of this machine")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The system gives us no thread.
    #[error("cannot start a disk thread: {0}; raise `ulimit -u`")]
    Threads(io::Error),
    /// The system gives us no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
}

/// Why the files of a torrent cannot be taken up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OpenError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Locked(#[from] LockError),
    #[error(transparent)]
    NoneChosen(#[from] NoneChosen),
}

impl From<OpenError> for AddError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Storage(error) => Self::Storage(error),
            OpenError::Locked(error) => Self::Locked(error),
            OpenError::NoneChosen(error) => Self::NoneChosen(error),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Storage(error) => Self::Storage(error),
            OpenError::Locked(error) => Self::Locked(error),
            OpenError::NoneChosen(error) => Self::NoneChosen(error),
        }
    }
}

/// Why a torrent is not added.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// It is there already.
    #[error("torrent {0} is running already")]
    Running(InfoHash),
    /// Its files cannot be used.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Another client uses the folder, or it cannot be locked.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// Nothing of it is wanted.
    #[error(transparent)]
    NoneChosen(#[from] NoneChosen),
    /// The engine is stopping.
    #[error("the engine is stopping")]
    Stopping,
    /// The system gives us no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
}

/// Why a torrent ended that nobody stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// Its files could not be checked or made ready.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Of a magnet: another client uses the folder, or it cannot be locked.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// Of a magnet: nothing of it is wanted.
    #[error(transparent)]
    NoneChosen(#[from] NoneChosen),
    /// Of a magnet: the metadata is what the link names, byte for byte, and cannot be used.
    #[error("the torrent that the magnet link names cannot be used: {0}")]
    Metadata(TorrentError),
    /// A bug of ours; the other torrents go on.
    #[error("a bug stopped this torrent: {text}; please report it")]
    Panicked {
        /// What the panic said.
        text: String,
    },
}
