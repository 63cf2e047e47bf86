//! Our client and our server together over real ports. BEP 3, 7, 12, 23, 24, 48.
#![cfg(all(feature = "client", feature = "server"))]

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use async_std::task;
use shoal_metainfo::{InfoHash, PeerId};
use shoal_tracker::announcer::{Announcer, Input, Output};
use shoal_tracker::{
    AnnounceEvent, AnnounceRequest, Client, Server, ServerConfig, ServerEvent, ServerHandle,
    TrackerError,
};

const HASH: InfoHash = InfoHash(*b"\x00\xff +%&=?#/\x80\r\n\x7f~aZ9._");

fn request(port: u16, left: u64, event: Option<AnnounceEvent>) -> AnnounceRequest {
    AnnounceRequest {
        info_hash: HASH,
        peer_id: PeerId::ours([b'a'; 12]),
        port,
        uploaded: u64::MAX,
        downloaded: 5,
        left,
        event,
        numwant: Some(100),
        key: 77,
        tracker_id: None,
        compact: true,
    }
}

async fn serve(ip: IpAddr, allowed: Option<BTreeSet<InfoHash>>) -> (ServerHandle, SocketAddr) {
    let server = Server::bind(ServerConfig {
        listen: vec![SocketAddr::new(ip, 0)],
        allowed,
        interval: Duration::from_secs(300),
        min_interval: Some(Duration::from_secs(60)),
        ..ServerConfig::default()
    });
    let server = server.await.unwrap();
    let address = server.local_addrs()[0];
    (server.spawn(), address)
}

/// The leech becomes a seed, and the first seed leaves.
async fn finish(client: &Client, url: &str, handle: &ServerHandle, ip: IpAddr) {
    let completed = Some(AnnounceEvent::Completed);
    client
        .announce(url, &request(2, 0, completed))
        .await
        .unwrap();
    let entry = client
        .scrape(url, &[HASH, InfoHash([0; 20])])
        .await
        .unwrap();
    assert_eq!(entry.len(), 1);
    assert_eq!(
        (entry[0].seeders, entry[0].completed, entry[0].leechers),
        (2, 1, 0)
    );

    let stopped = Some(AnnounceEvent::Stopped);
    client.announce(url, &request(1, 0, stopped)).await.unwrap();
    let snapshot = handle.snapshot();
    let peers = &snapshot.torrents[0].peers;
    assert_eq!(peers.len(), 1);
    assert_eq!(
        (peers[0].address, peers[0].uploaded, peers[0].downloaded),
        (SocketAddr::new(ip, 2), u64::MAX, 5)
    );
}

/// The life of a leech beside a seed, in one address family.
async fn live(ip: IpAddr) {
    let (handle, address) = serve(ip, None).await;
    let url = format!("http://{address}/announce");
    let events = handle.events();
    let client = Client::new();
    let at = |port| SocketAddr::new(ip, port);

    let started = Some(AnnounceEvent::Started);
    let seed = client
        .announce(&url, &request(1, 0, started))
        .await
        .unwrap();
    assert_eq!(
        (seed.interval, seed.min_interval),
        (Duration::from_secs(300), Some(Duration::from_secs(60)))
    );
    assert_eq!(
        (seed.seeders, seed.leechers, seed.external_ip),
        (Some(1), Some(0), Some(ip))
    );
    assert_eq!(
        events.recv().await.unwrap(),
        ServerEvent {
            event: AnnounceEvent::Started,
            info_hash: HASH,
            address: at(1),
            peer_id: PeerId::ours([b'a'; 12]),
        }
    );

    let leech = client
        .announce(&url, &request(2, 9, started))
        .await
        .unwrap();
    assert_eq!(leech.peers, [at(1)]);
    let dictionaries = AnnounceRequest {
        compact: false,
        ..request(2, 9, None)
    };
    let leech = client.announce(&url, &dictionaries).await.unwrap();
    assert_eq!(leech.peers, [at(1)]);

    finish(&client, &url, &handle, ip).await;
    handle.stop().await;
    assert!(client.announce(&url, &request(2, 0, None)).await.is_err());
}

#[test]
fn leech_lives_over_ipv4() {
    task::block_on(live(Ipv4Addr::LOCALHOST.into()));
}

#[test]
fn leech_lives_over_ipv6() {
    task::block_on(live(Ipv6Addr::LOCALHOST.into()));
}

#[test]
fn unknown_torrent_is_refused_with_a_reason() {
    task::block_on(async {
        let allowed = Some(BTreeSet::from([InfoHash([1; 20])]));
        let (handle, address) = serve(Ipv4Addr::LOCALHOST.into(), allowed).await;
        let url = format!("http://{address}/announce");
        let refused = Client::new().announce(&url, &request(1, 1, None)).await;
        let Err(TrackerError::Failure { reason, .. }) = refused else {
            panic!("{refused:?}");
        };
        assert!(reason.contains(&HASH.to_string()), "{reason}");
        handle.stop().await;
    });
}

#[test]
fn many_leeches_find_each_other_at_once() {
    task::block_on(async {
        let (handle, address) = serve(Ipv4Addr::LOCALHOST.into(), None).await;
        let client = Client::new();
        let announces: Vec<_> = (1..=60)
            .map(|port| {
                let (client, url) = (client.clone(), format!("http://{address}/announce"));
                task::spawn(async move { client.announce(&url, &request(port, 1, None)).await })
            })
            .collect();
        for announce in announces {
            announce.await.unwrap();
        }
        let url = format!("http://{address}/announce");
        let all = client.announce(&url, &request(61, 1, None)).await.unwrap();
        let ports: BTreeSet<_> = all.peers.iter().map(SocketAddr::port).collect();
        assert_eq!(ports, (1..=60).collect());
        handle.stop().await;
    });
}

/// The announcer's decisions, carried out: a dead tracker, a hopeless one, and a good one.
#[test]
fn announcer_finds_the_tracker_that_answers() {
    task::block_on(async {
        let (handle, address) = serve(Ipv4Addr::LOCALHOST.into(), None).await;
        let client = Client::new();
        let tiers = [
            vec!["wss://127.0.0.1:1/announce".to_owned()],
            vec!["http://127.0.0.1:1/announce".to_owned()],
            vec![format!("http://{address}/announce")],
        ];
        let mut announcer = Announcer::new(&tiers, 1, Instant::now());
        let mut failures = 0;
        let mut answered = None;
        while let Some(Output::Announce {
            tracker,
            url,
            event,
        }) = announcer.poll()
        {
            let result = client.announce(&url, &request(1, 1, event)).await;
            let now = Instant::now();
            match &result {
                Ok(response) => {
                    announcer.handle(now, Input::Answered { tracker, response });
                    answered = Some(url);
                }
                Err(error) => {
                    failures += 1;
                    announcer.note(tracker, &error.to_string());
                    let retry = error.retry();
                    announcer.handle(now, Input::Failed { tracker, retry });
                }
            }
        }
        assert_eq!((failures, answered.as_ref()), (2, Some(&tiers[2][0])));
        let status = announcer.status();
        assert!(status[0].next.is_none() && status[0].message.is_some());
        assert!(status[1].next.is_some() && !status[1].working);
        assert!(status[2].working);
        announcer.handle(Instant::now(), Input::Stop);
        let Some(Output::Announce { url, event, .. }) = announcer.poll() else {
            panic!("a good-bye");
        };
        let briefly = client.with_timeout(Duration::from_secs(3));
        briefly.announce(&url, &request(1, 1, event)).await.unwrap();
        assert!(handle.snapshot().torrents[0].peers.is_empty());
        handle.stop().await;
    });
}

/// Source: BEP 21: who gives no `downloaders` in scrapes does not support it; it refuses nobody.
#[test]
fn partial_seed_is_counted_among_those_who_are_not_whole() {
    task::block_on(async {
        let (handle, address) = serve(Ipv4Addr::LOCALHOST.into(), None).await;
        let (client, paused) = (Client::new(), Some(AnnounceEvent::Paused));
        let urls = ["http", "udp"].map(|scheme| format!("{scheme}://{address}/announce"));
        for (port, url) in (1..).zip(&urls) {
            // In every announce, the first one too.
            for _ in 0..2 {
                client
                    .announce(url, &request(port, 5, paused))
                    .await
                    .unwrap();
            }
            let others = client.announce(url, &request(9, 7, None)).await.unwrap();
            assert!(
                others.peers.iter().any(|peer| peer.port() == port),
                "{others:?}"
            );
            let entries = client.scrape(url, &[HASH]).await.unwrap();
            let counts = (
                entries[0].seeders,
                entries[0].completed,
                entries[0].leechers,
            );
            assert_eq!(counts, (0, 0, u32::from(port) + 1));
        }
        handle.stop().await;
    });
}
