//! Which URLs of a torrent are contacted: a table, against names looked up in the test. CWE-918.

use super::super::address::{self, Purpose, Reach};
use std::net::IpAddr;

use super::*;

/// What the stub of a resolver knows. It never asks the network.
fn names(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let ips: &[&str] = match host.trim_end_matches('.') {
        "public.test" | "xn--bcher-kva.test" => &["93.184.216.34", "2606:2800:220:1::1"],
        "lan.test" => &["192.168.1.10"],
        "loopback.test" | "localhost" | "x.localhost" => &["127.0.0.1", "::1"],
        "metadata.test" => &["169.254.169.254"],
        "mapped.test" => &["::ffff:169.254.169.254"],
        "mixed.test" => &["169.254.169.254", "93.184.216.34"],
        "zero.test" => &["0.0.0.0", "::"],
        "public.test.metadata.test" => &["169.254.169.254"],
        _ => return Err(io::Error::other("Name or service not known")),
    };
    let ips = ips.iter().map(|ip| ip.parse::<IpAddr>().unwrap());
    Ok(ips.map(|ip| SocketAddr::new(ip, port)).collect())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It is contacted, at an address of that reach.
    Asked(Reach),
    /// An address that the rules forbid.
    Forbidden,
    /// It is no URL for us.
    Unusable,
    /// The name is nobody's.
    Unknown,
}

use Verdict::{Asked, Forbidden, Unknown, Unusable};

const GLOBAL: Verdict = Asked(Reach::Global);
const PRIVATE: Verdict = Asked(Reach::Private);
const LOOPBACK: Verdict = Asked(Reach::Loopback);

/// What the client does with a URL, up to the first packet.
fn verdict(url: &str, from: Option<Reach>) -> Verdict {
    let resolver = Resolver::new(names);
    let (host, port, purpose, path);
    match Target::parse(url) {
        Err(_) => return Unusable,
        Ok(Target::Http(url)) => {
            host = url.host().unwrap().to_owned();
            port = url.port_or_known_default().unwrap();
            path = url.path().to_owned();
            purpose = Purpose::Announce { path: &path };
        }
        Ok(Target::Udp(target)) => {
            (host, port, purpose) = (target.host, target.port, Purpose::UdpAnnounce);
        }
    }
    let borrowed = match &host {
        Host::Domain(name) => Host::Domain(name.as_str()),
        Host::Ipv4(ip) => Host::Ipv4(*ip),
        Host::Ipv6(ip) => Host::Ipv6(*ip),
    };
    let Ok(addresses) = task::block_on(resolver.resolve(&borrowed, port)) else {
        return Unknown;
    };
    match address::permitted(&host.to_string(), &addresses, purpose, from) {
        Ok(good) => Asked(address::reach(good[0].ip())),
        Err(TrackerError::Forbidden { .. }) => Forbidden,
        Err(error) => panic!("{url}: {error}"),
    }
}

const TABLE: &[(&str, Verdict)] = &[
    // The internet.
    ("http://public.test/announce", GLOBAL),
    ("https://public.test/x?passkey=1", GLOBAL),
    ("http://public.test./announce", GLOBAL),
    ("http://PUBLIC.test/announce", GLOBAL),
    ("http://93.184.216.34/x", GLOBAL),
    ("http://[2606:2800:220:1::1]/x", GLOBAL),
    ("http://[::ffff:8.8.8.8]/x", GLOBAL),
    ("http://[64:ff9b::808:808]/x", GLOBAL),
    ("http://b\u{fc}cher.test/announce", GLOBAL),
    ("udp://public.test:6969", GLOBAL),
    ("udp://public.test:22/announce", GLOBAL),
    ("http://public.test:6379/announce", GLOBAL),
    // A name with a good and a bad address is asked at the good one.
    ("http://mixed.test/announce", GLOBAL),
    ("udp://mixed.test:1", GLOBAL),
    // The local network, where a tracker may be.
    ("http://lan.test/x", PRIVATE),
    ("http://10.0.0.1/x", PRIVATE),
    ("http://172.16.0.1/x", PRIVATE),
    ("http://192.168.1.1/x", PRIVATE),
    ("http://100.64.0.1/x", PRIVATE),
    ("http://[fd00::1]/x", PRIVATE),
    ("http://[fec0::1]/x", PRIVATE),
    ("http://[::ffff:10.0.0.1]/x", PRIVATE),
    ("http://[64:ff9b::a00:1]/x", PRIVATE),
    ("http://[2002:c0a8:101::1]/x", PRIVATE),
    ("http://0xc0a80101/x", PRIVATE),
    ("udp://192.168.1.1:6969", PRIVATE),
    // This machine: what calls itself a tracker.
    ("http://127.0.0.1:6969/announce", LOOPBACK),
    ("http://127.0.0.1:6969/announce.php?x=1", LOOPBACK),
    ("http://localhost:6969/scrape", LOOPBACK),
    ("http://[::1]:6969/announce", LOOPBACK),
    ("udp://127.0.0.1:6969", LOOPBACK),
    ("udp://localhost:6969/x", LOOPBACK),
    // And what does not.
    ("http://127.0.0.1/", Forbidden),
    ("http://127.0.0.1:6379/x", Forbidden),
    ("http://127.255.255.254/x", Forbidden),
    ("http://localhost/admin", Forbidden),
    ("http://localhost./admin", Forbidden),
    ("http://x.localhost/admin", Forbidden),
    ("http://loopback.test/admin", Forbidden),
    ("http://127.0.0.1/x/announce", Forbidden),
    ("http://127.0.0.1/%61nnounce/../admin", Forbidden),
    ("http://127.0.0.1/announce/../admin", Forbidden),
    ("http://[::1]/x", Forbidden),
    ("http://[0:0:0:0:0:0:0:1]/x", Forbidden),
    ("http://[::ffff:127.0.0.1]/x", Forbidden),
    ("http://[::ffff:7f00:1]/x", Forbidden),
    ("http://[64:ff9b::7f00:1]/x", Forbidden),
    ("http://[2002:7f00:1::1]/x", Forbidden),
    // Other ways to write 127.0.0.1.
    ("http://2130706433/x", Forbidden),
    ("http://0x7f000001/x", Forbidden),
    ("http://0x7f.1/x", Forbidden),
    ("http://017700000001/x", Forbidden),
    ("http://0177.0.0.1/x", Forbidden),
    ("http://127.1/x", Forbidden),
    ("http://127.0.0.1./x", Forbidden),
    ("http://%31%32%37.0.0.1/x", Forbidden),
    ("http://\u{ff11}\u{ff12}\u{ff17}.0.0.1/x", Forbidden),
    ("http://127\u{3002}0\u{3002}0\u{3002}1/x", Forbidden),
    ("http://\u{24db}ocalhost/x", Forbidden),
    // Before the @ stands a user, behind a backslash a path.
    ("http://public.test@127.0.0.1/x", Forbidden),
    ("http://public.test:80@127.0.0.1:81/x", Forbidden),
    ("http://127.0.0.1\\@public.test/x", Forbidden),
    ("http://127.0.0.1#@public.test/", Forbidden),
    ("http://127.0.0.1?@public.test/", Forbidden),
    ("http:\\\\127.0.0.1\\x", Forbidden),
    ("http:127.0.0.1/x", Forbidden),
    ("\thttp://127.0.0.1/x", Forbidden),
    ("ht\ntp://127.0.0.1/x", Forbidden),
    // Nowhere a tracker can be.
    ("http://169.254.169.254/announce", Forbidden),
    ("http://metadata.test/announce", Forbidden),
    ("http://mapped.test/announce", Forbidden),
    ("http://public.test.metadata.test/announce", Forbidden),
    ("http://[fe80::1]/announce", Forbidden),
    ("http://[fd00:ec2::254]/announce", Forbidden),
    ("http://100.100.100.200/announce", Forbidden),
    ("http://0.0.0.0/announce", Forbidden),
    ("http://0/announce", Forbidden),
    ("http://zero.test/announce", Forbidden),
    ("http://[::]/announce", Forbidden),
    ("http://[::127.0.0.1]/announce", Forbidden),
    ("http://[2001:0:7f00:1::]/announce", Forbidden),
    ("http://[64:ff9b:1::a00:1]/announce", Forbidden),
    ("http://224.0.0.1/announce", Forbidden),
    ("http://239.255.255.250:1900/announce", Forbidden),
    ("http://[ff02::1]/announce", Forbidden),
    ("http://255.255.255.255/announce", Forbidden),
    ("http://240.0.0.1/announce", Forbidden),
    ("udp://239.255.255.250:1900", Forbidden),
    ("udp://255.255.255.255:9", Forbidden),
    ("udp://169.254.169.254:80", Forbidden),
    ("udp://2852039166:80", Forbidden),
    ("udp://[::ffff:169.254.169.254]:80", Forbidden),
    ("udp://0:53", Forbidden),
    // No URL for us.
    ("file:///etc/passwd", Unusable),
    ("gopher://127.0.0.1:6379/_x", Unusable),
    ("ftp://public.test/announce", Unusable),
    ("wss://public.test/announce", Unusable),
    ("dict://127.0.0.1:11211/x", Unusable),
    ("data:,x", Unusable),
    ("//127.0.0.1/announce", Unusable),
    ("http:///", Unusable),
    ("http://[::1/announce", Unusable),
    ("http://127.0.0.1:0/announce", Unusable),
    ("http://127.0.0.1:99999/announce", Unusable),
    ("http://256.0.0.1/announce", Unusable),
    ("http://1.2.3.4.5/announce", Unusable),
    ("http://a b/announce", Unusable),
    ("http://public.test%00.evil/announce", Unusable),
    ("udp://public.test/announce", Unusable),
    ("udp://public.test:0", Unusable),
    ("http://unknown.test/announce", Unknown),
];

#[test]
fn every_url_of_the_table_gets_its_verdict() {
    assert!(TABLE.len() >= 60);
    for &(url, expect) in TABLE {
        assert_eq!(verdict(url, None), expect, "{url:?}");
    }
}

/// Whatever the table lets us ask in a private network it does not behind a redirect from outside.
#[test]
fn redirect_from_the_internet_never_leads_into_a_private_network() {
    for &(url, alone) in TABLE {
        let expect = match alone {
            PRIVATE | LOOPBACK => Forbidden,
            other => other,
        };
        assert_eq!(verdict(url, Some(Reach::Global)), expect, "{url:?}");
        for near in [Reach::Private, Reach::Loopback] {
            assert_eq!(verdict(url, Some(near)), alone, "{url:?}");
        }
    }
}

/// Without looking anything up, a literal address gets the same verdict as with it.
#[test]
fn refusal_beforehand_agrees_with_the_table() {
    let client = Client::assemble(names, RootCertStore::empty());
    let mut refused = 0;
    for &(url, verdict) in TABLE {
        let named = url.contains(".test") && !url.contains('@');
        match (Client::refusal(url), verdict) {
            (Some(why), Forbidden) => {
                refused += 1;
                check(task::block_on(client.announce(url, &request())), why);
            }
            (None, Forbidden) => assert!(named, "{url:?}"),
            (found, _) => assert_eq!(found, None, "{url:?}"),
        }
    }
    assert!(refused > 40, "{refused}");
}

#[test]
fn second_look_up_that_turns_private_is_not_followed() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let client = Client::assemble(
        move |_, port| match counter.fetch_add(1, Ordering::Relaxed) {
            0 => Ok(vec![SocketAddr::from(([169, 254, 169, 254], port))]),
            _ => Ok(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))]),
        },
        RootCertStore::empty(),
    );
    let error = task::block_on(client.announce("udp://rebind.test:1", &request()));
    check(error, "metadata");
    assert_eq!(asked.load(Ordering::Relaxed), 1, "one look-up, one verdict");
}
