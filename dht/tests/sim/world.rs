//! Nodes and the datagrams between them.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use shoal_dht::{Config, Contact, Event, Input, LookupKey, Node, NodeId, Output, Saved, Task};
use shoal_simulation::{EventQueue, Rng, Trace};

use crate::sybil::Ring;

/// One way, so that a round trip takes about 100 ms.
const LATENCY: (Duration, Duration) = (Duration::from_millis(40), Duration::from_millis(60));

/// What may happen.
enum Happening {
    Datagram {
        from: SocketAddr,
        to: usize,
        bytes: Vec<u8>,
    },
    Wake(usize),
}

/// Who lives at an address.
enum Who {
    Honest(Box<Node>),
    Dead,
    Sybil,
}

struct Host {
    address: SocketAddr,
    /// Of honest ones, which keep theirs.
    id: Option<NodeId>,
    who: Who,
    /// When it is woken, so that it is woken once.
    wake: Option<Instant>,
}

/// All of it.
pub(crate) struct World {
    queue: EventQueue<Happening>,
    pub(crate) rng: Rng,
    hosts: Vec<Host>,
    places: BTreeMap<SocketAddr, usize>,
    loss: f64,
    pub(crate) lost: u64,
    pub(crate) datagrams: u64,
    pub(crate) ring: Ring,
    pub(crate) trace: Trace,
    keys: u64,
    /// What was said of tasks: by whom, when.
    pub(crate) said: Vec<(usize, Instant, Event)>,
}

impl World {
    pub(crate) fn new(seed: u64, loss: f64) -> Self {
        Self {
            queue: EventQueue::new(),
            rng: Rng::new(seed),
            hosts: Vec::new(),
            places: BTreeMap::new(),
            loss,
            lost: 0,
            datagrams: 0,
            ring: Ring::default(),
            trace: Trace::default(),
            keys: 0,
            said: Vec::new(),
        }
    }

    /// So many honest nodes, one after the other; each knows three earlier ones.
    pub(crate) fn populate(&mut self, count: usize) {
        for _ in 0..count {
            self.join();
            self.run_for(Duration::from_millis(20));
        }
    }

    /// So many honest nodes at the same moment, each told of the first alone.
    pub(crate) fn begin_at_once(&mut self, count: usize) {
        for _ in 0..count {
            self.join_knowing(Vec::new());
        }
        let (now, first) = (self.queue.now(), self.hosts[0].address);
        for host in 1..count {
            if let Who::Honest(node) = &mut self.hosts[host].who {
                let addresses = vec![first];
                node.handle(now, Input::Bootstrap { addresses });
            }
            self.carry_out(host);
        }
    }

    fn join(&mut self) {
        let known: Vec<usize> = (0..3.min(self.hosts.len()))
            .map(|_| self.rng.index(self.hosts.len()))
            .collect();
        let known = known.into_iter().filter_map(|host| self.contact(host));
        let known = known.collect();
        self.join_knowing(known);
    }

    fn join_knowing(&mut self, nodes: Vec<Contact>) {
        let address = loop {
            let bits = u32::try_from(self.rng.below(0xdf00_0000 - 0x0b00_0000)).unwrap();
            let ip = Ipv4Addr::from_bits(0x0b00_0000 + bits);
            let address = SocketAddr::new(ip.into(), 6881);
            let local = shoal_dht::address::is_local(address.ip());
            if !local && !self.places.contains_key(&address) {
                break address;
            }
        };
        let mut seed = [0; 32];
        self.rng.fill(&mut seed);
        let mut ids = fastrand::Rng::with_seed(self.rng.below(u64::MAX));
        let id = Some(NodeId::for_ip(address.ip(), &mut ids));
        let config = Config {
            v4: true,
            saved: Saved {
                id_v4: id,
                id_v6: None,
                nodes,
            },
            ..Config::default()
        };
        let node = Node::new(config, &seed, self.queue.now());
        self.add(address, id, Who::Honest(Box::new(node)));
        self.carry_out(self.hosts.len() - 1);
    }

    /// Liars at these addresses.
    pub(crate) fn add_sybils(&mut self, addresses: impl IntoIterator<Item = SocketAddr>) {
        for address in addresses {
            let id = self.ring.add(address, &mut self.rng);
            self.add(address, None, Who::Sybil);
            // It makes itself known, as everybody does.
            let host = self.hosts.len() - 1;
            for _ in 0..20 {
                let to = self.rng.index(self.hosts.len());
                let bytes = Ring::hello(id);
                let to = self.hosts[to].address;
                self.post(host, to, bytes);
            }
            self.run_for(Duration::from_millis(20));
        }
    }

    fn add(&mut self, address: SocketAddr, id: Option<NodeId>, who: Who) {
        self.places.insert(address, self.hosts.len());
        self.hosts.push(Host {
            address,
            id,
            who,
            wake: None,
        });
    }

    pub(crate) fn now(&self) -> Instant {
        self.queue.now()
    }

    pub(crate) fn address(&self, host: usize) -> SocketAddr {
        self.hosts[host].address
    }

    pub(crate) fn node(&self, host: usize) -> Option<&Node> {
        match &self.hosts[host].who {
            Who::Honest(node) => Some(node),
            _ => None,
        }
    }

    /// An honest node that lives.
    pub(crate) fn any(&mut self) -> usize {
        loop {
            let host = self.rng.index(self.hosts.len());
            if self.node(host).is_some() {
                return host;
            }
        }
    }

    pub(crate) fn kill(&mut self, host: usize) {
        self.hosts[host].who = Who::Dead;
    }

    fn contact(&self, host: usize) -> Option<Contact> {
        self.node(host)?;
        let Host { address, id, .. } = self.hosts[host];
        Some(Contact { id: id?, address })
    }

    /// The living honest nodes that are closest to a name.
    pub(crate) fn closest(&self, target: &NodeId, most: usize) -> Vec<Contact> {
        let mut all: Vec<_> = (0..self.hosts.len())
            .filter_map(|host| self.contact(host))
            .collect();
        all.sort_by_key(|contact| contact.id.distance(target));
        all.truncate(most);
        all
    }

    pub(crate) fn start(&mut self, host: usize, task: Task) -> LookupKey {
        self.keys += 1;
        let (now, key) = (self.queue.now(), LookupKey(self.keys));
        if let Who::Honest(node) = &mut self.hosts[host].who {
            node.handle(now, Input::Start { key, task });
            self.carry_out(host);
        }
        key
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.queue.elapsed() + time;
        while self.queue.next_elapsed().is_some_and(|at| at <= end) {
            let happening = self.queue.pop().expect("there is one");
            self.happen(happening);
        }
        // So that the clock stands at the end even when nothing happens there.
        self.queue
            .schedule_elapsed(end, Happening::Wake(usize::MAX));
        while self.queue.elapsed() < end {
            let happening = self.queue.pop().expect("the one above");
            self.happen(happening);
        }
    }

    fn happen(&mut self, happening: Happening) {
        let now = self.queue.now();
        match happening {
            Happening::Wake(host) => {
                let Some(Host { who, wake, .. }) = self.hosts.get_mut(host) else {
                    return;
                };
                if *wake != Some(now) {
                    return;
                }
                *wake = None;
                if let Who::Honest(node) = who {
                    node.handle(now, Input::Timeout);
                    self.carry_out(host);
                }
            }
            Happening::Datagram { from, to, bytes } => {
                self.trace.note(&(to, &bytes));
                match &mut self.hosts[to].who {
                    Who::Dead => {}
                    Who::Honest(node) => {
                        let bytes = &bytes;
                        node.handle(now, Input::Received { from, bytes });
                        self.carry_out(to);
                    }
                    Who::Sybil => {
                        let answer = self.ring.answer(self.hosts[to].address, from, &bytes);
                        if let Some(answer) = answer {
                            self.post(to, from, answer);
                        }
                    }
                }
            }
        }
    }

    fn carry_out(&mut self, host: usize) {
        let now = self.queue.now();
        let Who::Honest(node) = &mut self.hosts[host].who else {
            return;
        };
        let outputs: Vec<_> = std::iter::from_fn(|| node.poll()).collect();
        let due = node.timeout();
        for output in outputs {
            match output {
                Output::Send { to, bytes } => self.post(host, to, bytes),
                Output::Event(event) => self.said.push((host, now, event)),
                Output::Persist => {}
            }
        }
        let Host { wake, .. } = &mut self.hosts[host];
        if let Some(due) = due
            && wake.is_none_or(|wake| due < wake)
        {
            *wake = Some(due.max(now));
            self.queue.schedule_at(due, Happening::Wake(host));
        }
    }

    fn post(&mut self, host: usize, to: SocketAddr, bytes: Vec<u8>) {
        self.datagrams += 1;
        if self.rng.chance(self.loss) {
            self.lost += 1;
            return;
        }
        let Some(&to) = self.places.get(&to) else {
            return;
        };
        let from = self.hosts[host].address;
        let latency = self.rng.duration(LATENCY.0..=LATENCY.1);
        self.queue
            .schedule_after(latency, Happening::Datagram { from, to, bytes });
    }
}
