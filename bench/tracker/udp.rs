//! The load over UDP: one socket, many announces under way. BEP 15.

use std::io::{ErrorKind, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use fastrand::Rng;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg};
use shoal_tracker::udp::packet::{
    self, ConnectionId, Response, TransactionId, announce_request, connect_request,
};

use crate::swarms::Peer;
use crate::{Options, Outcome, Pace};

/// An announce without an answer for so long is made again.
const LOST_AFTER: Duration = Duration::from_secs(1);

/// Connection ids are good for a minute (BEP 15).
const CONNECT_EVERY: Duration = Duration::from_secs(40);

const BATCH: usize = 64;

#[derive(Debug, Clone, Copy)]
struct UnderWay {
    peer: Peer,
    asked: Instant,
}

/// Announces until the pace is over.
pub(crate) fn run(options: &Options, pace: &mut Pace, first: bool) -> Outcome {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    socket.connect(options.address).expect("an address");
    let socket2 = socket2::SockRef::from(&socket);
    socket2.set_recv_buffer_size(4 << 20).expect("a buffer");
    let mut load = Load {
        options,
        first,
        connection: connect(&socket),
        socket,
        under_way: vec![None; options.window],
        free: (0..options.window).collect(),
        outcome: Outcome::default(),
        rng: Rng::with_seed(1),
        next: 0,
    };
    let mut connected = Instant::now();
    let mut looked = Instant::now();
    while !pace.is_over() || load.free.len() < options.window {
        load.ask(pace);
        load.take();
        if looked.elapsed() > LOST_AFTER {
            looked = Instant::now();
            load.ask_again();
        }
        if connected.elapsed() > CONNECT_EVERY && load.free.len() == options.window {
            connected = Instant::now();
            load.connection = connect(&load.socket);
        }
    }
    load.outcome
}

fn connect(socket: &UdpSocket) -> ConnectionId {
    socket
        .set_read_timeout(Some(Duration::from_millis(500)))
        .expect("a socket");
    for _ in 0..20 {
        // The tracker may only be starting.
        let sent = socket.send(&connect_request(TransactionId(u32::MAX)));
        let mut answer = [0; 2_048];
        match sent.and_then(|_| socket.recv(&mut answer)) {
            Ok(length) => {
                if let Ok(Response::Connect(id)) = Response::decode(&answer[..length]) {
                    return id;
                }
            }
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                std::thread::sleep(Duration::from_millis(200));
            }
            Err(_) => {}
        }
    }
    panic!("the tracker gives no connection id");
}

struct Load<'o> {
    options: &'o Options,
    first: bool,
    connection: ConnectionId,
    socket: UdpSocket,
    /// By place, which is the transaction id.
    under_way: Vec<Option<UnderWay>>,
    free: Vec<usize>,
    outcome: Outcome,
    rng: Rng,
    next: u64,
}

impl Load<'_> {
    fn ask(&mut self, pace: &mut Pace) {
        let mut packets = Vec::new();
        while packets.len() < BATCH && !self.free.is_empty() && pace.due() {
            let peer = if self.first {
                self.next += 1;
                self.options.swarms.nth(self.next - 1)
            } else {
                self.options.swarms.any(&mut self.rng)
            };
            let place = self.free.pop().expect("looked at above");
            let asked = Instant::now();
            self.under_way[place] = Some(UnderWay { peer, asked });
            packets.push(self.packet(place, peer));
        }
        send(&self.socket, &packets);
    }

    fn packet(&self, place: usize, peer: Peer) -> Vec<u8> {
        let request = self.options.swarms.request(peer, self.first);
        let transaction = TransactionId(u32::try_from(place).expect("a small window"));
        announce_request(self.connection, transaction, &request, b"")
    }

    fn ask_again(&mut self) {
        let mut packets = Vec::new();
        for place in 0..self.under_way.len() {
            let Some(one) = self.under_way[place].filter(|one| one.asked.elapsed() > LOST_AFTER)
            else {
                continue;
            };
            self.outcome.lost += 1;
            packets.push(self.packet(place, one.peer));
        }
        packets
            .chunks(BATCH)
            .for_each(|chunk| send(&self.socket, chunk));
    }

    /// Takes the answers that are there.
    fn take(&mut self) {
        let mut buffers = vec![[0u8; 2_048]; BATCH];
        let mut slices: Vec<_> = buffers
            .iter_mut()
            .map(|buffer| [IoSliceMut::new(buffer)])
            .collect();
        let mut headers = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
        let flags = MsgFlags::MSG_DONTWAIT;
        let socket = self.socket.as_raw_fd();
        let answers = match recvmmsg(socket, &mut headers, slices.iter_mut(), flags, None) {
            Ok(answers) => answers,
            Err(Errno::EAGAIN | Errno::ECONNREFUSED) => return,
            Err(error) => panic!("{error}"),
        };
        for answer in answers {
            let bytes = answer.iovs().next().unwrap_or_default();
            let place = packet::response_transaction(bytes).map_or(usize::MAX, |t| t.0 as usize);
            let Some(one) = self.under_way.get_mut(place).and_then(Option::take) else {
                continue;
            };
            self.free.push(place);
            let checked = Response::decode(bytes)
                .and_then(|response| response.into_announce(false))
                .map_err(|error| error.to_string())
                .and_then(|answer| {
                    if self.first {
                        return Ok(());
                    }
                    self.options.swarms.check(one.peer, &answer)
                });
            self.outcome.count(checked, one.asked);
        }
    }
}

fn send(socket: &UdpSocket, packets: &[Vec<u8>]) {
    if packets.is_empty() {
        return;
    }
    let slices: Vec<_> = packets
        .iter()
        .map(|packet| [IoSlice::new(packet)])
        .collect();
    let mut headers = MultiHeaders::<SockaddrIn>::preallocate(packets.len(), None);
    let to = vec![None; packets.len()];
    let flags = MsgFlags::empty();
    // What is lost is asked for again.
    let _ = sendmmsg(socket.as_raw_fd(), &mut headers, &slices, &to, [], flags);
}
