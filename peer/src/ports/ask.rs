//! One question by datagram to one server, again and again until it answers. RFC 6886, 3.1.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use async_std::future::timeout;
use async_std::net::UdpSocket;

use super::way::MapError;
use crate::limits::GATEWAY_WAITS_MS;

/// Longest answer that is read, bytes. Source: RFC 6887, 7: a message of PCP.
const ANSWER_LENGTH_MAX: usize = 1100;

/// A socket that hears nobody but the server.
pub(super) struct Asker {
    socket: UdpSocket,
    client: IpAddr,
}

impl Asker {
    pub(super) async fn new(server: SocketAddr) -> io::Result<Self> {
        let any: SocketAddr = match server {
            SocketAddr::V4(_) => ([0; 4], 0).into(),
            SocketAddr::V6(_) => ([0; 16], 0).into(),
        };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(server).await?;
        let client = socket.local_addr()?.ip();
        Ok(Self { socket, client })
    }

    /// Our address as the server sees it.
    pub(super) fn client(&self) -> IpAddr {
        self.client
    }

    /// Asks until `read` makes an answer of what comes; `None` of it means to go on waiting.
    pub(super) async fn ask<T>(
        &self,
        question: &[u8],
        read: impl Fn(&[u8]) -> Option<Result<T, MapError>>,
    ) -> Result<T, MapError> {
        let mut refused = None;
        for wait in GATEWAY_WAITS_MS.map(Duration::from_millis) {
            match timeout(wait, self.once(question, &read)).await {
                Ok(Ok(answer)) => return answer,
                // Nobody listens there; it may be starting.
                Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    refused = Some(error);
                    break;
                }
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => {}
            }
        }
        Err(refused.map_or(MapError::Silent, MapError::from))
    }

    async fn once<T>(
        &self,
        question: &[u8],
        read: impl Fn(&[u8]) -> Option<Result<T, MapError>>,
    ) -> io::Result<Result<T, MapError>> {
        self.socket.send(question).await?;
        let mut buffer = [0; ANSWER_LENGTH_MAX];
        loop {
            let length = self.socket.recv(&mut buffer).await?;
            if let Some(answer) = read(&buffer[..length]) {
                return Ok(answer);
            }
        }
    }
}
