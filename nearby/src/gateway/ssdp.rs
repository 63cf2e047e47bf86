//! Finding a UPnP gateway: a search by multicast, and its answers. UPnP Device Architecture 1.1.
//!
//! An answer names a document to fetch. Whoever can send a datagram could so make us ask anybody
//! for anything, so a [`Location`] is believed only on the very address that answered.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use crate::limits::{LOCATION_LENGTH_MAX, SEARCH_ANSWER_LENGTH_MAX};

/// Where searches go. Source: UPnP Device Architecture 1.1, 1.3.2.
pub const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 255, 255, 250), 1900);

/// What is searched for: gateways of either version. Source: UPnP IGD 1 and 2, 2.1.
pub const TARGETS: [&str; 2] = [
    "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
    "urn:schemas-upnp-org:device:InternetGatewayDevice:2",
];

/// A document or a service over plain HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Where it is; the host of its URL is this address and no name.
    pub address: SocketAddr,
    /// Begins with `/`; printable and without spaces.
    pub path: String,
}

/// Why an answer or a URL in it is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LocationError {
    /// No good answer to a search, or none for gateways.
    #[error("not an answer to the search for a gateway")]
    Other,
    /// No URL, or not one of HTTP on an address.
    #[error("no http URL with an address")]
    Url,
    /// A URL on another host than the one that names it.
    #[error("it names {0}, which is another host than itself")]
    OtherHost(IpAddr),
}

/// The datagram of a search; answers come within a second.
#[must_use]
pub fn search(target: &str) -> Vec<u8> {
    format!(
        "M-SEARCH * HTTP/1.1\r\nHOST: {GROUP}\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: \
         {target}\r\n\r\n"
    )
    .into_bytes()
}

/// Reads the answer that came from `from`.
///
/// # Errors
/// [`LocationError`] when it is not one, or not to be believed.
pub fn answer(datagram: &[u8], from: IpAddr) -> Result<Location, LocationError> {
    let text = str::from_utf8(datagram).map_err(|_| LocationError::Other)?;
    if datagram.len() > SEARCH_ANSWER_LENGTH_MAX {
        return Err(LocationError::Other);
    }
    let mut lines = text.lines().map(str::trim);
    let mut first = lines.next().unwrap_or_default().split_ascii_whitespace();
    let is_answer = first
        .next()
        .is_some_and(|version| version.starts_with("HTTP/1."));
    if !is_answer || first.next() != Some("200") {
        return Err(LocationError::Other);
    }
    let (mut target, mut location) = (None, None);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.trim().eq_ignore_ascii_case("st") {
            target = Some(value.trim());
        } else if name.trim().eq_ignore_ascii_case("location") {
            location = Some(value.trim());
        }
    }
    if !target.is_some_and(|target| TARGETS.contains(&target)) {
        return Err(LocationError::Other);
    }
    Location::parse(location.ok_or(LocationError::Url)?, from)
}

impl Location {
    /// Reads a URL whose host must be `only`.
    ///
    /// # Errors
    /// [`LocationError::Url`] and [`LocationError::OtherHost`].
    pub fn parse(url: &str, only: IpAddr) -> Result<Self, LocationError> {
        let rest = url
            .get(..7)
            .filter(|scheme| scheme.eq_ignore_ascii_case("http://"))
            .and_then(|_| url.get(7..))
            .ok_or(LocationError::Url)?;
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let address = host
            .parse()
            .or_else(|_| {
                host.parse()
                    .map(|ip: Ipv4Addr| SocketAddr::new(ip.into(), 80))
            })
            .map_err(|_| LocationError::Url)?;
        if address.ip() != only {
            return Err(LocationError::OtherHost(address.ip()));
        }
        Self::at(address, path)
    }

    /// A path at an address.
    ///
    /// # Errors
    /// [`LocationError::Url`] when it is too long, or could end the line that asks for it.
    pub fn at(address: SocketAddr, path: &str) -> Result<Self, LocationError> {
        let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic());
        if path.len() > LOCATION_LENGTH_MAX || !is_plain || address.port() == 0 {
            return Err(LocationError::Url);
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        let path = format!("{slash}{path}");
        Ok(Self { address, path })
    }

    /// What a URL in the document at this place means.
    ///
    /// # Errors
    /// [`LocationError`] when it leads elsewhere.
    pub fn join(&self, url: &str) -> Result<Self, LocationError> {
        if url.contains("://") {
            return Self::parse(url, self.address.ip());
        }
        let folder = self.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        match url.starts_with('/') {
            true => Self::at(self.address, url),
            false => Self::at(self.address, &format!("{folder}/{url}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    const GATEWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 1));

    fn told(location: &str) -> Result<Location, LocationError> {
        let target = TARGETS[0];
        let datagram = format!(
            "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\nst: {target}\r\nUSN: \
             x\r\nEXT:\r\nSERVER: y\r\nLOCATION: {location}\r\n\r\n"
        );
        answer(datagram.as_bytes(), GATEWAY)
    }

    #[test]
    fn search_is_as_the_architecture_has_it() {
        let text = String::from_utf8(search(TARGETS[0])).unwrap();
        let expect = "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \
                      \"ssdp:discover\"\r\nMX: 1\r\nST: urn:schemas-upnp-org:device:\
                      InternetGatewayDevice:1\r\n\r\n";
        assert_eq!(text, expect);
    }

    #[test]
    fn location_on_the_gateway_itself_is_believed() {
        let check = |url, port, path: &str| {
            let address = SocketAddr::new(GATEWAY, port);
            let path = path.to_owned();
            assert_eq!(told(url), Ok(Location { address, path }), "{url}");
        };
        check(
            "http://192.168.1.1:5000/rootDesc.xml",
            5000,
            "/rootDesc.xml",
        );
        check("HTTP://192.168.1.1/", 80, "/");
        check("http://192.168.1.1", 80, "/");
    }

    #[test]
    fn location_anywhere_else_is_refused() {
        let check = |url, expect| assert_eq!(told(url), Err(expect), "{url}");
        check(
            "http://127.0.0.1:631/",
            LocationError::OtherHost([127, 0, 0, 1].into()),
        );
        check(
            "http://192.168.1.2/x",
            LocationError::OtherHost([192, 168, 1, 2].into()),
        );
        check(
            "http://169.254.169.254/",
            LocationError::OtherHost([169, 254, 169, 254].into()),
        );
        for url in [
            "",
            "https://192.168.1.1/",
            "ftp://192.168.1.1/",
            "http://router.local/",
            "http://192.168.1.1@evil.example/",
            "http://evil@192.168.1.1/",
            "http://3232235777/",
            "http://0xc0a80101/",
            "http://192.168.1.1:0/",
            "http://192.168.1.1:65536/",
            "http://192.168.1.1/a b",
            "http://192.168.1.1/ü",
        ] {
            check(url, LocationError::Url);
        }
    }

    #[test]
    fn answer_to_another_search_is_passed_over() {
        let check = |text: &str| {
            let found = answer(text.as_bytes(), GATEWAY);
            assert_eq!(found, Err(LocationError::Other), "{text}");
        };
        check("");
        check("NOTIFY * HTTP/1.1\r\nLOCATION: http://192.168.1.1/\r\n\r\n");
        check("HTTP/1.1 404 No\r\nLOCATION: http://192.168.1.1/\r\n\r\n");
        check("HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\nLOCATION: http://192.168.1.1/\r\n\r\n");
    }

    #[test]
    fn path_is_joined_to_the_place_of_the_document() {
        let base = Location::parse("http://192.168.1.1:5000/a/b.xml", GATEWAY).unwrap();
        let check = |url, expect: &str| assert_eq!(base.join(url).unwrap().path, expect, "{url}");
        check("/ctl/IPConn", "/ctl/IPConn");
        check("ctl", "/a/ctl");
        check("http://192.168.1.1:7/x", "/x");
        let other = LocationError::OtherHost([10, 0, 0, 1].into());
        assert_eq!(base.join("http://10.0.0.1/x"), Err(other));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in vec(any::<u8>(), 0..300), url in "(http://)?.{0,40}") {
            let _ = answer(&bytes, GATEWAY);
            if let Ok(location) = Location::parse(&url, GATEWAY) {
                prop_assert_eq!(location.address.ip(), GATEWAY);
                prop_assert!(location.path.starts_with('/'));
            }
        }
    }
}
