//! What must hold of any bytes. BEP 3, 7, 9, 23. The fuzz target and the corpus test call it.

use shoal_hashing::sha1;

use crate::collisions::resolve_collisions;
use crate::compact::{peers_v4, peers_v6, push_v4, push_v6};
use crate::error::TorrentError;
use crate::info::Info;
use crate::limits::{FILES_MAX, TRACKERS_MAX, WEB_SEEDS_MAX};
use crate::magnet::Magnet;
use crate::path::SafePath;
use crate::text::is_deceptive;
use crate::torrent::Torrent;

/// Reads `data` as a .torrent and asserts what the crate promises of it.
pub fn torrent(data: &[u8]) {
    match Torrent::parse(data) {
        Ok(torrent) => check_torrent(&torrent),
        Err(error) => check_error(&error),
    }
}

/// Reads `data` as a magnet link; one that is read is written and read again.
pub fn magnet(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    match text.parse::<Magnet>() {
        Ok(magnet) => assert_eq!(magnet.to_string().parse(), Ok(magnet)),
        Err(error) => assert!(!error.to_string().contains(is_deceptive)),
    }
}

/// Reads `data` as compact peers; what is read is written back the same.
pub fn compact(data: &[u8]) {
    let mut back = Vec::new();
    if let Ok(peers) = peers_v4(data) {
        for peer in peers {
            match peer {
                std::net::SocketAddr::V4(peer) => push_v4(&mut back, peer),
                std::net::SocketAddr::V6(_) => panic!("an IPv6 address of 6 bytes"),
            }
        }
        assert_eq!(back, data);
    }
    back.clear();
    if let Ok(peers) = peers_v6(data) {
        for peer in peers {
            match peer {
                std::net::SocketAddr::V6(peer) => push_v6(&mut back, peer),
                std::net::SocketAddr::V4(_) => panic!("an IPv4 address of 18 bytes"),
            }
        }
        assert_eq!(back, data);
    }
}

fn check_error(error: &TorrentError) {
    let message = error.to_string();
    assert!(
        !message.contains(is_deceptive),
        "a message is safe to print"
    );
    assert!(
        message.len() < 5000,
        "a message does not grow with the input"
    );
}

fn check_torrent(torrent: &Torrent) {
    let info = &torrent.info;
    assert_eq!(torrent.info_hash.0, sha1(info.bytes()));
    assert_eq!(
        Info::parse(info.bytes()).as_ref(),
        Ok(info),
        "info stands alone"
    );
    assert_eq!(info.piece_hashes().len(), info.geometry.pieces() as usize);
    let last = info.geometry.all_pieces().next_back().expect("a piece");
    assert_eq!(Some(&info.piece_hash(last)), info.piece_hashes().last());
    assert!(torrent.tiers.iter().all(|tier| !tier.is_empty()));
    assert!(torrent.trackers().count() <= TRACKERS_MAX);
    assert!(torrent.web_seeds.len() <= WEB_SEEDS_MAX);
    assert!(!torrent.trackers().any(|url| url.contains(is_deceptive)));
    check_files(info);
    let link = Magnet::from_torrent(torrent).to_string();
    let magnet: Result<Magnet, _> = link.parse();
    // A torrent of very many trackers makes a link beyond the bound.
    assert!(magnet.is_err() || magnet == Ok(Magnet::from_torrent(torrent)));
}

fn check_files(info: &Info) {
    assert!((1..=FILES_MAX).contains(&info.files.len()));
    let mut end = 0;
    for file in &info.files {
        assert_eq!(file.begin, end, "files follow one another");
        end = file.range().end;
        assert!(file.length == 0 || !file.attributes.symlink);
        let components = file.path.components();
        assert_eq!(components.clone().next(), Some(&*info.name));
        let in_folder = components.clone().count() > 1;
        assert!(in_folder == info.multi_file || file.attributes.padding);
        let again = SafePath::new(components.map(str::as_bytes));
        assert_eq!(again.as_ref(), Ok(&file.path), "a safe path is stable");
    }
    assert_eq!(end, info.geometry.total(), "the files are the content");
    let stored = info.files.iter().filter(|file| file.is_on_disk());
    assert_eq!(
        resolve_collisions(stored.map(|file| &file.path)),
        Ok(Vec::new())
    );
}
