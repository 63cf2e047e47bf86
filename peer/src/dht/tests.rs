//! Nodes with real sockets, on loopback.

use super::*;
use async_std::task::block_on;
use shoal_dht::{Announce, Outcome, SecretKey};
use shoal_metainfo::InfoHash;

fn node(bootstrap: &[&Dht], listen: &str) -> Dht {
    let to = |dht: &&Dht| {
        (
            dht.local_addrs()[0].ip().to_string(),
            dht.local_addrs()[0].port(),
        )
    };
    let config = DhtConfig {
        bootstrap: bootstrap.iter().map(to).collect(),
        read_only: false,
    };
    Dht::start(config, &[listen.parse().unwrap()], None).unwrap()
}

async fn outcome(dht: &Dht, task: Task) -> (Vec<Event>, Outcome) {
    let news = dht.begin(task).await;
    let mut events = Vec::new();
    while let Ok(event) = news.recv().await {
        match event {
            Event::Finished { outcome, .. } => return (events, outcome),
            event => events.push(event),
        }
    }
    panic!("the node ended");
}

fn get_peers(port: Option<u16>) -> Task {
    Task::GetPeers {
        info_hash: InfoHash([7; 20]),
        announce: port.map(|port| Announce {
            port: Some(port),
            seed: false,
        }),
        scrape: false,
    }
}

#[test]
fn peer_announced_by_one_is_found_by_another_on_both_families() {
    for listen in ["127.0.0.1:0", "[::1]:0"] {
        block_on(async {
            let first = node(&[], listen);
            let (second, third) = (node(&[&first], listen), node(&[&first], listen));
            second.ready().await;
            third.ready().await;
            let (_, announced) = outcome(&second, get_peers(Some(4321))).await;
            assert!(announced.stored >= 1);
            let (events, _) = outcome(&third, get_peers(None)).await;
            let expect = SocketAddr::new(second.local_addrs()[0].ip(), 4321);
            let found = events.iter().any(
                |event| matches!(event, Event::Peers { peers, .. } if peers.contains(&expect)),
            );
            assert!(found, "{events:?}");
        });
    }
}

#[test]
fn item_put_by_one_is_got_by_another() {
    block_on(async {
        let first = node(&[], "127.0.0.1:0");
        let (second, third) = (
            node(&[&first], "127.0.0.1:0"),
            node(&[&first], "127.0.0.1:0"),
        );
        second.ready().await;
        third.ready().await;
        let item = SecretKey::new(&[1; 32])
            .sign(b"5:hello".to_vec(), b"s", 1)
            .unwrap();
        let put = Task::Put {
            item: item.clone(),
            cas: None,
            republish: false,
        };
        assert!(outcome(&second, put).await.1.stored >= 1);
        let get = Task::Get {
            target: item.target(),
            salt: b"s".to_vec(),
        };
        let (events, _) = outcome(&third, get).await;
        assert!(
            events
                .iter()
                .any(|event| matches!(event, Event::Item { item: found, .. } if *found == item))
        );
    });
}

#[test]
fn node_that_was_known_is_found_after_a_restart_without_bootstrap() {
    block_on(async {
        let state = tempfile::tempdir().unwrap();
        let other = node(&[], "127.0.0.1:0");
        let listen = ["127.0.0.1:0".parse().unwrap()];
        let to = other.local_addrs()[0];
        let config = DhtConfig {
            bootstrap: vec![(to.ip().to_string(), to.port())],
            read_only: false,
        };
        let first = Dht::start(config, &listen, Some(state.path())).unwrap();
        first.ready().await;
        let id = first.snapshot().await.unwrap().families[0].id;
        first.stop().await;
        assert!(first.snapshot().await.is_none());
        let again = Dht::start(DhtConfig::default(), &listen, Some(state.path())).unwrap();
        again.ready().await;
        assert_eq!(again.snapshot().await.unwrap().families[0].id, id);
    });
}

#[test]
fn taken_port_is_replaced_by_a_free_one() {
    block_on(async {
        let first = node(&[], "127.0.0.1:0");
        let taken = first.local_addrs()[0];
        let second = Dht::start(DhtConfig::default(), &[taken], None).unwrap();
        assert_ne!(second.local_addrs()[0].port(), taken.port());
        assert_eq!(
            second.port_for("127.0.0.1:1".parse().unwrap()),
            Some(second.local_addrs()[0].port())
        );
        assert_eq!(second.port_for("[::1]:1".parse().unwrap()), None);
    });
}
