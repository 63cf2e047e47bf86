//! Deeds at a set time, for the tests that are about one thing.

use std::time::Duration;

use crate::plan::SECOND;
use crate::world::{Timer, World};

#[derive(Debug, Clone)]
pub(crate) enum Deed {
    Crash(usize),
    DiskFails(usize),
    DiskMended(usize),
    /// These and the others do not reach each other any more.
    Divide(Vec<usize>),
    Heal,
    /// So many bytes a second down.
    LimitDownload(usize, u64),
    Start(usize),
    /// What others say does not come to this node any more.
    StopReading(usize),
    TrackerDown,
    TrackerUp,
}

impl World {
    pub(crate) fn at(&mut self, second: u32, deed: Deed) {
        self.later(SECOND * second, Timer::Script(deed));
    }

    pub(crate) fn script(&mut self, deed: &Deed) {
        self.say(|| format!("{deed:?}"));
        match *deed {
            Deed::Crash(node) => self.crash(node),
            Deed::DiskFails(node) => self.disk_fails(node),
            Deed::DiskMended(node) => self.disk_mended(node),
            Deed::Divide(ref some) => {
                let hosts: Vec<_> = some.iter().map(|&node| self.nodes[node].host).collect();
                self.net.partition(&hosts);
            }
            Deed::Heal => self.net.heal(),
            Deed::LimitDownload(node, rate) => self.set_limits(node, None, Some(rate)),
            Deed::Start(node) => self.later(Duration::ZERO, Timer::Start { node }),
            Deed::StopReading(node) => {
                let others = self.nodes.iter().map(|other| other.host);
                let others = others.filter(|&other| other != self.nodes[node].host);
                let others: Vec<_> = others.collect();
                self.net.partition_one_way(&others);
            }
            Deed::TrackerDown => self.tracker.is_up = false,
            Deed::TrackerUp => self.tracker.is_up = true,
        }
    }
}
