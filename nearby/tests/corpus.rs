//! Replays what the fuzz targets `lsd` and `gateway` start from and have found. BEP 14.

use std::fs;
use std::path::Path;

fn replay(target: &str, at_least: usize, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../fuzz/corpus/{target}"));
    let files = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect::<Vec<_>>();
    assert!(
        files.len() >= at_least,
        "{} files in the corpus",
        files.len()
    );
    for file in files {
        println!("{}", file.display());
        check(&fs::read(file).unwrap());
    }
}

#[test]
fn every_announce_of_the_corpus_keeps_the_promises() {
    replay("lsd", 8, shoal_nearby::fuzz::lsd);
}

#[test]
fn every_word_of_a_gateway_of_the_corpus_keeps_the_promises() {
    replay("gateway", 12, shoal_nearby::fuzz::gateway);
}
