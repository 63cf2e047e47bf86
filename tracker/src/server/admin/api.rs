//! What the admin API answers. Schema: docs/tracker.md.
//!
//! Knows neither sockets nor tokens.

use std::time::Instant;

use serde_json::{Value, json as object};
use shoal_metainfo::InfoHash;
use tide::StatusCode;
use tide::http::{Method, Response};

use super::super::app::Asked;
use super::super::{Shared, pages};
use super::{failed, json, not_allowed, rules};
use crate::announce::ScrapeEntry;
use crate::{admin, limits};

/// Answers a request below `/api/`.
pub(super) fn answer(
    shared: &Shared,
    method: Method,
    path: &str,
    asked: &Asked,
    body: &[u8],
) -> tide::Response {
    let parts: Vec<_> = path.split('/').skip(2).collect();
    match (parts.as_slice(), method) {
        (["stats"], Method::Get) => {
            pages::shown(shared, "/stats.json", asked, pages::Viewer::Admin).unwrap_or_else(nothing)
        }
        (["stats"], _) => not_allowed("GET"),
        (["torrents"], Method::Get) => torrents(shared),
        (["torrents"], _) => not_allowed("GET"),
        (["torrents", "remove"], Method::Post) => remove_all(shared, body),
        (["torrents", "remove"], _) => not_allowed("POST"),
        (["torrents", hash], Method::Get | Method::Delete) => match InfoHash::from_hex(hash) {
            None => failed(StatusCode::BadRequest, "an info hash has 40 hex digits"),
            Some(hash) if method == Method::Delete => remove(shared, hash),
            Some(hash) => torrent(shared, hash),
        },
        (["torrents", _], _) => not_allowed("GET, DELETE"),
        (["lists", ..] | ["keys", ..], _) => rules::answer(shared, method, &parts, body),
        _ => nothing(),
    }
}

pub(super) fn nothing() -> tide::Response {
    failed(StatusCode::NotFound, "nothing is here; see docs/tracker.md")
}

fn numbers(shared: &Shared, entry: &ScrapeEntry) -> Value {
    object!({
        "info_hash": entry.info_hash.to_string(),
        "name": shared.front.names.get(&entry.info_hash),
        "seeders": entry.seeders,
        "leechers": entry.leechers,
        "completed": entry.completed,
    })
}

fn torrents(shared: &Shared) -> tide::Response {
    let overview = shared.front.overview(&shared.registry);
    let largest = overview.largest.iter().map(|entry| numbers(shared, entry));
    let torrents: Vec<_> = largest.collect();
    let answer = object!({ "total": overview.torrents, "torrents": torrents });
    json(StatusCode::Ok, &answer)
}

fn torrent(shared: &Shared, hash: InfoHash) -> tide::Response {
    let census = shared
        .registry
        .census(&hash, Instant::now(), limits::SNAPSHOT_PEERS_MAX);
    let Some(census) = census else {
        return unknown();
    };
    let peers = census.peers.iter().map(|peer| {
        object!({
            "address": peer.address.to_string(),
            "client": peer.peer_id.client_name(),
            "seeder": peer.is_seed,
            "left": peer.left,
            "last_seen_s": peer.last_seen.as_secs(),
        })
    });
    let peers: Vec<_> = peers.collect();
    let mut answer = numbers(shared, &census.entry);
    answer["peers"] = peers.into();
    json(StatusCode::Ok, &answer)
}

fn unknown() -> tide::Response {
    failed(
        StatusCode::NotFound,
        "this tracker does not know that torrent",
    )
}

fn remove(shared: &Shared, hash: InfoHash) -> tide::Response {
    if shared.registry.remove(&hash) {
        Response::new(StatusCode::NoContent).into()
    } else {
        unknown()
    }
}

fn remove_all(shared: &Shared, body: &[u8]) -> tide::Response {
    match admin::info_hashes(body) {
        Ok(hashes) => {
            let removed = hashes
                .iter()
                .filter(|hash| shared.registry.remove(hash))
                .count();
            json(StatusCode::Ok, &object!({ "removed": removed }))
        }
        Err(error) => failed(StatusCode::BadRequest, &error.to_string()),
    }
}
