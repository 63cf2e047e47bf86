//! Pages for people and numbers for programs. Of no BEP.
//!
//! Rendered here, from a copy of the table that is a moment old at most: a page never makes an
//! announce wait. Nothing is loaded from elsewhere, and nothing from outside is written unescaped
//! ([`mod@html`] has no way to). Knows neither sockets nor who may see addresses: it is told.

mod chart;
mod html;
mod metrics;
mod stats;
mod status;
mod torrent;

use std::time::{Duration, Instant};

use shoal_metainfo::InfoHash;
use tide::StatusCode;
use tide::http::{Body, Response};

use super::Shared;
use super::app::{Asked, plain};
use super::counters::Counts;
use crate::registry::Overview;
use html::{Html, Nonce};

/// How much of the table strangers are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pages {
    /// Sums and each torrent.
    #[default]
    All,
    /// Sums alone: which torrents there are is nobody's business.
    Sums,
    /// Nothing but `/health`.
    Health,
}

/// Who looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Viewer {
    /// Anybody.
    Stranger,
    /// Who has the admin token, and may see addresses.
    Admin,
}

/// All numbers of one moment.
#[derive(Debug)]
struct Numbers {
    overview: std::sync::Arc<Overview>,
    peers: usize,
    http: Counts,
    udp: Counts,
    /// Announces a second over the last minute.
    rate: f64,
    uptime: Duration,
}

impl Numbers {
    fn read(shared: &Shared) -> Self {
        let (http, udp) = shared.front.counters.read();
        Self {
            overview: shared.front.overview(&shared.registry),
            peers: shared.registry.size().1,
            http,
            udp,
            rate: shared.front.history().rate(),
            uptime: shared.front.begun.elapsed(),
        }
    }
}

/// What strangers are shown at a path, if there is something.
pub(super) fn public(shared: &Shared, path: &str, asked: &Asked) -> Option<tide::Response> {
    let pages = shared.front.pages;
    match path {
        "/health" => Some(plain(StatusCode::Ok, "ok\n".to_owned())),
        _ if pages == Pages::Health => None,
        "/" if !asked.wants_html => Some(front(shared)),
        _ if path.starts_with("/torrent/") && pages != Pages::All => None,
        _ => shown(shared, path, asked, Viewer::Stranger),
    }
}

/// What is shown at a path, if there is something.
pub(super) fn shown(
    shared: &Shared,
    path: &str,
    asked: &Asked,
    viewer: Viewer,
) -> Option<tide::Response> {
    match path {
        "/" => {
            let with_torrents = viewer == Viewer::Admin || shared.front.pages == Pages::All;
            let query = status::Query::read(&asked.query);
            let nonce = Nonce::new();
            let numbers = Numbers::read(shared);
            let page = status::page(shared, &numbers, with_torrents.then_some(&query), nonce);
            Some(html(page, nonce))
        }
        "/stats.json" => Some(of_type(
            "application/json",
            stats::json(&Numbers::read(shared)),
        )),
        "/metrics" => Some(of_type(
            "text/plain; version=0.0.4; charset=utf-8",
            metrics::text(&Numbers::read(shared)),
        )),
        _ => {
            let info_hash = InfoHash::from_hex(path.strip_prefix("/torrent/")?)?;
            let nonce = Nonce::new();
            let (status, page) = torrent::page(shared, info_hash, viewer, nonce);
            let mut response = html(page, nonce);
            response.set_status(status);
            Some(response)
        }
    }
}

/// The front page in plain text.
fn front(shared: &Shared) -> tide::Response {
    let (torrents, peers) = shared.registry.size();
    let text = format!("Shoal tracker\ntorrents {torrents}\npeers {peers}\n");
    plain(StatusCode::Ok, text)
}

fn of_type(kind: &str, text: String) -> tide::Response {
    let mut response = Response::new(StatusCode::Ok);
    response.set_body(Body::from_string(text));
    response.insert_header("content-type", kind);
    response.insert_header("cache-control", "no-store");
    response.insert_header("x-content-type-options", "nosniff");
    response.into()
}

fn html(page: Html, nonce: Nonce) -> tide::Response {
    let mut response = of_type("text/html; charset=utf-8", page.into_string());
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; \
         img-src data:; connect-src 'self'; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'"
    );
    response.insert_header("content-security-policy", policy);
    response.insert_header("referrer-policy", "no-referrer");
    response.insert_header("cross-origin-opener-policy", "same-origin");
    response
}

/// The seconds of the process's clock, for what counts from it.
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;
