//! The page of one torrent: its peers by client and by how much they have.
//!
//! Addresses are for the admin alone. How much a peer has is told by what it says it misses, and so
//! is the torrent's size: the most that any peer misses.

use std::collections::BTreeMap;
use std::time::Instant;

use shoal_metainfo::InfoHash;
use tide::StatusCode;

use super::super::Shared;
use super::html::{Html, Nonce, duration};
use super::status::{MARK, foot, head};
use super::{Viewer, now};
use crate::limits;
use crate::registry::{Census, CensusPeer};

/// The page, and whether there is such a torrent.
pub(super) fn page(
    shared: &Shared,
    info_hash: InfoHash,
    viewer: Viewer,
    nonce: Nonce,
) -> (StatusCode, Html) {
    let at: Instant = now();
    let census = shared
        .registry
        .census(&info_hash, at, limits::CENSUS_PEERS_MAX);
    let name = shared.front.names.get(&info_hash);
    let (mut html, hash) = (Html::default(), info_hash.to_string());
    let title = name.map_or(hash.as_str(), String::as_str);
    head(&mut html, &format!("{title} – Shoal tracker"), nonce);
    html.raw("<header><h1><a href=\"/\">")
        .raw(MARK)
        .raw("Shoal tracker</a></h1></header>");
    html.raw("<main><div class=\"title\"><p><a href=\"/\">← All torrents</a></p>");
    match name {
        Some(name) => {
            html.raw("<h2>")
                .text(name)
                .raw("</h2><code>")
                .plain(&hash)
                .raw("</code>");
        }
        None => {
            html.raw("<h2><code>").plain(&hash).raw("</code></h2>");
        }
    }
    html.raw("</div>");
    let status = match &census {
        Some(census) => {
            show(&mut html, census, viewer);
            StatusCode::Ok
        }
        None => {
            html.raw("<p class=\"card none\">This tracker does not know that torrent: nobody has ");
            html.raw("announced it, or all who did are gone.</p>");
            StatusCode::NotFound
        }
    };
    html.raw("</main>");
    foot(&mut html, nonce);
    (status, html)
}

fn show(html: &mut Html, census: &Census, viewer: Viewer) {
    let (entry, peers) = (census.entry, &census.peers);
    html.raw("<dl class=\"sums three\">");
    for (name, number) in [
        ("Seeders", entry.seeders),
        ("Leechers", entry.leechers),
        ("Completed", entry.completed),
    ] {
        html.raw("<div><dt>")
            .raw(name)
            .raw("</dt><dd>")
            .number(number.into());
        html.raw("</dd></div>");
    }
    html.raw("</dl><div class=\"courses\">");
    let clients = clients(peers);
    let clients: Vec<_> = clients
        .iter()
        .map(|(name, count)| (name.as_str(), *count))
        .collect();
    bars(html, "Clients", &clients);
    bars(html, "Completeness", &completeness(peers));
    html.raw("</div>");
    let total = u64::from(entry.seeders) + u64::from(entry.leechers);
    if (peers.len() as u64) < total {
        html.raw("<p class=\"note\">Counted among ")
            .number(peers.len() as u64);
        html.raw(" of ")
            .number(total)
            .raw(" peers, chosen at random.</p>");
    }
    if viewer == Viewer::Admin {
        addresses(html, peers);
    }
}

/// Each client and its peers, most first; what is beyond the bound is one row.
fn clients(peers: &[CensusPeer]) -> Vec<(String, usize)> {
    let mut counts = BTreeMap::<_, usize>::new();
    for peer in peers {
        *counts.entry(peer.peer_id.client_name()).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    if counts.len() > limits::CLIENTS_MAX {
        let others = counts.split_off(limits::CLIENTS_MAX - 1);
        let count = others.iter().map(|(_, count)| count).sum();
        counts.push((format!("{} others", others.len()), count));
    }
    counts
}

/// Peers by how much they have.
fn completeness(peers: &[CensusPeer]) -> Vec<(&'static str, usize)> {
    let size = peers.iter().filter_map(|peer| peer.left).max().unwrap_or(0);
    let mut counts = [
        ("Whole", 0),
        ("75–99 %", 0),
        ("50–74 %", 0),
        ("25–49 %", 0),
        ("0–24 %", 0),
        ("Not told", 0),
    ];
    for peer in peers {
        counts[part(peer, size)].1 += 1;
    }
    counts
        .into_iter()
        .filter(|(name, count)| *count > 0 || *name != "Not told")
        .collect()
}

fn part(peer: &CensusPeer, size: u64) -> usize {
    match peer.left {
        _ if peer.is_seed => 0,
        None => 5,
        // Quarters that are missing, the last begun one with them.
        Some(left) => match u128::from(left) * 4 / u128::from(size.max(1)) {
            0 => 1,
            1 => 2,
            2 => 3,
            _ => 4,
        },
    }
}

/// Rows with a bar by their share of the largest.
fn bars(html: &mut Html, title: &'static str, rows: &[(&str, usize)]) {
    let most = rows
        .iter()
        .map(|(_, count)| *count)
        .max()
        .unwrap_or(0)
        .max(1);
    html.raw("<section class=\"card\"><h2>")
        .raw(title)
        .raw("</h2><table class=\"bars\">");
    for (name, count) in rows {
        html.raw("<tr><th scope=\"row\">")
            .text(name)
            .raw("</th><td class=\"n\">");
        html.number(*count as u64);
        html.raw("</td><td class=\"share\"><svg viewBox=\"0 0 100 1\" ");
        html.raw("preserveAspectRatio=\"none\" aria-hidden=\"true\">");
        #[expect(clippy::cast_precision_loss, reason = "a bar")]
        let width = 100.0 * *count as f64 / most as f64;
        html.raw("<rect width=\"")
            .point(width)
            .raw("\" height=\"1\"/></svg></td></tr>");
    }
    html.raw("</table></section>");
}

fn addresses(html: &mut Html, peers: &[CensusPeer]) {
    let mut shown: Vec<_> = peers.iter().collect();
    shown.sort_by_key(|peer| (peer.last_seen, peer.address));
    html.raw("<section class=\"card list\"><div class=\"bar\"><h2>Peers</h2></div><table>");
    html.raw("<thead><tr><th scope=\"col\">Address</th><th scope=\"col\">Client</th>");
    html.raw("<th scope=\"col\" class=\"n\">Missing, bytes</th>");
    html.raw("<th scope=\"col\" class=\"n\">Seen</th></tr></thead><tbody>");
    for peer in shown.iter().take(limits::ROWS_MAX) {
        html.raw("<tr><td><code>")
            .plain(peer.address)
            .raw("</code></td><td>");
        html.text(&peer.peer_id.client_name())
            .raw("</td><td class=\"n\">");
        match peer.left {
            Some(left) => html.number(left),
            None => html.raw("unknown"),
        };
        html.raw("</td><td class=\"n\">")
            .plain(duration(peer.last_seen.as_secs()));
        html.raw("</td></tr>");
    }
    html.raw("</tbody></table><div class=\"below\"><span>the last ");
    html.number(shown.len().min(limits::ROWS_MAX) as u64)
        .raw(" heard of</span></div></section>");
}

#[cfg(test)]
mod tests {
    use super::*;
    use shoal_metainfo::PeerId;
    use std::time::Duration;

    fn peer(id: &[u8; 20], left: Option<u64>) -> CensusPeer {
        CensusPeer {
            address: ([10, 0, 0, 1], 1).into(),
            peer_id: PeerId(*id),
            is_seed: left == Some(0),
            left,
            last_seen: Duration::ZERO,
        }
    }

    #[test]
    fn peers_are_counted_by_what_they_have() {
        let lefts = [
            Some(0),
            Some(1),
            Some(49),
            Some(50),
            Some(75),
            Some(100),
            None,
        ];
        let peers: Vec<_> = lefts.iter().map(|left| peer(&[b'-'; 20], *left)).collect();
        let counts: Vec<_> = completeness(&peers)
            .iter()
            .map(|(_, count)| *count)
            .collect();
        assert_eq!(counts, [1, 1, 1, 1, 2, 1]);
        // Sizes that would overflow do not.
        let peers = [peer(&[b'-'; 20], Some(u64::MAX))];
        assert_eq!(completeness(&peers)[4], ("0–24 %", 1));
        assert!(completeness(&[]).iter().all(|(_, count)| *count == 0));
    }

    #[test]
    fn clients_beyond_the_bound_are_one_row() {
        let id = |at: u8| {
            let mut id = *b"-xx1000-abcdefghijkl";
            (id[1], id[2]) = (b'a' + at / 26, b'a' + at % 26);
            id
        };
        let mut peers: Vec<_> = (0..100).map(|at| peer(&id(at), None)).collect();
        peers.push(peer(&id(99), None));
        let rows = clients(&peers);
        assert_eq!(rows.len(), limits::CLIENTS_MAX);
        assert_eq!(rows[0].1, 2);
        assert_eq!(rows.last().unwrap(), &("71 others".to_owned(), 71));
        assert_eq!(rows.iter().map(|(_, count)| count).sum::<usize>(), 101);
    }
}
