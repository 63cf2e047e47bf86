//! What the fuzz targets and the replay of their corpora run. Not part of the crate's face.
//!
//! Promises: no bytes panic; an announce that is read keeps its bounds, and is written and read
//! again as it was; nothing that a gateway says leads to another host.

use std::net::{IpAddr, Ipv4Addr};

use crate::gateway::ssdp::{self, Location};
use crate::gateway::{Transport, http, igd, nat_pmp, pcp};
use crate::limits::{ANNOUNCE_LENGTH_MAX, SERVICES_MAX, TORRENTS_PER_ANNOUNCE_MAX};
use crate::lsd::{Announce, group};

const GATEWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 1));

/// Reads `data` as an announce of BEP 14.
///
/// # Panics
/// When a promise of this module is broken.
pub fn lsd(data: &[u8]) {
    let Ok(announce) = Announce::decode(data) else {
        return;
    };
    assert!(announce.port != 0);
    assert!((1..=TORRENTS_PER_ANNOUNCE_MAX).contains(&announce.info_hashes.len()));
    for is_ipv6 in [false, true] {
        let datagram = announce.encode(group(is_ipv6));
        assert!(datagram.len() <= ANNOUNCE_LENGTH_MAX);
        assert_eq!(Announce::decode(&datagram).as_ref(), Ok(&announce));
    }
}

/// Reads `data` as everything that a gateway may say.
///
/// # Panics
/// When a promise of this module is broken.
pub fn gateway(data: &[u8]) {
    let request = nat_pmp::Request::Map {
        transport: Transport::Tcp,
        internal_port: 0x3030,
        external_port: 0,
        lifetime_s: 1,
    };
    let _ = request.decode(data);
    let request = pcp::Request::Map {
        client: GATEWAY,
        nonce: *b"000000000000",
        transport: Transport::Tcp,
        internal_port: 0x3030,
        external_port: 0,
        lifetime_s: 1,
    };
    let _ = request.decode(data);
    if let Ok(location) = ssdp::answer(data, GATEWAY) {
        is_on_the_gateway(&location);
    }
    let place = Location::parse("http://192.168.1.1:5000/a/b.xml", GATEWAY);
    let place = place.expect("a good URL");
    if let Ok(services) = igd::services(&place, data) {
        assert!(services.len() <= SERVICES_MAX);
        services
            .iter()
            .for_each(|service| is_on_the_gateway(&service.control));
    }
    let _ = igd::Action::ExternalAddress.decode(data);
    if let Ok(Some(early)) = http::Response::decode(data, false) {
        assert_eq!(http::Response::decode(data, true), Ok(Some(early)));
    }
}

fn is_on_the_gateway(location: &Location) {
    assert_eq!(location.address.ip(), GATEWAY);
    assert!(location.path.starts_with('/'));
    assert!(location.path.bytes().all(|byte| byte.is_ascii_graphic()));
}
