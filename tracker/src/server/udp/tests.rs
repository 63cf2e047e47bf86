//! The server over loopback UDP, by a client that can say what no real one would.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use async_std::task;
use shoal_metainfo::InfoHash;

use super::super::{Server, ServerConfig, ServerHandle};
use crate::announce::{AnnounceEvent, AnnounceRequest};
use crate::udp::packet::{self, ConnectionId, Response, TransactionId};

use super::*;

fn start(listen: Vec<SocketAddr>) -> (ServerHandle, SocketAddr) {
    let config = ServerConfig {
        listen,
        udp_workers: 3,
        ..ServerConfig::default()
    };
    let server = task::block_on(Server::bind(config)).unwrap();
    let address = server.local_addrs()[0];
    (server.spawn(), address)
}

fn request(port: u16) -> AnnounceRequest {
    AnnounceRequest {
        port,
        event: Some(AnnounceEvent::Started),
        ..AnnounceRequest::example()
    }
}

/// A connected socket: it takes answers from the address alone that it asked.
struct Peer(UdpSocket);

impl Peer {
    fn new(from: IpAddr, tracker: SocketAddr) -> Self {
        let socket = UdpSocket::bind((from, 0)).unwrap();
        socket.connect(tracker).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        Self(socket)
    }

    fn ask(&self, packet: &[u8]) -> Vec<u8> {
        self.0.send(packet).unwrap();
        let mut answer = vec![0; 2_048];
        let count = self.0.recv(&mut answer).expect("an answer");
        answer.truncate(count);
        answer
    }

    fn connect(&self) -> ConnectionId {
        let answer = self.ask(&packet::connect_request(TransactionId(1)));
        let Ok(Response::Connect(id)) = Response::decode(&answer) else {
            panic!("{answer:?}");
        };
        id
    }

    fn announce(&self, port: u16) -> Vec<SocketAddr> {
        let ipv6 = matches!(self.0.peer_addr().unwrap().ip(), IpAddr::V6(_));
        let packet =
            packet::announce_request(self.connect(), TransactionId(2), &request(port), b"");
        let answer = self.ask(&packet);
        let answer = Response::decode(&answer)
            .unwrap()
            .into_announce(ipv6)
            .unwrap();
        answer.peers
    }
}

#[test]
fn peers_find_each_other_over_both_families_and_beside_http() {
    let localhost = |ip: IpAddr| SocketAddr::new(ip, 0);
    for ip in [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        Ipv6Addr::LOCALHOST.into(),
    ] {
        let (handle, address) = start(vec![localhost(ip)]);
        let events = handle.events();
        assert_eq!(Peer::new(ip, address).announce(1), []);
        // Whichever worker is asked, all know the same swarms.
        for port in 2..20 {
            let known = Peer::new(ip, address).announce(port);
            assert_eq!(known.len(), usize::from(port) - 1);
            assert!(known.contains(&SocketAddr::new(ip, 1)));
        }
        assert_eq!(handle.snapshot().torrents[0].peers.len(), 19);
        let event = task::block_on(events.recv()).unwrap();
        assert_eq!(event.address, SocketAddr::new(ip, 1));
        task::block_on(handle.stop());
        // All workers are gone, and the port with them.
        UdpSocket::bind(address).unwrap();
    }
}

/// On a machine of several addresses an answer from another one is no answer.
#[test]
fn answer_comes_from_the_address_that_was_asked() {
    let any_v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let any_v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    for any in [any_v4, any_v6] {
        let (handle, address) = start(vec![any]);
        for (asked, port) in [
            ([127, 0, 0, 1], 1),
            ([127, 0, 0, 77], 2),
            ([127, 8, 9, 10], 3),
        ] {
            let tracker = SocketAddr::from((asked, address.port()));
            let known = Peer::new([127, 0, 0, 5].into(), tracker).announce(port);
            assert_eq!(known.len(), usize::from(port) - 1, "{tracker}");
        }
        if any.is_ipv6() {
            let tracker = SocketAddr::from((Ipv6Addr::LOCALHOST, address.port()));
            assert_eq!(
                Peer::new(Ipv6Addr::LOCALHOST.into(), tracker).announce(9),
                []
            );
        }
        task::block_on(handle.stop());
    }
}

#[test]
fn many_packets_at_once_are_all_answered() {
    let (handle, address) = start(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))]);
    let peer = Peer::new(Ipv4Addr::LOCALHOST.into(), address);
    let id = peer.connect();
    let count = 150;
    for number in 0..count {
        let port = u16::try_from(number).unwrap() + 1;
        let packet = packet::announce_request(id, TransactionId(number), &request(port), b"");
        peer.0.send(&packet).unwrap();
    }
    let mut transactions = Vec::new();
    for _ in 0..count {
        let mut answer = [0; 2_048];
        let length = peer.0.recv(&mut answer).unwrap();
        transactions.extend(packet::response_transaction(&answer[..length]));
    }
    transactions.sort_unstable();
    assert_eq!(
        transactions,
        (0..count).map(TransactionId).collect::<Vec<_>>()
    );
    task::block_on(handle.stop());
}

#[test]
fn unproved_packets_get_nothing_at_all() {
    let (handle, address) = start(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))]);
    let peer = Peer::new(Ipv4Addr::LOCALHOST.into(), address);
    let id = ConnectionId(peer.connect().0 ^ 1);
    peer.0
        .send(&packet::announce_request(
            id,
            TransactionId(7),
            &request(1),
            b"",
        ))
        .unwrap();
    peer.0
        .send(&packet::scrape_request(
            id,
            TransactionId(8),
            &[InfoHash([9; 20])],
        ))
        .unwrap();
    peer.0.send(b"").unwrap();
    peer.0.send(&[0xff; 15]).unwrap();
    // The next answer is that of the next good request.
    let answer = peer.ask(&packet::connect_request(TransactionId(9)));
    assert_eq!(
        packet::response_transaction(&answer),
        Some(TransactionId(9))
    );
    assert_eq!(handle.snapshot().torrents_total, 0);
    task::block_on(handle.stop());
}

#[test]
fn port_of_another_program_is_named() {
    // The port of the same number may be somebody's over TCP; then it is another error.
    let refused = (0..50).find_map(|_| {
        let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = taken.local_addr().unwrap();
        let config = ServerConfig {
            listen: vec![address],
            ..ServerConfig::default()
        };
        let error = task::block_on(Server::bind(config.clone())).unwrap_err();
        matches!(error, ServerError::Udp { .. }).then_some((taken, config, error))
    });
    let (taken, config, error) = refused.expect("a port that is free over TCP");
    let (address, error) = (taken.local_addr().unwrap(), error.to_string());
    assert!(
        error.contains(&address.to_string()) && error.contains("UDP"),
        "{error}"
    );
    let without = ServerConfig {
        udp_workers: 0,
        ..config
    };
    task::block_on(Server::bind(without)).unwrap();
}
