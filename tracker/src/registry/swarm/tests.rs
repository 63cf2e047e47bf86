//! Peers of one torrent and family, beside a model.

use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

use super::*;

const KEY: Key = Key(1, 2);

fn told(left: u64, seen: u32, event: Option<AnnounceEvent>) -> Told {
    Told {
        state: State::new(PeerId([7; 20]), seen, false),
        detail: PeerDetail {
            left,
            uploaded: left + u64::from(seen),
            downloaded: 0,
        },
        event,
    }
}

fn check(swarm: &Swarm<6>) {
    let addresses = swarm.store.addresses();
    for (at, address) in addresses.iter().enumerate() {
        assert_eq!(swarm.find(KEY, address), Some(at));
    }
    if let Some(index) = swarm.index() {
        assert_eq!(index.len(), addresses.len());
        assert!(addresses.len() >= INDEX_FROM / 2);
    } else {
        assert!(addresses.len() < INDEX_FROM);
    }
    for (_, state, seed, detail) in swarm.iter() {
        let Some(detail) = detail else {
            assert!(
                swarm
                    .extra
                    .as_ref()
                    .is_none_or(|extra| extra.details.is_none())
            );
            continue;
        };
        assert_eq!(seed, detail.left == 0);
        assert_eq!(detail.uploaded, detail.left + u64::from(state.seen()));
    }
}

proptest! {
    /// Whatever is announced, each peer is found where it lies and a sample has distinct others.
    #[test]
    fn every_sample_is_distinct_and_without_the_asker(
        steps in proptest::collection::vec((0..120u8, 0..4u8, 0..90usize), 0..400),
        seed: u64,
        watched: bool,
        public: bool,
    ) {
        let (mut swarm, mut rng) = (Swarm::<6>::new(watched), Rng::with_seed(seed));
        let room = Room { total: 80, host: public.then_some(20) };
        for (name, kind, wanted) in steps {
            // Four hosts, whose number of peers is bounded when they are of the internet.
            let address = [if public { 99 } else { 10 }, 0, 0, name % 4, 0, name];
            let left = u64::from(kind % 2);
            let event = (kind > 2).then_some(AnnounceEvent::Stopped);
            let done = swarm.update(KEY, address, told(left, name.into(), event), room, &mut rng);
            let asker = done.unwrap().at;
            check(&swarm);
            prop_assert!(swarm.len() <= room.total);
            prop_assert_eq!(asker, swarm.find(KEY, &address));
            let (mut bytes, mut ids) = (Vec::new(), Vec::new());
            let given =
                swarm.sample(wanted, left == 0, asker, &mut rng, &mut bytes, Some(&mut ids));
            let mut peers: Vec<_> = bytes.as_chunks::<6>().0.to_vec();
            prop_assert_eq!((peers.len(), ids.len()), (given, given));
            prop_assert!(asker.is_none() || !peers.contains(&address));
            let is_seed = |peer| swarm.find(KEY, peer).unwrap() < swarm.seeds();
            prop_assert!(left > 0 || !peers.iter().any(is_seed));
            let others = swarm.len() - usize::from(asker.is_some());
            let leeches = swarm.len() - swarm.seeds();
            prop_assert_eq!(given, wanted.min(if left > 0 { others } else { leeches }));
            peers.sort_unstable();
            peers.dedup();
            prop_assert_eq!(peers.len(), given);
        }
        if public {
            for host in 0..4 {
                let there = swarm.iter().filter(|(address, ..)| address[3] == host).count();
                prop_assert!(there <= 20, "{} of one host", there);
            }
        }
        let mut from = swarm.len();
        while from > 0 {
            from = swarm.expire(KEY, 20, from, 7);
            check(&swarm);
        }
        prop_assert!(swarm.iter().all(|(_, state, ..)| state.seen() >= 20));
    }
}

#[test]
fn sample_is_fair() {
    let (mut swarm, mut rng) = (Swarm::<6>::new(false), Rng::with_seed(3));
    let room = Room {
        total: 1_000,
        host: None,
    };
    for name in 0..100u8 {
        let told = told(u64::from(name >= 50), 0, None);
        let address = [10, 0, 0, name, 0, 1];
        swarm.update(KEY, address, told, room, &mut rng).unwrap();
    }
    let mut given = [0u32; 100];
    for _ in 0..10_000 {
        let mut bytes = Vec::new();
        swarm.sample(10, false, None, &mut rng, &mut bytes, None);
        for peer in bytes.as_chunks::<6>().0 {
            given[usize::from(peer[3])] += 1;
        }
    }
    // 1,000 expected of each; far outside of chance is unfair.
    assert!(given.iter().all(|n| (850..1150).contains(n)), "{given:?}");
}

#[test]
fn share_is_right_on_average() {
    let mut rng = Rng::with_seed(1);
    for (count, seeds, leeches) in [(10, 3, 97), (10, 97, 3), (5, 0, 9), (5, 9, 0), (9, 4, 5)] {
        let sum: usize = (0..10_000)
            .map(|_| share(count, seeds, leeches, &mut rng))
            .sum();
        let expect = 10_000 * count * seeds / (seeds + leeches);
        assert!(sum.abs_diff(expect) <= 300, "{sum} of {expect}");
    }
}
