//! TLS beside plain HTTP on the same sockets. RFC 8446, RFC 5246.
//!
//! The first byte of a connection tells: a TLS handshake begins with 22, which no method of HTTP
//! does. Certificate and key are read again when their files change or somebody says so; what is
//! wrong then is told, and the old ones stay. Running connections keep what they began with.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::net::Shutdown;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::SystemTime;

use async_std::net::TcpStream;
use futures_lite::{AsyncRead, AsyncWrite};
use futures_rustls::TlsAcceptor;
use futures_rustls::rustls::pki_types::pem::PemObject as _;
use futures_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use futures_rustls::rustls::{self, ServerConfig, crypto::ring};
use futures_rustls::server::TlsStream;

use crate::limits;

/// The first byte of a TLS connection. Source: RFC 8446, section 5.1, `handshake(22)`.
pub(super) const HANDSHAKE: u8 = 22;

/// Where certificate and key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, PEM, our own certificate first.
    pub certificates: PathBuf,
    /// The private key, PEM: PKCS 8, PKCS 1 or SEC 1.
    pub key: PathBuf,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file that cannot be read.
    #[error("cannot read {path}: {source}; name a file that this user may read")]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file that is no PEM file of what it should be.
    #[error("{path} holds no {what} in PEM form; is it the right file?")]
    Pem {
        /// Which.
        path: PathBuf,
        /// What it should be.
        what: &'static str,
    },
    /// A certificate that no authority can have.
    #[error("a certificate of {path} is of no authority: {source}")]
    Authority {
        /// The file.
        path: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
    /// A key that does not belong to the certificate, or is of a kind we cannot use.
    #[error("certificate and key of {path} cannot be used together: {source}")]
    Pair {
        /// The certificate's file.
        path: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
}

/// The current certificate.
pub(super) struct Tls {
    files: TlsFiles,
    state: Mutex<State>,
}

struct State {
    acceptor: TlsAcceptor,
    seen: Seen,
}

/// Modification times by which a change is noticed.
type Seen = [Option<SystemTime>; 2];

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Tls")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads both files.
    ///
    /// # Errors
    /// [`TlsError`] names the file at fault.
    pub(super) fn new(files: TlsFiles) -> Result<Self, TlsError> {
        let seen = seen(&files);
        let acceptor = read(&files)?;
        let state = Mutex::new(State { acceptor, seen });
        Ok(Self { files, state })
    }

    /// What new connections are accepted with.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.lock().acceptor.clone()
    }

    /// Reads both files again; what was good until now stays if they are not, and the same files
    /// are no change any more.
    ///
    /// # Errors
    /// [`TlsError`] names the file at fault.
    pub(super) fn reload(&self) -> Result<(), TlsError> {
        // Before they are read, so that a change in between is noticed.
        let seen = seen(&self.files);
        let read = read(&self.files);
        let mut state = self.lock();
        state.seen = seen;
        state.acceptor = read?;
        Ok(())
    }

    /// The same if a file has changed since it was looked at last; whether it has.
    ///
    /// # Errors
    /// As [`Tls::reload`], once for each change.
    pub(super) fn reload_if_changed(&self) -> Result<bool, TlsError> {
        let seen = seen(&self.files);
        if std::mem::replace(&mut self.lock().seen, seen) == seen {
            return Ok(false);
        }
        self.reload().map(|()| true)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn seen(files: &TlsFiles) -> Seen {
    [&files.certificates, &files.key].map(|path| fs::metadata(path).ok()?.modified().ok())
}

fn read(files: &TlsFiles) -> Result<TlsAcceptor, TlsError> {
    let path = &files.certificates;
    let chain = chain(path)?;
    let key = PrivateKeyDer::from_pem_slice(&bytes(&files.key)?);
    let key = key.map_err(|_| pem(&files.key, "private key"))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|source| TlsError::Pair {
            path: path.clone(),
            source,
        })?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn pem(path: &Path, what: &'static str) -> TlsError {
    let path = path.to_owned();
    TlsError::Pem { path, what }
}

/// The certificates of a PEM file, one at least.
///
/// # Errors
/// [`TlsError`] when there is none.
pub(crate) fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes(path)?).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    chain.ok_or_else(|| pem(path, "certificate"))
}

fn bytes(path: &Path) -> Result<Vec<u8>, TlsError> {
    let read = || {
        let mut bytes = Vec::new();
        let file = File::open(path)?;
        file.take(limits::TLS_FILE_BYTES_MAX)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })
}

/// A connection of which something may have been read already. Closing it ends our side of it, as
/// async-std's own does not.
#[derive(Debug)]
pub(super) struct Begun {
    front: io::Cursor<Vec<u8>>,
    stream: TcpStream,
}

impl Begun {
    pub(super) fn new(front: Vec<u8>, stream: TcpStream) -> Self {
        let front = io::Cursor::new(front);
        Self { front, stream }
    }
}

impl AsyncRead for Begun {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match io::Read::read(&mut self.front, buffer) {
            Ok(0) if !buffer.is_empty() => Pin::new(&mut self.stream).poll_read(context, buffer),
            read => Poll::Ready(read),
        }
    }
}

impl AsyncWrite for Begun {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.shutdown(Shutdown::Write))
    }
}

/// Shakes hands.
///
/// # Errors
/// The other end's, or that it takes too long.
pub(super) async fn accept(tls: &Tls, stream: Begun) -> io::Result<TlsStream<Begun>> {
    let handshake = tls.acceptor().accept(stream);
    async_std::io::timeout(limits::TLS_HANDSHAKE_MAX, handshake).await
}
