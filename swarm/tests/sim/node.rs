//! One node: a brain, and what the shell keeps for it. The deeds are in `shell`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use shoal_metainfo::{Bitfield, InfoHash, PeerId, PieceIndex};
use shoal_simulation::{End, HostId, Rng};
use shoal_swarm::holdings::Holdings;
use shoal_swarm::{Config, Input, PeerKey, Source, Swarm};
use shoal_wire::{Extensions, Handshake};

use crate::content::Content;
use crate::disk::Disk;
use crate::plan::{NodePlan, Role};
use crate::watch::Watch;

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) plan: NodePlan,
    info_hash: InfoHash,
    pub(crate) host: HostId,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// `None` while it is dead, for adversaries always.
    pub(crate) brain: Option<Swarm>,
    /// It will not come back.
    pub(crate) gone: bool,
    pub(crate) disk: Disk,
    /// What is verified: survives crashes, as a journal does.
    pub(crate) have: Bitfield,
    /// Lives so far: timers of an earlier one mean nothing.
    pub(crate) life: u64,
    pub(crate) name: PeerId,

    pub(crate) dials: BTreeMap<End, SocketAddr>,
    pub(crate) greetings: BTreeMap<End, Greeting>,
    pub(crate) keys: BTreeMap<End, PeerKey>,
    pub(crate) links: BTreeMap<PeerKey, Link>,
    next_key: u64,

    pub(crate) wake_at: Option<Instant>,
    pub(crate) announces_at: Option<Instant>,
    pub(crate) announced_at: Option<Instant>,

    /// Who sent the block that was written there last: by piece and number of the block.
    pub(crate) writers: BTreeMap<(PieceIndex, usize), usize>,
    /// Who spoiled a piece that is still not good.
    pub(crate) accused: BTreeMap<PieceIndex, BTreeSet<usize>>,
    /// Who spoiled a piece that is good now: the evidence is complete.
    pub(crate) must_ban: BTreeSet<usize>,
    /// Whom the brain banned.
    pub(crate) banned: BTreeSet<usize>,

    pub(crate) record: Record,
}

/// What came of a node, over all its lives.
#[derive(Debug, Default, Clone)]
pub(crate) struct Record {
    pub(crate) inputs: u64,
    pub(crate) complete_at: Option<Instant>,
    /// Payload bytes that left its line.
    pub(crate) sent: u64,
    /// Payload bytes that came.
    pub(crate) received: u64,
    /// As its brain counts it, earlier lives included.
    pub(crate) wasted: u64,
    pub(crate) pieces_failed: u64,
    pub(crate) choke_changes: u64,
    /// Of a magnet: metadata that was taken for true, and that was found to be wrong.
    pub(crate) metadata_found: u64,
    pub(crate) metadata_failed: u64,
    /// Of a liar: requests for metadata that it answered, or left unanswered.
    pub(crate) lies: u64,
}

/// A connection whose handshakes are under way.
#[derive(Debug)]
pub(crate) struct Greeting {
    /// What was dialled, if it was.
    pub(crate) dialled: Option<SocketAddr>,
    /// Where they come from.
    pub(crate) address: SocketAddr,
    pub(crate) other: usize,
    /// Bytes of payload in each message that waits for the line: none yet.
    pub(crate) outbox: VecDeque<Option<u32>>,
}

/// A connection that the brain knows.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) end: End,
    pub(crate) other: usize,
    /// Messages on their way to the line; of blocks the bytes.
    pub(crate) outbox: VecDeque<Option<u32>>,
    /// How the other numbers `ut_metadata`.
    pub(crate) ut_metadata: Option<u8>,
    /// The brain closed it.
    pub(crate) closing: bool,
    pub(crate) watch: Watch,
}

impl Node {
    pub(crate) fn new(content: &Content, host: HostId, plan: NodePlan) -> Self {
        let number = u32::try_from(host.index()).expect("few nodes");
        let ip = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 1)) + number * 256);
        Self {
            info_hash: content.info_hash,
            disk: Disk::new(content, &plan.have, plan.disk),
            have: plan.have.clone(),
            host,
            address: SocketAddr::from((ip, 6881)),
            brain: None,
            gone: false,
            life: 0,
            name: PeerId([0; 20]),
            dials: BTreeMap::new(),
            greetings: BTreeMap::new(),
            keys: BTreeMap::new(),
            links: BTreeMap::new(),
            next_key: 0,
            wake_at: None,
            announces_at: None,
            announced_at: None,
            writers: BTreeMap::new(),
            accused: BTreeMap::new(),
            must_ban: BTreeSet::new(),
            banned: BTreeSet::new(),
            record: Record::default(),
            plan,
        }
    }

    /// A new life. Programs choose a new name at each start.
    pub(crate) fn start(&mut self, content: &Content, rng: &Rng, now: Instant) {
        let mut rng = rng.fork(format_args!(
            "node {} life {}",
            self.host.index(),
            self.life
        ));
        let mut random = [0; 12];
        rng.fill(&mut random);
        self.name = PeerId::ours(random);
        if matches!(self.plan.role, Role::Adversary(_)) {
            return;
        }
        let config = Config {
            info_hash: content.info_hash,
            peer_id: self.name,
            listen_port: Some(self.address.port()),
            peers_max: 50,
            unchoke_slots: 4,
            upload_bytes_per_s: self.plan.upload_limit,
            download_bytes_per_s: None,
            private: false,
            pex: true,
        };
        let source = Source::Verified {
            geometry: content.geometry,
            have: self.have.clone(),
        };
        let seed = rng.below(u64::MAX);
        if self.plan.magnet {
            let mut brain = Swarm::new(config, Source::Metadata, seed, now);
            self.choose(&mut brain, now);
            self.brain = Some(brain);
            return;
        }
        let mut brain = Swarm::new(config, source, seed, now);
        self.choose(&mut brain, now);
        if !content.info.is_empty() {
            let bytes = content.info.clone();
            brain.handle(now, Input::Info { bytes });
        }
        self.brain = Some(brain);
    }

    fn choose(&self, brain: &mut Swarm, now: Instant) {
        if let Some(pieces) = self.plan.wanted.clone() {
            brain.handle(now, Input::Only { pieces });
        }
    }

    pub(crate) fn crash(&mut self, now: Instant) {
        if let Some(brain) = self.brain.take() {
            self.record.wasted += brain.snapshot(now).wasted;
        }
        self.life += 1;
        self.dials.clear();
        self.greetings.clear();
        self.keys.clear();
        self.links.clear();
        self.wake_at = None;
        self.announces_at = None;
        self.announced_at = None;
        self.writers.clear();
        self.accused.clear();
        self.must_ban.clear();
        self.banned.clear();
        self.disk.crash();
        self.disk.speed = self.plan.disk;
    }

    pub(crate) fn handshake(&self) -> Handshake {
        let plain = self.plan.plain;
        Handshake {
            extensions: if plain {
                Extensions::default()
            } else {
                Extensions::OURS
            },
            info_hash: self.info_hash,
            peer_id: self.name,
        }
    }

    /// A key that was never used before.
    pub(crate) fn new_key(&mut self) -> PeerKey {
        self.next_key += 1;
        PeerKey(self.next_key)
    }

    pub(crate) fn is_honest(&self) -> bool {
        self.plan.role == Role::Honest
    }

    pub(crate) fn is_complete(&self) -> bool {
        match &self.plan.wanted {
            None => self.have.is_full(),
            Some(wanted) => Holdings::new(wanted.clone()).count_outside(&self.have) == 0,
        }
    }

    pub(crate) fn has(&self, piece: PieceIndex) -> bool {
        self.have.has(piece)
    }

    pub(crate) fn wasted(&self, now: Instant) -> u64 {
        let brain = self.brain.as_ref();
        self.record.wasted + brain.map_or(0, |brain| brain.snapshot(now).wasted)
    }
}
