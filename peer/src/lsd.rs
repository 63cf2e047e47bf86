//! Local service discovery: the sockets around [`Finder`]. BEP 14.
//!
//! One socket for each address of an interface, bound to the group so that nothing else comes in,
//! with a port that other clients of this machine share. A network that refuses multicast costs a
//! line in the log. Private torrents never reach it: it asks the doors for the others.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket as StdSocket};
use std::sync::Arc;
use std::time::Instant;

use async_std::channel::{Receiver, Sender, bounded};
use async_std::future::timeout;
use async_std::net::UdpSocket;
use shoal_metainfo::InfoHash;
use shoal_nearby::Network;
use shoal_nearby::limits::ANNOUNCE_LENGTH_MAX;
use shoal_nearby::lsd::{Announce, Finder, GROUP_V4, GROUP_V6, Input, Output, PORT, group};
use shoal_swarm::io::CandidateSource;
use socket2::{Domain, Protocol, Socket, Type};

use crate::interfaces::{self, Interface};
use crate::limits::{INTERFACES_LOOK, LSD_HOPS, LSD_LINES_MAX, LSD_LOOK, LSD_QUEUED_MAX};
use crate::listen::Doors;
use crate::tasks::Tasks;

/// Looks for peers of all public torrents for as long as the set of tasks runs.
pub(crate) fn start(tasks: &Tasks, doors: Arc<Doors>, port: u16) {
    let mut secret = [0; 4];
    if let Err(error) = getrandom::fill(&mut secret) {
        tracing::warn!("no random numbers, so no local discovery: {error}");
        return;
    }
    let finder = Finder::new(port, u32::from_ne_bytes(secret));
    let lsd = Lsd::new(doors, finder, |interface| !interface.is_loopback());
    tasks.spawner().until_stop(lsd.run());
}

/// What came, and from whom.
type Datagram = (SocketAddr, Vec<u8>);

/// One socket: an IPv4 address, or an interface that has some IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Line {
    V4(std::net::Ipv4Addr),
    V6(u32),
}

/// A line that is open; closed when dropped.
struct Open {
    socket: Arc<UdpSocket>,
    _reading: Tasks,
}

struct Lsd {
    doors: Arc<Doors>,
    finder: Finder,
    wanted: fn(&Interface) -> bool,
    running: BTreeSet<InfoHash>,
    /// As [`Doors::changes`] counted them.
    changes: Option<usize>,
    networks: Vec<Network>,
    /// `None`: it was tried and refused.
    lines: BTreeMap<Line, Option<Open>>,
    look_at: Instant,
    heard: (Sender<Datagram>, Receiver<Datagram>),
}

impl Lsd {
    fn new(doors: Arc<Doors>, finder: Finder, wanted: fn(&Interface) -> bool) -> Self {
        Self {
            doors,
            finder,
            wanted,
            running: BTreeSet::new(),
            changes: None,
            networks: Vec::new(),
            lines: BTreeMap::new(),
            look_at: Instant::now(),
            heard: bounded(LSD_QUEUED_MAX),
        }
    }

    async fn run(mut self) {
        loop {
            let now = Instant::now();
            if self.look_at <= now {
                self.look_at = now + INTERFACES_LOOK;
                self.look_at_interfaces();
            }
            self.look_at_torrents(now);
            self.finder.handle(now, Input::Timeout);
            self.carry_out().await;
            let wait = self.finder.timeout().map_or(LSD_LOOK, |at| {
                at.saturating_duration_since(now).min(LSD_LOOK)
            });
            if let Ok(Ok((from, datagram))) = timeout(wait, self.heard.1.recv()).await {
                let heard = Input::Heard {
                    from,
                    networks: &self.networks,
                    datagram: &datagram,
                };
                self.finder.handle(Instant::now(), heard);
            }
        }
    }

    fn look_at_torrents(&mut self, now: Instant) {
        let changes = Some(self.doors.changes());
        if self.changes == changes {
            return;
        }
        self.changes = changes;
        let running = self.doors.public();
        for &info_hash in self.running.difference(&running) {
            self.finder.handle(now, Input::Stopped { info_hash });
        }
        for &info_hash in running.difference(&self.running) {
            let private = false;
            self.finder
                .handle(now, Input::Started { info_hash, private });
        }
        self.running = running;
    }

    /// Opens lines where there are new addresses, and closes those that went.
    fn look_at_interfaces(&mut self) {
        let found = match interfaces::all() {
            Ok(found) => found,
            Err(error) => return tracing::debug!("the interfaces cannot be listed: {error}"),
        };
        self.networks = found.iter().map(|interface| interface.network).collect();
        let wanted = found.iter().filter(|interface| (self.wanted)(interface));
        let lines = wanted.map(|interface| match interface.network.address {
            IpAddr::V4(ip) => Line::V4(ip),
            IpAddr::V6(_) => Line::V6(interface.index),
        });
        let lines: BTreeSet<_> = lines.take(LSD_LINES_MAX).collect();
        self.lines.retain(|line, _| lines.contains(line));
        for line in lines {
            let heard = &self.heard.0;
            self.lines.entry(line).or_insert_with(|| {
                let open = open(line).map(|socket| Open::new(socket, heard.clone()));
                open.inspect_err(|error| tracing::debug!("no local discovery on {line:?}: {error}"))
                    .ok()
            });
        }
    }

    async fn carry_out(&mut self) {
        while let Some(output) = self.finder.poll() {
            match output {
                Output::Announce(announce) => self.announce(&announce).await,
                Output::Found { info_hash, address } => {
                    tracing::debug!("{address} has {info_hash}, as it says to our network");
                    self.doors.name(info_hash, CandidateSource::Lsd, address);
                }
            }
        }
    }

    async fn announce(&self, announce: &Announce) {
        for (line, open) in &self.lines {
            let Some(open) = open else { continue };
            let group = group(matches!(line, Line::V6(_)));
            let sent = open.socket.send_to(&announce.encode(group), group).await;
            if let Err(error) = sent {
                // A line that went down, or a network that takes no multicast: others may.
                tracing::trace!("no announce on {line:?}: {error}");
            }
        }
    }
}

impl Open {
    fn new(socket: UdpSocket, heard: Sender<Datagram>) -> Self {
        let (socket, reading) = (Arc::new(socket), Tasks::new());
        reading.spawner().until_stop(read(socket.clone(), heard));
        Self {
            socket,
            _reading: reading,
        }
    }
}

async fn read(socket: Arc<UdpSocket>, heard: Sender<Datagram>) {
    // One byte more, so that what is too long is seen to be.
    let mut buffer = [0; ANNOUNCE_LENGTH_MAX + 1];
    loop {
        match socket.recv_from(&mut buffer).await {
            // Too much at once: the newest is dropped, as the network would.
            Ok((length, from)) => drop(heard.try_send((from, buffer[..length].to_vec()))),
            Err(error) => return tracing::debug!("local discovery hears nothing more: {error}"),
        }
    }
}

fn open(line: Line) -> io::Result<UdpSocket> {
    let address = group(matches!(line, Line::V6(_)));
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // Other clients of this machine listen there too, with either of these.
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    match line {
        Line::V4(ip) => {
            bind_to_group(&socket, address)?;
            #[cfg(target_os = "linux")]
            socket.set_multicast_all_v4(false)?;
            socket.join_multicast_v4(&GROUP_V4, &ip)?;
            socket.set_multicast_if_v4(&ip)?;
            socket.set_multicast_ttl_v4(LSD_HOPS)?;
            // So that two clients on one machine find each other.
            socket.set_multicast_loop_v4(true)?;
        }
        Line::V6(index) => {
            socket.set_only_v6(true)?;
            bind_to_group(&socket, address)?;
            #[cfg(target_os = "linux")]
            socket.set_multicast_all_v6(false)?;
            socket.join_multicast_v6(&GROUP_V6, index)?;
            socket.set_multicast_if_v6(index)?;
            socket.set_multicast_hops_v6(LSD_HOPS)?;
            socket.set_multicast_loop_v6(true)?;
        }
    }
    Ok(UdpSocket::from(StdSocket::from(socket)))
}

/// Nothing but the group's comes in; where a group is no address to bind, everything on its port.
fn bind_to_group(socket: &Socket, group: SocketAddr) -> io::Result<()> {
    let mut address = group;
    if cfg!(windows) {
        address = match group {
            SocketAddr::V4(_) => ([0; 4], PORT).into(),
            SocketAddr::V6(_) => ([0; 16], PORT).into(),
        };
    }
    socket.bind(&address.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listen::Door;
    use crate::mailbox::Mailbox;
    use crate::note::Note;
    use async_std::task::{self, sleep};
    use shoal_metainfo::PeerId;
    use std::time::Duration;

    /// A client that runs these torrents, private ones marked, on the loopback interface: there,
    /// multicast is of IPv4 alone.
    struct Client {
        _tasks: Tasks,
        notes: BTreeMap<InfoHash, Arc<Mailbox<Note>>>,
    }

    impl Client {
        fn start(port: u16, torrents: &[(InfoHash, bool)]) -> Self {
            let (doors, tasks) = (Arc::new(Doors::default()), Tasks::new());
            let mut notes = BTreeMap::new();
            for &(info_hash, is_private) in torrents {
                let mailbox = Arc::new(Mailbox::new());
                notes.insert(info_hash, mailbox.clone());
                let door = Door {
                    peer_id: PeerId::ours([1; 12]),
                    extensions: shoal_wire::Extensions::OURS,
                    is_private,
                    notes: mailbox,
                    arrivals: Arc::default(),
                };
                doors.open(info_hash, door);
            }
            let finder = Finder::new(port, fastrand::u32(..));
            let lsd = Lsd::new(doors, finder, Interface::is_loopback);
            tasks.spawner().until_stop(lsd.run());
            Self {
                _tasks: tasks,
                notes,
            }
        }

        fn found(&self, info_hash: InfoHash) -> Vec<SocketAddr> {
            let mut notes = Vec::new();
            self.notes[&info_hash].take(&mut notes);
            let found = notes.into_iter().flat_map(|note| match note {
                Note::Named { source, addresses } => {
                    assert_eq!(source, CandidateSource::Lsd);
                    addresses
                }
                _ => panic!("only peers are told of"),
            });
            found.collect()
        }

        async fn wait_found(&self, info_hash: InfoHash) -> Vec<SocketAddr> {
            loop {
                let found = self.found(info_hash);
                if !found.is_empty() {
                    return found;
                }
                sleep(Duration::from_millis(5)).await;
            }
        }
    }

    fn random() -> InfoHash {
        InfoHash([(); 20].map(|()| fastrand::u8(..)))
    }

    /// What is announced on this machine's loopback.
    fn eavesdrop() -> Receiver<Datagram> {
        let (heard, hears) = bounded(1024);
        let socket = open(Line::V4([127, 0, 0, 1].into())).unwrap();
        task::spawn(read(Arc::new(socket), heard));
        hears
    }

    #[test]
    fn clients_on_one_machine_find_each_other_and_never_by_a_private_torrent() {
        task::block_on(async {
            let (public, private) = (random(), random());
            let hears = eavesdrop();
            let torrents = [(public, false), (private, true)];
            let first = Client::start(7001, &torrents);
            // Until the first has said all that it says at the start.
            let mut said = Vec::new();
            while said.is_empty() {
                let (_, datagram) = hears.recv().await.unwrap();
                let announce = Announce::decode(&datagram).unwrap();
                said.extend(
                    announce
                        .info_hashes
                        .into_iter()
                        .filter(|hash| *hash == public),
                );
            }
            let second = Client::start(7002, &torrents);
            let found = first.wait_found(public).await;
            assert!(found.iter().all(|peer| peer.port() == 7002), "{found:?}");
            assert!(
                found.iter().all(|peer| peer.ip().is_loopback()),
                "{found:?}"
            );
            // Whoever claims to have the private one is not believed.
            let stranger = Announce {
                port: 7003,
                info_hashes: vec![private, public],
                cookie: None,
            };
            let socket = open(Line::V4([127, 0, 0, 1].into())).unwrap();
            let to = group(false);
            socket.send_to(&stranger.encode(to), to).await.unwrap();
            while !second
                .wait_found(public)
                .await
                .iter()
                .any(|peer| peer.port() == 7003)
            {}
            for client in [&first, &second] {
                assert_eq!(client.found(private), []);
            }
            let mut heard = 0;
            while let Ok((_, datagram)) = hears.try_recv() {
                let announce = Announce::decode(&datagram).unwrap();
                if announce.port != 7003 {
                    heard += 1;
                    assert!(!announce.info_hashes.contains(&private), "{announce:?}");
                }
            }
            assert!(heard > 0, "the second said nothing");
        });
    }

    #[test]
    fn line_that_cannot_be_opened_is_an_error_and_no_more() {
        // An address of nobody here.
        assert!(open(Line::V4([192, 0, 2, 77].into())).is_err());
    }
}
