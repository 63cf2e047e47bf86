//! `shoal show --scrape`: what the trackers of a torrent know of it. BEP 48, BEP 15.

use std::io;
use std::time::Duration;

use async_std::task;
use serde::Serialize;
use shoal_metainfo::{InfoHash, Torrent};
use shoal_tracker::client::{Client, Proxy};
use shoal_tracker::{ScrapeEntry, TrackerError};

use crate::error::Error;
use crate::render;
use crate::render::text::Printable;
use crate::units::Count;

/// For one tracker. Ours: somebody waits for it.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// What one tracker said. Schema: docs/json-events.md.
#[derive(Debug, Serialize)]
pub(super) struct Scraped {
    tracker: String,
    seeders: Option<u32>,
    leechers: Option<u32>,
    completed: Option<u32>,
    error: Option<String>,
}

/// Asks every tracker at the same time; the answers are in the order of the trackers.
pub(super) fn scrape(torrent: &Torrent, proxy: Option<Proxy>) -> Vec<Scraped> {
    let client = proxy.map_or_else(Client::new, Client::through);
    let client = client.with_timeout(ANSWER_MAX);
    let info_hash = torrent.info_hash;
    let asked = torrent.trackers().map(|url| {
        let (client, url) = (client.clone(), url.to_owned());
        task::spawn(async move {
            let answer = client.scrape(&url, &[info_hash]).await;
            Scraped::new(url, info_hash, answer)
        })
    });
    let asked: Vec<_> = asked.collect();
    task::block_on(async {
        let mut scraped = Vec::new();
        for answer in asked {
            scraped.push(answer.await);
        }
        scraped
    })
}

/// Whether one tracker at least has told numbers.
///
/// # Errors
/// [`Error::NotScraped`] and [`Error::NothingToScrape`].
pub(super) fn verdict(scraped: &[Scraped]) -> Result<(), Error> {
    if scraped.is_empty() {
        return Err(Error::NothingToScrape);
    }
    let is_told = scraped.iter().any(|scraped| scraped.error.is_none());
    is_told.then_some(()).ok_or(Error::NotScraped)
}

impl Scraped {
    fn new(
        tracker: String,
        info_hash: InfoHash,
        answer: Result<Vec<ScrapeEntry>, TrackerError>,
    ) -> Self {
        let (entry, error) = match answer {
            Ok(entries) => {
                let entry = entries.into_iter().find(|e| e.info_hash == info_hash);
                let error = entry.is_none().then_some("it does not know this torrent");
                (entry, error.map(ToOwned::to_owned))
            }
            Err(error) => (None, Some(error.to_string())),
        };
        Self {
            tracker,
            seeders: entry.map(|entry| entry.seeders),
            leechers: entry.map(|entry| entry.leechers),
            completed: entry.map(|entry| entry.completed),
            error,
        }
    }

    /// Prints it below the URL of its tracker.
    pub(super) fn tell(&self) -> io::Result<()> {
        match (self.seeders, self.leechers, self.completed, &self.error) {
            (Some(seeders), Some(leechers), Some(completed), _) => render::say(format_args!(
                "{:<10} {}, {}, {}",
                "",
                Count(u64::from(seeders), "seeder"),
                Count(u64::from(leechers), "leecher"),
                Count(u64::from(completed), "completion"),
            )),
            (.., Some(error)) => render::say(format_args!("{:<10} {}", "", Printable(error))),
            _ => Ok(()),
        }
    }
}
