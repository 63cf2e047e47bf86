//! The numbers as Prometheus reads them: `/metrics`.
//!
//! Source: Prometheus, "Exposition formats", text-based format 0.0.4.

use std::fmt::Write as _;

use super::Numbers;

/// Name without its prefix, type, help, and samples: labels and value.
type Family<'a> = (&'a str, &'a str, &'a str, &'a [(&'a str, u64)]);

pub(super) fn text(numbers: &Numbers) -> String {
    let (overview, http, udp) = (&numbers.overview, numbers.http, numbers.udp);
    let (over_http, over_udp) = ("{transport=\"http\"}", "{transport=\"udp\"}");
    let families: &[Family<'_>] = &[
        (
            "torrents",
            "gauge",
            "Torrents in the table.",
            &[("", overview.torrents as u64)],
        ),
        (
            "peers",
            "gauge",
            "Peers in the table.",
            &[
                ("{kind=\"seeder\"}", overview.seeders),
                ("{kind=\"leecher\"}", overview.leechers),
            ],
        ),
        (
            "completed",
            "gauge",
            "Downloads that became whole, of all torrents in the table.",
            &[("", overview.completed)],
        ),
        (
            "announces_total",
            "counter",
            "Announces that were answered.",
            &[(over_http, http.announces), (over_udp, udp.announces)],
        ),
        (
            "scrapes_total",
            "counter",
            "Scrapes that were answered.",
            &[(over_http, http.scrapes), (over_udp, udp.scrapes)],
        ),
        (
            "refused_total",
            "counter",
            "Announces and scrapes that were refused.",
            &[(over_http, http.refused), (over_udp, udp.refused)],
        ),
        (
            "connects_total",
            "counter",
            "Connection ids that were given.",
            &[(over_udp, udp.connects)],
        ),
        (
            "uptime_seconds",
            "gauge",
            "Seconds since the start.",
            &[("", numbers.uptime.as_secs())],
        ),
    ];
    let mut text = String::new();
    for (name, kind, help, samples) in families {
        let name = format!("shoal_tracker_{name}");
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for (labels, value) in *samples {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    }
    text
}
