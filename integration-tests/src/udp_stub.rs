//! A tracker on UDP with a real table of peers, in the test itself. BEP 15, 41.
//!
//! Written on the packet codec alone, so that it shares no decision with the client that it is
//! asked by, nor with the tracker that we run.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use shoal_metainfo::compact;
use shoal_tracker::AnnounceRequest;
use shoal_tracker::udp::packet::{self, ConnectionId, Counts, Head, Request};

/// Good for every client. Ours: a stub has nothing to protect.
const ID: ConnectionId = ConnectionId(0x0123_4567_89ab_cdef);

/// What a [`UdpStub`] was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UdpAsked {
    /// For a connection id.
    Connect,
    /// An announce, with BEP 41's path and query.
    Announce(AnnounceRequest, String),
    /// A scrape of so many torrents.
    Scrape(usize),
}

/// A tracker on UDP that remembers who announced.
#[derive(Debug)]
pub struct UdpStub {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    asked: Mutex<Vec<UdpAsked>>,
    /// By info hash: peers, and whether they have everything.
    swarms: Mutex<BTreeMap<[u8; 20], BTreeMap<SocketAddr, bool>>>,
    silent: bool,
    ended: AtomicBool,
}

impl UdpStub {
    /// On 127.0.0.1.
    #[must_use]
    pub fn start() -> Self {
        Self::on(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    /// On this address.
    #[must_use]
    pub fn on(ip: IpAddr) -> Self {
        Self::with(ip, Shared::default())
    }

    /// One that takes packets and never answers.
    #[must_use]
    pub fn silent() -> Self {
        let shared = Shared {
            silent: true,
            ..Shared::default()
        };
        Self::with(IpAddr::V4(Ipv4Addr::LOCALHOST), shared)
    }

    fn with(ip: IpAddr, shared: Shared) -> Self {
        let socket = UdpSocket::bind((ip, 0)).expect("a free port");
        let address = socket.local_addr().expect("it is bound");
        let timeout = Some(Duration::from_millis(50));
        socket.set_read_timeout(timeout).expect("a time-out");
        let shared = Arc::new(shared);
        let serving = shared.clone();
        thread::spawn(move || {
            let mut buffer = [0; 2_048];
            while !serving.ended.load(Ordering::SeqCst) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else {
                    continue;
                };
                if let Some(answer) = serving.answer(from, &buffer[..length]) {
                    // The client may be gone.
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Self { address, shared }
    }

    /// Its announce URL, with this path and query.
    #[must_use]
    pub fn url(&self, place: &str) -> String {
        format!("udp://{}{place}", self.address)
    }

    /// What it was asked so far.
    #[must_use]
    pub fn asked(&self) -> Vec<UdpAsked> {
        lock(&self.shared.asked).clone()
    }

    /// The announces among that.
    #[must_use]
    pub fn announces(&self) -> Vec<AnnounceRequest> {
        let asked = self.asked().into_iter();
        let announces = asked.filter_map(|asked| match asked {
            UdpAsked::Announce(request, _) => Some(request),
            _ => None,
        });
        announces.collect()
    }
}

impl Drop for UdpStub {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
    }
}

impl Shared {
    fn answer(&self, from: SocketAddr, bytes: &[u8]) -> Option<Vec<u8>> {
        let head = Head::decode(bytes)?;
        let mark = head.transaction;
        let request = match Request::decode(bytes) {
            Ok(request) => request,
            Err(error) => {
                let text = error.to_string();
                return Some([&packet::error_head(mark)[..], text.as_bytes()].concat());
            }
        };
        lock(&self.asked).push(told(&request));
        if self.silent {
            return None;
        }
        if request == Request::Connect {
            return Some(packet::connect_response(mark, ID).to_vec());
        }
        if head.connection != ID {
            return None;
        }
        Some(match request {
            Request::Connect => unreachable!("answered above"),
            Request::Announce { request, .. } => self.announce(from, mark, &request),
            Request::Scrape(hashes) => {
                let mut out = packet::scrape_head(mark).to_vec();
                for hash in hashes {
                    let (leechers, seeders) = self.count(hash);
                    let counts = Counts {
                        seeders,
                        completed: 0,
                        leechers,
                    };
                    out.extend_from_slice(&counts.encode());
                }
                out
            }
        })
    }

    fn announce(
        &self,
        from: SocketAddr,
        mark: packet::TransactionId,
        request: &AnnounceRequest,
    ) -> Vec<u8> {
        let hash = request.info_hash.0;
        let peer = SocketAddr::new(from.ip(), request.port);
        let mut swarms = lock(&self.swarms);
        let swarm = swarms.entry(hash).or_default();
        if request.event == Some(shoal_tracker::AnnounceEvent::Stopped) {
            swarm.remove(&peer);
        } else {
            swarm.insert(peer, request.left == 0);
        }
        let mut peers = Vec::new();
        for &other in swarm.keys().filter(|&&other| other != peer) {
            match other {
                SocketAddr::V4(other) => compact::push_v4(&mut peers, other),
                SocketAddr::V6(other) => compact::push_v6(&mut peers, other),
            }
        }
        drop(swarms);
        let (leechers, seeders) = self.count(&hash);
        let head = packet::announce_head(mark, Duration::from_secs(5), leechers, seeders);
        [&head[..], &peers].concat()
    }

    fn count(&self, hash: &[u8; 20]) -> (u32, u32) {
        let swarms = lock(&self.swarms);
        let whole = swarms.get(hash).into_iter().flat_map(BTreeMap::values);
        whole.fold((0, 0), |(leechers, seeders), &whole| {
            (leechers + u32::from(!whole), seeders + u32::from(whole))
        })
    }
}

fn told(request: &Request<'_>) -> UdpAsked {
    match request {
        Request::Connect => UdpAsked::Connect,
        Request::Announce { request, options } => {
            let mut buffer = [0; 2_048];
            let place = options.url(&mut buffer).expect("no more than a packet");
            let place = String::from_utf8_lossy(place).into_owned();
            UdpAsked::Announce(request.clone(), place)
        }
        Request::Scrape(hashes) => UdpAsked::Scrape(hashes.len()),
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
