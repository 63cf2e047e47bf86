//! Sockets that systemd opened for us. Source: sd_listen_fds(3).
//!
//! So the port may be one below 1024 without any right of ours, and connections wait in the
//! system's queue while the tracker is started again. Knows no protocol.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use listenfd::ListenFd;

/// Sockets of TCP that listen, and of UDP that are bound.
#[derive(Debug, Default)]
pub struct PassedSockets {
    pub(super) tcp: Vec<(SocketAddr, TcpListener)>,
    pub(super) udp: Vec<(SocketAddr, UdpSocket)>,
}

/// Why what was passed cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "descriptor {number} that was passed is of no use: {source}; \
     a socket unit for a tracker has ListenStream= and ListenDatagram= lines alone"
)]
pub struct PassedError {
    /// Its number.
    pub number: usize,
    /// What is wrong with it.
    pub source: io::Error,
}

impl PassedSockets {
    /// What `LISTEN_FDS` tells of, if it was meant for this process (`LISTEN_PID`). To be called
    /// once: the sockets are taken.
    ///
    /// # Errors
    /// [`PassedError`] at the first that is no socket of TCP or UDP.
    pub fn take() -> Result<Self, PassedError> {
        let mut passed = ListenFd::from_env();
        let mut sockets = Self::default();
        for at in 0..passed.len() {
            // Source: sd_listen_fds(3), `SD_LISTEN_FDS_START`.
            let number = at + 3;
            sockets
                .take_one(&mut passed, at)
                .map_err(|source| PassedError { number, source })?;
        }
        Ok(sockets)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tcp.is_empty() && self.udp.is_empty()
    }

    fn take_one(&mut self, passed: &mut ListenFd, at: usize) -> io::Result<()> {
        // What is of the wrong kind is left at its place.
        if let Ok(Some(listener)) = passed.take_tcp_listener(at) {
            listener.set_nonblocking(true)?;
            // Handed on to what is accepted.
            socket2::SockRef::from(&listener).set_tcp_nodelay(true)?;
            self.tcp.push((listener.local_addr()?, listener));
        } else if let Some(socket) = passed.take_udp_socket(at)? {
            socket.set_nonblocking(false)?;
            self.udp.push((socket.local_addr()?, socket));
        }
        Ok(())
    }
}
