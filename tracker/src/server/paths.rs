//! Where one announces and scrapes. BEP 48 "tracker HTTP scrape convention".
//!
//! `/announce` always, and what the torrents' announce URLs name. Knows paths alone: neither hosts
//! nor queries.

use std::collections::BTreeMap;

use tide::http::Url;

use super::ServerError;
use crate::http::query::scrape_place;

/// What is done at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Announce,
    Scrape,
}

/// The paths that are served.
#[derive(Debug)]
pub(super) struct Paths(BTreeMap<String, Place>);

impl Paths {
    /// `/announce` and these, each with its place to scrape where the convention gives one.
    ///
    /// # Errors
    /// [`ServerError::AnnouncePath`] names one that is no path, or is where another one scrapes.
    pub(super) fn new(announce: &[String]) -> Result<Self, ServerError> {
        let mut paths = BTreeMap::new();
        for path in announce.iter().map(String::as_str).chain(["/announce"]) {
            if !path.starts_with('/') || path.contains(['?', '#']) {
                return Err(unusable(path, "it is no path of a URL"));
            }
            paths.insert(normal(path), Place::Announce);
        }
        let announced: Vec<_> = paths.keys().cloned().collect();
        for scrape in announced.iter().filter_map(|path| scrape_place(path)) {
            if paths.insert(scrape.clone(), Place::Scrape) == Some(Place::Announce) {
                return Err(unusable(&scrape, "that is where one scrapes"));
            }
        }
        Ok(Self(paths))
    }

    pub(super) fn at(&self, path: &str) -> Option<Place> {
        self.0.get(path).copied()
    }
}

fn unusable(path: &str, why: &'static str) -> ServerError {
    let path = path.to_owned();
    ServerError::AnnouncePath { path, why }
}

/// The path as a request's URL has it in the end.
pub(super) fn url(path: &str) -> Url {
    let mut url = Url::parse("http://tracker/").expect("a good URL");
    url.set_path(path);
    url
}

fn normal(path: &str) -> String {
    url(path).path().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(announce: &[&str]) -> Result<Paths, String> {
        let announce: Vec<_> = announce.iter().map(ToString::to_string).collect();
        Paths::new(&announce).map_err(|error| error.to_string())
    }

    #[test]
    fn each_announce_path_has_the_scrape_path_of_the_convention() {
        let paths = paths(&["/k/announce", "/announce.php", "/x", "/a b/announce", "/"]).unwrap();
        for (path, expect) in [
            ("/announce", Some(Place::Announce)),
            ("/scrape", Some(Place::Scrape)),
            ("/k/announce", Some(Place::Announce)),
            ("/k/scrape", Some(Place::Scrape)),
            ("/announce.php", Some(Place::Announce)),
            ("/scrape.php", Some(Place::Scrape)),
            ("/x", Some(Place::Announce)),
            ("/a%20b/announce", Some(Place::Announce)),
            ("/a%20b/scrape", Some(Place::Scrape)),
            ("/", Some(Place::Announce)),
            ("/K/announce", None),
            ("/k", None),
        ] {
            assert_eq!(paths.at(path), expect, "{path}");
        }
    }

    #[test]
    fn path_that_cannot_be_served_is_refused_by_name() {
        for (bad, why) in [
            ("/scrape", "scrapes"),
            ("announce", "no path"),
            ("", "no path"),
            ("/a?b", "no path"),
        ] {
            let error = paths(&[bad]).unwrap_err();
            assert!(error.contains(&format!("`{bad}`")), "{error}");
            assert!(error.contains(why), "{error}");
        }
        assert!(paths(&["/k/announce", "/k/scrape"]).is_err());
    }
}
