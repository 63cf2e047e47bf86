//! Rules and table together, without a socket.

use super::*;
use crate::announce::AnnounceEvent;
use crate::registry::{Refusal, RegistryConfig};

/// What only tests ask of it.
impl Policy {
    pub(crate) fn allow(&self, info_hash: InfoHash) -> bool {
        self.change_all(&[info_hash], Some(true)) == Ok(1)
    }

    fn deny(&self, info_hash: InfoHash) -> bool {
        self.change_all(&[info_hash], Some(false)) == Ok(1)
    }

    fn clear(&self, info_hash: InfoHash) -> bool {
        self.change_all(&[info_hash], None) == Ok(1)
    }

    /// What people allowed and denied while the tracker ran, now or earlier.
    fn hand_made(&self) -> (BTreeSet<InfoHash>, BTreeSet<InfoHash>) {
        let sources = lock(&self.sources);
        (sources.allowed.clone(), sources.denied.clone())
    }

    /// Lets people allow so many torrents, and deny as many.
    pub(crate) fn set_listed_max(&self, max: usize) {
        lock(&self.sources).max = max;
    }
}

struct World {
    policy: Policy,
    registry: Arc<Registry>,
    now: Instant,
}

impl World {
    fn new(config: &PolicyConfig, registry: RegistryConfig) -> Self {
        let now = Instant::now();
        let registry = Arc::new(Registry::new(registry, 1, now));
        Self {
            policy: Policy::new(config, Arc::clone(&registry), now),
            registry,
            now,
        }
    }

    fn private() -> Self {
        let config = PolicyConfig {
            private: true,
            unix_now: 1_000,
            ..PolicyConfig::default()
        };
        Self::new(&config, RegistryConfig::default())
    }

    fn announce(&self, hash: u8, key: Option<&str>) -> Result<(), String> {
        let request = request(hash);
        let pass = self
            .policy
            .enter(self.now, &request, key.map(str::as_bytes));
        let pass = pass.map_err(|refusal| refusal.to_string())?;
        let ip = "10.0.0.1".parse().unwrap();
        let answer = self.registry.announce(self.now, &request, ip);
        answer.map(drop).map_err(|refusal| {
            pass.give_back();
            refusal.to_string()
        })
    }

    fn refusal(&self, hash: u8, key: Option<&str>) -> String {
        self.announce(hash, key).unwrap_err()
    }
}

fn request(hash: u8) -> AnnounceRequest {
    AnnounceRequest {
        info_hash: InfoHash([hash; 20]),
        peer_id: PeerId(*b"-XL0012-abcdefghijkl"),
        port: 1,
        event: Some(AnnounceEvent::Started),
        ..AnnounceRequest::example()
    }
}

fn hash(number: u8) -> InfoHash {
    InfoHash([number; 20])
}

#[test]
fn lists_change_while_it_runs_and_peers_of_denied_torrents_go() {
    let world = World::new(&PolicyConfig::default(), RegistryConfig::default());
    let (policy, registry) = (&world.policy, &world.registry);
    world.announce(1, None).unwrap();
    world.announce(2, None).unwrap();
    assert_eq!(registry.size(), (2, 2));
    assert!(policy.deny(hash(1)));
    assert!(!policy.deny(hash(1)), "it was denied before");
    assert_eq!(registry.size(), (1, 1));
    assert!(world.refusal(1, None).contains("denied here"));
    assert!(policy.clear(hash(1)));
    world.announce(1, None).unwrap();
    // Now a closed one, by files, with one more by hand and one denied.
    policy.allow(hash(3));
    policy.set_listed(Some([hash(2), hash(4)].into()), [hash(4)].into());
    assert_eq!(registry.size(), (2, 1), "2 with its peer, and 3");
    assert!(world.refusal(1, None).contains("unregistered torrent"));
    assert!(world.refusal(4, None).contains("denied here"));
    world.announce(3, None).unwrap();
    assert_eq!(policy.lists().denied(), [hash(4)]);
    policy.set_listed(None, BTreeSet::new());
    world.announce(1, None).unwrap();
    let changes = policy.take_changes().hashes;
    let expect = [(hash(1), None), (hash(3), Some(true))];
    assert_eq!(changes, expect.into());
    assert!(policy.take_changes().is_empty());
}

#[test]
fn hand_made_lists_of_an_earlier_run_are_in_force_and_are_no_change() {
    let world = World::new(&PolicyConfig::default(), RegistryConfig::default());
    let policy = &world.policy;
    policy.restore_hashes([(hash(1), false), (hash(2), true)]);
    assert!(world.refusal(1, None).contains("denied here"));
    assert_eq!(policy.hand_made(), ([hash(2)].into(), [hash(1)].into()));
    assert!(policy.take_changes().is_empty());
}

#[test]
fn what_people_allow_and_deny_is_bounded_and_none_of_too_many_is_taken() {
    let world = World::new(&PolicyConfig::default(), RegistryConfig::default());
    let policy = &world.policy;
    policy.set_listed_max(2);
    let many = [hash(1), hash(2), hash(2), hash(1)];
    for to in [Some(true), Some(false)] {
        assert_eq!(policy.change_all(&many, to), Ok(2));
        let full = policy.change_all(&[hash(2), hash(3)], to).unwrap_err();
        assert!(full.to_string().contains("clear some first"), "{full}");
        assert_eq!(policy.change_all(&many[..1], to), Ok(0), "it is there");
    }
    assert_eq!(policy.hand_made(), ([].into(), [hash(1), hash(2)].into()));
    // The lists are bounded each for itself, and what is taken back makes room.
    assert!(policy.allow(hash(1)) && policy.deny(hash(3)));
    assert!(policy.clear(hash(2)) && policy.deny(hash(4)));
    policy.drop_changes();
    assert!(policy.take_changes().is_empty());
    policy.restore_hashes([(hash(5), false)]);
    assert!(!policy.deny(hash(6)));
    assert_eq!(policy.change_all(&[hash(5), hash(3)], Some(false)), Ok(0));
}

#[test]
fn private_tracker_wants_a_good_key_and_tells_all_bad_ones_the_same() {
    let world = World::private();
    let policy = &world.policy;
    let [good, over] = [[1; 16], [2; 16]].map(Passkey::from_random);
    policy.add_key(good, KeyLimits::default()).unwrap();
    let expires = Some(1_000);
    let limits = KeyLimits {
        expires,
        ..KeyLimits::default()
    };
    policy.add_key(over, limits).unwrap();
    assert_eq!(policy.add_key(good, limits), Err(KeyError::Exists));
    assert!(world.refusal(1, None).contains("/PASSKEY/announce"));
    let never = "ff".repeat(16);
    let told = world.refusal(1, Some(&never));
    for bad in [over.to_string(), "x".to_owned(), String::new()] {
        assert_eq!(world.refusal(1, Some(&bad)), told);
    }
    world.announce(1, Some(&good.to_string())).unwrap();
    let status = policy.key(world.now, &good).unwrap();
    assert_eq!((status.torrents, status.record.totals.announces), (1, 1));
    let scrape = |key: Option<&Passkey>| {
        let key = key.map(ToString::to_string);
        policy.may_scrape(world.now, key.as_ref().map(String::as_bytes))
    };
    assert_eq!(scrape(Some(&good)), Ok(()));
    assert_eq!(scrape(None), Err(PolicyRefusal::NoPasskey));
    assert!(policy.remove_key(&good));
    assert!(!policy.remove_key(&good));
    assert_eq!(world.refusal(1, Some(&good.to_string())), told);
    assert_eq!(scrape(Some(&good)), Err(PolicyRefusal::Passkey));
    let changes = policy.take_changes().keys;
    assert_eq!(changes[&good], None);
    assert_eq!(changes[&over].unwrap().limits.expires, expires);
    // Made again before anybody took the removal, it is kept.
    assert!(policy.remove_key(&over));
    policy.add_key(over, KeyLimits::default()).unwrap();
    let changes = policy.take_changes().keys;
    assert_eq!(changes[&over], Some(KeyRecord::default()));
}

#[test]
fn announce_of_a_torrent_that_is_not_served_takes_no_room_of_a_key() {
    let world = World::private();
    let key = Passkey::from_random([1; 16]);
    let limits = KeyLimits {
        torrents_max: Some(1),
        ..KeyLimits::default()
    };
    world.policy.add_key(key, limits).unwrap();
    world
        .policy
        .set_listed(Some([hash(2), hash(3)].into()), BTreeSet::new());
    let key = key.to_string();
    assert!(world.refusal(1, Some(&key)).contains("unregistered"));
    world.announce(2, Some(&key)).unwrap();
    assert!(world.refusal(3, Some(&key)).contains("for 1 torrents"));
}

#[test]
fn clients_are_refused_by_how_their_ids_begin() {
    let world = World::new(&PolicyConfig::default(), RegistryConfig::default());
    world.announce(1, None).unwrap();
    world
        .policy
        .set_clients(vec![(*b"-SD").into(), (*b"-XL").into()]);
    assert!(
        world
            .refusal(1, None)
            .contains("this client is not allowed")
    );
    world.policy.set_clients(vec![(*b"-XL0013").into()]);
    world.announce(1, None).unwrap();
    world.policy.set_clients(Vec::new());
    world.announce(1, None).unwrap();
}

#[test]
fn peers_that_were_told_a_longer_interval_are_not_forgotten_sooner() {
    let interval = Duration::from_secs(100);
    let config = PolicyConfig {
        capacity: Some(1),
        interval,
        ..PolicyConfig::default()
    };
    let table = RegistryConfig {
        interval,
        ..RegistryConfig::default()
    };
    let mut world = World::new(&config, table);
    for _ in 0..60 {
        for hash in 0..5 {
            world.announce(hash, None).unwrap();
        }
        world.now += Duration::from_secs(1);
        world.policy.tick(world.now);
    }
    let told = world.policy.interval();
    assert!(told > interval, "{told:?}");
    let later = world.now + interval * 2 + limits::EXPIRY_SLACK + Duration::from_secs(5);
    world.registry.expire(later);
    assert_eq!(world.registry.size().1, 5);
    world.registry.expire(later + told);
    assert_eq!(world.registry.size().1, 0);
}

#[test]
fn refusals_say_what_to_do() {
    for refusal in [
        PolicyRefusal::NoPasskey.to_string(),
        PolicyRefusal::Passkey.to_string(),
        PolicyRefusal::Torrents(3).to_string(),
        PolicyRefusal::Client.to_string(),
        PolicyRefusal::UdpScrape.to_string(),
        Refusal::Denied(hash(1)).to_string(),
        Refusal::Unregistered(hash(1)).to_string(),
    ] {
        let (_, what) = refusal.split_once([':', ';']).unwrap();
        assert!(what.len() > 10, "{refusal}");
    }
}
