//! Many packets in one call, and many answers in one call. BEP 15.
//!
//! An answer leaves from the address that the packet came to: other than the socket's own where it
//! takes packets for all addresses of the machine, which the kernel then tells of each
//! (`IP_PKTINFO`). Knows nothing of what the bytes mean.

use std::io::{IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::RawFd;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc::{in_addr, in_pktinfo, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrStorage,
    recvmmsg, sendmmsg,
};

use crate::limits::{UDP_BATCH, UDP_REQUEST_BYTES_MAX};

/// Which of the machine's addresses a packet came to.
#[derive(Debug, Clone, Copy)]
enum Asked {
    V4(in_pktinfo),
    V6(in6_pktinfo),
}

impl Asked {
    fn of(message: &RecvMsg<'_, '_, SockaddrStorage>) -> Option<Self> {
        message.cmsgs().ok()?.find_map(|message| match message {
            ControlMessageOwned::Ipv4PacketInfo(info) => Some(Self::V4(in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: info.ipi_spec_dst,
                ipi_addr: in_addr { s_addr: 0 },
            })),
            ControlMessageOwned::Ipv6PacketInfo(info) => Some(Self::V6(info)),
            _ => None,
        })
    }

    fn same(a: Option<Self>, b: Option<Self>) -> bool {
        match (a, b) {
            (None, None) => true,
            (Some(Self::V4(a)), Some(Self::V4(b))) => {
                a.ipi_spec_dst.s_addr == b.ipi_spec_dst.s_addr
            }
            (Some(Self::V6(a)), Some(Self::V6(b))) => {
                a.ipi6_ifindex == b.ipi6_ifindex && a.ipi6_addr.s6_addr == b.ipi6_addr.s6_addr
            }
            _ => false,
        }
    }
}

/// One answer that waits to be sent.
#[derive(Debug)]
struct Answer {
    bytes: Range<usize>,
    to: SockaddrStorage,
    from: Option<Asked>,
}

/// The memory of one worker.
#[derive(Debug)]
pub(super) struct Batch {
    received: MultiHeaders<SockaddrStorage>,
    plain: MultiHeaders<SockaddrStorage>,
    /// For answers that name the address they come from.
    named: Option<MultiHeaders<SockaddrStorage>>,
    buffer: Vec<u8>,
    out: Vec<u8>,
    answers: Vec<Answer>,
}

impl Batch {
    pub(super) fn new(any_address: bool, is_v6: bool) -> Self {
        let space = || {
            if is_v6 {
                cmsg_space!(in6_pktinfo)
            } else {
                cmsg_space!(in_pktinfo)
            }
        };
        let headers = |space| MultiHeaders::preallocate(UDP_BATCH, space);
        Self {
            received: headers(any_address.then(space)),
            plain: headers(None),
            named: any_address.then(|| headers(Some(space()))),
            buffer: vec![0; UDP_BATCH * UDP_REQUEST_BYTES_MAX],
            out: Vec::new(),
            answers: Vec::with_capacity(UDP_BATCH),
        }
    }

    /// Waits for packets, hands each to `respond`, which appends its answer, and sends them.
    pub(super) fn exchange(
        &mut self,
        socket: RawFd,
        mut respond: impl FnMut(&[u8], SocketAddr, &mut Vec<u8>),
    ) -> Result<(), Errno> {
        self.out.clear();
        self.answers.clear();
        let chunks = self.buffer.chunks_exact_mut(UDP_REQUEST_BYTES_MAX);
        let mut slices: Vec<_> = chunks.map(|chunk| [IoSliceMut::new(chunk)]).collect();
        let flags = MsgFlags::MSG_WAITFORONE;
        let messages = recvmmsg(socket, &mut self.received, slices.iter_mut(), flags, None)?;
        for message in messages {
            let from = message.address.and_then(socket_address);
            let (Some(from), Some(packet)) = (from, message.iovs().next()) else {
                continue;
            };
            let start = self.out.len();
            respond(packet, from, &mut self.out);
            if self.out.len() > start {
                self.answers.push(Answer {
                    bytes: start..self.out.len(),
                    to: from.into(),
                    from: self.named.as_ref().and_then(|_| Asked::of(&message)),
                });
            }
        }
        self.send(socket);
        Ok(())
    }

    /// Sends what waits; an answer that cannot be sent now is dropped, as a network might.
    fn send(&mut self, socket: RawFd) {
        let mut rest = &self.answers[..];
        while let Some(first) = rest.first() {
            let same = |answer: &&Answer| Asked::same(answer.from, first.from);
            let count = rest.iter().take_while(same).count();
            let slice = |answer: &Answer| [IoSlice::new(&self.out[answer.bytes.clone()])];
            let slices: Vec<_> = rest[..count].iter().map(slice).collect();
            let to: Vec<_> = rest[..count].iter().map(|answer| Some(answer.to)).collect();
            let flags = MsgFlags::MSG_DONTWAIT;
            let sent = match (&first.from, &mut self.named) {
                (Some(Asked::V4(info)), Some(headers)) => {
                    let from = [ControlMessage::Ipv4PacketInfo(info)];
                    sendmmsg(socket, headers, &slices, &to, from, flags).map(Iterator::count)
                }
                (Some(Asked::V6(info)), Some(headers)) => {
                    let from = [ControlMessage::Ipv6PacketInfo(info)];
                    sendmmsg(socket, headers, &slices, &to, from, flags).map(Iterator::count)
                }
                _ => {
                    sendmmsg(socket, &mut self.plain, &slices, &to, [], flags).map(Iterator::count)
                }
            };
            // The first that is left is the one that failed.
            rest = &rest[sent.unwrap_or(0).max(1)..];
        }
    }
}

fn socket_address(storage: SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = storage.as_sockaddr_in() {
        return Some(SocketAddr::V4((*v4).into()));
    }
    storage
        .as_sockaddr_in6()
        .map(|v6| SocketAddr::V6((*v6).into()))
}
