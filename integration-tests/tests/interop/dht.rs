//! One DHT of our nodes, libtorrent's and aria2's, and clients that find each other by it alone: no
//! tracker, no local discovery, no peer exchange, and links that name nobody (BEP 5, 9).
//!
//! Ours begin with a node of libtorrent and libtorrent's with one of ours, so that nobody is found
//! without asking both kinds.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::clients::{Client, Kind, Role, libtorrent_python, script, shoal_binary};
use crate::net::{Host, Net, Running};
use crate::{content, info_hash, run};

/// Where the nodes are that only serve the DHT, each at an address of its own.
const NODES: Host = Host(0);
/// Where aria2's are, one each: it listens at all addresses.
const NODES_OF_ARIA2: [Host; 2] = [Host(1), Host(2)];
const SEEDER: Host = Host(3);
/// The first of them.
const LEECHER: Host = Host(4);
/// Nodes of ours and of libtorrent; aria2's and the clients make them 20 and more.
const OF_OURS: usize = 9;
const OF_LIBTORRENT: usize = 7;
/// Whom a node of ours must know before anybody is looked for, of 18 and more. All begin at once,
/// so that the first search finds few, and tables are filled again soon.
const KNOWN_MIN: usize = 10;
/// The same of libtorrent's.
const KNOWN_MIN_OF_LIBTORRENT: usize = 3;
/// Far above what a DHT needs to form, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// The address of a node: those below are the hosts' own.
fn node(number: usize) -> Ipv4Addr {
    Host(100 + number).address()
}

fn at(address: Ipv4Addr) -> String {
    format!("{address}:6881")
}

/// A node of each kind to begin with.
fn node_of_ours() -> String {
    at(node(0))
}

fn node_of_libtorrent() -> String {
    at(node(OF_OURS))
}

/// The nodes that run; they end when it is dropped.
struct Nodes {
    ours: Vec<Running>,
    libtorrents: Running,
    _arias: Vec<Running>,
}

impl Nodes {
    fn start(net: &Net, dir: &Path) -> Self {
        for number in 0..OF_OURS + OF_LIBTORRENT {
            let address = format!("{}/24", node(number));
            let added = net.run(NODES, "ip", &["addr", "add", &address, "dev", "eth0"]);
            assert!(added.status.success(), "{address}: {added:?}");
        }
        let mut command = net.command(NODES, libtorrent_python());
        command
            .arg(script("libtorrent_dht.py"))
            .arg(node_of_ours())
            .args((OF_OURS..OF_OURS + OF_LIBTORRENT).map(|number| at(node(number))));
        let libtorrents = Running::start(&mut command, &dir.join("libtorrents.log"));
        let ours = (0..OF_OURS).map(|number| {
            let mut command = net.command(NODES, shoal_binary());
            command.args(["dht", "--json", "--listen", &at(node(number))]);
            command.args(["--dht-bootstrap", &node_of_libtorrent(), "--state-dir"]);
            command.arg(dir.join(format!("node{number}")));
            Running::start(&mut command, &dir.join(format!("node{number}.log")))
        });
        let nodes = Self {
            ours: ours.collect(),
            libtorrents,
            _arias: NODES_OF_ARIA2.map(|host| aria2(net, host, dir)).into(),
        };
        nodes.wait_acquainted();
        nodes
    }

    /// Waits until each node knows enough others to be of use.
    fn wait_acquainted(&self) {
        let until = Instant::now() + PATIENCE;
        loop {
            let known = self.known();
            let (theirs, ours) = known.split_last().expect("libtorrent's are the last");
            let is_enough = |&known: &usize| known >= KNOWN_MIN;
            if ours.iter().all(is_enough) && *theirs >= KNOWN_MIN_OF_LIBTORRENT {
                println!(
                    "nodes that each node knows (the last: of libtorrent's the least): {known:?}"
                );
                return;
            }
            assert!(
                Instant::now() < until,
                "nodes know only {known:?} others; libtorrent's said:\n{}",
                self.libtorrents.said()
            );
            thread::sleep(Duration::from_millis(200));
        }
    }

    fn known(&self) -> Vec<usize> {
        let ours = self
            .ours
            .iter()
            .map(|node| last_number(&node.said(), "\"nodes\":"));
        let theirs = last_number(&self.libtorrents.said(), "KNOWS ");
        ours.chain([theirs]).collect()
    }
}

/// It is a node as long as it downloads; what nobody has keeps it at that.
fn aria2(net: &Net, host: Host, dir: &Path) -> Running {
    let mut command = net.command(host, "aria2c");
    command.args(["--no-conf", "--bt-enable-lpd=false", "--disable-ipv6"]);
    command.args(by_dht_alone(Kind::Aria2, host));
    command.arg(format!("--dht-file-path=dht{}.dat", host.0));
    command.arg(format!("magnet:?xt=urn:btih:{:040x}", 0xa21a));
    command.current_dir(dir);
    Running::start(&mut command, &dir.join(format!("aria{}.log", host.0)))
}

/// The number after the last of these words; nothing said yet is 0.
fn last_number(said: &str, words: &str) -> usize {
    let rest = said.rsplit_once(words).map_or("", |(_, rest)| rest);
    let end = rest.find(|letter: char| !letter.is_ascii_digit());
    // A line that is written just now has no end.
    end.and_then(|end| rest[..end].parse().ok()).unwrap_or(0)
}

/// What tells a client of a kind to use this DHT, beginning with the other kind's node, and nothing
/// else.
fn by_dht_alone(kind: Kind, host: Host) -> Vec<String> {
    match kind {
        Kind::Shoal => vec![
            "--dht-bootstrap".to_owned(),
            node_of_libtorrent(),
            "--no-pex".to_owned(),
            "--no-tracker".to_owned(),
        ],
        Kind::Libtorrent => vec![format!("dht={}", node_of_ours())],
        Kind::Aria2 => vec![
            "--enable-dht=true".to_owned(),
            "--dht-listen-port=6881".to_owned(),
            format!("--dht-entry-point={}", node_of_ours()),
            "--dht-file-path=dht.dat".to_owned(),
            // Its manual: "critical to use DHT in a private network".
            format!("--bt-external-ip={}", host.address()),
        ],
        Kind::Transmission | Kind::Rqbit => {
            unreachable!("it takes no node to begin with on its command line")
        }
    }
}

/// A torrent that names no tracker and what it is of.
struct Share {
    content: PathBuf,
    torrent: PathBuf,
    link: String,
}

impl Share {
    fn new(dir: &Path) -> Self {
        let content = content(&dir.join("seed"));
        let torrent = dir.join("content.torrent");
        run(Command::new("mktorrent")
            .arg("-o")
            .arg(&torrent)
            .arg(&content));
        let link = format!("magnet:?xt=urn:btih:{}", info_hash(&torrent));
        Self {
            content,
            torrent,
            link,
        }
    }
}

fn start<'n>(
    net: &'n Net,
    host: Host,
    (kind, role): (Kind, Role),
    torrent: &Path,
    data: &Path,
) -> Client<'n> {
    let more = by_dht_alone(kind, host);
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    Client::start_with((kind, role), net, host, torrent, data, &more)
}

/// One client has the content; the others, each in its turn, have the link and know nobody.
fn found_through_the_mix(seeder: Kind, leechers: &[Kind]) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let share = Share::new(dir.path());
    let net = Net::new(LEECHER.0 + leechers.len());
    let nodes = Nodes::start(&net, dir.path());
    let data = share.content.parent().expect("below seed");
    let seed = (seeder, Role::Seed);
    let mut seed = start(&net, SEEDER, seed, &share.torrent, data);
    seed.wait_whole();
    for (number, &leecher) in leechers.iter().enumerate() {
        let began = Instant::now();
        let data = dir.path().join(format!("leech{number}"));
        let leech = (leecher, Role::Leech);
        let host = Host(LEECHER.0 + number);
        let leech = start(&net, host, leech, Path::new(&share.link), &data);
        leech.wait_to_hold(&share.content);
        println!(
            "{leecher:?} found {seeder:?}: whole after {:?}",
            began.elapsed()
        );
    }
    drop((seed, nodes));
}

#[test]
fn we_find_libtorrent_through_a_dht_of_all_kinds() {
    found_through_the_mix(Kind::Libtorrent, &[Kind::Shoal]);
}

#[test]
fn libtorrent_and_aria2_find_us_through_a_dht_of_all_kinds() {
    found_through_the_mix(Kind::Shoal, &[Kind::Libtorrent, Kind::Aria2]);
}

#[test]
fn we_find_aria2_through_a_dht_of_all_kinds() {
    found_through_the_mix(Kind::Aria2, &[Kind::Shoal]);
}
