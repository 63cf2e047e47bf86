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
use super::page::Page;
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
        (["torrents"], Method::Get) => torrents(shared, &asked.query),
        (["torrents"], _) => not_allowed("GET"),
        (["torrents", "remove"], Method::Post) => remove_all(shared, body),
        (["torrents", "remove"], _) => not_allowed("POST"),
        (["torrents", hash], Method::Get | Method::Delete) => match InfoHash::from_hex(hash) {
            None => failed(StatusCode::BadRequest, "an info hash has 40 hex digits"),
            Some(hash) if method == Method::Delete => remove(shared, hash),
            Some(hash) => torrent(shared, hash),
        },
        (["torrents", _], _) => not_allowed("GET, DELETE"),
        (["lists", ..] | ["keys", ..], _) => rules::answer(shared, method, &parts, asked, body),
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

/// The largest; or, asked for page by page, all in the order of their info hashes.
fn torrents(shared: &Shared, query: &[u8]) -> tide::Response {
    if !query.is_empty() {
        return torrents_after(shared, query);
    }
    let overview = shared.front.overview(&shared.registry);
    let largest = overview.largest.iter().map(|entry| numbers(shared, entry));
    let torrents: Vec<_> = largest.collect();
    let answer = object!({ "total": overview.torrents, "torrents": torrents });
    json(StatusCode::Ok, &answer)
}

fn torrents_after(shared: &Shared, query: &[u8]) -> tide::Response {
    let page = match Page::of_torrents(query) {
        Ok(page) => page,
        Err(error) => return failed(StatusCode::BadRequest, &error.to_string()),
    };
    let (entries, more) = shared.registry.page(page.after.as_ref(), page.limit);
    let last = entries.last().filter(|_| more);
    let next = last.map(|last| last.info_hash.to_string());
    let torrents: Vec<_> = entries.iter().map(|entry| numbers(shared, entry)).collect();
    let (total, _) = shared.registry.size();
    let answer = object!({ "total": total, "torrents": torrents, "next": next });
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

/// Why a torrent stays. The table of a closed tracker says what is served, so who took one out that
/// lists still name would refuse it until the lists are read again, and nobody would know why.
fn kept(shared: &Shared, hash: &InfoHash) -> Option<tide::Response> {
    let lists = shared.registry.lists();
    let by = match () {
        // Then it is not served, and most likely gone.
        () if lists.denied().binary_search(hash).is_ok() => return None,
        () if shared.watch.is_by_name(hash) => "it is on the command line",
        () if lists.names(hash) => "a folder or a list allows it",
        () => return None,
    };
    let what = format!(
        "{hash} is served because {by}; to serve it no more, deny it: POST /api/lists/deny"
    );
    Some(failed(StatusCode::Conflict, &what))
}

fn remove(shared: &Shared, hash: InfoHash) -> tide::Response {
    if let Some(conflict) = kept(shared, &hash) {
        return conflict;
    }
    if shared.registry.remove(&hash) {
        Response::new(StatusCode::NoContent).into()
    } else {
        unknown()
    }
}

fn remove_all(shared: &Shared, body: &[u8]) -> tide::Response {
    match admin::info_hashes(body) {
        Ok(hashes) => {
            // All or none: half of what was asked for is hard to make good.
            if let Some(conflict) = hashes.iter().find_map(|hash| kept(shared, hash)) {
                return conflict;
            }
            let removed = hashes
                .iter()
                .filter(|hash| shared.registry.remove(hash))
                .count();
            json(StatusCode::Ok, &object!({ "removed": removed }))
        }
        Err(error) => failed(StatusCode::BadRequest, &error.to_string()),
    }
}
