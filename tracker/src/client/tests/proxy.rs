//! The client behind a SOCKS5 proxy: everything through it, nothing beside it. RFC 1928.

use std::net::{IpAddr, Ipv6Addr, UdpSocket};
use std::sync::Mutex;

use super::udp::Stub;
use super::*;

/// A proxy of our own: connects every destination to one address, and keeps what it was asked for.
fn proxy(to: SocketAddr) -> (Proxy, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&asked);
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut head = [0; 3];
            stream.read_exact(&mut head).unwrap();
            stream.write_all(&[5, 0]).unwrap();
            let mut head = [0; 4];
            stream.read_exact(&mut head).unwrap();
            let name = match head[3] {
                3 => {
                    let mut length = [0];
                    stream.read_exact(&mut length).unwrap();
                    let mut name = vec![0; length[0].into()];
                    stream.read_exact(&mut name).unwrap();
                    String::from_utf8(name).unwrap()
                }
                _ => {
                    let mut ip = [0; 4];
                    stream.read_exact(&mut ip).unwrap();
                    Ipv4Addr::from(ip).to_string()
                }
            };
            let mut port = [0; 2];
            stream.read_exact(&mut port).unwrap();
            let port = u16::from_be_bytes(port);
            kept.lock().unwrap().push(format!("{name}:{port}"));
            stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
            let mut there = TcpStream::connect(to).unwrap();
            let (mut back, mut forth) = (there.try_clone().unwrap(), stream.try_clone().unwrap());
            thread::spawn(move || io::copy(&mut forth, &mut there));
            let _ = io::copy(&mut back, &mut stream);
        }
    });
    (
        Proxy::from_url(&format!("socks5://{address}")).unwrap(),
        asked,
    )
}

/// A client that would notice a name being looked up.
fn through(proxy: Proxy) -> Client {
    let never = |host: &str, _| panic!("{host} was looked up");
    Client::build(never, RootCertStore::empty(), Some(proxy))
}

#[test]
fn announce_goes_through_the_proxy_with_its_name() {
    let port = stubs(vec![
        moved("http://other.example/announce"),
        GOOD.to_owned(),
    ]);
    let (proxy, asked) = proxy(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let client = through(proxy);
    let got = task::block_on(client.announce("http://tracker.example:7/announce", &request()));
    assert_eq!(got.unwrap().interval, Duration::from_secs(900));
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked, ["tracker.example:7", "other.example:80"]);
}

#[test]
fn rules_for_addresses_hold_behind_a_proxy() {
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let (proxy, asked) = proxy(nowhere);
    let client = through(proxy);
    for (url, expect) in [
        ("http://169.254.169.254/announce", "metadata"),
        ("http://127.0.0.1/x", "/announce"),
        ("http://localhost/x", "/announce"),
        ("udp://169.254.169.254:1", "metadata"),
    ] {
        check(task::block_on(client.announce(url, &request())), expect);
    }
    assert_eq!(asked.lock().unwrap().len(), 0, "the proxy was not bothered");
}

/// A proxy that relays datagrams, all to one tracker; and what it was asked for.
fn relaying(tracker: SocketAddr) -> (Proxy, Arc<Mutex<Vec<Vec<u8>>>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&heads);
    thread::spawn(move || {
        while let Ok((mut line, _)) = listener.accept() {
            let mut hello = [0; 3];
            line.read_exact(&mut hello).unwrap();
            line.write_all(&[5, 0]).unwrap();
            let mut request = [0; 10];
            line.read_exact(&mut request).unwrap();
            assert_eq!(request, [5, 3, 0, 1, 0, 0, 0, 0, 0, 0]);
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let [high, low] = socket.local_addr().unwrap().port().to_be_bytes();
            // An address of its own that leads nowhere: nobody may go there.
            let reply = [5, 0, 0, 1, 192, 0, 2, 1, high, low];
            line.write_all(&reply).unwrap();
            let kept = Arc::clone(&kept);
            thread::spawn(move || relay(&socket, tracker, &kept));
            thread::spawn(move || line.read(&mut [0]));
        }
    });
    let proxy = Proxy::from_url(&format!("socks5://{address}"));
    (proxy.unwrap(), heads)
}

fn relay(near: &UdpSocket, tracker: SocketAddr, heads: &Mutex<Vec<Vec<u8>>>) {
    let far = UdpSocket::bind((tracker.ip(), 0)).unwrap();
    let mut buffer = [0; 2_048];
    while let Ok((length, from)) = near.recv_from(&mut buffer) {
        let head = match buffer[3] {
            3 => 7 + usize::from(buffer[4]),
            _ => 10,
        };
        heads.lock().unwrap().push(buffer[..head].to_vec());
        far.send_to(&buffer[head..length], tracker).unwrap();
        let (length, _) = far.recv_from(&mut buffer).unwrap();
        let (kind, ip): (u8, Vec<u8>) = match tracker.ip() {
            IpAddr::V4(ip) => (1, ip.octets().into()),
            IpAddr::V6(ip) => (4, ip.octets().into()),
        };
        let port = tracker.port().to_be_bytes();
        let answer = [&[0, 0, 0, kind], &ip[..], &port, &buffer[..length]].concat();
        // A fragment is not taken, nor what is too short.
        for wrong in [&[0, 0, 1, 1, 1, 2, 3, 4, 0, 1, 9][..], &[0, 0, 0, 1]] {
            near.send_to(wrong, from).unwrap();
        }
        near.send_to(&answer, from).unwrap();
    }
}

#[test]
fn tracker_on_udp_is_asked_through_a_proxy_that_relays_datagrams() {
    let peer = [10, 1, 2, 3, 0x1a, 0xe1];
    let stub = Stub::good(Ipv4Addr::LOCALHOST.into(), Box::leak(Box::new(peer)));
    let (proxy, heads) = relaying(stub.address);
    let client = through(proxy);
    let url = "udp://tracker.example:6969/announce";
    let got = task::block_on(client.announce(url, &request())).unwrap();
    assert_eq!(got.peers, ["10.1.2.3:6881".parse().unwrap()]);
    let scrape = task::block_on(client.scrape(url, &[InfoHash([5; 20])])).unwrap();
    assert_eq!(scrape[0].seeders, 5);
    // The name is the proxy's to look up; a connection id and the question, twice.
    let named = [
        &[0, 0, 0, 3, 15],
        &b"tracker.example"[..],
        &6969_u16.to_be_bytes(),
    ]
    .concat();
    assert_eq!(*heads.lock().unwrap(), vec![named; 4]);
}

#[test]
fn name_that_leads_the_proxy_to_ipv6_is_answered_with_peers_of_ipv6() {
    let peer = [&Ipv6Addr::LOCALHOST.octets()[..], &[0x1a, 0xe1]].concat();
    let stub = Stub::good(Ipv6Addr::LOCALHOST.into(), peer.leak());
    let (proxy, _) = relaying(stub.address);
    let url = "udp://tracker.example:6969";
    let got = task::block_on(through(proxy).announce(url, &request())).unwrap();
    assert_eq!(got.peers, ["[::1]:6881".parse().unwrap()]);
}

#[test]
fn only_a_proxy_that_says_it_relays_no_datagrams_is_not_asked_again() {
    let refusal = |code| [5, code, 0, 1, 0, 0, 0, 0, 0, 0];
    for (read, reply, permanent, expect) in [
        (10, &refusal(7)[..], true, "which relays no datagrams"),
        (10, &refusal(1), false, "cannot connect: it failed"),
        (10, &refusal(2), false, "its rules forbid it"),
        (10, &[], false, "UDP ASSOCIATE: it closed the connection"),
        (
            10,
            &[5, 7],
            false,
            "UDP ASSOCIATE: it closed the connection",
        ),
        // Closed with bytes unread, it is reset.
        (5, &[], false, "does not answer UDP ASSOCIATE"),
    ] {
        let reply = reply.to_vec();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("socks5://{}", listener.local_addr().unwrap());
        let serving = thread::spawn(move || {
            let (mut line, _) = listener.accept().unwrap();
            line.read_exact(&mut [0; 3]).unwrap();
            line.write_all(&[5, 0]).unwrap();
            line.read_exact(&mut vec![0; read]).unwrap();
            line.write_all(&reply).unwrap();
        });
        let client = through(Proxy::from_url(&url).unwrap());
        let got = task::block_on(client.announce("udp://tracker.example:6969", &request()));
        let error = got.unwrap_err();
        assert_eq!(error.is_permanent(), permanent, "{error}");
        check(Err(error), expect);
        serving.join().unwrap();
    }
}

#[test]
fn redirect_behind_a_proxy_does_not_lead_into_a_private_network() {
    let port = stubs(vec![moved("http://192.168.0.1/announce")]);
    let (proxy, _) = proxy(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let client = through(proxy);
    let got = task::block_on(client.announce("http://tracker.example/announce", &request()));
    check(got, "redirect from the internet");
}

#[test]
fn dead_proxy_is_told_and_not_passed_by() {
    let port = stubs(vec![GOOD.to_owned()]);
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let dead = free.local_addr().unwrap();
    drop(free);
    let proxy = Proxy::from_url(&format!("socks5://{dead}")).unwrap();
    let url = format!("http://127.0.0.1:{port}/announce");
    let error = task::block_on(through(proxy).announce(&url, &request()));
    check(error, "cannot connect to the proxy");
}
