//! 256 KiB of one kind of message, from and to bytes, as one read of a socket. BEP 3, 9, 10.
//!
//! An item is a message. `copy` is the machine's limit: the same bytes, copied once.

use bytes::{Bytes, BytesMut};
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use shoal_bench::messages;
use shoal_wire::{Decoder, ExtendedHandshake, Message, MetadataMessage, encode};

const LINE: u32 = 256 << 10;
const PIECES: u32 = LINE / (13 + (16 << 10)) + 1;
const REQUESTS: u32 = LINE / 17;
const HAVES: u32 = LINE / 9;

fn main() {
    divan::main();
}

#[divan::bench]
fn decode_pieces(bencher: Bencher<'_, '_>) {
    decode(bencher, &messages::pieces(PIECES, 1));
}

#[divan::bench]
fn decode_requests(bencher: Bencher<'_, '_>) {
    decode(bencher, &messages::requests(REQUESTS));
}

#[divan::bench]
fn decode_haves(bencher: Bencher<'_, '_>) {
    decode(bencher, &messages::haves(HAVES));
}

/// One as clients in the field send it: ten extensions.
#[divan::bench]
fn decode_extended_handshake(bencher: Bencher<'_, '_>) {
    let names = [
        "lt_donthave",
        "share_mode",
        "upload_only",
        "ut_comment",
        "ut_holepunch",
    ];
    let more = [
        "ut_metadata",
        "ut_pex",
        "ut_recommend",
        "lt_tex",
        "Upload_Only",
    ];
    let numbered = (1..).zip(names.into_iter().chain(more));
    let payload = ExtendedHandshake {
        extensions: numbered.map(|(id, name)| (name.to_owned(), id)).collect(),
        port: Some(6881),
        version: Some("A client of the field 5.0.1".to_owned()),
        your_ip: Some([192, 0, 2, 1].into()),
        reqq: Some(500),
        metadata_size: Some(52_340),
        ..ExtendedHandshake::default()
    };
    let payload = payload.encode();
    bencher
        .counter(ItemsCount::new(1_u32))
        .bench(|| ExtendedHandshake::decode(black_box(&payload)));
}

/// One piece of 16 KiB: its bytes are a slice of what was received.
#[divan::bench]
fn decode_metadata_piece(bencher: Bencher<'_, '_>) {
    let payload = MetadataMessage::Data {
        piece: 2,
        total_size: 52_340,
        data: Bytes::from(vec![7; 16 << 10]),
    };
    let payload = payload.encode();
    bencher
        .counter(ItemsCount::new(1_u32))
        .bench(|| MetadataMessage::decode(black_box(&payload)));
}

#[divan::bench]
fn encode_pieces(bencher: Bencher<'_, '_>) {
    write(bencher, &messages::pieces(PIECES, 1));
}

#[divan::bench]
fn encode_requests(bencher: Bencher<'_, '_>) {
    write(bencher, &messages::requests(REQUESTS));
}

#[divan::bench]
fn encode_haves(bencher: Bencher<'_, '_>) {
    write(bencher, &messages::haves(HAVES));
}

#[divan::bench]
fn copy(bencher: Bencher<'_, '_>) {
    let line = messages::line(&messages::pieces(PIECES, 1));
    let mut target = vec![0; line.len()];
    bencher
        .counter(BytesCount::of_slice(&line))
        .counter(ItemsCount::new(PIECES))
        .bench_local(|| {
            target.copy_from_slice(black_box(&line));
            black_box(&mut target);
        });
}

/// Takes every message off a line of its own, as a connection does.
fn decode(bencher: Bencher<'_, '_>, messages: &[Message]) {
    let line = messages::line(messages);
    bencher
        .counter(BytesCount::of_slice(&line))
        .counter(ItemsCount::new(messages.len()))
        .with_inputs(|| BytesMut::from(&line[..]))
        .bench_local_refs(|line| {
            let mut decoder = Decoder::new(None);
            while let Some(message) = decoder.decode(line).expect("our own encoding") {
                black_box(message);
            }
            assert!(line.is_empty());
        });
}

/// Into a buffer that is there already.
fn write(bencher: Bencher<'_, '_>, messages: &[Message]) {
    let mut line = messages::line(messages);
    bencher
        .counter(BytesCount::of_slice(&line))
        .counter(ItemsCount::new(messages.len()))
        .bench_local(|| {
            line.clear();
            for message in black_box(messages) {
                encode(message, &mut line);
            }
            black_box(&mut line);
        });
}
