//! Every bound of this crate, with its source.

use std::time::Duration;

/// Longest datagram of an announce, bytes. Source: BEP 14.
pub const ANNOUNCE_LENGTH_MAX: usize = 1400;

/// Torrents in one announce.
/// Ours: 52 bytes each; 24 and the longest cookie fill [`ANNOUNCE_LENGTH_MAX`] on either group.
pub const TORRENTS_PER_ANNOUNCE_MAX: usize = 24;

/// Longest cookie, bytes. Ours: ours has 8; what is longer is no cookie of the field.
pub const COOKIE_LENGTH_MAX: usize = 32;

/// Between two announces of one torrent. Source: BEP 14.
pub const ANNOUNCE_EVERY: Duration = Duration::from_secs(5 * 60);

/// Between two announces of whatever torrents. Ours: BEP 14 wants one a minute with one torrent in
/// it; with many in it fewer are needed, and a torrent that starts should not wait a minute.
pub const ANNOUNCE_PAUSE: Duration = Duration::from_secs(2);

/// A torrent whose turn comes this soon rides along with others.
/// Ours: so that those that started apart come together in time.
pub const ANNOUNCE_TOGETHER: Duration = Duration::from_secs(60);

/// The window over which what is heard is counted. Ours.
pub const HEARD_WINDOW: Duration = Duration::from_secs(60);

/// Announces that are read from one address in a window.
/// Ours: 24 torrents each, that is 720; an honest client with more is heard in the next.
pub const HEARD_PER_SOURCE_MAX: u32 = 30;

/// Announces that are read in a window. Ours: a network of a hundred clients all starting at once.
pub const HEARD_MAX: u32 = 600;

/// Peers that are told of to one torrent in a window.
/// Ours: more than a swarm dials; a neighbour that invents ports gets no further.
pub const FOUND_PER_TORRENT_MAX: u32 = 64;

/// Longest document of a gateway, bytes. Ours: descriptions in the field are below 20 KiB.
pub const XML_LENGTH_MAX: usize = 128 << 10;

/// How deep elements may lie in each other. Ours: a description has ten.
pub const XML_DEPTH_MAX: usize = 32;

/// Services kept of a description. Ours: gateways have one or two that map ports.
pub const SERVICES_MAX: usize = 8;

/// Longest path of a document at a gateway, bytes. Ours: those in the field are below 100.
pub const LOCATION_LENGTH_MAX: usize = 512;

/// Longest answer to a search, bytes. Ours: one datagram on any link.
pub const SEARCH_ANSWER_LENGTH_MAX: usize = 1500;

/// Longest head of a gateway's HTTP answer, bytes. Ours: those in the field are below 500.
pub const HTTP_HEAD_LENGTH_MAX: usize = 8 << 10;

/// Longest HTTP answer of a gateway, bytes.
/// Ours: the longest document, in chunks of a few bytes each at worst.
pub const HTTP_LENGTH_MAX: usize = HTTP_HEAD_LENGTH_MAX + 2 * XML_LENGTH_MAX;
