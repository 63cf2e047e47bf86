//! What came of a run: the last checks, and the figures.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::adversary::Trick;
use crate::node::Node;
use crate::plan::Role;
use crate::weather::Fault;
use crate::world::World;

#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) nodes: Vec<Node>,
    pub(crate) took: Duration,
    /// Of every event and deed.
    pub(crate) fingerprint: (u64, u64),
    /// Faults that found a victim.
    pub(crate) faults: BTreeMap<Fault, u64>,
    /// Messages of each trick.
    pub(crate) played: BTreeMap<Trick, u64>,
    /// Bytes of the torrent.
    pub(crate) total: u64,
    pub(crate) begin: Instant,
    /// When every piece was with somebody who came without it, and what the seeds had sent then.
    pub(crate) first_copy: Option<(Duration, u64)>,
    now: Instant,
}

impl Outcome {
    pub(crate) fn new(mut world: World) -> Self {
        for (number, node) in world.nodes.iter().enumerate() {
            if let Some(brain) = &node.brain {
                brain.check_invariants();
                // Restarted a moment ago, a magnet does not know what it has.
                if brain.is_live() {
                    assert_eq!(brain.have(), &node.have, "node {number} lost count");
                }
            }
            for piece in world
                .content
                .geometry
                .all_pieces()
                .filter(|&piece| node.has(piece))
            {
                let right = node.disk.is_true(&world.content, piece);
                assert!(
                    right,
                    "S2: node {number} has {piece}, which is wrong on its disk"
                );
            }
            let unpunished: Vec<_> = node.must_ban.difference(&node.banned).collect();
            assert!(
                unpunished.is_empty(),
                "node {number} speaks on with poisoners {unpunished:?}"
            );
        }
        let played = world
            .adversaries
            .values()
            .map(|other| (other.trick, other.played));
        Self {
            took: world.net.elapsed(),
            fingerprint: world.net.trace().fingerprint(),
            faults: world.weather.done,
            played: played.collect(),
            total: world.content.geometry.total(),
            begin: world.begin,
            first_copy: world.first_copy,
            now: world.net.now(),
            nodes: world.nodes,
        }
    }

    pub(crate) fn honest(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.is_honest())
    }

    /// Payload that honest nodes received in vain, by what they received.
    pub(crate) fn waste(&self) -> f64 {
        let wasted: u64 = self.honest().map(|node| node.wasted(self.now)).sum();
        let received: u64 = self.honest().map(|node| node.record.received).sum();
        wasted as f64 / received.max(1) as f64
    }

    /// How many honest nodes banned somebody, and how many poisoners were banned by anybody.
    pub(crate) fn bans(&self) -> (usize, usize) {
        let banning = self.honest().filter(|node| !node.banned.is_empty()).count();
        let banned = self.honest().flat_map(|node| node.banned.iter());
        let banned: std::collections::BTreeSet<_> = banned.collect();
        (banning, banned.len())
    }

    pub(crate) fn poisoners(&self) -> usize {
        let poisoners = self
            .nodes
            .iter()
            .filter(|node| matches!(node.plan.role, Role::Poisoner(_)));
        poisoners.count()
    }
}
