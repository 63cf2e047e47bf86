//! opentracker and ours are told the same, word for word, and their answers mean the same, but for
//! what is listed here with its reason. Debian's opentracker (20210823), which serves what its list
//! names, as ours does here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use shoal_tracker::http::response;

use crate::loopback::{free_port, get, tracker, wait};
use crate::net::Running;
use crate::trackers::open_folder;
use crate::{create_for, info_hash};

/// What an answer says.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    Refused,
    /// Seeders, leechers, and the ports of the peers named, without the asker's.
    Announced(Option<u32>, Option<u32>, BTreeSet<u16>),
    /// Seeders, completed, leechers of each torrent.
    Scraped(Vec<(u32, u32, u32)>),
}

/// One question after the other: a name, and the query. `H` stands for the torrent, `P` for the
/// beginning of an id.
const SCRIPT: &[(&str, &str)] = &[
    ("scrape before all", "/scrape?info_hash=H"),
    (
        "a leech starts",
        "info_hash=H&peer_id=P01&port=1001&left=9&event=started",
    ),
    (
        "another starts",
        "info_hash=H&peer_id=P02&port=1002&left=9&event=started",
    ),
    (
        "a seed starts",
        "info_hash=H&peer_id=P03&port=1003&left=0&event=started",
    ),
    (
        "another seed starts",
        "info_hash=H&peer_id=P04&port=1004&left=0&event=started",
    ),
    (
        "a leech comes again",
        "info_hash=H&peer_id=P01&port=1001&left=5",
    ),
    (
        "it wants nobody",
        "info_hash=H&peer_id=P01&port=1001&left=5&numwant=0",
    ),
    (
        "it wants all, no compact",
        "info_hash=H&peer_id=P01&port=1001&left=5&compact=0",
    ),
    ("scrape in the middle", "/scrape?info_hash=H"),
    (
        "it becomes whole",
        "info_hash=H&peer_id=P01&port=1001&left=0&event=completed",
    ),
    (
        "it becomes whole again",
        "info_hash=H&peer_id=P01&port=1001&left=0&event=completed",
    ),
    ("scrape after that", "/scrape?info_hash=H"),
    (
        "a leech stops",
        "info_hash=H&peer_id=P02&port=1002&left=9&event=stopped",
    ),
    (
        "it stops again",
        "info_hash=H&peer_id=P02&port=1002&left=9&event=stopped",
    ),
    (
        "a stranger's id stops a peer",
        "info_hash=H&peer_id=P99&port=1003&left=0&event=stopped",
    ),
    ("who is left", "info_hash=H&peer_id=P05&port=1005&left=1"),
    (
        "a peer has another id",
        "info_hash=H&peer_id=P98&port=1004&left=0&event=started",
    ),
    (
        "who is left then",
        "info_hash=H&peer_id=P05&port=1005&left=1",
    ),
    (
        "an event of its own",
        "info_hash=H&peer_id=P05&port=1005&left=1&event=paused",
    ),
    (
        "an empty event",
        "info_hash=H&peer_id=P05&port=1005&left=1&event=",
    ),
    ("no torrent", "peer_id=P05&port=1005&left=1"),
    (
        "half a torrent",
        "info_hash=0123456789&peer_id=P05&port=1005&left=1",
    ),
    ("no port", "info_hash=H&peer_id=P05&left=1"),
    ("port 0", "info_hash=H&peer_id=P05&port=0&left=1"),
    ("port 65536", "info_hash=H&peer_id=P05&port=65536&left=1"),
    (
        "a port in letters",
        "info_hash=H&peer_id=P05&port=http&left=1",
    ),
    ("no id", "info_hash=H&port=1006&left=1"),
    ("no left", "info_hash=H&peer_id=P06&port=1006"),
    ("left below 0", "info_hash=H&peer_id=P06&port=1006&left=-1"),
    (
        "a torrent not served",
        "info_hash=01234567890123456789&peer_id=P07&port=1007&left=1",
    ),
    ("scrape of that", "/scrape?info_hash=01234567890123456789"),
    ("scrape at the end", "/scrape?info_hash=H"),
];

/// Where they differ, and why ours is as it is.
const DIFFERENCES: &[(&str, &str)] = &[
    (
        "scrape before all",
        "Of a torrent that is served zeros are known; theirs knows it only once \
         somebody announced.",
    ),
    (
        "another seed starts",
        "A seed has no use for seeds: it is told of leeches alone.",
    ),
    (
        "it becomes whole",
        "A seed has no use for seeds: it is told of leeches alone.",
    ),
    (
        "it becomes whole again",
        "A seed has no use for seeds: it is told of leeches alone.",
    ),
    (
        "it wants all, no compact",
        "Theirs refuses who wants dictionaries; BEP 23 has trackers give them.",
    ),
    (
        "a stranger's id stops a peer",
        "An id is no secret and no proof, but the wrong one proves that it is a \
         stranger: theirs loses 1003, here and below.",
    ),
    ("who is left", "1003 was not stopped by itself."),
    (
        "a peer has another id",
        "A seed has no use for seeds; and 1003.",
    ),
    ("who is left then", "1003."),
    ("an event of its own", "1003."),
    ("an empty event", "1003."),
    (
        "no port",
        "Nobody can be reached there, yet theirs has it in the swarm; ours says \
         what is missing.",
    ),
    ("port 0", "Nobody can be reached there."),
    (
        "no id",
        "BEP 3 demands it, and without it nobody could stop the peer; ours says \
         what is missing.",
    ),
    (
        "no left",
        "BEP 3 demands it; theirs takes it for a leech, ours says what is \
         missing.",
    ),
    (
        "left below 0",
        "No number of bytes; theirs takes it for a leech.",
    ),
    (
        "scrape at the end",
        "1003, and the two that theirs took in and ours refused.",
    ),
];

fn ask(address: SocketAddr, step: &str, hash: &str) -> Meaning {
    let query = step
        .replace('H', hash)
        .replace("peer_id=P", "peer_id=-XX0001-0123456789");
    let is_scrape = query.starts_with('/');
    let path = if is_scrape {
        query
    } else {
        let compact = if query.contains("compact=") {
            ""
        } else {
            "&compact=1"
        };
        format!("/announce?{query}&uploaded=0&downloaded=0{compact}")
    };
    let Some(body) = get(address, &path) else {
        return Meaning::Refused;
    };
    if is_scrape {
        return match response::parse_scrape(&body) {
            Ok(entries) => {
                let numbers = entries.iter().map(|e| (e.seeders, e.completed, e.leechers));
                Meaning::Scraped(numbers.collect())
            }
            Err(_) => Meaning::Refused,
        };
    }
    let Ok(told) = response::parse_announce(&body) else {
        return Meaning::Refused;
    };
    let own = |port: &u16| format!("{step}&").contains(&format!("port={port}&"));
    let ports = told.peers.iter().map(SocketAddr::port);
    let ports = ports.filter(|port| !own(port)).collect();
    Meaning::Announced(told.seeders, told.leechers, ports)
}

#[test]
fn opentracker_and_ours_mean_the_same() {
    let dir = tempfile::Builder::new()
        .permissions(open_folder())
        .tempdir()
        .expect("a temporary folder");
    let content = dir.path().join("content");
    fs::write(&content, [7; 1_000]).expect("a file");
    let torrent = dir.path().join("content.torrent");
    create_for(&content, &torrent, &["http://127.0.0.1:1/announce"]);
    let hexadecimal = info_hash(&torrent);
    let bytes = hexadecimal.as_bytes().chunks(2);
    let hash: String = bytes
        .map(|byte| format!("%{}", String::from_utf8_lossy(byte)))
        .collect();

    fs::write(dir.path().join("whitelist"), hexadecimal + "\n").expect("a whitelist");
    let port = free_port().to_string();
    let mut theirs = Command::new("opentracker");
    theirs.args(["-i", "127.0.0.1", "-p", &port, "-P", &port]);
    theirs.args(["-u", "nobody", "-w", "/whitelist", "-d"]);
    let theirs = Running::start(theirs.arg(dir.path()), &dir.path().join("theirs.log"));
    let address = format!("127.0.0.1:{port}").parse().expect("an address");
    wait(
        "opentracker listens",
        || theirs.said(),
        || TcpStream::connect(address).is_ok(),
    );
    let options = [
        torrent.as_os_str(),
        "--listen".as_ref(),
        "127.0.0.1:0".as_ref(),
    ];
    let (_ours, listens) = tracker(&options, &dir.path().join("ours.log"));

    let mut found = BTreeMap::new();
    for (name, step) in SCRIPT {
        let [theirs, ours] = [address, listens[0]].map(|to| ask(to, step, &hash));
        if theirs != ours {
            found.insert(*name, format!("opentracker {theirs:?}, ours {ours:?}"));
        }
    }
    let names: BTreeSet<_> = found.keys().copied().collect();
    let listed: BTreeSet<_> = DIFFERENCES.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, listed, "{found:#?}");
}
