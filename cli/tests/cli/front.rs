//! `shoal tracker` as its operator has it: pages, the admin's door, TLS files, sockets of systemd.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Folder, Running};

/// Status and all of the answer to a request without a body.
fn ask(address: &str, line: &str, fields: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!("{line} HTTP/1.1\r\nHost: {address}\r\n{fields}Connection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    // An announce's has bytes of addresses.
    let answer = String::from_utf8_lossy(&answer).into_owned();
    (answer[9..12].parse().unwrap(), answer)
}

fn announce(address: &str, fields: &str) {
    let hash = "%01".repeat(20);
    let line = format!(
        "GET /announce?info_hash={hash}&peer_id=-TR4050-abcdefghijkl&port=7000\
         &uploaded=0&downloaded=0&left=5&event=started"
    );
    let (status, answer) = ask(address, &line, fields);
    assert!(status == 200 && answer.contains("8:interval"), "{answer}");
}

#[test]
fn operator_gets_a_token_once_and_sees_what_strangers_do_not() {
    let folder = Folder::new();
    let line = ["tracker", "--listen", "127.0.0.1:0", "--admin", "--json"];
    let mut tracker = folder.start(line);
    let started = tracker.wait("started");
    let public = started["listen"][0].as_str().unwrap();
    let door = tracker.wait("admin");
    let (address, token) = (
        door["listen"].as_str().unwrap(),
        door["token"].as_str().unwrap(),
    );
    assert!(address.starts_with("127.0.0.1:"));
    announce(public, "");
    let path = format!("/torrent/{}", "01".repeat(20));
    let html = "Accept: text/html\r\n";
    let (status, page) = ask(public, &format!("GET {path}"), html);
    assert!(
        status == 200 && page.contains("Transmission 4.0.5.0"),
        "{page}"
    );
    assert!(!page.contains(":7000"), "{page}");
    assert_eq!(ask(address, &format!("GET {path}"), html).0, 401);
    let bearer = format!("{html}Authorization: Bearer {token}\r\n");
    let (_, page) = ask(address, &format!("GET {path}"), &bearer);
    assert!(page.contains("127.0.0.1:7000"), "{page}");
    let (status, _) = ask(address, "GET /api/torrents", &bearer);
    assert_eq!(status, 200);
    tracker.signal(Signal::TERM);
    let (code, events, stderr) = tracker.end();
    assert_eq!(code, Some(0));
    let rest = serde_json::to_string(&events).unwrap();
    assert!(
        !rest.contains(token) && !stderr.contains(token),
        "it is told once"
    );
}

#[test]
fn token_of_a_file_is_not_told_and_a_weak_one_is_refused() {
    let folder = Folder::new();
    fs::write(folder.join("token"), "a-token-of-ours-1234\n").unwrap();
    let line = ["tracker", "--listen", "127.0.0.1:0", "--admin", "--json"];
    let line = line.iter().chain(&["--admin-token-file", "token"]);
    let mut tracker = folder.start(line.clone());
    let door = tracker.wait("admin");
    assert_eq!(door["token"], Value::Null);
    let bearer = "Authorization: Bearer a-token-of-ours-1234\r\n";
    assert_eq!(
        ask(door["listen"].as_str().unwrap(), "GET /api/stats", bearer).0,
        200
    );
    drop(tracker);
    fs::write(folder.join("token"), "short").unwrap();
    folder.run(line).failed(1, &["token", "at least 16"]);
}

#[test]
fn what_cannot_be_meant_is_refused_by_name() {
    let folder = Folder::new();
    let run = |more: &[&str]| folder.run(["tracker", "--listen", "127.0.0.1:0"].iter().chain(more));
    run(&["--trusted-proxy", "10.0.0.0/33"]).failed(2, &["--trusted-proxy", "10.0.0.0/33"]);
    run(&["--tls-cert", "c"]).failed(2, &["--tls-key"]);
    run(&["--tls-cert", "c", "--tls-key", "k"]).failed(1, &["cannot read c"]);
    // A port of all addresses is not what anybody wants of it.
    run(&["--admin=6970"]).failed(2, &["6970"]);
    run(&["--pages", "some"]).failed(2, &["sums"]);
}

#[test]
fn proxies_are_believed_by_network_and_the_old_option_is_warned_of() {
    let folder = Folder::new();
    let line = ["tracker", "--listen", "127.0.0.1:0", "--json"];
    let seen = |more: &[&str], warned: bool| {
        let mut tracker = folder.start(line.iter().chain(more));
        let started = tracker.wait("started");
        if warned {
            let warning = tracker.wait("warning");
            assert!(
                warning["message"]
                    .as_str()
                    .unwrap()
                    .contains("--trusted-proxy")
            );
        }
        let address = started["listen"][0].as_str().unwrap();
        announce(address, "X-Forwarded-For: 6.6.6.6, 198.51.100.7\r\n");
        tracker.wait("announce")["address"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(seen(&[], false), "127.0.0.1:7000");
    assert_eq!(
        seen(&["--trusted-proxy", "10.0.0.0/8"], false),
        "127.0.0.1:7000"
    );
    assert_eq!(
        seen(&["--trusted-proxy", "127.0.0.0/8"], false),
        "198.51.100.7:7000"
    );
    assert_eq!(seen(&["--trust-forwarded-for"], true), "198.51.100.7:7000");
}

/// As systemd does it: descriptors from 3 on, and two variables that say so.
#[test]
fn sockets_that_systemd_passes_are_served() {
    let folder = Folder::new();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (address, udp_address) = (tcp.local_addr().unwrap(), udp.local_addr().unwrap());
    // It waits in the system's queue until somebody is there.
    let mut early = TcpStream::connect(address).unwrap();
    early.write_all(b"GET /health HTTP/1.0\r\n\r\n").unwrap();
    for _ in 0..2 {
        let mut shell = Command::new("sh");
        let passes = "LISTEN_PID=$$ LISTEN_FDS=2 exec \"$SHOAL\" tracker --json \
                      3<&0 4<&1 0</dev/null 1>&2";
        shell.args(["-c", passes]).current_dir(folder.path());
        shell.env("SHOAL", env!("CARGO_BIN_EXE_shoal"));
        shell.stdin(Stdio::from(OwnedFd::from(tcp.try_clone().unwrap())));
        shell.stdout(Stdio::from(OwnedFd::from(udp.try_clone().unwrap())));
        let mut child = shell.stderr(Stdio::piped()).spawn().unwrap();
        let address = address.to_string();
        let (status, _) = ask(&address, "GET /health", "");
        assert_eq!(status, 200);
        // BEP 15's connect: 16 bytes for 16.
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client
            .set_read_timeout(Some(std::time::Duration::from_secs(60)))
            .unwrap();
        let connect = b"\0\0\x04\x17\x27\x10\x19\x80\0\0\0\0\0\0\0\x07";
        client.send_to(connect, udp_address).unwrap();
        assert_eq!(client.recv(&mut [0; 64]).unwrap(), 16);
        let id = i32::try_from(child.id()).unwrap();
        let id = rustix::process::Pid::from_raw(id).unwrap();
        rustix::process::kill_process(id, Signal::TERM).unwrap();
        let mut said = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        assert!(child.wait().unwrap().success(), "{said}");
        assert!(
            said.contains(&format!("\"listen\":[\"{address}\"]")),
            "{said}"
        );
    }
    let mut answer = String::new();
    early.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("ok\n"), "{answer}");
}

/// A request that has begun when SIGTERM comes is answered.
#[test]
fn signal_lets_what_was_asked_be_answered() {
    let folder = Folder::new();
    let mut tracker: Running = folder.start(["tracker", "--listen", "127.0.0.1:0", "--json"]);
    let started = tracker.wait("started");
    let address = started["listen"][0].as_str().unwrap();
    let mut begun = TcpStream::connect(address).unwrap();
    begun
        .write_all(b"GET /health HTTP/1.1\r\n\r\nGET /health HTTP/1.1\r\n")
        .unwrap();
    assert!(begun.read(&mut [0; 4_096]).unwrap() > 0);
    tracker.signal(Signal::TERM);
    while TcpStream::connect(address).is_ok() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    begun.write_all(b"\r\n").unwrap();
    let mut answer = String::new();
    begun.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("ok\n"), "{answer}");
    let (code, events, _) = tracker.end();
    assert_eq!(code, Some(0));
    assert_eq!(events.last().unwrap()["event"], "stopped");
}
