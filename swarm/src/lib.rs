//! One torrent's decisions: whom to talk to, what to ask for, whom to serve. BEP 3, 6, 9, 10, 11,
//! 21, 40, 54, 55.
//!
//! The brain of a client without its body: no sockets, no disk, no clock, no threads. A shell tells
//! it facts ([`Input`]) with the time they happened, and does the deeds it names ([`Output`]):
//!
//! ```text
//!               handle(now, Input)                  poll() -> Output
//! sockets ──▶ Connected, Received, Sent ──▶ ┌─────────┐ ──▶ Dial, Send, Serve, Close ──▶ sockets
//! disk    ──▶ Verified, DiskFailed      ──▶ │  Swarm  │ ──▶ Write, Verify            ──▶ disk
//! tracker ──▶ Candidates                ──▶ │         │ ──▶ WantPeers                ──▶ tracker
//! clock   ──▶ Timeout                   ──▶ └─────────┘ ──▶ timeout()                ──▶ clock
//! ```
//!
//! The contract: `handle` one input, `poll` until `None`, then the next input; call again at
//! [`Swarm::timeout`]. The same seed and the same inputs give the same outputs, byte for byte.
//!
//! Inside, [`Swarm`] is control flow; each part owns its state and knows no other part:
//! [`picker`] (the state of every piece and block, rarest first, end game), [`requests`] (the
//! pipeline to one peer), [`choker`] (whom to serve), [`uploads`] (what we owe one peer), [`blame`]
//! (who sent a bad block), [`spread`] (what a seed suggests), [`candidates`] (whom to dial),
//! [`provenance`] (who named them), [`priority`] (which of them when places are scarce), [`gossip`]
//! (what peers tell each other of peers), [`metadata`] (the `info` of a magnet), [`early`] (what
//! peers say before there is one), [`rates`] (how fast). All bounds are in [`limits`].
//!
//! A peer that connects to a seed is told what there is, and closed when it breaks the rules:
//!
//! ```
//! use std::time::Instant;
//! use shoal_metainfo::{Bitfield, Geometry, InfoHash, PeerId};
//! use shoal_swarm::io::{CloseReason, Direction};
//! use shoal_swarm::{Config, Input, Output, PeerKey, PeerMisbehaved, Source, Swarm};
//! use shoal_wire::{Extensions, Handshake, Message};
//!
//! let now = Instant::now();
//! let config = Config {
//!     info_hash: InfoHash([7; 20]),
//!     peer_id: PeerId([1; 20]),
//!     listen_port: Some(6881),
//!     peers_max: 50,
//!     unchoke_slots: 4,
//!     upload_bytes_per_s: None,
//!     download_bytes_per_s: None,
//!     private: false,
//!     pex: true,
//! };
//! let geometry = Geometry::new(1 << 20, 1 << 18).unwrap();
//! let have = Bitfield::all(geometry.pieces());
//! let mut swarm = Swarm::new(config, Source::Verified { geometry, have }, 42, now);
//!
//! let peer = PeerKey(1);
//! let handshake = Handshake {
//!     extensions: Extensions::OURS,
//!     info_hash: InfoHash([7; 20]),
//!     peer_id: PeerId([2; 20]),
//! };
//! let address = "192.0.2.1:6881".parse().unwrap();
//! let direction = Direction::Incoming;
//! swarm.handle(now, Input::Connected { peer, address, direction, handshake });
//! let outputs: Vec<Output> = std::iter::from_fn(|| swarm.poll()).collect();
//! assert!(outputs.contains(&Output::Send { peer, message: Message::HaveAll }));
//!
//! let messages = vec![Message::HaveNone, Message::Have { index: 4 }];
//! swarm.handle(now, Input::Received { peer, messages });
//! let last = std::iter::from_fn(|| swarm.poll()).last();
//! let reason = CloseReason::Misbehaved(PeerMisbehaved::HaveOutOfRange(4));
//! assert_eq!(last, Some(Output::Close { peer, reason }));
//! ```
#![forbid(unsafe_code)]

pub mod blame;
pub mod candidates;
pub mod choker;
pub mod early;
mod extensions;
pub mod gossip;
pub mod holdings;
pub mod io;
pub mod limits;
pub mod metadata;
pub mod misbehaved;
mod outside;
mod peer;
pub mod picker;
pub mod priority;
pub mod provenance;
pub mod rates;
pub mod requests;
pub mod spread;
mod swarm;
pub mod uploads;

pub use io::{Config, Event, Input, Output, PeerKey, Snapshot, Source};
pub use misbehaved::PeerMisbehaved;
pub use swarm::Swarm;
