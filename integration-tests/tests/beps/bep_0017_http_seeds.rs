//! BEP 17: a script gives pieces by info hash and number.

use shoal_integration_tests::{Content, TestPeer, WebAnswer, WebServer};

#[test]
fn old_torrent_with_only_a_script_completes() {
    let content = Content::folder("old")
        .file("a", 100_000)
        .file("b", 123_456)
        .piece_length(64 << 10)
        .build();
    let bytes = content.bytes().to_vec();
    let server = WebServer::start(move |request| {
        let value = |key: &str| {
            let mut pairs = request
                .query
                .split('&')
                .filter_map(|pair| pair.split_once('='));
            pairs.find(|(name, _)| *name == key).map(|(_, value)| value)
        };
        let number: usize = value("piece").unwrap().parse().unwrap();
        let piece = bytes.chunks(64 << 10).nth(number).unwrap();
        let ranges = value("ranges").and_then(|ranges| ranges.split_once('-'));
        let ranges = ranges.map(|(first, last)| {
            let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
            first..last + 1
        });
        let body = ranges.map_or(piece, |range| &piece[range]);
        WebAnswer::Whole(body.to_vec())
    });
    let script = format!("{}seed.php", server.url());
    let leecher = TestPeer::leecher(&content).http_seed(script).start();
    leecher.wait_complete();
    content.assert_identical(leecher.dir());
    let asked = server.requests();
    assert!(asked.iter().all(|request| request.path == "seed.php"));
    assert!(
        asked
            .iter()
            .all(|request| request.query.starts_with("info_hash="))
    );
}
