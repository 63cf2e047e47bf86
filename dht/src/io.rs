//! The contract of a node: what it is told ([`Input`]) and what it wants done ([`Output`]).
//!
//! Plain data. The shell owns sockets, names and clocks; the node owns decisions.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use shoal_metainfo::InfoHash;

use crate::address::Family;
use crate::id::{Contact, NodeId};
use crate::item::Item;
use crate::saved::Saved;

/// What does not change while a node lives.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// There is an IPv4 socket.
    pub v4: bool,
    /// There is an IPv6 socket.
    pub v6: bool,
    /// Ask, but answer nobody and be in no table: behind a firewall, or for a moment. BEP 43.
    pub read_only: bool,
    /// What an earlier run knew.
    pub saved: Saved,
}

/// What the shell calls a task, until it is finished. Never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LookupKey(pub u64);

/// Something to find out or to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// The nodes closest to a name.
    FindNode {
        /// The name.
        target: NodeId,
    },
    /// The peers of a torrent; and tell that we are one of them.
    GetPeers {
        /// Which torrent.
        info_hash: InfoHash,
        /// What to tell, if anything.
        announce: Option<Announce>,
        /// Ask for the filters, too: how many seeds and peers there are. BEP 33.
        scrape: bool,
    },
    /// The item of a name.
    Get {
        /// The name.
        target: NodeId,
        /// The salt that is part of the name of an item that can change; it is not told.
        salt: Vec<u8>,
    },
    /// Store an item, and put it again every hour if asked to.
    Put {
        /// Which.
        item: Item,
        /// Only where this version is stored, or none.
        cas: Option<i64>,
        /// As long as this node lives.
        republish: bool,
    },
    /// Some of the torrents whose peers the nodes on the way to a name store. BEP 51.
    Sample {
        /// The name.
        target: NodeId,
    },
    /// Is there a node at this address?
    Ping {
        /// The address.
        address: SocketAddr,
    },
}

/// What is told of us as a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announce {
    /// The port that peers reach us at; `None`: the port that the node's datagrams come from.
    pub port: Option<u16>,
    /// We have all of it. BEP 33.
    pub seed: bool,
}

/// One fact about the world, or one wish.
#[derive(Debug, Clone)]
pub enum Input<'a> {
    /// The time that [`crate::Node::timeout`] named has come. Harmless when early.
    Timeout,
    /// A datagram has come.
    Received {
        /// From where.
        from: SocketAddr,
        /// All of it.
        bytes: &'a [u8],
    },
    /// Addresses of nodes to begin with. Those of the internet are asked and not kept: they serve
    /// the whole world. BEP 5 asks for that.
    Bootstrap {
        /// The addresses.
        addresses: Vec<SocketAddr>,
    },
    /// Somebody says that there is a node: it is pinged, and kept if it answers. BEP 5 `port`.
    Heard {
        /// The address.
        address: SocketAddr,
    },
    /// Begin a task; answered by an [`Event::Finished`].
    Start {
        /// A new name.
        key: LookupKey,
        /// The task.
        task: Task,
    },
    /// Nobody waits for the task any more; nothing is told of it from now on.
    Cancel {
        /// Which.
        key: LookupKey,
    },
}

/// One deed to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Send a datagram; nobody need know whether that worked.
    Send {
        /// Where to.
        to: SocketAddr,
        /// What.
        bytes: Vec<u8>,
    },
    /// News.
    Event(Event),
    /// A good moment to save [`crate::Node::save`].
    Persist,
}

/// News of a node.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A node knows peers.
    Peers {
        /// The task.
        key: LookupKey,
        /// Who says so.
        from: SocketAddr,
        /// The peers; may have been told before.
        peers: Vec<SocketAddr>,
    },
    /// An item was found; of one that can change, a later version than any before.
    Item {
        /// The task.
        key: LookupKey,
        /// The item: its signature or hash is good.
        item: Item,
    },
    /// A node tells of torrents. BEP 51.
    Samples {
        /// The task.
        key: LookupKey,
        /// Who.
        from: Contact,
        /// Some of its torrents.
        samples: Vec<InfoHash>,
        /// How many it has.
        num: Option<u64>,
        /// When it will have others to tell.
        interval: Option<Duration>,
    },
    /// A task is done. The last word on its key.
    Finished {
        /// The task.
        key: LookupKey,
        /// How it went.
        outcome: Outcome,
    },
    /// Others agree on our address, and it is news. Our name fits it now. BEP 42.
    ExternalAddress {
        /// The address.
        ip: IpAddr,
    },
    /// The first search for nodes in a family is over.
    Bootstrapped {
        /// The family.
        family: Family,
        /// Nodes in the table.
        nodes: usize,
    },
}

/// How a task went, over both families.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// The nodes closest to the target that answered, closest first, IPv4 before IPv6.
    pub closest: Vec<Contact>,
    /// Nodes that answered.
    pub answers: usize,
    /// Queries sent.
    pub queries: usize,
    /// Peers told, those told more than once counted each time.
    pub peers: usize,
    /// Nodes that took the announce or the item.
    pub stored: usize,
    /// What a node said that did not take it: code and text.
    pub refused: Option<(i64, String)>,
    /// About how many seeds there are, when scraped. BEP 33.
    pub seeds: Option<f64>,
    /// About how many other peers there are, when scraped. BEP 33.
    pub leechers: Option<f64>,
    /// Steps from the first node asked to the farthest on the way that answered.
    pub hops: usize,
    /// Steps to the first node that told peers or the item.
    pub hops_to_result: Option<usize>,
    /// From the first query to the end.
    pub took: Duration,
}

/// How things stand: a copy, for people.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// The families that are served, IPv4 first.
    pub families: Vec<FamilySnapshot>,
    /// Tasks at work, and those that wait for their turn.
    pub lookups: usize,
    /// Queries that wait for an answer.
    pub calls: usize,
    /// The usual round trip.
    pub round_trip: Option<Duration>,
    /// Torrents whose peers are stored.
    pub torrents: usize,
    /// Peers that are stored.
    pub peers: usize,
    /// Items that are stored.
    pub items: usize,
    /// What has come and gone since the start.
    pub counts: Counts,
}

/// How things stand in one family.
#[derive(Debug, Clone, PartialEq)]
pub struct FamilySnapshot {
    /// Which.
    pub family: Family,
    /// Our name there.
    pub id: NodeId,
    /// Nodes in the table.
    pub nodes: usize,
    /// Those of them that were heard of late.
    pub good: usize,
    /// Our address, as others agree on.
    pub external_ip: Option<IpAddr>,
    /// The first search for nodes is over.
    pub bootstrapped: bool,
}

/// What has come and gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Queries that came.
    pub queries_in: u64,
    /// Of these, the ones that were answered, errors included.
    pub answered: u64,
    /// Of these, the ones that were dropped, being too many.
    pub dropped: u64,
    /// Queries that went out.
    pub queries_out: u64,
    /// Answers to them.
    pub answers_in: u64,
    /// Queries that nobody answered.
    pub timeouts: u64,
    /// Datagrams that were no message, or answered nothing we asked.
    pub stray: u64,
    /// Bytes that came.
    pub bytes_in: u64,
    /// Bytes that went.
    pub bytes_out: u64,
}
