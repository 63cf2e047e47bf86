//! The messages of the DHT. BEP 5 "KRPC protocol"; 32 `want`, `nodes6`; 33 scrapes; 42 `ip`; 43
//! `ro`; 44 `get` and `put`; 51 samples.
//!
//! [`decode()`] borrows from the datagram. A field of the wrong type or size counts as absent; what
//! cannot be done without makes the message an error, and a query that can still be answered a
//! [`Body::BadQuery`]. Nothing here decides whether an answer was asked for.

mod decode;
mod encode;

use std::net::SocketAddr;
use std::time::Duration;

use shoal_bencode::ParseError;
use shoal_metainfo::InfoHash;

use crate::bloom::Bloom;
use crate::id::{Contact, NodeId};

pub(crate) use decode::contacts_from_bytes;
pub use decode::decode;
pub(crate) use encode::contacts_to_bytes;

/// One datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<'a> {
    /// `t`: ties the answer to its query.
    pub transaction: &'a [u8],
    /// What it says.
    pub body: Body<'a>,
    /// `v`: the program and its version, for show.
    pub version: Option<&'a [u8]>,
    /// `ip`: our address as the sender sees it. BEP 42.
    pub ip: Option<SocketAddr>,
    /// `ro`: the sender answers no queries and wants to be in no table. BEP 43.
    pub read_only: bool,
}

/// `y`: what kind of message it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body<'a> {
    /// `q`.
    Query(Query<'a>),
    /// A query that cannot be answered but with an error.
    BadQuery(QueryFault),
    /// `r`.
    Response(Response<'a>),
    /// `e`.
    Error(ErrorReply<'a>),
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query<'a> {
    /// Who asks.
    pub id: NodeId,
    /// What.
    pub method: Method<'a>,
}

/// What is asked, `q`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method<'a> {
    /// Are you there? BEP 5.
    Ping,
    /// Who is close to this name? BEP 5.
    FindNode {
        /// The name.
        target: NodeId,
        /// Which families.
        want: Option<Want>,
    },
    /// Who shares this torrent? BEP 5.
    GetPeers {
        /// Which torrent.
        info_hash: InfoHash,
        /// Which families of nodes.
        want: Option<Want>,
        /// Rather no seeds. BEP 33.
        no_seed: bool,
        /// The filters, too. BEP 33.
        scrape: bool,
    },
    /// I share this torrent. BEP 5.
    AnnouncePeer {
        /// Which torrent.
        info_hash: InfoHash,
        /// The port for peers; `None`: the port that this query came from (`implied_port`).
        port: Option<u16>,
        /// As it was given for `get_peers`.
        token: &'a [u8],
        /// All of it is there. BEP 33.
        seed: bool,
    },
    /// What is stored under this name? BEP 44.
    Get {
        /// The name.
        target: NodeId,
        /// Only a version above this.
        seq: Option<i64>,
        /// Which families of nodes.
        want: Option<Want>,
        /// Made so long by `pad`, which nobody need know, that an answer with the longest value is
        /// not three times as long. Ours.
        padded: bool,
    },
    /// Store this. BEP 44.
    Put {
        /// As it was given for `get`.
        token: &'a [u8],
        /// Bencoded, as it came.
        value: &'a [u8],
        /// For an item that can change.
        signed: Option<SignedPut<'a>>,
    },
    /// Some of the torrents whose peers you store? BEP 51.
    SampleInfohashes {
        /// Nodes close to this name are told, too.
        target: NodeId,
        /// Which families of nodes.
        want: Option<Want>,
    },
}

/// What makes a `put` one of an item that can change. BEP 44.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedPut<'a> {
    /// `k`: the key that it is named after.
    pub key: &'a [u8; 32],
    /// What keeps items of one key apart; empty for none.
    pub salt: &'a [u8],
    /// The version.
    pub seq: i64,
    /// Ed25519, of salt, version and value.
    pub sig: &'a [u8; 64],
    /// Only when this is the version that is stored.
    pub cas: Option<i64>,
}

/// Which families of nodes an answer should have. BEP 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Want {
    /// `n4`.
    pub v4: bool,
    /// `n6`.
    pub v6: bool,
}

/// An answer: whatever the query made of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response<'a> {
    /// Who answers.
    pub id: NodeId,
    /// IPv4 nodes close to the target.
    pub nodes: Option<Vec<Contact>>,
    /// IPv6 nodes close to the target. BEP 32.
    pub nodes6: Option<Vec<Contact>>,
    /// Peers.
    pub values: Vec<SocketAddr>,
    /// What an announce or a put must bring.
    pub token: Option<&'a [u8]>,
    /// The seeds. BEP 33 `BFsd`.
    pub seeds: Option<Box<Bloom>>,
    /// The other peers. BEP 33 `BFpe`.
    pub peers: Option<Box<Bloom>>,
    /// An item, as it was encoded. BEP 44 `v`.
    pub value: Option<&'a [u8]>,
    /// The key of the item. BEP 44 `k`.
    pub key: Option<&'a [u8; 32]>,
    /// The item's version. BEP 44.
    pub seq: Option<i64>,
    /// The item's signature. BEP 44.
    pub sig: Option<&'a [u8; 64]>,
    /// Torrents that the node stores peers of. BEP 51.
    pub samples: Option<Vec<InfoHash>>,
    /// How many it stores in all. BEP 51.
    pub num: Option<u64>,
    /// When it will have another sample. BEP 51.
    pub interval: Option<Duration>,
}

impl Response<'_> {
    /// The answer that says nothing but who answers.
    #[must_use]
    pub fn new(id: NodeId) -> Self {
        Self {
            id,
            nodes: None,
            nodes6: None,
            values: Vec::new(),
            token: None,
            seeds: None,
            peers: None,
            value: None,
            key: None,
            seq: None,
            sig: None,
            samples: None,
            num: None,
            interval: None,
        }
    }
}

/// An error, as it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorReply<'a> {
    /// One of [`code`], or whatever the sender thought of.
    pub code: i64,
    /// For people.
    pub text: &'a [u8],
}

/// Codes of errors. Source: BEP 5, BEP 44.
pub mod code {
    /// Generic.
    pub const GENERIC: i64 = 201;
    /// The node's own trouble.
    pub const SERVER: i64 = 202;
    /// Malformed, or a token that is not good.
    pub const PROTOCOL: i64 = 203;
    /// No such method.
    pub const METHOD_UNKNOWN: i64 = 204;
    /// The value is too long.
    pub const VALUE_TOO_LONG: i64 = 205;
    /// The signature is not of this value.
    pub const BAD_SIGNATURE: i64 = 206;
    /// The salt is too long.
    pub const SALT_TOO_LONG: i64 = 207;
    /// Another version is stored than `cas` names.
    pub const CAS_MISMATCH: i64 = 301;
    /// A later version is stored.
    pub const SEQ_TOO_LOW: i64 = 302;
}

/// Why a query is answered with an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QueryFault {
    /// An argument that is needed is missing or of the wrong type or size.
    #[error("argument `{0}` is missing or malformed")]
    Argument(&'static str),
    /// Nobody here knows the method, and it names no target either.
    #[error("unknown method")]
    MethodUnknown,
    /// BEP 44: at most 1,000 bytes.
    #[error("value is longer than 1000 bytes")]
    ValueTooLong,
    /// BEP 44: at most 64 bytes.
    #[error("salt is longer than 64 bytes")]
    SaltTooLong,
}

impl QueryFault {
    /// The code that tells it.
    #[must_use]
    pub fn code(self) -> i64 {
        match self {
            Self::Argument(_) => code::PROTOCOL,
            Self::MethodUnknown => code::METHOD_UNKNOWN,
            Self::ValueTooLong => code::VALUE_TOO_LONG,
            Self::SaltTooLong => code::SALT_TOO_LONG,
        }
    }
}

/// The datagram is no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Longer than we read.
    #[error("{0} bytes are more than a message may have")]
    TooLong(usize),
    /// No bencode.
    #[error(transparent)]
    Bencode(#[from] ParseError),
    /// Bencode, but not a dictionary.
    #[error("a message is a dictionary")]
    NotADictionary,
    /// `t` is missing, no string, or longer than we echo.
    #[error("no transaction id `t` of a size that can be echoed")]
    Transaction,
    /// `y` is neither `q`, `r` nor `e`.
    #[error("no kind `y` that is known")]
    Kind,
    /// `r` is no dictionary with an `id` of 20 bytes.
    #[error("an answer without the id of who answers")]
    Response,
}
