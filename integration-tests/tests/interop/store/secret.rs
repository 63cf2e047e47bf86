//! A store over TLS, whose certificate is verified; and passwords, which nobody is told.

use std::process::Command;

use shoal_tracker::AnnounceEvent::Started;

use super::room::{Redis, Tracker};
use crate::clients::shoal_binary;

const PASSWORD: &str = "hunter2hunter2";

#[test]
fn trackers_share_a_swarm_through_redis_over_tls() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut redis = Redis::with_tls();
    let (url, authority) = redis.secure("127.0.0.1");
    let start = |name: &str| {
        let log = dir.path().join(name);
        let more = ["--store-ca".as_ref(), authority.as_os_str(), "-vv".as_ref()];
        let tracker = Tracker::start_with(std::slice::from_ref(&url), &log, &more);
        tracker.wait_told("there", 1);
        tracker
    };
    let (a, b) = (start("a.log"), start("b.log"));
    // More than one record of TLS holds.
    let ports: Vec<u16> = (1_001..1_100).collect();
    for port in &ports {
        a.announce(1, *port, 0, Some(Started));
    }
    b.wait_ports(1, 60_000, &ports);
    redis.kill();
    a.wait_told("away", 1);
    redis.run();
    a.wait_told("repaired", 2);
    b.wait_ports(1, 60_000, &ports);
    for tracker in [a, b] {
        assert_eq!(tracker.running.interrupt(), Some(0), "it stops cleanly");
    }
}

#[test]
fn certificate_that_nobody_vouches_for_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (redis, other) = (Redis::with_tls(), Redis::with_tls());
    let (url, authority) = redis.secure("127.0.0.1");
    let (wrong_name, _) = redis.secure("localhost");
    let (_, wrong) = other.secure("127.0.0.1");
    let plain = redis.url().replace("redis:", "rediss:");
    for (number, (url, authority, expect)) in [
        (&url, None, "UnknownIssuer"),
        (&url, Some(&wrong), "invalid peer certificate"),
        (&wrong_name, Some(&authority), "not valid for name"),
        (&plain, Some(&authority), "does it speak TLS there?"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut more = Vec::new();
        if let Some(file) = authority {
            more.extend(["--store-ca".as_ref(), file.as_os_str()]);
        }
        let log = dir.path().join(format!("{number}.log"));
        let tracker = Tracker::start_with(std::slice::from_ref(url), &log, &more);
        tracker.wait_told("away", 1);
        let said = tracker.running.said();
        assert!(said.contains("TLS failed"), "{url}: {said}");
        assert!(said.contains(expect), "{url}: {said}");
        tracker.announce(1, 1_001, 0, Some(Started));
        assert!(!tracker.running.said().contains("\"there\""), "{said}");
    }
    assert_eq!(
        redis.cli(&["DBSIZE"]).trim(),
        "0",
        "nobody told it anything"
    );
}

/// What a tracker says of a store at this URL until it tells `state`, at its most talkative.
fn said_of(url: &str, state: &str) -> String {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let log = dir.path().join("log");
    let tracker = Tracker::start_with(&[url.to_owned()], &log, &["-vv".as_ref()]);
    tracker.wait_told(state, 1);
    tracker.announce(1, 1_001, 0, Some(Started));
    tracker.running.said()
}

#[test]
fn password_of_the_store_is_told_to_nobody() {
    let with_password = |redis: &Redis| {
        let url = redis.url();
        url.replace("redis://", &format!("redis://me:{PASSWORD}@"))
    };
    let with_user = |password: &str| {
        let redis = Redis::start();
        redis.cli(&["ACL", "SETUSER", "me", "on", password, "~*", "&*", "+@all"]);
        redis
    };
    let right = with_user(&format!(">{PASSWORD}"));
    let wrong = with_user(">another");
    // It repeats what it does not know.
    let mute = Redis::start_with(&["--rename-command", "AUTH", "NOBODY"]);
    let mut away = Redis::start();
    away.kill();
    for (redis, state, expect) in [
        (&right, "there", "there"),
        (&wrong, "away", "WRONGPASS"),
        (&mute, "away", "password"),
        (&away, "away", "refused"),
    ] {
        let said = said_of(&with_password(redis), state);
        assert!(said.contains(expect), "{said}");
        assert!(!said.contains(PASSWORD), "{said}");
    }
    let repeats = mute.cli(&["AUTH", "me", PASSWORD]);
    assert!(repeats.contains(PASSWORD), "it could have told: {repeats}");
    for url in [
        "redis://me:P@a:99999",
        "redis://me:P@",
        "http://me:P@a",
        "rediss://me:P@a#insecure",
    ] {
        let mut command = Command::new(shoal_binary());
        command.args([
            "tracker",
            "--no-state",
            "-vv",
            "--listen",
            "127.0.0.1:0",
            "--store",
        ]);
        let output = command
            .arg(url.replace('P', PASSWORD))
            .output()
            .expect("it runs");
        assert!(!output.status.success(), "{url}");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(
            said.contains("store") && !said.contains(PASSWORD),
            "{url}: {said}"
        );
    }
}
