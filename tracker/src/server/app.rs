//! What is answered at which path. BEP 3 "trackers", BEP 48.
//!
//! A refusal is HTTP 200 with a bencoded `failure reason`, as BEP 3 says. Knows no sockets.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use tide::http::{Body, Response};
use tide::{Request, StatusCode};

use super::Shared;
use super::paths::Place;
use crate::http::query;
use crate::http::response::{AnnounceReply, Peers, encode_announce, encode_failure, encode_scrape};

/// What a handler needs of a request and tide's own type cannot carry unharmed.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// The query, raw: an info hash is not text.
    pub(super) query: Vec<u8>,
    /// The other end of the connection.
    pub(super) peer: SocketAddr,
    /// The last `X-Forwarded-For`.
    pub(super) forwarded: Option<Vec<u8>>,
}

/// The routes. The paths to announce at come out of torrents, where `:` and `*` mean themselves,
/// so they are told apart here and not by tide.
pub(super) fn app(shared: Arc<Shared>) -> tide::Server<Arc<Shared>> {
    let mut app = tide::with_state(shared);
    app.at("/").get(route);
    app.at("/*").get(route);
    app
}

type Asking = Request<Arc<Shared>>;

async fn route(request: Asking) -> tide::Result {
    let path = request.url().path();
    let handler = match request.state().paths.at(path) {
        Some(Place::Announce) => Shared::announce,
        Some(Place::Scrape) => Shared::scrape,
        None if path == "/" => return Ok(front(request.state())),
        None => return Ok(elsewhere()),
    };
    Ok(bencoded(answer(&request, handler)))
}

fn front(shared: &Shared) -> tide::Response {
    let (torrents, peers) = shared.registry.size();
    let text = format!("Shoal tracker\ntorrents {torrents}\npeers {peers}\n");
    plain(StatusCode::Ok, text)
}

/// The paths of torrents may hold a secret, so only ours are told.
fn elsewhere() -> tide::Response {
    let text = "Nothing is here. Announce at /announce, scrape at /scrape.\n";
    plain(StatusCode::NotFound, text.to_owned())
}

/// A plain answer for people.
pub(super) fn plain(status: StatusCode, text: String) -> tide::Response {
    let mut response = Response::new(status);
    response.set_body(text);
    response.into()
}

fn bencoded(body: Vec<u8>) -> tide::Response {
    let mut response = Response::new(StatusCode::Ok);
    response.set_body(Body::from_bytes(body));
    response.insert_header("content-type", "text/plain");
    response.into()
}

fn answer(request: &Asking, handler: fn(&Shared, &Asked) -> Result<Vec<u8>, String>) -> Vec<u8> {
    let asked = request.ext::<Asked>().expect("each request is given one");
    handler(request.state(), asked).unwrap_or_else(|reason| encode_failure(&reason))
}

impl Shared {
    /// The answer, or why there is none.
    fn announce(&self, asked: &Asked) -> Result<Vec<u8>, String> {
        let query = query::announce(&asked.query).map_err(|error| error.to_string())?;
        let request = &query.request;
        let ip = self.ip(asked)?;
        let announced = self.registry.announce(Instant::now(), request, ip);
        let answer = announced.map_err(|refusal| refusal.to_string())?;
        if let Some(change) = answer.told(request, ip) {
            self.tell(change);
        }
        let mut dictionaries = Vec::new();
        if !request.compact {
            dictionaries = answer.peers();
        }
        if query.no_peer_id {
            dictionaries.iter_mut().for_each(|(_, id)| *id = None);
        }
        let (v4, v6) = (&answer.peers_v4, &answer.peers_v6);
        let peers = if request.compact {
            Peers::Compact { v4, v6 }
        } else {
            Peers::Dictionaries(&dictionaries)
        };
        let reply = AnnounceReply {
            interval: self.interval,
            min_interval: self.min_interval,
            seeders: answer.seeders,
            leechers: answer.leechers,
            peers,
            external_ip: ip,
        };
        Ok(encode_announce(&reply))
    }

    fn scrape(&self, asked: &Asked) -> Result<Vec<u8>, String> {
        let hashes = query::scrape(&asked.query).map_err(|error| error.to_string())?;
        Ok(encode_scrape(&self.registry.scrape(&hashes)))
    }

    /// Where the peer is: the other end, or what a trusted proxy says of it.
    ///
    /// The last address of the header is the one that the proxy saw; the peer wrote the rest.
    fn ip(&self, asked: &Asked) -> Result<IpAddr, String> {
        let direct = asked.peer.ip().to_canonical();
        let Some(forwarded) = asked
            .forwarded
            .as_ref()
            .filter(|_| self.trust_forwarded_for)
        else {
            return Ok(direct);
        };
        let text = String::from_utf8_lossy(forwarded);
        let last = text.rsplit(',').next().unwrap_or_default().trim();
        let ip = last.parse::<IpAddr>().ok();
        let ip = ip.or_else(|| last.parse::<SocketAddr>().ok().map(|address| address.ip()));
        ip.map(|ip| ip.to_canonical())
            .ok_or_else(|| "the proxy's X-Forwarded-For does not end in an address".to_owned())
    }
}
