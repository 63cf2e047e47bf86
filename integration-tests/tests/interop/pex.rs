//! Peers found by PEX alone, with real clients on either side. BEP 11.
//!
//! No tracker answers and nobody has any of the content: so nobody is complete, nobody leaves, and
//! what connects two is that a third told one of the other.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::clients::{Client, Kind, Role, shoal_binary};
use super::net::{Host, Net, Running};
use super::{content, create};

/// Transmission tells of others every 90 s.
const PATIENCE: Duration = Duration::from_secs(240);

/// Ours, without a tracker, in a folder beside the others'; `more` is what else is typed.
fn ours(net: &Net, host: Host, torrent: &Path, more: &[&str]) -> Running {
    let data = torrent.with_file_name(format!("ours{}", host.0));
    let mut command = net.command(host, shoal_binary());
    command.arg("client").arg(torrent).arg("6881");
    command
        .args(["--json", "--no-tracker", "--no-dht", "--no-lsd", "--dir"])
        .arg(&data);
    command.args(more);
    Running::start(&mut command, &data.with_extension("log"))
}

/// Waits until one of them says `peer_connected` with all of these.
fn wait_connected(those: &[&Running], with: &[&str]) {
    let until = Instant::now() + PATIENCE;
    loop {
        let said: Vec<_> = those.iter().map(|ours| ours.said()).collect();
        let lines = said.iter().flat_map(|said| said.lines());
        let mut connections = lines.filter(|line| line.contains("\"peer_connected\""));
        if connections.any(|line| with.iter().all(|what| line.contains(what))) {
            return;
        }
        assert!(
            Instant::now() < until,
            "no {with:?} in:\n{}",
            said.join("\n")
        );
        thread::sleep(Duration::from_millis(200));
    }
}

fn peer(host: Host) -> String {
    format!("{}:6881", host.address())
}

/// Two of ours know a client of another kind alone, and it tells them of each other.
fn they_introduce_ours(kind: Kind) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let torrent = dir.path().join("content.torrent");
    create(&content(&dir.path().join("seed")), &torrent);
    let net = Net::new(4);
    let [hub, one, other] = [Host(1), Host(2), Host(3)];
    let data = dir.path().join("hub");
    let theirs = Client::start((kind, Role::Leech), &net, hub, &torrent, &data);
    let know_hub = ["--peer", &peer(hub)];
    let [first, second] = [one, other].map(|host| ours(&net, host, &torrent, &know_hub));
    wait_connected(&[&first, &second], &["\"source\":\"pex\""]);
    drop((first, second, theirs));
}

/// One of ours tells a client of another kind of another of ours, which says nothing of others
/// itself, so that it must be dialled.
fn we_introduce_ours_to(kind: Kind) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let torrent = dir.path().join("content.torrent");
    create(&content(&dir.path().join("seed")), &torrent);
    let net = Net::new(4);
    let [host, mute, hub] = [Host(1), Host(2), Host(3)];
    let data = dir.path().join("theirs");
    let theirs = Client::start((kind, Role::Leech), &net, host, &torrent, &data);
    let mute_one = ours(&net, mute, &torrent, &["--no-pex"]);
    let know_both = ["--peer", &peer(host), "--peer", &peer(mute)];
    let between = ours(&net, hub, &torrent, &know_both);
    let from_there = format!("\"address\":\"{}:", host.address());
    wait_connected(&[&mute_one], &[&from_there, "\"source\":\"incoming\""]);
    drop((between, mute_one, theirs));
}

#[test]
fn pex_of_transmission_introduces_ours() {
    they_introduce_ours(Kind::Transmission);
}

#[test]
fn pex_of_libtorrent_introduces_ours() {
    they_introduce_ours(Kind::Libtorrent);
}

#[test]
fn our_pex_introduces_ours_to_transmission() {
    we_introduce_ours_to(Kind::Transmission);
}

#[test]
fn our_pex_introduces_ours_to_libtorrent() {
    we_introduce_ours_to(Kind::Libtorrent);
}
