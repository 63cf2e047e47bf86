//! Getting a torrent's `info` from peers, before anything else is known of it. BEP 9.
//!
//! Peers claim a size and give pieces; nothing of either is true until the SHA-1 of the whole is
//! the info hash, and before that nobody reads a byte of it. Claims of different sizes are kept
//! apart. At first all who claim the same size give to one assembly. When one of several senders
//! turns out wrong, nobody knows who lied: from then on each peer's pieces make an assembly of its
//! own, and whose own is wrong has lied. What was mixed is judged when the truth is known.
//!
//! Memory is taken as pieces arrive, never for a claim, and has one bound for all assemblies.
//! Knows no connections, and the clock only by being told.

mod assembly;
mod owed;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;
use shoal_hashing::sha1;
use shoal_metainfo::InfoHash;
use shoal_wire::extended::metadata::METADATA_PIECE_LENGTH;

use self::assembly::{Assembly, Failed};
pub use self::owed::{Answer, Owed};
use crate::blame::Suspect;
use crate::io::PeerKey;
use crate::limits::{
    METADATA_ASSEMBLIES_ALONE, METADATA_BYTES_MAX, METADATA_CLAIMS_KEPT, METADATA_FAILED_KEPT,
    METADATA_HEDGE_AFTER, METADATA_HOLDERS_MAX, METADATA_IN_FLIGHT, METADATA_REQUEST_WITHIN,
    METADATA_REST_FIRST, METADATA_REST_MAX,
};

/// What became of a piece that came.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is kept, or was here already.
    Taken,
    /// Nobody asked that peer for it.
    Unasked,
    /// The peer speaks of another size than it claimed.
    OtherSize,
    /// It was the last of an assembly, which is wrong.
    Wrong {
        /// Who lied, if that is certain.
        guilty: Option<Suspect>,
    },
    /// It was the last of an assembly, whose SHA-1 is the info hash.
    Found {
        /// The exact bytes of `info`.
        info: Bytes,
        /// Who sent anything else, all for certain.
        guilty: Vec<Suspect>,
    },
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Bytes in the fullest assembly; nobody knows whether they are right.
    pub bytes: u64,
    /// Its size, as some peer claims; `None` while nobody claims any.
    pub total: Option<u64>,
    /// Peers that claim to have the metadata.
    pub peers: usize,
    /// Those of them that owe us a piece.
    pub asked: usize,
}

/// One peer that claims to have the metadata.
#[derive(Debug)]
struct Source {
    who: Suspect,
    size: u32,
    asked: Vec<Asked>,
    /// It gave a piece at some time.
    gave: bool,
    /// Requests that were given up: their pieces may still come.
    late: u32,
    /// Requests without an answer, or rejected, since the last piece.
    failures: u32,
    /// It is asked for nothing before.
    rests_until: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Asked {
    piece: u32,
    at: Instant,
}

/// Of one size: whether pieces of several peers may be mixed still.
#[derive(Debug, Default)]
struct Claim {
    alone: bool,
}

/// An assembly: of one size, and of one peer if it may not be mixed.
type Which = (u32, Option<PeerKey>);

/// All claims, and what is here of each.
#[derive(Debug)]
pub struct Fetch {
    info_hash: InfoHash,
    claims: BTreeMap<u32, Claim>,
    sources: BTreeMap<PeerKey, Source>,
    assemblies: BTreeMap<Which, Assembly>,
    /// Mixed ones that were wrong, the oldest first.
    failed: Vec<Failed>,
}

impl Fetch {
    /// Of the torrent with this name.
    #[must_use]
    pub fn new(info_hash: InfoHash) -> Self {
        Self {
            info_hash,
            claims: BTreeMap::new(),
            sources: BTreeMap::new(),
            assemblies: BTreeMap::new(),
            failed: Vec::new(),
        }
    }

    /// The peer takes requests, and claims that the metadata has `size` bytes.
    pub fn offers(&mut self, who: Suspect, size: u32) {
        if self
            .sources
            .get(&who.peer)
            .is_some_and(|old| old.size == size)
        {
            return;
        }
        self.left(who.peer);
        self.claims.entry(size).or_default();
        let source = Source {
            who,
            size,
            asked: Vec::new(),
            gave: false,
            late: 0,
            failures: 0,
            rests_until: None,
        };
        self.sources.insert(who.peer, source);
    }

    /// The peer is gone, or takes no more requests.
    pub fn left(&mut self, peer: PeerKey) {
        self.give_up(peer);
        if let Some(source) = self.sources.remove(&peer) {
            self.assemblies.remove(&(source.size, Some(peer)));
            self.forget_claims();
        }
    }

    /// The peer will not give that piece; it rests, whatever else it may have.
    pub fn rejected(&mut self, now: Instant, peer: PeerKey, piece: u32) {
        let asked = |source: &Source| source.asked.iter().any(|asked| asked.piece == piece);
        if self.sources.get(&peer).is_some_and(asked) {
            self.rest(now, peer);
        }
    }

    /// A piece came, of exactly the length that it has in metadata of `size` bytes.
    pub fn came(&mut self, peer: PeerKey, piece: u32, size: u32, data: &[u8]) -> Arrival {
        let Some(source) = self.sources.get_mut(&peer) else {
            return Arrival::Unasked;
        };
        if source.size != size {
            return Arrival::OtherSize;
        }
        let asked = source.asked.iter().position(|asked| asked.piece == piece);
        match asked {
            Some(at) => drop(source.asked.swap_remove(at)),
            None if source.late > 0 => source.late -= 1,
            None => return Arrival::Unasked,
        }
        (source.gave, source.failures, source.rests_until) = (true, 0, None);
        let who = source.who;
        let which = self.which(peer, size);
        let assembly = self.assemblies.entry(which);
        let assembly = assembly.or_insert_with(|| Assembly::new(size));
        assembly.insert(piece, who, data);
        if assembly.is_complete() {
            return self.judge(which);
        }
        Arrival::Taken
    }

    /// Whom to ask for which piece now. To be called again when anything changed, and every second.
    pub fn requests(&mut self, now: Instant) -> Vec<(PeerKey, u32)> {
        self.look_at_the_clock(now);
        let mut requests = Vec::new();
        let sizes: Vec<_> = self
            .claims
            .iter()
            .map(|(&size, claim)| (size, claim.alone))
            .collect();
        for (size, alone) in sizes {
            let mut ready: Vec<_> = self.ready(now, size).collect();
            if alone {
                ready.truncate(METADATA_ASSEMBLIES_ALONE);
            }
            // One of each in turn, so that many give a little rather than few all.
            while !ready.is_empty() {
                ready.retain(|&peer| {
                    let piece = self.ask(now, peer, size);
                    requests.extend(piece.map(|piece| (peer, piece)));
                    piece.is_some()
                });
            }
        }
        requests
    }

    /// How far it has come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let fullest = self.assemblies.iter().max_by_key(|(_, some)| some.bytes());
        let claimed = self.claims.keys().next();
        let asked = self
            .sources
            .values()
            .filter(|source| !source.asked.is_empty());
        Progress {
            bytes: fullest.map_or(0, |(_, some)| some.bytes() as u64),
            total: fullest
                .map(|((size, _), _)| size)
                .or(claimed)
                .map(|&size| size.into()),
            peers: self.sources.len(),
            asked: asked.count(),
        }
    }

    fn which(&self, peer: PeerKey, size: u32) -> Which {
        let alone = self.claims.get(&size).is_some_and(|claim| claim.alone);
        (size, alone.then_some(peer))
    }

    /// Peers with that claim that may be asked, the best first.
    fn ready(&self, now: Instant, size: u32) -> impl Iterator<Item = PeerKey> {
        let awake = self.sources.iter().filter(move |(_, source)| {
            source.size == size && source.rests_until.is_none_or(|until| until <= now)
        });
        let mut order: Vec<_> = awake
            .map(|(&peer, source)| {
                let own = self.assemblies.get(&(size, Some(peer)));
                let bytes = own.map_or(0, Assembly::bytes);
                (source.failures, Reverse(bytes), peer)
            })
            .collect();
        order.sort_unstable();
        order.into_iter().map(|(.., peer)| peer)
    }

    /// Chooses a piece for the peer, if it may be asked for one more.
    fn ask(&mut self, now: Instant, peer: PeerKey, size: u32) -> Option<u32> {
        let source = self.sources.get(&peer)?;
        // Who may never answer holds up one piece at a time.
        let most = match source.gave && source.failures == 0 {
            true => METADATA_IN_FLIGHT,
            false => 1,
        };
        if source.asked.len() >= most || !self.make_room(peer, size) {
            return None;
        }
        let which = self.which(peer, size);
        let assembly = self.assemblies.entry(which);
        let assembly = assembly.or_insert_with(|| Assembly::new(size));
        let hedge = now.checked_sub(METADATA_HEDGE_AFTER);
        let piece = assembly
            .next_free()
            .or_else(|| assembly.next_hedge(peer, hedge?, METADATA_HOLDERS_MAX))?;
        assembly.asked(piece, peer, now);
        let source = self.sources.get_mut(&peer)?;
        source.asked.push(Asked { piece, at: now });
        Some(piece)
    }

    /// Gives up requests that wait too long.
    fn look_at_the_clock(&mut self, now: Instant) {
        let overdue =
            |asked: &Asked| now.saturating_duration_since(asked.at) >= METADATA_REQUEST_WITHIN;
        let late = self.sources.iter();
        let late = late.filter(|(_, source)| source.asked.iter().any(overdue));
        for peer in late.map(|(&peer, _)| peer).collect::<Vec<_>>() {
            self.rest(now, peer);
        }
    }

    /// Asks the peer for nothing for a while, longer each time.
    fn rest(&mut self, now: Instant, peer: PeerKey) {
        self.give_up(peer);
        if let Some(source) = self.sources.get_mut(&peer) {
            let doubled = METADATA_REST_FIRST.saturating_mul(1 << source.failures.min(20));
            source.failures += 1;
            source.rests_until = Some(now + doubled.min(METADATA_REST_MAX));
        }
    }

    /// What the peer was asked for may be asked of others; it may still come.
    fn give_up(&mut self, peer: PeerKey) {
        let Some(source) = self.sources.get_mut(&peer) else {
            return;
        };
        let asked = std::mem::take(&mut source.asked);
        source.late += u32::try_from(asked.len()).unwrap_or(u32::MAX);
        let which = self.which(peer, self.sources[&peer].size);
        if let Some(assembly) = self.assemblies.get_mut(&which) {
            asked
                .iter()
                .for_each(|asked| assembly.gave_up(asked.piece, peer));
        }
    }

    /// Whether one more piece of an assembly of that size fits into memory; drops others for it:
    /// those that nobody works on, then larger ones. So the smallest always goes on, and ends.
    fn make_room(&mut self, peer: PeerKey, size: u32) -> bool {
        let own = self.which(peer, size);
        while self.bytes_promised() + METADATA_PIECE_LENGTH as usize > METADATA_BYTES_MAX {
            let others = self.assemblies.iter().filter(|(which, some)| {
                **which != own && some.bytes() > 0 && (some.is_idle() || which.0 > size)
            });
            let worst = others.max_by_key(|(which, some)| (some.is_idle(), which.0, some.bytes()));
            let Some((&worst, _)) = worst else {
                return false;
            };
            self.drop_assembly(worst);
        }
        true
    }

    /// Bytes that are here, and that may come.
    fn bytes_promised(&self) -> usize {
        let asked: usize = self.sources.values().map(|source| source.asked.len()).sum();
        let here: usize = self.assemblies.values().map(Assembly::bytes).sum();
        here + asked * METADATA_PIECE_LENGTH as usize
    }

    /// Forgets an assembly; who was asked for it owes nothing.
    fn drop_assembly(&mut self, which: Which) {
        let givers = self.sources.iter().filter(|(peer, source)| {
            source.size == which.0 && which.1.is_none_or(|only| only == **peer)
        });
        for peer in givers.map(|(&peer, _)| peer).collect::<Vec<_>>() {
            self.give_up(peer);
        }
        self.assemblies.remove(&which);
    }

    /// Claims that nobody makes any more and that brought nothing are forgotten; of the others the
    /// emptiest, above a bound.
    fn forget_claims(&mut self) {
        let Self {
            claims,
            sources,
            assemblies,
            ..
        } = self;
        let made = |size: u32| sources.values().any(|source| source.size == size);
        let bytes = |size: u32| assemblies.get(&(size, None)).map_or(0, Assembly::bytes);
        claims.retain(|&size, claim| claim.alone || bytes(size) > 0 || made(size));
        let unmade = claims.keys().copied().filter(|&size| !made(size));
        let mut unmade: Vec<_> = unmade.map(|size| (Reverse(bytes(size)), size)).collect();
        unmade.sort_unstable();
        for (_, size) in unmade.into_iter().skip(METADATA_CLAIMS_KEPT) {
            claims.remove(&size);
        }
        assemblies.retain(|(size, _), _| claims.contains_key(size));
    }

    /// An assembly is complete: is it the metadata?
    fn judge(&mut self, which: Which) -> Arrival {
        let assembly = self.assemblies.remove(&which);
        let assembly = assembly.expect("only an assembly that is there can be complete");
        let info = assembly.bytes_in_order();
        if sha1(&info) == self.info_hash.0 {
            let guilty = self.guilty(&info);
            return Arrival::Found {
                info: info.into(),
                guilty,
            };
        }
        if let Some(sole) = assembly.sole_sender() {
            return Arrival::Wrong { guilty: Some(sole) };
        }
        self.drop_assembly(which);
        self.claims.entry(which.0).or_default().alone = true;
        if self.failed.len() == METADATA_FAILED_KEPT {
            self.failed.remove(0);
        }
        self.failed.push(assembly.into_failed());
        Arrival::Wrong { guilty: None }
    }

    /// Everybody who sent a piece that is not in the true metadata.
    fn guilty(&self, info: &[u8]) -> Vec<Suspect> {
        let mut guilty: Vec<Suspect> = Vec::new();
        let failed = self.failed.iter().flat_map(|failed| failed.liars(info));
        let unfinished = self.assemblies.values().flat_map(|some| some.liars(info));
        for liar in failed.chain(unfinished) {
            if !guilty.contains(&liar) {
                guilty.push(liar);
            }
        }
        guilty
    }
}

#[cfg(test)]
mod tests;
