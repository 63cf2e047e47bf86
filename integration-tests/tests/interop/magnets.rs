//! Magnet links between real clients, with no tracker: metadata, then the content.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::clients::{Client, Kind, Role};
use crate::net::{Host, Net};
use crate::{LEECHER, SEEDER, content, create, info_hash};

/// One has the .torrent and the content, the other the link. The link names the seeder; who does
/// not read that is dialled.
fn by_link(seeder: Kind, leecher: Kind) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let content = content(&dir.path().join("seed"));
    let torrent = dir.path().join("content.torrent");
    create(&content, &torrent);
    let net = Net::new(3);
    let at = |host: Host| format!("{}:6881", host.address());
    let link = format!(
        "magnet:?xt=urn:btih:{}&x.pe={}",
        info_hash(&torrent),
        at(SEEDER)
    );
    let data = content.parent().expect("below seed");
    let dial = at(LEECHER);
    let more = match seeder {
        Kind::Shoal => vec!["--no-tracker", "--peer", &dial],
        _ => Vec::new(),
    };
    let seed = (seeder, Role::Seed);
    let mut seed = Client::start_with(seed, &net, SEEDER, &torrent, data, &more);
    seed.wait_whole();
    let data = dir.path().join("leech");
    let began = Instant::now();
    let leech = (leecher, Role::Leech);
    let leech = Client::start(leech, &net, LEECHER, Path::new(&link), &data);
    if leecher == Kind::Shoal {
        leech.wait_to_say("\"metadata\"");
        println!(
            "{seeder:?} to {leecher:?}: metadata after {:?}",
            began.elapsed()
        );
    }
    leech.wait_to_hold(&content);
    println!("{seeder:?} to {leecher:?} by magnet: {:?}", began.elapsed());
}

/// How long a client that only has the link takes for the metadata.
fn metadata_after(net: &Net, host: Host, leecher: Kind, link: &str, data: &Path) -> Duration {
    let words = match leecher {
        Kind::Shoal => "\"metadata\"",
        _ => "METADATA",
    };
    let began = Instant::now();
    let leech = (leecher, Role::Leech);
    let leech = Client::start(leech, net, host, Path::new(link), data);
    leech.wait_to_say(words);
    began.elapsed()
}

/// Transmission hands out what it owes in batches, seconds apart: how long that takes is measured
/// by libtorrent, in the same run.
#[test]
fn metadata_of_transmission_takes_us_no_longer_than_libtorrent() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let content = content(&dir.path().join("seed"));
    let torrent = dir.path().join("content.torrent");
    create(&content, &torrent);
    let net = Net::new(4);
    let at = format!("{}:6881", SEEDER.address());
    let link = format!("magnet:?xt=urn:btih:{}&x.pe={at}", info_hash(&torrent));
    let data = content.parent().expect("below seed");
    let seed = (Kind::Transmission, Role::Seed);
    let mut seed = Client::start(seed, &net, SEEDER, &torrent, data);
    seed.wait_whole();
    let (theirs, ours) = (Host(2), Host(3));
    let of = |host: Host, kind, name: &str| {
        metadata_after(&net, host, kind, &link, &dir.path().join(name))
    };
    let theirs = of(theirs, Kind::Libtorrent, "theirs");
    let ours = of(ours, Kind::Shoal, "ours");
    println!("metadata of Transmission: libtorrent after {theirs:?}, we after {ours:?}");
    let most = theirs.mul_f64(1.5) + Duration::from_secs(1);
    assert!(ours <= most, "{ours:?}, libtorrent {theirs:?}");
}

#[test]
fn we_download_by_magnet_from_libtorrent() {
    by_link(Kind::Libtorrent, Kind::Shoal);
}

#[test]
fn we_download_by_magnet_from_transmission() {
    by_link(Kind::Transmission, Kind::Shoal);
}

#[test]
fn libtorrent_downloads_by_magnet_from_us() {
    by_link(Kind::Shoal, Kind::Libtorrent);
}

#[test]
fn transmission_downloads_by_magnet_from_us() {
    by_link(Kind::Shoal, Kind::Transmission);
}

#[test]
fn aria2_downloads_by_magnet_from_us() {
    by_link(Kind::Shoal, Kind::Aria2);
}

#[test]
fn we_download_by_magnet_from_us() {
    by_link(Kind::Shoal, Kind::Shoal);
}
