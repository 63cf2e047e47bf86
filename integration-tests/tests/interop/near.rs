//! What is near: neighbours found by multicast, without a tracker (BEP 14), and a router that lets
//! peers in, a real miniupnpd (RFC 6886, 6887, UPnP IGD).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::clients::{libtorrent_python, script, shoal_binary};
use crate::net::{Host, Net, Running, ip};
use crate::{content, run};

const FIRST: Host = Host(0);
const SECOND: Host = Host(1);
/// Far above what anything here needs, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

fn wait(running: &Running, what: &str) {
    let until = Instant::now() + PATIENCE;
    while !running.said().contains(what) {
        assert!(
            Instant::now() < until,
            "it never said {what}:\n{}",
            running.said()
        );
        thread::sleep(Duration::from_millis(20));
    }
}

/// A torrent whose tracker nobody runs.
fn torrent_of(content: &Path, torrent: &Path, more: &[&str]) {
    let mut command = Command::new(shoal_binary());
    command.arg("create").arg(content);
    command
        .args(["http://10.78.0.99:6969/announce", "-o"])
        .arg(torrent);
    run(command.args(more));
}

/// Our client on port 6881, with no tracker.
fn ours(mut command: Command, torrent: &Path, data: &Path, more: &[&str]) -> Running {
    fs::create_dir_all(data).expect("a folder for the data");
    let state = data.with_extension("state");
    command.arg("client").arg(torrent).arg("6881");
    command.args(["--no-tracker", "--json", "--dir"]).arg(data);
    command.arg("--state-dir").arg(&state).args(more);
    Running::start(&mut command, &data.with_extension("log"))
}

fn libtorrent(net: &Net, host: Host, role: &str, torrent: &Path, data: &Path) -> Running {
    fs::create_dir_all(data).expect("a folder for the data");
    let mut command = net.command(host, libtorrent_python());
    command.arg(script("libtorrent_client.py")).arg(role);
    command.arg(torrent).arg(data);
    command.arg(host.address().to_string()).arg("lsd");
    Running::start(&mut command, &data.with_extension("log"))
}

/// A torrent, its content below `seed`, and an empty folder `leech` beside it.
struct Share {
    dir: tempfile::TempDir,
    torrent: PathBuf,
}

impl Share {
    fn new(more: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let torrent = dir.path().join("content.torrent");
        torrent_of(&content(&dir.path().join("seed")), &torrent, more);
        Self { dir, torrent }
    }

    fn data(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn assert_copied(&self) {
        for name in ["a/first.bin", "boundary.bin", "last.bin", "ünï cødé.txt"] {
            let read = |folder| fs::read(self.data(folder).join("content").join(name)).ok();
            assert!(
                read("seed").is_some() && read("seed") == read("leech"),
                "{name}"
            );
        }
    }
}

#[test]
fn we_find_libtorrent_in_our_network_without_a_tracker() {
    let (share, net) = (Share::new(&[]), Net::new(2));
    let (seed, leech) = (share.data("seed"), share.data("leech"));
    // Whoever was there before hears the other and dials it.
    let ours = ours(
        net.command(FIRST, shoal_binary()),
        &share.torrent,
        &seed,
        &[],
    );
    wait(&ours, "\"checked\"");
    thread::sleep(Duration::from_secs(1));
    let theirs = libtorrent(&net, SECOND, "leech", &share.torrent, &leech);
    wait(&theirs, "DONE");
    share.assert_copied();
    wait(&ours, "\"peer_connected\"");
}

#[test]
fn libtorrent_finds_us_in_our_network_without_a_tracker() {
    let (share, net) = (Share::new(&[]), Net::new(2));
    let (seed, leech) = (share.data("seed"), share.data("leech"));
    let theirs = libtorrent(&net, FIRST, "seed", &share.torrent, &seed);
    wait(&theirs, "DONE");
    thread::sleep(Duration::from_secs(1));
    let command = net.command(SECOND, shoal_binary());
    let more = ["--exit-when-complete"];
    let mut ours = ours(command, &share.torrent, &leech, &more);
    wait(&ours, "\"stopped\"");
    assert_eq!(ended(&mut ours), Some(0), "{}", ours.said());
    share.assert_copied();
}

#[test]
fn two_of_ours_find_each_other_where_there_is_only_ipv6() {
    let (share, net) = (Share::new(&[]), Net::new(2));
    for host in [FIRST, SECOND] {
        let address = format!("fd00:78::{}/64", host.0 + 1);
        let done = [
            net.run(host, "ip", &["-4", "addr", "flush", "dev", "eth0"]),
            net.run(
                host,
                "ip",
                &["-6", "addr", "add", &address, "dev", "eth0", "nodad"],
            ),
        ];
        assert!(
            done.iter().all(|output| output.status.success()),
            "{done:?}"
        );
    }
    let (seed, leech) = (share.data("seed"), share.data("leech"));
    let first = ours(
        net.command(FIRST, shoal_binary()),
        &share.torrent,
        &seed,
        &[],
    );
    wait(&first, "\"checked\"");
    let command = net.command(SECOND, shoal_binary());
    let more = ["--exit-when-complete"];
    let mut second = ours(command, &share.torrent, &leech, &more);
    assert_eq!(ended(&mut second), Some(0), "{}", second.said());
    share.assert_copied();
}

fn ended(running: &mut Running) -> Option<i32> {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(code) = running.ended() {
            return code;
        }
        assert!(Instant::now() < until, "no end:\n{}", running.said());
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn two_of_ours_on_one_host_find_each_other_and_never_by_a_private_torrent() {
    let (public, private, net) = (Share::new(&[]), Share::new(&["--private"]), Net::new(1));
    let start = |share: &Share, name: &str, port: &str, more: &[&str]| {
        let data = share.data(name);
        fs::create_dir_all(&data).expect("a folder for the data");
        let mut command = net.command(FIRST, shoal_binary());
        command.arg("client").arg(&share.torrent).arg(port);
        command
            .args(["--no-tracker", "--json", "--no-resume", "--dir"])
            .arg(&data);
        Running::start(command.args(more), &data.with_extension("log"))
    };
    let silent = [
        start(&private, "seed", "7001", &[]),
        start(&private, "leech", "7002", &[]),
    ];
    silent.iter().for_each(|client| wait(client, "\"checked\""));
    let seed = start(&public, "seed", "7003", &[]);
    wait(&seed, "\"checked\"");
    let leech = start(&public, "leech", "7004", &["--exit-when-complete"]);
    wait(&leech, "\"stopped\"");
    public.assert_copied();
    for client in silent {
        let said = client.said();
        assert!(!said.contains("\"peer_connected\""), "{said}");
    }
}

/// A house with a router, and a host outside:
/// `inside 192.168.7.2 ── 192.168.7.1 router 20.30.40.1 ── 20.30.40.2 outside`.
struct House {
    name: String,
    dir: tempfile::TempDir,
    daemon: Option<Running>,
}

const OUTSIDE_ADDRESS: &str = "20.30.40.1";

/// What a router is that lets nobody in, with places for miniupnpd's own rules.
const RULES: &str = "table inet filter {
    chain miniupnpd { }
    chain forward {
        type filter hook forward priority 0; policy drop;
        ct state established,related accept
        iifname lan accept
        jump miniupnpd
    }
    chain prerouting_miniupnpd { }
    chain postrouting_miniupnpd { }
    chain prerouting { type nat hook prerouting priority -100; jump prerouting_miniupnpd; }
    chain postrouting { type nat hook postrouting priority 100; jump postrouting_miniupnpd; }
}
";

const DAEMON: &str = "ext_ifname=wan
listening_ip=lan
enable_natpmp=yes
enable_upnp=yes
secure_mode=yes
uuid=00000000-0000-0000-0000-000000000001
allow 1024-65535 192.168.7.0/24 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
";

impl House {
    fn new(number: usize) -> Self {
        let mut house = Self {
            name: format!("shoal{}-house{number}", std::process::id()),
            dir: tempfile::tempdir().expect("a temporary folder"),
            daemon: None,
        };
        let [router, inside, outside] = house.places();
        for place in [&router, &inside, &outside] {
            ip(&["netns", "add", place]);
            ip(&["-n", place, "link", "set", "lo", "up"]);
        }
        let plug = |name, place: &str, address, beside| {
            ip(&[
                "-n", &router, "link", "add", name, "type", "veth", "peer", "name", "eth0",
                "netns", place,
            ]);
            for (place, name, address) in [(&*router, name, address), (place, "eth0", beside)] {
                ip(&["-n", place, "addr", "add", address, "dev", name]);
                ip(&["-n", place, "link", "set", name, "up"]);
            }
        };
        plug("lan", &inside, "192.168.7.1/24", "192.168.7.2/24");
        plug("wan", &outside, "20.30.40.1/24", "20.30.40.2/24");
        ip(&[
            "-n",
            &inside,
            "route",
            "add",
            "default",
            "via",
            "192.168.7.1",
        ]);
        house.routes();
        house
    }

    fn places(&self) -> [String; 3] {
        ["router", "inside", "outside"].map(|place| format!("{}-{place}", self.name))
    }

    fn routes(&mut self) {
        let file = |name: &str, text: &str| {
            let path = self.dir.path().join(name);
            fs::write(&path, text).expect("a file for the router");
            path.display().to_string()
        };
        let (rules, config) = (file("rules", RULES), file("config", DAEMON));
        let pid = self.dir.path().join("pid").display().to_string();
        let in_router = |program: &str, arguments: &[&str]| {
            let output = self.command(0, program).args(arguments).output();
            let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
            assert!(output.status.success(), "{program}: {output:?}");
        };
        in_router("sh", &["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]);
        in_router("nft", &["-f", &rules]);
        let mut command = self.command(0, "miniupnpd");
        command.args(["-d", "-f", &config, "-P", &pid]);
        let daemon = Running::start(&mut command, &self.dir.path().join("daemon"));
        wait(&daemon, "Listening for NAT-PMP/PCP traffic");
        self.daemon = Some(daemon);
    }

    /// 0 is the router, 1 inside, 2 outside.
    fn command(&self, place: usize, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.places()[place]])
            .arg(program);
        command.stdin(Stdio::null());
        command
    }

    /// The router's rules.
    fn rules(&self) -> String {
        let Output { stdout, .. } = self
            .command(0, "nft")
            .args(["list", "ruleset"])
            .output()
            .expect("nft runs");
        String::from_utf8_lossy(&stdout).into_owned()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.daemon = None;
        for place in self.places() {
            let deleted = Command::new("ip").args(["netns", "del", &place]).status();
            assert!(deleted.is_ok_and(|status| status.success()) || thread::panicking());
        }
    }
}

/// Who is inside gets a mapping, is reached from outside by it, and leaves nothing behind.
fn mapped_by(way: &str, number: usize) {
    let (share, house) = (Share::new(&[]), House::new(number));
    assert!(!house.rules().contains("6881"), "{}", house.rules());
    let inside = house.command(1, shoal_binary());
    let map_port = format!("--map-port={way}");
    let seed = ours(
        inside,
        &share.torrent,
        &share.data("seed"),
        &["--no-lsd", &map_port],
    );
    wait(&seed, "\"checked\"");
    // Peers come to the one, nodes of the DHT to the other.
    for protocol in ["tcp", "udp"] {
        let event = format!("\"port_mapped\",\"protocol\":\"{protocol}\"");
        wait(&seed, &event);
        let said = seed.said();
        let told = said.lines().find(|line| line.contains(&event));
        let told = told.expect("it was told");
        for part in [
            "\"port\":6881".to_owned(),
            format!("\"external_ip\":\"{OUTSIDE_ADDRESS}\""),
            "\"external_port\":6881".to_owned(),
            format!("\"by\":\"{way}\""),
        ] {
            assert!(told.contains(&part), "no {part} in {told}");
        }
    }
    assert!(house.rules().contains("6881"), "{}", house.rules());
    let peer = format!("{OUTSIDE_ADDRESS}:6881");
    let more = ["--no-lsd", "--exit-when-complete", "--peer", &peer];
    let outside = house.command(2, shoal_binary());
    let mut leech = ours(outside, &share.torrent, &share.data("leech"), &more);
    assert_eq!(ended(&mut leech), Some(0), "{}", leech.said());
    share.assert_copied();
    let begun = Instant::now();
    assert_eq!(seed.interrupt(), Some(0));
    let span = begun.elapsed();
    assert!(!house.rules().contains("6881"), "{}", house.rules());
    assert!(span < Duration::from_secs(15), "{span:?} to stop");
}

#[test]
fn router_lets_peers_in_by_pcp_and_not_afterwards() {
    mapped_by("pcp", 0);
}

#[test]
fn router_lets_peers_in_by_nat_pmp_and_not_afterwards() {
    mapped_by("nat-pmp", 1);
}

#[test]
fn router_lets_peers_in_by_upnp_and_not_afterwards() {
    mapped_by("upnp", 2);
}

#[test]
fn host_without_a_router_is_told_that_nobody_is_let_in() {
    let (share, net) = (Share::new(&[]), Net::new(1));
    let command = net.command(FIRST, shoal_binary());
    let client = ours(
        command,
        &share.torrent,
        &share.data("seed"),
        &["--map-port"],
    );
    wait(&client, "\"port_map_failed\"");
    let said = client.said();
    for way in [
        "pcp: no gateway is known",
        "nat-pmp: no gateway is known",
        "upnp: no answer",
    ] {
        assert!(said.contains(way), "no {way:?} in {said}");
    }
    assert_eq!(client.interrupt(), Some(0));
}
