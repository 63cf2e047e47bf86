//! Two swarms, driven by hand: a seed gives four pieces to a leecher. No network, no disk.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use shoal_metainfo::{Bitfield, Geometry, InfoHash, PeerId};
use shoal_swarm::io::{Direction, Verdict};
use shoal_swarm::{Config, Input, Output, PeerKey, Source, Swarm};
use shoal_wire::{Extensions, Handshake, Message};

const INFO_HASH: InfoHash = InfoHash([9; 20]);
const WIRE: PeerKey = PeerKey(1);

fn swarm(id: u8, have: Bitfield, now: Instant) -> Swarm {
    let config = Config {
        info_hash: INFO_HASH,
        peer_id: PeerId([id; 20]),
        listen_port: None,
        peers_max: 50,
        unchoke_slots: 4,
        upload_bytes_per_s: None,
        download_bytes_per_s: None,
        private: false,
        pex: true,
    };
    let geometry = Geometry::new(4 << 18, 1 << 18).expect("a small torrent");
    Swarm::new(config, Source::Verified { geometry, have }, 1, now)
}

fn main() {
    let now = Instant::now();
    let mut swarms = [
        swarm(1, Bitfield::all(4), now),
        swarm(2, Bitfield::none(4), now),
    ];
    let directions = [Direction::Incoming, Direction::Outgoing];
    for (at, direction) in directions.into_iter().enumerate() {
        let handshake = Handshake {
            extensions: Extensions::OURS,
            info_hash: INFO_HASH,
            peer_id: PeerId(if at == 0 { [2; 20] } else { [1; 20] }),
        };
        let address = SocketAddr::from(([127, 0, 0, 1], 6881));
        let connected = Input::Connected {
            peer: WIRE,
            address,
            direction,
            handshake,
        };
        swarms[at].handle(now, connected);
    }
    while !swarms[1].is_complete() {
        for at in 0..2 {
            while let Some(output) = swarms[at].poll() {
                for (to, input) in consequences(at, output) {
                    swarms[to].handle(now, input);
                }
            }
        }
    }
    println!("{:#?}", swarms[1].snapshot(now));
}

/// Each deed of one is a fact to the other, or an answer to itself.
fn consequences(at: usize, output: Output) -> Vec<(usize, Input)> {
    let peer = WIRE;
    let hears = |message| {
        let messages = vec![message];
        (1 - at, Input::Received { peer, messages })
    };
    match output {
        Output::Send { message, .. } => vec![hears(message)],
        Output::Serve { block, .. } => {
            let (index, begin, length) = (block.piece().get(), block.begin(), block.length());
            let data = Bytes::from(vec![0; length as usize]);
            let sent = Input::Sent {
                peer,
                blocks: 1,
                bytes: u64::from(length),
            };
            vec![hears(Message::Piece { index, begin, data }), (at, sent)]
        }
        Output::Verify { piece, .. } => {
            let (verdict, blocks) = (Verdict::Good, Vec::new());
            vec![(
                at,
                Input::Verified {
                    piece,
                    verdict,
                    blocks,
                },
            )]
        }
        Output::Event(event) => {
            println!("{at}: {event:?}");
            Vec::new()
        }
        _ => Vec::new(),
    }
}
