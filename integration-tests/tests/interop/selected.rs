//! Some files of a torrent only: a link that says which, and a seeder that is not ours. BEP 53.

use std::fs;
use std::path::Path;

use crate::clients::{Client, Kind, Role, assert_same};
use crate::net::{Host, Net};
use crate::{LEECHER, SEEDER, content, create, info_hash};

/// The numbers of the files that end so, as our `show` would list them.
const SELECTED: [&str; 2] = ["a/b/one", "last.bin"];

fn number_of(torrent: &Path, path: &str) -> usize {
    let bytes = fs::read(torrent).expect("the torrent");
    let torrent = shoal_metainfo::Torrent::parse(&bytes).expect("ours");
    let mut files = torrent.info.files.iter();
    let is_it = |file: &shoal_metainfo::FileEntry| file.path.as_str().ends_with(path);
    files.position(is_it).expect("a file of the content")
}

#[test]
fn we_download_the_files_that_a_link_selects_from_libtorrent() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let content = content(&dir.path().join("seed"));
    let torrent = dir.path().join("content.torrent");
    create(&content, &torrent);
    let net = Net::new(3);
    let at = |host: Host| format!("{}:6881", host.address());
    let numbers = SELECTED.map(|path| number_of(&torrent, path).to_string());
    let link = format!(
        "magnet:?xt=urn:btih:{}&x.pe={}&so={}",
        info_hash(&torrent),
        at(SEEDER),
        numbers.join(",")
    );
    let data = content.parent().expect("below seed");
    let seed = (Kind::Libtorrent, Role::Seed);
    let mut seed = Client::start(seed, &net, SEEDER, &torrent, data);
    seed.wait_whole();
    let data = dir.path().join("leech");
    let leech = (Kind::Shoal, Role::Leech);
    let mut leech = Client::start(leech, &net, LEECHER, Path::new(&link), &data);
    leech.wait_whole();
    let copy = data.join("content");
    for path in SELECTED {
        assert_same(&content.join(path), &copy.join(path));
    }
    for path in ["a/first.bin", "a/b/empty", "boundary.bin", "ünï cødé.txt"] {
        assert!(!copy.join(path).exists(), "{path} was made");
    }
}
