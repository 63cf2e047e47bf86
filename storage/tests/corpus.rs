//! Replays what the fuzz target `journal` starts from and has found.

use std::fs;
use std::path::Path;

#[test]
fn every_file_of_the_corpus_keeps_the_promises_of_the_decoder() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/journal");
    let files = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect::<Vec<_>>();
    assert!(files.len() >= 20, "{} files in the corpus", files.len());
    for file in files {
        println!("{}", file.display());
        shoal_storage::journal::fuzz::decode(&fs::read(file).unwrap());
    }
}
