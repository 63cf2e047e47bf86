//! Where one announces and scrapes. BEP 48 "tracker HTTP scrape convention".
//!
//! `/announce` always, and what the torrents' announce URLs name. A path is the same however it is
//! escaped. Knows paths alone: neither hosts nor queries.

use std::borrow::Cow;
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

    /// Of a path that is [`even`].
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
    even(url(path).path()).into_owned()
}

/// The path with no escape that it could do without, and the others in capitals. What means
/// something else when it is not escaped, as `/` does, stays as it is, and so does what is no
/// escape. Source: RFC 3986, sections 6.2.2.1 and 6.2.2.2.
pub(super) fn even(path: &str) -> Cow<'_, str> {
    // Nearly every path is: nothing is copied.
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut pieces = path.split('%');
    let mut even = String::with_capacity(path.len());
    even.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let digits = piece
            .get(..2)
            .filter(|two| two.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let rest = &piece[if byte.is_some() { 2 } else { 0 }..];
        match byte.map(char::from) {
            Some(letter @ ('a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '.' | '_' | '~')) => {
                even.push(letter);
            }
            _ => {
                even.push('%');
                even.extend(
                    digits
                        .unwrap_or_default()
                        .chars()
                        .map(|digit| digit.to_ascii_uppercase()),
                );
            }
        }
        even.push_str(rest);
    }
    Cow::Owned(even)
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
    fn path_is_the_same_however_it_is_escaped() {
        for (escaped, expect) in [
            ("/announce", "/announce"),
            ("/%61nnounc%65", "/announce"),
            ("/%2Da%2e%5F%7e0%39", "/-a._~09"),
            ("/%c3%bc/%7B%7d", "/%C3%BC/%7B%7D"),
            // These mean something else when they are not escaped.
            ("/k%2fannounce%3f%00%25%20", "/k%2Fannounce%3F%00%25%20"),
            // Once: what comes out is not read again.
            ("/%2561nnounce", "/%2561nnounce"),
            // No escapes.
            ("/%", "/%"),
            ("/%6", "/%6"),
            ("/%zz%+1%6\u{fc}", "/%zz%+1%6\u{fc}"),
            ("%%41%", "%A%"),
            ("", ""),
        ] {
            assert_eq!(even(escaped), expect, "{escaped}");
            assert_eq!(even(&even(escaped)), even(escaped), "{escaped}");
        }
        let paths = paths(&["/%6b%c3%a4/announce"]).unwrap();
        assert_eq!(paths.at(&even("/k%C3%a4/announce")), Some(Place::Announce));
        assert_eq!(paths.at(&even("/k%C3%a4%2fannounce")), None);
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
