//! The torrent's bytes, true and spoiled, without a copy of either.
//!
//! The first eight bytes of a block name it, and all blocks are slices of one buffer: gigabytes of
//! virtual payload cost a few kilobytes.

use bytes::Bytes;
use shoal_hashing::sha1;
use shoal_metainfo::{BLOCK_LENGTH, Block, Geometry, InfoHash, PieceIndex};
use shoal_simulation::Rng;
use shoal_swarm::io::Digest;

const INFO_HASH: InfoHash = InfoHash(*b"a torrent of the sim");

/// What a block holds, as far as the simulation can tell it apart.
pub(crate) type ContentId = u64;

#[derive(Debug, Clone)]
pub(crate) struct Content {
    pub(crate) geometry: Geometry,
    pub(crate) info_hash: InfoHash,
    /// What peers get of a magnet; where nobody has one, it does not matter.
    pub(crate) info: Bytes,
    blocks_a_piece: u64,
    /// `0, 1, 2, …` as `u64`, and enough behind the last for one block.
    sea: Bytes,
}

impl Content {
    pub(crate) fn new(pieces: u32, blocks_a_piece: u32) -> Self {
        let piece_length = blocks_a_piece * BLOCK_LENGTH;
        // The last block is short: it must be told apart from a whole one somewhere.
        let total = u64::from(pieces) * u64::from(piece_length) - 1_000;
        let geometry = Geometry::new(total, piece_length.into()).expect("a small torrent");
        let blocks = u64::from(pieces * blocks_a_piece);
        let numbers = 0..2 * blocks + u64::from(BLOCK_LENGTH) / 8;
        Self {
            geometry,
            info_hash: INFO_HASH,
            info: Bytes::new(),
            blocks_a_piece: blocks_a_piece.into(),
            sea: numbers.flat_map(u64::to_be_bytes).collect(),
        }
    }

    /// The same with metadata of so many bytes.
    pub(crate) fn with_info(self, bytes: u64, seed: u64) -> Self {
        let mut info = vec![0; usize::try_from(bytes).expect("short")];
        Rng::new(seed).fork("info").fill(&mut info);
        Self {
            info_hash: InfoHash(sha1(&info)),
            info: info.into(),
            ..self
        }
    }

    /// The bytes that belong there.
    pub(crate) fn truth(&self, block: Block) -> Bytes {
        self.slice(self.true_id(block), block.length())
    }

    /// Other bytes; `nth` tells kinds of them apart.
    pub(crate) fn spoiled(&self, block: Block, nth: u64) -> Bytes {
        let blocks = u64::from(self.geometry.pieces()) * self.blocks_a_piece;
        let id = blocks + (self.true_id(block) + nth) % blocks;
        self.slice(id, block.length())
    }

    pub(crate) fn true_id(&self, block: Block) -> ContentId {
        u64::from(block.piece().get()) * self.blocks_a_piece + block.number() as u64
    }

    /// The ids of a piece that is whole and true.
    pub(crate) fn true_ids(&self, piece: PieceIndex) -> impl Iterator<Item = ContentId> + '_ {
        self.geometry.blocks(piece).map(|block| self.true_id(block))
    }

    fn slice(&self, id: ContentId, length: u32) -> Bytes {
        let begin = usize::try_from(id * 8).expect("inside the buffer");
        self.sea.slice(begin..begin + length as usize)
    }
}

/// What these bytes are.
pub(crate) fn id_of(data: &[u8]) -> ContentId {
    let head = data
        .first_chunk()
        .expect("no block of the torrent is that short");
    ContentId::from_be_bytes(*head)
}

/// Stands for the SHA-1 of a block.
pub(crate) fn digest(id: ContentId) -> Digest {
    let mut digest = Digest::default();
    digest[..8].copy_from_slice(&id.to_be_bytes());
    digest
}
