//! Both ends of a tracker: who announces, when and to whom; who answers. BEP 3, 7, 12, 15, 23, 24,
//! 41, 48.
//!
//! The core does no I/O and takes the clock as an argument: [`Announcer`] walks a torrent's tiers,
//! [`registry::Registry`] holds a server's swarms, [`policy`] says who may announce, and
//! [`http::query`] and [`http::response`] turn announces into bytes, [`udp`] does it for BEP 15.
//! Around them lie two shells, each a feature: `client` (announces with surf on a connector of our
//! own, and over UDP) and `server` (answers from threads of its own, and with tide what is no
//! announce); `store` lets several servers share their swarms.
//!
//! ```text
//! announcer ──▶ client ──▶ http::query ─ ─ ▶ server ──▶ registry
//!     ▲                                        │
//!     └──────── http::response ◀ ─ ─ ─ ─ ─ ─ ─ ┘
//! ```
//!
//! Whatever a tracker says is bounded, clamped and made printable before anybody sees it; what a
//! peer asks is read strictly, and a refusal names the parameter at fault.
//!
//! A whole announce without a socket:
//!
//! ```
//! use std::time::Instant;
//!
//! use shoal_metainfo::{InfoHash, PeerId};
//! use shoal_tracker::announcer::{Announcer, Input, Output};
//! use shoal_tracker::http::response::{AnnounceReply, Peers, encode_announce, parse_announce};
//! use shoal_tracker::http::query;
//! use shoal_tracker::registry::{Registry, RegistryConfig};
//! use shoal_tracker::{AnnounceEvent, AnnounceRequest};
//!
//! let now = Instant::now();
//! let mut announcer = Announcer::new(&[vec!["http://t.test/announce".to_owned()]], 1, now);
//! let Some(Output::Announce { tracker, url, event }) = announcer.poll() else { unreachable!() };
//! assert_eq!(event, Some(AnnounceEvent::Started));
//!
//! // The client's side: a URL.
//! let request = AnnounceRequest {
//!     info_hash: InfoHash([1; 20]),
//!     peer_id: PeerId::ours([2; 12]),
//!     port: 6881,
//!     uploaded: 0,
//!     downloaded: 0,
//!     left: 100,
//!     event,
//!     numwant: Some(50),
//!     key: 3,
//!     tracker_id: None,
//!     compact: true,
//! };
//! let url = query::announce_url(&url, &request);
//!
//! // The server's side: the query, the table, an answer.
//! let (_, query) = url.split_once('?').unwrap();
//! let asked = query::announce(query.as_bytes()).unwrap();
//! assert_eq!(asked.request, request);
//! let config = RegistryConfig::default();
//! let interval = config.interval;
//! let mut registry = Registry::new(config, 1, now);
//! let ip = "10.0.0.1".parse().unwrap();
//! let answer = registry.announce(now, &asked.request, ip).unwrap();
//! let body = encode_announce(&AnnounceReply {
//!     interval,
//!     min_interval: None,
//!     seeders: answer.seeders,
//!     leechers: answer.leechers,
//!     peers: Peers::Compact { v4: &answer.peers_v4, v6: &answer.peers_v6 },
//!     external_ip: ip,
//! });
//!
//! // And back: the announcer sleeps for the tracker's interval.
//! let response = parse_announce(&body).unwrap();
//! assert_eq!((response.leechers, response.external_ip), (Some(1), Some(ip)));
//! announcer.handle(now, Input::Answered { tracker, response: &response });
//! assert_eq!(announcer.timeout(), Some(now + interval));
//! ```
#![forbid(unsafe_code)]

#[cfg(feature = "admin")]
mod admin;
pub mod announce;
pub mod announcer;
#[cfg(feature = "client")]
pub mod client;
pub mod error;
#[doc(hidden)]
pub mod fuzz;
mod host;
pub mod http;
pub mod limits;
pub mod policy;
pub mod registry;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "store")]
pub mod store;
mod text;
pub mod udp;

/// Forged connection ids that a test sends: SHOAL_FORGERIES of them, as `just attack` says.
#[cfg(test)]
fn forgeries() -> u64 {
    let given = std::env::var("SHOAL_FORGERIES").ok();
    given.map_or(1_000_000, |text| text.parse().expect("a number"))
}

pub use announce::{AnnounceEvent, AnnounceRequest, AnnounceResponse, ScrapeEntry};
pub use announcer::{Announcer, TrackerKey, TrackerStatus};
#[cfg(feature = "client")]
pub use client::Client;
pub use error::{Retry, TrackerError};
#[cfg(feature = "server")]
pub use server::{Server, ServerConfig, ServerError, ServerEvent, ServerHandle};
