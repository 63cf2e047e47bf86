//! Replays what the fuzz target `krpc` starts from and has found.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use shoal_dht::krpc::{Body, DecodeError, decode};

fn seeds() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/krpc");
    let files =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let seeds: Vec<_> = files
        .map(|file| file.unwrap().path())
        .map(|path| (path.display().to_string(), fs::read(&path).unwrap()))
        .collect();
    assert!(
        seeds.len() >= 60,
        "{} seeds in {}",
        seeds.len(),
        folder.display()
    );
    seeds
}

#[test]
fn every_seed_of_the_krpc_target_holds() {
    for (name, seed) in seeds() {
        println!("{name}");
        shoal_dht::fuzz::krpc(&seed);
    }
}

/// Every kind of message and of error, so that no seed has quietly become another.
#[test]
fn seeds_provoke_every_body_and_every_error() {
    let kinds: BTreeSet<&str> = seeds()
        .iter()
        .map(|(_, seed)| match decode(seed) {
            Ok(message) => match message.body {
                Body::Query(_) => "query",
                Body::BadQuery(_) => "bad query",
                Body::Response(_) => "response",
                Body::Error(_) => "error",
            },
            Err(DecodeError::TooLong(_)) => "too long",
            Err(DecodeError::Bencode(_)) => "no bencode",
            Err(DecodeError::NotADictionary) => "no dictionary",
            Err(DecodeError::Transaction) => "no transaction",
            Err(DecodeError::Kind) => "no kind",
            Err(DecodeError::Response) => "no id",
            Err(_) => "new",
        })
        .collect();
    assert_eq!(kinds.len(), 10, "{kinds:?}");
}
