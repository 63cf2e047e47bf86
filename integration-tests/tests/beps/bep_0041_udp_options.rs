//! BEP 41: the path and the query of an announce URL on UDP.

use shoal_integration_tests::{Content, TestPeer, UdpAsked, UdpStub, eventually};

/// What the tracker sees of the place in this announce URL.
fn seen(place: &str) -> String {
    let content = Content::single(50_000);
    let tracker = UdpStub::start();
    let _seeder = TestPeer::seeder(&content)
        .tier([tracker.url(place)])
        .start();
    eventually("it is announced", || !tracker.announces().is_empty());
    let mut asked = tracker.asked().into_iter();
    let place = asked.find_map(|asked| match asked {
        UdpAsked::Announce(_, place) => Some(place),
        _ => None,
    });
    place.expect("an announce")
}

#[test]
fn announce_carries_path_and_query() {
    assert_eq!(
        seen("/announce?passkey=s3cret&x=1"),
        "/announce?passkey=s3cret&x=1"
    );
    assert_eq!(seen("/k3y/announce"), "/k3y/announce");
    assert_eq!(seen(""), "");
}

#[test]
fn long_path_is_carried_in_parts() {
    let long = format!("/{}/announce", "k".repeat(600));
    assert_eq!(seen(&long), long);
}
