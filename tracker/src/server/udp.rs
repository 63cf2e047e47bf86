//! Sockets and threads that answer over UDP. BEP 15.
//!
//! Each worker is a thread with a socket of its own on the same port (`SO_REUSEPORT`: the kernel
//! spreads the peers over them), and does nothing else: it takes what packets are there in one
//! call, answers each, and sends the answers in one call. What is answered, the responder knows.

mod batch;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use async_std::channel::Sender;
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::counters::{Counter, Counts};
use super::{ServerError, Shared};
use crate::limits;
use crate::udp::connection_ids::ConnectionIds;
use crate::udp::responder::Responder;
use batch::Batch;

/// After so long without a packet a worker asks whether it is to stop, should it not have been
/// woken. Ours: nobody notices.
const WAKE_EVERY: Duration = Duration::from_secs(1);

/// A socket, and what it needs to answer from the address that was asked.
#[derive(Debug)]
pub(super) struct Worker {
    socket: Arc<UdpSocket>,
    /// It takes packets for several addresses, so that each answer must name its own.
    any_address: bool,
    /// Others have the same socket, perhaps beyond our end.
    adopted: bool,
}

/// So many sockets on one address.
///
/// # Errors
/// [`ServerError::Udp`] names the address.
pub(super) fn bind(
    address: SocketAddr,
    v6_only: bool,
    count: usize,
) -> Result<Vec<Worker>, ServerError> {
    let one = |_| one(address, v6_only);
    let workers: io::Result<_> = (0..count.max(1)).map(one).collect();
    workers.map_err(|source| ServerError::Udp { address, source })
}

fn one(address: SocketAddr, v6_only: bool) -> io::Result<Worker> {
    let (domain, any_address) = (Domain::for_address(address), address.ip().is_unspecified());
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    setsockopt(&socket, sockopt::ReusePort, &true)?;
    if address.is_ipv6() {
        socket.set_only_v6(v6_only)?;
    }
    prepare(&SockRef::from(&socket), address)?;
    socket.bind(&address.into())?;
    let socket = Arc::new(UdpSocket::from(socket));
    Ok(Worker {
        socket,
        any_address,
        adopted: false,
    })
}

/// What a worker needs of its socket, bound or not.
fn prepare(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    // Less does too.
    let _ = socket.set_recv_buffer_size(limits::UDP_RECEIVE_BUFFER);
    socket.set_read_timeout(Some(WAKE_EVERY))?;
    if address.ip().is_unspecified() {
        match address {
            SocketAddr::V4(_) => setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?,
            SocketAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?,
        }
    }
    Ok(())
}

/// So many workers that share one socket which somebody else has bound.
///
/// # Errors
/// [`ServerError::Udp`] names its address.
pub(super) fn adopt(
    address: SocketAddr,
    socket: &UdpSocket,
    count: usize,
) -> Result<Vec<Worker>, ServerError> {
    let any_address = address.ip().is_unspecified();
    let worker = |_| {
        let socket = socket.try_clone()?;
        prepare(&SockRef::from(&socket), address)?;
        let socket = Arc::new(socket);
        Ok(Worker {
            socket,
            any_address,
            adopted: true,
        })
    };
    let workers: io::Result<_> = (0..count).map(worker).collect();
    workers.map_err(|source| ServerError::Udp { address, source })
}

/// Threads that answer, and their sockets, by which they are woken.
#[derive(Debug)]
pub(super) struct Workers {
    sockets: Vec<Arc<UdpSocket>>,
}

impl Workers {
    /// Starts a thread for each worker; each holds `running` until it ends.
    pub(super) fn start(
        workers: Vec<Worker>,
        shared: &Arc<Shared>,
        ids: &ConnectionIds,
        running: &Sender<()>,
    ) -> Self {
        let mut sockets = Vec::new();
        for (number, worker) in workers.into_iter().enumerate() {
            // Shut down it would be dead for whoever has it after us: it wakes by itself.
            let socket = (!worker.adopted).then(|| Arc::clone(&worker.socket));
            let (shared, running) = (Arc::clone(shared), running.clone());
            let responder = Responder::new(ids.clone(), Arc::clone(&shared.policy));
            let run = move || {
                work(
                    &worker,
                    responder,
                    &shared,
                    &shared.front.counters.udp[number],
                );
                // Who waits for the end may take the port.
                drop(worker);
                drop(running);
            };
            let thread = thread::Builder::new().name("tracker-udp".to_owned());
            match thread.spawn(run) {
                Ok(_) => sockets.extend(socket),
                // Its socket is closed, so the others are given its packets.
                Err(error) => tracing::error!(%error, "cannot start a thread for UDP"),
            }
        }
        Self { sockets }
    }

    /// Wakes all threads, to see that the server is to stop.
    pub(super) fn wake(self) {
        for socket in &self.sockets {
            // Linux says that it is not connected, and wakes who waits for a packet all the same.
            let _ = SockRef::from(&**socket).shutdown(std::net::Shutdown::Read);
        }
    }
}

fn work(worker: &Worker, mut responder: Responder, shared: &Shared, counter: &Counter) {
    let descriptor = worker.socket.as_raw_fd();
    let is_v6 = worker
        .socket
        .local_addr()
        .is_ok_and(|address| address.is_ipv6());
    let mut batch = Batch::new(worker.any_address, is_v6);
    while !shared.stop.is_closed() {
        let (mut now, mut counts) = (None, Counts::default());
        let answered = batch.exchange(descriptor, |packet, from, out| {
            let now = *now.get_or_insert_with(Instant::now);
            let start = out.len();
            if let Some(change) = responder.respond(now, packet, from.ip(), &shared.registry, out) {
                shared.tell(change);
            }
            count(&mut counts, &out[start..]);
        });
        counter.add(counts);
        match answered {
            // A packet that could not be delivered is told to the socket that sent it, later.
            Ok(()) | Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNREFUSED) => {}
            Err(error) => {
                shared.front.warnings.tell("cannot take packets", &error);
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

/// By what the answer is. Source: BEP 15, "action".
fn count(counts: &mut Counts, answer: &[u8]) {
    match answer
        .first_chunk::<4>()
        .map(|action| u32::from_be_bytes(*action))
    {
        Some(0) => counts.connects += 1,
        Some(1) => counts.announces += 1,
        Some(2) => counts.scrapes += 1,
        Some(_) => counts.refused += 1,
        None => {}
    }
}

#[cfg(test)]
mod tests;
