//! Two nodes in one process: one announces a torrent to the other, and finds itself there.
//!
//! What a shell does with sockets is done by hand: `cargo run -p shoal-dht --example two_nodes`.

use std::net::SocketAddr;
use std::time::Instant;

use shoal_dht::{Announce, Config, Event, Input, LookupKey, Node, Output, Task};
use shoal_metainfo::InfoHash;

fn main() {
    let now = Instant::now();
    let addresses: [SocketAddr; 2] = [([127, 0, 0, 1], 6881).into(), ([127, 0, 0, 1], 6882).into()];
    let config = || Config {
        v4: true,
        ..Config::default()
    };
    let mut nodes = [1, 2].map(|seed| Node::new(config(), &[seed; 32], now));
    let addresses_known = vec![addresses[1]];
    nodes[0].handle(
        now,
        Input::Bootstrap {
            addresses: addresses_known,
        },
    );
    exchange(&mut nodes, &addresses, now);

    let port = Some(51413);
    let announce = Some(Announce { port, seed: true });
    for (number, announce) in [(1, announce), (2, None)] {
        let task = Task::GetPeers {
            info_hash: InfoHash([0xaa; 20]),
            announce,
            scrape: true,
        };
        let key = LookupKey(number);
        nodes[0].handle(now, Input::Start { key, task });
        exchange(&mut nodes, &addresses, now);
    }
}

/// Carries datagrams between the two until neither has anything to say.
fn exchange(nodes: &mut [Node; 2], addresses: &[SocketAddr; 2], now: Instant) {
    loop {
        let mut quiet = true;
        for (this, other) in [(0, 1), (1, 0)] {
            while let Some(output) = nodes[this].poll() {
                quiet = false;
                match output {
                    Output::Send { to, bytes } => {
                        assert_eq!(to, addresses[other], "nobody else is there");
                        println!("{this} -> {other}: {}", bytes.escape_ascii());
                        let (from, bytes) = (addresses[this], &bytes[..]);
                        nodes[other].handle(now, Input::Received { from, bytes });
                    }
                    Output::Event(Event::Peers { peers, .. }) => println!("peers: {peers:?}"),
                    Output::Event(event) => println!("{this}: {event:?}"),
                    Output::Persist => {}
                }
            }
        }
        if quiet {
            return;
        }
    }
}
