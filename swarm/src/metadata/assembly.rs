//! One attempt at the metadata: pieces, who sent each, and who was asked for the others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use shoal_hashing::sha1;
use shoal_wire::extended::metadata::{METADATA_PIECE_LENGTH, metadata_pieces};

use crate::blame::Suspect;
use crate::io::{Digest, PeerKey};

/// Pieces of metadata of one size.
#[derive(Debug)]
pub(super) struct Assembly {
    size: u32,
    here: BTreeMap<u32, Piece>,
    bytes: usize,
    /// No piece from here on was ever asked for.
    next: u32,
    /// Pieces before `next` that are neither here nor asked for.
    returned: BTreeSet<u32>,
    /// Of each piece that is not here: who was asked, and when.
    holders: BTreeMap<u32, Vec<(PeerKey, Instant)>>,
}

#[derive(Debug)]
struct Piece {
    data: Box<[u8]>,
    sender: Suspect,
}

impl Assembly {
    pub(super) fn new(size: u32) -> Self {
        Self {
            size,
            here: BTreeMap::new(),
            bytes: 0,
            next: 0,
            returned: BTreeSet::new(),
            holders: BTreeMap::new(),
        }
    }

    /// Bytes that are here.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_complete(&self) -> bool {
        self.bytes == self.size as usize
    }

    /// Whether nobody was asked for any of it.
    pub(super) fn is_idle(&self) -> bool {
        self.holders.is_empty()
    }

    /// A piece that is neither here nor asked for.
    pub(super) fn next_free(&self) -> Option<u32> {
        let fresh = (self.next < metadata_pieces(self.size)).then_some(self.next);
        self.returned.first().copied().or(fresh)
    }

    /// A piece for which others were asked before `since`, fewer than `most`, and not this peer.
    pub(super) fn next_hedge(&self, peer: PeerKey, since: Instant, most: usize) -> Option<u32> {
        let waits = self.holders.iter().filter(|(_, holders)| {
            holders.len() < most
                && holders
                    .iter()
                    .all(|&(holder, at)| holder != peer && at <= since)
        });
        waits
            .map(|(&piece, holders)| (holders.len(), piece))
            .min()
            .map(|(_, piece)| piece)
    }

    pub(super) fn asked(&mut self, piece: u32, peer: PeerKey, now: Instant) {
        if !self.returned.remove(&piece) && piece == self.next {
            self.next += 1;
        }
        self.holders.entry(piece).or_default().push((peer, now));
    }

    /// The peer owes that piece no more; it may be asked of others.
    pub(super) fn gave_up(&mut self, piece: u32, peer: PeerKey) {
        let Some(holders) = self.holders.get_mut(&piece) else {
            return;
        };
        holders.retain(|(holder, _)| *holder != peer);
        if holders.is_empty() {
            self.holders.remove(&piece);
            self.returned.insert(piece);
        }
    }

    /// Keeps a piece, unless it is here; it has the right length. The copy lets go of the much
    /// larger area that it was received into.
    pub(super) fn insert(&mut self, piece: u32, sender: Suspect, data: &[u8]) {
        debug_assert!(
            piece < metadata_pieces(self.size),
            "checked where it came in"
        );
        self.holders.remove(&piece);
        self.returned.remove(&piece);
        if piece >= self.next {
            // An answer to what was asked for an assembly before this one.
            self.returned.extend(self.next..piece);
            self.next = piece + 1;
        }
        if !self.here.contains_key(&piece) {
            self.bytes += data.len();
            let data = data.into();
            self.here.insert(piece, Piece { data, sender });
        }
    }

    /// All of it.
    pub(super) fn bytes_in_order(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bytes);
        self.here
            .values()
            .for_each(|piece| bytes.extend_from_slice(&piece.data));
        bytes
    }

    /// Who sent all of it, if one peer did.
    pub(super) fn sole_sender(&self) -> Option<Suspect> {
        let mut senders = self.here.values().map(|piece| piece.sender);
        let first = senders.next()?;
        senders
            .all(|sender| sender.peer == first.peer)
            .then_some(first)
    }

    /// Who sent a piece that is not where it says in the true metadata.
    pub(super) fn liars(&self, truth: &[u8]) -> Vec<Suspect> {
        let wrong = self.here.iter().filter(|(number, piece)| {
            self.size as usize != truth.len() || true_piece(truth, **number) != Some(&*piece.data)
        });
        wrong.map(|(_, piece)| piece.sender).collect()
    }

    /// Keeps who sent what, and not the bytes.
    pub(super) fn into_failed(self) -> Failed {
        let pieces = self.here.into_iter();
        let pieces = pieces.map(|(number, piece)| (number, sha1(&piece.data), piece.sender));
        Failed {
            size: self.size,
            pieces: pieces.collect(),
        }
    }
}

/// A mixed assembly that was wrong.
#[derive(Debug)]
pub(super) struct Failed {
    size: u32,
    pieces: Vec<(u32, Digest, Suspect)>,
}

impl Failed {
    /// Who sent a piece that is not where it says in the true metadata.
    pub(super) fn liars(&self, truth: &[u8]) -> Vec<Suspect> {
        let wrong = self.pieces.iter().filter(|(number, digest, _)| {
            self.size as usize != truth.len()
                || true_piece(truth, *number).is_none_or(|piece| sha1(piece) != *digest)
        });
        wrong.map(|(.., sender)| *sender).collect()
    }
}

fn true_piece(truth: &[u8], number: u32) -> Option<&[u8]> {
    let length = METADATA_PIECE_LENGTH as usize;
    truth.chunks(length).nth(number as usize)
}
