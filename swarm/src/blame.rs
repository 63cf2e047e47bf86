//! Who spoiled a piece. BEP 3 leaves it open; known as "smart ban" and "parole".
//!
//! A piece that fails is the fault of its one sender, or else of somebody among several: then the
//! digests of its blocks are kept, the piece is fetched from one peer alone, and when it is good
//! the senders whose blocks differ are guilty, and only they. Knows no connections: a suspect may
//! have left long ago.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use shoal_metainfo::{Block, PeerId, PieceIndex};

use crate::io::{Digest, PeerKey};
use crate::limits::{FAILED_ATTEMPTS_MAX, FAILED_BLOCKS_MAX};

/// A sender, as it must be known to be banned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suspect {
    /// The connection it sent on.
    pub peer: PeerKey,
    /// The address it spoke from.
    pub address: SocketAddr,
    /// Its name for itself.
    pub peer_id: PeerId,
    /// It is a web server: others at its address are not it.
    pub is_web: bool,
}

/// Who sent which block of one piece, one time.
#[derive(Debug, Default)]
struct Attempt {
    senders: Vec<Suspect>,
    /// By block: which of `senders`; [`NOBODY`] before it came.
    blocks: Vec<u16>,
}

const NOBODY: u16 = u16::MAX;

/// An attempt that failed, with what was sent.
#[derive(Debug)]
struct Failed {
    attempt: Attempt,
    digests: Vec<Digest>,
}

/// The senders of pieces in flight, and the pieces that failed.
#[derive(Debug, Default)]
pub struct Blame {
    attempts: BTreeMap<PieceIndex, Attempt>,
    failed: BTreeMap<PieceIndex, Vec<Failed>>,
    /// Blocks in `failed`, all together.
    failed_blocks: usize,
}

impl Blame {
    /// A block was accepted from that sender; its piece has `count` blocks.
    pub fn received(&mut self, block: Block, count: usize, sender: Suspect) {
        let attempt = self.attempts.entry(block.piece()).or_default();
        attempt.blocks.resize(count, NOBODY);
        let known = attempt
            .senders
            .iter()
            .rposition(|other| other.peer == sender.peer);
        let at = known.unwrap_or_else(|| {
            attempt.senders.push(sender);
            attempt.senders.len() - 1
        });
        // More than 65,534 senders of one piece: the last ones share the blame of nobody.
        attempt.blocks[block.number()] = u16::try_from(at).unwrap_or(NOBODY);
    }

    /// What came of the piece does not count: it is fetched anew.
    pub fn forget(&mut self, piece: PieceIndex) {
        self.attempts.remove(&piece);
    }

    /// What came of all pieces in flight does not count: our disk may have spoiled it.
    pub fn forget_all_attempts(&mut self) {
        self.attempts.clear();
    }

    /// Whether digests are wanted with the next verdict: an earlier attempt failed.
    #[must_use]
    pub fn wants_digests(&self, piece: PieceIndex) -> bool {
        self.failed.contains_key(&piece)
    }

    /// The piece is good: returns those who sent something else before.
    pub fn good(&mut self, piece: PieceIndex, digests: &[Digest]) -> Vec<Suspect> {
        self.attempts.remove(&piece);
        let Some(failed) = self.failed.remove(&piece) else {
            return Vec::new();
        };
        let mut guilty: Vec<Suspect> = Vec::new();
        for failed in &failed {
            self.failed_blocks -= failed.digests.len();
            let blocks = failed.attempt.blocks.iter();
            let pairs = blocks.zip(failed.digests.iter().zip(digests));
            for (&sender, _) in pairs.filter(|(_, (then, now))| then != now) {
                let sender = failed.attempt.senders.get(usize::from(sender));
                guilty.extend(sender.filter(|sender| !guilty.contains(sender)));
            }
        }
        guilty
    }

    /// The piece is bad: returns its sender if it has only one, who is guilty. Otherwise the
    /// attempt is kept, and [`Self::suspects`] names those involved.
    pub fn bad(&mut self, piece: PieceIndex, digests: Vec<Digest>) -> Option<Suspect> {
        let attempt = self.attempts.remove(&piece)?;
        // A block that nobody sent was on the disk before: that may be the bad one.
        if let ([sole], false) = (&attempt.senders[..], attempt.blocks.contains(&NOBODY)) {
            return Some(*sole);
        }
        if digests.len() != attempt.blocks.len() || digests.len() > FAILED_BLOCKS_MAX {
            return None;
        }
        self.make_room(piece, digests.len());
        self.failed_blocks += digests.len();
        let failed = self.failed.entry(piece).or_default();
        failed.push(Failed { attempt, digests });
        None
    }

    /// The senders of failed attempts at the piece.
    #[must_use]
    pub fn suspects(&self, piece: PieceIndex) -> Vec<PeerKey> {
        let attempts = self.failed.get(&piece).into_iter().flatten();
        attempts
            .flat_map(|failed| failed.attempt.senders.iter().map(|sender| sender.peer))
            .collect()
    }

    /// Drops old records until so many blocks fit.
    fn make_room(&mut self, piece: PieceIndex, blocks: usize) {
        if let Some(attempts) = self.failed.get_mut(&piece)
            && attempts.len() == FAILED_ATTEMPTS_MAX
        {
            self.failed_blocks -= attempts.remove(0).digests.len();
        }
        while self.failed_blocks + blocks > FAILED_BLOCKS_MAX {
            let Some((_, attempts)) = self.failed.pop_first() else {
                return;
            };
            self.failed_blocks -= attempts.iter().map(|f| f.digests.len()).sum::<usize>();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shoal_metainfo::Geometry;

    fn suspect(key: u16) -> Suspect {
        Suspect {
            peer: PeerKey(u64::from(key)),
            address: SocketAddr::from(([127, 0, 0, 1], key)),
            peer_id: PeerId([u8::try_from(key).unwrap(); 20]),
            is_web: false,
        }
    }

    fn geometry() -> Geometry {
        Geometry::new(1 << 20, 1 << 16).unwrap()
    }

    /// Four blocks of piece 3, from these senders.
    fn receive(blame: &mut Blame, senders: [u16; 4]) -> PieceIndex {
        let piece = geometry().piece(3).unwrap();
        for (block, sender) in geometry().blocks(piece).zip(senders) {
            blame.received(block, 4, suspect(sender));
        }
        piece
    }

    const DIGESTS: [Digest; 4] = [[0; 20], [1; 20], [2; 20], [3; 20]];

    #[test]
    fn sole_sender_of_a_bad_piece_is_guilty() {
        let mut blame = Blame::default();
        let piece = receive(&mut blame, [7; 4]);
        assert_eq!(blame.bad(piece, DIGESTS.to_vec()), Some(suspect(7)));
        assert!(!blame.wants_digests(piece));
    }

    #[test]
    fn sole_sender_is_not_guilty_of_blocks_that_were_there_before() {
        let mut blame = Blame::default();
        let piece = geometry().piece(3).unwrap();
        for block in geometry().blocks(piece).skip(1) {
            blame.received(block, 4, suspect(7));
        }
        let spoiled = [[9; 20], DIGESTS[1], DIGESTS[2], DIGESTS[3]];
        assert_eq!(blame.bad(piece, spoiled.to_vec()), None);
        receive(&mut blame, [8; 4]);
        assert_eq!(blame.good(piece, &DIGESTS), []);
    }

    #[test]
    fn only_the_sender_of_the_bad_block_is_guilty() {
        let mut blame = Blame::default();
        let piece = receive(&mut blame, [1, 2, 3, 1]);
        let mut spoiled = DIGESTS;
        spoiled[1] = [9; 20];
        assert_eq!(blame.bad(piece, spoiled.to_vec()), None);
        assert_eq!(blame.suspects(piece), [1, 2, 3].map(PeerKey));
        assert!(blame.wants_digests(piece));
        receive(&mut blame, [4; 4]);
        assert_eq!(blame.good(piece, &DIGESTS), [suspect(2)]);
        assert!(!blame.wants_digests(piece));
        assert_eq!(blame.failed_blocks, 0);
    }

    #[test]
    fn sole_sender_that_fails_on_parole_is_guilty_and_the_record_stays() {
        let mut blame = Blame::default();
        let piece = receive(&mut blame, [1, 1, 2, 2]);
        let spoiled = [[9; 20], DIGESTS[1], DIGESTS[2], DIGESTS[3]];
        assert_eq!(blame.bad(piece, spoiled.to_vec()), None);
        receive(&mut blame, [2; 4]);
        assert_eq!(blame.bad(piece, vec![[8; 20]; 4]), Some(suspect(2)));
        receive(&mut blame, [3; 4]);
        assert_eq!(blame.good(piece, &DIGESTS), [suspect(1)]);
    }

    #[test]
    fn forgotten_attempt_blames_nobody() {
        let mut blame = Blame::default();
        let piece = receive(&mut blame, [7; 4]);
        blame.forget_all_attempts();
        assert_eq!(blame.bad(piece, DIGESTS.to_vec()), None);
        assert!(!blame.wants_digests(piece));
        receive(&mut blame, [7; 4]);
        blame.forget(piece);
        assert_eq!(blame.bad(piece, DIGESTS.to_vec()), None);
    }

    #[test]
    fn records_are_bounded() {
        let mut blame = Blame::default();
        for _ in 0..3 * FAILED_ATTEMPTS_MAX {
            let piece = receive(&mut blame, [1, 2, 3, 4]);
            blame.bad(piece, DIGESTS.to_vec());
            assert!(blame.failed_blocks <= 4 * FAILED_ATTEMPTS_MAX);
        }
        blame.make_room(geometry().piece(0).unwrap(), FAILED_BLOCKS_MAX);
        assert_eq!(blame.failed_blocks, 0);
    }
}
