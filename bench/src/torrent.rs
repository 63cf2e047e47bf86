//! A .torrent of many files. BEP 3 "metainfo files".

use fastrand::Rng;
use shoal_bencode::Value;

use crate::{PIECE_LENGTH, random_bytes};

/// The .torrent as a value: so many files in folders of a hundred, 256 KiB each on the average, so
/// that there are about as many pieces as files.
#[must_use]
pub fn value(files: u32, seed: u64) -> Value<'static> {
    let mut rng = Rng::with_seed(seed);
    let mut total = 0;
    let mut entries = Vec::new();
    for number in 0..files {
        let length = rng.i64(1..=2 << 18);
        total += length;
        let folder = format!("folder {:05}", number / 100);
        let name = format!("{:016x}.dat", rng.u64(..));
        entries.push(Value::dict([
            ("length", Value::from(length)),
            ("path", Value::list([folder, name])),
        ]));
    }
    let pieces = total.cast_unsigned().div_ceil(PIECE_LENGTH);
    let hashes = random_bytes(usize::try_from(pieces * 20).expect("some MiB"), &mut rng);
    let info = Value::dict([
        ("files", Value::List(entries)),
        ("name", Value::from("many files")),
        ("piece length", Value::from(PIECE_LENGTH.cast_signed())),
        ("pieces", Value::from(hashes)),
    ]);
    Value::dict([
        ("announce", Value::from("http://t.test/announce")),
        ("info", info),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torrent_is_the_same_for_the_same_seed_only() {
        assert_eq!(value(30, 1), value(30, 1));
        assert_ne!(value(30, 1), value(30, 2));
    }
}
