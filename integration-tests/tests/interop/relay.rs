//! A tracker on UDP through a real SOCKS5 proxy that relays datagrams, dante's, beside which
//! nothing goes. RFC 1928 "UDP ASSOCIATE", BEP 15.

use std::fs;

use super::{LEECHER, SEEDER, content, create_for, shoal_tracker, wait_announced};
use crate::clients::{Client, Kind, Role, assert_same, shoal_binary};
use crate::net::{Net, Running};
use crate::trackers::{PROXY, leaked, only_way_is_the_proxy};

const RULES: &str = "\
logoutput: stderr
internal: PROXY port = 1080
external: PROXY
clientmethod: none
socksmethod: none
user.privileged: root
user.unprivileged: nobody
client pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }
socks pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }
";

#[test]
fn tracker_on_udp_is_reached_through_dante_and_nothing_leaks_around_it() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let content = content(&dir.path().join("seed"));
    let file = |name: &str| dir.path().join(name);
    let torrent = file("content.torrent");
    create_for(&content, &torrent, &["udp://10.78.0.1:6969/announce"]);
    let net = Net::new(4);
    only_way_is_the_proxy(&net);
    let tracker = shoal_tracker(&net, &torrent, &file("tracker.log"));
    let data = content.parent().expect("below seed");
    let seed = Client::start((Kind::Shoal, Role::Seed), &net, SEEDER, &torrent, data);
    wait_announced(&tracker, SEEDER);
    let rules = RULES.replace("PROXY", &PROXY.address().to_string());
    fs::write(file("danted.conf"), rules).expect("rules");
    let mut command = net.command(PROXY, "danted");
    let proxy = Running::start(
        command.arg("-f").arg(file("danted.conf")),
        &file("proxy.log"),
    );

    let url = format!("socks5://{}:1080", PROXY.address());
    let mut command = net.command(LEECHER, shoal_binary());
    command.arg("client").arg(&torrent);
    command.args(["--exit-when-complete", "--json", "--proxy", &url]);
    command.arg("--dir").arg(file("leech"));
    command.arg("--state-dir").arg(file("state"));
    let mut leech = Running::start(&mut command, &file("leech.log"));
    leech.wait_done(&[&proxy, &tracker]);
    assert_same(&content, &file("leech").join("content"));
    assert_eq!(leaked(&net), 0, "packets went beside the proxy");
    let (ours, theirs) = (LEECHER.address().to_string(), PROXY.address().to_string());
    let seen = tracker.said();
    assert!(seen.contains(&theirs) && !seen.contains(&ours), "{seen}");
    drop(seed);
}
