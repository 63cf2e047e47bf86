//! What a node asks, and of whom: lookups, tasks, its name, the nodes it begins with.

use super::*;

#[test]
fn answer_from_another_address_or_with_another_transaction_counts_for_nothing() {
    let mut world = World::both();
    world.start(Task::Ping { address: at(1) });
    let sent = world.sent();
    let transaction = decode(&sent[0].1).unwrap().transaction.to_vec();
    let pong = |transaction| message(transaction, Body::Response(Response::new(THEM)));
    world.receive(at(2), &pong(&transaction));
    world.receive(at(1), &pong(b"zzzz"));
    assert_eq!(world.outcome(), None);
    assert_eq!(world.node.snapshot(world.now).counts.stray, 2);
    world.receive(at(1), &pong(&transaction));
    assert_eq!(world.outcome().unwrap().closest[0].id, THEM);
}

#[test]
fn ping_that_nobody_answers_is_over_in_time() {
    let mut world = World::both();
    world.start(Task::Ping { address: at(1) });
    world.wait(CALL_TIMEOUT + Duration::from_millis(1));
    assert_eq!(world.outcome().map(|outcome| outcome.answers), Some(0));
    assert_eq!(world.node.snapshot(world.now).calls, 0);
}

#[test]
fn task_of_a_node_that_knows_nobody_is_over_at_once() {
    let mut world = World::both();
    world.start(Task::FindNode { target: THEM });
    assert_eq!(world.outcome(), Some(Outcome::default()));
}

#[test]
fn cancelled_task_is_heard_of_no_more() {
    let mut world = World::both();
    world.meet((0..20).map(at));
    world.start(Task::FindNode { target: THEM });
    world.sent();
    world
        .node
        .handle(world.now, Input::Cancel { key: LookupKey(1) });
    world.wait(Duration::from_secs(20));
    assert_eq!(world.outcome(), None);
    assert_eq!(world.node.snapshot(world.now).lookups, 0);
}

#[test]
fn announce_goes_to_the_closest_with_their_tokens() {
    let mut world = World::both();
    world.meet((0..30).map(at));
    let announce = Some(Announce {
        port: Some(7000),
        seed: true,
    });
    world.start(Task::GetPeers {
        info_hash: TORRENT,
        announce,
        scrape: false,
    });
    let mut announces = 0;
    for _ in 0..20 {
        for (to, bytes) in world.sent() {
            let query = decode(&bytes).unwrap();
            let Body::Query(Query { method, .. }) = &query.body else {
                continue;
            };
            let mut response = Response::new(name(to));
            let token = to.to_string();
            match method {
                Method::AnnouncePeer {
                    port, token, seed, ..
                } => {
                    assert_eq!((*port, *seed), (Some(7000), true));
                    assert_eq!(*token, to.to_string().as_bytes(), "its own token");
                    announces += 1;
                }
                _ => response.token = Some(token.as_bytes()),
            }
            world.receive(to, &message(query.transaction, Body::Response(response)));
        }
    }
    assert_eq!(world.outcome().map(|outcome| outcome.stored), Some(K));
    assert_eq!(announces, K);
}

#[test]
fn node_takes_a_name_that_fits_when_others_agree_on_its_address() {
    let mut world = World::both();
    let ours: SocketAddr = "198.51.100.7:6881".parse().unwrap();
    let before = world.node.side(Family::V4).unwrap().table.own();
    for number in 0..u32::try_from(VOTES_NEEDED).unwrap() {
        let key = LookupKey(number.into());
        let task = Task::Ping {
            address: at(number),
        };
        world.node.handle(world.now, Input::Start { key, task });
        for (to, bytes) in world.sent() {
            let query = decode(&bytes).unwrap();
            let pong = Message {
                ip: Some(ours),
                ..message(query.transaction, Body::Response(Response::new(name(to))))
            };
            world.receive(to, &pong);
        }
    }
    world.sent();
    let after = world.node.side(Family::V4).unwrap().table.own();
    assert!(!before.fits(ours.ip()) && after.fits(ours.ip()));
    assert!(
        world
            .events
            .contains(&Event::ExternalAddress { ip: ours.ip() })
    );
    assert_eq!(world.nodes(Family::V4), VOTES_NEEDED, "the table stays");
    assert_eq!(world.node.save(world.now).id_v4, Some(after));
}

#[test]
fn public_bootstrap_nodes_are_asked_and_not_kept_but_local_ones_are() {
    let mut world = World::both();
    let local: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let addresses = vec![at(1), local];
    world.node.handle(world.now, Input::Bootstrap { addresses });
    assert!(world.serve(name, &Response::new(THEM)) >= 2);
    let known: Vec<_> = world.node.save(world.now).nodes;
    assert_eq!(
        known.iter().map(|node| node.address).collect::<Vec<_>>(),
        [local]
    );
    world.sent();
    let family = Family::V4;
    assert!(
        world
            .events
            .contains(&Event::Bootstrapped { family, nodes: 1 })
    );
}

#[test]
fn empty_table_is_searched_for_again_with_patience() {
    let mut world = World::both();
    let addresses = vec![at(1)];
    world.node.handle(world.now, Input::Bootstrap { addresses });
    let mut asked = Vec::new();
    let start = world.now;
    while world.now < start + Duration::from_secs(1_200) {
        let queries = world
            .sent()
            .into_iter()
            .filter(|(to, _)| *to == at(1))
            .count();
        asked.extend(std::iter::repeat_n(world.now - start, queries));
        world.wait(Duration::from_secs(1));
    }
    assert!((6..12).contains(&asked.len()), "{asked:?}");
}

#[test]
fn saved_nodes_are_found_again() {
    let mut world = World::both();
    world.meet((0..20).map(at));
    let saved = world.node.save(world.now);
    assert!(saved.nodes.len() >= K);
    let saved = Saved::decode(&saved.encode()).unwrap();
    let id = saved.id_v4;
    let mut world = World::new(Config {
        v4: true,
        saved,
        ..Config::default()
    });
    assert_eq!(Some(world.node.side(Family::V4).unwrap().table.own()), id);
    assert_eq!(
        world.nodes(Family::V4),
        0,
        "nobody is believed before it answers"
    );
    world.serve(name, &Response::new(THEM));
    assert!(world.nodes(Family::V4) >= K);
}

#[test]
fn own_item_is_put_again_every_hour() {
    let mut world = World::both();
    world.meet((0..10).map(at));
    let item = Item::immutable(b"5:hello".to_vec()).unwrap();
    world.start(Task::Put {
        item: item.clone(),
        cas: None,
        republish: true,
    });
    let token = Response {
        token: Some(b"token"),
        ..Response::new(THEM)
    };
    world.serve(name, &token);
    assert_eq!(world.outcome().map(|outcome| outcome.stored), Some(K));
    let mut puts = 0;
    let end = world.now + REPUBLISH_EVERY + Duration::from_secs(60);
    while world.now < end {
        for (to, bytes) in world.sent() {
            let query = decode(&bytes).unwrap();
            let Body::Query(Query { method, .. }) = &query.body else {
                continue;
            };
            puts += usize::from(matches!(method, Method::Put { .. }));
            let response = Response {
                id: name(to),
                ..token.clone()
            };
            world.receive(to, &message(query.transaction, Body::Response(response)));
        }
        world.wait(Duration::from_secs(1));
    }
    assert_eq!(puts, K);
    let most = (0..2 * PUBLISHED_MAX).map(|number| format!("i{number}e").into_bytes());
    most.for_each(|value| {
        world
            .node
            .publish(world.now, Item::immutable(value).unwrap())
    });
    assert_eq!(world.node.published.len(), PUBLISHED_MAX);
}

#[test]
fn outsider_cannot_send_us_to_our_own_network() {
    let mut world = World::both();
    world.meet([at(1)]);
    world.start(Task::FindNode { target: THEM });
    let inside = |text: &str| Contact {
        id: THEM,
        address: text.parse().unwrap(),
    };
    let response = Response {
        nodes: Some(vec![
            inside("127.0.0.1:22"),
            inside("10.0.0.1:53"),
            inside("1.2.3.4:0"),
        ]),
        ..Response::new(THEM)
    };
    world.serve(name, &response);
    world.wait(Duration::from_secs(10));
    assert!(world.sent().iter().all(|(to, _)| *to == at(1)));
    let outcome = world.outcome().unwrap();
    assert_eq!((outcome.answers, outcome.queries), (1, 1));
}

#[test]
fn queries_out_are_bounded_whatever_is_asked_for() {
    let mut world = World::both();
    world.meet((0..60).map(at));
    world.now += Duration::from_secs(60);
    for number in 0..2_000 {
        let task = Task::FindNode {
            target: NodeId(std::array::from_fn(|_| world.node.rng.u8(..))),
        };
        let key = LookupKey(number);
        world.node.handle(world.now, Input::Start { key, task });
    }
    let mut sent = 0;
    for _ in 0..10 {
        sent += world.sent().len();
        world.wait(Duration::from_secs(1));
    }
    assert!(sent <= 400 + 10 * 200 + 1, "{sent} queries in ten seconds");
    assert!(sent > 100);
}
