//! Connections through a SOCKS5 proxy. RFC 1928, RFC 1929.
//!
//! Names are sent as names, so that nothing is looked up beside the proxy. `CONNECT` and `UDP
//! ASSOCIATE` are spoken. Ours, since the ready ones are for tokio. Who connects, and whether he
//! may, is not known here.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};

use async_std::net::TcpStream;
use futures_lite::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use http_types::Url;
use percent_encoding::percent_decode_str;

use crate::limits;
use crate::text::printable;

const VERSION: u8 = 5;
const LOGIN_VERSION: u8 = 1;
const NO_LOGIN: u8 = 0;
const LOGIN: u8 = 2;
const NO_METHOD: u8 = 0xff;
const CONNECT: u8 = 1;
const UDP_ASSOCIATE: u8 = 3;
/// Source: RFC 1928, `REP`.
const UNKNOWN_COMMAND: u8 = 7;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// A proxy, and how to log in there.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    addresses: Vec<SocketAddr>,
    login: Option<(Vec<u8>, Vec<u8>)>,
}

/// Where a connection through a proxy leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination<'d> {
    /// An address.
    Address(SocketAddr),
    /// A name that the proxy looks up, and a port.
    Name(&'d str, u16),
}

/// Why there is no connection through a proxy. `Ours` to mend, or the proxy's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// Not the URL of a proxy.
    #[error("{reason}; write socks5://HOST:PORT or socks5://USER:PASSWORD@HOST:PORT")]
    Url {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The proxy's own name has no address.
    #[error("cannot find the proxy `{host}`: {reason}; check its name and the network")]
    Resolve {
        /// The name.
        host: String,
        /// What the system says.
        reason: String,
    },
    /// No connection to the proxy.
    #[error("cannot connect to the proxy at {proxy}: {reason}; is it running?")]
    Connect {
        /// The address that was tried last.
        proxy: SocketAddr,
        /// What the system says.
        reason: String,
    },
    /// What answers there is no SOCKS5 proxy.
    #[error("what answers at the proxy's address is no SOCKS5 proxy: {reason}")]
    NotSocks {
        /// What it did instead.
        reason: String,
    },
    /// It wants another way to log in.
    #[error("the proxy wants a login; write socks5://USER:PASSWORD@HOST:PORT")]
    LoginWanted,
    /// The user or the password is wrong.
    #[error("the proxy refuses the user and password")]
    LoginRefused,
    /// The proxy cannot or will not connect.
    #[error("the proxy cannot connect: {}", reply_text(*.code))]
    Reply {
        /// RFC 1928's `REP`.
        code: u8,
    },
    /// It says that it relays connections alone.
    #[error(
        "a tracker on udp cannot be reached through this proxy, which relays no datagrams (UDP \
         ASSOCIATE); it was not contacted"
    )]
    NoDatagrams,
    /// It was asked to relay datagrams, and said neither yes nor no.
    #[error(
        "the proxy does not answer UDP ASSOCIATE: {reason}; a tracker on udp needs a proxy that \
         relays datagrams"
    )]
    NoAssociation {
        /// What it did instead.
        reason: String,
    },
    /// It relayed datagrams, and closed that.
    #[error("the proxy has ended the relaying of datagrams")]
    RelayEnded,
    /// No SOCKS5 proxy takes such a name.
    #[error("a name of {bytes} bytes is too long for a proxy")]
    NameTooLong {
        /// How long it is.
        bytes: usize,
    },
}

/// Source: RFC 1928, section 6.
fn reply_text(code: u8) -> String {
    let text = match code {
        1 => "it failed",
        2 => "its rules forbid it",
        3 => "the network is unreachable",
        4 => "the host is unreachable or unknown",
        5 => "the connection was refused",
        6 => "it took too long",
        7 => "it does not know the command",
        8 => "it does not know that kind of address",
        _ => return format!("its reply is {code}"),
    };
    text.to_owned()
}

impl Proxy {
    /// The proxy at a URL, `socks5://HOST:PORT` with a login or none. Looks its name up, which
    /// blocks; that name is the only one that is ever looked up here.
    ///
    /// # Errors
    /// [`ProxyError::Url`], [`ProxyError::Resolve`].
    pub fn from_url(text: &str) -> Result<Self, ProxyError> {
        let bad = |reason| ProxyError::Url { reason };
        let url = Url::parse(text).map_err(|_| bad("that is no URL"))?;
        // `socks5h` is curl's word for sending names as names, which is all that is done here.
        if !matches!(url.scheme(), "socks5" | "socks5h") {
            return Err(bad("that is no SOCKS5 proxy"));
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(bad("a proxy has no path"));
        }
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| bad("it names no host"))?;
        let port = url.port().filter(|&port| port != 0);
        let port = port.ok_or_else(|| bad("it names no port"))?;
        let login = match (url.username(), url.password().unwrap_or_default()) {
            ("", "") => None,
            (user, password) => {
                let decode = |text| percent_decode_str(text).collect::<Vec<u8>>();
                let login = (decode(user), decode(password));
                // Source: RFC 1929: a length is one byte, and not 0.
                let fits = |text: &[u8]| (1..=255).contains(&text.len());
                if !fits(&login.0) || !fits(&login.1) {
                    return Err(bad("user and password have 1 to 255 bytes each"));
                }
                Some(login)
            }
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let found = (bare, port).to_socket_addrs();
        let unknown = |reason: String| ProxyError::Resolve {
            host: printable(host.as_bytes()),
            reason,
        };
        let found = found.map_err(|error| unknown(error.to_string()))?;
        let addresses: Vec<_> = found.take(limits::ADDRESSES_MAX).collect();
        if addresses.is_empty() {
            return Err(unknown("it has no address".to_owned()));
        }
        Ok(Self { addresses, login })
    }

    /// Connects to the proxy and through it. How long that may take is for the caller to say.
    ///
    /// # Errors
    /// [`ProxyError`], by cause.
    pub async fn connect(&self, to: Destination<'_>) -> Result<TcpStream, ProxyError> {
        let mut stream = self.reach().await?;
        self.shake_hands(&mut stream, CONNECT, to).await?;
        Ok(stream)
    }

    /// Has the proxy relay datagrams, for as long as the connection is open.
    ///
    /// # Errors
    /// [`ProxyError`], by cause; [`ProxyError::NoDatagrams`] when it says that it does no such
    /// thing.
    pub(super) async fn associate(&self) -> Result<Association, ProxyError> {
        let mut line = self.reach().await?;
        // From where they will come is not known before they do.
        let any = Destination::Address(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
        let port = self.shake_hands(&mut line, UDP_ASSOCIATE, any).await?;
        // At the proxy's own address, whatever it says: it may know itself by another, and nothing
        // goes elsewhere.
        let proxy = line.peer_addr().map_err(broken)?;
        let relay = SocketAddr::new(proxy.ip(), port);
        Ok(Association { line, relay })
    }

    async fn reach(&self) -> Result<TcpStream, ProxyError> {
        let mut last = None;
        for &proxy in &self.addresses {
            let connect = TcpStream::connect(proxy);
            match async_std::io::timeout(limits::CONNECT_MAX, connect).await {
                Ok(stream) => {
                    // Without it the exchange is slower, not wrong.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(error) => {
                    let reason = error.to_string();
                    last = Some(ProxyError::Connect { proxy, reason });
                }
            }
        }
        Err(last.expect("a proxy has an address"))
    }

    async fn shake_hands<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        command: u8,
        to: Destination<'_>,
    ) -> Result<u16, ProxyError> {
        let request = request(command, to)?;
        let greeting: &[u8] = match self.login {
            Some(_) => &[VERSION, 2, NO_LOGIN, LOGIN],
            None => &[VERSION, 1, NO_LOGIN],
        };
        stream.write_all(greeting).await.map_err(broken)?;
        match (read::<2>(stream).await?, &self.login) {
            ([VERSION, NO_LOGIN], _) => {}
            ([VERSION, LOGIN], Some((user, password))) => log_in(stream, user, password).await?,
            ([VERSION, NO_METHOD | LOGIN], None) => return Err(ProxyError::LoginWanted),
            ([VERSION, NO_METHOD], Some(_)) => return Err(ProxyError::LoginRefused),
            ([version, method], _) => {
                return Err(not_socks(&format!("it answers {version}, {method}")));
            }
        }
        stream.write_all(&request).await.map_err(broken)?;
        let reply = read(stream).await;
        // Some close the connection over a command that they do not know; so does one that is being
        // stopped, and is back in a moment.
        let reply = reply.map_err(|error| match error {
            ProxyError::NotSocks { reason } if command == UDP_ASSOCIATE => {
                ProxyError::NoAssociation { reason }
            }
            error => error,
        });
        let [version, code, _, kind] = reply?;
        if version != VERSION {
            return Err(not_socks(&format!("its reply is of version {version}")));
        }
        match code {
            0 => {}
            UNKNOWN_COMMAND if command == UDP_ASSOCIATE => return Err(ProxyError::NoDatagrams),
            _ => return Err(ProxyError::Reply { code }),
        }
        // The address that it took, which says nothing to us.
        match kind {
            IPV4 => drop(read::<4>(stream).await?),
            IPV6 => drop(read::<16>(stream).await?),
            NAME => {
                let [length] = read(stream).await?;
                let mut name = vec![0; length.into()];
                stream.read_exact(&mut name).await.map_err(broken)?;
            }
            _ => return Err(not_socks(&format!("its address is of kind {kind}"))),
        }
        Ok(u16::from_be_bytes(read(stream).await?))
    }
}

/// A proxy that relays datagrams.
pub(super) struct Association {
    /// It does so until this is closed.
    pub(super) line: TcpStream,
    /// Where they are sent to and come from.
    pub(super) relay: SocketAddr,
}

impl fmt::Debug for Proxy {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("addresses", &self.addresses)
            .field("login", &self.login.is_some())
            .finish()
    }
}

/// Shape: `version | command | 0 | kind: u8 | address | port: u16`.
fn request(command: u8, to: Destination<'_>) -> Result<Vec<u8>, ProxyError> {
    with_destination(vec![VERSION, command, 0], to)
}

/// What stands before a datagram that is relayed.
///
/// Shape: `0: u16 | fragment 0 | kind: u8 | address | port: u16`.
pub(super) fn datagram_head(to: Destination<'_>) -> Result<Vec<u8>, ProxyError> {
    with_destination(vec![0, 0, 0], to)
}

/// A datagram that was relayed: whether it came from an IPv6 address, and its bytes. `None` when it
/// is none, or a fragment.
pub(super) fn datagram(bytes: &[u8]) -> Option<(bool, &[u8])> {
    let [_, _, 0, kind, rest @ ..] = bytes else {
        return None;
    };
    let address = match *kind {
        IPV4 => 4,
        IPV6 => 16,
        NAME => 1 + usize::from(*rest.first()?),
        _ => return None,
    };
    Some((*kind == IPV6, rest.get(address + 2..)?))
}

fn with_destination(mut out: Vec<u8>, to: Destination<'_>) -> Result<Vec<u8>, ProxyError> {
    let port = match to {
        Destination::Address(address) => {
            // As IPv4 when it is one: a proxy may know nothing else.
            match address.ip().to_canonical() {
                std::net::IpAddr::V4(ip) => push(&mut out, IPV4, &Ipv4Addr::octets(&ip)),
                std::net::IpAddr::V6(ip) => push(&mut out, IPV6, &Ipv6Addr::octets(&ip)),
            }
            address.port()
        }
        Destination::Name(name, port) => {
            let bytes = name.len();
            let length = u8::try_from(bytes).ok().filter(|&length| length > 0);
            let length = length.ok_or(ProxyError::NameTooLong { bytes })?;
            out.extend_from_slice(&[NAME, length]);
            out.extend_from_slice(name.as_bytes());
            port
        }
    };
    out.extend_from_slice(&port.to_be_bytes());
    Ok(out)
}

fn push(out: &mut Vec<u8>, kind: u8, octets: &[u8]) {
    out.push(kind);
    out.extend_from_slice(octets);
}

async fn log_in<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    user: &[u8],
    password: &[u8],
) -> Result<(), ProxyError> {
    let mut out = vec![LOGIN_VERSION];
    for text in [user, password] {
        out.push(u8::try_from(text.len()).expect("checked when it was read"));
        out.extend_from_slice(text);
    }
    stream.write_all(&out).await.map_err(broken)?;
    match read::<2>(stream).await? {
        [_, 0] => Ok(()),
        _ => Err(ProxyError::LoginRefused),
    }
}

async fn read<const N: usize>(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<[u8; N], ProxyError> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await.map_err(broken)?;
    Ok(bytes)
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of map_err")]
fn broken(error: io::Error) -> ProxyError {
    not_socks(&match error.kind() {
        io::ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
        _ => error.to_string(),
    })
}

fn not_socks(reason: &str) -> ProxyError {
    ProxyError::NotSocks {
        reason: printable(reason.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_std::task;
    use futures_lite::io::Cursor;
    use proptest::prelude::*;

    /// What the proxy says is there beforehand; what it is told is kept.
    struct Wire {
        said: Cursor<Vec<u8>>,
        told: Vec<u8>,
    }

    impl AsyncRead for Wire {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            context: &mut std::task::Context<'_>,
            buffer: &mut [u8],
        ) -> std::task::Poll<io::Result<usize>> {
            std::pin::Pin::new(&mut self.said).poll_read(context, buffer)
        }
    }

    impl AsyncWrite for Wire {
        fn poll_write(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            bytes: &[u8],
        ) -> std::task::Poll<io::Result<usize>> {
            self.told.extend_from_slice(bytes);
            std::task::Poll::Ready(Ok(bytes.len()))
        }
        fn poll_flush(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            std::task::Poll::Ready(Ok(()))
        }
        fn poll_close(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            std::task::Poll::Ready(Ok(()))
        }
    }

    fn shake(url: &str, to: Destination<'_>, said: &[u8]) -> (Result<u16, ProxyError>, Vec<u8>) {
        let proxy = Proxy::from_url(url).unwrap();
        let said = Cursor::new(said.to_vec());
        let mut wire = Wire {
            said,
            told: Vec::new(),
        };
        let result = task::block_on(proxy.shake_hands(&mut wire, CONNECT, to));
        (result, wire.told)
    }

    const PLAIN: &str = "socks5://127.0.0.1:1080";
    const SECRET: &str = "socks5://u:p%40@127.0.0.1:1080";
    const TAKEN: &[u8] = b"\x05\0\0\x01\0\0\0\0\0\0";

    fn peer() -> Destination<'static> {
        Destination::Address("10.0.0.1:6881".parse().unwrap())
    }

    #[test]
    fn address_and_name_are_asked_for_as_the_standard_has_it() {
        let said = [b"\x05\0", TAKEN].concat();
        let (result, told) = shake(PLAIN, peer(), &said);
        assert_eq!(result, Ok(0));
        assert_eq!(told, b"\x05\x01\0\x05\x01\0\x01\x0a\0\0\x01\x1a\xe1");
        let name = Destination::Name("t.test", 80);
        let (result, told) = shake(PLAIN, name, b"\x05\0\x05\0\0\x03\x02abPP");
        assert_eq!(result, Ok(0x5050));
        assert_eq!(told, b"\x05\x01\0\x05\x01\0\x03\x06t.test\0P");
        let v6 = Destination::Address("[::1]:80".parse().unwrap());
        let said = [b"\x05\0\x05\0\0\x04", &[0; 18][..]].concat();
        let (result, told) = shake(PLAIN, v6, &said);
        assert_eq!(result, Ok(0));
        assert_eq!(told[3..7], *b"\x05\x01\0\x04");
    }

    #[test]
    fn login_is_offered_and_made_when_wanted() {
        let said = [b"\x05\x02\x01\0", TAKEN].concat();
        let (result, told) = shake(SECRET, peer(), &said);
        assert_eq!(result, Ok(0));
        assert!(told.starts_with(b"\x05\x02\0\x02\x01\x01u\x02p@\x05"));
        let said = [b"\x05\0", TAKEN].concat();
        assert_eq!(shake(SECRET, peer(), &said).0, Ok(0), "not wanted");
        assert!(!format!("{:?}", Proxy::from_url(SECRET)).contains("p@"));
    }

    #[test]
    fn refusals_are_told_apart() {
        let check = |url, said: &[u8], expect: &str| {
            let error = shake(url, peer(), said).0.unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        };
        check(PLAIN, b"\x05\xff", "wants a login");
        check(PLAIN, b"\x05\x02", "wants a login");
        check(SECRET, b"\x05\xff", "refuses the user");
        check(SECRET, b"\x05\x02\x01\x01", "refuses the user");
        check(PLAIN, b"\x05\x01", "no SOCKS5 proxy: it answers 5, 1");
        check(PLAIN, b"HTTP/1.1 400", "no SOCKS5 proxy");
        check(PLAIN, b"", "closed the connection");
        check(PLAIN, b"\x05\0\x05\x05\0\x01", "connection was refused");
        check(PLAIN, b"\x05\0\x05\x02\0\x01", "rules forbid");
        check(PLAIN, b"\x05\0\x05\x63\0\x01", "reply is 99");
        check(PLAIN, b"\x05\0\x05\0\0\x01\0\0", "closed the connection");
        check(PLAIN, b"\x05\0\x05\0\0\x09", "kind 9");
        check(PLAIN, b"\x05\0\x04\0\0\x01", "version 4");
        let long = "a".repeat(256);
        let (result, told) = shake(PLAIN, Destination::Name(&long, 80), b"\x05\0");
        assert_eq!(result, Err(ProxyError::NameTooLong { bytes: 256 }));
        assert_eq!(told, b"", "nothing was sent");
    }

    #[test]
    fn url_of_a_proxy_is_read_or_refused() {
        let check = |url: &str, expect: &str| {
            let error = Proxy::from_url(url).unwrap_err().to_string();
            assert!(error.contains(expect), "{url}: {error}");
        };
        for good in [
            "socks5://127.0.0.1:1080",
            "socks5h://[::1]:1080/",
            "socks5://u:p@127.0.0.1:1",
        ] {
            assert!(Proxy::from_url(good).is_ok(), "{good}");
        }
        check("127.0.0.1:1080", "that is no URL");
        check("http://127.0.0.1:1080", "no SOCKS5 proxy; write socks5://");
        check("socks4://127.0.0.1:1080", "no SOCKS5 proxy");
        check("socks5://127.0.0.1", "no port");
        check("socks5://127.0.0.1:0", "no port");
        check("socks5://:1080", "no URL");
        check("socks5://u@127.0.0.1:1", "1 to 255 bytes");
        check("socks5://127.0.0.1:1080/x", "no path");
        let long = format!("socks5://{}:p@127.0.0.1:1", "u".repeat(256));
        check(&long, "1 to 255 bytes");
    }

    proptest! {
        #[test]
        fn whatever_the_proxy_says_is_taken_or_refused(
            said in prop::collection::vec(prop_oneof![0..6_u8, any::<u8>()], 0..40),
        ) {
            let _ = shake(SECRET, peer(), &said);
            let _ = shake(PLAIN, peer(), &[b"\x05\0\x05\0\0", &said[..]].concat());
        }
    }
}
