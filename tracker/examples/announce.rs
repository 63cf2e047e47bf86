//! Asks a tracker for peers: `announce URL INFO_HASH [PORT]`, the hash as 40 hex digits.

use std::error::Error;

use async_std::task;
use shoal_metainfo::{InfoHash, PeerId};
use shoal_tracker::{AnnounceRequest, Client};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let usage = "usage: announce URL INFO_HASH [PORT]";
    let url = args.next().ok_or(usage)?;
    let info_hash = args.next().and_then(|hex| InfoHash::from_hex(&hex));
    let port = args.next().map_or(Ok(6881), |port| port.parse())?;
    let request = AnnounceRequest {
        info_hash: info_hash.ok_or(usage)?,
        peer_id: PeerId::ours(*b"example00000"),
        port,
        uploaded: 0,
        downloaded: 0,
        left: 1,
        event: None,
        numwant: None,
        key: 0,
        tracker_id: None,
        compact: true,
    };
    let answer = task::block_on(Client::new().announce(&url, &request))?;
    println!("{answer:#?}");
    Ok(())
}
