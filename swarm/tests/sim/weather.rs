//! What goes wrong while a swarm runs, once a second by chance, and is mended after a while.

use std::time::Duration;

use shoal_simulation::{Faults, Rng};

use crate::plan::{KIB, SECOND};
use crate::world::{Timer, World};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Fault {
    /// Nothing arrives on a connection for a while.
    ClogConnection,
    /// A node dies; it comes back with its verified pieces.
    Crash,
    /// A connection breaks.
    CutConnection,
    /// A tracker's answer names an address where nobody lives.
    DeadAddress,
    /// A node's disk takes nothing for a while, and loses what it was about to write.
    DiskFailure,
    /// A complete node leaves for good.
    Leave,
    /// A dial gets no answer.
    LoseDial,
    /// A node accepts and says nothing.
    LoseHandshake,
    /// Some nodes are heard by nobody else for a while, and still hear.
    OneWayPartition,
    /// Some nodes and the others do not reach each other for a while.
    Partition,
    /// A node's disk takes a thousand times longer for a while.
    SlowDisk,
    /// A person sets a low limit for a while.
    Throttle,
    /// The tracker is away for a while.
    TrackerDown,
}

/// The kinds that are asked about once a second; the others when their occasion comes.
const EACH_SECOND: [Fault; 10] = [
    Fault::ClogConnection,
    Fault::Crash,
    Fault::CutConnection,
    Fault::DiskFailure,
    Fault::Leave,
    Fault::OneWayPartition,
    Fault::Partition,
    Fault::SlowDisk,
    Fault::Throttle,
    Fault::TrackerDown,
];

#[derive(Debug)]
pub(crate) struct Weather {
    pub(crate) faults: Faults<Fault>,
    pub(crate) rng: Rng,
    /// Kinds that struck and found a victim.
    pub(crate) done: std::collections::BTreeMap<Fault, u64>,
}

impl Weather {
    pub(crate) fn new(rng: &Rng, kinds: &[(Fault, f64)]) -> Self {
        let plan = |faults: Faults<Fault>, &(kind, often): &(Fault, f64)| faults.with(kind, often);
        Self {
            faults: kinds.iter().fold(Faults::new(rng), plan),
            rng: rng.fork("weather"),
            done: std::collections::BTreeMap::new(),
        }
    }

    /// Whether it strikes now; counted as done, for what cannot fail to find a victim.
    pub(crate) fn strikes(&mut self, kind: Fault) -> bool {
        let strikes = self.faults.strikes(kind);
        if strikes {
            *self.done.entry(kind).or_default() += 1;
        }
        strikes
    }

    fn a_while(&mut self, from: u64, to: u64) -> Duration {
        self.rng.duration(SECOND * u32(from)..=SECOND * u32(to))
    }
}

fn u32(number: u64) -> u32 {
    u32::try_from(number).expect("small")
}

impl World {
    /// A second of weather.
    pub(crate) fn storm(&mut self) {
        for kind in EACH_SECOND {
            if self.weather.faults.strikes(kind) && self.strike(kind) {
                *self.weather.done.entry(kind).or_default() += 1;
            }
        }
    }

    /// False: there was no victim.
    pub(crate) fn strike(&mut self, kind: Fault) -> bool {
        match kind {
            Fault::ClogConnection | Fault::CutConnection => self.strike_connection(kind),
            Fault::Crash | Fault::DiskFailure | Fault::SlowDisk | Fault::Throttle => {
                let up = |world: &Self, node: usize| world.nodes[node].brain.is_some();
                let Some(victim) = self.any_node(up) else {
                    return false;
                };
                self.strike_node(kind, victim);
                true
            }
            Fault::Leave => self.strike_leave(),
            Fault::OneWayPartition | Fault::Partition => {
                let mut some: Vec<_> = (0..self.nodes.len()).collect();
                self.weather.rng.shuffle(&mut some);
                some.truncate(1 + self.weather.rng.index(some.len() / 2));
                let mend = self.weather.a_while(5, 60);
                self.divide(&some, kind == Fault::Partition, mend);
                true
            }
            Fault::TrackerDown => {
                let mend = self.weather.a_while(10, 90);
                self.tracker.is_up = false;
                self.later(mend, Timer::TrackerUp);
                true
            }
            Fault::DeadAddress | Fault::LoseDial | Fault::LoseHandshake => false,
        }
    }

    fn strike_connection(&mut self, kind: Fault) -> bool {
        let all: Vec<_> = self.net.connections().collect();
        let Some(&victim) = self.weather.rng.pick(&all) else {
            return false;
        };
        self.say(|| format!("{kind:?} {victim:?}"));
        if kind == Fault::CutConnection {
            self.net.cut(victim);
        } else {
            let mend = self.weather.a_while(1, 30);
            self.net.clog(victim, mend);
        }
        true
    }

    pub(crate) fn strike_node(&mut self, kind: Fault, node: usize) {
        self.say(|| format!("{kind:?} of node {node}"));
        let life = self.nodes[node].life;
        match kind {
            Fault::Crash => {
                self.crash(node);
                let mend = self.weather.a_while(1, 40);
                self.later(mend, Timer::Start { node });
            }
            Fault::DiskFailure => {
                self.disk_fails(node);
                let mend = self.weather.a_while(2, 30);
                self.later(mend, Timer::DiskMended { node, life });
            }
            Fault::SlowDisk => {
                let disk = &mut self.nodes[node].disk;
                disk.speed.write = Duration::from_millis(50);
                disk.speed.verify = Duration::from_secs(2);
                disk.speed.read = Duration::from_millis(300);
                let mend = self.weather.a_while(5, 40);
                self.later(mend, Timer::DiskFastAgain { node });
            }
            _ => {
                let low = 4 * KIB + self.weather.rng.below(32 * KIB);
                self.set_limits(node, Some(low), Some(low * 2));
                let mend = self.weather.a_while(5, 40);
                self.later(mend, Timer::LimitsLifted { node, life });
            }
        }
    }

    fn strike_leave(&mut self) -> bool {
        let may_leave = |world: &Self, node: usize| world.may_leave(node);
        let Some(node) = self.any_node(may_leave) else {
            return false;
        };
        self.say(|| format!("node {node} leaves for good"));
        self.crash(node);
        self.nodes[node].gone = true;
        true
    }

    fn any_node(&mut self, fits: impl Fn(&Self, usize) -> bool) -> Option<usize> {
        let all: Vec<_> = (0..self.nodes.len())
            .filter(|&node| fits(self, node))
            .collect();
        self.weather.rng.pick(&all).copied()
    }

    /// Everything that is broken is mended, and nothing breaks any more.
    pub(crate) fn calm(&mut self) {
        self.say(|| "the weather is calm from here on".to_owned());
        self.weather.faults.stop();
        self.net.heal();
        self.tracker.is_up = true;
        for node in 0..self.nodes.len() {
            let life = self.nodes[node].life;
            self.later(Duration::ZERO, Timer::Start { node });
            self.later(Duration::ZERO, Timer::DiskMended { node, life });
            self.later(Duration::ZERO, Timer::DiskFastAgain { node });
            self.later(Duration::ZERO, Timer::LimitsLifted { node, life });
        }
    }
}
