//! Taking connections in, and finding the torrent that each is for. BEP 3 "peer protocol".
//!
//! Knows of torrents only their doors. A connection must name a torrent that is here within one
//! time limit; how many may come from one address is the business of the [`Crowd`].

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener as StdListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_std::future::timeout;
use async_std::io::WriteExt;
use async_std::net::{TcpListener, TcpStream};
use async_std::task::sleep;
use shoal_metainfo::{InfoHash, PeerId};
use shoal_swarm::io::{CandidateSource, Direction};
use shoal_wire::{Extensions, Handshake};
use socket2::{Domain, Protocol, Socket, Type};

use crate::crowd::{Crowd, Place};
use crate::dial::{GreetError, read_handshake};
use crate::error::EngineError;
use crate::limits::{
    ACCEPT_PAUSE, ARRIVALS_QUEUED_MAX, HANDSHAKE_TIME_MAX, LISTEN_BACKLOG, PORT_TRIES_MAX,
};
use crate::mailbox::Mailbox;
use crate::note::{Greeted, Note};
use crate::tasks::Spawner;

/// Where a torrent takes connections in.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) peer_id: PeerId,
    /// Only its trackers may name peers, and only they may know of it. BEP 27.
    pub(crate) is_private: bool,
    /// What we tell that we speak.
    pub(crate) extensions: Extensions,
    pub(crate) notes: Arc<Mailbox<Note>>,
    /// Connections that wait for the torrent to take them.
    pub(crate) arrivals: Arc<AtomicUsize>,
}

/// All doors, by the torrent's name.
#[derive(Default)]
pub(crate) struct Doors {
    doors: Mutex<HashMap<InfoHash, Door>>,
    /// Counts openings and closings, so that who watches need not look at all of them.
    changes: AtomicUsize,
}

impl Doors {
    pub(crate) fn open(&self, info_hash: InfoHash, door: Door) {
        self.lock().insert(info_hash, door);
        self.changes.fetch_add(1, Ordering::SeqCst);
    }

    /// It is known from now on that the torrent is private. BEP 27.
    pub(crate) fn is_private(&self, info_hash: InfoHash) {
        if let Some(door) = self.lock().get_mut(&info_hash) {
            door.is_private = true;
        }
    }

    pub(crate) fn close(&self, info_hash: InfoHash) {
        self.lock().remove(&info_hash);
        self.changes.fetch_add(1, Ordering::SeqCst);
    }

    /// Another number than before when a door was opened or closed since.
    pub(crate) fn changes(&self) -> usize {
        self.changes.load(Ordering::SeqCst)
    }

    /// The torrents that others than their trackers may know of.
    pub(crate) fn public(&self) -> BTreeSet<InfoHash> {
        let doors = self.lock();
        let public = doors.iter().filter(|(_, door)| !door.is_private);
        public.map(|(info_hash, _)| *info_hash).collect()
    }

    /// Tells a torrent of peers that others than its trackers named; a private one does not listen.
    pub(crate) fn name(&self, info_hash: InfoHash, source: CandidateSource, peer: SocketAddr) {
        if let Some(door) = self.find(info_hash).filter(|door| !door.is_private) {
            let addresses = vec![peer];
            // It has ended: then it needs nobody.
            let _ = door.notes.push(Note::Named { source, addresses });
        }
    }

    fn find(&self, info_hash: InfoHash) -> Option<Door> {
        self.lock().get(&info_hash).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<InfoHash, Door>> {
        // Nothing panics while the lock is held; a poisoned one is whole.
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Door {
    /// Gives the torrent a connection; drops it when too many wait, or nobody does.
    fn enter(&self, greeted: Greeted) {
        if self.arrivals.fetch_add(1, Ordering::SeqCst) >= ARRIVALS_QUEUED_MAX
            || self.notes.push(Note::Greeted(greeted)).is_err()
        {
            self.arrivals.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Binds every address; those with port 0 get one free port together.
///
/// A wildcard of a family that this machine does not speak is left out, unless it is the only one.
pub(crate) fn bind_all(addresses: &[SocketAddr]) -> Result<Vec<StdListener>, EngineError> {
    let mut last = None;
    for _ in 0..PORT_TRIES_MAX {
        match bind_once(addresses) {
            Err(EngineError::PortTaken { address }) if is_unlucky(addresses, address) => {
                last = Some(EngineError::PortTaken { address });
            }
            result => return result,
        }
    }
    Err(last.expect("at least one try, and every other outcome returned"))
}

/// The port was our own choice for another address, so another choice may do.
fn is_unlucky(addresses: &[SocketAddr], taken: SocketAddr) -> bool {
    addresses
        .iter()
        .all(|address| address.port() != taken.port())
}

fn bind_once(addresses: &[SocketAddr]) -> Result<Vec<StdListener>, EngineError> {
    let mut listeners = Vec::new();
    let mut chosen = 0;
    for &(mut address) in addresses {
        if address.port() == 0 {
            address.set_port(chosen);
        }
        match bind(address) {
            Ok(listener) => {
                if address.port() == 0 {
                    chosen = port_of(&listener, address)?;
                }
                listeners.push(listener);
            }
            Err(error) if is_unspoken(&error) && is_spare(address, &listeners) => {
                tracing::info!("{address} is left out: {error}");
            }
            Err(error) => return Err(listen_error(address, error)),
        }
    }
    Ok(listeners)
}

fn port_of(listener: &StdListener, address: SocketAddr) -> Result<u16, EngineError> {
    let local = listener.local_addr();
    local
        .map(|local| local.port())
        .map_err(|error| listen_error(address, error))
}

fn is_spare(address: SocketAddr, listeners: &[StdListener]) -> bool {
    address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && !listeners.is_empty()
}

/// Whether the machine does not speak that family.
fn is_unspoken(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

fn bind(address: SocketAddr) -> io::Result<StdListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // So that a restart need not wait for old connections to time out.
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket.into())
}

fn listen_error(address: SocketAddr, source: io::Error) -> EngineError {
    match source.kind() {
        io::ErrorKind::AddrInUse => EngineError::PortTaken { address },
        io::ErrorKind::PermissionDenied => EngineError::PortForbidden { address },
        _ => EngineError::Listen { address, source },
    }
}

/// Takes connections in for as long as the set of tasks runs.
pub(crate) async fn accept_all(
    listener: StdListener,
    doors: Arc<Doors>,
    crowd: Arc<Crowd>,
    spawner: Spawner,
) {
    let listener = TcpListener::from(listener);
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                // Too many at it, or from there: the newest is turned away.
                let Some(place) = crowd.place(address.ip()) else {
                    continue;
                };
                let doors = doors.clone();
                spawner.until_stop(async move {
                    let greeting = greet(stream, address, &doors, place);
                    let greeted = timeout(HANDSHAKE_TIME_MAX, greeting);
                    if let Err(error) = greeted.await.unwrap_or_else(|late| Err(late.into())) {
                        tracing::debug!("{address} turned away: {error}");
                    }
                });
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!("cannot take a connection in: {error}; raise `ulimit -n`");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The error is of the connection that was to be accepted, not of the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// Hears the peer out first: only its handshake tells which torrent, so which peer id, is meant.
async fn greet(
    stream: TcpStream,
    address: SocketAddr,
    doors: &Doors,
    mut place: Place,
) -> Result<(), GreetError> {
    stream.set_nodelay(true)?;
    let handshake = read_handshake(&stream).await?;
    let door = doors
        .find(handshake.info_hash)
        .ok_or(GreetError::OtherTorrent(handshake.info_hash))?;
    let ours = Handshake {
        extensions: door.extensions,
        info_hash: handshake.info_hash,
        peer_id: door.peer_id,
    };
    (&stream).write_all(&ours.encode()).await?;
    place.greeted();
    door.enter(Greeted {
        stream,
        address,
        direction: Direction::Incoming,
        handshake,
        place: Some(place),
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dial::dial;
    use crate::tasks::Tasks;
    use async_std::task;
    use std::time::Duration;

    #[test]
    fn taken_port_is_told_with_its_address() {
        let holder = StdListener::bind("127.0.0.1:0").unwrap();
        let address = holder.local_addr().unwrap();
        let error = bind_all(&[address]).unwrap_err();
        assert!(matches!(error, EngineError::PortTaken { address: taken } if taken == address));
        assert!(error.to_string().contains(&address.to_string()));
    }

    #[test]
    fn both_families_get_the_same_free_port() {
        let wildcards = ["0.0.0.0:0".parse().unwrap(), "[::]:0".parse().unwrap()];
        let listeners = bind_all(&wildcards).unwrap();
        let ports: Vec<_> = listeners
            .iter()
            .map(|listener| listener.local_addr().unwrap().port())
            .collect();
        assert_ne!(ports[0], 0);
        assert!(ports.iter().all(|&port| port == ports[0]));
    }

    #[test]
    fn address_of_another_machine_is_an_error() {
        let error = bind_all(&["192.0.2.1:0".parse().unwrap()]).unwrap_err();
        assert!(matches!(error, EngineError::Listen { .. }));
    }

    #[test]
    fn place_is_kept_until_the_connection_is_dropped() {
        task::block_on(async {
            let (crowd, doors) = (Arc::new(Crowd::default()), Arc::new(Doors::default()));
            let notes = Arc::new(Mailbox::new());
            let info_hash = InfoHash([7; 20]);
            let door = Door {
                peer_id: PeerId::ours([1; 12]),
                is_private: false,
                extensions: Extensions::OURS,
                notes: notes.clone(),
                arrivals: Arc::default(),
            };
            doors.open(info_hash, door);
            let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let address = listener.local_addr().unwrap();
            let tasks = Tasks::new();
            let spawner = tasks.spawner();
            spawner.until_stop(accept_all(listener, doors, crowd.clone(), spawner.clone()));
            let ours = Handshake {
                extensions: Extensions::OURS,
                info_hash,
                peer_id: PeerId::ours([2; 12]),
            };
            let _dialled = dial(address, ours, None).await.unwrap();
            let mut found = Vec::new();
            while found.is_empty() {
                notes.take(&mut found);
                sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(crowd.connections(), 1);
            drop(found);
            assert_eq!(crowd.connections(), 0);
            tasks.stop();
            tasks.join().await;
        });
    }
}
