//! Announces and scrapes over HTTP and HTTPS. BEP 3 "trackers", BEP 7, 23, 48.
//!
//! Surf carries them, on a connector of our own: its ready ones look names up on an executor thread
//! or bring old TLS. One limit holds around the whole exchange; who is announced to, and when, is
//! [`crate::announcer`]'s business.

mod address;
mod connector;
mod resolve;
mod tls;
pub mod web;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_rustls::rustls::RootCertStore;
use shoal_metainfo::InfoHash;
use surf::http::{Method, Url};

use crate::announce::{AnnounceRequest, AnnounceResponse, ScrapeEntry};
use crate::error::TrackerError;
use crate::http::{query, response};
use crate::limits;
use crate::text::printable;
use connector::Connector;
use resolve::Resolver;

/// Talks to trackers. A clone shares the threads that look names up.
#[derive(Clone)]
pub struct Client {
    surf: surf::Client,
    timeout: Duration,
}

impl Client {
    /// A client that trusts the certificate authorities that browsers trust.
    #[must_use]
    pub fn new() -> Self {
        Self::assemble(resolve::system, tls::public_roots())
    }

    fn assemble(
        lookup: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
        roots: RootCertStore,
    ) -> Self {
        let connector = Connector::new(Resolver::new(lookup), roots);
        Self {
            surf: surf::Client::with_http_client(connector),
            timeout: limits::EXCHANGE_MAX,
        }
    }

    /// The same with another limit for one exchange: three seconds for a `stopped`, say.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Announces to the tracker at `url`, an announce URL as a torrent has it.
    ///
    /// # Errors
    /// [`TrackerError`], by cause; [`TrackerError::is_permanent`] if asking again is pointless.
    pub async fn announce(
        &self,
        url: &str,
        request: &AnnounceRequest,
    ) -> Result<AnnounceResponse, TrackerError> {
        check(url, limits::URL_BYTES_MAX)?;
        let body = self.exchange(&query::announce_url(url, request)).await?;
        response::parse_announce(&body)
    }

    /// Asks the tracker at `url`, an announce URL, about torrents; at most
    /// [`limits::SCRAPE_HASHES_MAX`] of them.
    ///
    /// # Errors
    /// [`TrackerError::ScrapeUnsupported`] if the URL has no scrape form; else as
    /// [`Client::announce`].
    pub async fn scrape(
        &self,
        url: &str,
        info_hashes: &[InfoHash],
    ) -> Result<Vec<ScrapeEntry>, TrackerError> {
        check(url, limits::URL_BYTES_MAX)?;
        let body = self.exchange(&query::scrape_url(url, info_hashes)?).await?;
        response::parse_scrape(&body)
    }

    /// Why no client of ours would announce to `url`, as far as that is clear without asking
    /// anybody: for a warning to who makes a torrent. `None` when nothing speaks against it.
    #[must_use]
    pub fn refusal(url: &str) -> Option<&'static str> {
        address::refusal(&Url::parse(url).ok()?)
    }

    /// The body that is at a URL.
    async fn exchange(&self, url: &str) -> Result<Vec<u8>, TrackerError> {
        let url = check(url, limits::REQUEST_URL_BYTES_MAX)?;
        let exchange = async {
            let request = surf::Request::builder(Method::Get, url).build();
            let mut response = self.surf.send(request).await?;
            response.body_bytes().await
        };
        let after = self.timeout;
        let result = async_std::future::timeout(after, exchange).await;
        let result = result.map_err(|_| TrackerError::Timeout { after })?;
        result.map_err(connector::cause)
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Client");
        debug
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// The URL, if we can use it at all.
fn check(text: &str, bytes_max: usize) -> Result<Url, TrackerError> {
    let bad = |reason: &str| TrackerError::Url {
        url: printable(text.as_bytes()),
        reason: reason.to_owned(),
    };
    if text.len() > bytes_max {
        return Err(bad("it is too long"));
    }
    let url = Url::parse(text).map_err(|error| bad(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        let scheme = printable(url.scheme().as_bytes());
        return Err(TrackerError::Scheme { scheme });
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(bad("it names no host"));
    }
    if url.port_or_known_default() == Some(0) {
        return Err(bad("port 0 cannot be connected to"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests;
