//! The seeds of the fuzz target, replayed through the same function.

use std::collections::HashSet;
use std::fs;
use std::mem::discriminant;
use std::path::Path;

use shoal_bencode::{Options, parse, parse_prefix};

fn seeds() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/bencode");
    let entries = fs::read_dir(&folder).expect("the corpus folder");
    let seeds: Vec<_> = entries
        .map(|entry| fs::read(entry.expect("an entry of the corpus").path()).expect("a seed"))
        .collect();
    assert!(
        seeds.len() >= 30,
        "only {} seeds in {}",
        seeds.len(),
        folder.display()
    );
    seeds
}

#[test]
fn every_seed_of_the_bencode_target_holds() {
    for seed in seeds() {
        println!("{}", seed.escape_ascii());
        shoal_bencode::fuzz::parse(&seed);
    }
}

/// All but `InputTooLong`, which needs 4 GiB.
#[test]
fn seeds_provoke_every_parse_error() {
    let seeds = seeds();
    let errors = seeds.iter().flat_map(|seed| {
        [
            parse(seed, Options::strict()).err(),
            parse(seed, Options::lenient()).err(),
            parse_prefix(seed, Options::wire()).err(),
        ]
    });
    let kinds: HashSet<_> = errors.flatten().map(|error| discriminant(&error)).collect();
    assert_eq!(kinds.len(), 20);
}
