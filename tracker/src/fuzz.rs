//! What must hold of any bytes. BEP 3. The fuzz targets and the corpus test call it.

use crate::error::TrackerError;
use crate::http::{query, response};
use crate::limits;

/// Reads `data` as the query of an announce and of a scrape.
pub fn query(data: &[u8]) {
    match query::announce(data) {
        Ok(got) => {
            assert_ne!(got.request.port, 0);
            let url = query::announce_url("http://t.test/announce", &got.request);
            let (_, again) = url.split_once('?').expect("a query was appended");
            let again = query::announce(again.as_bytes()).expect("what we write we read");
            assert_eq!(again.request, got.request);
        }
        Err(error) => assert!(printable(&error.to_string())),
    }
    match query::scrape(data) {
        Ok(hashes) => {
            assert!((1..=limits::SCRAPE_HASHES_MAX).contains(&hashes.len()));
            let url = query::scrape_url("http://t.test/announce", &hashes).expect("it may scrape");
            let (_, again) = url.split_once('?').expect("a query was appended");
            assert_eq!(query::scrape(again.as_bytes()), Ok(hashes));
        }
        Err(error) => assert!(printable(&error.to_string())),
    }
}

/// Reads `data` as the body of an answer to an announce and to a scrape.
pub fn response(data: &[u8]) {
    match response::parse_announce(data) {
        Ok(got) => {
            let clamp = limits::INTERVAL_MIN..=limits::INTERVAL_MAX;
            assert!(clamp.contains(&got.interval));
            assert!(got.min_interval.is_none_or(|min| clamp.contains(&min)));
            assert!(got.peers.len() <= limits::PEERS_MAX);
            assert!(got.peers.iter().all(|peer| peer.port() != 0));
            assert!(got.warning.is_none_or(|text| printable(&text)));
        }
        Err(error) => check(&error),
    }
    match response::parse_scrape(data) {
        Ok(entries) => assert!(entries.len() <= limits::SCRAPE_HASHES_MAX),
        Err(error) => check(&error),
    }
}

fn check(error: &TrackerError) {
    if let TrackerError::Failure { reason, .. } = error {
        assert!(reason.len() <= limits::TEXT_BYTES_MAX);
    }
    assert!(printable(&error.to_string()));
}

fn printable(text: &str) -> bool {
    !text.chars().any(char::is_control)
}
