//! What an engine and a torrent are told when they start. Plain data; nothing is read later.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZero;
use std::path::PathBuf;
use std::thread::available_parallelism;

use shoal_metainfo::Choice;
use shoal_storage::{Allocation, Method};
use shoal_tracker::client::Proxy;

use crate::dht::DhtConfig;
use crate::limits::DISK_THREADS_DEFAULT_MAX;
use crate::ports::MapBy;

/// For the whole process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineConfig {
    /// Where peers reach us. Port 0 is any free port; all addresses with port 0 get the same one.
    /// None: nobody reaches us, and no peer is told a port.
    pub listen: Vec<SocketAddr>,
    /// Every connection to a peer or a tracker goes through it, and names are looked up by it;
    /// what it cannot relay is not done at all.
    pub proxy: Option<Proxy>,
    /// Threads that write and hash; half as many more read.
    pub disk_threads: usize,
    /// Threads that check what is there when a torrent is added.
    pub check_threads: usize,
    /// The folder for what is remembered of torrents from one run to the next; `None`: nothing is,
    /// and each start checks everything.
    pub state_dir: Option<PathBuf>,
    /// Whether peers are looked for in the networks of this machine, by multicast (BEP 14); never
    /// for private torrents.
    pub use_lsd: bool,
    /// By which ways the gateway of this network is asked to let peers in at our port, and nodes of
    /// the DHT at the node's; none: it is not asked. All are tried at once, and the first that does
    /// it is kept.
    pub map_port: Vec<MapBy>,
    /// The node of the DHT that all public torrents share; `None`: there is none.
    pub dht: Option<DhtConfig>,
}

impl EngineConfig {
    /// Listens on every address of this machine, IPv4 and IPv6; port 0 is any free one.
    #[must_use]
    pub fn on_port(port: u16) -> Self {
        Self {
            listen: vec![
                SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port),
                SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port),
            ],
            ..Self::default()
        }
    }

    /// Everything through a proxy; listens nowhere, since who would find us there need not use it.
    #[must_use]
    pub fn behind(proxy: Proxy) -> Self {
        Self {
            listen: Vec::new(),
            proxy: Some(proxy),
            ..Self::default()
        }
    }
}

impl Default for EngineConfig {
    /// Any free port of every address; as many threads as there are processors, within reason;
    /// nothing is remembered; nobody is looked for in the network, and there is no DHT.
    fn default() -> Self {
        let processors = available_parallelism().map_or(1, NonZero::get);
        Self {
            listen: vec![
                SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
                SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0),
            ],
            proxy: None,
            disk_threads: processors.min(DISK_THREADS_DEFAULT_MAX),
            check_threads: processors,
            state_dir: None,
            use_lsd: false,
            map_port: Vec::new(),
            dht: None,
        }
    }
}

/// For one torrent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TorrentConfig {
    /// The folder that holds the content, by the torrent's own name.
    pub dir: PathBuf,
    /// Peers named by the user: dialled first, never forgotten.
    pub peers: Vec<SocketAddr>,
    /// Whether the trackers that the torrent names are asked.
    pub use_trackers: bool,
    /// Whether the web seeds that the torrent names are asked.
    pub use_web_seeds: bool,
    /// Whether peers tell us of peers, and are told (BEP 11, 55); never for a private torrent.
    pub use_pex: bool,
    /// Connections at the same time.
    pub peers_max: usize,
    /// Upload slots beside the optimistic one. BEP 3 has four.
    pub unchoke_slots: usize,
    /// Payload sent, bytes a second over all peers; `None` is unlimited.
    pub upload_bytes_per_s: Option<u64>,
    /// Payload asked for, bytes a second over all peers; `None` is unlimited.
    pub download_bytes_per_s: Option<u64>,
    /// By which way bytes get to and from the files.
    pub method: Method,
    /// Whether room for the files is reserved.
    pub allocation: Allocation,
    /// The files that are wanted; empty: those that the magnet link names (BEP 53), or all.
    pub files: Choice,
    /// Of a magnet: gets the metadata and touches no files.
    pub metadata_only: bool,
}

impl Default for TorrentConfig {
    /// The current folder, trackers, PEX, 200 connections, four slots, no limits of rate.
    fn default() -> Self {
        Self {
            dir: PathBuf::from("."),
            peers: Vec::new(),
            use_trackers: true,
            use_web_seeds: true,
            use_pex: true,
            peers_max: 200,
            unchoke_slots: 4,
            upload_bytes_per_s: None,
            download_bytes_per_s: None,
            method: Method::default(),
            allocation: Allocation::default(),
            files: Choice::default(),
            metadata_only: false,
        }
    }
}
