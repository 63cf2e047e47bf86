//! BEP 9: metadata from peers, and torrents that begin with a magnet link.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::thread;

use shoal_integration_tests::{Content, RawPeer, TestPeer, TestTracker, eventually};
use shoal_peer::Event;
use shoal_swarm::Event as SwarmEvent;
use shoal_wire::extended::{ExtendedHandshake, UT_METADATA};
use shoal_wire::{Message, MetadataMessage};

use crate::send_all;

/// How the raw peers here number `ut_metadata`.
const THEIRS: u8 = 7;

fn offers(metadata_size: Option<u32>) -> Message {
    let handshake = ExtendedHandshake {
        extensions: BTreeMap::from([("ut_metadata".to_owned(), THEIRS)]),
        metadata_size,
        ..ExtendedHandshake::default()
    };
    handshake.message()
}

fn metadata_message(message: &Message) -> Option<MetadataMessage> {
    match message {
        Message::Extended {
            id: THEIRS,
            payload,
        } => MetadataMessage::decode(payload).ok(),
        _ => None,
    }
}

/// Content whose metadata has several pieces.
fn content() -> Content {
    let content = Content::folder("sea").piece_length(1 << 10);
    content.file("a", 2 << 20).file("b/c", 77_777).build()
}

/// The true metadata, told by the torrent itself.
fn info(content: &Content) -> Vec<u8> {
    content.torrent().info_bytes().to_vec()
}

fn found(peer: &TestPeer, content: &Content) {
    let torrent = peer.wait_for("the metadata", |event| match event {
        Event::MetadataFound(torrent) => Some(torrent.clone()),
        _ => None,
    });
    assert_eq!(torrent.info_bytes(), content.torrent().info_bytes());
}

#[test]
fn magnet_finds_its_metadata_and_content_by_a_tracker() {
    let content = content();
    let tracker = TestTracker::start();
    let seeder = TestPeer::seeder(&content).tier([tracker.url()]).start();
    seeder.wait_complete();
    tracker.wait_for_peers(&content, 1);
    let leecher = TestPeer::leecher(&content).tier([tracker.url()]);
    let leecher = leecher.by_magnet([]).start();
    found(&leecher, &content);
    leecher.wait_complete();
    content.assert_identical(leecher.dir());
    tracker.stop();
}

#[test]
fn magnet_with_a_peer_in_the_link_needs_no_tracker() {
    let content = content();
    let seeder = TestPeer::seeder(&content).start();
    seeder.wait_complete();
    let leecher = TestPeer::leecher(&content)
        .by_magnet([seeder.address()])
        .start();
    found(&leecher, &content);
    leecher.wait_complete();
    content.assert_identical(leecher.dir());
    // The one who got it by a link gives it on.
    let other = TestPeer::leecher(&content)
        .by_magnet([leecher.address()])
        .start();
    found(&other, &content);
    other.wait_complete();
    content.assert_identical(other.dir());
}

/// A peer that answers every request for metadata with bytes that are wrong from the first on.
fn liar(content: &Content) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (hash, length) = (content.info_hash(), info(content).len());
    thread::spawn(move || {
        let wrong = vec![b'x'; length];
        let total_size = u32::try_from(length).unwrap();
        let mut peer = RawPeer::accept(&listener, hash);
        send_all(&mut peer, [Message::HaveAll, offers(Some(total_size))]);
        loop {
            let request = peer.expect("requests for metadata, then the end", |message| {
                metadata_message(message).is_some()
            });
            let Some(MetadataMessage::Request { piece }) = metadata_message(&request) else {
                continue;
            };
            let begin = piece as usize * (16 << 10);
            let data = wrong[begin..length.min(begin + (16 << 10))].to_vec().into();
            let answer = MetadataMessage::Data {
                piece,
                total_size,
                data,
            };
            if peer.send(&answer.message(UT_METADATA)).is_err() || begin + (16 << 10) >= length {
                return;
            }
        }
    });
    address
}

#[test]
fn liar_is_banned_and_an_honest_peer_gives_the_metadata() {
    let content = content();
    let liar = liar(&content);
    let leecher = TestPeer::leecher(&content).by_magnet([liar]).start();
    let banned = leecher.wait_for("the ban", |event| match event {
        Event::Swarm(SwarmEvent::PeerBanned { address, piece }) => Some((*address, *piece)),
        _ => None,
    });
    assert_eq!(banned, (liar, None));
    assert!(
        !leecher
            .news()
            .iter()
            .any(|event| matches!(event, Event::MetadataFound(_))),
        "a lie was believed"
    );
    let seeder = TestPeer::seeder(&content).knowing([&leecher]).start();
    seeder.wait_complete();
    found(&leecher, &content);
    leecher.wait_complete();
    content.assert_identical(leecher.dir());
}

#[test]
fn metadata_is_served_as_the_bep_says_and_no_piece_behind_its_end() {
    let content = content();
    let seeder = TestPeer::seeder(&content).start();
    seeder.wait_complete();
    let mut peer = RawPeer::greet(seeder.address(), content.info_hash());
    let told = peer.expect("an extended handshake", |message| {
        matches!(message, Message::Extended { id: 0, .. })
    });
    let Message::Extended { payload, .. } = told else {
        unreachable!("it is extended");
    };
    let told = ExtendedHandshake::decode(&payload).unwrap();
    let info = info(&content);
    assert_eq!(
        told.metadata_size.map(|size| size as usize),
        Some(info.len())
    );
    let id = told.extensions["ut_metadata"];
    let pieces = u32::try_from(info.len().div_ceil(16 << 10)).unwrap();
    assert!(pieces > 1, "{} bytes of metadata", info.len());
    let requests = (0..=pieces).map(|piece| MetadataMessage::Request { piece }.message(id));
    let messages = [Message::HaveNone, offers(None)]
        .into_iter()
        .chain(requests);
    send_all(&mut peer, messages);
    let mut came = BTreeMap::new();
    let mut is_rejected = false;
    while came.len() < pieces as usize || !is_rejected {
        let answer = peer.expect("an answer", |message| metadata_message(message).is_some());
        match metadata_message(&answer) {
            Some(MetadataMessage::Data { piece, data, .. }) => {
                came.insert(piece, data);
            }
            answer => {
                assert_eq!(answer, Some(MetadataMessage::Reject { piece: pieces }));
                is_rejected = true;
            }
        }
    }
    let came: Vec<u8> = came.into_values().flatten().collect();
    assert!(came == info, "not the exact bytes");
}

#[test]
fn tracker_is_told_that_something_is_left_while_nobody_knows_how_much() {
    let content = content();
    let tracker = TestTracker::start();
    let leecher = TestPeer::leecher(&content).tier([tracker.url()]);
    let _leecher = leecher.by_magnet([]).start();
    eventually("the leecher to be known", || {
        let torrent = tracker.torrent(&content);
        torrent.is_some_and(|torrent| torrent.leechers == 1 && torrent.seeders == 0)
    });
}
