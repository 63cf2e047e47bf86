//! Published vectors, and the three doors into the crate held against one another.

use proptest::prelude::*;
use shoal_hashing::{Hasher, hash_pieces, sha1};

fn check(data: &[u8], expect: &str) {
    let digest: String = sha1(data)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(digest, expect, "of {} bytes", data.len());
    assert_eq!(hash_pieces(&[data]), [sha1(data)]);
}

/// The examples of FIPS 180 and the first of NIST's byte-oriented short messages (CAVP).
#[test]
fn sha1_gives_the_published_digests() {
    check(b"abc", "a9993e364706816aba3e25717850c26c9cd0d89d");
    check(b"", "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    check(
        b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
        "84983e441c3bd26ebaae4aa1f95129e5e54670f1",
    );
    check(
        b"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn\
          hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
        "a49b2446a02c645bf419f995b67091253a04a259",
    );
    check(
        &[b'a'; 1_000_000],
        "34aa973cd4c4daa4f61eeb2bdbad27316534016f",
    );
    check(&[0x36], "c1dfd96eea8cc2b62785275bca38ac261256e278");
    check(&[0x19, 0x5a], "0a1c2d555bbe431ad6288af5a54f93e0449c9232");
    check(
        &[0xdf, 0x4b, 0xd2],
        "bf36ed5d74727dfd5d7854ec6b1d49468d8ee8aa",
    );
}

#[test]
fn hash_pieces_of_none_is_none() {
    assert!(hash_pieces(&[]).is_empty());
}

proptest! {
    #[test]
    fn hash_pieces_equals_one_by_one(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..40),
    ) {
        let slices: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let expect: Vec<_> = slices.iter().map(|piece| sha1(piece)).collect();
        prop_assert_eq!(hash_pieces(&slices), expect);
    }

    #[test]
    fn hasher_gives_the_same_for_any_split(
        data in prop::collection::vec(any::<u8>(), 0..1000),
        splits in prop::collection::vec(1_usize..200, 0..20),
    ) {
        let mut hasher = Hasher::new();
        let mut rest = data.as_slice();
        for split in splits {
            let (now, later) = rest.split_at(split.min(rest.len()));
            hasher.update(now);
            rest = later;
        }
        hasher.update(rest);
        prop_assert_eq!(hasher.finish(), sha1(&data));
    }
}
