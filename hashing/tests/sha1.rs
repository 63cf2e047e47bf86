//! Every kernel of this machine held against the `sha1` crate and the published vectors.

use std::process::Command;

use proptest::prelude::*;
use sha1::Digest as _;
use shoal_hashing::{
    Digest, Hasher, Kernel, KernelError, Selection, advance, hash_pieces, lanes, lanes_min, sha1,
};

/// Each kernel alone, and what the process uses.
fn selections() -> Vec<Selection> {
    let alone = Kernel::available().into_iter().map(Selection::only);
    alone.chain([Selection::current().clone()]).collect()
}

fn oracle(data: &[u8]) -> Digest {
    sha1::Sha1::digest(data).into()
}

fn random_bytes(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..count).map(next).collect()
}

fn check(pieces: &[&[u8]]) {
    let expect: Vec<_> = pieces.iter().map(|piece| oracle(piece)).collect();
    for selection in selections() {
        let lengths = || pieces.iter().map(|piece| piece.len()).collect::<Vec<_>>();
        let found = selection.hash_pieces(pieces);
        assert!(found == expect, "{selection}: {:?}", lengths());
    }
}

/// The examples of FIPS 180 and the first of NIST's byte-oriented short messages (CAVP).
const VECTORS: &[(&[u8], &str)] = &[
    (b"abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
    (b"", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
    (
        b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
        "84983e441c3bd26ebaae4aa1f95129e5e54670f1",
    ),
    (
        b"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn\
          hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
        "a49b2446a02c645bf419f995b67091253a04a259",
    ),
    (
        &[b'a'; 1_000_000],
        "34aa973cd4c4daa4f61eeb2bdbad27316534016f",
    ),
    (&[0x36], "c1dfd96eea8cc2b62785275bca38ac261256e278"),
    (&[0x19, 0x5a], "0a1c2d555bbe431ad6288af5a54f93e0449c9232"),
    (
        &[0xdf, 0x4b, 0xd2],
        "bf36ed5d74727dfd5d7854ec6b1d49468d8ee8aa",
    ),
];

fn hex(digest: Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_kernel_gives_the_published_digests() {
    let messages: Vec<_> = VECTORS.iter().map(|(message, _)| *message).collect();
    for selection in selections() {
        let together = selection.hash_pieces(&messages);
        for ((message, expect), together) in VECTORS.iter().zip(together) {
            let what = || format!("{selection}: of {} bytes", message.len());
            assert_eq!(hex(together), *expect, "{}", what());
            let alone = selection.hash_pieces(&[message]);
            assert_eq!(alone, [together], "{}", what());
            let mut hasher = Hasher::new();
            selection.advance(&mut [(&mut hasher, message)]);
            assert_eq!(hasher.finish(), together, "{}", what());
        }
    }
    for (message, expect) in VECTORS {
        assert_eq!(hex(sha1(message)), *expect, "of {} bytes", message.len());
    }
}

#[test]
fn hash_pieces_of_none_is_none() {
    check(&[]);
    assert!(hash_pieces(&[]).is_empty());
    advance(&mut []);
}

#[test]
fn every_length_to_4096_gives_the_digest() {
    let bytes = random_bytes(4096);
    let prefixes: Vec<_> = (0..=bytes.len()).map(|length| &bytes[..length]).collect();
    check(&prefixes);
    for length in (0..=200).chain([1023, 1024, 4095]) {
        check(&[&bytes[..length]]);
        let ends = (0..17).map(|lane| &bytes[lane..][..length.min(4079)]);
        check(&ends.collect::<Vec<_>>());
    }
}

#[test]
fn every_number_of_busy_lanes_gives_the_digests() {
    let bytes = random_bytes(40 * 700);
    for count in 1..=2 * 16 + 1 {
        let equal: Vec<_> = bytes.chunks(640).take(count).collect();
        check(&equal);
        let unequal = bytes.chunks(700).take(count).enumerate();
        let unequal = unequal.map(|(number, piece)| &piece[..(number * 269) % 700]);
        check(&unequal.collect::<Vec<_>>());
    }
}

#[test]
fn every_alignment_gives_the_digests() {
    let bytes = random_bytes(64 + 64 * 333);
    for start in 0..64 {
        let pieces: Vec<_> = bytes[start..].chunks_exact(333).take(20).collect();
        check(&pieces);
    }
}

#[test]
fn long_pieces_far_apart_give_the_digests() {
    let bytes = random_bytes(9 << 18);
    let pieces: Vec<_> = bytes.chunks(1 << 18).collect();
    check(&pieces);
    check(&[&bytes[1..], &bytes[..100_000], &bytes[3..1_000_000]]);
}

#[test]
fn names_lead_to_kernels() {
    for kernel in Kernel::available() {
        assert_eq!(kernel.name().parse(), Ok(kernel));
        assert_eq!(Selection::only(kernel).to_string(), kernel.name());
        assert_eq!(Selection::only(kernel).lanes(), kernel.lanes());
    }
    let unknown = "sse9".parse::<Kernel>().expect_err("there is none");
    assert_eq!(unknown, KernelError::Unknown("sse9".to_owned()));
    assert!(unknown.to_string().contains("portable, scalar"));
    let elsewhere = ["neon", "shani"].map(str::parse::<Kernel>);
    let unavailable = |name: &str| Err(KernelError::Unavailable(name.to_owned()));
    assert!(elsewhere.contains(&unavailable("neon")) || elsewhere.contains(&unavailable("shani")));
}

#[test]
fn lanes_tell_what_pays() {
    assert!(lanes_min() <= lanes().max(2));
    assert!(lanes() >= 1 && lanes() <= 16);
}

/// Says what the process uses: for the test below, which runs this program again.
#[test]
fn current_selection_stays() {
    let selection = Selection::current();
    println!("selection: {selection}; refused: {:?}", selection.refused());
    assert!(std::ptr::eq(selection, Selection::current()));
    assert_eq!(hash_pieces(&[b"abc"]), [oracle(b"abc")]);
}

#[test]
fn environment_forces_a_kernel_and_a_wrong_name_changes_nothing() {
    let says = |name: &str| {
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        command.args(["--exact", "--nocapture", "current_selection_stays"]);
        let output = command.env("SHOAL_SHA1", name).output().expect("it runs");
        assert!(output.status.success(), "{name}");
        String::from_utf8(output.stdout).expect("text")
    };
    for kernel in Kernel::available() {
        let expect = format!("selection: {kernel}; refused: None\n");
        let said = says(kernel.name());
        assert!(said.contains(&expect), "{said}");
    }
    let unset = says("");
    assert!(unset.contains("scalar; refused: None"), "{unset}");
    let wrong = says("sse9");
    let choice = |said: &str| {
        said.split("selection: ")
            .nth(1)?
            .split(';')
            .next()
            .map(str::to_owned)
    };
    assert_eq!(choice(&wrong), choice(&unset));
    assert!(wrong.contains("Unknown(\"sse9\")"), "{wrong}");
}

/// One call to a kernel: which, and how many bytes each hasher gets.
type Step = (prop::sample::Index, Vec<usize>);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let lengths = prop::collection::vec(0_usize..300, 0..20);
    prop::collection::vec((any::<prop::sample::Index>(), lengths), 0..12)
}

proptest! {
    #[test]
    fn pieces_of_any_lengths_give_the_digests(
        lengths in prop::collection::vec(0_usize..3000, 0..40),
        start in 0_usize..64,
    ) {
        let bytes = random_bytes(40 * 3000 + 64);
        let place = |(number, length): (usize, &usize)| &bytes[start + number * 3000..][..*length];
        let pieces: Vec<_> = lengths.iter().enumerate().map(place).collect();
        check(&pieces);
    }

    #[test]
    fn hashers_give_the_same_for_any_split_on_any_kernels(steps in steps()) {
        let bytes = random_bytes(20 + 12 * 300);
        let selections = selections();
        let mut hashers = vec![Hasher::new(); 20];
        let mut taken = [0; 20];
        for (selection, lengths) in steps {
            let mut parts = Vec::new();
            let places = hashers.iter_mut().zip(&mut taken).enumerate().zip(lengths);
            for ((number, (hasher, taken)), length) in places {
                parts.push((hasher, &bytes[number + *taken..][..length]));
                *taken += length;
            }
            selection.get(&selections).advance(&mut parts);
        }
        for (number, (hasher, taken)) in hashers.into_iter().zip(taken).enumerate() {
            prop_assert_eq!(hasher.finish(), oracle(&bytes[number..][..taken]));
        }
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
        prop_assert_eq!(hasher.finish(), oracle(&data));
    }
}
