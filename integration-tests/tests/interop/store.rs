//! Several of our trackers with the same swarms, through a real Redis: one server and a cluster, at
//! work, killed, empty, hanging, and full of garbage.

pub(crate) mod room;
mod secret;

use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;
use shoal_tracker::AnnounceEvent::{Completed, Started, Stopped};
use shoal_tracker::limits;

use crate::loopback::{PATIENCE, wait};
use room::{Redis, Tracker};

fn key(torrent: u8, name: &str) -> String {
    let hash = format!("{torrent:02x}").repeat(20);
    format!("shoal:{{{hash}}}:{name}")
}

/// So many trackers at these URLs; their logs go to the folder.
fn trackers(count: usize, urls: &[String], dir: &tempfile::TempDir) -> Vec<Tracker> {
    let log = |number| dir.path().join(format!("tracker{number}.log"));
    let start = |number| Tracker::start(urls, &log(number));
    let trackers: Vec<_> = (0..count).map(start).collect();
    for tracker in &trackers {
        tracker.wait_told("there", 1);
    }
    trackers
}

#[test]
fn three_trackers_share_a_swarm_through_redis() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let redis = Redis::start();
    let all = trackers(3, &[redis.url()], &dir);
    let [a, b, c] = &all[..] else { unreachable!() };
    a.announce(1, 1_001, 0, Some(Started));
    a.announce(1, 1_002, 9, Some(Started));
    b.announce(1, 1_003, 9, Some(Started));
    // Who asks first at a tracker cannot be told of those of others yet, and comes again soon.
    let first = c.announce(1, 60_000, 1, Some(Started));
    assert!(first.peers.is_empty(), "{:?}", first.peers);
    assert_eq!(first.interval, limits::STORE_FIRST_INTERVAL);
    c.wait_ports(1, 60_000, &[1_001, 1_002, 1_003]);
    b.wait_ports(1, 60_000, &[1_001, 1_002, 1_003]);
    a.wait_ports(1, 60_000, &[1_001, 1_002, 1_003]);
    let counts = |tracker: &Tracker| {
        let entry = tracker.scrape(1).expect("it is known");
        (entry.seeders, entry.leechers, entry.completed)
    };
    assert_eq!(counts(c), (1, 3, 0));
    // Who becomes whole is a seed everywhere, and counted once.
    b.announce(1, 1_003, 0, Some(Completed));
    a.announce(1, 1_002, 0, Some(Completed));
    for tracker in [a, b, c] {
        let said = || format!("{:?}\n{}", tracker.scrape(1), tracker.running.said());
        wait("two more seeds", said, || counts(tracker) == (3, 1, 2));
    }
    // It may say goodbye at another tracker than it came to.
    c.announce(1, 1_002, 0, Some(Stopped));
    a.announce(1, 1_001, 0, Some(Stopped));
    for tracker in [a, b, c] {
        tracker.wait_ports(1, 60_000, &[1_003]);
    }
    assert_eq!(redis.cli(&["ZCARD", &key(1, "p")]).trim(), "2");
    for tracker in all {
        assert_eq!(tracker.running.interrupt(), Some(0), "it stops cleanly");
    }
}

/// Has the operator of a tracker whose token is `token` ask; the status of the answer.
fn administer(tracker: &Tracker, token: &str, line: &str) -> String {
    let said = tracker.running.said();
    let events = said
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let mut doors = events.filter(|event: &Value| event["event"] == "admin");
    let door = doors.next().expect("its admin API is told");
    let address = door["listen"].as_str().expect("an address");
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a deadline");
    let fields = format!("Host: {address}\r\nAuthorization: Bearer {token}\r\n");
    let head = format!("{line} HTTP/1.1\r\n{fields}Connection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("it is taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer.lines().next().unwrap_or_default().to_owned()
}

/// As docs/tracker.md says of `DELETE`.
#[test]
fn torrent_removed_at_one_tracker_stays_at_the_others_and_comes_back_with_its_peers() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (redis, token) = (Redis::start(), "atokenofsomelength");
    let file = dir.path().join("token");
    std::fs::write(&file, token).expect("a file");
    let admin = ["--admin=127.0.0.1:0", "--admin-token-file"].map(OsStr::new);
    let log = dir.path().join("a.log");
    let more = [admin[0], admin[1], file.as_os_str()];
    let a = Tracker::start_with(&[redis.url()], &log, &more);
    let b = Tracker::start(&[redis.url()], &dir.path().join("b.log"));
    a.announce(4, 1_001, 0, Some(Started));
    b.announce(4, 1_002, 0, Some(Started));
    for tracker in [&a, &b] {
        tracker.wait_ports(4, 60_000, &[1_001, 1_002]);
    }
    let remove = format!("DELETE /api/torrents/{}", "04".repeat(20));
    let status = administer(&a, token, &remove);
    assert!(status.starts_with("HTTP/1.1 204"), "{status}");
    assert_eq!(a.ports(4, 60_000), [0; 0]);
    assert_eq!(b.ports(4, 60_000), [1_001, 1_002]);
    b.announce(4, 1_002, 0, None);
    a.wait_ports(4, 60_000, &[1_002]);
    a.announce(4, 1_001, 0, None);
    assert_eq!(a.ports(4, 60_000), [1_001, 1_002]);
}

#[test]
fn killed_and_empty_again_redis_is_told_everything() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut redis = Redis::start();
    let all = trackers(2, &[redis.url()], &dir);
    let [a, b] = &all[..] else { unreachable!() };
    a.announce(2, 1_001, 0, Some(Started));
    a.announce(2, 1_009, 3, Some(Started));
    a.announce(2, 1_009, 0, Some(Completed));
    b.wait_ports(2, 60_000, &[1_001, 1_009]);
    redis.kill();
    a.wait_told("away", 1);
    b.wait_told("away", 1);
    // What is known here is answered meanwhile, and what comes is taken.
    a.announce(2, 1_002, 9, Some(Started));
    b.announce(2, 1_003, 9, Some(Started));
    // Long enough that what is told of it then is old.
    std::thread::sleep(Duration::from_secs(8));
    b.announce(2, 1_009, 0, Some(Stopped));
    std::thread::sleep(Duration::from_secs(8));
    assert_eq!(a.ports(2, 60_001), [1_001, 1_002, 1_009]);
    assert_eq!(b.ports(2, 60_000), [1_001, 1_003]);
    redis.run();
    assert_eq!(redis.cli(&["DBSIZE"]).trim(), "0", "it has kept nothing");
    a.wait_told("repaired", 2);
    b.wait_told("repaired", 2);
    // Who said goodbye at the one is gone for the other, that it had come to.
    let last = [1_001, 1_002, 1_003];
    a.wait_ports(2, 60_001, &last);
    // One that comes only now is told all of it, the count of downloads too.
    let late = Tracker::start(&[redis.url()], &dir.path().join("late.log"));
    late.wait_ports(2, 60_002, &last);
    b.wait_ports(2, 60_000, &last);
    let completed = late.scrape(2).map(|entry| entry.completed);
    assert_eq!(completed, Some(1));
}

#[test]
fn trackers_begin_without_redis_and_share_when_it_comes() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut redis = Redis::start();
    redis.kill();
    let start = |name: &str| Tracker::start(&[redis.url()], &dir.path().join(name));
    let (a, b) = (start("a.log"), start("b.log"));
    a.wait_told("away", 1);
    a.announce(3, 1_001, 0, Some(Started));
    assert_eq!(a.ports(3, 60_000), [1_001]);
    redis.run();
    b.wait_ports(3, 60_001, &[1_001]);
}

#[test]
fn hanging_redis_delays_no_announce() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let redis = Redis::start();
    let all = trackers(2, &[redis.url()], &dir);
    let [a, b] = &all[..] else { unreachable!() };
    a.announce(4, 1_001, 0, Some(Started));
    b.wait_ports(4, 60_000, &[1_001]);
    redis.signal("-STOP");
    // Until it is given up, and after it: the store's deadline is 3 s.
    let mut slowest = Duration::ZERO;
    let mut port = 2_000;
    let said = || a.running.said();
    wait("the tracker sees that it hangs", said, || {
        for _ in 0..20 {
            let begun = Instant::now();
            a.announce(4, port, 0, Some(Started));
            slowest = slowest.max(begun.elapsed());
            port += 1;
        }
        a.running.said().contains("\"state\":\"away\"")
    });
    assert!(slowest < Duration::from_secs(2), "one took {slowest:?}");
    redis.signal("-CONT");
    a.wait_told("repaired", 2);
    let expect = usize::from(port - 2_000) + 1;
    let until = Instant::now() + PATIENCE;
    while b.scrape(4).map_or(0, |entry| entry.seeders) < u32::try_from(expect).expect("few") {
        assert!(Instant::now() < until, "{:?} of {expect}", b.scrape(4));
        std::thread::sleep(Duration::from_millis(100));
    }
    redis.signal("-STOP");
    for tracker in all {
        assert_eq!(tracker.running.interrupt(), Some(0), "it stops cleanly");
    }
}

#[test]
fn garbage_in_the_keys_is_told_and_spoils_nothing_else() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let redis = Redis::start();
    // Of the wrong type; of no size, not a peer, from the future, and one that is good.
    redis.cli(&["SET", &key(5, "p"), "what is this"]);
    redis.cli(&["ZADD", &key(6, "p"), "1", "short", "+inf", &"x".repeat(26)]);
    redis.cli(&["ZADD", &key(6, "p"), "-inf", &"y".repeat(38)]);
    redis.cli(&["SET", &key(6, "c"), "many"]);
    redis.cli(&["SET", &key(6, "e"), "never"]);
    redis.cli(&["HSET", &key(7, "g"), "a", "b"]);
    redis.cli(&["SET", &key(6, "g"), &"z".repeat(100_000)]);
    let all = trackers(2, &[redis.url()], &dir);
    let [a, b] = &all[..] else { unreachable!() };
    for torrent in 5..9 {
        a.announce(torrent, 1_001, 0, Some(Started));
    }
    // The keys of one torrent at fault are that torrent's trouble.
    b.wait_ports(8, 60_000, &[1_001]);
    for torrent in 5..8 {
        assert_eq!(a.ports(torrent, 60_000), [1_001], "of torrent {torrent}");
    }
    a.wait_told("refused", 1);
    assert!(
        a.running.said().contains("WRONGTYPE"),
        "{}",
        a.running.said()
    );
    // Once the keys are gone, it is as any other.
    for name in ["p", "g"] {
        for torrent in 5..8 {
            redis.cli(&["DEL", &key(torrent, name)]);
        }
    }
    a.announce(6, 1_001, 0, None);
    b.wait_ports(6, 60_001, &[1_001]);
    let completed = b.scrape(6).map(|entry| entry.completed);
    assert_eq!(completed, Some(0));
}

#[test]
fn cluster_shares_and_one_master_away_is_no_trouble_of_the_others() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut masters = [
        Redis::of_cluster(),
        Redis::of_cluster(),
        Redis::of_cluster(),
    ];
    let nodes = masters
        .each_ref()
        .map(|node| format!("127.0.0.1:{}", node.port));
    let mut create = vec!["--cluster", "create"];
    create.extend(nodes.iter().map(String::as_str));
    create.extend(["--cluster-replicas", "0", "--cluster-yes"]);
    let created = masters[0].cli(&create);
    assert!(created.contains("All 16384 slots covered"), "{created}");
    for node in &masters {
        let said = || node.cli(&["CLUSTER", "INFO"]);
        wait("the cluster is whole", said, || {
            said().contains("cluster_state:ok") && said().contains("cluster_size:3")
        });
    }
    // Two of them are named; they tell of the third.
    let all = trackers(2, &[masters[0].url(), masters[1].url()], &dir);
    let [a, b] = &all[..] else { unreachable!() };
    for torrent in 20..50 {
        a.announce(torrent, 1_001, 0, Some(Started));
    }
    for torrent in 20..50 {
        b.ports(torrent, 60_000);
    }
    for torrent in 20..50 {
        b.wait_ports(torrent, 60_000, &[1_001]);
    }
    let keys = masters
        .each_ref()
        .map(|node| node.cli(&["DBSIZE"]).trim().to_owned());
    assert!(
        keys.iter().all(|count| count != "0"),
        "all have some: {keys:?}"
    );
    let on = |node: &Redis| {
        let found = node.cli(&["KEYS", "shoal:*:p"]);
        let is_there = |torrent: &u8| found.contains(&key(*torrent, "p"));
        (20..50)
            .find(is_there)
            .expect("each master has some torrent")
    };
    let torrents = masters.each_ref().map(on);
    masters[2].kill();
    a.wait_told("away", 1);
    for torrent in torrents {
        a.announce(torrent, 1_002, 0, Some(Started));
    }
    for torrent in &torrents[..2] {
        b.wait_ports(*torrent, 60_000, &[1_001, 1_002]);
    }
    assert_eq!(a.ports(torrents[2], 60_001), [1_001, 1_002]);
    masters[2].run();
    b.wait_ports(torrents[2], 60_000, &[1_001, 1_002]);
}
