//! What the disk threads need of storage, so that a failing disk can stand in for it in tests.

use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use shoal_metainfo::{Block, PieceIndex};
use shoal_storage::{Judged, Storage, StorageError};
use shoal_swarm::io::Digest;

/// The files of one torrent; every call may block. [`Storage`] has the words on each.
pub(crate) trait Store: Send + Sync + 'static {
    fn prepare(&self) -> Result<(), StorageError>;
    /// Blocks that lie behind each other in one piece.
    fn write_run(&self, piece: PieceIndex, begin: u32, run: &[&[u8]]) -> Result<(), StorageError>;
    fn read(&self, block: Block) -> Result<Bytes, StorageError>;
    /// Bytes.
    fn piece_length(&self, piece: PieceIndex) -> usize;
    /// Whether each piece is good; several at once are hashed side by side.
    fn verify_all(&self, pieces: Vec<PieceIndex>) -> Vec<Judged>;
    fn digests(&self, piece: PieceIndex) -> Result<Vec<Digest>, StorageError>;
    fn flush(&self) -> Result<(), StorageError>;
    fn trim(&self);
    /// Whether a file must be [recovered](Self::recover) before it is used.
    fn is_lost(&self) -> bool;
    fn recover(&self, cancel: &AtomicBool) -> Result<(), StorageError>;
    fn doubt(&self, block: Block) -> StorageError;
}

impl Store for Storage {
    fn prepare(&self) -> Result<(), StorageError> {
        Self::prepare(self)
    }

    fn write_run(&self, piece: PieceIndex, begin: u32, run: &[&[u8]]) -> Result<(), StorageError> {
        Self::write_run(self, piece, begin, run)
    }

    fn read(&self, block: Block) -> Result<Bytes, StorageError> {
        Self::read(self, block)
    }

    fn piece_length(&self, piece: PieceIndex) -> usize {
        self.info().geometry.piece_length(piece) as usize
    }

    fn verify_all(&self, pieces: Vec<PieceIndex>) -> Vec<Judged> {
        Self::verify_all(self, pieces)
    }

    fn digests(&self, piece: PieceIndex) -> Result<Vec<Digest>, StorageError> {
        Self::digests(self, piece)
    }

    fn flush(&self) -> Result<(), StorageError> {
        Self::flush(self)
    }

    fn trim(&self) {
        Self::trim(self);
    }

    fn is_lost(&self) -> bool {
        Self::is_lost(self)
    }

    fn recover(&self, cancel: &AtomicBool) -> Result<(), StorageError> {
        Self::recover(self, cancel)
    }

    fn doubt(&self, block: Block) -> StorageError {
        Self::doubt(self, block)
    }
}
