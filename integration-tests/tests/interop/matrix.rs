//! Every foreign client at our tracker by every way that it knows: HTTP and UDP, IPv4 and IPv6.
//!
//! Each starts as a leech, is told of our seeder there and nowhere else, becomes whole and says so.
//! Transmission and libtorrent scrape as well; aria2 and rqbit cannot. npm's
//! bittorrent-tracker is in `node.rs`.

use std::net::IpAddr;
use std::path::Path;

use serde_json::Value;

use crate::clients::{Client, Kind, Role, libtorrent_python, shoal_binary};
use crate::loopback::wait;
use crate::net::{Host, Net, Running};
use crate::{LEECHER, SEEDER, TRACKER, content, create_for};

/// A way to the tracker.
#[derive(Clone, Copy, Debug)]
struct Way {
    protocol: &'static str,
    is_v6: bool,
}

const WAYS: [Way; 4] = [
    Way {
        protocol: "http",
        is_v6: false,
    },
    Way {
        protocol: "udp",
        is_v6: false,
    },
    Way {
        protocol: "http",
        is_v6: true,
    },
    Way {
        protocol: "udp",
        is_v6: true,
    },
];

impl Way {
    fn address(self, host: Host) -> IpAddr {
        if self.is_v6 {
            host.address_v6().into()
        } else {
            host.address().into()
        }
    }

    /// Debian's Transmission (3.00) and aria2 (1.36) send UDP trackers nothing by IPv6.
    fn is_known_to(self, kind: Kind) -> bool {
        let is_v4_alone = matches!(kind, Kind::Transmission | Kind::Aria2);
        !(self.is_v6 && self.protocol == "udp" && is_v4_alone)
    }

    /// rqbit (9.1.0) has no event but `started` over HTTP: it says that nothing is left.
    fn has_completed(self, kind: Kind) -> bool {
        !(self.protocol == "http" && kind == Kind::Rqbit)
    }

    fn announce_url(self) -> String {
        let address = std::net::SocketAddr::new(self.address(TRACKER), 6969);
        format!("{}://{address}/announce", self.protocol)
    }
}

fn tracker(net: &Net, torrent: &Path, log: &Path) -> Running {
    let mut command = net.command(TRACKER, shoal_binary());
    command
        .args(["tracker", "--no-state", "--json", "--interval", "5"])
        .args(["--listen", "10.78.0.1:6969", "--listen", "[fd78::1]:6969"])
        .arg(torrent);
    Running::start(&mut command, log)
}

/// Whether the tracker told of such an event of the host.
fn told(tracker: &Running, kind: &str, address: IpAddr) -> bool {
    let said = tracker.said();
    let events = said
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut announces =
        events.filter(|event| event["event"] == "announce" && event["kind"] == kind);
    announces.any(|event| {
        let from = event["address"].as_str().and_then(|text| text.parse().ok());
        from.is_some_and(|from: std::net::SocketAddr| from.ip() == address)
    })
}

/// The tracker's sums.
fn stats(net: &Net) -> Value {
    let script = "import sys, urllib.request as r; \
                  sys.stdout.buffer.write(r.urlopen('http://10.78.0.1:6969/stats.json').read())";
    let answer = net.run(TRACKER, &libtorrent_python(), &["-c", script]);
    serde_json::from_slice(&answer.stdout).expect("stats are JSON")
}

/// Waits until the client has been answered a scrape, where it can ask for one, and asserts that it
/// read the numbers that are.
fn assert_scrapes(client: &Client<'_>, kind: Kind, net: &Net, way: Way) {
    match kind {
        Kind::Libtorrent => client.wait_to_say("SCRAPED 2 0"),
        Kind::Transmission => {
            let shown = || client.remote(&["-t", "1", "--info-trackers"]);
            wait("Transmission scrapes", shown, || {
                shown().contains("Tracker had 2 seeders and 0 leechers")
            });
        }
        Kind::Shoal | Kind::Aria2 | Kind::Rqbit => return,
    }
    let sums = stats(net);
    assert!(
        sums[way.protocol]["scrapes"].as_u64() > Some(0),
        "{way:?}: {sums}"
    );
}

/// Lets the client fetch the content, with nobody but the tracker to name a peer.
fn leech(kind: Kind, way: Way) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let content = content(&dir.path().join("seed"));
    let torrent = dir.path().join("content.torrent");
    create_for(&content, &torrent, &[&way.announce_url()]);
    let net = Net::with_v6(3);
    let tracker = tracker(&net, &torrent, &dir.path().join("tracker.log"));
    let data = content.parent().expect("below seed");
    let seed = Client::start((Kind::Shoal, Role::Seed), &net, SEEDER, &torrent, data);
    let tells = |what: &str, event, host| {
        let address = way.address(host);
        let what = format!("{kind:?} by {way:?}: {what}");
        let said = || tracker.said();
        wait(&what, said, || told(&tracker, event, address));
    };
    tells("our seeder starts", "started", SEEDER);

    let data = dir.path().join("leech");
    let more: &[&str] = match kind {
        Kind::Libtorrent => &["scrape"],
        // It speaks UDP with trackers through the socket of its DHT alone, which knows nobody here.
        Kind::Aria2 => &["--enable-dht=true", "--dht-file-path=dht.dat"],
        Kind::Shoal | Kind::Transmission | Kind::Rqbit => &[],
    };
    let role = (kind, Role::Leech);
    let mut leech = Client::start_with(role, &net, LEECHER, &torrent, &data, more);
    tells("it starts", "started", LEECHER);
    leech.wait_whole();
    leech.wait_to_hold(&content);
    leech.assert_holds(&content);
    if way.has_completed(kind) {
        tells("it completes", "completed", LEECHER);
    }
    let said = || stats(&net).to_string();
    wait("it is a seeder", said, || stats(&net)["seeders"] == 2);
    assert_scrapes(&leech, kind, &net, way);

    let sums = stats(&net);
    let other = if way.protocol == "udp" { "http" } else { "udp" };
    assert_eq!(sums[other]["announces"], 0, "{way:?}: {sums}");
    let completed = u64::from(way.has_completed(kind));
    assert_eq!(sums["completed"], completed, "{way:?}: {sums}");
    drop((leech, seed));
    assert_eq!(tracker.interrupt(), Some(0), "the tracker stops cleanly");
}

fn by_every_way(kind: Kind) {
    for way in WAYS.into_iter().filter(|way| way.is_known_to(kind)) {
        leech(kind, way);
    }
}

#[test]
fn matrix_of_transmission() {
    by_every_way(Kind::Transmission);
}

#[test]
fn matrix_of_aria2() {
    by_every_way(Kind::Aria2);
}

#[test]
fn matrix_of_libtorrent() {
    by_every_way(Kind::Libtorrent);
}

#[test]
fn matrix_of_rqbit() {
    by_every_way(Kind::Rqbit);
}
