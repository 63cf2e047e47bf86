//! Names of nodes to begin with, looked up on a thread of their own: the system's look-up blocks.
//!
//! Names that cannot be looked up are tried again from time to time, since the network may come
//! later than we do.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;

use crate::limits::DHT_NAMES_AGAIN;

/// The thread ends, soon, when this is dropped.
pub(super) struct Looking {
    _running: Sender<()>,
}

/// Gives the addresses of all hosts to `found`, some now, some later; until it says `false`.
pub(super) fn look_up(
    hosts: Vec<(String, u16)>,
    found: impl Fn(Vec<SocketAddr>) -> bool + Send + 'static,
) -> Looking {
    let (running, stop) = channel();
    let spawned = thread::Builder::new()
        .name("dht-names".to_owned())
        .spawn(move || look_up_all(hosts, &system, &found, &stop));
    if let Err(error) = spawned {
        tracing::warn!("no thread to look up the nodes of the DHT to begin with: {error}");
    }
    Looking { _running: running }
}

fn look_up_all(
    mut hosts: Vec<(String, u16)>,
    lookup: &dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>>,
    found: &dyn Fn(Vec<SocketAddr>) -> bool,
    stop: &Receiver<()>,
) {
    let mut is_told = false;
    loop {
        let mut wanted = true;
        hosts.retain(|(host, port)| match lookup(host, *port) {
            Ok(addresses) => {
                wanted &= found(addresses);
                false
            }
            Err(error) if is_told => {
                tracing::info!("no address of {host}, a node of the DHT: {error}");
                true
            }
            Err(error) => {
                tracing::warn!("no address of {host}, a node of the DHT: {error}; tried again");
                true
            }
        });
        if hosts.is_empty() || !wanted {
            return;
        }
        is_told = true;
        match stop.recv_timeout(DHT_NAMES_AGAIN) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn system(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    match literal.parse::<IpAddr>() {
        Ok(ip) => Ok(vec![SocketAddr::new(ip, port)]),
        Err(_) => Ok((host, port).to_socket_addrs()?.collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn literal_addresses_need_no_look_up() {
        for (host, expect) in [
            ("127.0.0.1", "127.0.0.1:7"),
            ("::1", "[::1]:7"),
            ("[::1]", "[::1]:7"),
        ] {
            assert_eq!(system(host, 7).unwrap(), [expect.parse().unwrap()]);
        }
    }

    #[test]
    fn name_that_fails_keeps_no_other_back_and_the_end_is_heeded() {
        let hosts = ["dead.test", "good.test"].map(|host| (host.to_owned(), 7));
        let told = Mutex::new(Vec::new());
        let found = |addresses| {
            told.lock().unwrap().extend(addresses);
            true
        };
        let lookup = |host: &str, port| match host {
            "good.test" => Ok(vec![SocketAddr::from(([10, 0, 0, 1], port))]),
            _ => Err(io::Error::other("no such name")),
        };
        let (running, stop) = channel();
        drop(running);
        look_up_all(hosts.into(), &lookup, &found, &stop);
        assert_eq!(
            *told.lock().unwrap(),
            [SocketAddr::from(([10, 0, 0, 1], 7))]
        );
    }
}
