//! What each BEP that we claim promises, seen from outside: `docs/beps.md` names these tests.

mod bep_0003_peers;
mod bep_0003_trackers;
mod bep_0006_fast;
mod bep_0007_ipv6;
mod bep_0009_metadata;
mod bep_0010_extended;
mod bep_0011_pex;
mod bep_0012_tiers;
mod bep_0015_udp;
mod bep_0017_http_seeds;
mod bep_0019_web_seeds;
mod bep_0020_peer_id;
mod bep_0021_upload_only;
mod bep_0023_compact;
mod bep_0024_external_ip;
mod bep_0027_private;
mod bep_0041_udp_options;
mod bep_0047_padding;
mod bep_0048_scrape;
mod bep_0054_donthave;
mod bep_0055_holepunch;

use bytes::Bytes;
use shoal_integration_tests::{Content, RawPeer, TestPeer};
use shoal_wire::{ExtendedHandshake, Extensions, Message, encode};

/// What every announce must have, for a torrent: a query that lacks nothing.
fn query(content: &Content, peer_id: &str, port: u16) -> String {
    let hash = content.info_hash().0.map(|byte| format!("%{byte:02x}"));
    let hash = hash.concat();
    format!("info_hash={hash}&peer_id={peer_id}&port={port}&uploaded=0&downloaded=0&left=1")
}

/// A connection without any extension.
fn plain_greet(peer: &TestPeer, content: &Content) -> RawPeer {
    let mut ours = shoal_integration_tests::handshake(content.info_hash());
    ours.extensions = Extensions::default();
    RawPeer::greet_as(peer.address(), ours)
}

/// An extended handshake: where it listens, if it does, and how it numbers these extensions.
fn hello(port: Option<u16>, extensions: &[(&str, u8)]) -> Message {
    let extensions = extensions.iter();
    let handshake = ExtendedHandshake {
        port,
        extensions: extensions
            .map(|(name, id)| ((*name).to_owned(), *id))
            .collect(),
        ..ExtendedHandshake::default()
    };
    handshake.message()
}

/// A message of an extension.
fn extension(id: u8, payload: Vec<u8>) -> Message {
    let payload = Bytes::from(payload);
    Message::Extended { id, payload }
}

fn send_all(peer: &mut RawPeer, messages: impl IntoIterator<Item = Message>) {
    let mut bytes = Vec::new();
    for message in messages {
        encode(&message, &mut bytes);
    }
    peer.send_raw(&bytes).unwrap();
}
