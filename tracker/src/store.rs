//! Several trackers with the same swarms, through Redis or Valkey. BEP 3 "trackers".
//!
//! Announces never wait for the store: they are answered from the table here. A thread of its own
//! tells the store, every so often and in batches, what was heard here, and asks it what others
//! heard of the torrents that somebody asks about here; so trackers differ by some seconds. While
//! the store is away each goes on with what it has, and when it is back, each tells it all again.
//!
//! What the store says is believed as little as what a stranger says: bounded, and judged like an
//! announce. It is for the trackers' own network: whoever can write to it can name peers.

mod followed;
mod line;
mod link;
mod nodes;
mod slots;
mod wire;
mod words;

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_std::channel::{Receiver, Sender};
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _};

use crate::limits;
use crate::registry::Registry;
use crate::server::TlsError;
use link::Link;
use wire::Authorities;

/// Where the store is, and how it is used.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    servers: Vec<ConnectionInfo>,
    /// With them all speak TLS.
    authorities: Option<Authorities>,
    every: Duration,
    events: Option<Sender<StoreEvent>>,
}

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Not a URL of a store.
    #[error(
        "the store's URL cannot be used: {why}; give redis://HOST:PORT or redis://HOST:PORT/DB"
    )]
    Url {
        /// What is wrong with it; never the URL itself, which may hold a password.
        why: String,
    },
    /// No URL.
    #[error("no URL of a store was given")]
    NoUrl,
    /// Some servers with TLS, others without.
    #[error("some of the store's URLs begin rediss:// and others redis://; give one kind")]
    Mixed,
    /// An authority without TLS.
    #[error("an authority is for a store with TLS; let its URL begin rediss://")]
    NoTls,
    /// A file of authorities that cannot be used.
    #[error(transparent)]
    Authority(#[from] TlsError),
}

/// What there is to tell of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreEvent {
    /// It is there, and is told all that is known here.
    There,
    /// It is away, or a part of it; what is known here is answered meanwhile.
    Away {
        /// The server, HOST:PORT.
        server: String,
        /// What went wrong, printable.
        why: String,
    },
    /// Since it is there, it was told all that was known here.
    Repaired {
        /// Peers that it was told of.
        peers: u64,
    },
    /// It was too slow, or away for too long: the oldest news of peers were not told one by one.
    Dropped {
        /// How many.
        words: u64,
    },
    /// It refuses what it is told or asked.
    Refused {
        /// How often, since that was told last.
        times: u64,
        /// One reason, printable.
        why: String,
    },
}

/// What went wrong with one server.
#[derive(Debug, thiserror::Error)]
enum StoreFault {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it did not answer within {} s", limits::STORE_ANSWER_MAX.as_secs())]
    Silent,
    #[error("TLS failed: {0}")]
    Tls(String),
    #[error("it says: {0}")]
    Refused(String),
    #[error("it answers, but not as Redis does: {0}")]
    Broken(String),
    #[error("it answers, but not as Redis does")]
    Strange,
    #[error("it is of a cluster that has no slots; `redis-cli --cluster create` gives them")]
    NoSlots,
}

impl StoreFault {
    /// What the reader of answers says.
    fn broken(error: &redis::RedisError) -> Self {
        if error.is_timeout() {
            return Self::Silent;
        }
        let text = crate::text::printable(error.to_string().as_bytes());
        if error.is_io_error() || error.is_unrecoverable_error() {
            return Self::Io(io::Error::other(text));
        }
        Self::Broken(text)
    }
}

impl StoreConfig {
    /// A store at these URLs, `redis://[[NAME]:PASSWORD@]HOST[:PORT][/DB]`: one, or some of a
    /// cluster's, which tell of the others. All have the name and password of the first. With
    /// `rediss://` they speak TLS, and their certificates are of public authorities unless
    /// [`StoreConfig::trusting`] names others.
    ///
    /// # Errors
    /// [`StoreError`] when there is none, or one is of another kind.
    pub fn new(urls: &[impl AsRef<str>]) -> Result<Self, StoreError> {
        let servers: Result<Vec<_>, _> = urls.iter().map(|url| server(url.as_ref())).collect();
        let servers = servers?;
        if servers.is_empty() {
            return Err(StoreError::NoUrl);
        }
        let secure = urls.iter().filter(|url| is_secure(url.as_ref())).count();
        if secure != 0 && secure != servers.len() {
            return Err(StoreError::Mixed);
        }
        Ok(Self {
            servers,
            authorities: (secure != 0).then(Authorities::public),
            every: limits::STORE_EVERY_DEFAULT,
            events: None,
        })
    }

    /// Trusts the certificate authorities of this PEM file, and no others.
    ///
    /// # Errors
    /// [`StoreError`] when the store is used without TLS, or the file is none of certificates.
    pub fn trusting(mut self, file: &Path) -> Result<Self, StoreError> {
        let authorities = self.authorities.as_mut().ok_or(StoreError::NoTls)?;
        *authorities = Authorities::read(file)?;
        Ok(self)
    }

    /// Told and asked so often, but not more often than [`limits::STORE_EVERY_MIN`] allows.
    #[must_use]
    pub fn every(self, every: Duration) -> Self {
        let every = every.max(limits::STORE_EVERY_MIN);
        Self { every, ..self }
    }

    /// The same, and what there is to tell of it from now on: at most
    /// [`limits::STORE_EVENTS_MAX`] of it unread.
    #[must_use]
    pub fn with_events(self) -> (Self, Receiver<StoreEvent>) {
        let (events, receiver) = async_std::channel::bounded(limits::STORE_EVENTS_MAX);
        let events = Some(events);
        (Self { events, ..self }, receiver)
    }

    /// Where the servers are, without names and passwords.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        let known = self.servers.iter().filter_map(nodes::host_and_port);
        known.map(|(host, port)| format!("{host}:{port}")).collect()
    }

    /// Whether it is on this machine, with all who use it.
    fn is_local(&self) -> bool {
        self.servers
            .iter()
            .filter_map(nodes::host_and_port)
            .all(|(host, _)| {
                let host = bare(&host);
                let ip = host.parse::<IpAddr>();
                ip.map_or(host == "localhost", |ip| ip.is_loopback())
            })
    }
}

fn server(url: &str) -> Result<ConnectionInfo, StoreError> {
    let refused = |why: &str| StoreError::Url {
        why: why.to_owned(),
    };
    let kinds = ["redis:", "rediss:", "valkey:", "valkeys:"];
    let Some(rest) = kinds.iter().find_map(|kind| url.strip_prefix(kind)) else {
        return Err(refused(
            "it does not begin redis://, rediss://, valkey:// or valkeys://",
        ));
    };
    // The crate knows it so: that a certificate is not to be verified.
    if is_secure(url) && url.contains('#') {
        return Err(refused("certificates are verified, whatever follows a #"));
    }
    // TLS is ours: the crate reads the rest, without its own.
    let info = format!("redis:{rest}").into_connection_info();
    let info = info.map_err(|error| {
        // What is repeated of it may be the password.
        let why = error.detail().filter(|why| !url.contains(why));
        refused(why.unwrap_or("it is not a URL"))
    })?;
    match info.addr() {
        ConnectionAddr::Tcp(host, _) if !host.is_empty() => Ok(info),
        _ => Err(refused("it names no host")),
    }
}

fn is_secure(url: &str) -> bool {
    url.starts_with("rediss:") || url.starts_with("valkeys:")
}

/// A host without what stands round an IPv6 address in a URL.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Starts the thread that shares a table through the store until `stop` is closed. What is returned
/// is closed when it has ended.
///
/// # Errors
/// When the system starts no thread.
pub(crate) fn start(
    config: StoreConfig,
    table: Arc<Registry>,
    stop: Sender<()>,
) -> io::Result<Receiver<()>> {
    table.share();
    let (running, ended) = async_std::channel::bounded(1);
    let run = move || {
        let mut link = Link::new(&config, &table);
        link.run(|| stop.is_closed());
        drop(running);
    };
    let thread = std::thread::Builder::new().name("tracker-store".to_owned());
    thread.spawn(run).map(|_| ended)
}

/// Waits for the thread to tell the last news; not for long, since the store may hang.
pub(crate) async fn ended(thread: Option<Receiver<()>>) {
    if let Some(ended) = thread {
        let _ = async_std::future::timeout(limits::STORE_END_MAX, ended.recv()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_named_by_url_and_told_without_its_password() {
        let urls = ["redis://:secret@10.0.0.1:7000/2", "valkey://store.example"];
        let config = StoreConfig::new(&urls).unwrap();
        assert_eq!(config.addresses(), ["10.0.0.1:7000", "store.example:6379"]);
        assert!(!config.is_local());
        assert!(!format!("{config:?}").contains("secret"), "{config:?}");
        for local in [
            "redis://127.0.0.1",
            "redis://[::1]:1",
            "redis://localhost/1",
        ] {
            assert!(StoreConfig::new(&[local]).unwrap().is_local(), "{local}");
        }
    }

    #[test]
    fn no_store_is_asked_without_a_pause() {
        let config = StoreConfig::new(&["redis://a"]).unwrap();
        let config = config.every(Duration::ZERO);
        assert_eq!(config.every, limits::STORE_EVERY_MIN);
        assert_eq!(config.every(Duration::from_secs(9)).every.as_secs(), 9);
    }

    #[test]
    fn what_is_no_url_of_a_store_is_refused() {
        for (url, expect) in [
            ("http://a", "does not begin redis://"),
            ("rediss://a:1/#insecure", "certificates are verified"),
            ("rediss://a/x", "store's URL"),
            ("redis://", "store's URL"),
            ("redis://a:99999", "store's URL"),
            ("redis://a/x", "store's URL"),
            ("redis:///run/redis.sock", "store's URL"),
        ] {
            let error = StoreConfig::new(&[url]).unwrap_err().to_string();
            assert!(error.contains(expect), "{url}: {error}");
        }
        assert!(matches!(StoreConfig::new(&[""; 0]), Err(StoreError::NoUrl)));
        let mixed = StoreConfig::new(&["rediss://a", "redis://b"]);
        assert!(matches!(mixed, Err(StoreError::Mixed)));
        let plain = StoreConfig::new(&["redis://a"]).unwrap();
        let trusting = plain.trusting(Path::new("ca.pem"));
        assert!(matches!(trusting, Err(StoreError::NoTls)));
    }

    #[test]
    fn no_word_on_a_url_holds_its_password() {
        for url in [
            "redis://me:hunter2@a:99999",
            "redis://me:hunter2@a/x",
            "redis://me:hunter2@",
            "redis://me:hunter2@[::1",
            "redis://me:hunter2%ff@a",
            "redis://me%ff:hunter2@a",
            "redis://me:hunter2@a b",
            "rediss://me:hunter2@a/#insecure",
            "redis://me:hunter2@a?protocol=hunter2",
            "http://me:hunter2@a",
            "me:hunter2@a",
        ] {
            let said = match StoreConfig::new(&[url]) {
                Ok(config) => format!("{config:?} {:?}", config.addresses()),
                Err(error) => format!("{error} {error:?}"),
            };
            assert!(!said.contains("hunter2"), "{url}: {said}");
        }
    }
}
