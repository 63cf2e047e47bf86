//! What the client says: its events, and how things stand as numbers and as a line.
//!
//! Schema of the events: docs/json-events.md. Says nothing itself; `view` does.

use std::time::Duration;

use serde::Serialize;
use shoal_peer::TorrentSnapshot;
use shoal_swarm::io::{CandidateSource, Progress as MetadataProgress, SourceSnapshot};

use super::sources::Sources;
use crate::units::{Bytes, Count, PerSecond, Time};

/// Events. Schema: docs/json-events.md.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Told<'a> {
    Started {
        info_hash: String,
        name: Option<&'a str>,
        dir: String,
        port: Option<u16>,
        size: Option<u64>,
        pieces: Option<u32>,
        piece_length: Option<u32>,
        files: Option<usize>,
        storage: Option<String>,
    },
    MetadataProgress {
        bytes: u64,
        bytes_total: Option<u64>,
        peers: usize,
        peers_asked: usize,
    },
    Metadata {
        name: &'a str,
        size: u64,
        pieces: u32,
        piece_length: u32,
        files: usize,
        private: bool,
    },
    FilesChosen {
        selected_files: Vec<[usize; 2]>,
        files: usize,
        size: u64,
    },
    Checking {
        bytes: u64,
        bytes_total: u64,
    },
    Checked {
        have: u32,
        pieces: u32,
        bytes_have: u64,
        bytes_total: u64,
        bytes_checked: u64,
        bytes_partial: u64,
    },
    FileTooLong {
        path: String,
        length: u64,
        found: u64,
    },
    ExternalIp {
        ip: String,
        tracker: &'a str,
    },
    PortMapped {
        protocol: String,
        port: u16,
        external_ip: Option<String>,
        external_port: u16,
        by: String,
    },
    PortMapFailed {
        protocol: String,
        port: u16,
        message: &'a str,
    },
    Progress {
        #[serde(flatten)]
        state: Progress,
    },
    Sources {
        #[serde(flatten)]
        sources: &'a Sources,
    },
    PeerConnected {
        address: String,
        client: String,
        source: &'static str,
    },
    PieceVerified {
        piece: u32,
    },
    Warning {
        message: String,
    },
    Complete {
        seconds: f64,
        bytes_total: u64,
        downloaded: u64,
    },
    Stopped {
        complete: bool,
        #[serde(flatten)]
        state: Option<Progress>,
    },
}

/// How things stand, as numbers.
#[derive(Debug, Serialize)]
pub(super) struct Progress {
    pub(super) have: u32,
    pub(super) pieces: u32,
    pub(super) bytes_have: u64,
    pub(super) bytes_total: u64,
    pub(super) bytes_wanted: u64,
    pub(super) bytes_left: u64,
    pub(super) downloaded: u64,
    pub(super) uploaded: u64,
    pub(super) wasted: u64,
    pub(super) download_bytes_per_s: u64,
    pub(super) upload_bytes_per_s: u64,
    pub(super) eta_s: Option<u64>,
    pub(super) peers: usize,
    pub(super) seeds: usize,
    /// Those that named anybody.
    sources: Vec<Gave>,
    /// Of the process.
    pub(super) memory: Option<Kinds>,
    /// Accesses to mapped bytes that failed.
    pub(super) faults: u64,
}

/// What one source of addresses gave.
#[derive(Debug, Serialize)]
struct Gave {
    source: &'static str,
    named: u64,
    waiting: usize,
    connected: usize,
}

impl Gave {
    fn new(gave: &SourceSnapshot) -> Self {
        Self {
            source: name_of(gave.source),
            named: gave.named,
            waiting: gave.waiting,
            connected: gave.connected,
        }
    }
}

/// What a source of addresses is called in JSON and logs.
pub(super) fn name_of(source: CandidateSource) -> &'static str {
    match source {
        CandidateSource::User => "user",
        CandidateSource::Tracker => "tracker",
        CandidateSource::Magnet => "magnet",
        CandidateSource::Lsd => "lsd",
        CandidateSource::Incoming => "incoming",
        CandidateSource::Dht => "dht",
        CandidateSource::Pex => "pex",
    }
}

/// Memory by kind, bytes.
#[derive(Debug, Serialize)]
pub(super) struct Kinds {
    anonymous: u64,
    clean_file: u64,
    dirty_file: u64,
}

impl Progress {
    pub(super) fn new(snapshot: &TorrentSnapshot) -> Self {
        let swarm = &snapshot.swarm;
        let memory = snapshot.memory.map(|memory| Kinds {
            anonymous: memory.anonymous,
            clean_file: memory.clean_file,
            dirty_file: memory.dirty_file,
        });
        let gave = swarm.sources.iter().filter(|gave| gave.named > 0);
        Self {
            memory,
            faults: shoal_storage::faults(),
            have: swarm.pieces_have,
            pieces: swarm.pieces,
            bytes_have: swarm.bytes_have,
            bytes_total: swarm.bytes_total,
            bytes_wanted: swarm.bytes_wanted,
            bytes_left: swarm.bytes_left,
            downloaded: swarm.downloaded,
            uploaded: swarm.uploaded,
            wasted: swarm.wasted,
            download_bytes_per_s: swarm.download_bytes_per_s,
            upload_bytes_per_s: swarm.upload_bytes_per_s,
            eta_s: swarm.eta.map(|eta| eta.as_secs()),
            peers: swarm.peers.len(),
            seeds: swarm.peers.iter().filter(|peer| peer.is_seed).count(),
            sources: gave.map(Gave::new).collect(),
        }
    }

    /// Of what is wanted.
    pub(super) fn bytes_here(&self) -> u64 {
        self.bytes_wanted - self.bytes_left
    }

    /// For a live or plain line, behind the percentage; who is asked for peers when there are none.
    pub(super) fn line(&self, sources: Option<&Sources>) -> String {
        let (down, up) = (self.download_bytes_per_s, self.upload_bytes_per_s);
        let (peers, seeds) = (Count(self.peers, "peer"), Count(self.seeds, "seed"));
        let up = format!("up {}", PerSecond(up));
        if self.bytes_left == 0 {
            return format!("seeding  {up}  {} sent  {peers}", Bytes(self.uploaded));
        }
        let eta = self.eta_s.map_or_else(
            || "?".to_owned(),
            |eta| Time(Duration::from_secs(eta)).to_string(),
        );
        let peers = match sources {
            Some(sources) if self.peers == 0 => format!("no peer yet: {}", sources.line()),
            _ => format!("{peers}, {seeds}"),
        };
        format!(
            "{} of {}  down {}  {up}  ETA {eta}  {peers}",
            Bytes(self.bytes_here()),
            Bytes(self.bytes_wanted),
            PerSecond(down)
        )
    }
}

/// What a magnet is at, behind the percentage of its metadata.
pub(crate) fn asking(progress: &MetadataProgress) -> String {
    match (progress.asked, progress.peers) {
        (0, 0) => "looking for a peer that has the metadata".to_owned(),
        (0, peers) => format!("waiting to ask {} for the metadata", Count(peers, "peer")),
        (asked, _) => {
            let of = progress
                .total
                .map(|total| format!(", {} of it", Bytes(total)));
            let peers = Count(asked, "peer");
            format!("asking {peers} for the metadata{}", of.unwrap_or_default())
        }
    }
}
