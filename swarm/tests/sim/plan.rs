//! What a run is made of: a torrent, nodes, their lines, what will go wrong. Everything that a
//! scenario chooses is chosen here, before the first event.

use std::time::Duration;

use shoal_metainfo::Bitfield;
use shoal_simulation::{HostConfig, LinkConfig, Rng};

use crate::adversary::Trick;
use crate::content::Content;
use crate::disk::DiskSpeed;
use crate::liar::Lie;
use crate::weather::Fault;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const KIB: u64 = 1 << 10;
pub(crate) const MIB: u64 = 1 << 20;

#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) content: Content,
    pub(crate) nodes: Vec<NodePlan>,
    pub(crate) link: LinkConfig,
    /// Each kind with its probability a second (or each dial, each connection, each answer).
    pub(crate) faults: Vec<(Fault, f64)>,
    /// When the faults stop and everything is mended.
    pub(crate) calm_at: Duration,
    /// How long after that everybody must be complete.
    pub(crate) patience: Duration,
}

#[derive(Debug, Clone)]
pub(crate) struct NodePlan {
    pub(crate) role: Role,
    pub(crate) line: HostConfig,
    pub(crate) have: Bitfield,
    /// The pieces that its person chose; `None`: all.
    pub(crate) wanted: Option<Bitfield>,
    pub(crate) joins_at: Duration,
    /// Nobody can dial it.
    pub(crate) firewalled: bool,
    /// Knows no tracker, but this node.
    pub(crate) introduced_by: Option<usize>,
    /// Begins with the torrent's name alone, in each life.
    pub(crate) magnet: bool,
    /// Speaks BEP 3 alone.
    pub(crate) plain: bool,
    /// Tells this as its `reqq` in place of the brain's.
    pub(crate) reqq: Option<u32>,
    pub(crate) disk: DiskSpeed,
    /// The limit that the person set.
    pub(crate) upload_limit: Option<u64>,
    /// May leave for good when it is complete and its pieces are elsewhere too.
    pub(crate) leaves: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Role {
    Honest,
    /// Spoils each block that it serves with this probability.
    Poisoner(f64),
    /// Lies about metadata.
    Liar(Lie),
    Adversary(Trick),
}

impl Plan {
    /// Nobody and nothing wrong yet.
    pub(crate) fn new(seed: u64, pieces: u32, blocks_a_piece: u32) -> Self {
        Self {
            seed,
            content: Content::new(pieces, blocks_a_piece),
            nodes: Vec::new(),
            link: LinkConfig {
                latency: (Duration::from_millis(5), Duration::from_millis(120)),
                jitter: Duration::from_millis(20),
            },
            faults: Vec::new(),
            calm_at: Duration::ZERO,
            patience: Duration::from_secs(600),
        }
    }

    pub(crate) fn rng(&self) -> Rng {
        Rng::new(self.seed)
    }

    fn pieces(&self) -> u32 {
        self.content.geometry.pieces()
    }

    /// Somebody who has everything.
    pub(crate) fn seed(&self, upload_bytes_per_s: u64) -> NodePlan {
        NodePlan {
            role: Role::Honest,
            line: HostConfig {
                upload_bytes_per_s: Some(upload_bytes_per_s),
                download_bytes_per_s: Some(10 * upload_bytes_per_s),
            },
            have: Bitfield::all(self.pieces()),
            wanted: None,
            joins_at: Duration::ZERO,
            firewalled: false,
            introduced_by: None,
            magnet: false,
            plain: false,
            reqq: None,
            disk: DiskSpeed::FAST,
            upload_limit: None,
            leaves: false,
        }
    }

    /// Somebody who has nothing.
    pub(crate) fn leecher(&self, upload_bytes_per_s: u64) -> NodePlan {
        NodePlan {
            have: Bitfield::none(self.pieces()),
            ..self.seed(upload_bytes_per_s)
        }
    }

    /// Adds `count` leechers with lines between 16 and 256 KiB/s up, as homes have them.
    pub(crate) fn add_homes(&mut self, rng: &mut Rng, count: usize) {
        for _ in 0..count {
            let up = (16 * KIB) << rng.below(4);
            let up = up + rng.below(up);
            let mut node = self.leecher(up);
            node.line.download_bytes_per_s = rng.chance(0.8).then_some(up * (2 + rng.below(8)));
            self.nodes.push(node);
        }
    }
}

/// A swarm of 30 under churn: everything by chance that a scenario can vary.
pub(crate) fn churn(seed: u64) -> Plan {
    let rng = &mut Rng::new(seed).fork("plan");
    let pieces = u32::try_from(20 + rng.below(41)).expect("small");
    let mut plan = Plan::new(
        seed,
        pieces,
        u32::try_from(2 + rng.below(3)).expect("small"),
    );
    let seeds = 1 + rng.below(3);
    for _ in 0..seeds {
        let node = plan.seed(64 * KIB + rng.below(448 * KIB));
        plan.nodes.push(node);
    }
    plan.add_homes(rng, 30 - plan.nodes.len());
    for (nth, node) in plan.nodes.iter_mut().enumerate() {
        let first = nth == 0;
        node.leaves = rng.chance(0.5);
        node.joins_at = match rng.below(3) {
            0 if !first => rng.duration(Duration::ZERO..=SECOND * 70),
            _ => rng.duration(Duration::ZERO..=SECOND),
        };
        node.firewalled = !first && rng.chance(0.2);
        node.plain = rng.chance(0.15);
        node.reqq = rng
            .chance(0.1)
            .then(|| 1 + u32::try_from(rng.below(8)).expect("small"));
        node.upload_limit = rng.chance(0.2).then(|| 24 * KIB + rng.below(100 * KIB));
        if rng.chance(0.1) {
            node.disk = DiskSpeed {
                write: rng.duration(Duration::ZERO..=Duration::from_millis(40)),
                verify: rng.duration(Duration::ZERO..=Duration::from_millis(800)),
                read: rng.duration(Duration::ZERO..=Duration::from_millis(60)),
            };
        }
    }
    plan.link.latency.1 = rng.duration(Duration::from_millis(5)..=Duration::from_millis(300));
    plan.link.jitter = rng.duration(Duration::ZERO..=Duration::from_millis(60));
    let usual = [
        (Fault::ClogConnection, 0.3),
        (Fault::Crash, 0.06),
        (Fault::CutConnection, 0.5),
        (Fault::DeadAddress, 0.3),
        (Fault::DiskFailure, 0.04),
        (Fault::LoseDial, 0.05),
        (Fault::LoseHandshake, 0.02),
        (Fault::Leave, 0.1),
        (Fault::OneWayPartition, 0.015),
        (Fault::Partition, 0.015),
        (Fault::SlowDisk, 0.04),
        (Fault::Throttle, 0.1),
        (Fault::TrackerDown, 0.02),
    ];
    // Not every world is equally bad: some are calm, some have a few kinds only, thrice as often.
    let badness = rng.below(4);
    plan.faults = usual
        .into_iter()
        .filter(|_| badness == 3 || rng.chance(0.7))
        .map(|(kind, often)| (kind, often * badness as f64))
        .collect();
    plan.calm_at = SECOND * 90;
    plan.patience = SECOND * 400;
    plan
}
