//! What each source of peers is doing now, as an event and as words on the line.
//!
//! Schema: docs/json-events.md, `sources`. Says nothing itself; `view` does.

use std::time::{Duration, Instant};

use serde::Serialize;
use shoal_peer::shoal_dht::{Family, Snapshot as Node};
use shoal_peer::{Off, Seeking, TorrentSnapshot, TrackerStatus, WebSeedStatus};

use crate::units::Count;

/// Between two events when nothing but numbers changed. Source: docs/json-events.md.
const EVERY: Duration = Duration::from_secs(30);

/// What each source is doing.
#[derive(Debug, Serialize)]
pub(super) struct Sources {
    dht: Dht,
    lsd: Use,
    pex: Use,
    trackers: Vec<Tracker>,
    web_seeds: Vec<WebSeed>,
}

#[derive(Debug, Serialize)]
struct Dht {
    state: &'static str,
    why: Option<&'static str>,
    /// Nodes known, IPv4 and IPv6.
    nodes_v4: usize,
    nodes_v6: usize,
    /// Of the node, for all torrents.
    lookups: usize,
    /// Of the lookup that runs or ran last.
    found: usize,
    announced: usize,
    next_s: Option<u64>,
}

/// On or off.
#[derive(Debug, Serialize)]
struct Use {
    state: &'static str,
    why: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Tracker {
    url: String,
    state: &'static str,
    seeders: Option<u32>,
    leechers: Option<u32>,
    message: Option<String>,
    next_s: Option<u64>,
}

#[derive(Debug, Serialize)]
struct WebSeed {
    url: String,
    state: &'static str,
    message: Option<String>,
    next_s: Option<u64>,
}

impl Sources {
    /// `None` before anything is looked for.
    pub(super) fn new(snapshot: &TorrentSnapshot, node: Option<&Node>) -> Option<Self> {
        let finding = snapshot.finding?;
        let now = Instant::now();
        let trackers = snapshot.trackers.iter().map(|of| Tracker::new(of, now));
        let web_seeds = snapshot.web_seeds.iter().map(|of| WebSeed::new(of, now));
        Some(Self {
            dht: Dht::new(finding.dht, node, now),
            lsd: Use::new(finding.lsd),
            pex: Use::new(finding.pex),
            trackers: trackers.collect(),
            web_seeds: web_seeds.collect(),
        })
    }

    /// What is to be told when it changes.
    fn states(&self) -> Vec<&'static str> {
        let trackers = self.trackers.iter().map(|tracker| tracker.state);
        let web_seeds = self.web_seeds.iter().map(|seed| seed.state);
        let others = [self.dht.state, self.lsd.state, self.pex.state];
        others
            .into_iter()
            .chain(trackers)
            .chain(web_seeds)
            .collect()
    }

    /// For a line that has no peer to tell of: who is asked for some.
    pub(super) fn line(&self) -> String {
        let mut parts = Vec::new();
        let nodes = Count(self.dht.nodes_v4 + self.dht.nodes_v6, "node");
        match self.dht.state {
            "off" => {}
            "bootstrapping" => parts.push("the DHT looks for its first nodes".to_owned()),
            "looking" => parts.push(format!("DHT asks, {nodes} known")),
            _ => parts.push(format!("DHT rests, {nodes} known")),
        }
        let in_state = |state| {
            let trackers = self.trackers.iter();
            trackers.filter(|tracker| tracker.state == state).count()
        };
        let (asked, works) = (in_state("asking"), in_state("working"));
        match (self.trackers.len(), asked, works) {
            (0, ..) => {}
            (_, 0, 0) => parts.push("no tracker answers".to_owned()),
            (_, 0, works) => parts.push(format!("{} answered", Count(works, "tracker"))),
            (_, asked, _) => parts.push(format!("{} asked", Count(asked, "tracker"))),
        }
        parts.join(", ")
    }
}

impl Dht {
    fn new(seeking: Seeking, node: Option<&Node>, now: Instant) -> Self {
        let nodes = |family| {
            let families = node.iter().flat_map(|node| &node.families);
            let mut of_it = families.filter(|of| of.family == family);
            of_it.next().map_or(0, |of| of.nodes)
        };
        let (state, why, found, announced, next) = match seeking {
            Seeking::Off(off) => ("off", Some(reason(off)), 0, 0, None),
            Seeking::Looking { found } => ("looking", None, found, 0, None),
            Seeking::Resting {
                found,
                announced,
                next,
            } => ("resting", None, found, announced, Some(next)),
            _ => ("bootstrapping", None, 0, 0, None),
        };
        Self {
            state,
            why,
            nodes_v4: nodes(Family::V4),
            nodes_v6: nodes(Family::V6),
            lookups: node.map_or(0, |node| node.lookups),
            found,
            announced,
            next_s: seconds(next, now),
        }
    }
}

impl Use {
    fn new(used: Result<(), Off>) -> Self {
        Self {
            state: if used.is_ok() { "on" } else { "off" },
            why: used.err().map(reason),
        }
    }
}

impl Tracker {
    fn new(status: &TrackerStatus, now: Instant) -> Self {
        let state = match status {
            TrackerStatus { asking: true, .. } => "asking",
            TrackerStatus { working: true, .. } => "working",
            TrackerStatus { next: None, .. } => "given_up",
            TrackerStatus { failures: 0, .. } => "waiting",
            _ => "failing",
        };
        Self {
            url: status.url.clone(),
            state,
            seeders: status.seeders,
            leechers: status.leechers,
            message: status.message.clone(),
            next_s: seconds(status.next, now),
        }
    }
}

impl WebSeed {
    fn new(status: &WebSeedStatus, now: Instant) -> Self {
        let state = match status {
            WebSeedStatus { is_used: true, .. } => "giving",
            WebSeedStatus {
                is_banned: true, ..
            } => "banned",
            WebSeedStatus { next: None, .. } => "connecting",
            WebSeedStatus { error: Some(_), .. } => "failing",
            _ => "resting",
        };
        Self {
            url: status.url.clone(),
            state,
            message: status.error.clone(),
            next_s: seconds(status.next, now),
        }
    }
}

/// When it is worth an event.
#[derive(Debug, Default)]
pub(super) struct Teller {
    told: Option<(Instant, Vec<&'static str>)>,
}

impl Teller {
    /// Whether these are news, or were not told for long.
    pub(super) fn is_news(&mut self, sources: &Sources) -> bool {
        let states = sources.states();
        let same = |(at, old): &(Instant, _)| *old == states && at.elapsed() < EVERY;
        if self.told.as_ref().is_some_and(same) {
            return false;
        }
        self.told = Some((Instant::now(), states));
        true
    }
}

fn reason(off: Off) -> &'static str {
    match off {
        Off::Private => "private",
        Off::Proxy => "proxy",
        _ => "unwanted",
    }
}

fn seconds(at: Option<Instant>, now: Instant) -> Option<u64> {
    at.map(|at| at.saturating_duration_since(now).as_secs())
}
