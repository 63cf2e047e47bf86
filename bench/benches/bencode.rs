//! Bencode and metainfo: a .torrent of 100,000 files, and small messages. BEP 3, 5, 23.
//!
//! An item is a file, or a message. `copy` is the machine's limit: the same bytes, copied.

use std::sync::LazyLock;

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use shoal_bench::{messages, torrent};
use shoal_bencode::{Options, Value, parse};
use shoal_metainfo::Torrent;

const FILES: u32 = 100_000;

static VALUE: LazyLock<Value<'static>> = LazyLock::new(|| torrent::value(FILES, 1));
static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| VALUE.encode());

fn main() {
    divan::main();
}

fn of<'a, 'b>(bencher: Bencher<'a, 'b>, bytes: &[u8], items: u32) -> Bencher<'a, 'b> {
    let bencher = bencher.counter(BytesCount::of_slice(bytes));
    bencher.counter(ItemsCount::new(items))
}

#[divan::bench_group]
mod torrent_of_100_000_files {
    use super::*;

    #[divan::bench]
    fn parse_strict(bencher: Bencher<'_, '_>) {
        let bytes = &BYTES[..];
        of(bencher, bytes, FILES).bench(|| parse(black_box(bytes), Options::strict()));
    }

    #[divan::bench]
    fn parse_lenient(bencher: Bencher<'_, '_>) {
        let bytes = &BYTES[..];
        of(bencher, bytes, FILES).bench(|| parse(black_box(bytes), Options::lenient()));
    }

    /// Everything checked: paths, lengths, collisions; and the info hash.
    #[divan::bench]
    fn torrent_parse(bencher: Bencher<'_, '_>) {
        let bytes = &BYTES[..];
        of(bencher, bytes, FILES).bench(|| Torrent::parse(black_box(bytes)));
    }

    #[divan::bench]
    fn encode(bencher: Bencher<'_, '_>) {
        of(bencher, &BYTES, FILES).bench(|| black_box(&*VALUE).encode());
    }

    /// The part of `torrent_parse` that is the info hash.
    #[divan::bench]
    fn sha1(bencher: Bencher<'_, '_>) {
        let bytes = &BYTES[..];
        of(bencher, bytes, FILES).bench(|| shoal_hashing::sha1(black_box(bytes)));
    }

    #[divan::bench]
    fn copy(bencher: Bencher<'_, '_>) {
        let mut target = vec![0; BYTES.len()];
        of(bencher, &BYTES, FILES).bench_local(|| {
            target.copy_from_slice(black_box(&BYTES));
            black_box(&mut target);
        });
    }
}

#[divan::bench_group]
mod tracker_answer_of_50_peers {
    use super::*;

    #[divan::bench]
    fn parse_wire(bencher: Bencher<'_, '_>) {
        let bytes = messages::tracker_answer(50, 1).encode();
        of(bencher, &bytes, 1).bench(|| parse(black_box(&bytes), Options::wire()).is_ok());
    }

    #[divan::bench]
    fn encode(bencher: Bencher<'_, '_>) {
        let value = messages::tracker_answer(50, 1);
        of(bencher, &value.encode(), 1).bench(|| black_box(&value).encode());
    }
}

#[divan::bench_group]
mod ping {
    use super::*;

    #[divan::bench]
    fn parse_wire(bencher: Bencher<'_, '_>) {
        let bytes = messages::ping().encode();
        of(bencher, &bytes, 1).bench(|| parse(black_box(&bytes), Options::wire()).is_ok());
    }

    #[divan::bench]
    fn encode(bencher: Bencher<'_, '_>) {
        let value = messages::ping();
        of(bencher, &value.encode(), 1).bench(|| black_box(&value).encode());
    }
}
