//! Replays what the fuzz targets of this crate start from and have found. BEP 3, 6, 9, 10, 11.

use std::fs;
use std::path::Path;

/// Runs every file of a corpus; there are `least` at least.
fn replay(target: &str, least: usize, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let files = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect::<Vec<_>>();
    assert!(files.len() >= least, "{} files in the corpus", files.len());
    for file in files {
        println!("{}", file.display());
        run(&fs::read(file).unwrap());
    }
}

#[test]
fn every_file_of_the_corpus_keeps_the_promises_of_the_decoder() {
    replay("wire_decode", 40, shoal_wire::fuzz::decode);
}

#[test]
fn every_file_of_the_corpus_keeps_the_promises_of_pex() {
    replay("pex", 15, shoal_wire::fuzz::pex);
}

#[test]
fn every_file_of_the_corpus_keeps_the_promises_of_ut_metadata() {
    replay("ut_metadata", 10, shoal_wire::fuzz::ut_metadata);
}
