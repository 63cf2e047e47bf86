//! What a torrent is told by those who must not wait for it.

use std::net::SocketAddr;

use async_std::net::TcpStream;
use shoal_metainfo::Bitfield;
use shoal_storage::StorageError;
use shoal_swarm::io::{CandidateSource, Direction, PeerKey};
use shoal_tracker::announcer::TrackerKey;
use shoal_tracker::{AnnounceResponse, TrackerError};
use shoal_wire::Handshake;

use crate::crowd::Place;
use crate::disk::Answer;
use crate::error::OpenError;
use crate::open::Opened;
use crate::web::WebNote;

/// Every variant answers something that was given out before, or has a bound at its source; so
/// their number has one.
pub(crate) enum Note {
    /// From the disk threads.
    Disk(Answer),
    /// Blocks left for this peer; its outbox has the numbers.
    Sent(PeerKey),
    /// A connection is ready. Incoming ones are counted by their [`Door`](crate::listen::Door).
    Greeted(Greeted),
    /// A dial came to nothing.
    DialFailed(SocketAddr),
    /// A tracker answered, or did not.
    Announced(Announced),
    /// A web seed was reached, or gives no more.
    Web(WebNote),
    /// Somebody named peers, and bounds how often.
    Named {
        source: CandidateSource,
        addresses: Vec<SocketAddr>,
    },
    /// The files of a magnet are open.
    Opened(Result<Box<Opened>, OpenError>),
    /// A lookup in the DHT begins: the node knows others.
    Looks,
    /// A lookup in the DHT is over: so many nodes took our announce.
    Looked(usize),
    /// What is on the disk has been checked.
    Checked(Result<Found, StorageError>),
}

/// What is here.
pub(crate) struct Found {
    pub(crate) have: Bitfield,
    /// Bytes that had to be hashed for that.
    pub(crate) bytes_checked: u64,
}

/// What became of an announce.
pub(crate) struct Announced {
    pub(crate) tracker: TrackerKey,
    pub(crate) url: String,
    pub(crate) result: Result<AnnounceResponse, TrackerError>,
}

/// A socket behind its handshake.
pub(crate) struct Greeted {
    pub(crate) stream: TcpStream,
    /// The other end; of a dial, the address that was dialled.
    pub(crate) address: SocketAddr,
    pub(crate) direction: Direction,
    /// What the peer said; its info hash is ours.
    pub(crate) handshake: Handshake,
    /// Of incoming ones: what they take of the bounds of the engine, until they end.
    pub(crate) place: Option<Place>,
}
