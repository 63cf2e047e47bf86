//! Encodes what two peers say to each other and decodes it again from reads of odd sizes:
//! `cargo run -p shoal-wire --example conversation`.

use bytes::{Bytes, BytesMut};
use shoal_metainfo::{InfoHash, PeerId, RawBlock};
use shoal_wire::{Decoder, Extensions, HANDSHAKE_LENGTH, Handshake, Message, encode, piece_head};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let block = RawBlock {
        index: 3,
        begin: 0,
        length: 16_384,
    };
    let handshake = Handshake {
        extensions: Extensions::OURS,
        info_hash: InfoHash([0xaa; 20]),
        peer_id: PeerId::ours(*b"conversation"),
    };

    // What a seeder says. The block's head and bytes would be two slices of one vectored write.
    let mut line = handshake.encode().to_vec();
    for message in [Message::HaveAll, Message::Unchoke, Message::KeepAlive] {
        encode(&message, &mut line);
    }
    let data = Bytes::from(vec![7; 16_384]);
    line.extend(piece_head(block.index, block.begin, block.length));
    line.extend(&data);
    encode(&Message::Have { index: 4 }, &mut line);

    // What the other end reads, a prime number of bytes at a time.
    let mut reads = line.chunks(1013);
    let mut buffer = BytesMut::new();
    while buffer.len() < HANDSHAKE_LENGTH {
        buffer.extend_from_slice(reads.next().ok_or("the line ended in the handshake")?);
    }
    let first = buffer.split_to(HANDSHAKE_LENGTH);
    let first = Handshake::decode(first.as_ref().try_into()?)?;
    println!("{} for {}", first.peer_id, first.info_hash);

    let mut decoder = Decoder::new(None);
    loop {
        while let Some(message) = decoder.decode(&mut buffer)? {
            match message {
                Message::Piece { index, begin, data } => {
                    println!("piece {index}:{begin}+{}", data.len());
                }
                other => println!("{other:?}"),
            }
        }
        match reads.next() {
            Some(read) => buffer.extend_from_slice(read),
            None => break,
        }
    }
    assert!(buffer.is_empty());
    Ok(())
}
