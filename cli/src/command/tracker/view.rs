//! What the tracker shows: its table, for people or for programs.
//!
//! Schema of the events: docs/json-events.md. Knows nothing of how announces come.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::Serialize;
use shoal_metainfo::InfoHash;
use shoal_tracker::registry::{PeerSnapshot, RegistrySnapshot, TorrentSnapshot};
use shoal_tracker::server::{AdminDoor, News, ServerEvent};

use crate::render::text::Printable;
use crate::render::{self, Mode, json};
use crate::units::{Bytes, Count, Date, Time};

/// Events. Schema: docs/json-events.md.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Told<'a> {
    Started {
        listen: Vec<String>,
        announce: Vec<String>,
        announce_udp: Vec<String>,
        any: bool,
        torrents: Vec<Named<'a>>,
    },
    Admin {
        listen: String,
        token: Option<&'a str>,
    },
    Announce {
        kind: &'static str,
        info_hash: String,
        name: Option<&'a str>,
        address: String,
        client: String,
    },
    Status {
        torrents: Vec<Torrent<'a>>,
        torrents_total: usize,
        peers_total: usize,
    },
    Warning {
        message: &'a str,
    },
    Lists {
        allowed: Option<usize>,
        denied: usize,
        clients: usize,
    },
    Interval {
        interval_s: u64,
        announces_per_s: u32,
        capacity: Option<u32>,
    },
    Stopped {},
}

/// Announce URLs that are told to people. Ours: a screen.
const URLS_SHOWN: usize = 20;

#[derive(Debug, Serialize)]
struct Named<'a> {
    info_hash: String,
    name: &'a str,
}

#[derive(Debug, Serialize)]
struct Torrent<'a> {
    info_hash: String,
    name: Option<&'a str>,
    seeders: usize,
    leechers: usize,
    completed: u32,
    peers: Vec<Peer>,
}

#[derive(Debug, Serialize)]
struct Peer {
    address: String,
    client: String,
    left: Option<u64>,
    uploaded: u64,
    downloaded: u64,
    last_seen_s: u64,
}

impl Peer {
    fn new(peer: &PeerSnapshot) -> Self {
        Self {
            address: peer.address.to_string(),
            client: peer.peer_id.client_name(),
            left: peer.left,
            uploaded: peer.uploaded,
            downloaded: peer.downloaded,
            last_seen_s: peer.last_seen.as_secs(),
        }
    }
}

/// What is shown of one tracker.
pub(super) struct View {
    mode: Mode,
    names: BTreeMap<InfoHash, String>,
    /// Whether any torrent is served.
    any: bool,
    /// Torrents of which something was heard since the last status.
    news: BTreeSet<InfoHash>,
}

impl View {
    pub(super) fn new(mode: Mode, names: BTreeMap<InfoHash, String>, any: bool) -> Self {
        Self {
            mode,
            names,
            any,
            news: BTreeSet::new(),
        }
    }

    pub(super) fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    /// `paths` are those to announce at over HTTP; all addresses have them.
    pub(super) fn started(
        &self,
        addresses: &[SocketAddr],
        paths: &[String],
        https: bool,
        udp: bool,
    ) -> io::Result<()> {
        let over_udp = |&address: &SocketAddr| udp.then(|| format!("udp://{}", reachable(address)));
        let schemes: &[_] = if https { &["https", "http"] } else { &["http"] };
        let urls = |&address: &SocketAddr| {
            let of = move |scheme| paths.iter().map(move |p| announce_url(scheme, address, p));
            schemes.iter().copied().flat_map(of)
        };
        if self.mode == Mode::Json {
            let torrents = self.names.iter().map(|(info_hash, name)| Named {
                info_hash: info_hash.to_string(),
                name,
            });
            return json::emit(&Told::Started {
                listen: addresses.iter().map(SocketAddr::to_string).collect(),
                announce: addresses.iter().flat_map(urls).collect(),
                announce_udp: addresses.iter().filter_map(over_udp).collect(),
                any: self.any,
                torrents: torrents.collect(),
            });
        }
        for address in addresses {
            let mut urls = urls(address).chain(over_udp(address));
            let first = urls.next().unwrap_or_default();
            let first = Printable(&first);
            render::say(format_args!("listening on {address}; announce URL {first}"))?;
            for also in urls.by_ref().take(URLS_SHOWN) {
                render::say(format_args!("    also {}", Printable(&also)))?;
            }
            if let more @ 1.. = urls.count() {
                render::say(format_args!("    and {more} more"))?;
            }
        }
        if self.any {
            render::say("no torrent was named: any info hash is served")?;
        }
        for (info_hash, name) in &self.names {
            render::say(format_args!("serving {info_hash}  {}", Printable(name)))?;
        }
        Ok(())
    }

    /// The door for the operator, and its token if that was made just now.
    pub(super) fn admin(&self, door: &AdminDoor) -> io::Result<()> {
        let (address, token) = (door.address, door.token.as_deref());
        if self.mode == Mode::Json {
            return json::emit(&Told::Admin {
                listen: address.to_string(),
                token,
            });
        }
        render::say(format_args!("admin API and pages at http://{address}/"))?;
        match token {
            Some(token) => render::say(format_args!("    its token, told only here: {token}")),
            None => Ok(()),
        }
    }

    pub(super) fn warn(&self, message: &str) -> io::Result<()> {
        if self.mode == Mode::Json {
            return json::emit(&Told::Warning { message });
        }
        render::warn(Printable(message));
        Ok(())
    }

    pub(super) fn news(&self, news: &News) -> io::Result<()> {
        let json = self.mode == Mode::Json;
        match news {
            News::Loaded(loaded) if json => json::emit(&Told::Lists {
                allowed: loaded.allowed,
                denied: loaded.denied,
                clients: loaded.clients,
            }),
            News::Loaded(loaded) => {
                let served = loaded.allowed.map_or_else(
                    || "any torrent is served".to_owned(),
                    |count| format!("{} served", Count(count, "torrent")),
                );
                let denied = Count(loaded.denied, "torrent");
                let clients = Count(loaded.clients, "kind of client");
                let now = Date::now();
                render::say(format_args!(
                    "{now}  lists: {served}, {denied} denied, {clients} denied"
                ))
            }
            News::Interval { interval, load } if json => json::emit(&Told::Interval {
                interval_s: interval.as_secs(),
                announces_per_s: load.announces_per_second,
                capacity: load.capacity,
            }),
            News::Interval { interval, load } => {
                let (now, rate) = (Date::now(), load.announces_per_second);
                let interval = Time(*interval);
                render::say(format_args!(
                    "{now}  load: {rate} announces a second; the interval is {interval} now"
                ))
            }
            News::Refused(error) => self.warn(&format!("{error}; what was in force stays")),
            News::NotKept(why) => self.warn(&format!(
                "what changed is not kept yet: {why}; is there room? It is tried again"
            )),
            News::Unclean => self.warn(
                "the last run was cut off: what happened in its last seconds may not be kept",
            ),
            _ => Ok(()),
        }
    }

    pub(super) fn event(&mut self, event: &ServerEvent) -> io::Result<()> {
        let ServerEvent {
            event,
            info_hash,
            address,
            peer_id,
        } = *event;
        let kind = event.as_str();
        self.news.insert(info_hash);
        let client = peer_id.client_name();
        if self.mode == Mode::Json {
            return json::emit(&Told::Announce {
                kind,
                info_hash: info_hash.to_string(),
                name: self.names.get(&info_hash).map(String::as_str),
                address: address.to_string(),
                client,
            });
        }
        let (now, name) = (Date::now(), self.name(&info_hash));
        render::say(format_args!("{now}  {kind}: {address} ({client}), {name}"))
    }

    /// The table: all of it, or what there is news of.
    pub(super) fn status(&mut self, table: &RegistrySnapshot, all: bool) -> io::Result<()> {
        let news = std::mem::take(&mut self.news);
        let wanted = |torrent: &&TorrentSnapshot| all || news.contains(&torrent.info_hash);
        let torrents = table.torrents.iter().filter(wanted);
        if self.mode == Mode::Json {
            return json::emit(&Told::Status {
                torrents: torrents.map(|torrent| self.torrent(torrent)).collect(),
                torrents_total: table.torrents_total,
                peers_total: table.peers_total,
            });
        }
        if table.torrents.is_empty() {
            return render::say(format_args!("{}  status: no peers yet", Date::now()));
        }
        torrents
            .into_iter()
            .try_for_each(|torrent| self.tell(torrent))?;
        if let Some(more @ 1..) = table.torrents_total.checked_sub(table.torrents.len())
            && all
        {
            let (torrents, peers) = (table.torrents_total, table.peers_total);
            render::say(format_args!(
                "{}  status: and {more} more torrents; {torrents} in all, with {peers} peers",
                Date::now()
            ))?;
        }
        Ok(())
    }

    pub(super) fn stopped(&self) -> io::Result<()> {
        match self.mode {
            Mode::Json => json::emit(&Told::Stopped {}),
            Mode::Live | Mode::Plain => render::say("stopped"),
        }
    }

    fn torrent(&self, torrent: &TorrentSnapshot) -> Torrent<'_> {
        Torrent {
            info_hash: torrent.info_hash.to_string(),
            name: self.names.get(&torrent.info_hash).map(String::as_str),
            seeders: torrent.seeders,
            leechers: torrent.leechers,
            completed: torrent.completed,
            peers: torrent.peers.iter().map(Peer::new).collect(),
        }
    }

    fn tell(&self, torrent: &TorrentSnapshot) -> io::Result<()> {
        let (now, name) = (Date::now(), self.name(&torrent.info_hash));
        let (seeders, leechers) = (torrent.seeders, torrent.leechers);
        let completed = torrent.completed;
        render::say(format_args!(
            "{now}  status: {name}: {}, {}, {completed} completed",
            Count(seeders, "seeder"),
            Count(leechers, "leecher")
        ))?;
        for peer in &torrent.peers {
            render::say(format_args!(
                "    {:<21}  {:<24}  left {}, up {}, down {}, seen {} ago",
                peer.address.to_string(),
                peer.peer_id.client_name(),
                left(peer.left),
                Bytes(peer.uploaded),
                Bytes(peer.downloaded),
                Time(peer.last_seen)
            ))?;
        }
        let shown = torrent.peers.len();
        if let Some(more @ 1..) = (seeders + leechers).checked_sub(shown) {
            render::say(format_args!("    and {more} more"))?;
        }
        Ok(())
    }

    fn name(&self, info_hash: &InfoHash) -> String {
        self.names
            .get(info_hash)
            .map_or_else(|| info_hash.to_string(), |name| Printable(name).to_string())
    }
}

/// What a peer misses, for people.
fn left(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "unknown".to_owned(), |bytes| Bytes(bytes).to_string())
}

/// The URL that reaches a path at an address.
fn announce_url(scheme: &str, address: SocketAddr, path: &str) -> String {
    format!("{scheme}://{}{path}", reachable(address))
}

/// The address; for all addresses, that of this machine itself.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peer_that_does_not_know_what_is_left_says_so() {
        assert_eq!(left(None), "unknown");
        assert_eq!(left(Some(0)), Bytes(0).to_string());
        let peer = PeerSnapshot {
            address: ([10, 0, 0, 1], 5).into(),
            peer_id: shoal_metainfo::PeerId(*b"-TR4050-abcdefghijkl"),
            left: None,
            uploaded: 0,
            downloaded: 0,
            last_seen: std::time::Duration::ZERO,
        };
        let shown = serde_json::to_value(Peer::new(&peer)).unwrap();
        assert_eq!(shown["left"], serde_json::Value::Null);
    }

    #[test]
    fn announce_url_is_one_that_can_be_reached() {
        for (address, expect) in [
            ("127.0.0.1:5", "http://127.0.0.1:5/announce"),
            ("0.0.0.0:6969", "http://127.0.0.1:6969/announce"),
            ("[::]:6969", "http://[::1]:6969/announce"),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(announce_url("http", address, "/announce"), expect);
        }
    }
}
