//! One connection as the brain sees it: who chokes whom, what the peer has, what is under way.
//! BEP 3 "choked", "interested"; BEP 6; BEP 10 `reqq`; BEP 21.
//!
//! Only state and the questions it can answer itself; what follows from a change is the swarm's
//! business.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use shoal_metainfo::{Bitfield, PeerId, PieceIndex};
use shoal_wire::Message;

use crate::blame::Suspect;
use crate::early::Early;
use crate::extensions::TheirExtensions;
use crate::gossip::Gossip;
use crate::holdings::Holdings;
use crate::io::{Direction, PeerKey};
use crate::limits::{
    CONTROL_BURST, CONTROL_PER_S, HUNGRY_SHARE, IDLE_AFTER, SLOT_FRESH, SUGGESTIONS_AWAITED,
    WASTER_PAUSE, WASTER_PAUSE_MAX,
};
use crate::metadata::Owed;
use crate::misbehaved::PeerMisbehaved;
use crate::rates::{Rate, Share, TokenBucket};
use crate::requests::Pipeline;
use crate::uploads::UploadQueue;

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) direction: Direction,
    pub(crate) peer_id: PeerId,
    /// Both handshakes offered BEP 6.
    pub(crate) fast: bool,
    /// Where the peer listens, if we know: its name among the candidates.
    pub(crate) listens_at: Option<SocketAddr>,

    /// How it numbers extensions.
    pub(crate) extensions: TheirExtensions,
    /// What it is told of others, and tells.
    pub(crate) gossip: Gossip,
    /// Our address, as it says.
    pub(crate) sees_us_at: Option<IpAddr>,
    /// It wants nothing any more, as it says. BEP 21.
    pub(crate) upload_only: bool,

    pub(crate) we_choke: bool,
    pub(crate) we_are_interested: bool,
    pub(crate) peer_chokes: bool,
    pub(crate) peer_is_interested: bool,

    /// What it has.
    pub(crate) holdings: Holdings,
    /// How many pieces it has that we have not.
    pub(crate) wanted: u32,
    /// It has said all that it has, at least once.
    pub(crate) told_holdings: bool,
    /// What we asked it for.
    pub(crate) pipeline: Pipeline,
    /// What it asked us for.
    pub(crate) uploads: UploadQueue,
    /// It is in the line of those to be served.
    pub(crate) in_turn: bool,

    /// Pieces that it gives us even while it chokes.
    pub(crate) allowed_by_it: Vec<PieceIndex>,
    /// Pieces that it would rather be asked for, the newest last.
    pub(crate) suggested_by_it: Vec<PieceIndex>,
    /// When it last suggested any.
    pub(crate) suggested_at: Option<Instant>,
    /// Pieces that we suggested and that it has not asked for.
    pub(crate) suggested_by_us: Vec<PieceIndex>,
    /// Pieces that we give it even while we choke,
    pub(crate) allowed_by_us: Vec<PieceIndex>,
    /// so many blocks of them.
    pub(crate) allowed_blocks_left: usize,

    /// Bytes of metadata that it claims to have.
    pub(crate) metadata_size: Option<u32>,
    /// Pieces of metadata that it asked for.
    metadata_owed: Option<Box<Owed>>,
    /// What it said of its pieces while nobody knew which there are.
    pub(crate) early: Box<Early>,

    pub(crate) downloaded: u64,
    pub(crate) uploaded: u64,
    pub(crate) download_rate: Rate,
    pub(crate) upload_rate: Rate,

    pub(crate) connected_at: Instant,
    pub(crate) last_received_at: Instant,
    pub(crate) last_sent_at: Instant,
    /// When it last took something of what we serve it; also when it was unchoked.
    pub(crate) last_took_at: Instant,
    /// How much of the time something waits for it.
    hunger: Share,
    /// For most of the last second nothing did.
    sated: bool,
    /// It took nothing in so many turns, one after the other,
    wasted_turns: u32,
    /// so it is served after all others until then.
    last_until: Instant,
    /// When `we_choke` last changed.
    pub(crate) we_choke_since: Instant,
    /// When `peer_chokes` last became true.
    pub(crate) peer_chokes_since: Instant,
    /// Since when neither side is interested, if so.
    pub(crate) useless_since: Instant,
    /// We unchoked it at some time.
    pub(crate) served: bool,

    control: TokenBucket,
    pub(crate) unrequested_blocks: u32,
    pub(crate) unrequested_rejects: u32,
}

impl Peer {
    pub(crate) fn new(
        now: Instant,
        address: SocketAddr,
        direction: Direction,
        peer_id: PeerId,
        fast: bool,
        pieces: u32,
    ) -> Self {
        Self {
            address,
            direction,
            peer_id,
            fast,
            listens_at: (direction == Direction::Outgoing).then_some(address),
            extensions: TheirExtensions::default(),
            gossip: Gossip::new(now),
            sees_us_at: None,
            upload_only: false,
            we_choke: true,
            we_are_interested: false,
            peer_chokes: true,
            peer_is_interested: false,
            holdings: Holdings::Some(Bitfield::none(pieces)),
            wanted: 0,
            told_holdings: false,
            pipeline: Pipeline::new(now),
            uploads: UploadQueue::default(),
            in_turn: false,
            allowed_by_it: Vec::new(),
            suggested_by_it: Vec::new(),
            suggested_at: None,
            suggested_by_us: Vec::new(),
            allowed_by_us: Vec::new(),
            allowed_blocks_left: 0,
            metadata_size: None,
            metadata_owed: None,
            early: Box::default(),
            downloaded: 0,
            uploaded: 0,
            download_rate: Rate::new(now),
            upload_rate: Rate::new(now),
            connected_at: now,
            last_received_at: now,
            last_sent_at: now,
            last_took_at: now,
            hunger: Share::new(now),
            sated: false,
            wasted_turns: 0,
            last_until: now,
            we_choke_since: now,
            peer_chokes_since: now,
            useless_since: now,
            served: false,
            control: TokenBucket::new(Some(CONTROL_PER_S), CONTROL_BURST, now),
            unrequested_blocks: 0,
            unrequested_rejects: 0,
        }
    }

    /// As it must be known to be banned.
    pub(crate) fn as_suspect(&self, key: PeerKey) -> Suspect {
        Suspect {
            peer: key,
            address: self.address,
            peer_id: self.peer_id,
            is_web: self.direction == Direction::Web,
        }
    }

    /// What it waits for of the metadata.
    pub(crate) fn metadata_owed(&mut self, now: Instant) -> &mut Owed {
        self.metadata_owed
            .get_or_insert_with(|| Box::new(Owed::new(now)))
    }

    /// When it gets the next piece of the metadata.
    pub(crate) fn metadata_ready_at(&self) -> Option<Instant> {
        self.metadata_owed.as_ref().and_then(|owed| owed.ready_at())
    }

    /// Whether its slot is of no use to it: it is served and takes nothing, or it was so the last
    /// time, not long ago. A peer that waits for our own limit of rate takes what it can.
    pub(crate) fn is_idle(&self, now: Instant) -> bool {
        if self.we_choke {
            return now < self.last_until;
        }
        let waits_for_us = !self.uploads.is_empty() && self.uploads.handed_out_bytes() == 0;
        !waits_for_us && now.saturating_duration_since(self.last_took_at) >= IDLE_AFTER
    }

    /// Whether it is served all that it asks for, so that others could be served too.
    pub(crate) fn is_sated(&self, now: Instant) -> bool {
        let fresh = now.saturating_duration_since(self.we_choke_since) < SLOT_FRESH;
        !self.we_choke && !fresh && self.sated
    }

    /// Something was queued for it, or left.
    pub(crate) fn note_hunger(&mut self, now: Instant) {
        let waits = !self.uploads.is_empty() || self.uploads.handed_out_bytes() > 0;
        self.hunger.set(now, waits);
    }

    /// Looks at the last second.
    pub(crate) fn judge_hunger(&mut self, now: Instant) {
        let (waited, passed) = self.hunger.take(now);
        self.sated = waited * HUNGRY_SHARE < passed;
    }

    /// It has its turn from now on.
    pub(crate) fn turn_begins(&mut self, now: Instant) {
        self.last_took_at = now;
        self.served = true;
    }

    /// Its turn is over, before it is choked.
    pub(crate) fn turn_ends(&mut self, now: Instant) {
        if self.is_idle(now) {
            let pause = WASTER_PAUSE * 2_u32.saturating_pow(self.wasted_turns);
            self.last_until = now + pause.min(WASTER_PAUSE_MAX);
            self.wasted_turns = (self.wasted_turns + 1).min(8);
        }
    }

    /// It took some of what it was served.
    pub(crate) fn took(&mut self, now: Instant) {
        self.last_took_at = now;
        self.wasted_turns = 0;
        self.last_until = now;
    }

    /// Checks what can be checked without looking inside: that the extension was agreed on.
    ///
    /// # Errors
    /// [`PeerMisbehaved::FastWithoutHandshake`].
    pub(crate) fn admit(&self, message: &Message) -> Result<(), PeerMisbehaved> {
        use Message::{AllowedFast, HaveAll, HaveNone, Reject, Suggest};
        let needs_fast = matches!(
            message,
            Suggest { .. } | HaveAll | HaveNone | Reject(_) | AllowedFast { .. }
        );
        if needs_fast && !self.fast {
            return Err(PeerMisbehaved::FastWithoutHandshake);
        }
        Ok(())
    }

    /// Accounts for a message that changes nothing for the better.
    ///
    /// # Errors
    /// `flood` when there were too many.
    pub(crate) fn charge(
        &mut self,
        now: Instant,
        flood: PeerMisbehaved,
    ) -> Result<(), PeerMisbehaved> {
        self.charge_for(now, 1, flood)
    }

    /// [`Self::charge`] for what costs us as much as so many messages.
    pub(crate) fn charge_for(
        &mut self,
        now: Instant,
        messages: u64,
        flood: PeerMisbehaved,
    ) -> Result<(), PeerMisbehaved> {
        if self.control.take(now, messages) {
            Ok(())
        } else {
            Err(flood)
        }
    }

    /// Whether it tells everybody which pieces to ask for, so that it gives each only once.
    pub(crate) fn deals(&self, now: Instant) -> bool {
        let since = |at: Instant| now.saturating_duration_since(at);
        self.suggested_at
            .is_some_and(|at| since(at) < SUGGESTIONS_AWAITED)
    }

    /// Whether the piece is given even while we choke.
    pub(crate) fn is_allowed_fast(&self, piece: PieceIndex) -> bool {
        self.fast && self.allowed_blocks_left > 0 && self.allowed_by_us.contains(&piece)
    }

    /// Where others dial it, as far as we know: where it listens, or else where it spoke from.
    pub(crate) fn dialled_at(&self) -> SocketAddr {
        self.listens_at.unwrap_or(self.address)
    }

    /// Whether it has everything, or all that it wants.
    pub(crate) fn is_finished(&self) -> bool {
        self.holdings.is_seed() || self.upload_only
    }

    /// Whether neither side wants anything.
    pub(crate) fn is_useless(&self) -> bool {
        !self.we_are_interested && !self.peer_is_interested
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn wasted_turns_cost_more_and_more_until_something_is_taken() {
        let start = Instant::now();
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let name = PeerId([1; 20]);
        let mut peer = Peer::new(start, address, Direction::Incoming, name, true, 4);
        let turn = |peer: &mut Peer, now: Instant, takes: bool| {
            (peer.we_choke, peer.we_choke_since) = (false, now);
            peer.turn_begins(now);
            let end = now + IDLE_AFTER;
            if takes {
                peer.took(end);
            }
            peer.turn_ends(end);
            peer.we_choke = true;
            let waits = (0..1_000).map(Duration::from_secs);
            let mut waits = waits.skip_while(|&wait| peer.is_idle(end + wait));
            waits.next().expect("it is forgiven")
        };
        let mut now = start;
        for factor in [1, 2, 4, 8, 16, 16, 16, 16, 16, 16, 16] {
            assert_eq!(turn(&mut peer, now, false), WASTER_PAUSE * factor);
            now += WASTER_PAUSE_MAX * 2;
        }
        assert_eq!(turn(&mut peer, now, true), Duration::ZERO);
        assert_eq!(turn(&mut peer, now, false), WASTER_PAUSE);
    }
}
