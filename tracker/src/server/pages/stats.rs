//! The numbers as JSON: `/stats.json`. Schema: docs/tracker.md.

use serde_json::json;

use super::Numbers;

pub(super) fn json(numbers: &Numbers) -> String {
    let (overview, http, udp) = (&numbers.overview, numbers.http, numbers.udp);
    let mut text = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_s": numbers.uptime.as_secs(),
        "torrents": overview.torrents,
        "peers": numbers.peers,
        "seeders": overview.seeders,
        "leechers": overview.leechers,
        "completed": overview.completed,
        "announces_per_s": (numbers.rate * 10.0).round() / 10.0,
        "http": {
            "announces": http.announces,
            "scrapes": http.scrapes,
            "refused": http.refused,
        },
        "udp": {
            "connects": udp.connects,
            "announces": udp.announces,
            "scrapes": udp.scrapes,
            "refused": udp.refused,
        },
    })
    .to_string();
    text.push('\n');
    text
}
