//! Listening sockets. BEP 3, BEP 7, BEP 15.
//!
//! Knows what an address family needs; not what is said on a connection.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use super::passed::PassedSockets;
use super::{ServerError, udp};

/// Connections that the kernel keeps until they are accepted. Source: Linux cuts at `somaxconn`.
const BACKLOG: i32 = 1_024;

/// How often another port is tried when one that was free for TCP is not for UDP. Ours.
const PORTS_TRIED: usize = 16;

/// Listens on each address, with so many sockets for UDP beside each.
pub(super) fn all(
    addresses: &[SocketAddr],
    udp_workers: usize,
) -> Result<(Vec<TcpListener>, Vec<udp::Worker>), ServerError> {
    // `[::]` would take IPv4 as well, and a listener for `0.0.0.0` beside it would fail.
    let v6_only = addresses.iter().any(SocketAddr::is_ipv4);
    let (mut listeners, mut workers) = (Vec::new(), Vec::new());
    for &address in addresses {
        let (listener, mut udp) = both(address, v6_only, udp_workers)?;
        listeners.push(listener);
        workers.append(&mut udp);
    }
    Ok((listeners, workers))
}

/// On sockets that were passed, and on each address, with so many workers for UDP on each.
pub(super) fn with(
    passed: PassedSockets,
    addresses: &[SocketAddr],
    udp_workers: usize,
) -> Result<(Vec<TcpListener>, Vec<udp::Worker>), ServerError> {
    let (mut listeners, mut udp) = adopt(passed, udp_workers)?;
    let (more, more_udp) = all(addresses, udp_workers)?;
    listeners.extend(more);
    udp.extend(more_udp);
    Ok((listeners, udp))
}

/// Takes sockets that were passed to us, with so many workers for UDP on each of that kind.
fn adopt(
    sockets: PassedSockets,
    udp_workers: usize,
) -> Result<(Vec<TcpListener>, Vec<udp::Worker>), ServerError> {
    let listeners = sockets.tcp.into_iter().map(|(_, listener)| listener);
    let mut workers = Vec::new();
    for (address, socket) in sockets.udp {
        workers.append(&mut udp::adopt(address, &socket, udp_workers)?);
    }
    Ok((listeners.collect(), workers))
}

/// TCP, and UDP at the same port.
fn both(
    address: SocketAddr,
    v6_only: bool,
    udp_workers: usize,
) -> Result<(TcpListener, Vec<udp::Worker>), ServerError> {
    let tcp = || {
        let listener = one(address, v6_only)?;
        Ok((listener.local_addr()?, listener))
    };
    let mut tries = PORTS_TRIED;
    loop {
        let bound = tcp().map_err(|source| ServerError::Listen { address, source });
        let (bound, listener) = bound?;
        if udp_workers == 0 {
            return Ok((listener, Vec::new()));
        }
        match udp::bind(bound, v6_only, udp_workers) {
            Ok(workers) => return Ok((listener, workers)),
            // Only a port that we were free to choose may be another.
            Err(error) if address.port() != 0 || tries == 0 => return Err(error),
            Err(_) => tries -= 1,
        }
    }
}

/// What to do when an address cannot be listened on.
pub(super) fn remedy(address: SocketAddr, error: &io::Error) -> String {
    let (port, any) = (
        address.port(),
        match address {
            SocketAddr::V4(_) => "0.0.0.0",
            SocketAddr::V6(_) => "[::]",
        },
    );
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program has it: stop that one, or choose another port".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => format!(
            "this machine has no such address: use one that it has, or {any}:{port} for all of them"
        ),
        io::ErrorKind::PermissionDenied if port < 1024 => {
            "ports below 1024 are for root: choose one above".to_owned()
        }
        _ => "choose another".to_owned(),
    }
}

fn one(address: SocketAddr, v6_only: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(v6_only)?;
    }
    socket.bind(&address.into())?;
    // Linux hands it on to what is accepted, where it costs nothing then.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from(socket))
}
