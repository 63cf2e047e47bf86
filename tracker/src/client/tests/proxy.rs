//! The client behind a SOCKS5 proxy: everything through it, nothing beside it. RFC 1928.

use std::sync::Mutex;

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
        (
            "udp://tracker.example:6969",
            "cannot be reached through a proxy",
        ),
    ] {
        check(task::block_on(client.announce(url, &request())), expect);
    }
    assert_eq!(asked.lock().unwrap().len(), 0, "the proxy was not bothered");
    let error = task::block_on(client.announce("udp://tracker.example:6969", &request()));
    assert!(error.unwrap_err().is_permanent());
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
