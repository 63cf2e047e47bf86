//! The `HttpClient` beneath surf: one request, one connection, nothing taken on trust. RFC 9112.
//!
//! Resolves a name once, connects to the very addresses that were checked, follows a few redirects
//! under the same rules, and reads a bounded answer to its end. A head is read here before the
//! codec sees it, since that refuses HTTP/1.0, takes a body without a length for an empty one, and
//! panics at a field beyond ASCII; all three are what trackers send.

use futures_lite::io::Cursor;
use futures_lite::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use futures_rustls::TlsConnector;
use futures_rustls::rustls::RootCertStore;
use http_client::{Error, HttpClient, Request, Response, async_trait};
use http_types::url::Host;
use http_types::{StatusCode, Url};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use async_std::net::TcpStream;

use super::address::{self, Purpose, Reach};
use super::lines::{Line, Lines, Turn};
use super::resolve::Resolver;
use super::socks5::{Destination, Proxy};
use super::tls;
use crate::error::TrackerError;
use crate::http::head::{self, Head};
use crate::limits;
use crate::text::printable;

pub(super) const USER_AGENT: &str = concat!("Shoal/", env!("CARGO_PKG_VERSION"));

/// Our connector for surf.
#[derive(Debug)]
pub(super) struct Connector {
    resolver: Arc<Resolver>,
    tls: Tls,
    proxy: Option<Proxy>,
    lines: Lines,
}

/// [`TlsConnector`] with a `Debug`, which surf asks for.
struct Tls(TlsConnector);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

/// Bytes both ways, with TLS or without.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for S {}

/// The address of a server that only the proxy sees.
const UNSEEN: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// What one hop gave.
enum Hop {
    /// A body.
    Body(Vec<u8>),
    /// Another place to look, raw, and how far away the one was that said so.
    Moved(Vec<u8>, Reach),
}

/// The cause of an error that came through surf.
pub(super) fn cause(error: Error) -> TrackerError {
    error.downcast::<TrackerError>().unwrap_or_else(|error| {
        let reason = error.into_inner().to_string();
        http(&printable(reason.as_bytes()))
    })
}

#[async_trait]
impl HttpClient for Connector {
    async fn send(&self, request: Request) -> Result<Response, Error> {
        let body = self.fetch(request.url().clone()).await;
        let body = body.map_err(|error| Error::new(StatusCode::BadGateway, error))?;
        let mut response = Response::new(StatusCode::Ok);
        response.set_body(body);
        Ok(response)
    }
}

impl Connector {
    pub(super) fn new(resolver: Arc<Resolver>, roots: RootCertStore, proxy: Option<Proxy>) -> Self {
        Self {
            resolver,
            tls: Tls(tls::connector(roots)),
            proxy,
            lines: Lines::default(),
        }
    }

    async fn fetch(&self, mut url: Url) -> Result<Vec<u8>, TrackerError> {
        let mut from = None;
        for _ in 0..=limits::REDIRECTS_MAX {
            match self.hop(&url, from).await? {
                Hop::Body(body) => return Ok(body),
                Hop::Moved(location, reach) => {
                    url = follow(&url, &location)?;
                    // Once on the internet, always: a second redirect does not wash that off.
                    from = from.filter(|from| *from == Reach::Global).or(Some(reach));
                }
            }
        }
        let reason = format!("more than {} times", limits::REDIRECTS_MAX);
        Err(TrackerError::Redirect { reason })
    }

    async fn hop(&self, url: &Url, from: Option<Reach>) -> Result<Hop, TrackerError> {
        let turn = self.lines.turn(url).await;
        // Many trackers would rather close: they are asked to stay only for others of ours.
        let request = encode(url, turn.has_others()).await?;
        let mut bytes = Vec::with_capacity(4_096);
        let (mut line, end) = self.ask(url, from, &turn, &request, &mut bytes).await?;
        let (head, rest) = bytes.split_at(end);
        let head = Head::new(head);
        let status = head::status(head.start).ok_or_else(|| http("it has no status"))?;
        match status {
            200 => {}
            301 | 302 | 303 | 307 | 308 => {
                let location = head.field("location");
                let location = location.ok_or(TrackerError::Status { code: status })?;
                return Ok(Hop::Moved(location.to_vec(), line.reach));
            }
            code => return Err(TrackerError::Status { code }),
        }
        let framing = framing(&head)?;
        if let Framing::Length(length) = framing
            && rest.len() <= length
            && stays_open(&head)
        {
            let mut body = rest.to_vec();
            let missing = (length - body.len()) as u64;
            read_cut(&mut (&mut line.stream).take(missing), &mut body).await?;
            if body.len() == length && turn.has_others() {
                turn.leave(line);
            }
            return Ok(Hop::Body(body));
        }
        let head = Cursor::new(framing.to_string().into_bytes());
        let reader = head.chain(Cursor::new(rest.to_vec())).chain(line.stream);
        let decoded = async_h1::client::decode(reader).await;
        let mut response = decoded.map_err(|error| http(&error.to_string()))?;
        read_body(&mut response).await.map(Hop::Body)
    }

    /// Sends the request and reads a head, with the length of which it comes back: over a
    /// connection that another has left, unless the tracker has closed that meanwhile, or over a
    /// new one.
    async fn ask(
        &self,
        url: &Url,
        from: Option<Reach>,
        turn: &Turn,
        request: &[u8],
        bytes: &mut Vec<u8>,
    ) -> Result<(Line, usize), TrackerError> {
        let purpose = Purpose::Announce { path: url.path() };
        while let Some(mut line) = turn.idle() {
            if !address::permits(line.reach, purpose, from) {
                continue;
            }
            match talk(&mut line.stream, request, bytes).await {
                Err(_) if bytes.is_empty() => {}
                result => return result.map(|end| (line, end)),
            }
        }
        let mut line = self.connect(url, purpose, from).await?;
        let end = talk(&mut line.stream, request, bytes).await?;
        Ok((line, end))
    }

    /// Connects to where a URL says, for this purpose.
    pub(super) async fn connect(
        &self,
        url: &Url,
        purpose: Purpose<'_>,
        from: Option<Reach>,
    ) -> Result<Line, TrackerError> {
        let unusable = || TrackerError::Url {
            url: printable(url.as_str().as_bytes()),
            reason: "it names no host and port".to_owned(),
        };
        let host = url.host().ok_or_else(unusable)?;
        let port = url.port_or_known_default().ok_or_else(unusable)?;
        let name = host.to_string();
        let (stream, address, reach) = if let Some(proxy) = &self.proxy {
            let reach = address::permitted_unseen(&host, purpose, from)?;
            let (to, address) = match host {
                // Nobody here knows where it is.
                Host::Domain(name) => (Destination::Name(name, port), UNSEEN),
                Host::Ipv4(ip) => (Destination::Address((ip, port).into()), ip.into()),
                Host::Ipv6(ip) => (Destination::Address((ip, port).into()), ip.into()),
            };
            let stream = proxy.connect(to).await?;
            (stream, SocketAddr::new(address, port), reach)
        } else {
            let addresses = self.resolver.resolve(&host, port).await?;
            let addresses = address::permitted(&name, &addresses, purpose, from)?;
            let (stream, address) = connect_any(&name, &addresses).await?;
            (stream, address, address::reach(address.ip()))
        };
        let stream: Box<dyn Stream> = match url.scheme() {
            "https" => Box::new(tls::connect(&self.tls.0, &name, stream).await?),
            _ => Box::new(stream),
        };
        Ok(Line {
            stream,
            address,
            reach,
        })
    }
}

/// Connects to the first address that takes us.
async fn connect_any(
    host: &str,
    addresses: &[SocketAddr],
) -> Result<(TcpStream, SocketAddr), TrackerError> {
    let mut last = TrackerError::Resolve {
        host: host.to_owned(),
        reason: "it has no address".to_owned(),
    };
    for &address in addresses {
        let connect = TcpStream::connect(address);
        match async_std::io::timeout(limits::CONNECT_MAX, connect).await {
            Ok(stream) => {
                // Without it the exchange is slower, not wrong.
                let _ = stream.set_nodelay(true);
                return Ok((stream, address));
            }
            Err(error) => {
                let reason = error.to_string();
                last = TrackerError::Connect { address, reason };
            }
        }
    }
    Err(last)
}

/// Where a redirect leads, if we go there.
pub(super) fn follow(url: &Url, location: &[u8]) -> Result<Url, TrackerError> {
    let refused = |reason: &str| TrackerError::Redirect {
        reason: reason.to_owned(),
    };
    let location = std::str::from_utf8(location).map_err(|_| refused("it is not a URL"))?;
    let next = url.join(location).map_err(|_| refused("it is not a URL"))?;
    match (url.scheme(), next.scheme()) {
        ("https", "http") => Err(refused("from https to http, where anybody may listen")),
        (_, "http" | "https") if next.port_or_known_default() != Some(0) => Ok(next),
        (_, "http" | "https") => Err(refused("to port 0")),
        (_, scheme) => Err(refused(&printable(
            format!("to the scheme `{scheme}`").as_bytes(),
        ))),
    }
}

/// The bytes of the request, to leave in one write.
async fn encode(url: &Url, stay: bool) -> Result<Vec<u8>, TrackerError> {
    let mut request = Request::new(http_types::Method::Get, url.clone());
    request.insert_header("user-agent", USER_AGENT);
    request.insert_header("accept-encoding", "identity");
    request.insert_header("connection", if stay { "keep-alive" } else { "close" });
    let mut out = Vec::with_capacity(1_024);
    let mut encoder = async_h1::client::Encoder::new(request);
    encoder.read_to_end(&mut out).await.map_err(broken)?;
    Ok(out)
}

async fn talk(
    stream: &mut Box<dyn Stream>,
    request: &[u8],
    bytes: &mut Vec<u8>,
) -> Result<usize, TrackerError> {
    stream.write_all(request).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    read_head(stream, bytes).await
}

/// Whether the connection serves another request. Source: RFC 9112, section 9.3.
fn stays_open(head: &Head<'_>) -> bool {
    let connection = head.field("connection").unwrap_or_default();
    match head.start.starts_with(b"HTTP/1.1") {
        true => !connection.eq_ignore_ascii_case(b"close"),
        false => connection.eq_ignore_ascii_case(b"keep-alive"),
    }
}

/// Reads until the head is whole and returns its length; some of the body may be behind it.
async fn read_head(
    stream: &mut Box<dyn Stream>,
    bytes: &mut Vec<u8>,
) -> Result<usize, TrackerError> {
    let mut chunk = [0; 4_096];
    loop {
        if let Some(end) = head::end(bytes) {
            return Ok(end);
        }
        let start = bytes.len().min(5);
        if bytes[..start] != b"HTTP/"[..start] {
            return Err(http("it is not HTTP; is the port right?"));
        }
        if bytes.len() >= limits::HEAD_BYTES_MAX {
            return Err(http("its head is too long"));
        }
        let count = stream.read(&mut chunk).await.map_err(broken)?;
        if count == 0 {
            return Err(http("the connection was closed before the answer"));
        }
        bytes.extend_from_slice(&chunk[..count]);
    }
}

/// Where a body ends.
#[derive(Clone, Copy)]
enum Framing {
    Chunked,
    Length(usize),
    /// With the connection.
    Close,
}

impl std::fmt::Display for Framing {
    /// A head for the codec with nothing but this in it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let length = match self {
            Self::Chunked => {
                return f.write_str("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
            }
            Self::Length(length) => *length,
            // The codec knows only lengths.
            Self::Close => limits::BODY_BYTES_MAX + 1,
        };
        write!(f, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n")
    }
}

fn framing(head: &Head<'_>) -> Result<Framing, TrackerError> {
    let encoding = head.field("content-encoding").unwrap_or(b"identity");
    if !encoding.eq_ignore_ascii_case(b"identity") {
        let encoding = printable(encoding);
        return Err(TrackerError::Encoded { encoding });
    }
    match (
        head.field("transfer-encoding"),
        head.field("content-length"),
    ) {
        (Some(coding), _) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
        (Some(coding), _) => {
            let coding = printable(coding);
            Err(http(&format!("its transfer coding `{coding}` is unknown")))
        }
        (None, Some(length)) => {
            let length = std::str::from_utf8(length).unwrap_or_default();
            let bytes: u64 = length
                .parse()
                .map_err(|_| http("its length is no number"))?;
            let max = limits::BODY_BYTES_MAX;
            let bytes = usize::try_from(bytes).ok().filter(|&bytes| bytes <= max);
            bytes
                .map(Framing::Length)
                .ok_or(TrackerError::TooLarge { max })
        }
        (None, None) => Ok(Framing::Close),
    }
}

async fn read_body(response: &mut Response) -> Result<Vec<u8>, TrackerError> {
    let max = limits::BODY_BYTES_MAX;
    let mut body = Vec::new();
    let mut reader = response.take_body().take(max as u64 + 1);
    match read_cut(&mut reader, &mut body).await {
        _ if body.len() > max => Err(TrackerError::TooLarge { max }),
        result => result.map(|()| body),
    }
}

/// Reads to the end, also to an early one: cut short, or closed without TLS's farewell. What the
/// bytes are worth, bencode will tell.
async fn read_cut(
    reader: &mut (impl AsyncRead + Unpin),
    body: &mut Vec<u8>,
) -> Result<(), TrackerError> {
    match reader.read_to_end(body).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
        Err(error) => Err(broken(error)),
    }
}

fn http(reason: &str) -> TrackerError {
    TrackerError::Http {
        reason: reason.to_owned(),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of map_err")]
fn broken(error: io::Error) -> TrackerError {
    http(&printable(
        format!("the connection broke ({error})").as_bytes(),
    ))
}
