//! What is meant: options checked and turned into the types that the rest works with.
//!
//! Addresses and URLs are parsed here, once; a mistake is a [`UsageError`] with a hint. Knows
//! nothing of what the commands do with them.

use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs as _};
use std::path::{Path, PathBuf};

use shoal_metainfo::InfoHash;
use shoal_metainfo::limits::PIECE_LENGTH_MAX;
use shoal_peer::DhtConfig;
use shoal_peer::shoal_dht::ItemError;
use shoal_tracker::client::{Proxy, ProxyError};
use url::{Host, Url};

use crate::args::DhtOptions;
use crate::error::Error;
use crate::units::{Bytes, Size};

/// Shortest piece that one may ask for, bytes. Source: BEP 3: a piece below a block helps nobody.
const PIECE_LENGTH_MIN: u32 = shoal_metainfo::BLOCK_LENGTH;
/// Where a tracker without torrents listens. Source: the port that trackers have by custom.
pub(crate) const TRACKER_ADDRESS: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 6969);
/// Clients of one demo. Ours: each is a process of its own.
pub(crate) const DEMO_PEERS_MAX: u16 = 100;

/// A mistake on the command line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UsageError {
    /// The metadata of a .torrent is in it.
    #[error("--fetch asks peers for the metadata of a magnet link; a .torrent has it already")]
    FetchOfFile,
    /// Nobody is asked anything.
    #[error("--proxy is for what --fetch or --scrape asks; without them nobody is asked anything")]
    ProxyForNothing,
    /// Not the URL of a store.
    #[error("--store: {0}")]
    Store(#[source] shoal_tracker::store::StoreError),
    /// Only a torrent has trackers that were read.
    #[error("--scrape of a magnet link needs --fetch too; or give the .torrent")]
    ScrapeOfLink,
    /// No URL at all.
    #[error(
        "{url} is no tracker URL: {reason}\nWrite for example http://{host}/announce",
        host = host_like(url)
    )]
    TrackerUrl {
        /// As typed.
        url: String,
        /// Why not.
        reason: url::ParseError,
    },
    /// `http:` without the slashes: some readers see a host in it, others do not.
    #[error("{url} is no tracker URL: // is missing behind the scheme\nDid you mean {meant} ?")]
    TrackerSlashes {
        /// As typed.
        url: String,
        /// How some would read it.
        meant: String,
    },
    /// A port that nobody can listen on.
    #[error("{0}: nobody can be reached at port 0; write the port that the tracker listens on")]
    TrackerPortZero(String),
    /// A URL of another kind.
    #[error("{url}: a tracker is reached by http, https or udp, not by {scheme:?}{hint}")]
    TrackerScheme {
        /// As typed.
        url: String,
        /// What stands before the colon.
        scheme: String,
        /// What may have been meant, with its punctuation.
        hint: String,
    },
    /// Not a proxy that we can use.
    #[error("--proxy: {0}")]
    Proxy(ProxyError),
    /// No network.
    #[error("--trusted-proxy: {0}")]
    TrustedProxy(shoal_tracker::server::NetError),
    /// A name that would be looked up beside the proxy.
    #[error("--peer {0}: with --proxy, write the peer's address; its name would be looked up here")]
    PeerName(String),
    /// `udp` has no port of its own.
    #[error("{0} lacks its port; write udp://HOST:PORT")]
    TrackerPort(String),
    /// Not http, https or ftp.
    #[error("{0} is no web seed; use an http or https URL of the content")]
    WebSeed(String),
    /// Not a power of two inside the bounds.
    #[error(
        "a piece of {0} is not possible; use a power of two from {min} to {max}",
        min = Bytes(u64::from(PIECE_LENGTH_MIN)),
        max = Bytes(u64::from(PIECE_LENGTH_MAX))
    )]
    PieceLength(Bytes),
    /// `--listen` with something that is no address.
    #[error(
        "cannot listen on {0}: write ADDRESS:PORT, [IPV6]:PORT or a port alone, from 0 to 65535"
    )]
    Listen(String),
    /// The same place twice.
    #[error("--listen {0} is there twice; each needs an address or a port of its own")]
    ListenTwice(SocketAddr),
    /// A tracker is to listen where a torrent says, and it says nothing of use.
    #[error("{0} names no http tracker, so where to listen is not clear; use --listen ADDR")]
    NoAnnounce(PathBuf),
    /// `--peer` with something that is no address.
    #[error(
        "{0} is no peer: write ADDRESS:PORT, [IPV6]:PORT or NAME:PORT, the port from 1 to 65535"
    )]
    Peer(String),
    /// `--dht-bootstrap` or `dht ping` with something that is no node.
    #[error("{0} is no node: write HOST:PORT, ADDRESS:PORT or [IPV6]:PORT")]
    DhtBootstrap(String),
    /// `dht put` of more than nodes take.
    #[error(transparent)]
    DhtItem(#[from] ItemError),
    /// No info hash.
    #[error("{0} is no info hash: write its 40 hex digits")]
    InfoHash(String),
    /// No passkey.
    #[error("{0} is no passkey: it has 32 hex digits, as `shoal keys list` prints them")]
    Passkey(String),
    /// A passkey that nobody made.
    #[error("there is no such passkey; `shoal keys list` prints all")]
    NoSuchKey,
    /// Nowhere to keep keys.
    #[error("neither XDG_STATE_HOME nor HOME names a folder; name the tracker's with --state-dir")]
    NoStateFolder,
    /// Neither a name nor a key.
    #[error("{0} is neither a name of 40 hex digits nor a public key of 64")]
    DhtName(String),
    /// `--interval 0`.
    #[error("--interval 0 would have every client announce without end; use at least 1")]
    Interval,
    /// No downloaders, or too many processes.
    #[error("--peers {0} is not possible; use 1 to {DEMO_PEERS_MAX}")]
    DemoPeers(u16),
    /// Nothing to share, or more than is sensible.
    #[error("--size 0 leaves nothing to share")]
    DemoSize,
}

/// A host that cannot be found by its name.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot find the address of {name}: {source}; check the name and the network, or write \
     ADDRESS:PORT"
)]
pub(crate) struct LookupError {
    name: String,
    source: io::Error,
}

/// An announce URL as it will stand in the torrent.
///
/// # Errors
/// [`UsageError`] unless it is http, https or udp with a host.
pub(crate) fn tracker_url(text: &str) -> Result<String, UsageError> {
    let text = text.trim();
    let scheme = |hint: &str| UsageError::TrackerScheme {
        url: text.to_owned(),
        scheme: text.split(':').next().unwrap_or_default().to_owned(),
        hint: hint.to_owned(),
    };
    let url = Url::parse(text).map_err(|reason| UsageError::TrackerUrl {
        url: text.to_owned(),
        reason,
    })?;
    match url.scheme() {
        "http" | "https" if !text.contains("://") => {
            return Err(UsageError::TrackerSlashes {
                url: text.to_owned(),
                meant: url.into(),
            });
        }
        "http" | "https" => {}
        "udp" if url.port().is_none() => return Err(UsageError::TrackerPort(text.to_owned())),
        "udp" => {}
        "ws" | "wss" => return Err(scheme("\nWebTorrent trackers are not known to shoal")),
        _ if !text.contains("://") => {
            return Err(scheme(&format!("\nDid you mean http://{text} ?")));
        }
        _ => return Err(scheme("")),
    }
    match url.host() {
        Some(Host::Domain("")) | None => Err(UsageError::TrackerUrl {
            url: text.to_owned(),
            reason: url::ParseError::EmptyHost,
        }),
        Some(_) if url.port() == Some(0) => Err(UsageError::TrackerPortZero(text.to_owned())),
        // `Url` drops tabs and line breaks inside; what it read is what is written.
        Some(_) if text.contains(|c: char| c.is_control() || c == ' ') => Ok(url.into()),
        Some(_) => Ok(text.to_owned()),
    }
}

/// Checks the URL of a web seed. BEP 19.
///
/// # Errors
/// [`UsageError::WebSeed`] unless it is http or https.
pub(crate) fn web_seed(text: &str) -> Result<String, UsageError> {
    match Url::parse(text.trim()) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url.into()),
        _ => Err(UsageError::WebSeed(text.to_owned())),
    }
}

/// Checks `--piece-length`.
///
/// # Errors
/// [`UsageError::PieceLength`] unless it is a power of two inside the bounds.
pub(crate) fn piece_length(size: Size) -> Result<u32, UsageError> {
    u32::try_from(size.0)
        .ok()
        .filter(|length| length.is_power_of_two())
        .filter(|length| (PIECE_LENGTH_MIN..=PIECE_LENGTH_MAX).contains(length))
        .ok_or(UsageError::PieceLength(Bytes(size.0)))
}

/// Reads one `--listen`: an address with a port, or a port alone for all addresses.
///
/// # Errors
/// [`UsageError::Listen`].
pub(crate) fn listen_address(text: &str) -> Result<SocketAddr, UsageError> {
    let port = text.strip_prefix(':').unwrap_or(text);
    if let Ok(port) = port.parse::<u16>() {
        return Ok(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port));
    }
    text.parse()
        .map_err(|_| UsageError::Listen(text.to_owned()))
}

/// Reads all `--listen`. Of port 0 each takes a free one.
///
/// # Errors
/// [`UsageError::Listen`] and [`UsageError::ListenTwice`].
pub(crate) fn listen_addresses(texts: &[String]) -> Result<Vec<SocketAddr>, UsageError> {
    let mut addresses = Vec::new();
    for text in texts {
        let address = listen_address(text)?;
        if address.port() != 0 && addresses.contains(&address) {
            return Err(UsageError::ListenTwice(address));
        }
        addresses.push(address);
    }
    Ok(addresses)
}

/// Reads `--proxy`. Looks up the proxy's own name.
///
/// # Errors
/// [`UsageError::Proxy`].
pub(crate) fn proxy(url: Option<&str>) -> Result<Option<Proxy>, UsageError> {
    let proxy = url.map(Proxy::from_url).transpose();
    proxy.map_err(UsageError::Proxy)
}

/// The addresses of one `--peer`; with a proxy no name is looked up beside it.
///
/// # Errors
/// [`UsageError`] when it is of the wrong form, or a name where none may be; else as
/// [`Peer::addresses`].
pub(crate) fn peer_beside(text: &str, proxy: Option<&Proxy>) -> Result<Vec<SocketAddr>, Error> {
    match (peer(text)?, proxy) {
        // Looking it up would tell the network whom we are about to meet.
        (Peer::Name(..), Some(_)) => Err(UsageError::PeerName(text.to_owned()).into()),
        (peer, _) => Ok(peer.addresses()?),
    }
}

/// One `--peer`, of the right form.
#[derive(Debug)]
pub(crate) enum Peer<'a> {
    Address(SocketAddr),
    Name(&'a str, u16),
}

/// Reads one `--peer`: an address or a name, with a port.
///
/// # Errors
/// [`UsageError::Peer`] when it is neither.
pub(crate) fn peer(text: &str) -> Result<Peer<'_>, UsageError> {
    let wrong = || UsageError::Peer(text.to_owned());
    if let Ok(address) = text.parse::<SocketAddr>() {
        return match address.port() {
            0 => Err(wrong()),
            _ => Ok(Peer::Address(address)),
        };
    }
    let (name, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().ok().filter(|&port| port != 0);
    let is_name = |name: &str| matches!(Host::parse(name), Ok(Host::Domain(_)));
    match port {
        Some(port) if is_name(name) => Ok(Peer::Name(name, port)),
        _ => Err(wrong()),
    }
}

/// A node that begins with these, or with the public ones when there are none.
///
/// # Errors
/// [`UsageError::DhtBootstrap`] when one is no HOST:PORT.
pub(crate) fn dht(bootstrap: &[String]) -> Result<DhtConfig, UsageError> {
    let node = |text: &String| match peer(text) {
        Ok(Peer::Address(address)) => Ok((address.ip().to_string(), address.port())),
        Ok(Peer::Name(name, port)) => Ok((name.to_owned(), port)),
        Err(_) => Err(UsageError::DhtBootstrap(text.clone())),
    };
    let bootstrap: Vec<_> = bootstrap.iter().map(node).collect::<Result<_, _>>()?;
    match bootstrap.is_empty() {
        true => Ok(DhtConfig::public()),
        false => Ok(DhtConfig {
            bootstrap,
            ..DhtConfig::default()
        }),
    }
}

/// The node that a torrent's command uses, if it may use one.
///
/// # Errors
/// As [`dht`].
pub(crate) fn dht_of(options: &DhtOptions) -> Result<Option<DhtConfig>, UsageError> {
    let config = dht(&options.bootstrap)?;
    Ok((!options.no_dht).then_some(config))
}

/// An info hash in hex.
///
/// # Errors
/// [`UsageError::InfoHash`].
pub(crate) fn info_hash(text: &str) -> Result<InfoHash, UsageError> {
    InfoHash::from_hex(text).ok_or_else(|| UsageError::InfoHash(text.to_owned()))
}

impl Peer<'_> {
    /// Every address that it has; a name is looked up.
    ///
    /// # Errors
    /// [`LookupError`] when the name has none.
    pub(crate) fn addresses(self) -> Result<Vec<SocketAddr>, LookupError> {
        match self {
            Self::Address(address) => Ok(vec![address]),
            Self::Name(name, port) => match (name, port).to_socket_addrs() {
                Ok(addresses) => Ok(addresses.collect()),
                Err(source) => Err(LookupError {
                    name: name.to_owned(),
                    source,
                }),
            },
        }
    }
}

/// Where a tracker listens that an announce URL names: its port, and its host when that is an
/// address of this machine, else all addresses. `None` when the URL is not of HTTP.
pub(crate) fn announce_addresses(announce: &str) -> Option<Vec<SocketAddr>> {
    let url = Url::parse(announce).ok()?;
    if !matches!(url.scheme(), "http" | "udp") {
        return None;
    }
    let port = url.port_or_known_default().filter(|&port| port != 0)?;
    let addresses = match url.host()? {
        Host::Ipv4(address) => vec![IpAddr::V4(address)],
        Host::Ipv6(address) => vec![IpAddr::V6(address)],
        Host::Domain(name) => match (name, port).to_socket_addrs() {
            Ok(addresses) => addresses.map(|address| address.ip()).collect(),
            Err(_) => Vec::new(),
        },
    };
    if let Some(address) = addresses.into_iter().find(|&address| is_ours(address)) {
        return Some(vec![SocketAddr::new(address, port)]);
    }
    let any = [
        IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    ];
    // A machine without IPv6 cannot listen there.
    let any = any
        .into_iter()
        .filter(|address| address.is_ipv4() || is_ours(*address));
    Some(any.map(|address| SocketAddr::new(address, port)).collect())
}

/// The path of an announce URL of HTTP: where a tracker that is named so is asked.
pub(crate) fn announce_path(announce: &str) -> Option<String> {
    let url = Url::parse(announce).ok()?;
    matches!(url.scheme(), "http" | "https").then(|| url.path().to_owned())
}

/// Whether the address belongs to this machine: the system lets us listen there.
fn is_ours(address: IpAddr) -> bool {
    TcpListener::bind((address, 0)).is_ok()
}

/// The folder that was meant: the one given, else the current one.
pub(crate) fn folder(dir: Option<&Path>) -> PathBuf {
    dir.map_or_else(|| PathBuf::from("."), Path::to_owned)
}

/// Where a client remembers torrents: the folder given, else the user's; `None` when that is
/// nowhere. Source: XDG Base Directory Specification, `XDG_STATE_HOME`.
pub(crate) fn state_folder(
    given: Option<&Path>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Option<PathBuf> {
    // A path that is not absolute is to be passed over.
    let absolute = |name| {
        let path = variable(name).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    let state = || absolute("XDG_STATE_HOME");
    let home = || Some(absolute("HOME")?.join(".local/state"));
    given.map_or_else(
        || Some(state().or_else(home)?.join("shoal")),
        |given| Some(given.to_owned()),
    )
}

/// The part of a mistyped URL that may be its host, for the example in the message.
fn host_like(text: &str) -> &str {
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    let host = text.trim_start_matches(['/', ':']).split('/').next();
    // Words of ours stay words: what cannot be a host is no example.
    let could_be = |host: &&str| Url::parse(&format!("http://{host}/")).is_ok();
    host.filter(could_be).unwrap_or("tracker.example:6969")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracker_urls_are_http_https_or_udp() {
        for good in [
            "http://127.0.0.1:6969/announce",
            "https://tracker.example/announce?key=1",
            "udp://[::1]:80",
            "HTTP://tracker.example:1/a",
        ] {
            assert_eq!(tracker_url(good).unwrap(), good);
        }
        for bad in [
            "",
            "tracker",
            "http://",
            "udp://host",
            "ftp://host/a",
            "wss://host",
            "host:1",
        ] {
            assert!(tracker_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hint_is_a_url_that_would_be_taken() {
        for (bad, hint) in [
            ("http://", "http://tracker.example:6969/announce"),
            ("https:///", "http://tracker.example:6969/announce"),
            ("", "http://tracker.example:6969/announce"),
            ("my tracker", "http://tracker.example:6969/announce"),
            ("//10.0.0.1/announce", "http://10.0.0.1/announce"),
            ("tracker", "http://tracker/announce"),
            (
                "http://a:99999/announce",
                "http://tracker.example:6969/announce",
            ),
            ("http:a:1/announce", "http://a:1/announce"),
            ("http:/a:1/announce", "http://a:1/announce"),
        ] {
            let message = tracker_url(bad).unwrap_err().to_string();
            let words = message.split_whitespace();
            let urls: Vec<_> = words.filter(|word| word.starts_with("http://")).collect();
            assert_eq!(urls.last(), Some(&hint), "{message}");
            assert_eq!(tracker_url(hint).unwrap(), hint);
        }
    }

    #[test]
    fn port_zero_is_refused_in_every_url() {
        for bad in ["http://a:0/announce", "https://a:0/", "udp://a:0"] {
            let message = tracker_url(bad).unwrap_err().to_string();
            assert!(message.contains("port 0"), "{message}");
        }
        assert_eq!(announce_addresses("http://127.0.0.1:0/announce"), None);
    }

    #[test]
    fn announce_path_is_as_requests_have_it() {
        let path = |url| announce_path(url);
        assert_eq!(path("http://a:1/k/announce?x=1#y").unwrap(), "/k/announce");
        assert_eq!(path("https://a").unwrap(), "/");
        assert_eq!(path("http://a/a b").unwrap(), "/a%20b");
        assert_eq!(path("udp://a:1/announce"), None);
    }

    #[test]
    fn forgotten_scheme_is_guessed_in_the_message() {
        let message = tracker_url("tracker.example:6969/announce").unwrap_err();
        let message = message.to_string();
        assert!(
            message.contains("http://tracker.example:6969/announce"),
            "{message}"
        );
    }

    #[test]
    fn piece_length_is_a_power_of_two_inside_the_bounds() {
        assert_eq!(piece_length(Size(1 << 14)).unwrap(), 1 << 14);
        assert_eq!(piece_length(Size(1 << 28)).unwrap(), 1 << 28);
        for bad in [0, 1 << 13, (1 << 14) + 1, 10_000_000, 1 << 29, 1 << 40] {
            assert!(piece_length(Size(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn listen_takes_addresses_and_ports() {
        assert_eq!(listen_address("6969").unwrap(), TRACKER_ADDRESS);
        assert_eq!(listen_address(":6969").unwrap(), TRACKER_ADDRESS);
        assert_eq!(
            listen_address("[::1]:0").unwrap(),
            "[::1]:0".parse().unwrap()
        );
        for bad in ["", "localhost", "1.2.3.4", "70000", "::1"] {
            assert!(listen_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn announce_url_of_this_machine_is_listened_on_exactly() {
        let here = announce_addresses("http://127.0.0.1:7000/announce").unwrap();
        assert_eq!(here, ["127.0.0.1:7000".parse().unwrap()]);
        // Source: RFC 5737: nobody's address.
        let elsewhere = announce_addresses("http://192.0.2.1:7000/announce").unwrap();
        assert_eq!(elsewhere[0], "0.0.0.0:7000".parse().unwrap());
        assert_eq!(
            announce_addresses("http://192.0.2.1/a").unwrap()[0].port(),
            80
        );
        assert_eq!(announce_addresses("udp://127.0.0.1:7000").unwrap(), here);
        assert_eq!(announce_addresses("udp://127.0.0.1"), None);
        assert_eq!(announce_addresses("https://127.0.0.1:7000"), None);
        assert_eq!(announce_addresses("nonsense"), None);
    }

    #[test]
    fn peers_need_a_port() {
        for good in ["127.0.0.1:5", "[::1]:5"] {
            let addresses = peer(good).unwrap().addresses().unwrap();
            assert_eq!(addresses, [good.parse().unwrap()]);
        }
        assert!(matches!(
            peer("host.example:5"),
            Ok(Peer::Name("host.example", 5))
        ));
        for bad in [
            "127.0.0.1",
            "127.0.0.1:0",
            "",
            ":",
            ":5",
            "host",
            "host:",
            "host:0",
            "host:70000",
            "::1",
            "::1:5",
            "1.2.3.256:5",
            "a b:5",
            "http://host:5",
        ] {
            assert!(peer(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn state_lies_where_it_is_told_or_where_the_system_has_it() {
        let check = |given: Option<&str>, xdg: Option<&str>, home: Option<&str>, expect| {
            let variable = |name: &str| {
                let value = if name == "HOME" { home } else { xdg };
                value.map(OsString::from)
            };
            let found = state_folder(given.map(Path::new), variable);
            assert_eq!(found.as_deref(), Option::map(expect, Path::new));
        };
        check(Some("s"), Some("/x"), Some("/h"), Some("s"));
        check(None, Some("/x"), Some("/h"), Some("/x/shoal"));
        check(None, Some("x"), Some("/h"), Some("/h/.local/state/shoal"));
        check(None, None, Some("/h"), Some("/h/.local/state/shoal"));
        check(None, None, Some(""), None);
        check(None, None, None, None);
    }
}
