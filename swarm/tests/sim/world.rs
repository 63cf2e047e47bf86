//! The world: nodes on a net, one event after the other until everybody is complete.
//!
//! Checks as it goes: S1 and S2 when a piece is marked, S3 to S5 at each deed, S6 at each ban; L1
//! by the deadline. What the letters say is in `main`.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use shoal_metainfo::{Bitfield, Block, PieceIndex};
use shoal_simulation::{End, Event, HostId, Net, Rng};
use shoal_swarm::io::CandidateSource;
use shoal_swarm::{Input, PeerKey};
use shoal_wire::{Handshake, Message};

use crate::adversary::Adversary;
use crate::content::Content;
use crate::node::Node;
use crate::outcome::Outcome;
use crate::plan::{Plan, Role, SECOND};
use crate::script::Deed;
use crate::tracker::{ANSWERS_AFTER, INTERVAL, MIN_INTERVAL, RETRY, Tracker};
use crate::weather::{Fault, Weather};

/// What travels on a connection.
#[derive(Debug, Clone)]
pub(crate) enum Wire {
    Handshake(Handshake),
    Message(Message),
}

#[derive(Debug)]
pub(crate) enum Timer {
    Announce {
        node: usize,
        life: u64,
    },
    Answer {
        node: usize,
        life: u64,
        addresses: Vec<SocketAddr>,
    },
    Calm,
    Checked {
        node: usize,
        life: u64,
    },
    DialLate {
        node: usize,
        life: u64,
        address: SocketAddr,
    },
    DiskFastAgain {
        node: usize,
    },
    DiskMended {
        node: usize,
        life: u64,
    },
    HandshakeLate {
        node: usize,
        end: End,
    },
    Heal,
    /// The disk has been checked, now that it is known for what.
    Known {
        node: usize,
        life: u64,
    },
    LimitsLifted {
        node: usize,
        life: u64,
    },
    Read {
        node: usize,
        life: u64,
        peer: PeerKey,
        block: Block,
    },
    Script(Deed),
    Second,
    Start {
        node: usize,
    },
    TrackerUp,
    Trick {
        node: usize,
    },
    Wake {
        node: usize,
        life: u64,
    },
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) net: Net<Wire, Timer>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) adversaries: BTreeMap<usize, Adversary>,
    pub(crate) tracker: Tracker,
    pub(crate) weather: Weather,
    pub(crate) content: Content,
    pub(crate) rng: Rng,
    pub(crate) by_address: BTreeMap<SocketAddr, usize>,
    /// Facts that follow from deeds at once: told when the brain has said all.
    pub(crate) inbox: VecDeque<(usize, Input)>,
    pub(crate) telling: bool,
    pub(crate) next_port: u16,
    pub(crate) begin: Instant,
    verbose: bool,
    /// Somebody may be complete now who was not.
    pub(crate) look: bool,
    deadline: Duration,
    /// This node must ask for nothing between the two times.
    pub(crate) quiet: Option<(usize, Duration, Duration)>,
    /// Pieces that somebody has who came without them.
    pub(crate) out: Bitfield,
    /// When all were, and what those had sent by then who came with them.
    pub(crate) first_copy: Option<(Duration, u64)>,
}

impl World {
    pub(crate) fn new(plan: Plan, verbose: bool) -> Self {
        let rng = plan.rng();
        let mut net = Net::new(&rng, plan.link);
        let mut nodes = Vec::new();
        let mut adversaries = BTreeMap::new();
        for (number, node) in plan.nodes.iter().enumerate() {
            let host = net.add_host(node.line);
            if let Role::Adversary(trick) = node.role {
                adversaries.insert(number, Adversary::new(trick, rng.fork(number)));
            }
            net.schedule_after(node.joins_at, Timer::Start { node: number });
            nodes.push(Node::new(&plan.content, host, node.clone()));
        }
        if !plan.faults.is_empty() {
            net.schedule_after(SECOND, Timer::Second);
            net.schedule_after(plan.calm_at, Timer::Calm);
        }
        let by_address = nodes.iter().enumerate();
        Self {
            by_address: by_address
                .map(|(number, node)| (node.address, number))
                .collect(),
            tracker: Tracker::new(&rng),
            weather: Weather::new(&rng, &plan.faults),
            begin: net.now(),
            net,
            nodes,
            adversaries,
            out: Bitfield::none(plan.content.geometry.pieces()),
            first_copy: None,
            content: plan.content,
            rng,
            inbox: VecDeque::new(),
            telling: false,
            next_port: 20_000,
            verbose,
            look: false,
            deadline: plan.calm_at + plan.patience,
            quiet: None,
        }
    }

    /// Lets it run until every honest node is complete.
    pub(crate) fn run(mut self) -> Outcome {
        while !self.is_over() {
            let event = self
                .net
                .next_event()
                .expect("brains have timers while they want pieces");
            self.take(event);
            assert!(
                self.net.elapsed() <= self.deadline,
                "L1: {}",
                self.who_is_late()
            );
        }
        Outcome::new(self)
    }

    fn is_over(&mut self) -> bool {
        if !self.look {
            return false;
        }
        self.look = false;
        let mut honest = self
            .nodes
            .iter()
            .filter(|node| node.is_honest() && !node.gone);
        honest.all(Node::is_complete)
    }

    fn take(&mut self, event: Event<Wire, Timer>) {
        match event {
            Event::Timer(timer) => self.ring(timer),
            Event::Opened { host, end, other } => {
                let (node, other) = (host.index(), other.index());
                if self.adversaries.contains_key(&node) {
                    self.trick_opened(node, end, other);
                } else {
                    self.opened(node, end, other);
                }
            }
            Event::Refused { host, end } => {
                if !self.adversaries.contains_key(&host.index()) {
                    self.dial_failed(host.index(), end);
                }
            }
            Event::Delivered {
                host,
                end,
                messages,
            } => {
                let node = host.index();
                if self.adversaries.contains_key(&node) {
                    self.trick_heard(node, end, messages);
                } else {
                    self.delivered(node, end, messages);
                }
            }
            Event::Sent {
                host,
                end,
                messages,
                ..
            } => self.left(host.index(), end, messages),
            Event::Closed { host, end } => {
                if let Some(adversary) = self.adversaries.get_mut(&host.index()) {
                    adversary.closed(end);
                } else {
                    self.closed(host.index(), end);
                }
            }
        }
    }

    fn ring(&mut self, timer: Timer) {
        match timer {
            Timer::Announce { node, life } if self.lives(node, life) => self.announce(node),
            Timer::Answer {
                node,
                life,
                addresses,
            } if self.lives(node, life) => self.answered(node, addresses),
            Timer::Calm => self.calm(),
            Timer::Checked { node, life } if self.lives(node, life) => self.checked(node),
            Timer::DialLate {
                node,
                life,
                address,
            } if self.lives(node, life) => self.feed(node, Input::DialFailed { address }),
            Timer::DiskFastAgain { node } => {
                self.nodes[node].disk.speed = self.nodes[node].plan.disk;
            }
            Timer::DiskMended { node, life } if self.lives(node, life) => self.disk_mended(node),
            Timer::HandshakeLate { node, end } => self.handshake_late(node, end),
            Timer::Heal => self.net.heal(),
            Timer::Known { node, life } if self.lives(node, life) => self.known(node),
            Timer::LimitsLifted { node, life } if self.lives(node, life) => {
                self.set_limits(node, self.nodes[node].plan.upload_limit, None);
            }
            Timer::Read {
                node,
                life,
                peer,
                block,
            } if self.lives(node, life) => self.serve_now(node, peer, block),
            Timer::Script(deed) => self.script(&deed),
            Timer::Second => {
                self.storm();
                self.look = true;
                self.later(SECOND, Timer::Second);
            }
            Timer::Start { node } => self.start(node),
            Timer::TrackerUp => self.tracker.is_up = true,
            Timer::Trick { node } => self.trick(node),
            Timer::Wake { node, life } if self.lives(node, life) => self.wake(node),
            // Of an earlier life.
            _ => {}
        }
    }

    fn lives(&self, node: usize, life: u64) -> bool {
        let node = &self.nodes[node];
        node.life == life && node.brain.is_some()
    }

    pub(crate) fn later(&mut self, delay: Duration, timer: Timer) {
        self.net.schedule_after(delay, timer);
    }

    fn start(&mut self, number: usize) {
        let now = self.net.now();
        let node = &mut self.nodes[number];
        if node.gone || node.brain.is_some() {
            return;
        }
        if !self.net.is_alive(node.host) {
            self.net.restart(node.host);
        }
        node.start(&self.content, &self.rng, now);
        let life = node.life;
        if self.adversaries.contains_key(&number) {
            self.later(Duration::ZERO, Timer::Trick { node: number });
            return;
        }
        self.say(|| format!("node {number} starts, life {life}"));
        self.plan_announce(number, now);
        if let Some(other) = self.nodes[number].plan.introduced_by {
            let (source, addresses) = (CandidateSource::User, vec![self.nodes[other].address]);
            self.feed(number, Input::Candidates { source, addresses });
        }
        self.rearm(number);
        self.look = true;
    }

    pub(crate) fn crash(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        self.net.crash(node.host);
        node.crash(self.net.now());
    }

    /// Somebody has got the piece.
    pub(crate) fn piece_is_out(&mut self, piece: PieceIndex) {
        if self.out.insert(piece) && self.out.is_full() {
            let sources = self.nodes.iter().filter(|node| node.plan.have.is_full());
            let sent = sources.map(|node| node.record.sent).sum();
            self.first_copy = Some((self.net.elapsed(), sent));
        }
    }

    /// Whether the rest has all of its pieces twice, in hands that stay.
    pub(crate) fn may_leave(&self, number: usize) -> bool {
        let node = &self.nodes[number];
        if node.gone || !node.plan.leaves || !node.is_complete() || !node.is_honest() {
            return false;
        }
        let stay = |other: &&Node| other.is_honest() && !other.gone && other.host != node.host;
        self.content.geometry.all_pieces().all(|piece| {
            let stayers = self.nodes.iter().filter(stay);
            stayers.filter(|other| other.has(piece)).take(2).count() == 2
        })
    }

    /// Cuts these off from the others, or only what they say.
    pub(crate) fn divide(&mut self, some: &[usize], both_ways: bool, mend: Duration) {
        self.say(|| format!("partition of {some:?}, both ways: {both_ways}, for {mend:?}"));
        let hosts: Vec<HostId> = some.iter().map(|&node| self.nodes[node].host).collect();
        if both_ways {
            self.net.partition(&hosts);
        } else {
            self.net.partition_one_way(&hosts);
        }
        self.later(mend, Timer::Heal);
    }

    /// Lets the tracker be asked at that time, or when it may.
    pub(crate) fn plan_announce(&mut self, number: usize, at: Instant) {
        let node = &mut self.nodes[number];
        if node.plan.introduced_by.is_some() {
            return;
        }
        let soonest = node.announced_at.map_or(at, |last| last + MIN_INTERVAL);
        let at = at.max(soonest);
        if node.announces_at.is_none_or(|planned| at < planned) {
            node.announces_at = Some(at);
            let life = node.life;
            let timer = Timer::Announce { node: number, life };
            self.net.schedule_at(at, timer);
        }
    }

    fn announce(&mut self, number: usize) {
        let now = self.net.now();
        let node = &mut self.nodes[number];
        if node.announces_at != Some(now) {
            return;
        }
        node.announces_at = None;
        let (life, address) = (node.life, node.address);
        let Some(mut addresses) = self.tracker.announce(address) else {
            self.plan_announce(number, now + RETRY);
            return;
        };
        if self.weather.strikes(Fault::DeadAddress) {
            addresses.push(SocketAddr::from(([192, 0, 2, 1], 1 + self.next_port)));
        }
        self.nodes[number].announced_at = Some(now);
        let answer = Timer::Answer {
            node: number,
            life,
            addresses,
        };
        self.later(ANSWERS_AFTER, answer);
        self.plan_announce(number, now + INTERVAL);
    }

    /// Lets the brain's own timer ring in time.
    pub(crate) fn rearm(&mut self, number: usize) {
        let now = self.net.now();
        let node = &mut self.nodes[number];
        let Some(due) = node.brain.as_ref().and_then(shoal_swarm::Swarm::timeout) else {
            return;
        };
        let due = due.max(now);
        if node.wake_at.is_none_or(|planned| due < planned) {
            node.wake_at = Some(due);
            let life = node.life;
            self.net
                .schedule_at(due, Timer::Wake { node: number, life });
        }
    }

    fn wake(&mut self, number: usize) {
        let now = self.net.now();
        let node = &mut self.nodes[number];
        if node.wake_at != Some(now) {
            return;
        }
        node.wake_at = None;
        let due = node.brain.as_ref().and_then(shoal_swarm::Swarm::timeout);
        if due.is_some_and(|due| due <= now) {
            self.feed(number, Input::Timeout);
            let due = self.nodes[number]
                .brain
                .as_ref()
                .and_then(shoal_swarm::Swarm::timeout);
            assert!(
                due.is_none_or(|due| due > now),
                "node {number} spins on its timer"
            );
        } else {
            self.rearm(number);
        }
    }

    /// A line of the log, when one seed is replayed.
    pub(crate) fn say(&self, line: impl FnOnce() -> String) {
        if self.verbose {
            println!("{:>10.3} {}", self.net.elapsed().as_secs_f64(), line());
        }
    }

    fn who_is_late(&self) -> String {
        let now = self.net.now();
        let late = self.nodes.iter().enumerate();
        let late = late.filter(|(_, node)| node.is_honest() && !node.gone && !node.is_complete());
        let lines = late.map(|(number, node)| {
            let Some(brain) = &node.brain else {
                return format!("node {number} is dead");
            };
            let state = brain.snapshot(now);
            let helpful = state.peers.iter().filter(|peer| peer.we_are_interested);
            let helpful: Vec<_> = helpful
                .map(|peer| (peer.address, peer.peer_chokes, peer.blocks_in_flight))
                .collect();
            format!(
                "node {number}: {} of {} pieces, {} peers, {} candidates, banned {}, \
                 disk failed {}, interesting (address, chokes, in flight): {helpful:?}",
                state.pieces_have,
                state.pieces,
                state.peers.len(),
                state.candidates,
                state.banned,
                state.disk_failed,
            )
        });
        let lines: Vec<_> = lines.collect();
        format!("not complete in time:\n{}", lines.join("\n"))
    }
}
