//! How connections end: at a bug, and when the server does.

use super::*;
use crate::server::connection::Desk;
use crate::server::tls::Begun;

#[test]
fn panic_of_a_handler_costs_its_own_answer() {
    task::block_on(async {
        let server = Server::bind(config()).await.unwrap();
        let mut app = app::app(Arc::clone(&server.shared));
        let panics = |_| async { panic!("a bug") as tide::Result };
        app.at("/bug").get(panics);
        let listener = async_std::net::TcpListener::bind(LOCAL).await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = task::spawn_blocking(move || {
            let bug = "GET /bug HTTP/1.1\r\nHost: t\r\n\r\n";
            let mut stream = StdStream::connect(address).unwrap();
            stream
                .write_all([bug, &get("/")].concat().as_bytes())
                .unwrap();
            let mut answers = String::new();
            stream.read_to_string(&mut answers).unwrap();
            answers
        });
        let (stream, peer) = listener.accept().await.unwrap();
        let desk = Desk {
            app,
            clerk: None,
            body_max: 0,
            requests: 10,
            stopped: server.shared.stopped.clone(),
        };
        connection::serve(Begun::new(Vec::new(), stream), peer, desk, || {})
            .await
            .unwrap();
        let answers = client.await;
        assert!(answers.starts_with("HTTP/1.1 500"), "{answers}");
        assert!(answers.contains("HTTP/1.1 200"), "{answers}");
    });
}

/// A request that was begun before the end is answered after it; who asks nothing is closed.
#[test]
fn what_was_asked_before_the_end_is_answered() {
    let (handle, address) = start(config());
    let request = get(&format!("/announce?{}", query(7, "")));
    let (front, rest) = request.split_at(request.len() - 2);
    let page = "GET /stats.json HTTP/1.1\r\n\r\nGET /health HTTP/1.1\r\n";
    let mut idle = StdStream::connect(address).unwrap();
    let [mut announcing, mut looking] = [front, page].map(|begun| {
        let mut stream = StdStream::connect(address).unwrap();
        stream.write_all(begun.as_bytes()).unwrap();
        stream
    });
    // Then all three are known to the server, and the third has gone to tide.
    assert!(looking.read(&mut [0; 4_096]).unwrap() > 0);
    let stopping = {
        let handle = handle.clone();
        std::thread::spawn(move || stop(&handle))
    };
    assert_eq!(
        idle.read(&mut [0; 8]).unwrap_or(0),
        0,
        "nothing was asked there"
    );
    assert!(
        StdStream::connect(address).is_err(),
        "nobody is accepted any more"
    );
    announcing.write_all(rest.as_bytes()).unwrap();
    looking.write_all(b"\r\n").unwrap();
    let [announced, looked] = [&mut announcing, &mut looking].map(|stream| {
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    });
    assert!(parse_announce(&split(&announced).1).is_ok());
    let looked = String::from_utf8(looked).unwrap();
    assert!(
        looked.ends_with("ok\n") && looked.contains("connection: close"),
        "{looked}"
    );
    stopping.join().unwrap();
}

/// The end does not wait for who never ends what was begun.
#[test]
fn who_stalls_does_not_keep_the_server() {
    let (handle, address) = start(config());
    let mut stalls = StdStream::connect(address).unwrap();
    stalls.write_all(b"GET /announce HTTP/1.1\r\n").unwrap();
    stop(&handle);
    assert_eq!(stalls.read(&mut [0; 8]).unwrap_or(0), 0);
}

#[test]
fn sockets_that_were_passed_are_served_and_outlive_us() {
    let tcp = TcpListener::bind(LOCAL).unwrap();
    let udp = std::net::UdpSocket::bind(LOCAL).unwrap();
    let (address, udp_address) = (tcp.local_addr().unwrap(), udp.local_addr().unwrap());
    for _ in 0..2 {
        let (tcp, udp) = (tcp.try_clone().unwrap(), udp.try_clone().unwrap());
        tcp.set_nonblocking(true).unwrap();
        let passed = PassedSockets {
            tcp: vec![(address, tcp)],
            udp: vec![(udp_address, udp)],
        };
        let (listen, udp_workers) = (Vec::new(), 2);
        let config = ServerConfig {
            listen,
            udp_workers,
            ..config()
        };
        let server = task::block_on(Server::bind_with(config, passed)).unwrap();
        assert_eq!(server.local_addrs(), [address]);
        let handle = server.spawn();
        assert_eq!(raw(address, get("/health").as_bytes()).1, b"ok\n");
        // BEP 15's connect.
        let client = std::net::UdpSocket::bind(LOCAL).unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let connect = crate::udp::packet::connect_request(crate::udp::packet::TransactionId(7));
        client.send_to(&connect, udp_address).unwrap();
        assert_eq!(client.recv(&mut [0; 64]).unwrap(), 16);
        stop(&handle);
    }
}
