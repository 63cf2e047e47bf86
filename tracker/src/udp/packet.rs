//! The packets of a tracker on UDP, as both sides read and write them. BEP 15.
//!
//! Reading borrows from the packet; a server's answers are written into its own buffer. Whether a
//! connection id is a good one, and which address a packet came from, is not known here.
//!
//! ```text
//! request:  connection id: u64 | action: u32 | transaction id: u32 | …
//! response: action: u32 | transaction id: u32 | …                       all of it big-endian
//! ```

use std::net::SocketAddr;
use std::time::Duration;

use shoal_metainfo::{InfoHash, PeerId, compact};

use super::options::{self, Options};
use crate::announce::{AnnounceEvent, AnnounceRequest, AnnounceResponse, ScrapeEntry};
use crate::announce::{extend_peers, obeyed};
use crate::error::TrackerError;
use crate::limits;
use crate::text::printable;

/// What a request to connect has for a connection id. Source: BEP 15, "connect request".
pub const PROTOCOL_ID: ConnectionId = ConnectionId(0x0417_2710_1980);

/// Bytes of a request to connect, and of any request's head.
pub const CONNECT_REQUEST_BYTES: usize = 16;
/// Bytes of the answer to it.
pub const CONNECT_RESPONSE_BYTES: usize = 16;
/// Bytes of an announce without options.
pub const ANNOUNCE_REQUEST_BYTES: usize = 98;
/// Bytes of the answer to it, up to the peers.
pub const ANNOUNCE_HEAD_BYTES: usize = 20;
/// Bytes of the answer to a scrape, up to the counts, and of an error, up to its message.
pub const SCRAPE_HEAD_BYTES: usize = 8;
/// Bytes of the counts of one torrent in the answer to a scrape.
pub const COUNTS_BYTES: usize = 12;

const CONNECT: u32 = 0;
const ANNOUNCE: u32 = 1;
const SCRAPE: u32 = 2;
const ERROR: u32 = 3;

/// A server's proof that somebody takes packets at the address that a request names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnectionId(pub u64);

/// A client's mark on a request, which its answer repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(pub u32);

/// The first bytes of every request: enough to tell whether it deserves an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// [`PROTOCOL_ID`], or what the server gave.
    pub connection: ConnectionId,
    /// What is asked for, unchecked.
    pub action: u32,
    /// What the answer repeats.
    pub transaction: TransactionId,
}

impl Head {
    /// Reads it; `None` when there are fewer than sixteen bytes.
    #[must_use]
    pub fn decode(packet: &[u8]) -> Option<Self> {
        Some(Self {
            connection: ConnectionId(u64::from_be_bytes(at(packet, 0)?)),
            action: u32_at(packet, 8)?,
            transaction: TransactionId(u32_at(packet, 12)?),
        })
    }

    /// Whether it asks for a connection id; then nothing else in the packet matters.
    #[must_use]
    pub fn is_connect(&self) -> bool {
        self.action == CONNECT && self.connection == PROTOCOL_ID
    }

    fn encode(self) -> [u8; CONNECT_REQUEST_BYTES] {
        let mut out = [0; CONNECT_REQUEST_BYTES];
        out[..8].copy_from_slice(&self.connection.0.to_be_bytes());
        out[8..12].copy_from_slice(&self.action.to_be_bytes());
        out[12..].copy_from_slice(&self.transaction.0.to_be_bytes());
        out
    }
}

/// Why a request is refused. Told to the one who sent it only if its connection id is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Too few bytes for what it says it is, or a hash that is not whole.
    #[error("a packet of {found} bytes is no such request")]
    Length {
        /// Bytes that came.
        found: usize,
    },
    /// To connect, without BEP 15's number.
    #[error("a request to connect lacks the protocol's number")]
    Protocol,
    /// Not connect, announce or scrape.
    #[error("action {0} is unknown")]
    Action(u32),
    /// Not one of the values it may have.
    #[error("`{field}` must be {expected}")]
    Value {
        /// BEP 15's name for it.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// A scrape of more torrents than is served at once.
    #[error("more than {max} info hashes in one scrape")]
    TooMany {
        /// The bound.
        max: usize,
    },
}

/// A request, as a server reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request<'p> {
    /// For a connection id.
    Connect,
    /// An announce. Its `IP address` is not read: whoever may name another's address can aim a
    /// swarm at it.
    Announce {
        /// What is announced.
        request: AnnounceRequest,
        /// What follows it. BEP 41.
        options: Options<'p>,
    },
    /// A scrape of these torrents: at least one, at most [`limits::UDP_SCRAPE_HASHES_MAX`].
    Scrape(&'p [[u8; 20]]),
}

impl<'p> Request<'p> {
    /// Reads a request; nothing is allocated. Its ids are in its [`Head`].
    ///
    /// # Errors
    /// [`RequestError`] says what is wrong with it.
    ///
    /// Source: BEP 15.
    pub fn decode(packet: &'p [u8]) -> Result<Self, RequestError> {
        let found = packet.len();
        let head = Head::decode(packet).ok_or(RequestError::Length { found })?;
        match head.action {
            CONNECT if head.connection == PROTOCOL_ID => Ok(Self::Connect),
            CONNECT => Err(RequestError::Protocol),
            ANNOUNCE => {
                let announce = packet.split_first_chunk();
                let (fixed, options) = announce.ok_or(RequestError::Length { found })?;
                let request = decode_announce(fixed)?;
                let options = Options(options);
                Ok(Self::Announce { request, options })
            }
            SCRAPE => match packet[CONNECT_REQUEST_BYTES..].as_chunks() {
                ([], _) | (_, [_, ..]) => Err(RequestError::Length { found }),
                (hashes, _) if hashes.len() > limits::UDP_SCRAPE_HASHES_MAX => {
                    let max = limits::UDP_SCRAPE_HASHES_MAX;
                    Err(RequestError::TooMany { max })
                }
                (hashes, _) => Ok(Self::Scrape(hashes)),
            },
            action => Err(RequestError::Action(action)),
        }
    }
}

/// Shape, behind the head: `info_hash: 20 | peer_id: 20 | downloaded: u64 | left: u64 |
/// uploaded: u64 | event: u32 | IP address: u32 | key: u32 | num_want: i32 | port: u16`.
fn decode_announce(packet: &[u8; ANNOUNCE_REQUEST_BYTES]) -> Result<AnnounceRequest, RequestError> {
    let port = u16::from_be_bytes(field(packet, 96));
    if port == 0 {
        return Err(RequestError::Value {
            field: "port",
            expected: "a number from 1 to 65535",
        });
    }
    let numwant = i32::from_be_bytes(field(packet, 92));
    Ok(AnnounceRequest {
        info_hash: InfoHash(field(packet, 16)),
        peer_id: PeerId(field(packet, 36)),
        downloaded: u64::from_be_bytes(field(packet, 56)),
        left: u64::from_be_bytes(field(packet, 64)),
        uploaded: u64::from_be_bytes(field(packet, 72)),
        event: decode_event(u32::from_be_bytes(field(packet, 80)))?,
        key: u32::from_be_bytes(field(packet, 88)),
        // -1 leaves it to the tracker, and so does all else below 0.
        numwant: u32::try_from(numwant).ok(),
        port,
        tracker_id: None,
        compact: true,
    })
}

/// 4 is what libtorrent sends for BEP 21's `paused`: to us a regular announce.
fn decode_event(event: u32) -> Result<Option<AnnounceEvent>, RequestError> {
    match event {
        0 | 4 => Ok(None),
        1 => Ok(Some(AnnounceEvent::Completed)),
        2 => Ok(Some(AnnounceEvent::Started)),
        3 => Ok(Some(AnnounceEvent::Stopped)),
        _ => Err(RequestError::Value {
            field: "event",
            expected: "0 (none), 1 (completed), 2 (started) or 3 (stopped)",
        }),
    }
}

/// BEP 15 has no number for `paused`, and trackers refuse announces with others than its own.
fn encode_event(event: Option<AnnounceEvent>) -> u32 {
    match event {
        None | Some(AnnounceEvent::Paused) => 0,
        Some(AnnounceEvent::Completed) => 1,
        Some(AnnounceEvent::Started) => 2,
        Some(AnnounceEvent::Stopped) => 3,
    }
}

/// Writes a request to connect. Source: BEP 15.
#[must_use]
pub fn connect_request(transaction: TransactionId) -> [u8; CONNECT_REQUEST_BYTES] {
    let head = Head {
        connection: PROTOCOL_ID,
        action: CONNECT,
        transaction,
    };
    head.encode()
}

/// Writes an announce; `url` is the path and query of the announce URL (BEP 41), or empty.
///
/// The tracker is to take the address that it sees: `IP address` is 0.
///
/// Source: BEP 15.
#[must_use]
pub fn announce_request(
    connection: ConnectionId,
    transaction: TransactionId,
    request: &AnnounceRequest,
    url: &[u8],
) -> Vec<u8> {
    let head = Head {
        connection,
        action: ANNOUNCE,
        transaction,
    };
    let numwant = request
        .numwant
        .map_or(-1, |n| i32::try_from(n).unwrap_or(i32::MAX));
    let mut out = Vec::with_capacity(ANNOUNCE_REQUEST_BYTES + url.len() + 32);
    out.extend_from_slice(&head.encode());
    out.extend_from_slice(&request.info_hash.0);
    out.extend_from_slice(&request.peer_id.0);
    out.extend_from_slice(&request.downloaded.to_be_bytes());
    out.extend_from_slice(&request.left.to_be_bytes());
    out.extend_from_slice(&request.uploaded.to_be_bytes());
    out.extend_from_slice(&encode_event(request.event).to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&request.key.to_be_bytes());
    out.extend_from_slice(&numwant.to_be_bytes());
    out.extend_from_slice(&request.port.to_be_bytes());
    options::push_url(&mut out, url);
    out
}

/// Writes a scrape; of more than [`limits::UDP_SCRAPE_HASHES_MAX`] the first are asked for.
///
/// Source: BEP 15.
#[must_use]
pub fn scrape_request(
    connection: ConnectionId,
    transaction: TransactionId,
    info_hashes: &[InfoHash],
) -> Vec<u8> {
    let head = Head {
        connection,
        action: SCRAPE,
        transaction,
    };
    let mut out = head.encode().to_vec();
    for hash in info_hashes.iter().take(limits::UDP_SCRAPE_HASHES_MAX) {
        out.extend_from_slice(&hash.0);
    }
    out
}

/// What a tracker counts of one torrent. Source: BEP 15, "scrape response".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Peers that have everything.
    pub seeders: u32,
    /// Downloads that became whole.
    pub completed: u32,
    /// Peers that do not have everything.
    pub leechers: u32,
}

impl Counts {
    /// Shape: `seeders: u32 | completed: u32 | leechers: u32`.
    #[must_use]
    pub fn encode(self) -> [u8; COUNTS_BYTES] {
        let mut out = [0; COUNTS_BYTES];
        out[..4].copy_from_slice(&self.seeders.to_be_bytes());
        out[4..8].copy_from_slice(&self.completed.to_be_bytes());
        out[8..].copy_from_slice(&self.leechers.to_be_bytes());
        out
    }

    fn decode(bytes: &[u8; COUNTS_BYTES]) -> Self {
        Self {
            seeders: u32::from_be_bytes(field(bytes, 0)),
            completed: u32::from_be_bytes(field(bytes, 4)),
            leechers: u32::from_be_bytes(field(bytes, 8)),
        }
    }
}

/// Writes the answer to a request to connect. Source: BEP 15.
#[must_use]
pub fn connect_response(
    transaction: TransactionId,
    connection: ConnectionId,
) -> [u8; CONNECT_RESPONSE_BYTES] {
    let mut out = [0; CONNECT_RESPONSE_BYTES];
    out[..8].copy_from_slice(&response_head(CONNECT, transaction));
    out[8..].copy_from_slice(&connection.0.to_be_bytes());
    out
}

/// Writes the answer to an announce up to its peers; they follow, of the family that the request
/// came by: 6 bytes each (BEP 23) or 18 (BEP 7).
///
/// Source: BEP 15, "IPv4 announce response".
#[must_use]
pub fn announce_head(
    transaction: TransactionId,
    interval: Duration,
    leechers: u32,
    seeders: u32,
) -> [u8; ANNOUNCE_HEAD_BYTES] {
    let interval = u32::try_from(interval.as_secs()).unwrap_or(u32::MAX);
    let mut out = [0; ANNOUNCE_HEAD_BYTES];
    out[..8].copy_from_slice(&response_head(ANNOUNCE, transaction));
    out[8..12].copy_from_slice(&interval.to_be_bytes());
    out[12..16].copy_from_slice(&leechers.to_be_bytes());
    out[16..].copy_from_slice(&seeders.to_be_bytes());
    out
}

/// Writes the answer to a scrape up to its [`Counts`]; they follow in the order of the hashes.
///
/// Source: BEP 15.
#[must_use]
pub fn scrape_head(transaction: TransactionId) -> [u8; SCRAPE_HEAD_BYTES] {
    response_head(SCRAPE, transaction)
}

/// Writes an error up to its message, which follows. Source: BEP 15.
#[must_use]
pub fn error_head(transaction: TransactionId) -> [u8; SCRAPE_HEAD_BYTES] {
    response_head(ERROR, transaction)
}

fn response_head(action: u32, transaction: TransactionId) -> [u8; 8] {
    let mut out = [0; 8];
    out[..4].copy_from_slice(&action.to_be_bytes());
    out[4..].copy_from_slice(&transaction.0.to_be_bytes());
    out
}

/// An answer, as a client reads it. Nothing is believed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Response<'p> {
    /// A connection id.
    Connect(ConnectionId),
    /// The answer to an announce.
    Announce {
        /// Seconds until the next.
        interval: u32,
        /// Peers that do not have everything.
        leechers: u32,
        /// Peers that have everything.
        seeders: u32,
        /// Peers, of the family that the packet came by.
        peers: &'p [u8],
    },
    /// The answer to a scrape.
    Scrape(&'p [[u8; COUNTS_BYTES]]),
    /// A refusal, in the tracker's words.
    Error(&'p [u8]),
}

/// The transaction of an answer; `None` when there are fewer than eight bytes.
#[must_use]
pub fn response_transaction(packet: &[u8]) -> Option<TransactionId> {
    u32_at(packet, 4).map(TransactionId)
}

impl<'p> Response<'p> {
    /// Reads an answer; whose, [`response_transaction`] says. Bytes behind those that an answer to
    /// `connect` needs are ignored. Source: BEP 15 asks for that.
    ///
    /// # Errors
    /// [`TrackerError::Malformed`] with what is wrong.
    pub fn decode(packet: &'p [u8]) -> Result<Self, TrackerError> {
        let short = || malformed(format!("a packet of {} bytes is no answer", packet.len()));
        let action = u32_at(packet, 0).ok_or_else(short)?;
        let body = packet.get(8..).ok_or_else(short)?;
        match action {
            CONNECT => {
                let id = at(body, 0).ok_or_else(short)?;
                Ok(Self::Connect(ConnectionId(u64::from_be_bytes(id))))
            }
            ANNOUNCE => Ok(Self::Announce {
                interval: u32_at(body, 0).ok_or_else(short)?,
                leechers: u32_at(body, 4).ok_or_else(short)?,
                seeders: u32_at(body, 8).ok_or_else(short)?,
                peers: &body[12..],
            }),
            SCRAPE => match body.as_chunks() {
                (counts, []) => Ok(Self::Scrape(counts)),
                _ => Err(short()),
            },
            ERROR => Ok(Self::Error(body)),
            _ => Err(malformed(format!("it is of unknown kind {action}"))),
        }
    }

    /// The answer to an announce that went out over IPv6, or not. Peers that nobody can dial are
    /// left out, those beyond [`limits::PEERS_MAX`] too, and the interval is clamped.
    ///
    /// # Errors
    /// [`TrackerError::Failure`] when the tracker refuses; [`TrackerError::Malformed`] when it is
    /// no such answer.
    ///
    /// Source: BEP 15.
    pub fn into_announce(self, ipv6: bool) -> Result<AnnounceResponse, TrackerError> {
        let (interval, leechers, seeders, bytes) = match self {
            Self::Announce {
                interval,
                leechers,
                seeders,
                peers,
            } => (interval, leechers, seeders, peers),
            other => return Err(other.out_of_turn("an announce")),
        };
        let mut peers: Vec<SocketAddr> = Vec::new();
        let broken = |error: compact::CompactError| malformed(error.to_string());
        if ipv6 {
            extend_peers(&mut peers, compact::peers_v6(bytes).map_err(broken)?);
        } else {
            extend_peers(&mut peers, compact::peers_v4(bytes).map_err(broken)?);
        }
        Ok(AnnounceResponse {
            // The field is signed in BEP 15: what is below 0 asks to be flooded, not for a century.
            interval: obeyed(i64::from(interval.cast_signed())),
            seeders: Some(seeders),
            leechers: Some(leechers),
            peers,
            ..AnnounceResponse::default()
        })
    }

    /// The answer to a scrape of these torrents.
    ///
    /// # Errors
    /// As [`Response::into_announce`]; also when it counts fewer or more torrents.
    pub fn into_scrape(self, info_hashes: &[InfoHash]) -> Result<Vec<ScrapeEntry>, TrackerError> {
        let counts = match self {
            Self::Scrape(counts) => counts,
            other => return Err(other.out_of_turn("a scrape")),
        };
        if counts.len() != info_hashes.len() {
            let (asked, told) = (info_hashes.len(), counts.len());
            return Err(malformed(format!(
                "it counts {told} torrents where {asked} were asked for"
            )));
        }
        let entries = counts.iter().zip(info_hashes).map(|(counts, &info_hash)| {
            let counts = Counts::decode(counts);
            ScrapeEntry {
                info_hash,
                seeders: counts.seeders,
                completed: counts.completed,
                leechers: counts.leechers,
            }
        });
        Ok(entries.collect())
    }

    /// What is wrong with an answer to something else than was asked.
    pub(crate) fn out_of_turn(self, asked: &str) -> TrackerError {
        match self {
            Self::Error(message) => TrackerError::Failure {
                reason: printable(message),
                retry: None,
            },
            _ => malformed(format!("it is none to {asked}")),
        }
    }
}

fn malformed(what: String) -> TrackerError {
    TrackerError::Malformed { what }
}

/// `N` bytes from `offset`, if they are there.
fn at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    at(bytes, offset).map(u32::from_be_bytes)
}

/// `N` bytes of a packet whose length is known.
fn field<const N: usize, const LENGTH: usize>(packet: &[u8; LENGTH], offset: usize) -> [u8; N] {
    at(packet, offset).expect("the layout fits the packet")
}

#[cfg(test)]
mod tests;
