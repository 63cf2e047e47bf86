//! The contract of the brain: what it is told ([`Input`]) and what it wants done ([`Output`]).
//!
//! Plain data, closed enums. The shell owns sockets, disks and clocks; the brain owns decisions.
//! A connection is named by a [`PeerKey`] that the shell gives it and never uses again.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use shoal_metainfo::{Bitfield, Block, Geometry, InfoHash, PeerId, PieceIndex};
use shoal_wire::{Handshake, Message};

pub use crate::metadata::Progress;
use crate::misbehaved::PeerMisbehaved;

pub use crate::provenance::Sources;

/// One connection, for as long as the swarm lives. Ascending in the order the shell made them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey(pub u64);

/// SHA-1 of one block, for blame.
pub type Digest = [u8; 20];

/// What does not change while a swarm lives.
#[derive(Debug, Clone)]
pub struct Config {
    /// The torrent's name: seeds the allowed-fast sets (BEP 6).
    pub info_hash: InfoHash,
    /// Ours: a handshake that carries it comes from ourselves.
    pub peer_id: PeerId,
    /// The port that others reach us at; told in the extended handshake (BEP 10 `p`).
    pub listen_port: Option<u16>,
    /// Connections at the same time, dialled and accepted; at most `limits::PEERS_MAX`.
    pub peers_max: usize,
    /// Upload slots beside the optimistic one. BEP 3 has four.
    pub unchoke_slots: usize,
    /// Payload we send, over all peers; `None` is unlimited.
    pub upload_bytes_per_s: Option<u64>,
    /// Payload we ask for, over all peers; `None` is unlimited.
    pub download_bytes_per_s: Option<u64>,
    /// Peers come from trackers and people alone, and nobody is told of any. BEP 27.
    pub private: bool,
    /// Whether peers tell each other of peers (BEP 11, 55); never when `private`.
    pub pex: bool,
}

/// What the swarm is about.
#[derive(Debug, Clone)]
pub enum Source {
    /// The `info` dictionary is known, and what is on the disk has been checked.
    Verified {
        /// Where pieces lie.
        geometry: Geometry,
        /// The pieces that are on the disk and good.
        have: Bitfield,
    },
    /// Nothing is known but the name: the metadata is got from peers first (BEP 9).
    Metadata,
}

/// Who named an address; the earlier, the better its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CandidateSource {
    /// The person at the command line: dialled first, never dropped for want of room.
    User,
    /// A tracker's answer.
    Tracker,
    /// The magnet link, `x.pe`. BEP 9.
    Magnet,
    /// An announce in our own network. BEP 14.
    Lsd,
    /// The peer itself: it dialled us and told its port. BEP 10, `p`.
    Incoming,
    /// The distributed hash table. BEP 5.
    Dht,
    /// Another peer. BEP 11, 55.
    Pex,
}

/// Which side opened the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The peer did.
    Incoming,
    /// We did; `address` is the one we dialled.
    Outgoing,
    /// We asked a web server that has the content. It speaks for itself only by the blocks that it
    /// gives, and takes nothing; nobody dials it as a peer. BEP 19.
    Web,
}

/// What the disk says of a whole piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Its hash is the torrent's.
    Good,
    /// It is not.
    Bad,
    /// It could not be read or written; nothing is known. A [`Input::DiskFailed`] comes too.
    Unknown,
}

/// One fact about the world.
#[derive(Debug, Clone)]
pub enum Input {
    /// The time that [`crate::Swarm::timeout`] named has come. Harmless when early.
    Timeout,
    /// Somebody named peers.
    Candidates {
        /// Who.
        source: CandidateSource,
        /// Whom; duplicates and nonsense are dropped here.
        addresses: Vec<SocketAddr>,
    },
    /// Both handshakes are done and the info hashes agree. Answered by sends, or by a close.
    Connected {
        /// New name.
        peer: PeerKey,
        /// The other end; for outgoing ones the address of the [`Output::Dial`].
        address: SocketAddr,
        /// Which side opened it.
        direction: Direction,
        /// What the peer said.
        handshake: Handshake,
    },
    /// A [`Output::Dial`] came to nothing.
    DialFailed {
        /// The address of the dial.
        address: SocketAddr,
    },
    /// Everything that one read of the socket held, in order. One batch a read, never one message.
    Received {
        /// From whom.
        peer: PeerKey,
        /// What.
        messages: Vec<Message>,
    },
    /// The read held messages that nobody here understands, and they were passed over.
    Unknown {
        /// From whom.
        peer: PeerKey,
        /// How many; each further 16 KiB of a long one count as one more.
        messages: u32,
    },
    /// Blocks of [`Output::Serve`] have left for the socket (or could not be read: `bytes` less).
    Sent {
        /// To whom.
        peer: PeerKey,
        /// How many `Serve` outputs this settles.
        blocks: u32,
        /// Payload bytes that really left.
        bytes: u64,
    },
    /// The connection is gone: by the peer, by an error, or after our own [`Output::Close`].
    /// The last word on this key.
    Disconnected {
        /// Which.
        peer: PeerKey,
    },
    /// Answer to [`Output::Verify`].
    Verified {
        /// Which piece.
        piece: PieceIndex,
        /// Whether it is good.
        verdict: Verdict,
        /// SHA-1 of each block in order, when `Verify` asked for them or the verdict is `Bad`.
        blocks: Vec<Digest>,
    },
    /// Blocks of an unfinished piece are on the disk from an earlier run; nobody knows who sent
    /// them. To be told before anyone is connected. Answered by `Verify` when it is all of them.
    Resumed {
        /// Which piece; nothing of it was asked for yet.
        piece: PieceIndex,
        /// The numbers of the blocks in it; others than the piece has are passed over.
        blocks: Vec<usize>,
    },
    /// Only these pieces are wanted, as if there were no others; what is here of others is served
    /// all the same. To be told once, before [`Self::Resumed`] and before anyone is connected; of a
    /// [`Source::Metadata`], before [`Self::Live`].
    Only {
        /// Which.
        pieces: Bitfield,
    },
    /// The exact bytes of `info`, to be served to whoever asks (BEP 9). To be told before anyone is
    /// connected; not of a [`Source::Metadata`], which gets them itself.
    Info {
        /// Their SHA-1 is the info hash.
        bytes: Bytes,
    },
    /// Answer to [`Output::Metadata`]: the metadata makes sense, and what is on the disk has been
    /// checked. From now on it is as with [`Source::Verified`], and peers that are connected stay.
    Live {
        /// Where pieces lie.
        geometry: Geometry,
        /// The pieces that are on the disk and good.
        have: Bitfield,
        /// Blocks of unfinished pieces that are on the disk: as [`Input::Resumed`].
        resumed: Vec<(PieceIndex, Vec<usize>)>,
        /// The metadata says that peers come from its trackers alone (BEP 27): who was found in
        /// another way is parted from.
        private: bool,
    },
    /// Writing or reading failed: ask for nothing until [`Input::DiskRecovered`].
    DiskFailed,
    /// The disk works again.
    DiskRecovered,
    /// These verified pieces are no longer on the disk: they are missing from now on, and who was
    /// told that we have them is told that we have not. Pieces that are not ours are passed over.
    PiecesGone {
        /// Which.
        pieces: Vec<PieceIndex>,
    },
    /// New limits of payload, bytes a second.
    SetRates {
        /// `None` is unlimited.
        upload_bytes_per_s: Option<u64>,
        /// `None` is unlimited.
        download_bytes_per_s: Option<u64>,
    },
}

/// One deed to do. The shell does them in the order they come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Open a connection; answered by `Connected` (outgoing) or `DialFailed`, by just one of them.
    Dial {
        /// Where to.
        address: SocketAddr,
    },
    /// Put the message on the line, behind all earlier ones for this peer.
    Send {
        /// To whom.
        peer: PeerKey,
        /// What; never a `Piece`, those are `Serve`.
        message: Message,
    },
    /// Read the block and send it as `piece`; answered by `Sent`.
    Serve {
        /// To whom.
        peer: PeerKey,
        /// Which block; its piece is verified.
        block: Block,
    },
    /// Close the connection; answered by `Disconnected`.
    Close {
        /// Which.
        peer: PeerKey,
        /// Why.
        reason: CloseReason,
    },
    /// Write the bytes; answered only when it fails, by `DiskFailed`. Its piece is not verified.
    Write {
        /// Where; exactly `data.len()` bytes long.
        block: Block,
        /// What.
        data: Bytes,
    },
    /// Hash the piece, behind all earlier writes to it; answered by `Verified`.
    Verify {
        /// Which.
        piece: PieceIndex,
        /// Whether the digests of its blocks are wanted even when it is good.
        digests: bool,
    },
    /// The metadata is here: `info`, byte for byte, and its SHA-1 is the info hash. Nobody has read
    /// it yet. Answered by [`Input::Live`], once it makes sense and the disk has been checked.
    Metadata {
        /// The exact bytes.
        info: Bytes,
    },
    /// More addresses would help: let a tracker be asked as soon as it may.
    WantPeers,
    /// Something that people like to know; nothing needs doing.
    Event(Event),
}

/// Why we close a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// It broke the protocol.
    Misbehaved(PeerMisbehaved),
    /// It is ourselves.
    OurOwnPeerId,
    /// Another connection to the same peer is kept.
    Duplicate,
    /// The limit of connections is reached, and a newcomer goes before it. BEP 40.
    Displaced,
    /// The limit of connections is reached.
    Full,
    /// It sent bad data before.
    Banned,
    /// Both sides have everything, or want nothing any more. BEP 21.
    BothSeeds,
    /// It said nothing for too long.
    Silent,
    /// The torrent turned out to be private, and no tracker named it.
    Private,
    /// It neither gives nor takes, and somebody else may.
    Useless,
    /// What we have became known late, and is more than can be told one by one: a new connection
    /// begins with it.
    Afresh,
}

/// News for people and logs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A connection was accepted into the swarm.
    PeerConnected {
        /// Which.
        peer: PeerKey,
        /// Its address.
        address: SocketAddr,
        /// Its name for itself.
        peer_id: PeerId,
        /// The best of those who named it; [`CandidateSource::Incoming`] when it dialled us, for
        /// by then it has not told where it listens. `None`: the torrent did, it is a web seed.
        source: Option<CandidateSource>,
    },
    /// A piece is verified and ours.
    PieceVerified {
        /// Which.
        piece: PieceIndex,
    },
    /// A piece failed its hash; the blame is being found out.
    PieceFailed {
        /// Which.
        piece: PieceIndex,
    },
    /// The peer sent a bad block or bad metadata, for certain; it is not spoken to again.
    PeerBanned {
        /// The address it spoke from.
        address: SocketAddr,
        /// The piece it spoiled; `None`: the metadata.
        piece: Option<PieceIndex>,
    },
    /// Metadata came whole and was wrong; whoever lied is found out, if not at once.
    MetadataFailed,
    /// Every piece that is wanted is ours; once more after [`Input::PiecesGone`]. See
    /// [`is_whole`](crate::Swarm::is_whole).
    Complete,
}

/// How things stand: a copy, for people and announces.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Snapshot {
    /// Pieces of the torrent.
    pub pieces: u32,
    /// Pieces we have.
    pub pieces_have: u32,
    /// Bytes of the torrent.
    pub bytes_total: u64,
    /// Bytes in pieces we have.
    pub bytes_have: u64,
    /// Pieces that are wanted, ours or not.
    pub pieces_wanted: u32,
    /// Bytes in them.
    pub bytes_wanted: u64,
    /// Bytes in those of them that we have not.
    pub bytes_left: u64,
    /// Payload received since the start, wasted included.
    pub downloaded: u64,
    /// Payload sent since the start.
    pub uploaded: u64,
    /// Payload that came twice or was bad.
    pub wasted: u64,
    /// Now, bytes a second.
    pub download_bytes_per_s: u64,
    /// Now, bytes a second.
    pub upload_bytes_per_s: u64,
    /// Until complete at this rate; `None` when complete or when nothing comes.
    pub eta: Option<Duration>,
    /// Addresses known and not connected.
    pub candidates: usize,
    /// Addresses banned.
    pub banned: usize,
    /// Waiting for the disk to recover.
    pub disk_failed: bool,
    /// What each source of addresses gave, the best first; those that gave nothing too.
    pub sources: Vec<SourceSnapshot>,
    /// How far the metadata has come; `None` as soon as it is here. Until [`Input::Live`] there are
    /// no pieces and no bytes.
    pub metadata: Option<Progress>,
    /// Everyone connected, by key.
    pub peers: Vec<PeerSnapshot>,
}

/// What one source of addresses gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceSnapshot {
    /// Which.
    pub source: CandidateSource,
    /// Addresses that it named and that were kept, since the start; each once while it is known.
    pub named: u64,
    /// Addresses that are waiting now in its share of the room.
    pub waiting: usize,
    /// Peers connected now that it named, maybe among others.
    pub connected: usize,
}

/// How things stand with one peer.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerSnapshot {
    /// Which.
    pub peer: PeerKey,
    /// Its address.
    pub address: SocketAddr,
    /// Its name for itself.
    pub peer_id: PeerId,
    /// Which side opened the connection.
    pub direction: Direction,
    /// Everyone who named it.
    pub sources: Sources,
    /// Pieces it has.
    pub pieces_have: u32,
    /// It has every piece.
    pub is_seed: bool,
    /// It says that it wants nothing any more. BEP 21.
    pub upload_only: bool,
    /// We answer none of its requests.
    pub we_choke: bool,
    /// We would like something it has.
    pub we_are_interested: bool,
    /// It answers none of our requests.
    pub peer_chokes: bool,
    /// It would like something we have.
    pub peer_is_interested: bool,
    /// Payload from it since it connected.
    pub downloaded: u64,
    /// Payload to it since it connected.
    pub uploaded: u64,
    /// Now, bytes a second.
    pub download_bytes_per_s: u64,
    /// Now, bytes a second.
    pub upload_bytes_per_s: u64,
    /// Blocks asked of it and not yet answered.
    pub blocks_in_flight: usize,
}
