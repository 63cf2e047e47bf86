//! The status page: sums, their course over the last hour, and the largest torrents.
//!
//! Works without its script, which only filters the rows that are there and keeps the sums fresh.

use std::fmt::Write as _;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};
use shoal_metainfo::InfoHash;

use super::super::Shared;
use super::super::history::{History, Sample};
use super::html::{Html, Nonce, duration, rate};
use super::{Numbers, chart};
use crate::announce::ScrapeEntry;
use crate::limits;

/// By what the torrents are ordered, most first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Order {
    #[default]
    Peers,
    Seeders,
    Leechers,
    Completed,
}

impl Order {
    const ALL: [(Self, &'static str, &'static str); 4] = [
        (Self::Peers, "peers", "Peers"),
        (Self::Seeders, "seeders", "Seeders"),
        (Self::Leechers, "leechers", "Leechers"),
        (Self::Completed, "completed", "Completed"),
    ];

    fn of(self, entry: &ScrapeEntry) -> u64 {
        match self {
            Self::Peers => u64::from(entry.seeders) + u64::from(entry.leechers),
            Self::Seeders => entry.seeders.into(),
            Self::Leechers => entry.leechers.into(),
            Self::Completed => entry.completed.into(),
        }
    }

    fn name(self) -> &'static str {
        let mut all = Self::ALL.into_iter();
        all.find(|(order, ..)| *order == self)
            .map_or("peers", |(_, name, _)| name)
    }
}

/// What of the torrents is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Query {
    search: String,
    order: Order,
    /// From 0.
    page: usize,
}

impl Query {
    /// Reads `q=…&sort=…&page=…`; what makes no sense is as if it were not there.
    pub(super) fn read(query: &[u8]) -> Self {
        let mut read = Self::default();
        let query = &query[..query.len().min(limits::SEARCH_BYTES_MAX)];
        for pair in query.split(|&byte| byte == b'&') {
            let equals = pair
                .iter()
                .position(|&byte| byte == b'=')
                .unwrap_or(pair.len());
            let (name, value) = (&pair[..equals], pair.get(equals + 1..).unwrap_or_default());
            let value: Vec<_> = value
                .iter()
                .map(|&b| if b == b'+' { b' ' } else { b })
                .collect();
            let value = percent_decode(&value).decode_utf8_lossy();
            match name {
                b"q" => read.search = value.trim().to_owned(),
                b"sort" => {
                    let order = Order::ALL.iter().find(|(_, name, _)| *name == value);
                    read.order = order.map_or_else(Order::default, |(order, ..)| *order);
                }
                b"page" => read.page = value.parse::<usize>().map_or(0, |n| n.saturating_sub(1)),
                _ => {}
            }
        }
        read
    }

    /// The same torrents in this order and from this page on, as a link.
    fn link(&self, order: Order, page: usize) -> String {
        let mut link = format!("/?sort={}", order.name());
        if !self.search.is_empty() {
            let search = utf8_percent_encode(&self.search, NON_ALPHANUMERIC);
            let _ = write!(link, "&q={search}");
        }
        if page > 0 {
            let _ = write!(link, "&page={}", page + 1);
        }
        link
    }
}

/// The page; without a query it shows no torrents.
pub(super) fn page(
    shared: &Shared,
    numbers: &Numbers,
    query: Option<&Query>,
    nonce: Nonce,
) -> Html {
    let mut html = Html::default();
    head(&mut html, "Shoal tracker", nonce);
    let uptime = numbers.uptime.as_secs();
    html.raw("<header><h1><a href=\"/\">")
        .raw(MARK)
        .raw("Shoal tracker</a></h1>");
    html.raw("<p>up ").plain(duration(uptime));
    html.raw("</p></header><main>");
    sums(&mut html, numbers);
    courses(&mut html, shared, numbers);
    if let Some(query) = query {
        torrents(&mut html, shared, numbers, query);
    }
    html.raw("</main>");
    foot(&mut html, nonce);
    html
}

/// A fish of three strokes.
pub(super) const MARK: &str = "<svg class=\"mark\" viewBox=\"0 0 32 20\" aria-hidden=\"true\">\
    <path d=\"M2 10C7 3 16 2 22 10C16 18 7 17 2 10ZM22 10L30 4V16Z\"/></svg>";

pub(super) fn head(html: &mut Html, title: &str, nonce: Nonce) {
    html.raw("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">");
    html.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
    html.raw("<meta name=\"color-scheme\" content=\"light dark\">");
    html.raw("<link rel=\"icon\" href=\"data:,\"><title>")
        .text(title);
    html.raw("</title><style nonce=\"").plain(nonce).raw("\">");
    html.raw(include_str!("style.css"))
        .raw("</style></head><body>");
}

pub(super) fn foot(html: &mut Html, nonce: Nonce) {
    html.raw("<footer><span>Shoal ")
        .raw(env!("CARGO_PKG_VERSION"))
        .raw("</span>");
    html.raw("<a href=\"/stats.json\">stats.json</a><a href=\"/metrics\">metrics</a></footer>");
    html.raw("<script nonce=\"").plain(nonce).raw("\">");
    html.raw(include_str!("script.js"))
        .raw("</script></body></html>\n");
}

fn sums(html: &mut Html, numbers: &Numbers) {
    let overview = &numbers.overview;
    let sums = [
        ("Torrents", "torrents", overview.torrents as u64),
        ("Peers", "peers", numbers.peers as u64),
        ("Seeders", "seeders", overview.seeders),
        ("Leechers", "leechers", overview.leechers),
        ("Completed", "completed", overview.completed),
    ];
    html.raw("<dl class=\"sums\">");
    for (name, key, number) in sums {
        html.raw("<div><dt>")
            .raw(name)
            .raw("</dt><dd data-stat=\"")
            .raw(key)
            .raw("\">");
        html.number(number).raw("</dd></div>");
    }
    html.raw("<div><dt>Announces/s</dt><dd data-stat=\"announces_per_s\">");
    html.plain(rate(numbers.rate)).raw("</dd></div></dl>");
}

/// How it came to that.
fn courses(html: &mut Html, shared: &Shared, numbers: &Numbers) {
    let samples: Vec<Sample> = shared.front.history().samples().copied().collect();
    // A young tracker fills some of the width; an old one all of it.
    let slots = samples
        .len()
        .clamp(limits::SAMPLES_MAX / 12, limits::SAMPLES_MAX);
    let span = duration(History::span(slots).as_secs());
    #[expect(clippy::cast_precision_loss, reason = "a curve")]
    let count = |get: fn(&Sample) -> usize| samples.iter().map(|s| get(s) as f64).collect();
    let peers: Vec<f64> = count(|sample| sample.peers);
    let announces: Vec<f64> = samples.iter().map(|sample| sample.announces).collect();
    let rate_now = rate(numbers.rate);
    html.raw("<div class=\"courses\">");
    let courses = [
        ("Peers", super::html::grouped(numbers.peers as u64), peers),
        ("Announces a second", rate_now, announces),
    ];
    for (name, now, values) in courses {
        html.raw("<figure class=\"card\"><figcaption><h2>")
            .raw(name)
            .raw("</h2><span>");
        html.plain(now).raw("</span></figcaption>");
        chart::draw(html, &values, slots);
        html.raw("<div class=\"axis\"><span>").plain(&span);
        html.raw(" ago</span><span>now</span></div></figure>");
    }
    html.raw("</div>");
}

fn torrents(html: &mut Html, shared: &Shared, numbers: &Numbers, query: &Query) {
    let found = find(shared, numbers, query);
    let pages = found.len().div_ceil(limits::ROWS_MAX).max(1);
    let page = query.page.min(pages - 1);
    let rows = found
        .iter()
        .skip(page * limits::ROWS_MAX)
        .take(limits::ROWS_MAX);
    html.raw("<section class=\"card list\"><div class=\"bar\"><h2>Torrents</h2>");
    html.raw("<form action=\"/\" role=\"search\"><input id=\"q\" name=\"q\" type=\"search\" ");
    html.raw("placeholder=\"Name or info hash\" aria-label=\"Search torrents\" ");
    html.raw("autocomplete=\"off\" spellcheck=\"false\" maxlength=\"80\" value=\"");
    html.text(&query.search)
        .raw("\"><input type=\"hidden\" name=\"sort\" value=\"");
    html.raw(query.order.name()).raw("\"></form></div>");
    html.raw("<table><thead><tr><th scope=\"col\">Torrent</th>");
    for (order, name, title) in Order::ALL {
        let sorted = order == query.order;
        html.raw("<th scope=\"col\" class=\"n ").raw(name);
        html.raw(if sorted {
            "\" aria-sort=\"descending\">"
        } else {
            "\">"
        });
        html.raw("<a href=\"")
            .text(&query.link(order, 0))
            .raw("\">")
            .raw(title);
        html.raw("</a></th>");
    }
    html.raw("</tr></thead><tbody id=\"rows\">");
    rows.for_each(|entry| row(html, shared, entry));
    html.raw("</tbody></table><p id=\"none\" class=\"none\"");
    html.raw(if found.is_empty() { ">" } else { " hidden>" });
    html.raw(match (query.search.is_empty(), numbers.overview.torrents) {
        (true, 0) => "No torrent has been announced yet.",
        (true, _) => "Nothing to show.",
        (false, _) => "No torrent matches.",
    });
    html.raw("</p>");
    below(html, numbers, query, (found.len(), page, pages));
    html.raw("</section>");
}

fn row(html: &mut Html, shared: &Shared, entry: &ScrapeEntry) {
    let (hash, name) = (entry.info_hash, shared.front.names.get(&entry.info_hash));
    let key = name.map_or_else(String::new, |name| name.to_lowercase());
    html.raw("<tr data-key=\"")
        .plain(hash)
        .raw(" ")
        .text(&key)
        .raw("\"><td>");
    html.raw("<a href=\"/torrent/").plain(hash).raw("\">");
    match name {
        Some(name) => {
            html.raw("<span class=\"name\">").text(name).raw("</span>");
            html.raw("<code class=\"under\">")
                .plain(hash)
                .raw("</code></a>");
        }
        None => {
            html.raw("<code>").plain(hash).raw("</code></a>");
        }
    }
    html.raw("</td>");
    for (order, name, _) in Order::ALL {
        html.raw("<td class=\"n ").raw(name).raw("\">");
        html.number(order.of(entry)).raw("</td>");
    }
    html.raw("</tr>");
}

/// What was found, and where the rest is.
fn below(
    html: &mut Html,
    numbers: &Numbers,
    query: &Query,
    (found, page, pages): (usize, usize, usize),
) {
    let (known, all) = (numbers.overview.largest.len(), numbers.overview.torrents);
    html.raw("<div class=\"below\"><span>");
    if found > 0 {
        let first = page * limits::ROWS_MAX;
        html.number(first as u64 + 1).raw("–");
        html.number((first + limits::ROWS_MAX).min(found) as u64)
            .raw(" of ");
        html.number(found as u64);
    }
    if all > known {
        html.raw(if found > 0 { " · " } else { "" });
        html.raw("the ")
            .number(known as u64)
            .raw(" largest of ")
            .number(all as u64);
        html.raw("; others by their info hash");
    }
    html.raw("</span>");
    if pages > 1 {
        html.raw("<nav aria-label=\"Pages\">");
        let steps = [
            (page.checked_sub(1), "← Previous"),
            (Some(page + 1).filter(|next| *next < pages), "Next →"),
        ];
        for (to, title) in steps {
            if let Some(to) = to {
                html.raw("<a href=\"")
                    .text(&query.link(query.order, to))
                    .raw("\">");
                html.raw(title).raw("</a>");
            }
        }
        html.raw("</nav>");
    }
    html.raw("</div>");
}

/// Of the largest those that match, in order; one that is named by its whole info hash always.
fn find(shared: &Shared, numbers: &Numbers, query: &Query) -> Vec<ScrapeEntry> {
    if let Some(hash) = InfoHash::from_hex(&query.search) {
        return shared.registry.scrape_one(&hash).into_iter().collect();
    }
    let search = query.search.to_lowercase();
    let matches = |entry: &&ScrapeEntry| {
        let name = || shared.front.names.get(&entry.info_hash);
        search.is_empty()
            || entry.info_hash.to_string().contains(&search)
            || name().is_some_and(|name| name.to_lowercase().contains(&search))
    };
    let mut found: Vec<_> = numbers
        .overview
        .largest
        .iter()
        .filter(matches)
        .copied()
        .collect();
    // Stable: equal ones stay in the order of their peers.
    found.sort_by_key(|entry| std::cmp::Reverse(query.order.of(entry)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn query_is_read_as_it_is_linked() {
        let query = Query::read(b"q=a%26b+c%22&sort=seeders&page=3&x=y");
        assert_eq!(
            (query.search.as_str(), query.order, query.page),
            ("a&b c\"", Order::Seeders, 2)
        );
        assert_eq!(query.link(Order::Peers, 0), "/?sort=peers&q=a%26b%20c%22");
        let link = query.link(query.order, query.page);
        assert_eq!(Query::read(&link.as_bytes()[2..]), query);
        assert_eq!(Query::read(b"sort=evil&page=-1&q"), Query::default());
        assert_eq!(Query::read(b"page=99999999999999999999999").page, 0);
    }

    proptest! {
        #[test]
        fn any_query_is_read_and_linked(query: Vec<u8>) {
            let query = Query::read(&query);
            let link = query.link(query.order, query.page);
            prop_assert!(link.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"'));
        }
    }
}
