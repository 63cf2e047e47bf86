//! Announces and scrapes over HTTP, HTTPS and UDP. BEP 3 "trackers", BEP 7, 15, 23, 41, 48.
//!
//! Over HTTP surf carries them, on a connector of our own: its ready ones look names up on an
//! executor thread or bring old TLS. One limit holds around the whole exchange; who is announced
//! to, and when, is [`crate::announcer`]'s business. With a proxy nothing goes beside it.

pub mod address;
mod connector;
mod lines;
mod relay;
mod resolve;
mod socks5;
mod target;
mod tls;
mod udp;
pub mod web;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_rustls::rustls::RootCertStore;
use shoal_metainfo::InfoHash;
use surf::http::{Method, Url, url::Host};

use crate::announce::{AnnounceRequest, AnnounceResponse, ScrapeEntry};
use crate::error::TrackerError;
use crate::http::{query, response};
use crate::limits;
use crate::udp::exchange::{Answer, Question};
use address::Purpose;
use connector::Connector;
use resolve::Resolver;
pub use socks5::{Destination, Proxy, ProxyError};
use target::{Target, UdpTarget};
use udp::Udp;
use web::Web;

/// Talks to trackers. A clone shares the threads that look names up, and the sockets.
#[derive(Clone)]
pub struct Client {
    surf: surf::Client,
    resolver: Arc<Resolver>,
    udp: Arc<Udp>,
    web: Web,
    /// Leads to trackers on UDP too, if it can; nothing goes beside it.
    proxy: Option<Arc<Proxy>>,
    /// Other than [`limits::EXCHANGE_MAX`] and [`limits::UDP_EXCHANGE_MAX`].
    timeout: Option<Duration>,
}

impl Client {
    /// A client that trusts the certificate authorities that browsers trust.
    #[must_use]
    pub fn new() -> Self {
        Self::build(resolve::system, tls::public_roots(), None)
    }

    /// A client whose every connection goes through a proxy; it is the proxy that looks names up.
    /// Trackers on UDP are asked through it if it relays datagrams, and else not at all.
    #[must_use]
    pub fn through(proxy: Proxy) -> Self {
        let never = |_: &str, _| Err(io::Error::other("names are the proxy's business"));
        Self::build(never, tls::public_roots(), Some(proxy))
    }

    #[cfg(test)]
    pub(crate) fn assemble(
        lookup: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
        roots: RootCertStore,
    ) -> Self {
        Self::build(lookup, roots, None)
    }

    fn build(
        lookup: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
        roots: RootCertStore,
        proxy: Option<Proxy>,
    ) -> Self {
        let resolver = Arc::new(Resolver::new(lookup));
        let connector = || Connector::new(Arc::clone(&resolver), roots.clone(), proxy.clone());
        Self {
            web: Web::new(connector()),
            surf: surf::Client::with_http_client(connector()),
            resolver,
            udp: Arc::default(),
            proxy: proxy.map(Arc::new),
            timeout: None,
        }
    }

    /// What web seeds are asked with: the same look-ups, authorities and proxy.
    #[must_use]
    pub fn web(&self) -> Web {
        self.web.clone()
    }

    /// The same with another limit for one exchange: three seconds for a `stopped`, say.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
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
        match Target::parse(url)? {
            Target::Http(url) => {
                let url = query::announce_url(url.as_str(), request);
                let body = self.exchange(&url).await?;
                response::parse_announce(&body)
            }
            Target::Udp(target) => {
                let question = Question::Announce {
                    request: request.clone(),
                    url: target.place.clone(),
                };
                let asked = async {
                    if let Some(proxy) = &self.proxy {
                        return match relayed(proxy, &target, &question).await? {
                            Answer::Announce(answer) => Ok(answer),
                            Answer::Scrape(_) => unreachable!("an announce is answered by one"),
                        };
                    }
                    let addresses = self.udp_addresses(&target).await?;
                    self.udp.announce(&addresses, &question).await
                };
                self.in_time(limits::UDP_EXCHANGE_MAX, asked).await
            }
        }
    }

    /// Asks the tracker at `url`, an announce URL, about torrents: the first
    /// [`limits::SCRAPE_HASHES_MAX`] of them, over UDP [`limits::UDP_SCRAPE_HASHES_MAX`].
    ///
    /// # Errors
    /// [`TrackerError::ScrapeUnsupported`] if the URL has no scrape form; else as
    /// [`Client::announce`].
    pub async fn scrape(
        &self,
        url: &str,
        info_hashes: &[InfoHash],
    ) -> Result<Vec<ScrapeEntry>, TrackerError> {
        match Target::parse(url)? {
            Target::Http(url) => {
                let url = query::scrape_url(url.as_str(), info_hashes)?;
                let body = self.exchange(&url).await?;
                response::parse_scrape(&body)
            }
            Target::Udp(target) => {
                let most = info_hashes.len().min(limits::UDP_SCRAPE_HASHES_MAX);
                let question = Question::Scrape(info_hashes[..most].to_vec());
                let asked = async {
                    if let Some(proxy) = &self.proxy {
                        return relayed(proxy, &target, &question).await;
                    }
                    let addresses = self.udp_addresses(&target).await?;
                    self.udp.ask(&addresses, &question).await
                };
                match self.in_time(limits::UDP_EXCHANGE_MAX, asked).await? {
                    Answer::Scrape(entries) => Ok(entries),
                    Answer::Announce(_) => unreachable!("a scrape is answered by a scrape"),
                }
            }
        }
    }

    /// Why no client of ours would announce to `url`, as far as that is clear without asking
    /// anybody: for a warning to who makes a torrent. `None` when nothing speaks against it.
    #[must_use]
    pub fn refusal(url: &str) -> Option<&'static str> {
        let refused = match Target::parse(url).ok()? {
            Target::Http(url) => {
                let purpose = Purpose::Announce { path: url.path() };
                address::permitted_unseen(&url.host()?, purpose, None)
            }
            Target::Udp(target) => {
                address::permitted_unseen(&target.host, Purpose::UdpAnnounce, None)
            }
        };
        match refused {
            Err(TrackerError::Forbidden { why, .. }) => Some(why),
            _ => None,
        }
    }

    /// The addresses of a tracker on UDP that may be asked.
    async fn udp_addresses(&self, target: &UdpTarget) -> Result<Vec<SocketAddr>, TrackerError> {
        let host = borrowed(&target.host);
        let addresses = self.resolver.resolve(&host, target.port).await?;
        address::permitted(&host.to_string(), &addresses, Purpose::UdpAnnounce, None)
    }

    /// The body that is at a URL.
    async fn exchange(&self, url: &str) -> Result<Vec<u8>, TrackerError> {
        let url = Url::parse(url).map_err(|error| target::unusable(url, &error.to_string()))?;
        let exchange = async {
            let request = surf::Request::builder(Method::Get, url).build();
            let mut response = self.surf.send(request).await?;
            response.body_bytes().await
        };
        let exchange = async { exchange.await.map_err(connector::cause) };
        self.in_time(limits::EXCHANGE_MAX, exchange).await
    }

    async fn in_time<T>(
        &self,
        limit: Duration,
        exchange: impl Future<Output = Result<T, TrackerError>>,
    ) -> Result<T, TrackerError> {
        let after = self.timeout.unwrap_or(limit);
        let result = async_std::future::timeout(after, exchange).await;
        result.unwrap_or(Err(TrackerError::Timeout { after }))
    }
}

/// What a tracker on UDP answers that is asked through a proxy.
async fn relayed(
    proxy: &Proxy,
    target: &UdpTarget,
    question: &Question,
) -> Result<Answer, TrackerError> {
    let host = borrowed(&target.host);
    address::permitted_unseen(&host, Purpose::UdpAnnounce, None)?;
    let to = match host {
        Host::Domain(name) => Destination::Name(name, target.port),
        Host::Ipv4(ip) => Destination::Address((ip, target.port).into()),
        Host::Ipv6(ip) => Destination::Address((ip, target.port).into()),
    };
    relay::ask(proxy, to, question).await
}

fn borrowed(host: &Host) -> Host<&str> {
    match host {
        Host::Domain(name) => Host::Domain(name.as_str()),
        Host::Ipv4(ip) => Host::Ipv4(*ip),
        Host::Ipv6(ip) => Host::Ipv6(*ip),
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

#[cfg(test)]
mod tests;
