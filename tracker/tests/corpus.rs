//! Replays what the fuzz targets `tracker_*` start from and have found.

use std::collections::HashSet;
use std::fs;
use std::mem::discriminant;
use std::path::Path;

use shoal_tracker::http::{query, response};
use shoal_tracker::policy::{parse_clients, parse_hashes};
use shoal_tracker::udp::packet::{Request, Response};

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let files =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let seeds: Vec<_> = files
        .map(|file| fs::read(file.unwrap().path()).unwrap())
        .collect();
    assert!(
        seeds.len() >= 30,
        "{} seeds in {}",
        seeds.len(),
        folder.display()
    );
    seeds
}

#[test]
fn every_seed_of_the_query_target_holds() {
    for seed in seeds("tracker_query") {
        println!("{}", seed.escape_ascii());
        shoal_tracker::fuzz::query(&seed);
    }
}

#[test]
fn every_seed_of_the_http_target_holds() {
    for seed in seeds("tracker_http_request") {
        println!("{}", seed.escape_ascii());
        shoal_tracker::fuzz::http_requests(&seed);
    }
}

#[test]
fn every_seed_of_the_response_target_holds() {
    for seed in seeds("tracker_response") {
        println!("{}", seed.escape_ascii());
        shoal_tracker::fuzz::response(&seed);
    }
}

#[test]
fn every_seed_of_the_lists_target_holds() {
    let seeds = seeds("tracker_lists");
    for seed in &seeds {
        println!("{}", seed.escape_ascii());
        shoal_tracker::fuzz::lists(seed);
    }
    let wrong = |seed: &&Vec<u8>| parse_hashes(seed).is_err() && parse_clients(seed).is_err();
    assert!(seeds.iter().filter(wrong).count() > 5);
    assert!(
        seeds
            .iter()
            .filter(|seed| parse_hashes(seed).is_ok())
            .count()
            > 5
    );
}

#[test]
fn every_seed_of_the_udp_targets_holds() {
    for seed in seeds("tracker_udp_request") {
        println!("{}", seed.escape_ascii());
        shoal_tracker::fuzz::udp_request(&seed);
    }
    for seed in seeds("tracker_udp_response") {
        println!("{}", seed.escape_ascii());
        shoal_tracker::fuzz::udp_response(&seed);
    }
}

#[cfg(feature = "admin")]
#[test]
fn every_seed_of_the_admin_target_holds() {
    for seed in seeds("tracker_admin_body") {
        println!("{}", seed.escape_ascii());
        shoal_tracker::fuzz::admin_body(&seed);
    }
}

/// Wrong length, no number of the protocol, unknown action, wrong value; too many hashes.
#[test]
fn udp_seeds_provoke_every_refusal_and_every_kind_of_answer() {
    let requests = seeds("tracker_udp_request");
    let errors = requests
        .iter()
        .filter_map(|seed| Request::decode(seed).err());
    let kinds: HashSet<_> = errors.map(|error| discriminant(&error)).collect();
    assert_eq!(kinds.len(), 5);
    let good = requests
        .iter()
        .filter_map(|seed| Request::decode(seed).ok());
    let kinds: HashSet<_> = good.map(|request| discriminant(&request)).collect();
    assert_eq!(kinds.len(), 3);
    let answers = seeds("tracker_udp_response");
    let good = answers
        .iter()
        .filter_map(|seed| Response::decode(seed).ok());
    let kinds: HashSet<_> = good.map(|response| discriminant(&response)).collect();
    assert_eq!(kinds.len(), 4);
    assert!(answers.iter().any(|seed| Response::decode(seed).is_err()));
}

/// Missing, doubled, not encoded, wrong length, wrong value; too many hashes.
#[test]
fn query_seeds_provoke_every_refusal() {
    let seeds = seeds("tracker_query");
    let errors = seeds.iter().flat_map(|seed| {
        let errors = [query::announce(seed).err(), query::scrape(seed).err()];
        errors.into_iter().flatten()
    });
    let kinds: HashSet<_> = errors.map(|error| discriminant(&error)).collect();
    assert_eq!(kinds.len(), 6);
    assert!(seeds.iter().any(|seed| query::announce(seed).is_ok()));
    assert!(seeds.iter().any(|seed| query::scrape(seed).is_ok()));
}

/// A refusal, a web page, compressed, not bencode, a mistyped key, an impossible value.
#[test]
fn response_seeds_provoke_every_error_of_a_body() {
    let seeds = seeds("tracker_response");
    let errors = seeds.iter().flat_map(|seed| {
        let errors = [
            response::parse_announce(seed).err(),
            response::parse_scrape(seed).err(),
        ];
        errors.into_iter().flatten()
    });
    let kinds: HashSet<_> = errors.map(|error| discriminant(&error)).collect();
    assert_eq!(kinds.len(), 6);
    assert!(
        seeds
            .iter()
            .any(|seed| response::parse_announce(seed).is_ok())
    );
    assert!(
        seeds
            .iter()
            .any(|seed| response::parse_scrape(seed).is_ok())
    );
}
