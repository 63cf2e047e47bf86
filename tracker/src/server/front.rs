//! What stands between the server and who asks: proxies, TLS, what is looked at. Of no BEP.
//!
//! Holds together; each part says itself what it does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use shoal_metainfo::InfoHash;

use super::admin::AdminConfig;
use super::counters::Counters;
use super::history::History;
use super::pages::Pages;
use super::proxies::{Net, Proxies};
use super::tls::{Tls, TlsError, TlsFiles};
use super::warnings::Warnings;
use crate::http::response::encode_scrape;
use crate::limits;
use crate::registry::{Overview, Registry};

/// How a server is reached and looked at.
#[derive(Debug, Clone, Default)]
pub struct FrontConfig {
    /// Certificate and key; with them every listening socket speaks TLS beside plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Where proxies are whose `X-Forwarded-For` is believed: only such as set it, since anybody
    /// can write one.
    pub trusted_proxies: Vec<Net>,
    /// Whether a scrape without info hashes is answered with all torrents.
    pub full_scrape: bool,
    /// How much of the table strangers are shown.
    pub pages: Pages,
    /// Where the operator is served, if anywhere.
    pub admin: Option<AdminConfig>,
    /// What torrents are called on pages.
    pub names: BTreeMap<InfoHash, String>,
}

/// The parts.
#[derive(Debug)]
pub(super) struct Front {
    pub(super) begun: Instant,
    pub(super) proxies: Proxies,
    pub(super) tls: Option<Tls>,
    pub(super) counters: Counters,
    pub(super) warnings: Warnings,
    pub(super) names: BTreeMap<InfoHash, String>,
    pub(super) pages: Pages,
    full_scrape: bool,
    history: Mutex<History>,
    overview: Mutex<Kept<Overview>>,
    scraped: Mutex<Kept<Vec<u8>>>,
}

/// Something that costs a walk over the table, kept until it is due.
#[derive(Debug, Default)]
struct Kept<T> {
    value: Arc<T>,
    due: Option<Instant>,
}

impl<T> Kept<T> {
    /// Made anew when it is due: after `every`, or after its share of the time that it took.
    fn get(&mut self, now: Instant, every: Duration, make: impl FnOnce() -> T) -> Arc<T> {
        if self.due.is_none_or(|due| now >= due) {
            self.value = Arc::new(make());
            let took = now.elapsed();
            self.due = Some(now + every.max(took * limits::OVERVIEW_SHARE));
        }
        Arc::clone(&self.value)
    }
}

impl Front {
    /// # Errors
    /// [`TlsError`] when the certificate cannot be used.
    pub(super) fn new(
        config: FrontConfig,
        udp_workers: usize,
        now: Instant,
    ) -> Result<Self, TlsError> {
        Ok(Self {
            begun: now,
            proxies: Proxies::new(config.trusted_proxies),
            tls: config.tls.map(Tls::new).transpose()?,
            counters: Counters::new(udp_workers),
            warnings: Warnings::default(),
            names: config.names,
            pages: config.pages,
            full_scrape: config.full_scrape,
            history: Mutex::new(History::new(now)),
            overview: Mutex::default(),
            scraped: Mutex::default(),
        })
    }

    /// What has to be done now and then.
    pub(super) fn tick(&self, now: Instant, registry: &Registry) {
        let (http, udp) = self.counters.read();
        self.history()
            .tick(now, registry.size(), http.announces + udp.announces);
        let elapsed = now.saturating_duration_since(self.begun).as_secs();
        if elapsed.is_multiple_of(limits::TLS_LOOK_EVERY.as_secs()) {
            self.look_at_tls();
        }
    }

    fn look_at_tls(&self) {
        match self.tls.as_ref().map(Tls::reload_if_changed) {
            Some(Ok(true)) => tracing::info!("the certificate has changed and is used from now on"),
            Some(Err(error)) => {
                self.warnings
                    .tell("the new certificate is not used, the old one stays", &error);
            }
            Some(Ok(false)) | None => {}
        }
    }

    pub(super) fn history(&self) -> MutexGuard<'_, History> {
        lock(&self.history)
    }

    /// Whether that query of a scrape asks for all torrents, and may.
    pub(super) fn is_full_scrape(&self, query: &[u8]) -> bool {
        self.full_scrape && query.is_empty()
    }

    /// The sums and largest torrents, a moment old at most.
    pub(super) fn overview(&self, registry: &Registry) -> Arc<Overview> {
        let make = || registry.overview(limits::LARGEST_MAX);
        lock(&self.overview).get(Instant::now(), limits::OVERVIEW_EVERY, make)
    }

    /// The answer to a scrape of all torrents, some seconds old at most.
    pub(super) fn scraped(&self, registry: &Registry) -> Arc<Vec<u8>> {
        let make = || {
            let mut entries = Vec::new();
            registry.scrape_all(limits::FULL_SCRAPE_MAX, |entry| entries.push(entry));
            encode_scrape(&entries)
        };
        lock(&self.scraped).get(Instant::now(), limits::FULL_SCRAPE_EVERY, make)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panic left is whole: it is replaced in one step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_costs_a_walk_is_made_once_until_it_is_due() {
        let (mut kept, now) = (
            Kept::<u32>::default(),
            Instant::now() + Duration::from_secs(60),
        );
        let every = Duration::from_secs(1);
        assert_eq!(*kept.get(now, every, || 1), 1);
        assert_eq!(*kept.get(now + every / 2, every, || 2), 1);
        assert_eq!(*kept.get(now + every, every, || 3), 3);
    }
}
