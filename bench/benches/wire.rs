//! 256 KiB of one kind of message, from and to bytes, as one read or write of a socket. BEP 3.
//!
//! An item is a message. `copy` is the machine's limit: the same bytes, copied once.

use bytes::BytesMut;
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use shoal_bench::messages;
use shoal_wire::{Decoder, Message, encode};

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
