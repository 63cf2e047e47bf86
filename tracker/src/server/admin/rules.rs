//! Keys and lists by the admin API. Schema: docs/tracker.md.
//!
//! Reads what is asked; what it means, [`Policy`] knows.
//!
//! [`Policy`]: crate::policy::Policy

use std::time::Instant;

use serde_json::{Value, json as object};
use shoal_metainfo::InfoHash;
use tide::StatusCode;
use tide::http::{Method, Response};

use super::super::Shared;
use super::super::app::Asked;
use super::api::nothing;
use super::page::Page;
use super::{failed, json, not_allowed};
use crate::admin;
use crate::policy::{KeyLimits, KeyStatus, Passkey, Policy};

/// Answers a request below `/api/lists` or `/api/keys`.
pub(super) fn answer(
    shared: &Shared,
    method: Method,
    parts: &[&str],
    asked: &Asked,
    body: &[u8],
) -> tide::Response {
    let policy = &shared.policy;
    match (parts, method) {
        (["lists"], Method::Get) => lists(policy, &asked.query),
        (["lists"], _) => not_allowed("GET"),
        (["lists", "allow"], Method::Post) => change(policy, body, Some(true)),
        (["lists", "deny"], Method::Post) => change(policy, body, Some(false)),
        (["lists", "clear"], Method::Post) => change(policy, body, None),
        (["lists", "allow" | "deny" | "clear"], _) => not_allowed("POST"),
        (["keys"], Method::Get) => keys(policy, &asked.query),
        (["keys"], Method::Post) => add(policy, body),
        (["keys"], _) => not_allowed("GET, POST"),
        (["keys", key], Method::Get | Method::Delete) => match Passkey::from_hex(key.as_bytes()) {
            None => failed(StatusCode::BadRequest, "a passkey has 32 hex digits"),
            Some(key) if method == Method::Delete => match policy.remove_key(&key) {
                true => Response::new(StatusCode::NoContent).into(),
                false => unknown(),
            },
            Some(key) => match policy.key(Instant::now(), &key) {
                Some(status) => json(StatusCode::Ok, &shown(&status)),
                None => unknown(),
            },
        },
        (["keys", _], _) => not_allowed("GET, DELETE"),
        _ => nothing(),
    }
}

fn lists(policy: &Policy, query: &[u8]) -> tide::Response {
    let page = match Page::of_torrents(query) {
        Ok(page) => page,
        Err(error) => return failed(StatusCode::BadRequest, &error.to_string()),
    };
    let lists = policy.lists();
    let (allowed, denied, more) = lists.page(page.after.as_ref(), page.limit);
    let hex = |hashes: &[InfoHash]| {
        let hashes = hashes.iter().map(InfoHash::to_string);
        hashes.collect::<Vec<_>>()
    };
    let last = allowed.last().max(denied.last()).filter(|_| more);
    let answer = object!({
        "allowed": lists.allowed().map(|_| hex(allowed)),
        "allowed_total": lists.allowed().map(<[_]>::len),
        "denied": hex(denied),
        "denied_total": lists.denied().len(),
        "next": last.map(InfoHash::to_string),
    });
    json(StatusCode::Ok, &answer)
}

fn change(policy: &Policy, body: &[u8], to: Option<bool>) -> tide::Response {
    match admin::info_hashes(body) {
        Ok(hashes) => match policy.change_all(&hashes, to) {
            Ok(changed) => json(StatusCode::Ok, &object!({ "changed": changed })),
            Err(full) => failed(StatusCode::Conflict, &full.to_string()),
        },
        Err(error) => failed(StatusCode::BadRequest, &error.to_string()),
    }
}

fn unknown() -> tide::Response {
    failed(StatusCode::NotFound, "this tracker does not know that key")
}

fn shown(status: &KeyStatus) -> Value {
    let (limits, totals) = (status.record.limits, status.record.totals);
    object!({
        "key": status.key.to_string(),
        "torrents_max": limits.torrents_max,
        "peers_max": limits.peers_max,
        "expires": limits.expires,
        "uploaded": totals.uploaded,
        "downloaded": totals.downloaded,
        "announces": totals.announces,
        "torrents": status.torrents,
        "peers": status.peers,
    })
}

fn keys(policy: &Policy, query: &[u8]) -> tide::Response {
    let what = "`after` must be a passkey, 32 hex digits";
    let page = match Page::read(query, Passkey::from_hex, what) {
        Ok(page) => page,
        Err(error) => return failed(StatusCode::BadRequest, &error.to_string()),
    };
    let (keys, total, more) = policy.keys_after(Instant::now(), page.after, page.limit);
    let next = keys
        .last()
        .filter(|_| more)
        .map(|last| last.key.to_string());
    let keys: Vec<_> = keys.iter().map(shown).collect();
    json(
        StatusCode::Ok,
        &object!({ "total": total, "keys": keys, "next": next }),
    )
}

fn add(policy: &Policy, body: &[u8]) -> tide::Response {
    let wish = match admin::key(body) {
        Ok(wish) => wish,
        Err(error) => return failed(StatusCode::BadRequest, &error.to_string()),
    };
    let mut bytes = [0; 16];
    if let Err(error) = getrandom::fill(&mut bytes) {
        return failed(StatusCode::ServiceUnavailable, &error.to_string());
    }
    let key = Passkey::from_random(bytes);
    let limits = KeyLimits {
        torrents_max: wish.torrents_max,
        peers_max: wish.peers_max,
        expires: wish.expires,
    };
    match policy.add_key(key, limits) {
        Ok(()) => json(StatusCode::Created, &object!({ "key": key.to_string() })),
        Err(error) => failed(StatusCode::Conflict, &error.to_string()),
    }
}
