//! Datagrams in and out: one socket a family. BEP 5, 32.
//!
//! A datagram that cannot be sent is lost, as it may be on its way; who waits for the answer knows
//! how to go on.

use std::io;
use std::net::{SocketAddr, UdpSocket as StdSocket};
use std::sync::Arc;

use async_std::channel::Sender;
use async_std::net::UdpSocket;
use async_std::task::sleep;
use shoal_dht::limits::MESSAGE_LENGTH_MAX;
use socket2::{Domain, Protocol, Socket, Type};

use crate::error::EngineError;
use crate::limits::{ACCEPT_PAUSE, DHT_RECEIVE_BUFFER};
use crate::tasks::Tasks;

/// What came, and from where.
pub(super) type Datagram = (SocketAddr, Vec<u8>);

/// The sockets of a node.
pub(super) struct Sockets {
    sockets: Vec<(SocketAddr, Arc<UdpSocket>)>,
}

impl Sockets {
    /// Binds one for each family among the addresses, and reads them for as long as `reading` runs.
    pub(super) fn bind(
        addresses: &[SocketAddr],
        datagrams: &Sender<Datagram>,
        reading: &Tasks,
    ) -> Result<Self, EngineError> {
        let mut sockets: Vec<(SocketAddr, Arc<UdpSocket>)> = Vec::new();
        let mut refused = None;
        for &address in addresses {
            if sockets
                .iter()
                .any(|(local, _)| local.is_ipv4() == address.is_ipv4())
            {
                continue;
            }
            match bind_near(address) {
                Ok((local, socket)) => {
                    let socket = Arc::new(UdpSocket::from(socket));
                    let (read, datagrams) = (socket.clone(), datagrams.clone());
                    reading.spawner().until_stop(receive(read, datagrams));
                    sockets.push((local, socket));
                }
                Err(source) => {
                    tracing::warn!("no DHT on {address}: {source}");
                    refused = Some(EngineError::Listen { address, source });
                }
            }
        }
        match refused {
            Some(error) if sockets.is_empty() => Err(error),
            _ => Ok(Self { sockets }),
        }
    }

    pub(super) fn local_addrs(&self) -> Vec<SocketAddr> {
        self.sockets.iter().map(|(local, _)| *local).collect()
    }

    pub(super) async fn send(&self, to: SocketAddr, bytes: &[u8]) {
        let of_family = |(local, _): &&(SocketAddr, _)| local.is_ipv4() == to.is_ipv4();
        if let Some((_, socket)) = self.sockets.iter().find(of_family)
            && let Err(error) = socket.send_to(bytes, to).await
        {
            tracing::trace!("a datagram to {to} is lost: {error}");
        }
    }
}

/// On this port if it is free, else on any: peers are told which, and nodes see it.
fn bind_near(address: SocketAddr) -> io::Result<(SocketAddr, StdSocket)> {
    let socket = bind(address).or_else(|error| match error.kind() {
        io::ErrorKind::AddrInUse => bind(SocketAddr::new(address.ip(), 0)),
        _ => Err(error),
    })?;
    Ok((socket.local_addr()?, socket))
}

fn bind(address: SocketAddr) -> io::Result<StdSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A burst of answers finds room; less than asked for does, too.
    let _ = socket.set_recv_buffer_size(DHT_RECEIVE_BUFFER);
    socket.bind(&address.into())?;
    Ok(socket.into())
}

async fn receive(socket: Arc<UdpSocket>, datagrams: Sender<Datagram>) {
    // One byte more than is read as a message: what is cut off is seen to be too long.
    let mut buffer = vec![0; MESSAGE_LENGTH_MAX + 1];
    loop {
        match socket.recv_from(&mut buffer).await {
            // The node has no time for it: then it is lost, as on the way.
            Ok((length, from)) => drop(datagrams.try_send((from, buffer[..length].to_vec()))),
            Err(error) => {
                tracing::debug!("cannot receive datagrams: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
