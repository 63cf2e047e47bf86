//! TLS as announces need it. RFC 8446, RFC 5246.
//!
//! rustls on ring, no system library. Certificates are always verified; there is no way to say
//! otherwise.

use std::io;
use std::sync::Arc;

use async_std::net::TcpStream;
use futures_rustls::TlsConnector;
use futures_rustls::client::TlsStream;
use futures_rustls::rustls::pki_types::ServerName;
use futures_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

use crate::error::TrackerError;
use crate::text::printable;

/// Mozilla's certificate authorities, compiled in.
pub(super) fn public_roots() -> RootCertStore {
    RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned())
}

/// A connector that trusts these authorities.
pub(super) fn connector(roots: RootCertStore) -> TlsConnector {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// Shakes hands with `host` over a connection.
pub(super) async fn connect(
    connector: &TlsConnector,
    host: &str,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, TrackerError> {
    // As a URL writes an IPv6 address.
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(bare.to_owned());
    let name = name.map_err(|_| failed(host, "no certificate can be for such a name"))?;
    let connected = connector.connect(name, stream).await;
    connected.map_err(|error| failed(host, &reason(&error)))
}

fn failed(host: &str, reason: &str) -> TrackerError {
    TrackerError::Tls {
        host: host.to_owned(),
        reason: printable(reason.as_bytes()),
    }
}

fn reason(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return "it closed the connection; does it speak TLS there?".to_owned();
    }
    error.to_string()
}
