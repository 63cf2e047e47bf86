//! What is answered at which path, and how. BEP 3 "trackers", BEP 48.
//!
//! Most announces and scrapes never come to tide; those that do, since they are pipelined behind
//! something else or have a path that must be made normal, are answered the same.
//!
//! A refusal is HTTP 200 with a bencoded `failure reason`, as BEP 3 says. Knows no sockets.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use tide::http::{Body, Method, Response};
use tide::{Request, StatusCode};

use super::counters::Counts;
use super::paths::{Place, even};
use super::{Shared, pages};
use crate::http::head::{Head, RequestLine};
use crate::http::query;
use crate::http::response::{AnnounceReply, Peers, encode_failure, encode_scrape, push_announce};
use crate::policy::{Errand, errand};
use crate::registry::{Answer, Families};

/// What a handler needs of a request and tide's own type cannot carry unharmed.
#[derive(Clone)]
pub(super) struct Asked {
    /// The query, raw: an info hash is not text.
    pub(super) query: Vec<u8>,
    /// The other end of the connection.
    pub(super) peer: SocketAddr,
    /// The last `X-Forwarded-For`.
    pub(super) forwarded: Option<Vec<u8>>,
    /// Whether a page is wanted, and not plain text.
    pub(super) wants_html: bool,
    /// What it takes us for.
    pub(super) host: Option<Vec<u8>>,
    /// What proves its right.
    pub(super) authorization: Option<Vec<u8>>,
}

impl Asked {
    pub(super) fn new(head: &Head<'_>, line: &RequestLine<'_>, peer: SocketAddr) -> Self {
        let accept = head.field("accept").unwrap_or_default();
        let mut types = accept.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
        Self {
            query: line.query.to_vec(),
            peer,
            forwarded: head.field("x-forwarded-for").map(<[u8]>::to_vec),
            host: head.field("host").map(<[u8]>::to_vec),
            authorization: head.field("authorization").map(<[u8]>::to_vec),
            wants_html: types.any(|kind| kind.to_ascii_lowercase().starts_with(b"text/html")),
        }
    }
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
    let shared = request.state();
    match shared.place(&even(path)) {
        // Who asks for a head alone wants nothing to happen.
        Some(_) if request.method() != Method::Get => {
            let text = "An announce or a scrape is a GET.\n";
            Ok(plain(StatusCode::MethodNotAllowed, text.to_owned()))
        }
        Some((place, key)) => Ok(bencoded(answer(&request, place, key))),
        None => {
            let asked = request.ext::<Asked>().expect("each request is given one");
            let page = pages::public(shared, path, asked);
            Ok(page.unwrap_or_else(elsewhere))
        }
    }
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

fn answer(request: &Asking, place: Place, key: Option<&[u8]>) -> Vec<u8> {
    let asked = request.ext::<Asked>().expect("each request is given one");
    let (shared, mut body) = (request.state(), Vec::new());
    let answered = match place {
        Place::Scrape if shared.front.is_full_scrape(&asked.query) => {
            let may = shared.policy.may_scrape(Instant::now(), key);
            may.map_err(|refusal| refusal.to_string())
                .map(|()| body.extend_from_slice(&shared.front.scraped(&shared.registry)))
        }
        Place::Announce => shared
            .ip(asked.peer, asked.forwarded.as_deref())
            .and_then(|ip| {
                let answer = &mut Answer::default();
                shared.announce(&asked.query, key, ip, answer, &mut body)
            }),
        Place::Scrape => shared.scrape(&asked.query, key, &mut body),
    };
    shared
        .front
        .counters
        .guests
        .add(Counts::of(place, answered.is_ok()));
    match answered {
        Ok(()) => body,
        Err(reason) => encode_failure(&reason),
    }
}

impl Shared {
    /// What is done at a path that is [`even`]; of a private tracker, also what stands where the
    /// passkey does.
    pub(super) fn place<'p>(&self, path: &'p str) -> Option<(Place, Option<&'p [u8]>)> {
        let known = self.paths.at(path).map(|place| (place, None));
        known.or_else(|| {
            let named = self.policy.is_private().then(|| errand(path.as_bytes()));
            named.flatten().map(|(errand, key)| match errand {
                Errand::Announce => (Place::Announce, Some(key)),
                Errand::Scrape => (Place::Scrape, Some(key)),
            })
        })
    }

    /// Appends the answer to an announce; its `failure reason` when there is none.
    pub(super) fn announce(
        &self,
        query: &[u8],
        key: Option<&[u8]>,
        ip: IpAddr,
        answer: &mut Answer,
        body: &mut Vec<u8>,
    ) -> Result<(), String> {
        let query = query::announce(query).map_err(|error| error.to_string())?;
        let (request, both) = (&query.request, Families::Both);
        let now = Instant::now();
        let pass = self.policy.enter(now, request, key);
        let pass = pass.map_err(|refusal| refusal.to_string())?;
        let announced = self.registry.answer(now, request, ip, both, answer);
        announced.map_err(|refusal| {
            pass.give_back();
            refusal.to_string()
        })?;
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
            interval: answer.interval(self.policy.interval()),
            min_interval: self.min_interval.map(|min| answer.interval(min)),
            seeders: answer.seeders,
            leechers: answer.leechers,
            peers,
            external_ip: ip,
        };
        push_announce(body, &reply);
        Ok(())
    }

    /// Appends the answer to a scrape; its `failure reason` when there is none.
    pub(super) fn scrape(
        &self,
        query: &[u8],
        key: Option<&[u8]>,
        body: &mut Vec<u8>,
    ) -> Result<(), String> {
        let may = self.policy.may_scrape(Instant::now(), key);
        may.map_err(|refusal| refusal.to_string())?;
        let hashes = query::scrape(query).map_err(|error| error.to_string())?;
        body.append(&mut encode_scrape(&self.registry.scrape(&hashes)));
        Ok(())
    }

    /// Where the peer is: the other end, or what a trusted proxy says of it.
    pub(super) fn ip(&self, peer: SocketAddr, forwarded: Option<&[u8]>) -> Result<IpAddr, String> {
        self.front.proxies.ip(peer.ip(), forwarded)
    }
}
