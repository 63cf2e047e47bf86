//! The table's promises, one by one.

use super::*;
use crate::limits::GOOD_TIME;
use std::net::Ipv4Addr;
use std::time::Duration;

/// A host in a subnet of its own.
fn address(number: u32) -> SocketAddr {
    SocketAddr::new(
        Ipv4Addr::from_bits(0x0800_0001 + (number << 8)).into(),
        6881,
    )
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)
}

struct World {
    rng: Rng,
    own: NodeId,
    now: Instant,
    table: Table,
}

impl World {
    fn new() -> Self {
        let (mut rng, now) = (Rng::with_seed(1), Instant::now());
        let own = NodeId::random(&mut rng);
        let table = Table::new(own, now);
        Self {
            rng,
            own,
            now,
            table,
        }
    }

    /// A name so many bits from ours, at a host of its own.
    fn contact(&mut self, bits: usize, number: u32) -> Contact {
        Contact {
            id: self.own.sibling(bits, &mut self.rng),
            address: address(number),
        }
    }

    fn fill(&mut self, bits: usize, numbers: std::ops::Range<u32>) -> Vec<Contact> {
        let contacts: Vec<_> = numbers.map(|number| self.contact(bits, number)).collect();
        for contact in &contacts {
            self.table.answered(self.now, *contact);
        }
        contacts
    }
}

#[test]
fn only_who_answered_enters() {
    let mut world = World::new();
    let contact = world.contact(0, 1);
    assert!(world.table.asked(world.now, contact), "worth a ping");
    assert_eq!(world.table.len(), 0);
    world.table.answered(world.now, contact);
    assert_eq!(world.table.len(), 1);
    assert!(!world.table.asked(world.now, contact), "known");
}

#[test]
fn bucket_holds_eight_and_splits_only_around_our_own_name() {
    let mut world = World::new();
    world.fill(0, 0..50);
    assert_eq!(world.table.len(), K);
    world.fill(1, 50..100);
    world.fill(2, 100..150);
    assert_eq!(world.table.len(), 3 * K);
    for (index, bucket) in world.table.buckets.iter().enumerate() {
        let bits = |entry: &Entry| entry.contact.id.common_bits(&world.own);
        assert!(bucket.nodes.iter().all(|entry| bits(entry) >= index));
    }
}

#[test]
fn closest_are_the_closest_in_order() {
    let mut world = World::new();
    for (bits, first) in (0..12).zip((0..).step_by(20)) {
        world.fill(bits, first..first + 20);
    }
    let target = NodeId::random(&mut world.rng);
    let found = world.table.closest(&target, K);
    let mut all: Vec<_> = world.table.all().collect();
    all.sort_by_key(|contact| contact.id.distance(&target));
    assert_eq!(found, all[..K]);
    assert!(world.table.closest(&target, 0).is_empty());
    assert_eq!(world.table.closest(&target, 10_000).len(), all.len());
}

#[test]
fn node_that_owes_two_answers_gives_its_place_to_one_that_waits() {
    let mut world = World::new();
    let contacts = world.fill(0, 0..9);
    // Splits, so that bucket 0 is not the last and the ninth waits.
    world.fill(5, 20..30);
    world.table.answered(world.now, contacts[8]);
    let has = |world: &World, contact| world.table.all().any(|known| known == contact);
    assert!(!has(&world, contacts[8]));
    world.table.failed(contacts[0].address);
    assert!(has(&world, contacts[0]), "one answer owed is none");
    world.table.failed(contacts[0].address);
    assert!(!has(&world, contacts[0]));
    assert!(has(&world, contacts[8]));
}

#[test]
fn bad_node_without_successor_is_told_to_nobody_and_makes_room() {
    let mut world = World::new();
    let contacts = world.fill(0, 0..8);
    (0..2).for_each(|_| world.table.failed(contacts[3].address));
    let told = world.table.closest(&contacts[3].id, 100);
    assert_eq!(told.len(), 7);
    assert!(!told.contains(&contacts[3]));
    let new = world.contact(0, 99);
    assert!(world.table.asked(world.now, new));
    world.table.answered(world.now, new);
    assert_eq!(world.table.len(), 8);
}

#[test]
fn silent_nodes_are_pinged_the_longest_silent_first() {
    let mut world = World::new();
    let (first, second) = (world.contact(0, 1), world.contact(0, 2));
    let start = world.now;
    world.table.answered(start, first);
    world
        .table
        .answered(start + Duration::from_secs(60), second);
    assert_eq!(world.table.stale(start + Duration::from_secs(60)), None);
    let later = start + GOOD_TIME;
    assert_eq!(world.table.stale(later), Some(first));
    assert_eq!(world.table.stale(later), None, "just pinged");
    world.table.failed(first.address);
    let later = later + Duration::from_secs(120);
    assert_eq!(
        world.table.stale(later),
        Some(first),
        "who owes comes first"
    );
    assert_eq!(world.table.stale(later), Some(second));
    world.table.asked(later, second);
    assert!(
        world.table.is_good(later, second.address),
        "it asked us something"
    );
}

#[test]
fn one_subnet_has_one_place_a_bucket_and_four_a_table() {
    let mut world = World::new();
    for host in 0..200_u16 {
        let ip = Ipv4Addr::from_bits(0x0808_0800 + u32::from(host));
        for bits in 0..12 {
            let id = world.own.sibling(bits, &mut world.rng);
            let address = SocketAddr::new(ip.into(), 1000 + host);
            world.table.answered(world.now, Contact { id, address });
        }
    }
    assert!(world.table.all().count() <= TABLE_OF_SUBNET_MAX);
    let full = world.table.buckets.iter().map(|bucket| bucket.nodes.len());
    assert!(full.max() <= Some(1));
    let mut world = World::new();
    for port in 1..=8 {
        let id = world.own.sibling(0, &mut world.rng);
        world.table.answered(
            world.now,
            Contact {
                id,
                address: local(port),
            },
        );
    }
    assert_eq!(world.table.len(), 8, "a local network has no such bound");
}

#[test]
fn host_keeps_its_place_against_another_port_and_name() {
    let mut world = World::new();
    let contact = world.contact(0, 1);
    world.table.answered(world.now, contact);
    let thief = Contact {
        id: contact.id,
        address: address(2),
    };
    world.table.answered(world.now, thief);
    assert_eq!(world.table.all().collect::<Vec<_>>(), [contact]);
    let neighbour = Contact {
        id: world.own.sibling(3, &mut world.rng),
        address: SocketAddr::new(contact.address.ip(), 9),
    };
    world.table.answered(world.now, neighbour);
    assert_eq!(world.table.all().collect::<Vec<_>>(), [contact]);
    let renamed = Contact {
        id: world.own.sibling(0, &mut world.rng),
        ..contact
    };
    world.table.answered(world.now, renamed);
    assert_eq!(world.table.all().collect::<Vec<_>>(), [renamed]);
}

#[test]
fn name_that_fits_takes_the_place_of_one_that_does_not() {
    let mut world = World::new();
    world.fill(0, 0..8);
    world.fill(3, 10..20);
    let misfits = |world: &World| world.table.all().filter(|contact| !contact.fits()).count();
    let before = misfits(&world);
    let mut fitting = 0;
    for number in 100..2000 {
        let address = address(number);
        let id = NodeId::for_ip(address.ip(), &mut world.rng);
        if id.common_bits(&world.own) == 0 && fitting < 8 {
            world.table.answered(world.now, Contact { id, address });
            fitting += 1;
        }
    }
    assert_eq!(misfits(&world), before - 8);
}

#[test]
fn silent_bucket_is_refreshed_in_its_own_range() {
    let mut world = World::new();
    world.fill(0, 0..8);
    world.fill(1, 10..18);
    world.fill(2, 20..28);
    let later = world.now + REFRESH_EVERY;
    let (own, mut rng) = (world.own, Rng::with_seed(2));
    let mut bits = Vec::new();
    while let Some(target) = world.table.unrefreshed(later, &mut rng) {
        bits.push(target.common_bits(&own));
    }
    assert_eq!(bits, (0..world.table.buckets.len()).collect::<Vec<_>>());
}

#[test]
fn renamed_table_keeps_its_nodes() {
    let mut world = World::new();
    world.fill(0, 0..4);
    world.fill(1, 10..14);
    let other = NodeId::random(&mut world.rng);
    let renamed = world.table.renamed(other, world.now);
    assert_eq!(renamed.len(), world.table.len());
    assert_eq!(renamed.own(), other);
}
