//! The promises of a lookup, step by step.

use super::*;
use fastrand::Rng;
use std::net::Ipv4Addr;

const SLOW: Duration = Duration::from_millis(500);

struct World {
    rng: Rng,
    now: Instant,
    target: NodeId,
    lookup: Lookup,
}

impl World {
    fn new() -> Self {
        let mut rng = Rng::with_seed(3);
        let target = NodeId::random(&mut rng);
        let own = NodeId::random(&mut rng);
        Self {
            rng,
            now: Instant::now(),
            target,
            lookup: Lookup::new(target, own, Family::V4),
        }
    }

    /// A node whose name fits, in a subnet of its own.
    fn node(&mut self) -> Contact {
        let bits = self.rng.u32(0x0b00_0000..0x7e00_0000);
        let address = SocketAddr::new(Ipv4Addr::from_bits(bits).into(), 6881);
        let id = NodeId::for_ip(address.ip(), &mut self.rng);
        Contact { id, address }
    }

    /// So many of them, closest first.
    fn nodes(&mut self, count: usize) -> Vec<Contact> {
        let mut nodes: Vec<_> = (0..count).map(|_| self.node()).collect();
        nodes.sort_by_key(|node| node.id.distance(&self.target));
        nodes
    }

    /// A node beside the target, whose name does not fit.
    fn liar(&mut self, subnet: u8, host: u8) -> Contact {
        let address = SocketAddr::from(([45, 0, subnet, host], 6881));
        let id = self.target.sibling(100, &mut self.rng);
        Contact { id, address }
    }

    fn step(&mut self) -> Option<Step> {
        let step = self.lookup.next(self.now, SLOW)?;
        self.lookup.asked(self.now, &step);
        Some(step)
    }

    fn steps(&mut self) -> Vec<SocketAddr> {
        std::iter::from_fn(|| self.step())
            .map(|step| step.to)
            .collect()
    }

    fn answer(&mut self, node: Contact, names: &[Contact]) {
        let depth = self
            .lookup
            .answered(node, Some(node.id), Some(b"token"), None);
        if let Some(depth) = depth {
            self.lookup.named(node.address, names, depth);
        }
    }

    fn is_done(&mut self) -> bool {
        self.lookup.is_done(self.now, SLOW)
    }
}

fn addresses(nodes: &[Contact]) -> Vec<SocketAddr> {
    nodes.iter().map(|node| node.address).collect()
}

#[test]
fn closest_are_asked_first_and_four_at_a_time() {
    let mut world = World::new();
    let nodes = world.nodes(20);
    world.lookup.start_from(nodes.iter().rev().copied());
    assert_eq!(world.steps(), addresses(&nodes[..ALPHA]));
    world.answer(nodes[2], &[]);
    assert_eq!(world.steps(), addresses(&nodes[4..5]));
}

#[test]
fn slow_node_gives_its_place_and_may_still_answer() {
    let mut world = World::new();
    let nodes = world.nodes(12);
    world.lookup.start_from(nodes.iter().copied());
    world.steps();
    assert_eq!(world.lookup.timeout(SLOW), Some(world.now + SLOW));
    world.now += SLOW;
    assert_eq!(world.steps(), addresses(&nodes[4..8]));
    world.answer(nodes[0], &[]);
    assert_eq!(world.lookup.closest(), nodes[..1]);
}

#[test]
fn lookup_is_over_when_the_eight_closest_answered() {
    let mut world = World::new();
    let nodes = world.nodes(30);
    world.lookup.start_from(nodes[20..].iter().copied());
    let mut asked = 0;
    while !world.is_done() {
        let step = world.step().expect("not done, so somebody can be asked");
        asked += 1;
        let node = *nodes.iter().find(|node| node.address == step.to).unwrap();
        world.answer(node, &nodes[..16]);
    }
    assert_eq!(world.lookup.closest(), nodes[..K]);
    assert!(asked < 20, "{asked}");
    assert_eq!(world.lookup.hops(), 2);
    let places = world.lookup.places();
    assert!(places.iter().all(|place| place.token == b"token"));
    assert_eq!(places.len(), K);
}

#[test]
fn silent_nodes_are_asked_twice_and_hold_nothing_up() {
    let mut world = World::new();
    let nodes = world.nodes(20);
    let dead = addresses(&nodes[..4]);
    world.lookup.start_from(nodes.iter().copied());
    let mut asked: BTreeMap<SocketAddr, usize> = BTreeMap::new();
    let start = world.now;
    while !world.is_done() {
        for to in world.steps() {
            *asked.entry(to).or_default() += 1;
            if !dead.contains(&to) {
                let node = *nodes.iter().find(|node| node.address == to).unwrap();
                world.answer(node, &[]);
            }
        }
        world.now += SLOW / 2;
    }
    assert!(dead.iter().all(|to| asked[to] == usize::from(TRIES_MAX)));
    assert_eq!(world.lookup.closest(), nodes[4..4 + K]);
    assert!(world.now - start <= SLOW * 3);
}

#[test]
fn subnet_is_asked_twice_and_counts_once() {
    let mut world = World::new();
    let nodes = world.nodes(12);
    let liars: Vec<_> = (0..50).map(|host| world.liar(7, host)).collect();
    world.lookup.start_from(liars.iter().chain(&nodes).copied());
    let mut lies = 0;
    while !world.is_done() {
        for to in world.steps() {
            let mut all = liars.iter().chain(&nodes);
            let node = *all.find(|node| node.address == to).unwrap();
            lies += usize::from(liars.contains(&node));
            world.answer(node, &liars);
        }
        world.now += SLOW;
    }
    assert_eq!(lies, LOOKUP_OF_SUBNET_MAX);
    let closest = world.lookup.closest();
    assert!(nodes[..K].iter().all(|node| closest.contains(node)));
    assert_eq!(closest.len(), K + 1, "one liar, which counts for nothing");
}

#[test]
fn names_that_fit_nothing_do_when_there_are_no_others() {
    let mut world = World::new();
    let liars: Vec<_> = (0..12).map(|subnet| world.liar(subnet, 1)).collect();
    world.lookup.start_from(liars.iter().copied());
    while !world.is_done() {
        for to in world.steps() {
            let node = *liars.iter().find(|node| node.address == to).unwrap();
            world.answer(node, &[]);
        }
    }
    assert_eq!(world.lookup.closest().len(), K);
}

#[test]
fn who_names_only_the_dead_is_soon_not_listened_to() {
    let mut world = World::new();
    let namer = world.node();
    let dead = world.nodes(NODES_OF_ANSWER_MAX);
    world.lookup.start_from([namer]);
    world.steps();
    world.answer(namer, &dead);
    let mut asked = 0;
    while !world.is_done() {
        for to in world.steps() {
            asked += 1;
            let node = *dead.iter().find(|node| node.address == to).unwrap();
            world.lookup.failed(node.address, Some(node.id));
        }
    }
    assert!(asked <= 10, "{asked} of {NODES_OF_ANSWER_MAX}");
}

#[test]
fn node_that_answers_under_another_name_is_not_believed() {
    let mut world = World::new();
    let node = world.node();
    world.lookup.start_from([node]);
    world.steps();
    let other = Contact {
        id: world.target,
        ..node
    };
    assert_eq!(
        world.lookup.answered(other, Some(node.id), None, None),
        None
    );
    assert!(world.is_done());
    assert!(world.lookup.closest().is_empty());
}

#[test]
fn addresses_without_a_name_are_asked_and_take_part_when_they_answer() {
    let mut world = World::new();
    let (router, nodes) = (world.node(), world.nodes(3));
    let silent: SocketAddr = "9.9.9.9:1".parse().unwrap();
    world
        .lookup
        .start_at([router.address, silent, "[2001:db8::1]:1".parse().unwrap()]);
    assert_eq!(world.steps().len(), 2, "of one family");
    assert!(!world.is_done());
    let depth = world.lookup.answered(router, None, None, None);
    world.lookup.named(router.address, &nodes, depth.unwrap());
    assert_eq!(world.steps(), addresses(&nodes));
    nodes.iter().for_each(|node| world.answer(*node, &[]));
    assert!(!world.is_done(), "the silent one may answer");
    world.now += SLOW;
    assert!(world.is_done());
}

#[test]
fn liars_without_end_end_a_lookup_nevertheless() {
    let mut world = World::new();
    let start = world.node();
    world.lookup.start_from([start]);
    let mut asked = 0;
    while !world.is_done() {
        let steps = world.steps();
        asked += steps.len();
        for to in steps {
            let known = world
                .lookup
                .candidates
                .values()
                .find(|c| c.contact.address == to);
            let node = known.unwrap().contact;
            // Each names ever closer ones that fit.
            let names: Vec<_> = (0..16).map(|_| world.node()).collect();
            world.answer(node, &names);
        }
        assert!(world.lookup.candidates.len() <= LOOKUP_CANDIDATES_MAX);
        world.now += SLOW;
    }
    assert!(asked <= LOOKUP_QUERIES_MAX, "{asked}");
}

#[test]
fn silent_starter_becomes_slow_and_wakes_nobody_any_more() {
    let mut world = World::new();
    let (starter, node) = (world.node(), world.node());
    world.lookup.start_at([starter.address]);
    world.lookup.start_from([node]);
    assert_eq!(world.steps(), [starter.address, node.address]);
    world.now += SLOW;
    assert_eq!(world.lookup.timeout(SLOW), Some(world.now));
    assert_eq!(world.steps(), [node.address], "it is asked once more");
    let later = world.lookup.timeout(SLOW);
    assert!(later.is_some_and(|at| at > world.now), "{later:?}");
}
