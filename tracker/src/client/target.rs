//! An announce URL, read for use. RFC 3986, BEP 3, 15, 41.
//!
//! Says what a URL asks for, or why it cannot be used. Whether its host may be contacted is
//! [`super::address`]'s business.

use http_types::Url;
use http_types::url::Host;

use crate::error::TrackerError;
use crate::limits;
use crate::text::printable;

/// What a URL asks for.
#[derive(Debug)]
pub(super) enum Target {
    /// HTTP or HTTPS.
    Http(Url),
    /// BEP 15.
    Udp(UdpTarget),
}

/// A tracker on UDP.
#[derive(Debug)]
pub(super) struct UdpTarget {
    pub(super) host: Host,
    pub(super) port: u16,
    /// Path and query as BEP 41 wants them; empty where they say nothing.
    pub(super) place: Vec<u8>,
}

impl Target {
    /// The URL, if we can use it at all.
    pub(super) fn parse(text: &str) -> Result<Self, TrackerError> {
        if text.len() > limits::URL_BYTES_MAX {
            return Err(unusable(text, "it is too long"));
        }
        let url = Url::parse(text).map_err(|error| unusable(text, &error.to_string()))?;
        match url.scheme() {
            "http" | "https" => http(text, url).map(Self::Http),
            "udp" => udp(text, &url).map(Self::Udp),
            scheme => {
                let scheme = printable(scheme.as_bytes());
                Err(TrackerError::Scheme { scheme })
            }
        }
    }
}

/// The URL of something to be read over HTTP, if we can use it at all.
pub(super) fn web(text: &str) -> Result<Url, TrackerError> {
    if text.len() > limits::WEB_URL_BYTES_MAX {
        return Err(unusable(text, "it is too long"));
    }
    let url = Url::parse(text).map_err(|error| unusable(text, &error.to_string()))?;
    match url.scheme() {
        "http" | "https" => http(text, url),
        scheme => {
            let scheme = printable(scheme.as_bytes());
            Err(TrackerError::Scheme { scheme })
        }
    }
}

fn http(text: &str, url: Url) -> Result<Url, TrackerError> {
    if url.host_str().is_none_or(str::is_empty) {
        return Err(unusable(text, "it names no host"));
    }
    if url.port_or_known_default() == Some(0) {
        return Err(unusable(text, "port 0 cannot be connected to"));
    }
    Ok(url)
}

/// The URL standard gives a meaning to the hosts of web addresses alone; we give those of `udp` the
/// same, so that `udp://0x7f.1` and a name in any script are seen for what they are.
fn udp(text: &str, url: &Url) -> Result<UdpTarget, TrackerError> {
    let host = url.host_str().filter(|host| !host.is_empty());
    let host = host.ok_or_else(|| unusable(text, "it names no host"))?;
    let host = Host::parse(host).map_err(|error| unusable(text, &error.to_string()))?;
    let port = match url.port() {
        None => return Err(unusable(text, "it names no port, which udp needs")),
        Some(0) => return Err(unusable(text, "port 0 cannot be sent to")),
        Some(port) => port,
    };
    let mut place = url.path().trim_end_matches('/').as_bytes().to_vec();
    if let Some(query) = url.query() {
        if place.is_empty() {
            place.push(b'/');
        }
        place.push(b'?');
        place.extend_from_slice(query.as_bytes());
    }
    // It has to fit a packet with the announce in front of it.
    if place.len() > limits::UDP_URL_BYTES_MAX {
        return Err(unusable(text, "its path and query are too long for udp"));
    }
    Ok(UdpTarget { host, port, place })
}

pub(super) fn unusable(url: &str, reason: &str) -> TrackerError {
    TrackerError::Url {
        url: printable(url.as_bytes()),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn udp(text: &str) -> Result<(String, u16, String), String> {
        match Target::parse(text) {
            Ok(Target::Udp(UdpTarget { host, port, place })) => {
                Ok((host.to_string(), port, String::from_utf8(place).unwrap()))
            }
            Ok(Target::Http(url)) => panic!("{url}"),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn udp_url_is_host_port_and_place() {
        let check = |text: &str, host: &str, port: u16, place: &str| {
            assert_eq!(udp(text), Ok((host.into(), port, place.into())), "{text}");
        };
        check("udp://t.test:80", "t.test", 80, "");
        check("udp://t.test:80/", "t.test", 80, "");
        check("udp://t.test:443/announce", "t.test", 443, "/announce");
        check("UDP://T.Test:1/a?k=1&b#x", "t.test", 1, "/a?k=1&b");
        check("udp://t.test:1?k=1", "t.test", 1, "/?k=1");
        check("udp://[::1]:1/a", "[::1]", 1, "/a");
        check("udp://user:pw@t.test:1/a", "t.test", 1, "/a");
        check("udp://0x7f.1:1", "127.0.0.1", 1, "");
        check("udp://2130706433:1", "127.0.0.1", 1, "");
        check("udp://%31%32%37.0.0.1:1", "127.0.0.1", 1, "");
        check("udp://\u{ff11}27.0.0.1:1", "127.0.0.1", 1, "");
        check("udp://bücher.test:1", "xn--bcher-kva.test", 1, "");
    }

    #[test]
    fn unusable_urls_say_why() {
        let check = |text: &str, expect: &str| {
            let error = Target::parse(text).unwrap_err().to_string();
            assert!(error.contains(expect), "{text}: {error}");
        };
        check("udp://t.test/announce", "names no port");
        check("udp://t.test:0/announce", "port 0");
        check("udp://:80", "empty host");
        check("udp:t.test:80", "no host");
        check("udp://a b:80", "invalid");
        check("udp://1.2.3.4.5:80", "invalid");
        check("udp://t.test:70000", "port");
        check(&format!("udp://t.test:1/{}", "x".repeat(2_000)), "too long");
        check(&format!("http://t.test/{}", "x".repeat(5_000)), "too long");
        check("http://t.test:0/announce", "port 0");
        check("wss://t.test/announce", "for browsers");
        check("ws://t.test/announce", "for browsers");
        check("ftp://t.test/announce", "scheme `ftp`");
        check("t.test", "relative URL");
    }
}
