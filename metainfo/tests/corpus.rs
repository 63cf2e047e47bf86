//! The seeds of the fuzz target `metainfo`, replayed through the same functions.
#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::fs;
use std::mem::discriminant;
use std::path::{Path, PathBuf};

use shoal_metainfo::{Torrent, fuzz};

fn seeds() -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/metainfo");
    let entries = fs::read_dir(&folder).expect("the corpus folder");
    let paths = entries.map(|entry| entry.expect("an entry of the corpus").path());
    let seeds: Vec<_> = paths
        .map(|path| {
            let seed = fs::read(&path).expect("a seed");
            (path, seed)
        })
        .collect();
    assert!(
        seeds.len() >= 40,
        "{} seeds in {}",
        seeds.len(),
        folder.display()
    );
    seeds
}

#[test]
fn every_seed_of_the_metainfo_target_holds() {
    for (path, seed) in seeds() {
        println!("{}", path.display());
        fuzz::torrent(&seed);
        fuzz::magnet(&seed);
        fuzz::compact(&seed);
    }
}

#[test]
fn seeds_are_good_and_bad_as_their_names_say() {
    for (path, seed) in seeds() {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a name");
        let result = Torrent::parse(&seed);
        assert_eq!(
            result.is_ok(),
            name.starts_with("good_"),
            "{name}: {result:?}"
        );
    }
}

/// All but `TooLarge` and `TooManyFiles`, whose inputs are too large for a seed.
#[test]
fn seeds_provoke_every_torrent_error() {
    let seeds = seeds();
    let errors = seeds
        .iter()
        .filter_map(|(_, seed)| Torrent::parse(seed).err());
    let kinds: HashSet<_> = errors.map(|error| discriminant(&error)).collect();
    assert_eq!(kinds.len(), 23);
}
