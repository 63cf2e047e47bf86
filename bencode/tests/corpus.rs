//! The seeds of the fuzz target, replayed through the same function.

use std::fs;
use std::path::Path;

#[test]
fn every_seed_of_the_bencode_target_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/bencode");
    let mut seeds = 0;
    for entry in fs::read_dir(&folder).expect("the corpus folder") {
        let path = entry.expect("an entry of the corpus").path();
        println!("{}", path.display());
        shoal_bencode::fuzz::parse(&fs::read(&path).expect("a seed"));
        seeds += 1;
    }
    assert!(seeds >= 30, "only {seeds} seeds in {}", folder.display());
}
