//! Two tables that tell each other.

use super::*;

impl World {
    /// An open one, a part of several.
    fn shared() -> Self {
        let world = Self::open();
        world.registry.share();
        world
    }

    /// Tells another all that is new here.
    fn tell(&self, other: &Self) {
        for outgoing in self.registry.outgoing(self.now) {
            for (info_hash, heard) in outgoing.peers {
                other.registry.merge(other.now, &info_hash, &heard, 0);
            }
        }
    }

    fn own(&self) -> Vec<Heard> {
        let own = self.registry.own(self.now, &HASH);
        own.map_or_else(Vec::new, |(own, _)| own)
    }
}

/// Peers of another tracker: as many hosts as there are, each at port 5.
fn others(count: u8, kind: Kind, age: u32) -> Vec<Heard> {
    let one = |host| Heard {
        address: SocketAddr::from(([10, 0, 1, host], 5)),
        peer_id: PeerId([host; 20]),
        kind,
        age,
    };
    (0..count).map(one).collect()
}

#[test]
fn peers_of_another_table_are_answered_and_counted_and_not_told_on() {
    let (a, b) = (World::shared(), World::shared());
    a.announce(1, 0, Some(Started));
    a.announce(2, 5, Some(Started));
    b.announce(3, 5, Some(Started));
    a.tell(&b);
    let answer = b.announce(3, 5, None);
    assert_eq!((answer.seeders, answer.leechers), (1, 2));
    assert_eq!(ports(&answer), [1, 2]);
    assert_eq!(b.registry.size(), (1, 3));
    assert_eq!(b.own().len(), 1, "of the others it tells nobody");
    // One that comes here is of here.
    b.announce(2, 5, None);
    assert_eq!(b.own().len(), 2);
}

#[test]
fn of_a_torrent_that_nobody_asks_about_here_nothing_is_kept() {
    let (a, b) = (World::shared(), World::shared());
    a.announce(1, 0, Some(Started));
    a.tell(&b);
    assert_eq!(b.registry.size(), (0, 0));
}

#[test]
fn who_goes_at_one_tracker_is_gone_at_the_other() {
    let (a, b) = (World::shared(), World::shared());
    a.announce(1, 0, Some(Started));
    b.announce(3, 5, Some(Started));
    a.tell(&b);
    b.announce(1, 0, Some(Stopped));
    b.tell(&a);
    assert_eq!(a.registry.scrape_one(&HASH).unwrap().seeders, 0);
    // Of a torrent that is not known here, too.
    let (c, d) = (World::shared(), World::shared());
    c.announce(1, 0, Some(Started));
    d.announce(1, 0, Some(Stopped));
    d.tell(&c);
    assert_eq!(c.registry.size().1, 0);
}

#[test]
fn only_who_has_the_id_is_gone_and_only_if_it_was_not_seen_since() {
    let mut world = World::open();
    world.announce(1, 0, None);
    let gone = |name: u16, age| {
        let request = request(name, 0, None);
        let address = "10.0.0.1:1".parse().unwrap();
        let (peer_id, kind) = (request.peer_id, Kind::Gone);
        Heard {
            address,
            peer_id,
            kind,
            age,
        }
    };
    world.now += Duration::from_secs(10);
    let merge = |heard| world.registry.merge(world.now, &HASH, &[heard], 0);
    merge(gone(2, 0));
    merge(gone(1, 20));
    assert_eq!(world.registry.size().1, 1);
    merge(gone(1, 0));
    assert_eq!(world.registry.size().1, 0);
}

#[test]
fn the_newest_word_on_a_peer_counts() {
    let world = World::open();
    world.announce(9, 5, None);
    let tell = |kind, age| {
        let heard = others(1, kind, age);
        world.registry.merge(world.now, &HASH, &heard, 0);
        let entry = world.registry.scrape_one(&HASH).unwrap();
        (entry.seeders, entry.leechers)
    };
    assert_eq!(tell(Kind::Leecher, 20), (0, 2));
    assert_eq!(tell(Kind::Seeder, 30), (0, 2));
    assert_eq!(tell(Kind::Seeder, 10), (1, 1));
    assert_eq!(tell(Kind::Leecher, 5), (0, 2));
}

#[test]
fn peers_of_others_expire_when_nobody_hears_of_them() {
    let mut world = World::open();
    world.announce(9, 5, None);
    let silence = u32::try_from(world.registry.silence().as_secs()).unwrap();
    let merge = |age| {
        let heard = others(3, Kind::Seeder, age);
        world.registry.merge(world.now, &HASH, &heard, 0);
        world.registry.size().1
    };
    assert_eq!(merge(silence + 1), 1, "they are silent already");
    assert_eq!(merge(silence - 40), 4);
    world.now += Duration::from_secs(60);
    world.registry.expire(world.now);
    assert_eq!(world.registry.size().1, 1);
}

#[test]
fn peers_of_others_take_nobodys_room() {
    let world = World::new(RegistryConfig {
        peers_per_torrent_max: 3,
        ..RegistryConfig::default()
    });
    world.announce(1, 5, None);
    world.announce(2, 5, None);
    let heard = others(9, Kind::Seeder, 0);
    world.registry.merge(world.now, &HASH, &heard, 0);
    assert_eq!(world.registry.size().1, 3);
    assert_eq!(world.own().len(), 2);
    // Those of one host of the internet are bounded, whoever names them.
    let world = World::open();
    world.announce(1, 5, None);
    let one = |port| Heard {
        address: SocketAddr::from(([99, 0, 0, 1], port)),
        ..others(1, Kind::Seeder, 0)[0]
    };
    let heard: Vec<_> = (1..1_000).map(one).collect();
    world.registry.merge(world.now, &HASH, &heard, 0);
    assert_eq!(world.registry.size().1, 1 + limits::PEERS_PER_HOST_MAX);
}

#[test]
fn who_makes_room_is_told_to_be_gone() {
    let world = World::new(RegistryConfig {
        peers_per_torrent_max: 1,
        ..RegistryConfig::default()
    });
    world.registry.share();
    world.announce(1, 5, None);
    world.registry.outgoing(world.now).for_each(drop);
    world.announce(2, 5, None);
    let told: Vec<_> = world
        .registry
        .outgoing(world.now)
        .flat_map(|outgoing| outgoing.peers.into_values().flatten())
        .map(|heard| (heard.address.port(), heard.kind))
        .collect();
    assert_eq!(told, [(1, Kind::Gone), (2, Kind::Leecher)]);
}

#[test]
fn completed_downloads_are_told_once_and_the_larger_count_is_kept() {
    let world = World::shared();
    world.announce(1, 5, None);
    world.announce(1, 0, Some(Completed));
    assert_eq!(
        world.registry.completed_told(&HASH),
        0,
        "it is in the outbox"
    );
    let told: Vec<_> = world
        .registry
        .outgoing(world.now)
        .flat_map(|outgoing| outgoing.completed)
        .collect();
    assert_eq!(told, [(HASH, 1)]);
    assert_eq!(world.registry.completed_told(&HASH), 1);
    world.registry.merge(world.now, &HASH, &[], 7);
    world.registry.merge(world.now, &HASH, &[], 3);
    assert_eq!(world.registry.scrape_one(&HASH).unwrap().completed, 7);
}

#[test]
fn who_asks_first_is_to_come_again_soon_if_others_may_know_more() {
    let day = Duration::from_secs(86_400);
    let alone = World::open().announce(1, 5, None);
    assert_eq!(alone.interval(day), day);
    let world = World::shared();
    let first = world.announce(1, 5, None);
    assert_eq!(first.interval(day), limits::STORE_FIRST_INTERVAL);
    assert_eq!(
        first.interval(Duration::from_secs(5)),
        Duration::from_secs(5)
    );
    assert_eq!(world.announce(1, 5, None).interval(day), day);
}
