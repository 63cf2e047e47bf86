//! Listening sockets. BEP 3, BEP 7.
//!
//! Knows what an address family needs; not what is said on a connection.

use std::io;
use std::net::SocketAddr;

use async_std::net::TcpListener;
use socket2::{Domain, Protocol, Socket, Type};

use super::ServerError;

/// Connections that the kernel keeps until they are accepted. Source: Linux cuts at `somaxconn`.
const BACKLOG: i32 = 1_024;

/// Listens on each address.
pub(super) fn all(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, ServerError> {
    // `[::]` would take IPv4 as well, and a listener for `0.0.0.0` beside it would fail.
    let v6_only = addresses.iter().any(SocketAddr::is_ipv4);
    addresses
        .iter()
        .map(|&address| {
            one(address, v6_only).map_err(|source| ServerError::Listen { address, source })
        })
        .collect()
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
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from(std::net::TcpListener::from(socket)))
}
