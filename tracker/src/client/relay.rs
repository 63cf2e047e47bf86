//! Questions to trackers on UDP through a proxy: SOCKS5's `UDP ASSOCIATE`. RFC 1928; BEP 15.
//!
//! Each question has an association of its own, which ends with it: what comes in there is from the
//! tracker or from nobody, so that a name that only the proxy can look up needs no address here.
//! Few proxies relay datagrams; one that does not is told as such, and nothing goes beside it. What
//! is asked and answered is decided by [`Exchange`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use async_std::future::timeout;
use async_std::net::UdpSocket;
use futures_lite::{AsyncReadExt as _, FutureExt as _};

use super::socks5::{self, Association, Destination, Proxy, ProxyError};
use super::udp::mark;
use crate::error::TrackerError;
use crate::limits;
use crate::udp::exchange::{Answer, Exchange, Input, Output, Question, QuestionKey};

/// As what the tracker is known to the exchange: the family decides how long peers are.
const SEEN_V4: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 1);
const SEEN_V6: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 1);

/// A way for datagrams to one destination and back; it ends when this is dropped.
struct Relay {
    /// Open for as long as the proxy relays.
    line: async_std::net::TcpStream,
    socket: UdpSocket,
    head: Vec<u8>,
    buffer: Vec<u8>,
}

/// What happens to it.
enum Event {
    /// From an address of this family.
    Packet {
        v6: bool,
        bytes: Vec<u8>,
    },
    Timeout,
    /// The proxy gives it up.
    Ended,
}

/// The answer of a tracker.
///
/// # Errors
/// [`TrackerError`], by cause.
pub(super) async fn ask(
    proxy: &Proxy,
    to: Destination<'_>,
    question: &Question,
) -> Result<Answer, TrackerError> {
    let mut relay = Relay::open(proxy, to).await?;
    let is_v6 = matches!(to, Destination::Address(address) if address.is_ipv6());
    let mut seen = if is_v6 { SEEN_V6 } else { SEEN_V4 };
    loop {
        match relay.exchange(seen, question).await? {
            Some(answer) => return Ok(answer),
            // A name of IPv6: its answers are read otherwise.
            None => seen = SEEN_V6,
        }
    }
}

impl Relay {
    async fn open(proxy: &Proxy, to: Destination<'_>) -> Result<Self, TrackerError> {
        let head = socks5::datagram_head(to)?;
        let Association { line, relay } = proxy.associate().await?;
        let failed = |error: std::io::Error| ProxyError::Connect {
            proxy: relay,
            reason: error.to_string(),
        };
        let any: IpAddr = match relay {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0)).await.map_err(failed)?;
        // From here on the system takes nothing that is not from there.
        socket.connect(relay).await.map_err(failed)?;
        Ok(Self {
            line,
            socket,
            head,
            buffer: vec![0; limits::UDP_PACKET_BYTES_MAX],
        })
    }

    /// Asks until there is an answer; `None` when the tracker turns out to be of IPv6.
    async fn exchange(
        &mut self,
        seen: SocketAddr,
        question: &Question,
    ) -> Result<Option<Answer>, TrackerError> {
        let mut exchange = Exchange::new(mark);
        let ask = Input::Ask {
            key: QuestionKey(0),
            tracker: seen,
            question: question.clone(),
        };
        exchange.handle(Instant::now(), ask);
        loop {
            while let Some(output) = exchange.poll() {
                match output {
                    Output::Send { packet, .. } => self.send(&packet).await,
                    Output::Done { result, .. } => return result.map(Some),
                }
            }
            match self.next(exchange.timeout()).await {
                Event::Packet { v6, .. } if v6 && seen.is_ipv4() => return Ok(None),
                Event::Packet { bytes, .. } => {
                    let bytes = &bytes[..];
                    let packet = Input::Packet { from: seen, bytes };
                    exchange.handle(Instant::now(), packet);
                }
                Event::Timeout => exchange.handle(Instant::now(), Input::Timeout),
                Event::Ended => return Err(ProxyError::RelayEnded.into()),
            }
        }
    }

    async fn send(&self, packet: &[u8]) {
        let datagram = [&self.head[..], packet].concat();
        // Refused at once: an earlier one came to nothing. It is sent again in time.
        let _ = self.socket.send(&datagram).await;
    }

    async fn next(&mut self, due: Option<Instant>) -> Event {
        let Self {
            line,
            socket,
            buffer,
            ..
        } = self;
        let packet = async {
            loop {
                // An error here is of a packet sent before.
                let Ok(length) = socket.recv(buffer).await else {
                    continue;
                };
                if let Some((v6, bytes)) = socks5::datagram(&buffer[..length]) {
                    let bytes = bytes.to_vec();
                    return Event::Packet { v6, bytes };
                }
            }
        };
        let ended = async {
            let mut nothing = [0; 64];
            // What it may say there means nothing.
            while line.read(&mut nothing).await.is_ok_and(|length| length > 0) {}
            Event::Ended
        };
        let wait = due.map_or(limits::UDP_EXCHANGE_MAX, |due| {
            due.saturating_duration_since(Instant::now())
        });
        timeout(wait, packet.race(ended))
            .await
            .unwrap_or(Event::Timeout)
    }
}
