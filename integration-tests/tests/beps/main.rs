//! What each BEP that we claim promises, seen from outside: `docs/beps.md` names these tests.

mod bep_0003_peers;
mod bep_0003_trackers;
mod bep_0006_fast;
mod bep_0007_ipv6;
mod bep_0010_extended;
mod bep_0012_tiers;
mod bep_0017_http_seeds;
mod bep_0019_web_seeds;
mod bep_0020_peer_id;
mod bep_0023_compact;
mod bep_0024_external_ip;
mod bep_0027_private;
mod bep_0047_padding;
mod bep_0048_scrape;

use shoal_integration_tests::{Content, RawPeer, TestPeer};
use shoal_wire::{Extensions, Message, encode};

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

fn send_all(peer: &mut RawPeer, messages: impl IntoIterator<Item = Message>) {
    let mut bytes = Vec::new();
    for message in messages {
        encode(&message, &mut bytes);
    }
    peer.send_raw(&bytes).unwrap();
}
