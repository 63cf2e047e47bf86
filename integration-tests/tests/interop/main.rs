//! Real foreign clients in real networks: both directions, content compared.
//!
//! Needs root, Linux, `ip`, Transmission, aria2, opentracker, microsocks, dante, mktorrent, nginx,
//! miniupnpd, nft, mkfs.ext4, mergerfs, redis-server, Chromium, rqbit, Node.js with
//! bittorrent-tracker and libtorrent for Python; a missing one fails the test. `just interop` runs
//! it; `cargo test --workspace` does not.

mod alike;
mod browser;
mod clients;
mod compare;
mod dht;
mod faults;
mod faults_cgroup;
mod faults_room;
mod loopback;
mod magnets;
mod matrix;
mod near;
mod net;
mod node;
mod pages;
mod pex;
mod relay;
mod selected;
mod slow;
mod store;
mod trackers;
mod web;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use clients::{Client, Kind, Role, libtorrent_python, script, shoal_binary};
use net::{Host, Net, Running};

const TRACKER: Host = Host(0);
const SEEDER: Host = Host(1);
const LEECHER: Host = Host(2);
const ANNOUNCE: &str = "http://10.78.0.1:6969/announce";

/// A folder of content with what trips clients up: an empty file, a file of one byte, one that ends
/// on a piece boundary, a folder in a folder, names outside ASCII.
fn content(dir: &Path) -> PathBuf {
    let root = dir.join("content");
    let random = &mut fastrand::Rng::with_seed(20_260_101);
    let files: [(&str, usize); 6] = [
        ("a/first.bin", 3 << 20),
        ("a/b/empty", 0),
        ("a/b/one", 1),
        ("boundary.bin", 1 << 18),
        ("last.bin", 5_000_001),
        ("ünï cødé.txt", 70_000),
    ];
    for (name, length) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().expect("below the root")).expect("a folder");
        let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
            .take(length)
            .collect();
        fs::write(path, bytes).expect("a file of content");
    }
    root
}

fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{text}\n{error}",
        output.status
    );
    text
}

fn create(content: &Path, torrent: &Path) {
    create_for(content, torrent, &[ANNOUNCE]);
}

/// With these trackers, each a tier of its own.
fn create_for(content: &Path, torrent: &Path, trackers: &[&str]) {
    let mut command = Command::new(shoal_binary());
    command.arg("create").arg(content).args(trackers);
    run(command.arg("-o").arg(torrent));
}

fn info_hash(torrent: &Path) -> String {
    let shown = run(Command::new(shoal_binary())
        .arg("show")
        .arg(torrent)
        .arg("--json"));
    let (_, rest) = shown
        .split_once("\"info_hash\":")
        .expect("show tells the info hash");
    rest.split('"').nth(1).expect("a quoted hash").to_owned()
}

/// Waits until the tracker's log names the host.
fn wait_announced(tracker: &Running, host: Host) {
    let until = Instant::now() + Duration::from_secs(60);
    let address = host.address().to_string();
    while !tracker.said().contains(&address) {
        assert!(
            Instant::now() < until,
            "{address} never announced:\n{}",
            tracker.said()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn shoal_tracker(net: &Net, torrent: &Path, log: &Path) -> Running {
    let mut command = net.command(TRACKER, shoal_binary());
    command
        .args(["tracker", "--no-state"])
        .arg(torrent)
        .args(["--interval", "5", "--json"]);
    Running::start(&mut command, log)
}

/// Moves the content from one client to another through our tracker.
fn transfer(seeder: Kind, leecher: Kind) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let content = content(&dir.path().join("seed"));
    let torrent = dir.path().join("content.torrent");
    create(&content, &torrent);
    let net = Net::new(3);
    let tracker = shoal_tracker(&net, &torrent, &dir.path().join("tracker.log"));
    let data = content.parent().expect("below seed");
    let mut seed = Client::start((seeder, Role::Seed), &net, SEEDER, &torrent, data);
    seed.wait_whole();
    wait_announced(&tracker, SEEDER);
    let data = dir.path().join("leech");
    let mut leech = Client::start((leecher, Role::Leech), &net, LEECHER, &torrent, &data);
    leech.wait_whole();
    leech.assert_holds(&content);
    drop((seed, leech));
    assert_eq!(tracker.interrupt(), Some(0), "the tracker stops cleanly");
}

#[test]
fn transmission_downloads_from_us() {
    transfer(Kind::Shoal, Kind::Transmission);
}

#[test]
fn we_download_from_transmission() {
    transfer(Kind::Transmission, Kind::Shoal);
}

#[test]
fn aria2_downloads_from_us() {
    transfer(Kind::Shoal, Kind::Aria2);
}

#[test]
fn we_download_from_aria2() {
    transfer(Kind::Aria2, Kind::Shoal);
}

#[test]
fn libtorrent_downloads_from_us() {
    transfer(Kind::Shoal, Kind::Libtorrent);
}

#[test]
fn we_download_from_libtorrent() {
    transfer(Kind::Libtorrent, Kind::Shoal);
}

#[test]
fn rqbit_downloads_from_us() {
    transfer(Kind::Shoal, Kind::Rqbit);
}

#[test]
fn we_download_from_rqbit() {
    transfer(Kind::Rqbit, Kind::Shoal);
}

#[test]
fn all_kinds_complete_in_one_swarm() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let content = content(&dir.path().join("seed"));
    let torrent = dir.path().join("content.torrent");
    create(&content, &torrent);
    let net = Net::new(7);
    let tracker = shoal_tracker(&net, &torrent, &dir.path().join("tracker.log"));
    let data = content.parent().expect("below seed");
    let seed = Client::start((Kind::Shoal, Role::Seed), &net, SEEDER, &torrent, data);
    wait_announced(&tracker, SEEDER);
    let kinds = [
        Kind::Shoal,
        Kind::Transmission,
        Kind::Aria2,
        Kind::Libtorrent,
        Kind::Rqbit,
    ];
    let mut leechers: Vec<_> = kinds
        .into_iter()
        .enumerate()
        .map(|(number, kind)| {
            let data = dir.path().join(format!("leech{number}"));
            Client::start((kind, Role::Leech), &net, Host(number + 2), &torrent, &data)
        })
        .collect();
    for leecher in &mut leechers {
        leecher.wait_whole();
        leecher.assert_holds(&content);
    }
    drop(seed);
}

#[test]
fn others_read_our_torrents_with_the_same_info_hash() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let content = content(dir.path());
    let torrent = dir.path().join("content.torrent");
    create(&content, &torrent);
    let hash = info_hash(&torrent);
    assert_eq!(hash.len(), 40);
    let shown = run(Command::new("transmission-show").arg(&torrent));
    assert!(
        shown.contains(&hash),
        "Transmission sees another hash than {hash}:\n{shown}"
    );
    let shown = run(Command::new("aria2c").arg("--show-files").arg(&torrent));
    assert!(
        shown.contains(&hash),
        "aria2 sees another hash than {hash}:\n{shown}"
    );
    let mut command = Command::new(libtorrent_python());
    let shown = run(command
        .arg(script("libtorrent_torrent.py"))
        .arg("show")
        .arg(&torrent));
    assert_eq!(shown.trim(), hash, "libtorrent");
}

#[test]
fn we_read_the_torrents_of_others_with_the_same_info_hash() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let content = content(dir.path());
    let theirs = |name: &str| dir.path().join(name);
    let check = |torrent: &Path| {
        let shown = run(Command::new("transmission-show").arg(torrent));
        let hash = info_hash(torrent);
        assert!(
            shown.contains(&hash),
            "{}: we see {hash}:\n{shown}",
            torrent.display()
        );
        let mut verify = Command::new(shoal_binary());
        run(verify
            .arg("verify")
            .arg(torrent)
            .arg("--dir")
            .arg(dir.path()));
    };
    let torrent = theirs("transmission.torrent");
    let mut command = Command::new("transmission-create");
    run(command
        .arg("--outfile")
        .arg(&torrent)
        .args(["--tracker", ANNOUNCE])
        .arg(&content));
    check(&torrent);
    let torrent = theirs("mktorrent.torrent");
    run(Command::new("mktorrent")
        .arg("-o")
        .arg(&torrent)
        .args(["-a", ANNOUNCE])
        .arg(&content));
    check(&torrent);
    let torrent = theirs("libtorrent.torrent");
    let mut command = Command::new(libtorrent_python());
    command.arg(script("libtorrent_torrent.py")).arg("create");
    run(command.arg(&content).arg(ANNOUNCE).arg(&torrent));
    check(&torrent);
}
