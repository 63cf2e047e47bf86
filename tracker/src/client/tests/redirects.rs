//! Where answers lead, and the names that are looked up for it.

use super::*;

#[test]
fn redirects_are_followed_within_bounds() {
    let port = stubs(vec![
        moved("/announce2?x=1"),
        moved("announce3"),
        GOOD.to_owned(),
    ]);
    let got = announce(&format!("http://a.test:{port}/announce")).unwrap();
    assert_eq!(got.interval, Duration::from_secs(900));
    let port = stubs(vec![moved("/announce"); 9]);
    check(
        announce(&format!("http://a.test:{port}/announce")),
        "more than 5 times",
    );
}

#[test]
fn redirects_are_checked_like_the_first_address() {
    let redirect = |location: &str| {
        let port = stubs(vec![moved(location)]);
        announce(&format!("http://a.test:{port}/announce"))
    };
    check(
        redirect("http://169.254.169.254/latest/meta-data"),
        "metadata",
    );
    check(redirect("http://127.0.0.1:1/shutdown"), "/announce");
    check(redirect("/shutdown"), "/announce");
    check(redirect("file:///etc/passwd"), "scheme `file`");
    check(redirect("http://[::1"), "not a URL");
    check(redirect("http://a.test:0/announce"), "port 0");
    check(redirect("\u{fc}ber://x"), "/announce");
    let port = stubs(vec!["HTTP/1.1 301 X\r\n\r\n".to_owned()]);
    check(
        announce(&format!("http://a.test:{port}/announce")),
        "status 301",
    );
}

#[test]
fn name_is_looked_up_once_and_pinned() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let port = stubs(vec![GOOD.to_owned()]);
    // A second look-up would be led elsewhere: DNS rebinding.
    let client = Client::assemble(
        move |_, port| match counter.fetch_add(1, Ordering::Relaxed) {
            0 => Ok(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))]),
            _ => Ok(vec![SocketAddr::from(([169, 254, 169, 254], port))]),
        },
        RootCertStore::empty(),
    );
    let url = format!("http://rebind.test:{port}/announce");
    assert!(task::block_on(client.announce(&url, &request())).is_ok());
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[test]
fn dead_address_is_passed_over() {
    let port = stubs(vec![GOOD.to_owned()]);
    let both = move |_: &str, _: u16| {
        let dead = SocketAddr::from(([127, 0, 0, 77], port));
        Ok(vec![dead, SocketAddr::from((Ipv4Addr::LOCALHOST, port))])
    };
    let client = Client::assemble(both, RootCertStore::empty());
    let url = format!("http://two.test:{port}/announce");
    assert!(task::block_on(client.announce(&url, &request())).is_ok());
}
