//! Our client and what stands between it and its peers: a real opentracker, over HTTP and UDP, and
//! a real SOCKS5 proxy, beside which nothing goes.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::{
    ANNOUNCE, LEECHER, SEEDER, TRACKER, content, create_for, info_hash, shoal_tracker,
    wait_announced,
};
use crate::clients::{Client, Kind, Role, shoal_binary};
use crate::net::{Host, Net, Running};

pub(crate) const PROXY: Host = Host(3);

pub(crate) fn open_folder() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o755)
}

/// opentracker for one torrent, over HTTP and UDP. Debian's build serves only what its whitelist
/// names, and reads that inside its folder.
fn opentracker(net: &Net, torrent: &Path, work: &Path, log: &Path) -> Running {
    fs::write(work.join("whitelist"), info_hash(torrent) + "\n").expect("a whitelist");
    let mut command = net.command(TRACKER, "opentracker");
    command.args(["-i", "10.78.0.1", "-p", "6969", "-P", "6969"]);
    command.args(["-u", "nobody", "-w", "/whitelist", "-d"]);
    Running::start(command.arg(work), log)
}

/// Moves the content from one of ours to another through opentracker at this URL, and lets both
/// scrape it.
fn through_opentracker(announce: &str) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let content = content(&dir.path().join("seed"));
    let torrent = dir.path().join("content.torrent");
    create_for(&content, &torrent, &[announce]);
    let net = Net::new(3);
    let work = tempfile::Builder::new()
        .permissions(open_folder())
        .tempdir()
        .expect("a folder");
    let log = dir.path().join("tracker.log");
    let tracker = opentracker(&net, &torrent, work.path(), &log);
    let data = content.parent().expect("below seed");
    let seed = Client::start((Kind::Shoal, Role::Seed), &net, SEEDER, &torrent, data);
    let until = Instant::now() + Duration::from_secs(60);
    // Its zeros come at once, or not at all: before the seeder has announced, it knows no torrent.
    while !scraped(&net, &torrent).contains("\"seeders\":1") {
        assert!(Instant::now() < until, "{}", scraped(&net, &torrent));
        std::thread::sleep(Duration::from_millis(100));
    }
    let data = dir.path().join("leech");
    let mut leech = Client::start((Kind::Shoal, Role::Leech), &net, LEECHER, &torrent, &data);
    leech.wait_whole();
    leech.assert_holds(&content);
    let last = scraped(&net, &torrent);
    assert!(last.contains("\"completed\":1"), "{last}");
    drop((seed, leech, tracker));
}

/// What `shoal show --scrape` tells.
fn scraped(net: &Net, torrent: &Path) -> String {
    let mut command = net.command(LEECHER, shoal_binary());
    let shown = command
        .arg("show")
        .arg(torrent)
        .args(["--scrape", "--json"]);
    let shown = shown.output().expect("ip netns exec runs");
    String::from_utf8_lossy(&shown.stdout).into_owned()
}

#[test]
fn we_find_each_other_through_opentracker() {
    through_opentracker(ANNOUNCE);
}

#[test]
fn we_find_each_other_through_opentracker_over_udp() {
    through_opentracker("udp://10.78.0.1:6969/announce");
}

/// Packets that have left the host by any way but to the proxy: its default route leads into a
/// device behind which there is nothing.
pub(crate) fn leaked(net: &Net) -> u64 {
    let statistics = "/sys/class/net/leak/statistics/tx_packets";
    let read = net.run(LEECHER, "cat", &[statistics]);
    let text = String::from_utf8_lossy(&read.stdout);
    text.trim().parse().expect("a number of packets")
}

pub(crate) fn only_way_is_the_proxy(net: &Net) {
    let proxy = format!("{}/32", PROXY.address());
    for arguments in [
        "link add leak type veth peer name hole",
        "addr add 10.99.0.1/24 dev leak",
        // They would speak up by themselves.
        "link set leak addrgenmode none",
        "link set hole addrgenmode none",
        "link set leak up",
        "link set hole up",
        "route flush dev eth0",
        &format!("route add {proxy} dev eth0"),
        "route add default dev leak",
    ] {
        let arguments: Vec<_> = arguments.split(' ').collect();
        let done = net.run(LEECHER, "ip", &arguments);
        let error = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "ip {arguments:?}: {error}");
    }
}

/// A command in a host that sees this file in place of that one of its system.
fn with_file(net: &Net, host: Host, file: &Path, place: &str, command: &[&str]) -> Command {
    let script = format!("mount --bind \"$0\" {place} && exec \"$@\"");
    let mut shell = net.command(host, "sh");
    shell.args(["-c", &script]).arg(file).args(command);
    shell
}

#[test]
fn nothing_leaks_around_a_proxy() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let content = content(&dir.path().join("seed"));
    let file = |name: &str| dir.path().join(name);
    // The first cannot be asked, for microsocks relays no datagrams, and the second has a name that
    // only the proxy's host knows.
    let torrent = file("content.torrent");
    let trackers = [
        "udp://10.78.0.1:6969",
        "http://tracker.example:6969/announce",
    ];
    create_for(&content, &torrent, &trackers);
    let net = Net::new(4);
    only_way_is_the_proxy(&net);
    let tracker = shoal_tracker(&net, &torrent, &file("tracker.log"));
    let plain = file("plain.torrent");
    create_for(&content, &plain, &[ANNOUNCE]);
    let data = content.parent().expect("below seed");
    let seed = Client::start((Kind::Shoal, Role::Seed), &net, SEEDER, &plain, data);
    wait_announced(&tracker, SEEDER);

    fs::write(file("hosts"), "10.78.0.1 tracker.example\n").expect("hosts");
    let socks = ["microsocks", "-u", "user", "-P", "pass word", "-p", "1080"];
    let mut command = with_file(&net, PROXY, &file("hosts"), "/etc/hosts", &socks);
    let proxy = Running::start(&mut command, &file("proxy.log"));

    let shoal = shoal_binary().display().to_string();
    let torrent = torrent.display().to_string();
    fs::write(file("resolv.conf"), "nameserver 198.51.100.1\n").expect("resolv.conf");
    let resolv = file("resolv.conf");
    let run = |arguments: &[&str]| {
        let command = [&[shoal.as_str()], arguments].concat();
        with_file(&net, LEECHER, &resolv, "/etc/resolv.conf", &command)
    };
    let url = format!("socks5://user:pass%20word@{}:1080", PROXY.address());
    let data = file("leech").display().to_string();
    let state = file("state").display().to_string();
    let mut command = run(&["client", &torrent, "--exit-when-complete", "--json"]);
    command.args(["--proxy", &url, "--dir", &data, "--state-dir", &state]);
    let mut leech = Running::start(&mut command, &file("leech.log"));
    leech.wait_done(&[&proxy, &tracker]);
    crate::clients::assert_same(&content, &file("leech").join("content"));
    assert_eq!(leaked(&net), 0, "packets went beside the proxy");
    let said = leech.said();
    assert!(
        said.contains("this proxy, which relays no datagrams"),
        "{said}"
    );
    let (ours, theirs) = (LEECHER.address().to_string(), PROXY.address().to_string());
    let seen = tracker.said();
    assert!(seen.contains(&theirs) && !seen.contains(&ours), "{seen}");
    // Without the proxy the name would be looked up outside, and that would have been counted.
    let beside = run(&["show", &torrent, "--scrape"]).output();
    assert!(beside.is_ok(), "{beside:?}");
    assert!(leaked(&net) > 0, "a leak would not have been seen");
    drop(seed);
}
