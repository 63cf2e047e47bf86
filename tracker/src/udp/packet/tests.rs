//! The layouts of the standard, byte for byte, and what is refused. BEP 15.

use super::*;
use proptest::prelude::*;

const ID: ConnectionId = ConnectionId(0x0102_0304_0506_0708);
const MARK: TransactionId = TransactionId(0x0a0b_0c0d);

fn request() -> AnnounceRequest {
    AnnounceRequest {
        info_hash: InfoHash([0x11; 20]),
        peer_id: PeerId([0x22; 20]),
        port: 6881,
        uploaded: 3,
        downloaded: 1,
        left: 2,
        event: Some(AnnounceEvent::Started),
        numwant: None,
        key: 0xdead_beef,
        tracker_id: None,
        compact: true,
    }
}

#[test]
fn announce_has_the_layout_of_the_standard() {
    let packet = announce_request(ID, MARK, &request(), b"/a?k=1");
    let mut expect = vec![1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 1, 10, 11, 12, 13];
    expect.extend([0x11; 20]);
    expect.extend([0x22; 20]);
    expect.extend([0, 0, 0, 0, 0, 0, 0, 1]);
    expect.extend([0, 0, 0, 0, 0, 0, 0, 2]);
    expect.extend([0, 0, 0, 0, 0, 0, 0, 3]);
    expect.extend([0, 0, 0, 2, 0, 0, 0, 0, 0xde, 0xad, 0xbe, 0xef]);
    expect.extend([0xff, 0xff, 0xff, 0xff, 0x1a, 0xe1]);
    expect.extend(b"\x02\x06/a?k=1");
    assert_eq!(packet, expect);
    assert_eq!(expect.len(), ANNOUNCE_REQUEST_BYTES + 8);
}

#[test]
fn requests_to_connect_and_scrape_have_the_layout_of_the_standard() {
    let expect = [
        0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0, 10, 11, 12, 13,
    ];
    assert_eq!(connect_request(MARK), expect);
    assert!(Head::decode(&expect).unwrap().is_connect());
    let mut expect = vec![1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 2, 10, 11, 12, 13];
    expect.extend([5; 20]);
    expect.extend([6; 20]);
    let hashes = [InfoHash([5; 20]), InfoHash([6; 20])];
    assert_eq!(scrape_request(ID, MARK, &hashes), expect);
    let many = scrape_request(ID, MARK, &[hashes[0]; 99]);
    let Ok(Request::Scrape(read)) = Request::decode(&many) else {
        panic!("not a scrape")
    };
    assert_eq!(read.len(), limits::UDP_SCRAPE_HASHES_MAX);
}

#[test]
fn answers_have_the_layout_of_the_standard() {
    let expect = [0, 0, 0, 0, 10, 11, 12, 13, 1, 2, 3, 4, 5, 6, 7, 8];
    assert_eq!(connect_response(MARK, ID), expect);
    let head = announce_head(MARK, Duration::from_secs(1800), 4, 5);
    let expect = [
        0, 0, 0, 1, 10, 11, 12, 13, 0, 0, 7, 8, 0, 0, 0, 4, 0, 0, 0, 5,
    ];
    assert_eq!(head, expect);
    assert_eq!(scrape_head(MARK), [0, 0, 0, 2, 10, 11, 12, 13]);
    assert_eq!(error_head(MARK), [0, 0, 0, 3, 10, 11, 12, 13]);
    let counts = Counts {
        seeders: 1,
        completed: 2,
        leechers: 3,
    };
    assert_eq!(counts.encode(), [0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3]);
}

#[test]
fn impossible_requests_are_refused_by_name() {
    let good = announce_request(ID, MARK, &request(), b"");
    let check = |packet: &[u8], expect: &str| {
        let error = Request::decode(packet).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    };
    for length in 0..good.len() {
        check(&good[..length], &format!("{length} bytes"));
    }
    let with = |offset: usize, bytes: &[u8]| {
        let mut packet = good.clone();
        packet[offset..offset + bytes.len()].copy_from_slice(bytes);
        packet
    };
    check(&with(96, &[0, 0]), "`port` must be a number from 1");
    check(&with(80, &[0, 0, 0, 5]), "`event` must be 0");
    check(&with(8, &[0, 0, 0, 9]), "action 9 is unknown");
    check(&with(8, &[0, 0, 0, 3]), "action 3 is unknown");
    check(&with(8, &[0, 0, 0, 0]), "lacks the protocol's number");
    let scrape = |bytes: usize| [&with(8, &[0, 0, 0, 2])[..16], &vec![7; bytes]].concat();
    check(&scrape(0), "16 bytes");
    check(&scrape(21), "37 bytes");
    check(&scrape(75 * 20), "more than 74");
    assert!(Request::decode(&scrape(74 * 20)).is_ok());
}

#[test]
fn paused_is_a_regular_announce_and_numwant_below_zero_is_none() {
    let mut packet = announce_request(ID, MARK, &request(), b"");
    packet[83] = 4;
    packet[92..96].copy_from_slice(&i32::MIN.to_be_bytes());
    let Ok(Request::Announce { request, .. }) = Request::decode(&packet) else {
        panic!("not an announce")
    };
    assert_eq!((request.event, request.numwant), (None, None));
}

#[test]
fn bytes_behind_a_request_to_connect_are_ignored() {
    let packet = [&connect_request(MARK)[..], &[0; 84]].concat();
    assert_eq!(Request::decode(&packet), Ok(Request::Connect));
}

fn answer(peers: &[u8]) -> Vec<u8> {
    let head = announce_head(MARK, Duration::from_secs(900), 4, 5);
    [&head[..], peers].concat()
}

#[test]
fn peers_are_of_the_family_that_the_packet_came_by() {
    let v4 = answer(&[127, 0, 0, 1, 0x1a, 0xe1, 127, 0, 0, 2, 0, 0]);
    let got = Response::decode(&v4).unwrap().into_announce(false).unwrap();
    assert_eq!(got.peers, ["127.0.0.1:6881".parse().unwrap()]);
    assert_eq!((got.leechers, got.seeders), (Some(4), Some(5)));
    assert_eq!(got.interval, Duration::from_secs(900));
    let mut bytes = [0; 18];
    (bytes[15], bytes[17]) = (1, 80);
    let v6 = answer(&bytes);
    let got = Response::decode(&v6).unwrap().into_announce(true).unwrap();
    assert_eq!(got.peers, ["[::1]:80".parse().unwrap()]);
    let error = Response::decode(&v4).unwrap().into_announce(true);
    assert!(error.unwrap_err().to_string().contains("multiple of 18"));
}

#[test]
fn intervals_are_clamped() {
    let check = |seconds: u32, expect| {
        let mut packet = answer(&[]);
        packet[8..12].copy_from_slice(&seconds.to_be_bytes());
        let got = Response::decode(&packet).unwrap().into_announce(false);
        assert_eq!(got.unwrap().interval, expect, "{seconds}");
    };
    check(0, limits::INTERVAL_MIN);
    check(u32::MAX, limits::INTERVAL_MIN);
    check(1 << 30, limits::INTERVAL_MAX);
    check(60, Duration::from_secs(60));
}

#[test]
fn impossible_answers_are_told_apart() {
    let check = |packet: &[u8], expect: &str| {
        let read = Response::decode(packet).and_then(|got| got.into_announce(false));
        let error = read.unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    };
    let good = answer(&[]);
    for length in 0..good.len() {
        check(&good[..length], &format!("a packet of {length} bytes"));
    }
    check(&connect_response(MARK, ID), "none to an announce");
    check(&connect_response(MARK, ID)[..15], "15 bytes");
    check(&[&scrape_head(MARK)[..], &[0; 13]].concat(), "21 bytes");
    check(&[0, 0, 0, 9, 0, 0, 0, 0], "unknown kind 9");
    let refusal = [&error_head(MARK)[..], b"no\x1b[0m such\0"].concat();
    check(&refusal, "the tracker refuses: no[0m such");
}

#[test]
fn scrape_counts_as_many_torrents_as_were_asked_for() {
    let packet = [&scrape_head(MARK)[..], &[0; 24]].concat();
    let response = Response::decode(&packet).unwrap();
    assert_eq!(
        response.into_scrape(&[InfoHash([1; 20]); 2]).unwrap().len(),
        2
    );
    let error = response.into_scrape(&[InfoHash([1; 20]); 3]).unwrap_err();
    assert!(error.to_string().contains("2 torrents where 3"), "{error}");
}

fn any_event() -> impl Strategy<Value = Option<AnnounceEvent>> {
    prop::sample::select(vec![
        None,
        Some(AnnounceEvent::Started),
        Some(AnnounceEvent::Completed),
        Some(AnnounceEvent::Stopped),
    ])
}

prop_compose! {
    fn any_request()(
        hash: [u8; 20],
        id: [u8; 20],
        port in 1_u16..,
        counts: [u64; 3],
        event in any_event(),
        numwant in prop::option::of(0..=0x7fff_ffff_u32),
        key: u32,
    ) -> AnnounceRequest {
        AnnounceRequest {
            info_hash: InfoHash(hash),
            peer_id: PeerId(id),
            port,
            uploaded: counts[0],
            downloaded: counts[1],
            left: counts[2],
            event,
            numwant,
            key,
            ..request()
        }
    }
}

proptest! {
    #[test]
    fn announce_round_trips(
        announce in any_request(),
        connection: u64,
        mark: u32,
        url in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let (connection, transaction) = (ConnectionId(connection), TransactionId(mark));
        let packet = announce_request(connection, transaction, &announce, &url);
        let head = Head::decode(&packet).unwrap();
        prop_assert_eq!((head.connection, head.transaction), (connection, transaction));
        let Ok(Request::Announce { request, options }) = Request::decode(&packet) else {
            panic!("not an announce")
        };
        prop_assert_eq!(request, announce);
        let mut buffer = [0; 600];
        prop_assert_eq!(options.url(&mut buffer), Some(&url[..]));
    }

    #[test]
    fn answers_round_trip(
        mark: u32,
        connection: u64,
        seconds in 5..=86_400_u32,
        numbers: [u32; 3],
        peers: Vec<[u8; 6]>,
    ) {
        let transaction = TransactionId(mark);
        let packet = connect_response(transaction, ConnectionId(connection));
        prop_assert_eq!(response_transaction(&packet), Some(transaction));
        let read = Response::decode(&packet);
        prop_assert_eq!(read, Ok(Response::Connect(ConnectionId(connection))));

        let [leechers, seeders, completed] = numbers;
        let interval = Duration::from_secs(seconds.into());
        let head = announce_head(transaction, interval, leechers, seeders);
        let peers = peers.concat();
        let packet = [&head[..], &peers].concat();
        prop_assert_eq!(response_transaction(&packet), Some(transaction));
        let read = Response::decode(&packet).unwrap();
        let expect = Response::Announce { interval: seconds, leechers, seeders, peers: &peers };
        prop_assert_eq!(read, expect);
        prop_assert_eq!(read.into_announce(false).unwrap().interval, interval);

        let counts = Counts { seeders, completed, leechers };
        let packet = [&scrape_head(transaction)[..], &counts.encode()].concat();
        let hash = InfoHash([1; 20]);
        let expect = ScrapeEntry { info_hash: hash, seeders, completed, leechers };
        let read = Response::decode(&packet).unwrap().into_scrape(&[hash]);
        prop_assert_eq!(read, Ok(vec![expect]));
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        action in 0..5_u32,
        connect: bool,
        rest in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        crate::fuzz::udp_request(&rest);
        crate::fuzz::udp_response(&rest);
        let id = if connect { PROTOCOL_ID.0 } else { 1 };
        let action = action.to_be_bytes();
        crate::fuzz::udp_request(&[&id.to_be_bytes()[..], &action, &rest].concat());
        crate::fuzz::udp_response(&[&action, &rest[..]].concat());
    }
}
