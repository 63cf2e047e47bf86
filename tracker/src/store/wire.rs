//! What the words of the store travel by: TCP, or TLS over it. RFC 8446, RFC 5246.
//!
//! Reading has one deadline for all of an exchange, the handshake included, so that a server that
//! drips bytes gains nothing. Certificates are always verified. Knows nothing of what is said.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_rustls::rustls::pki_types::ServerName;
use futures_rustls::rustls::{
    self, ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::ring,
};

use super::StoreFault;
use crate::limits;
use crate::server::{TlsError, chain};
use crate::text::printable;

/// How the store's certificate is verified.
#[derive(Debug, Clone)]
pub(super) struct Authorities(Arc<ClientConfig>);

impl Authorities {
    /// Mozilla's, compiled in.
    pub(super) fn public() -> Self {
        let roots = webpki_roots::TLS_SERVER_ROOTS.iter().cloned();
        Self::new(RootCertStore::from_iter(roots))
    }

    /// Those of a PEM file, and no other.
    pub(super) fn read(path: &Path) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in chain(path)? {
            let added = roots.add(certificate);
            added.map_err(|source| TlsError::Authority {
                path: path.to_owned(),
                source,
            })?;
        }
        Ok(Self::new(roots))
    }

    fn new(roots: RootCertStore) -> Self {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring speaks TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self(Arc::new(config))
    }
}

/// A socket that reads until a time.
#[derive(Debug)]
struct Socket {
    stream: TcpStream,
    until: Instant,
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wait = self.until.saturating_duration_since(Instant::now());
        if wait == Duration::ZERO {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(wait))?;
        self.stream.read(buffer)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// A connection, with TLS or without.
#[derive(Debug)]
pub(super) struct Wire(Kind);

#[derive(Debug)]
enum Kind {
    Plain(Socket),
    Secure(Box<StreamOwned<ClientConnection, Socket>>),
}

impl Wire {
    /// Takes a connection to `host`; shakes hands if there are authorities.
    pub(super) fn new(
        stream: TcpStream,
        host: &str,
        authorities: Option<&Authorities>,
    ) -> Result<Self, StoreFault> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(limits::STORE_ANSWER_MAX))?;
        let until = Instant::now() + limits::STORE_ANSWER_MAX;
        let mut socket = Socket { stream, until };
        let Some(Authorities(config)) = authorities else {
            return Ok(Self(Kind::Plain(socket)));
        };
        let strange = |why: &str| StoreFault::Tls(why.to_owned());
        let name = ServerName::try_from(super::bare(host).to_owned());
        let name = name.map_err(|_| strange("no certificate can be for such a name"))?;
        let begun = ClientConnection::new(Arc::clone(config), name);
        let mut tls = begun.map_err(|error| strange(&error.to_string()))?;
        while tls.is_handshaking() {
            let shaken = tls.complete_io(&mut socket);
            shaken.map_err(|error| failed(&error))?;
        }
        let stream = StreamOwned::new(tls, socket);
        Ok(Self(Kind::Secure(Box::new(stream))))
    }

    /// From now on it is read until then.
    pub(super) fn read_until(&mut self, until: Instant) {
        match &mut self.0 {
            Kind::Plain(socket) => socket.until = until,
            Kind::Secure(stream) => stream.sock.until = until,
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Plain(socket) => socket.read(buffer),
            Kind::Secure(stream) => stream.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Plain(socket) => socket.write(bytes),
            Kind::Secure(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Kind::Plain(socket) => socket.flush(),
            Kind::Secure(stream) => stream.flush(),
        }
    }
}

/// What a handshake fails of, and what may help.
fn failed(error: &io::Error) -> StoreFault {
    let inner = error.get_ref();
    let tls = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let why = printable(error.to_string().as_bytes());
    match (tls, error.kind()) {
        (Some(rustls::Error::InvalidCertificate(_)), _) => StoreFault::Tls(format!(
            "{why}; name the authority of its certificate (--store-ca), and the server as in it"
        )),
        // So does a store without TLS that waits for the end of the line.
        (None, io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) => {
            StoreFault::Tls(format!("{}; does it speak TLS there?", StoreFault::Silent))
        }
        _ => StoreFault::Tls(format!("{why}; does it speak TLS there?")),
    }
}
