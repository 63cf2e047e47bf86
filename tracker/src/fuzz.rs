//! What must hold of any bytes. BEP 3, 15. The fuzz targets and the corpus test call it.

use shoal_metainfo::InfoHash;

use crate::error::TrackerError;
use crate::http::head::{self, RequestLine};
use crate::http::{query, response};
use crate::limits;
use crate::policy::{ListError, parse_clients, parse_hashes};
use crate::udp::packet::{self, Head, Request, Response};

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

/// Reads `data` as a list of torrents and as one of clients.
pub fn lists(data: &[u8]) {
    let lines = data.iter().filter(|&&byte| byte == b'\n').count() + 1;
    let at_fault = |error: ListError| {
        assert!((1..=lines).contains(&error.line));
        assert!(printable(&error.to_string()));
    };
    match parse_hashes(data) {
        Ok(hashes) => {
            assert!(hashes.len() <= lines);
            let text: String = hashes.iter().map(|hash| format!("{hash}\n")).collect();
            assert_eq!(parse_hashes(text.as_bytes()), Ok(hashes));
        }
        Err(error) => at_fault(error),
    }
    match parse_clients(data) {
        Ok(clients) => {
            assert!(
                clients
                    .iter()
                    .all(|prefix| (1..=20).contains(&prefix.len()))
            );
            assert_eq!(parse_clients(&clients.join(&b'\n')), Ok(clients));
        }
        Err(error) => at_fault(error),
    }
}

/// Reads `data` as requests over HTTP, one behind the other, as a server does.
pub fn http_requests(data: &[u8]) {
    let mut rest = data;
    while let Some(end) = head::end(rest) {
        let (bytes, behind) = rest.split_at(end);
        // However it came in pieces, it ends at the same place.
        assert!(
            (0..end)
                .rev()
                .take(5)
                .all(|length| head::end(&bytes[..length]).is_none())
        );
        let head = head::Head::new(bytes);
        assert!(head.fields().count() <= bytes.len());
        if let Some(line) = RequestLine::parse(head.start) {
            assert_eq!(line.path.first(), Some(&b'/'));
            assert!(!line.path.contains(&b'?'));
            query(line.query);
        }
        rest = behind;
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

/// Reads `data` as a request over UDP.
pub fn udp_request(data: &[u8]) {
    let head = Head::decode(data);
    match Request::decode(data) {
        Ok(request) => {
            let Head {
                connection,
                transaction,
                ..
            } = head.expect("a request has a head");
            let again = match &request {
                Request::Connect => packet::connect_request(transaction).to_vec(),
                Request::Announce { request, options } => {
                    assert_ne!(request.port, 0);
                    let mut buffer = vec![0; data.len()];
                    let url = options.url(&mut buffer).expect("no more than came");
                    packet::announce_request(connection, transaction, request, url)
                }
                Request::Scrape(hashes) => {
                    assert!((1..=limits::UDP_SCRAPE_HASHES_MAX).contains(&hashes.len()));
                    let hashes: Vec<_> = hashes.iter().copied().map(InfoHash).collect();
                    packet::scrape_request(connection, transaction, &hashes)
                }
            };
            let written = Request::decode(&again).expect("what we write we read");
            assert_eq!(Head::decode(&again), head);
            match (&request, &written) {
                (Request::Announce { request: a, .. }, Request::Announce { request: b, .. }) => {
                    assert_eq!(a, b);
                }
                _ => assert_eq!(request, written),
            }
        }
        Err(error) => assert!(printable(&error.to_string())),
    }
}

/// Reads `data` as an answer over UDP, to an announce over either family and to a scrape.
pub fn udp_response(data: &[u8]) {
    let response = match Response::decode(data) {
        Ok(response) => response,
        Err(error) => return check(&error),
    };
    assert!(packet::response_transaction(data).is_some());
    for ipv6 in [false, true] {
        match response.into_announce(ipv6) {
            Ok(got) => {
                assert!((limits::INTERVAL_MIN..=limits::INTERVAL_MAX).contains(&got.interval));
                assert!(got.peers.len() <= limits::PEERS_MAX);
                assert!(got.peers.iter().all(|peer| peer.port() != 0));
            }
            Err(error) => check(&error),
        }
    }
    for asked in 1..=2 {
        match response.into_scrape(&vec![InfoHash([7; 20]); asked]) {
            Ok(entries) => assert_eq!(entries.len(), asked),
            Err(error) => check(&error),
        }
    }
}

/// Reads `data` as a body of the admin API.
#[cfg(feature = "admin")]
pub fn admin_body(data: &[u8]) {
    use crate::admin;
    match admin::info_hashes(data) {
        // Each of them has 40 digits and two quotes.
        Ok(hashes) => assert!(hashes.len() <= data.len() / 42),
        Err(error) => assert!(printable(&error.to_string())),
    }
    match admin::key(data) {
        Ok(wish) => assert!(wish.torrents_max != Some(0) && wish.peers_max != Some(0)),
        Err(error) => assert!(printable(&error.to_string())),
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
