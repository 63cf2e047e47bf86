//! Prints what a .torrent holds: `cargo run -p shoal-metainfo --example show FILE.torrent`.
#![forbid(unsafe_code)]

use std::error::Error;

use shoal_metainfo::text::Printable;
use shoal_metainfo::{Magnet, Torrent};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os()
        .nth(1)
        .ok_or("usage: show FILE.torrent")?;
    let torrent = Torrent::parse(&std::fs::read(path)?)?;
    let geometry = &torrent.info.geometry;
    println!("name       {}", torrent.info.name);
    println!("info hash  {}", torrent.info_hash);
    let (pieces, length) = (geometry.pieces(), geometry.full_piece_length());
    println!(
        "size       {} bytes in {pieces} pieces of {length}",
        geometry.total()
    );
    println!(
        "private    {}",
        if torrent.info.private { "yes" } else { "no" }
    );
    for (number, tier) in torrent.tiers.iter().enumerate() {
        println!("tier {number}     {}", tier.join(" "));
    }
    if let Some(comment) = &torrent.comment {
        println!("comment    {}", Printable(comment));
    }
    for file in &torrent.info.files {
        let note = if file.is_on_disk() {
            ""
        } else {
            "  (not on disk)"
        };
        println!("{:>15}  {}{note}", file.length, file.path);
    }
    println!("{}", Magnet::from_torrent(&torrent));
    Ok(())
}
