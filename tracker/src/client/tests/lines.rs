//! Connections that a tracker leaves open, and who uses them next.

use super::*;

/// A tracker that leaves its connections open; gives how many there were, and how many asked for
/// it.
fn staying(per_connection: usize) -> (SocketAddr, Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (connections, asked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counters = (Arc::clone(&connections), Arc::clone(&asked));
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            counters.0.fetch_add(1, Ordering::Relaxed);
            let asked = Arc::clone(&counters.1);
            thread::spawn(move || {
                for _ in 0..per_connection {
                    let head = read_head(&mut stream);
                    if head.is_empty() {
                        return;
                    }
                    let stay = head.contains("connection: keep-alive");
                    asked.fetch_add(usize::from(stay), Ordering::Relaxed);
                    // Long enough for the others to come.
                    thread::sleep(Duration::from_millis(20));
                    let _ = stream.write_all(GOOD.as_bytes());
                }
            });
        }
    });
    (address, connections, asked)
}

/// Announces as so many torrents at once.
fn announce_as(torrents: usize, client: &Client, url: &str) {
    let announce = |_| {
        let (client, url) = (client.clone(), url.to_owned());
        task::spawn(async move { client.announce(&url, &request()).await })
    };
    let announces: Vec<_> = (0..torrents).map(announce).collect();
    for announce in announces {
        let got = task::block_on(announce);
        assert_eq!(got.unwrap().interval, Duration::from_secs(900));
    }
}

#[test]
fn torrents_share_the_connections_that_a_tracker_leaves_open() {
    let (address, connections, asked) = staying(usize::MAX);
    let (client, url) = (client(), format!("http://{address}/announce"));
    announce_as(100, &client, &url);
    let most = limits::CONNECTIONS_PER_TRACKER_MAX;
    assert!(connections.load(Ordering::Relaxed) <= most);
    assert!(asked.load(Ordering::Relaxed) > 0);
    // One alone asks the tracker to close, and finds nothing left open.
    let before = (
        connections.load(Ordering::Relaxed),
        asked.load(Ordering::Relaxed),
    );
    announce_as(1, &client, &url);
    let after = (
        connections.load(Ordering::Relaxed),
        asked.load(Ordering::Relaxed),
    );
    assert_eq!(after, (before.0 + 1, before.1));
}

#[test]
fn connection_that_the_tracker_has_closed_is_replaced() {
    let (address, connections, _) = staying(2);
    announce_as(100, &client(), &format!("http://{address}/announce"));
    assert!(connections.load(Ordering::Relaxed) >= 50);
}

#[test]
fn open_connection_is_not_used_for_what_is_forbidden() {
    let (address, _, _) = staying(usize::MAX);
    let client = client();
    let (good, bad) = (
        format!("http://{address}/announce"),
        format!("http://{address}/admin"),
    );
    let admin = {
        let client = client.clone();
        task::spawn(async move {
            for _ in 0..20 {
                check(client.announce(&bad, &request()).await, "/announce");
                task::sleep(Duration::from_millis(2)).await;
            }
        })
    };
    announce_as(40, &client, &good);
    task::block_on(admin);
}
