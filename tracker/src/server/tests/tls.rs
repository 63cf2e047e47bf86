//! TLS beside plain HTTP, and certificates that come, change and are wrong.

use std::fs;
use std::io;
use std::time::SystemTime;

use futures_lite::{AsyncReadExt as _, AsyncWriteExt as _};
use futures_rustls::TlsConnector;
use futures_rustls::client::TlsStream;
use futures_rustls::rustls::pki_types::{CertificateDer, ServerName};
use futures_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

use super::*;
use crate::announce::{AnnounceRequest, AnnounceResponse};
use crate::{Client, TrackerError};

/// Certificate files in a folder of their own.
struct Files {
    _folder: tempfile::TempDir,
    files: TlsFiles,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [certificates, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
        let files = TlsFiles { certificates, key };
        Self {
            _folder: folder,
            files,
        }
    }

    /// A new pair for the name, written over what was there.
    fn make(&self, name: &str) -> CertificateDer<'static> {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let pem = |kind: &str, der: &[u8]| {
            let lines = base64(der);
            format!("-----BEGIN {kind}-----\n{lines}-----END {kind}-----\n")
        };
        let (certificate, key) = (made.cert.der(), made.signing_key.serialize_der());
        fs::write(&self.files.key, pem("PRIVATE KEY", &key)).unwrap();
        fs::write(&self.files.certificates, pem("CERTIFICATE", certificate)).unwrap();
        certificate.clone()
    }

    fn start(&self) -> (ServerHandle, SocketAddr) {
        start(ServerConfig {
            front: FrontConfig {
                tls: Some(self.files.clone()),
                ..FrontConfig::default()
            },
            ..config()
        })
    }
}

/// Source: RFC 4648, section 4, in the lines of RFC 7468.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for (at, three) in bytes.chunks(3).enumerate() {
        let mut bits = [0; 4];
        bits[1..=three.len()].copy_from_slice(three);
        let bits = u32::from_be_bytes(bits);
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= three.len() {
                letter.into()
            } else {
                '='
            });
        }
        if at % 16 == 15 {
            text.push('\n');
        }
    }
    text.push('\n');
    text
}

fn lookup(_: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))])
}

fn trusting(certificate: &CertificateDer<'static>) -> Client {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    Client::assemble(lookup, roots)
}

fn announce_over_tls(
    client: &Client,
    name: &str,
    address: SocketAddr,
) -> Result<AnnounceResponse, TrackerError> {
    let request = AnnounceRequest {
        info_hash: InfoHash([1; 20]),
        peer_id: PeerId::ours([b'x'; 12]),
        key: 1,
        ..AnnounceRequest::example()
    };
    let url = format!("https://{name}:{}/announce", address.port());
    task::block_on(client.announce(&url, &request))
}

async fn open(
    certificate: &CertificateDer<'static>,
    name: &'static str,
    address: SocketAddr,
) -> io::Result<TlsStream<async_std::net::TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = async_std::net::TcpStream::connect(address).await?;
    let name = ServerName::try_from(name).unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

async fn ask_health(stream: &mut TlsStream<async_std::net::TcpStream>) {
    stream
        .write_all(b"GET /health HTTP/1.1\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"ok\n") {
        let mut chunk = [0; 512];
        let count = stream.read(&mut chunk).await.unwrap();
        assert!(count > 0, "{}", answer.escape_ascii());
        answer.extend_from_slice(&chunk[..count]);
    }
}

#[test]
fn our_client_announces_over_tls_at_the_port_of_plain_http() {
    let files = Files::new();
    let certificate = files.make("secure.test");
    let (handle, address) = files.start();
    let client = trusting(&certificate);
    announce(address, &query(7, ""));
    let answer = announce_over_tls(&client, "secure.test", address).unwrap();
    assert_eq!(answer.peers, ["127.0.0.1:7".parse().unwrap()]);
    // Once more on the connection that was kept.
    announce_over_tls(&client, "secure.test", address).unwrap();
    let counted = handle.shared.front.counters.read().0;
    assert_eq!(counted.announces, 3);
    stop(&handle);
}

#[test]
fn new_certificate_is_for_new_connections_and_old_ones_go_on() {
    let files = Files::new();
    let old = files.make("old.test");
    let (handle, address) = files.start();
    let mut running = task::block_on(open(&old, "old.test", address)).unwrap();
    task::block_on(ask_health(&mut running));
    let tls = handle.shared.front.tls.as_ref().unwrap();
    assert!(!tls.reload_if_changed().unwrap());
    let new = files.make("new.test");
    // A second may pass between two times of a file.
    let later = SystemTime::now() + Duration::from_secs(9);
    let certificates = fs::File::open(&files.files.certificates).unwrap();
    certificates.set_modified(later).unwrap();
    assert!(tls.reload_if_changed().unwrap());
    announce_over_tls(&trusting(&new), "new.test", address).unwrap();
    assert!(task::block_on(open(&old, "old.test", address)).is_err());
    task::block_on(ask_health(&mut running));
    // A pair that is none is told of, once, and changes nothing.
    fs::write(&files.files.key, "nonsense").unwrap();
    let error = handle.reload_tls().unwrap_err().to_string();
    assert!(
        error.contains("key.pem") && error.contains("private key"),
        "{error}"
    );
    // Whoever looks for changes next finds none to tell of again.
    assert!(!tls.reload_if_changed().unwrap());
    announce_over_tls(&trusting(&new), "new.test", address).unwrap();
    stop(&handle);
}

#[test]
fn certificate_of_no_use_is_refused_by_the_name_of_its_file() {
    let files = Files::new();
    let bind = || {
        let front = FrontConfig {
            tls: Some(files.files.clone()),
            ..FrontConfig::default()
        };
        let config = ServerConfig { front, ..config() };
        task::block_on(Server::bind(config))
            .unwrap_err()
            .to_string()
    };
    assert!(bind().contains("cannot read"), "{}", bind());
    files.make("a.test");
    let key = fs::read(&files.files.key).unwrap();
    files.make("b.test");
    fs::write(&files.files.key, key).unwrap();
    let error = bind();
    assert!(
        error.contains("cert.pem") && error.contains("together"),
        "{error}"
    );
    fs::write(&files.files.certificates, "nonsense").unwrap();
    assert!(bind().contains("no certificate"), "{}", bind());
}

#[test]
fn what_is_no_handshake_is_closed_and_plain_servers_refuse_tls() {
    let files = Files::new();
    files.make("a.test");
    let (handle, address) = files.start();
    let mut stream = StdStream::connect(address).unwrap();
    stream.write_all(&[22, 3, 1, 0, 4, 9, 9, 9, 9]).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    // An alert: no HTTP comes from there.
    assert_ne!(answer.first(), Some(&b'H'));
    stop(&handle);
    let (handle, address) = start(config());
    let (status, _) = raw(address, b"\x16\x03\x01\x00\x04\r\n\r\n");
    assert_eq!(status, 400);
    stop(&handle);
}
