//! TLS: whose certificates are believed.

use super::*;

/// A TLS tracker for `name` with a certificate of its own making; serves one connection.
fn tls_stub(name: &str, answer: String) -> (u16, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    task::spawn(async move {
        use futures_lite::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = async_std::net::TcpListener::from(listener);
        let (stream, _) = listener.accept().await.unwrap();
        if let Ok(mut stream) = acceptor.accept(stream).await {
            let mut chunk = [0; 4_096];
            let _ = stream.read(&mut chunk).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.flush().await;
            let _ = stream.close().await;
        }
    });
    (port, certificate)
}

/// Asserts that there is no secure connection to the URL, and that the error says so.
fn check_insecure(client: &Client, url: &str, expect: &str) {
    let error = check(task::block_on(client.announce(url, &request())), expect);
    assert!(matches!(error, TrackerError::Tls { .. }), "{error:?}");
}

fn trusting(certificate: CertificateDer<'static>) -> Client {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    Client::assemble(lookup, roots)
}

#[test]
fn trusted_certificate_is_accepted_for_its_own_name_alone() {
    let (port, certificate) = tls_stub("secure.test", GOOD.to_owned());
    let client = trusting(certificate);
    let url = format!("https://secure.test:{port}/announce");
    assert!(task::block_on(client.announce(&url, &request())).is_ok());

    let (port, certificate) = tls_stub("secure.test", GOOD.to_owned());
    let client = trusting(certificate);
    let url = format!("https://other.test:{port}/announce");
    check_insecure(&client, &url, "other.test");
}

#[test]
fn self_signed_certificate_is_refused() {
    let (port, _) = tls_stub("secure.test", GOOD.to_owned());
    let client = Client::assemble(lookup, tls::public_roots());
    let url = format!("https://secure.test:{port}/announce");
    check_insecure(&client, &url, "no secure connection");
}

#[test]
fn plain_port_is_no_secure_connection() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .unwrap();
        let _ = stream.read(&mut [0; 4_096]);
    });
    let url = format!("https://a.test:{port}/announce");
    check_insecure(&client(), &url, "no secure connection");
}

#[test]
fn redirect_from_https_to_http_is_refused() {
    let (port, certificate) = tls_stub("secure.test", moved("http://a.test:1/announce"));
    let client = trusting(certificate);
    let url = format!("https://secure.test:{port}/announce");
    check(
        task::block_on(client.announce(&url, &request())),
        "from https to http",
    );
}

#[test]
fn web_seed_is_read_over_tls_and_refused_without_trust() {
    let part = "HTTP/1.1 206 P\r\nContent-Range: bytes 2-5/9\r\nContent-Length: 4\r\n\r\nabcd";
    let (port, certificate) = tls_stub("good.test", part.to_owned());
    let url = format!("https://good.test:{port}/file");
    task::block_on(async {
        let mut line = trusting(certificate).web().open(&url, None).await.unwrap();
        line.ask(&url, Some(&(2..6))).await.unwrap();
        let (range, total) = (2..6, Some(9));
        assert_eq!(line.answer().await, Ok(web::Answer::Part { range, total }));
        let mut bytes = [0; 4];
        assert_eq!(line.read(&mut bytes).await, Ok(4));
        assert_eq!(&bytes, b"abcd");
    });
    let (port, _) = tls_stub("good.test", part.to_owned());
    let url = format!("https://good.test:{port}/file");
    let refused = task::block_on(client().web().open(&url, None)).map(drop);
    let refused = refused.unwrap_err().to_string();
    assert!(
        refused.contains("no secure connection to the web seed"),
        "{refused}"
    );
}
